//! A draft as MIME (RFC 5322, RFC 2045).

use mail_builder::{
    headers::{
        Header, address::Address, content_type::ContentType, message_id::MessageId, raw::Raw,
        text::Text,
    },
    mime::{BodyPart, MimePart},
};
use rmail_proto::Entropy;

use super::draft::{Draft, DraftField, write_date};
use crate::api::{
    resources::{EmailAddress, Importance},
    sanitize::html_to_text,
};

impl Draft {
    /// The message. `entropy` makes the boundaries, which no part can guess.
    pub fn write(&self, entropy: &mut Entropy) -> Vec<u8> {
        let mut out = Vec::new();
        write_addresses(&mut out, "From", self.from.as_slice());
        let sender = self.sender.as_ref().filter(|sender| {
            let from = self.from.as_ref();
            from.is_none_or(|from| !from.address.eq_ignore_ascii_case(&sender.address))
        });
        write_addresses(&mut out, "Sender", sender.map_or(&[], std::slice::from_ref));
        write_addresses(&mut out, "Reply-To", &self.reply_to);
        write_addresses(&mut out, "To", &self.to);
        write_addresses(&mut out, "Cc", &self.cc);
        write_addresses(&mut out, "Bcc", &self.bcc);
        if !self.subject.is_empty() {
            write_field(&mut out, "Subject", &Text::new(self.subject.as_str()));
        }
        if let Some(date) = self.date {
            write_field(&mut out, "Date", &Raw::new(write_date(date)));
        }
        if let Some(id) = &self.message_id {
            write_ids(&mut out, "Message-ID", std::slice::from_ref(id));
        }
        self.write_requests(&mut out);
        for field in &self.fields {
            match field {
                DraftField::Own { name, value } => {
                    write_field(&mut out, name, &Text::new(value.as_str()));
                }
                DraftField::Ids { name, ids } => write_ids(&mut out, name, ids),
                DraftField::Kept(field) => out.extend_from_slice(field),
            }
        }
        write_field(&mut out, "MIME-Version", &Raw::new("1.0"));
        self.content(entropy).write_part(&mut out);
        out
    }

    /// What is asked of those who get it.
    fn write_requests(&self, out: &mut Vec<u8>) {
        let importance = match self.importance {
            Importance::Low => Some(("low", "5")),
            Importance::Normal => None,
            Importance::High => Some(("high", "1")),
        };
        if let Some((importance, priority)) = importance {
            write_field(out, "Importance", &Raw::new(importance));
            write_field(out, "X-Priority", &Raw::new(priority));
        }
        let from = self.from.as_slice();
        if self.wants_delivery_receipt {
            write_addresses(out, "Return-Receipt-To", from);
        }
        if self.wants_read_receipt {
            write_addresses(out, "Disposition-Notification-To", from);
        }
    }

    /// `mixed(related(alternative(text, HTML), what belongs into it), files)`, with as few of
    /// these as it takes.
    fn content(&self, entropy: &mut Entropy) -> MimePart<'_> {
        let body = match (&self.body.text, &self.body.html) {
            (text, None) => MimePart::new("text/plain", text.as_deref().unwrap_or_default()),
            (text, Some(html)) => {
                let text = text.clone().unwrap_or_else(|| html_to_text(html));
                let parts = vec![
                    MimePart::new("text/plain", text),
                    MimePart::new("text/html", html.as_str()),
                ];
                multipart("multipart/alternative", parts, entropy)
            }
        };
        let raw = |is_inline: bool| {
            let those = self
                .attachments
                .iter()
                .filter(move |it| it.is_inline == is_inline);
            those.map(|it| MimePart::raw(it.entity.as_slice()))
        };
        let related: Vec<_> = std::iter::once(body).chain(raw(true)).collect();
        let related = multipart("multipart/related", related, entropy);
        let mixed: Vec<_> = std::iter::once(related).chain(raw(false)).collect();
        multipart("multipart/mixed", mixed, entropy)
    }
}

/// Several parts in one; one alone stays alone.
fn multipart<'x>(
    kind: &'static str,
    mut parts: Vec<MimePart<'x>>,
    entropy: &mut Entropy,
) -> MimePart<'x> {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    // What no encoding of a text has: `=_` (RFC 2045 §6.7).
    let boundary = format!("=_{:016x}{:016x}", entropy.next_u64(), entropy.next_u64());
    let kind = ContentType::new(kind).attribute("boundary", boundary);
    MimePart {
        headers: vec![("Content-Type".into(), kind.into())],
        contents: BodyPart::Multipart(parts),
    }
}

pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &impl Header) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.write_header(out, name.len() + 2);
}

/// Nothing when there are none.
pub(super) fn write_addresses(out: &mut Vec<u8>, name: &str, addresses: &[EmailAddress]) {
    let address = |email: &EmailAddress| {
        let name = Some(email.name.clone()).filter(|name| *name != email.address);
        Address::new_address(name, email.address.clone())
    };
    if !addresses.is_empty() {
        let list = addresses.iter().map(address).collect();
        write_field(out, name, &Address::new_list(list));
    }
}

fn write_ids(out: &mut Vec<u8>, name: &str, ids: &[String]) {
    let bare = ids.iter().map(|id| id.trim_matches(['<', '>']).to_owned());
    write_field(out, name, &MessageId::new_list(bare));
}

//! Replies and forwards.

use mail_parser::MessageParser;
use rmail_proto::Address;

use super::{
    action::{ReplyKind, ReplyRequest},
    attachment::Attachment,
    draft::{Draft, DraftBody, Origin, write_date},
    value::{parse_address, parse_message_id},
};
use crate::{
    api::{
        resources::{EmailAddress, Parsed},
        sanitize,
    },
    limits,
};

/// To whom a reply goes: Reply-To, or else From (RFC 5322 §3.6.2).
pub fn reply_targets(original: &Parsed) -> &[EmailAddress] {
    match original.reply_to.is_empty() {
        true => original.from.get(..1).unwrap_or_default(),
        false => &original.reply_to,
    }
}

/// The message that answers another, or passes it on.
///
/// Its body is one HTML document: the comment, a rule, the original's header, the original,
/// sanitised. A forward has all attachments of the original, a reply those that the quoted text
/// shows. What the request says of the message overrides all that. `own`: the addresses of the
/// account, which a reply to all leaves out.
pub fn reply(
    kind: ReplyKind,
    original: &[u8],
    own: &[Address],
    request: ReplyRequest,
    origin: &mut Origin<'_>,
) -> Draft {
    let parsed = Parsed::parse(original);
    let source = Draft::read(original);
    let html = write_body(&parsed, request.comment.as_deref().unwrap_or_default());
    let mut draft = Draft::new(origin);
    let (to, cc) = recipients(kind, &source, own);
    (draft.to, draft.cc) = (request.to.unwrap_or(to), cc);
    draft.subject = subject(kind, &source.subject);
    draft.attachments = attachments(kind, source.attachments, &html);
    draft.body = DraftBody {
        text: None,
        html: Some(html),
    };
    if let Some(id) = source.message_id {
        let mut references = references(original);
        references.push(id.clone());
        draft.set_thread(id, references);
    }
    draft.apply(request.message.content);
    draft
}

fn recipients(
    kind: ReplyKind,
    source: &Draft,
    own: &[Address],
) -> (Vec<EmailAddress>, Vec<EmailAddress>) {
    let targets = match source.reply_to.is_empty() {
        true => source.from.as_slice(),
        false => &source.reply_to,
    };
    match kind {
        ReplyKind::Forward => (Vec::new(), Vec::new()),
        ReplyKind::Reply => (targets.to_vec(), Vec::new()),
        ReplyKind::ReplyAll => {
            // Each address once, and none of one's own but as the only one.
            let mut seen: Vec<String> = own.iter().map(folded).collect();
            let mut others = |addresses: &[EmailAddress]| -> Vec<EmailAddress> {
                let mut kept = Vec::new();
                for email in addresses {
                    let key = parse_address(&email.address).as_ref().map(folded);
                    let key = key.unwrap_or_else(|| email.address.to_lowercase());
                    if !seen.contains(&key) {
                        seen.push(key);
                        kept.push(email.clone());
                    }
                }
                kept
            };
            let to = others(&[targets, &source.to].concat());
            let cc = others(&source.cc);
            match to.is_empty() && cc.is_empty() {
                true => (targets.to_vec(), Vec::new()),
                false => (to, cc),
            }
        }
    }
}

fn folded(address: &Address) -> String {
    address.to_string().to_lowercase()
}

/// With `RE: ` or `FW: `, unless it begins so, in any case.
fn subject(kind: ReplyKind, subject: &str) -> String {
    let (prefix, known): (_, &[&str]) = match kind {
        ReplyKind::Reply | ReplyKind::ReplyAll => ("RE: ", &["re:"]),
        ReplyKind::Forward => ("FW: ", &["fw:", "fwd:"]),
    };
    let folded = subject.trim_start().to_lowercase();
    match known.iter().any(|known| folded.starts_with(known)) {
        true => subject.to_owned(),
        false => format!("{prefix}{subject}"),
    }
}

/// What the original refers to, the nearest ones when there are many (RFC 5322 §3.6.4).
fn references(original: &[u8]) -> Vec<String> {
    let Some(message) = MessageParser::default().parse_headers(original) else {
        return Vec::new();
    };
    let ids = |value: &mail_parser::HeaderValue<'_>| -> Vec<String> {
        let one = value.as_text().into_iter().map(str::to_owned);
        let list = value
            .as_text_list()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string);
        let ids: Vec<String> = list.collect();
        let ids = if ids.is_empty() { one.collect() } else { ids };
        ids.iter().filter_map(|id| parse_message_id(id)).collect()
    };
    let references = ids(message.references());
    let mut references = match references.is_empty() {
        true => ids(message.in_reply_to()),
        false => references,
    };
    let surplus = references.len().saturating_sub(limits::REFERENCES_WRITTEN);
    references.drain(..surplus);
    references
}

fn attachments(kind: ReplyKind, all: Vec<Attachment>, html: &str) -> Vec<Attachment> {
    let is_shown = |attachment: &Attachment| {
        let id = attachment.content_id.as_deref().filter(|id| !id.is_empty());
        id.is_some_and(|id| {
            let mut escaped = String::from("cid:");
            sanitize::escape_into(&mut escaped, id);
            html.contains(&escaped)
        })
    };
    match kind {
        ReplyKind::Forward => all,
        ReplyKind::Reply | ReplyKind::ReplyAll => all.into_iter().filter(is_shown).collect(),
    }
}

fn write_body(original: &Parsed, comment: &str) -> String {
    let mut out = "<html><head></head><body><div>".to_owned();
    sanitize::text_into_html(&mut out, comment);
    out.push_str(
        "</div><br>\r\n<hr tabindex=\"-1\" style=\"display:inline-block; width:98%\">\r\n",
    );
    out.push_str("<div id=\"divRplyFwdMsg\" dir=\"ltr\">");
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str("<b>");
            out.push_str(name);
            out.push_str(":</b> ");
            sanitize::escape_into(&mut out, value);
            out.push_str("<br>\r\n");
        }
    };
    line("From", &list(&original.from));
    line(
        "Sent",
        &original.sent_at.map(write_date).unwrap_or_default(),
    );
    line("To", &list(&original.to));
    line("Cc", &list(&original.cc));
    line("Subject", &original.subject);
    out.push_str("</div>\r\n<div>");
    match (&original.html, &original.text) {
        (Some(html), _) => out.push_str(&sanitize::fragment(html)),
        (None, text) => sanitize::text_into_html(&mut out, text.as_deref().unwrap_or_default()),
    }
    out.push_str("</div></body></html>");
    out
}

fn list(addresses: &[EmailAddress]) -> String {
    let shown = addresses
        .iter()
        .map(|email| match email.name == email.address {
            true => email.address.clone(),
            false => format!("{} <{}>", email.name, email.address),
        });
    shown.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;

//! ENVELOPE of a message (RFC 3501 §7.4.2), and what threads need to know.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{
    address::{AddressItem, parse_addresses},
    content::unfolded,
    date::parse_date,
    header::Fields,
    wire::{write_nstring, write_string},
};
use crate::{DateTime, limits};

/// The fields of a message's header that its ENVELOPE and thread are made of. Of several fields
/// of one name the last one counts; addresses are taken of all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Envelope {
    date: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
    from: Vec<AddressItem>,
    sender: Vec<AddressItem>,
    reply_to: Vec<AddressItem>,
    to: Vec<AddressItem>,
    cc: Vec<AddressItem>,
    bcc: Vec<AddressItem>,
    in_reply_to: Option<Vec<u8>>,
    message_id: Option<Vec<u8>>,
    references: Option<Vec<u8>>,
}

impl Envelope {
    /// The fields that are read here.
    pub(super) const FIELDS: &'static [&'static str] = &[
        "date",
        "subject",
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "in-reply-to",
        "message-id",
        "references",
    ];

    /// Reads a message's header.
    pub(super) fn parse(header: &[u8]) -> Self {
        let mut envelope = Self::default();
        for field in Fields::new(header) {
            let (text, addresses) = match field.name.to_ascii_lowercase().as_slice() {
                b"date" => (Some(&mut envelope.date), None),
                b"subject" => (Some(&mut envelope.subject), None),
                b"in-reply-to" => (Some(&mut envelope.in_reply_to), None),
                b"message-id" => (Some(&mut envelope.message_id), None),
                b"references" => (Some(&mut envelope.references), None),
                b"from" => (None, Some(&mut envelope.from)),
                b"sender" => (None, Some(&mut envelope.sender)),
                b"reply-to" => (None, Some(&mut envelope.reply_to)),
                b"to" => (None, Some(&mut envelope.to)),
                b"cc" => (None, Some(&mut envelope.cc)),
                b"bcc" => (None, Some(&mut envelope.bcc)),
                _ => (None, None),
            };
            if let Some(text) = text {
                *text = Some(unfolded(field.value));
            }
            if let Some(addresses) = addresses {
                addresses.extend(parse_addresses(field.value));
                addresses.truncate(limits::MIME_ADDRESSES_MAX);
            }
        }
        envelope
    }

    /// Writes the parenthesised list.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        fn or<'a>(own: &'a [AddressItem], from: &'a [AddressItem]) -> &'a [AddressItem] {
            if own.is_empty() { from } else { own }
        }
        out.push(b'(');
        write_nstring(out, self.date.as_deref());
        out.push(b' ');
        write_nstring(out, self.subject.as_deref());
        let sender = or(&self.sender, &self.from);
        let reply_to = or(&self.reply_to, &self.from);
        for addresses in [&self.from, sender, reply_to, &self.to, &self.cc, &self.bcc] {
            out.push(b' ');
            write_addresses(out, addresses);
        }
        out.push(b' ');
        write_nstring(out, self.in_reply_to.as_deref());
        out.push(b' ');
        write_nstring(out, self.message_id.as_deref());
        out.push(b')');
    }

    /// See [`Summary::sent_date`](super::Summary::sent_date).
    pub(super) fn sent_date(&self) -> Option<DateTime> {
        parse_date(self.date.as_deref()?)
    }

    /// See [`Summary::message_id`](super::Summary::message_id).
    pub(super) fn message_id(&self) -> Option<String> {
        parse_message_ids(self.message_id.as_deref()?).next()
    }

    /// See [`Summary::references`](super::Summary::references).
    pub(super) fn references(&self) -> Vec<String> {
        let fields = [&self.references, &self.in_reply_to];
        let texts = fields.into_iter().filter_map(Option::as_deref);
        let mut ids: Vec<String> = Vec::new();
        for id in texts.flat_map(parse_message_ids) {
            if ids.last() == Some(&id) {
                continue;
            }
            if ids.len() == limits::REFERENCES_MAX {
                ids.remove(0);
            }
            ids.push(id);
        }
        ids
    }
}

/// What stands in angle brackets, without white space; ids longer than
/// [`limits::MESSAGE_ID_BYTES`] are left out.
fn parse_message_ids(text: &[u8]) -> impl Iterator<Item = String> {
    let starts = text.split(|&byte| byte == b'<').skip(1);
    starts.filter_map(|start| {
        let end = start.iter().position(|&byte| byte == b'>')?;
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let id: Vec<u8> = start[..end]
            .iter()
            .copied()
            .filter(|byte| !is_space(byte))
            .collect();
        let fits = (1..=limits::MESSAGE_ID_BYTES).contains(&id.len());
        fits.then(|| String::from_utf8_lossy(&id).to_string())
    })
}

fn write_addresses(out: &mut Vec<u8>, addresses: &[AddressItem]) {
    if addresses.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in addresses {
        match address {
            AddressItem::GroupStart(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                write_string(out, name);
                out.extend_from_slice(b" NIL)");
            }
            AddressItem::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
            AddressItem::Mailbox(mailbox) => {
                out.push(b'(');
                write_nstring(out, mailbox.name.as_deref().map(one_spaced).as_deref());
                out.push(b' ');
                write_nstring(out, mailbox.route.as_deref());
                out.push(b' ');
                write_string(
                    out,
                    mailbox.local_part.as_deref().unwrap_or(MISSING_LOCAL_PART),
                );
                out.push(b' ');
                write_string(out, mailbox.domain.as_deref().unwrap_or(MISSING_DOMAIN));
                out.push(b')');
            }
        }
    }
    out.push(b')');
}

/// Stands for a local-part that is not there; NIL would mean a group (RFC 3501 §7.4.2).
const MISSING_LOCAL_PART: &[u8] = b"MISSING_MAILBOX";

/// Stands for a domain that is not there.
const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";

/// A display name with one space for each run of white space.
fn one_spaced(name: &[u8]) -> Vec<u8> {
    let words = name.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

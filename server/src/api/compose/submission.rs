//! A message on its way out: what becomes of its header (RFC 6409 §8), and who gets it.

use mail_parser::MessageParser;
use rmail_proto::{Address, Domain, Entropy, UnixTime, smtp::write_id};

use super::{
    attachment::{kept_field, with_crlf},
    draft::{header_fields, write_date},
    value::{parse_address, parse_message_id, refuse},
    write::write_addresses,
};
use crate::api::{error::ApiError, resources::EmailAddress};

/// Who sends, and when.
#[derive(Debug)]
pub struct Submitter<'a> {
    /// The account; From, when there is none.
    pub sender: &'a EmailAddress,
    /// The server's name.
    pub hostname: &'a Domain,
    /// Of Date and Received.
    pub now: UnixTime,
    /// Of Message-ID.
    pub entropy: &'a mut Entropy,
    /// `smtp.max_recipients`
    pub recipients_max: usize,
}

/// What becomes of a Date that there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendDate {
    /// It stays.
    Kept,
    /// It was that of a draft: it is sent now.
    Renewed,
}

/// A message that may be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submission {
    /// Each address once. Not empty.
    pub recipients: Vec<Address>,
    /// Of From and Sender: all must be the account's.
    pub senders: Vec<Address>,
    /// With angle brackets.
    pub message_id: String,
    /// The spool's id for it, which Received tells.
    pub id: String,
    /// What goes out: with Received, without Bcc.
    pub sent: Vec<u8>,
    /// What is kept in Sent Items: with Bcc, without Received.
    pub copy: Vec<u8>,
}

/// Fields that are written anew, or that only the last server writes (RFC 5321 §4.4).
const DROPPED: [&[u8]; 2] = [b"return-path", b"resent-bcc"];

impl Submission {
    /// From MIME. `recipients`: those to whom it goes instead of those in To, Cc and Bcc.
    ///
    /// # Errors
    ///
    /// `invalid_recipients` when there are none, too many, or bad ones; `invalid_request` for a
    /// message with NUL, and for a From or Sender that can't be read.
    pub fn new(
        mime: &[u8],
        recipients: Option<&[EmailAddress]>,
        date: SendDate,
        submitter: &mut Submitter<'_>,
    ) -> Result<Self, ApiError> {
        if mime.contains(&0) {
            return Err(refuse("The message holds NUL."));
        }
        let header = Header::read(mime);
        let recipients = match recipients {
            Some(given) => read_addresses(given.iter().map(|email| email.address.as_str())),
            None => header.recipients(),
        };
        let recipients = recipients.ok_or_else(ApiError::invalid_recipients)?;
        if recipients.is_empty() || recipients.len() > submitter.recipients_max {
            return Err(ApiError::invalid_recipients());
        }
        let senders = header
            .senders()
            .ok_or_else(|| refuse("From or Sender is not valid."))?;
        let senders = match senders.is_empty() {
            true => parse_address(&submitter.sender.address)
                .into_iter()
                .collect(),
            false => senders,
        };
        let id = write_id(submitter.entropy, submitter.now);
        let added = Added::new(&header, date, &senders, &id, submitter);
        let received = format!(
            "Received: by {} with HTTPS\r\n\tid {id};\r\n\t{}\r\n",
            submitter.hostname,
            write_date(submitter.now)
        );
        let mut sent = received.into_bytes();
        header.write(&mut sent, &added, &[b"bcc"]);
        let mut copy = Vec::new();
        header.write(&mut copy, &added, &[]);
        Ok(Self {
            recipients,
            senders,
            message_id: added.message_id,
            id,
            sent,
            copy,
        })
    }
}

/// A message, its header taken apart.
struct Header<'a> {
    mime: &'a [u8],
    /// Names in lower case, and whole fields.
    fields: Vec<(Vec<u8>, &'a [u8])>,
    body: &'a [u8],
}

/// What was missing.
struct Added {
    message_id: String,
    fields: Vec<u8>,
    /// Fields in the place of which these come.
    replaces: Vec<&'static [u8]>,
}

impl<'a> Header<'a> {
    /// The header ends at the first line that is no field.
    fn read(mime: &'a [u8]) -> Self {
        let mut end = 0;
        let mut fields = Vec::new();
        for field in header_fields(mime) {
            end = field.range.end;
            fields.push((field.name.to_ascii_lowercase(), &mime[field.range]));
        }
        let rest = &mime[end..];
        let behind = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"));
        Self {
            mime,
            fields,
            body: behind.unwrap_or(rest),
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// `None` when one is no address.
    fn recipients(&self) -> Option<Vec<Address>> {
        let message = MessageParser::default().parse_headers(self.mime)?;
        let all = message
            .all_to()
            .chain(message.all_cc())
            .chain(message.all_bcc());
        let addresses = all.flat_map(mail_parser::Address::iter);
        read_addresses(addresses.map(|addr| addr.address().unwrap_or_default()))
    }

    fn senders(&self) -> Option<Vec<Address>> {
        let Some(message) = MessageParser::default().parse_headers(self.mime) else {
            return Some(Vec::new());
        };
        let values = message
            .header_values("From")
            .chain(message.header_values("Sender"));
        let addresses = values.filter_map(|value| value.as_address());
        let addresses = addresses.flat_map(mail_parser::Address::iter);
        read_addresses(addresses.map(|addr| addr.address().unwrap_or_default()))
    }

    fn write(&self, out: &mut Vec<u8>, added: &Added, without: &[&[u8]]) {
        for (name, field) in &self.fields {
            let is_dropped = DROPPED.contains(&name.as_slice())
                || without.contains(&name.as_slice())
                || added.replaces.contains(&name.as_slice());
            if !is_dropped {
                out.extend_from_slice(&kept_field(field));
            }
        }
        out.extend_from_slice(&added.fields);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&with_crlf(self.body));
    }
}

impl Added {
    fn new(
        header: &Header<'_>,
        date: SendDate,
        senders: &[Address],
        id: &str,
        submitter: &Submitter<'_>,
    ) -> Self {
        let mut fields = Vec::new();
        if !header.has(b"from") {
            write_addresses(&mut fields, "From", std::slice::from_ref(submitter.sender));
        }
        let mut replaces: Vec<&'static [u8]> = Vec::new();
        if date == SendDate::Renewed || !header.has(b"date") {
            replaces.push(b"date");
            let date = format!("Date: {}\r\n", write_date(submitter.now));
            fields.extend_from_slice(date.as_bytes());
        }
        let message = MessageParser::default().parse_headers(header.mime);
        let written = message.and_then(|message| parse_message_id(message.message_id()?));
        let is_written = written.is_some();
        let message_id = written.unwrap_or_else(|| {
            let domain = senders.first().map(|sender| sender.domain().as_str());
            let domain = domain.filter(|domain| domain.is_ascii());
            let domain = domain.unwrap_or(submitter.hostname.as_str());
            format!("<{id}@{domain}>")
        });
        if !is_written {
            replaces.push(b"message-id");
            fields.extend_from_slice(format!("Message-ID: {message_id}\r\n").as_bytes());
        }
        Self {
            message_id,
            fields,
            replaces,
        }
    }
}

/// Each address once; `None` when one is none.
fn read_addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Vec<Address>> {
    let mut addresses = std::collections::BTreeSet::new();
    let mut ordered = Vec::new();
    for text in texts {
        let address = parse_address(text)?;
        if addresses.insert(address.clone()) {
            ordered.push(address);
        }
    }
    Some(ordered)
}

#[cfg(test)]
mod tests;

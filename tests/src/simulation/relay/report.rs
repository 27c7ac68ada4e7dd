//! What a report says (RFC 3464), as its reader finds it.

use std::time::Duration;

use rmail_proto::mime::parse_date;

use super::super::message::{Token, token_in};

/// A report.
#[derive(Debug)]
pub(in super::super) struct ReadReport {
    /// The message that it is about.
    pub(in super::super) token: Token,
    /// How long after the message was accepted it was written.
    pub(in super::super) after: Duration,
    pub(in super::super) recipients: Vec<ReadRecipient>,
}

/// What it says of a recipient.
#[derive(Debug)]
pub(in super::super) struct ReadRecipient {
    pub(in super::super) address: String,
    pub(in super::super) action: String,
    pub(in super::super) status: String,
    /// In whose words; empty when there are none.
    pub(in super::super) diagnostic: String,
}

/// Whether a message is a report, and not only about one.
pub(in super::super) fn is_report(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let (header, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    header.contains("\r\nContent-Type: multipart/report")
}

impl ReadReport {
    /// Reads one.
    ///
    /// # Panics
    ///
    /// When it is not as it must be.
    pub(in super::super) fn read(message: &[u8]) -> Self {
        let text = String::from_utf8_lossy(message).replace("\r\n ", " ");
        assert!(
            text.starts_with("Return-Path: <>\r\n"),
            "a report has a reverse-path:\n{text}"
        );
        let reports = text.matches("Content-Type: multipart/report").count();
        assert_eq!(reports, 1, "a report on a report:\n{text}");
        let (_, status) = text
            .split_once("Content-Type: message/delivery-status\r\n\r\n")
            .unwrap_or_else(|| panic!("a report without its status:\n{text}"));
        let (status, _) = status.split_once("\r\n--").expect("a part has its end");
        let mut groups = status.split("\r\n\r\n");
        let about = groups.next().expect("it has a first part");
        let written = seconds(field(&text, "Date"));
        let arrival = seconds(field(about, "Arrival-Date"));
        let recipients = groups
            .filter(|group| !group.trim().is_empty())
            .map(|group| {
                let address = field(group, "Final-Recipient").trim_start_matches("rfc822; ");
                ReadRecipient {
                    address: address.to_owned(),
                    action: field(group, "Action").to_owned(),
                    status: field(group, "Status").to_owned(),
                    diagnostic: find(group, "Diagnostic-Code").unwrap_or("").to_owned(),
                }
            });
        let recipients: Vec<ReadRecipient> = recipients.collect();
        assert!(!recipients.is_empty(), "a report on nobody:\n{text}");
        let token = token_in(message);
        Self {
            token: token.unwrap_or_else(|| panic!("a report on nothing that was sent:\n{text}")),
            after: Duration::from_secs(written.saturating_sub(arrival)),
            recipients,
        }
    }
}

fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.split("\r\n");
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    find(text, name).unwrap_or_else(|| panic!("a report has no {name}:\n{text}"))
}

fn seconds(date: &str) -> u64 {
    let date = parse_date(date.as_bytes());
    let date = date.unwrap_or_else(|| panic!("a report's date can't be read"));
    u64::try_from(date.unix.0).expect("it is after 1970")
}

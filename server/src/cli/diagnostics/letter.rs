//! A message of the diagnostics, which is known again.

use rmail_proto::{Address, DateTime};

use crate::outside::{clock, random};

/// A message that was handed to the server.
#[derive(Debug)]
pub(super) struct Letter {
    /// By which listener.
    pub(super) via: String,
    /// What stands in this message and in no other.
    pub(super) token: String,
}

impl Letter {
    /// One that is still to be sent.
    pub(super) fn new(via: &str) -> Self {
        Self {
            via: via.to_owned(),
            token: format!("{:016x}", random::seed()),
        }
    }

    /// Its subject.
    pub(super) fn subject(&self) -> String {
        format!("rmail diagnostics, {}", self.via)
    }

    /// All of it, from and to this address.
    pub(super) fn content(&self, address: &Address) -> String {
        let (subject, token) = (self.subject(), &self.token);
        let date = DateTime::utc(clock::unix_now()).rfc5322();
        let domain = address.domain();
        format!(
            "From: <{address}>\r\nTo: <{address}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{token}@{domain}>\r\n\r\n{token}\r\n"
        )
    }
}

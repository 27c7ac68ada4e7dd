//! The phases.

use serde::Serialize;

/// A phase of the diagnostics. They are gone through in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// The configuration file.
    Configuration,
    /// Room on the disk, syncing, permissions, the store.
    Storage,
    /// The certificate and its key.
    Tls,
    /// Listeners, greetings, handshakes.
    Ports,
    /// Mail in by SMTP, and what must be refused.
    Smtp,
    /// Reading and changing a mailbox by IMAP.
    Imap,
    /// The HTTP API, and setting mail programs up.
    Api,
    /// What was sent has arrived; the queue; the rate limiter.
    Delivery,
}

impl Phase {
    /// All of them, in order.
    pub(super) const ALL: [Self; 8] = [
        Self::Configuration,
        Self::Storage,
        Self::Tls,
        Self::Ports,
        Self::Smtp,
        Self::Imap,
        Self::Api,
        Self::Delivery,
    ];

    /// From 1 on.
    pub(super) fn number(self) -> usize {
        self as usize + 1
    }

    /// In one word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Storage => "storage",
            Self::Tls => "tls",
            Self::Ports => "ports",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Api => "api",
            Self::Delivery => "delivery",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_one_and_names_are_those_of_the_json() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.number(), index + 1);
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }
}

//! The phases, and which rests upon which.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::Serialize;

/// A phase of the diagnostics. They are gone through in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// The configuration file
    Configuration,
    /// Room on the disk, syncing, permissions
    Storage,
    /// The certificate and its key
    Tls,
    /// Listeners, greetings, handshakes
    Ports,
    /// Mail in and out by SMTP, and what must be refused
    Smtp,
    /// Reading and changing a mailbox by IMAP
    Imap,
    /// The HTTP API, and setting mail programs up
    Api,
    /// What was sent has arrived; the queue; rate limits
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

    /// As in `--only`.
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

    /// Those whose results it uses.
    fn rests_upon(self) -> &'static [Self] {
        match self {
            Self::Configuration => &[],
            Self::Storage | Self::Tls => &[Self::Configuration],
            Self::Ports => &[Self::Tls],
            Self::Smtp | Self::Imap | Self::Api => &[Self::Storage, Self::Ports],
            Self::Delivery => &[Self::Smtp, Self::Api],
        }
    }

    /// Itself and all that it rests upon.
    pub(super) fn with_foundations(self) -> BTreeSet<Self> {
        let below = self.rests_upon().iter();
        let mut phases: BTreeSet<Self> = below.flat_map(|it| it.with_foundations()).collect();
        phases.insert(self);
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_rest_upon_earlier_ones_alone_and_numbers_count_from_one() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.number(), index + 1);
            assert!(phase.rests_upon().iter().all(|earlier| *earlier < phase));
            assert_eq!(Phase::from_str(phase.name(), false), Ok(phase));
        }
        let wanted = Phase::Imap.with_foundations();
        assert!(wanted.contains(&Phase::Configuration) && !wanted.contains(&Phase::Smtp));
    }
}

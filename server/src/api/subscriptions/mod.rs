//! Subscriptions to changes of an account's mail: what is kept of them, what has changed, and what
//! their targets are told.
//!
//! A subscription is a [`Record`] of the directory, so all processes on a `mail_root` know it. The
//! record says up to where changes were found ([`Marks`]), and which of them the target was not
//! told so far ([`Untold`]). Whoever moves the marks on is the one who tells: see [`search`].

mod changes;
pub mod search;
#[cfg(test)]
mod tests;
mod told;
mod untold;

use rmail_proto::{AccountId, MailboxId, UnixTime};
use rmail_store::{Record, RecordKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    changes::{Change, ChangeKind, Marks, Seen, changes_since},
    told::{Event, LifecycleEvent, Subscriber, tell},
    untold::{Merged, Untold, Waiting},
};
use super::{time::write_time, token::write_guid};

/// What the record of a subscription says.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// As the client wrote it.
    pub resource: String,
    /// The folder's id, if it is one folder's.
    pub folder: Option<String>,
    /// Which changes.
    pub kinds: Vec<ChangeKind>,
    /// Where changes are told.
    pub notification_url: String,
    /// Where it is told that changes were missed.
    pub lifecycle_url: Option<String>,
    /// What the target knows our posts by.
    pub client_state: Option<String>,
    /// As the client wrote it; there is nothing below TLS 1.2 in any case.
    pub tls_version: Option<String>,
    /// Up to where changes were found: they were told, or wait in `untold`.
    pub marks: Marks,
    /// What waits to be told, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<Untold>,
}

impl std::fmt::Debug for Subscription {
    /// Without what the client knows our posts by.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({})", self.resource)
    }
}

impl Subscription {
    /// From a record. `None` when it is of a version that is not known.
    pub fn read(record: &Record) -> Option<Self> {
        serde_json::from_str(&record.value).ok()
    }

    /// The record that says it.
    pub fn to_record(&self, key: u128, account: AccountId, expires_at: UnixTime) -> Record {
        Record {
            kind: RecordKind::Subscription,
            key,
            account: Some(account),
            value: serde_json::to_string(self).expect("texts and numbers are JSON"),
            expires_at,
        }
    }

    /// Whether its folder is gone, and only that is still to be told. For clients it is not there.
    pub fn is_over(&self) -> bool {
        self.untold.as_ref().is_some_and(Untold::is_removal)
    }

    /// The folder, if it is one folder's.
    pub fn mailbox(&self) -> Option<MailboxId> {
        self.folder.as_deref().and_then(MailboxId::parse)
    }

    /// The subscription as its owner (a GUID) sees it.
    pub fn tell(&self, record: &Record, owner: u128) -> Value {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        json!({
            "id": write_guid(record.key),
            "resource": self.resource,
            "applicationId": null,
            "changeType": kinds.join(","),
            "clientState": self.client_state,
            "notificationUrl": self.notification_url,
            "lifecycleNotificationUrl": self.lifecycle_url,
            "expirationDateTime": write_time(record.expires_at),
            "creatorId": write_guid(owner),
            "latestSupportedTlsVersion": self.tls_version.as_deref().unwrap_or("v1_2"),
        })
    }
}

//! What the target of a subscription is told.

use rmail_proto::{AccountId, UnixTime};
use serde_json::{Value, json};

use super::{Change, Subscription};
use crate::api::{
    resources::{change_key, etag},
    time::write_time,
    token::write_guid,
};

/// What of a subscription is needed to tell its target.
#[derive(Clone, Eq, PartialEq)]
pub struct Subscriber {
    /// The subscription's id.
    pub key: u128,
    /// Whose mail it is.
    pub account: AccountId,
    /// Their GUID.
    pub guid: u128,
    /// See [`Subscription::notification_url`].
    pub notification_url: String,
    /// See [`Subscription::lifecycle_url`].
    pub lifecycle_url: Option<String>,
    /// See [`Subscription::client_state`].
    pub client_state: Option<String>,
    /// When it ends.
    pub expires_at: UnixTime,
}

impl std::fmt::Debug for Subscriber {
    /// Without what the client knows our posts by.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscriber({})", write_guid(self.key))
    }
}

impl Subscriber {
    pub(super) fn new(
        key: u128,
        (account, guid): (AccountId, u128),
        subscription: &Subscription,
        expires_at: UnixTime,
    ) -> Self {
        Self {
            key,
            account,
            guid,
            notification_url: subscription.notification_url.clone(),
            lifecycle_url: subscription.lifecycle_url.clone(),
            client_state: subscription.client_state.clone(),
            expires_at,
        }
    }
}

/// What a subscription itself has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LifecycleEvent {
    /// Changes could not be told.
    Missed,
    /// There is nothing to subscribe to any more: the subscription is gone.
    Removed,
}

/// Something to be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// Mail has changed.
    Changed(Change),
    /// The subscription has.
    Lifecycle(LifecycleEvent),
}

/// The content of a post that tells these events.
pub fn tell<'e>(subscriber: &Subscriber, events: impl IntoIterator<Item = &'e Event>) -> String {
    let events = events.into_iter().map(|event| match event {
        Event::Changed(change) => tell_change(subscriber, change),
        Event::Lifecycle(event) => tell_lifecycle(subscriber, *event),
    });
    json!({"value": events.collect::<Vec<Value>>()}).to_string()
}

fn tell_change(subscriber: &Subscriber, change: &Change) -> Value {
    let id = change.instance.to_string();
    let resource = format!("Users/{}/Messages/{id}", write_guid(subscriber.guid));
    let mut told = head(subscriber);
    told["changeType"] = json!(change.kind.name());
    told["resource"] = json!(resource);
    told["resourceData"] = json!({
        "@odata.type": "#Microsoft.Graph.Message",
        "@odata.id": resource,
        "@odata.etag": etag(&change_key(change.instance, change.modseq)),
        "id": id,
    });
    told
}

fn tell_lifecycle(subscriber: &Subscriber, event: LifecycleEvent) -> Value {
    let mut told = head(subscriber);
    told["lifecycleEvent"] = json!(match event {
        LifecycleEvent::Missed => "missed",
        LifecycleEvent::Removed => "subscriptionRemoved",
    });
    told
}

fn head(subscriber: &Subscriber) -> Value {
    json!({
        "subscriptionId": write_guid(subscriber.key),
        "subscriptionExpirationDateTime": write_time(subscriber.expires_at),
        "clientState": subscriber.client_state,
        // There are no tenants; receivers want a GUID.
        "tenantId": write_guid(0),
    })
}

//! The small objects within resources.

use std::borrow::Cow;

use rmail_proto::UnixTime;
use rmail_store::Account;
use serde::Serialize;
use serde_json::{Value, json};

use super::tell;
use crate::api::{
    json::ObjectWriter,
    odata::Select,
    time::{write_local_time, write_time},
    token::write_guid,
};

/// `emailAddress`
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EmailAddress {
    /// The name; the address where there is none.
    pub name: String,
    /// The address.
    pub address: String,
}

impl EmailAddress {
    /// With the address in the place of a name that is missing.
    pub fn new(name: Option<&str>, address: &str) -> Self {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        Self {
            name: name.unwrap_or(address).to_owned(),
            address: address.to_owned(),
        }
    }
}

/// Writes a `recipient`.
pub(super) fn write_recipient(recipient: &mut ObjectWriter<'_>, address: &EmailAddress) {
    recipient.object("emailAddress", |object| {
        object.text("name", &address.name);
        object.text("address", &address.address);
    });
}

/// `itemBody`
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ItemBody {
    /// `html` or `text`.
    pub content_type: &'static str,
    /// The text.
    pub content: String,
}

/// `dateTimeTimeZone`
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DateTimeTimeZone {
    /// Without a zone.
    pub date_time: String,
    /// The zone's name.
    pub time_zone: Cow<'static, str>,
}

impl DateTimeTimeZone {
    /// In UTC.
    pub fn utc(time: UnixTime) -> Self {
        Self {
            date_time: write_local_time(time),
            time_zone: Cow::Borrowed("UTC"),
        }
    }
}

/// `flagStatus`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FlagStatus {
    /// Nothing.
    #[default]
    NotFlagged,
    /// Done.
    Complete,
    /// To be done.
    Flagged,
}

impl FlagStatus {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFlagged => "notFlagged",
            Self::Complete => "complete",
            Self::Flagged => "flagged",
        }
    }

    /// In any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "notflagged" => Some(Self::NotFlagged),
            "complete" => Some(Self::Complete),
            "flagged" => Some(Self::Flagged),
            _ => None,
        }
    }
}

/// `importance`
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Importance {
    /// `low`
    Low,
    /// `normal`
    #[default]
    Normal,
    /// `high`
    High,
}

impl Importance {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// In any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "low" => Some(Self::Low),
            "normal" => Some(Self::Normal),
            "high" => Some(Self::High),
            _ => None,
        }
    }

    /// Of a message's Importance, X-Priority and Priority fields; the first that says something
    /// counts (RFC 4021 §2.1).
    pub fn from_fields(
        importance: Option<&str>,
        x_priority: Option<&str>,
        priority: Option<&str>,
    ) -> Self {
        let of_importance = importance.and_then(|text| Self::parse(text.trim()));
        let first = x_priority.and_then(|text| text.trim().chars().next());
        let of_x_priority = first.and_then(|digit| match digit {
            '1' | '2' => Some(Self::High),
            '3' => Some(Self::Normal),
            '4' | '5' => Some(Self::Low),
            _ => None,
        });
        let of_priority =
            priority.and_then(|text| match text.trim().to_ascii_lowercase().as_str() {
                "urgent" => Some(Self::High),
                "normal" => Some(Self::Normal),
                "non-urgent" => Some(Self::Low),
                _ => None,
            });
        of_importance
            .or(of_x_priority)
            .or(of_priority)
            .unwrap_or_default()
    }
}

/// `internetMessageHeader`
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct InternetMessageHeader {
    /// As it was written.
    pub name: String,
    /// In one line.
    pub value: String,
}

/// `user`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    id: String,
    user_principal_name: String,
    mail: String,
    display_name: String,
    given_name: Option<String>,
    surname: Option<String>,
    job_title: Option<String>,
    mobile_phone: Option<String>,
    office_location: Option<String>,
    preferred_language: Option<String>,
    business_phones: [String; 0],
    account_enabled: bool,
    proxy_addresses: Vec<String>,
    created_date_time: String,
}

impl User {
    /// `aliases`: other addresses of the account.
    pub fn new(account: &Account, aliases: &[String]) -> Self {
        let address = account.address.to_string();
        let name = Some(account.display_name.as_str()).filter(|name| !name.is_empty());
        let primary = std::iter::once(format!("SMTP:{address}"));
        let others = aliases.iter().map(|alias| format!("smtp:{alias}"));
        Self {
            id: write_guid(account.guid),
            user_principal_name: address.clone(),
            mail: address.clone(),
            display_name: name.unwrap_or(&address).to_owned(),
            given_name: None,
            surname: None,
            job_title: None,
            mobile_phone: None,
            office_location: None,
            preferred_language: None,
            business_phones: [],
            account_enabled: account.is_enabled,
            proxy_addresses: primary.chain(others).collect(),
            created_date_time: write_time(account.created_at),
        }
    }

    /// As JSON.
    pub fn tell(&self, select: &Select) -> Value {
        Value::Object(tell(self, select))
    }

    /// What `GET /auth/me` answers.
    pub fn tell_native(account: &Account, expires_at: UnixTime) -> Value {
        json!({
            "username": account.address.local_part(),
            "domain": account.address.domain().as_str(),
            "address": account.address.to_string(),
            "id": write_guid(account.guid),
            "is_admin": account.is_admin,
            "expires_at": write_time(expires_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use rmail_proto::{AccountId, Address};

    use super::*;
    use crate::api::schema::Schema;

    fn account() -> Account {
        Account {
            id: AccountId(1),
            address: Address::parse("alice@example.test").unwrap(),
            guid: 0x42,
            credential: "secret record".to_owned(),
            generation: 1,
            is_admin: true,
            is_enabled: true,
            display_name: String::new(),
            quota_bytes: 0,
            created_at: UnixTime(0),
            last_login_at: None,
            replies_automatically: false,
            previous_credential: None,
        }
    }

    #[test]
    fn importance_is_read_from_what_programs_write() {
        let read = |importance, x_priority, priority| {
            Importance::from_fields(importance, x_priority, priority)
        };
        assert_eq!(read(Some("High"), None, None), Importance::High);
        assert_eq!(read(None, Some("1 (Highest)"), None), Importance::High);
        assert_eq!(read(None, Some("5"), None), Importance::Low);
        assert_eq!(read(None, None, Some("non-urgent")), Importance::Low);
        assert_eq!(read(Some("x"), Some("x"), Some("urgent")), Importance::High);
        assert_eq!(
            read(Some("low"), Some("1"), Some("urgent")),
            Importance::Low
        );
        assert_eq!(read(None, None, None), Importance::Normal);
    }

    #[test]
    fn names_fall_back_to_addresses() {
        for name in [None, Some(""), Some("  ")] {
            assert_eq!(EmailAddress::new(name, "a@b").name, "a@b");
        }
    }

    #[test]
    fn enumerations_are_read_in_any_case() {
        for status in [
            FlagStatus::NotFlagged,
            FlagStatus::Complete,
            FlagStatus::Flagged,
        ] {
            let parsed = FlagStatus::parse(&status.name().to_ascii_uppercase());
            assert_eq!(parsed, Some(status));
        }
    }

    #[test]
    fn user_has_what_clients_need_and_more_when_asked() {
        let user = User::new(&account(), &["al@example.test".to_owned()]);
        let told = user.tell(&Select::by_default(Schema::User));
        assert_eq!(told["id"], "00000000-0000-0000-0000-000000000042");
        assert_eq!(told["displayName"], "alice@example.test");
        assert_eq!(told["userPrincipalName"], told["mail"]);
        assert_eq!(told["businessPhones"], json!([]));
        assert_eq!(told["givenName"], Value::Null);
        assert!(told.get("accountEnabled").is_none());
        let more = Select::parse(Schema::User, "accountEnabled,proxyAddresses").unwrap();
        let expected = json!({
            "id": told["id"],
            "accountEnabled": true,
            "proxyAddresses": ["SMTP:alice@example.test", "smtp:al@example.test"],
        });
        assert_eq!(user.tell(&more), expected);
        assert!(!told.to_string().contains("secret"));
    }
}

//! Automatic replies (RFC 3834): "I am away", once to each sender in a week, and never to a list, a
//! machine, or one who was not written to.

use std::collections::BTreeMap;

use rmail_proto::{Address, Entropy, UnixTime, smtp::write_id};
use rmail_store::Account;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        compose::Draft,
        resources::{EmailAddress, Parsed},
        time::parse_time,
    },
    limits,
};

/// The account's document with the settings that [`Settings::parse`] reads.
pub const SETTINGS: &str = "mailboxSettings";

/// The account's document that [`Answered`] is kept in.
pub const ANSWERED: &str = "automaticReplies";

/// When an account answers by itself, and what.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    status: Status,
    external_audience: Audience,
    internal_reply_message: String,
    external_reply_message: String,
    scheduled_start_date_time: When,
    scheduled_end_date_time: When,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Status {
    #[default]
    Disabled,
    AlwaysEnabled,
    Scheduled,
}

/// Who outside of the hosted domains gets an answer. There are no contacts here.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Audience {
    None,
    ContactsOnly,
    #[default]
    All,
}

/// In UTC, as it was saved.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct When {
    date_time: String,
}

impl When {
    fn unix(&self) -> Option<UnixTime> {
        Some(parse_time(&format!("{}Z", self.date_time))?.unix)
    }
}

impl Settings {
    /// From the account's document; what can't be read is disabled.
    pub fn parse(document: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Document {
            automatic_replies_setting: Settings,
        }
        let document: Document = serde_json::from_str(document).unwrap_or_default();
        document.automatic_replies_setting
    }

    /// Whether an answer may be due now or later.
    pub fn is_on(&self) -> bool {
        self.status != Status::Disabled
    }

    /// The text for somebody, if there is one at this time.
    fn message(&self, now: UnixTime, is_internal: bool) -> Option<&str> {
        let is_time = match self.status {
            Status::Disabled => false,
            Status::AlwaysEnabled => true,
            Status::Scheduled => {
                let (start, end) = (
                    self.scheduled_start_date_time.unix(),
                    self.scheduled_end_date_time.unix(),
                );
                start.is_some_and(|start| start <= now) && end.is_some_and(|end| now < end)
            }
        };
        let message = match (is_internal, self.external_audience) {
            (true, _) => &self.internal_reply_message,
            (false, Audience::All) => &self.external_reply_message,
            (false, Audience::None | Audience::ContactsOnly) => return None,
        };
        (is_time && !message.trim().is_empty()).then_some(message.as_str())
    }
}

/// Who was answered, and when, in seconds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Answered(BTreeMap<String, i64>);

impl Answered {
    /// From the account's document; what can't be read is empty.
    pub fn parse(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }

    /// Notes an answer; `false` when there was one lately.
    pub fn note(&mut self, now: UnixTime, sender: &Address) -> bool {
        let oldest = now
            .0
            .saturating_sub(limits::AUTOMATIC_REPLY_PAUSE.as_secs() as i64);
        self.0.retain(|_, at| *at > oldest);
        let key = sender.to_string().to_lowercase();
        // With so many, a new one has to wait: silence is the lesser evil.
        if self.0.contains_key(&key) || self.0.len() >= limits::AUTOMATIC_REPLIES_KEPT {
            return false;
        }
        self.0.insert(key, now.0);
        true
    }

    /// As it is kept.
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// A message that has come for an account.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// What its header says.
    pub header: &'a Parsed,
    /// Its reverse-path.
    pub sender: &'a Address,
    /// Whether that is in a hosted domain.
    pub is_internal: bool,
    /// The account.
    pub account: &'a Account,
    /// Other addresses of the account.
    pub aliases: &'a [Address],
}

impl Incoming<'_> {
    /// The answer's text, if there is to be one.
    pub fn decide<'s>(&self, settings: &'s Settings, now: UnixTime) -> Option<&'s str> {
        let message = settings.message(now, self.is_internal)?;
        let is_for_people = !self.is_automatic() && !is_machine(self.sender) && self.is_addressed();
        is_for_people.then_some(message)
    }

    /// The answer (RFC 3834 §3).
    pub fn answer(&self, message: &str, now: UnixTime, entropy: &mut Entropy) -> Vec<u8> {
        let own = self.account.address.to_string();
        let id = write_id(entropy, now);
        let domain = self.account.address.domain();
        let subject = match self.header.subject.trim() {
            "" => "Automatic reply".to_owned(),
            subject => format!("Automatic reply: {subject}"),
        };
        let mut draft = Draft::automatic_reply(
            EmailAddress::new(Some(&self.account.display_name), &own),
            EmailAddress::new(None, &self.sender.to_string()),
            subject,
            message,
            self.header.message_id.as_deref(),
        );
        draft.date = Some(now);
        draft.message_id = Some(format!("<{id}@{domain}>"));
        draft.write(entropy)
    }

    fn field(&self, name: &str) -> Option<String> {
        let mut headers = self.header.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.trim().to_ascii_lowercase())
    }

    /// Whether a program has written it, or a list hands it on (RFC 3834 §2, RFC 2919, RFC 2369).
    fn is_automatic(&self) -> bool {
        let submitted = self.field("Auto-Submitted");
        let precedence = self.field("Precedence");
        let suppress = self.field("X-Auto-Response-Suppress");
        let is_list = self.header.headers.iter().any(|header| {
            let name = header.name.to_ascii_lowercase();
            name.starts_with("list-")
        });
        submitted.is_some_and(|value| !value.starts_with("no") || value.starts_with("not"))
            || precedence.is_some_and(|value| ["bulk", "list", "junk"].contains(&value.as_str()))
            || suppress.is_some_and(|value| value.contains("oof") || value.contains("all"))
            || is_list
    }

    /// Whether the account is among those whom it was written to: Bcc, and lists, get no answer.
    fn is_addressed(&self) -> bool {
        let own = std::iter::once(&self.account.address).chain(self.aliases);
        let own: Vec<String> = own.map(|own| own.to_string().to_lowercase()).collect();
        let mut written_to = self.header.to.iter().chain(&self.header.cc);
        written_to.any(|to| own.contains(&to.address.to_lowercase()))
    }
}

/// Whether an address is that of a program by custom (RFC 3834 §2).
fn is_machine(sender: &Address) -> bool {
    let name = sender.local_part().to_lowercase();
    name.starts_with("owner-")
        || name.ends_with("-request")
        || name.ends_with("-owner")
        || name.ends_with("-bounces")
        || [
            "mailer-daemon",
            "postmaster",
            "noreply",
            "no-reply",
            "listserv",
            "majordomo",
        ]
        .contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use rmail_proto::AccountId;
    use serde_json::json;

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn account() -> Account {
        Account {
            id: AccountId(1),
            address: Address::parse("alice@example.com").unwrap(),
            guid: 1,
            credential: String::new(),
            generation: 1,
            is_admin: false,
            is_enabled: true,
            display_name: "Alice".to_owned(),
            quota_bytes: 0,
            created_at: UnixTime(0),
            last_login_at: None,
            replies_automatically: true,
            previous_credential: None,
        }
    }

    fn settings(changes: serde_json::Value) -> Settings {
        let mut settings = json!({
            "status": "alwaysEnabled",
            "internalReplyMessage": "within",
            "externalReplyMessage": "without",
        });
        for (name, value) in changes.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let document = json!({"timeZone": "UTC", "automaticRepliesSetting": settings});
        Settings::parse(&document.to_string())
    }

    fn decide(settings: &Settings, header: &str, sender: &str) -> Option<String> {
        let parsed = Parsed::parse(format!("{header}\r\n\r\n").as_bytes());
        let sender = Address::parse(sender).unwrap();
        let account = account();
        let incoming = Incoming {
            header: &parsed,
            sender: &sender,
            is_internal: sender.domain().as_str() == "example.com",
            account: &account,
            aliases: &[Address::parse("info@example.com").unwrap()],
        };
        incoming.decide(settings, NOW).map(str::to_owned)
    }

    #[test]
    fn people_are_answered_by_where_they_are() {
        let on = settings(json!({}));
        let header = "To: Alice <ALICE@example.com>";
        let answer = |sender| decide(&on, header, sender);
        assert_eq!(answer("bob@example.com").as_deref(), Some("within"));
        assert_eq!(answer("bob@example.net").as_deref(), Some("without"));
        let alias = decide(&on, "Cc: info@example.com", "bob@example.net");
        assert_eq!(alias.as_deref(), Some("without"));
        for audience in ["none", "contactsOnly"] {
            let settings = settings(json!({"externalAudience": audience}));
            assert_eq!(decide(&settings, header, "bob@example.net"), None);
            assert!(decide(&settings, header, "bob@example.com").is_some());
        }
    }

    #[test]
    fn lists_machines_and_those_who_wrote_to_somebody_else_are_not() {
        let on = settings(json!({}));
        let to = "To: alice@example.com\r\n";
        for field in [
            "Auto-Submitted: auto-replied",
            "Auto-Submitted: auto-generated (bounce)",
            "Precedence: Bulk",
            "Precedence: list",
            "List-Id: <x.example.net>",
            "List-Unsubscribe: <mailto:x@example.net>",
            "X-Auto-Response-Suppress: OOF, AutoReply",
        ] {
            let answer = decide(&on, &format!("{to}{field}"), "bob@example.net");
            assert_eq!(answer, None, "{field}");
        }
        let by_hand = decide(&on, &format!("{to}Auto-Submitted: no"), "bob@example.net");
        assert!(by_hand.is_some());
        for sender in ["owner-x@a.test", "x-request@a.test", "MAILER-DAEMON@a.test"] {
            assert_eq!(decide(&on, to.trim(), sender), None, "{sender}");
        }
        assert_eq!(decide(&on, "To: bob@example.com", "bob@example.net"), None);
        assert_eq!(decide(&on, "Subject: x", "bob@example.net"), None);
    }

    #[test]
    fn schedule_holds_from_its_start_until_its_end() {
        let at = |seconds: i64| {
            let time = crate::api::time::write_local_time(UnixTime(NOW.0 + seconds));
            json!({"dateTime": time, "timeZone": "UTC"})
        };
        let scheduled = |start, end| {
            settings(json!({
                "status": "scheduled",
                "scheduledStartDateTime": at(start),
                "scheduledEndDateTime": at(end),
            }))
        };
        let answer = |settings| decide(&settings, "To: alice@example.com", "b@example.net");
        assert!(answer(scheduled(0, 1)).is_some());
        assert!(answer(scheduled(1, 2)).is_none());
        assert!(answer(scheduled(-2, 0)).is_none());
        assert!(answer(settings(json!({"status": "disabled"}))).is_none());
        assert!(answer(Settings::parse("nonsense")).is_none());
    }

    #[test]
    fn one_answer_a_week_and_a_bound_on_memory() {
        let mut answered = Answered::default();
        let bob = Address::parse("Bob@example.net").unwrap();
        assert!(answered.note(NOW, &bob));
        let again = Address::parse("bob@example.net").unwrap();
        let week = limits::AUTOMATIC_REPLY_PAUSE.as_secs() as i64;
        assert!(!answered.note(UnixTime(NOW.0 + week - 1), &again));
        let mut answered = Answered::parse(&answered.write());
        assert!(answered.note(UnixTime(NOW.0 + week), &again));
        for number in 0..2 * limits::AUTOMATIC_REPLIES_KEPT {
            let other = Address::parse(&format!("b{number}@example.net")).unwrap();
            answered.note(UnixTime(NOW.0 + week), &other);
        }
        assert_eq!(answered.0.len(), limits::AUTOMATIC_REPLIES_KEPT);
    }

    #[test]
    fn answer_says_that_it_is_one_and_to_what() {
        let parsed = Parsed::parse(b"Subject: Hi\r\nMessage-ID: <1@x.test>\r\n\r\n");
        let sender = Address::parse("bob@example.net").unwrap();
        let account = account();
        let incoming = Incoming {
            header: &parsed,
            sender: &sender,
            is_internal: false,
            account: &account,
            aliases: &[],
        };
        for (message, is_html) in [("I am away.", false), ("<p>I am <b>away</b>.</p>", true)] {
            let mime = incoming.answer(message, NOW, &mut Entropy::new(1));
            let answer = Parsed::parse(&mime);
            let field = |name: &str| {
                let found = answer.headers.iter().find(|header| header.name == name);
                found.map(|header| header.value.clone()).unwrap_or_default()
            };
            assert_eq!(answer.subject, "Automatic reply: Hi");
            assert_eq!(field("Auto-Submitted"), "auto-replied");
            assert_eq!(field("In-Reply-To"), "<1@x.test>");
            assert_eq!(field("References"), "<1@x.test>");
            assert_eq!(answer.to[0].address, "bob@example.net");
            assert_eq!(answer.from[0].address, "alice@example.com");
            assert_eq!(answer.html.is_some(), is_html);
            assert!(answer.text.unwrap().contains("away"));
        }
    }
}

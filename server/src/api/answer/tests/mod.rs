//! What the endpoints for messages promise, over a real store in a temporary folder.

mod attachments;
mod delta;
mod drafts;
mod lists;
mod messages;
mod others;
mod pages;
mod sending;
mod uploads;

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rmail_proto::{
    Address, DateTime, Flags, Now, Secret, SystemFlags, UnixTime,
    http::{self, Body, Host, Method, Request, RequestField, RequestId, Target},
};
use rmail_store::{
    DirectoryWrite, MailboxRef, NewAccount, QueueFilter, QueuedMessage, RealFiles, SqliteStore,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    api::{
        exchange::Origin,
        service::{Admitted, ApiKeys},
        token::Subject,
    },
    config::Config,
    outside::webhooks::{PostAnswer, PostError, Posting},
    session::SessionId,
};

const START: UnixTime = UnixTime(1_700_000_000);
const ALICE: &str = "alice@example.com";

/// No test here subscribes to anything.
struct Nowhere;

impl Post for Nowhere {
    fn post(&self, _: &Posting<'_>) -> Result<PostAnswer, PostError> {
        unreachable!("nobody subscribes")
    }
}

/// A server with the accounts alice and bob.
struct Site {
    store: SqliteStore,
    service: Service,
    requests: std::cell::Cell<u64>,
    _folder: TempDir,
}

/// An answer.
#[derive(Debug)]
struct Told {
    status: u16,
    fields: Vec<(String, String)>,
    content: Bytes,
    touched: Touched,
}

impl Told {
    /// Its JSON, when the status is this one.
    fn json(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.content);
        assert_eq!(self.status, status, "{text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Graph's error code, when the status is this one.
    fn code(&self, status: u16) -> String {
        let code = &self.json(status)["error"]["code"];
        code.as_str().expect("an error has a code").to_owned()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Site {
    fn new() -> Self {
        Self::with(json!({}))
    }

    /// With more settings.
    fn with(mut settings: Value) -> Self {
        let folder = TempDir::new().unwrap();
        settings["domains"] = json!(["example.com"]);
        settings["hostname"] = json!("mail.example.com");
        let (config, _) = Config::load(&settings.to_string(), folder.path()).unwrap();
        let store = SqliteStore::open(folder.path(), Arc::new(RealFiles), None, 1).unwrap();
        for (guid, name) in [(1, "alice"), (2, "bob")] {
            let account = NewAccount {
                address: Address::parse(&format!("{name}@example.com")).unwrap(),
                guid,
                credential: String::new(),
                is_admin: false,
            };
            let batch = vec![DirectoryWrite::CreateAccount(account)];
            let made = store.write_directory(START, batch).unwrap();
            assert!(made[0].is_ok());
        }
        let keys = ApiKeys {
            token_secret: Secret::new("a secret of thirty-two bytes or so".to_owned()),
            process: Secret::new([7; 32]),
        };
        Self {
            store,
            service: Service::new(Arc::new(config), keys),
            requests: std::cell::Cell::new(0),
            _folder: folder,
        }
    }

    fn account(&self, address: &str) -> rmail_store::Account {
        let address = Address::parse(address).unwrap();
        let found = self.store.account_by_address(&address).unwrap();
        found.expect("it was made")
    }

    /// A request of somebody; `None`: without a token.
    fn call_as(
        &self,
        who: Option<&str>,
        method: Method,
        target: &str,
        fields: &[(&str, &str)],
        content: &[u8],
    ) -> Told {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let now = Now {
            unix: UnixTime(START.0 + i64::try_from(number).unwrap()),
            ..Now::default()
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let field = |(name, value): &(&str, &str)| RequestField {
            name: (*name).to_owned(),
            value: value.as_bytes().to_vec(),
        };
        let request = Request {
            id: RequestId(u128::from(number)),
            client_request_id: None,
            method,
            target: Target {
                path: path.to_owned(),
                query,
            },
            host: Host::parse(b"localhost"),
            authorization: who.map(|who| Secret::new(format!("Bearer {}", self.token(who, now)))),
            fields: fields.iter().map(field).collect(),
            content: http::Content::Length(content.len() as u64),
        };
        let origin = Origin {
            session: SessionId(1),
            peer: IpAddr::from([127, 0, 0, 1]),
            local: IpAddr::from([127, 0, 0, 1]),
            is_tls: true,
        };
        let answer = match self.service.admit(now, origin, &request, number) {
            Admitted::Refused(response) => Answer {
                response: *response,
                stored: None,
                touched: Touched::default(),
            },
            Admitted::Wanted { exchange, .. } => {
                let content = Bytes::copy_from_slice(content);
                let by = |service: &Service| {
                    let answer = answer(&self.store, service, &Nowhere, &exchange, &content);
                    answer.expect("nobody is busy")
                };
                if exchange.matched.route.name == RouteName::ListMessages {
                    self.assert_same(by(&self.service), by(&self.forgetful()), target);
                }
                by(&self.service)
            }
        };
        self.told(answer)
    }

    /// The same API, which has told nothing yet.
    fn forgetful(&self) -> Service {
        self.service.with_config(Arc::clone(&self.service.config))
    }

    fn assert_same(&self, remembered: Answer, fresh: Answer, target: &str) {
        let (remembered, fresh) = (self.told(remembered), self.told(fresh));
        let told = |told: &Told| {
            let content = String::from_utf8_lossy(&told.content).into_owned();
            (told.status, told.fields.clone(), content)
        };
        assert_eq!(told(&remembered), told(&fresh), "{target}");
    }

    fn token(&self, who: &str, now: Now) -> String {
        let account = self.account(who);
        let subject = Subject {
            address: account.address,
            guid: account.guid,
            generation: account.generation,
            is_admin: account.is_admin,
        };
        let token = self.service.tokens.issue(now.unix, &subject, 1);
        token.reveal().clone()
    }

    fn told(&self, answer: Answer) -> Told {
        let response = answer.response;
        let content = match (answer.stored, response.body()) {
            (Some(stored), _) => {
                let size = usize::try_from(stored.size_bytes).unwrap();
                let read = (self.store).read(stored.account, stored.mailbox, stored.uid, 0, size);
                read.unwrap().expect("it is there")
            }
            (None, Body::Bytes(bytes)) => bytes.clone(),
            (None, _) => Bytes::new(),
        };
        let fields = response.fields().iter();
        let fields =
            fields.map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()));
        Told {
            status: response.status().code(),
            fields: fields.collect(),
            content,
            touched: answer.touched,
        }
    }

    fn get(&self, target: &str) -> Told {
        self.call_as(Some(ALICE), Method::Get, target, &[], b"")
    }

    fn get_with(&self, target: &str, field: (&str, &str)) -> Told {
        self.call_as(Some(ALICE), Method::Get, target, &[field], b"")
    }

    fn delete(&self, target: &str) -> Told {
        self.call_as(Some(ALICE), Method::Delete, target, &[], b"")
    }

    fn post(&self, target: &str, body: Value) -> Told {
        self.post_as(ALICE, target, body)
    }

    fn post_as(&self, who: &str, target: &str, body: Value) -> Told {
        let body = body.to_string();
        self.call_as(Some(who), Method::Post, target, &[], body.as_bytes())
    }

    fn post_mime(&self, target: &str, mime: &str) -> Told {
        let fields = [("content-type", "text/plain")];
        let body = BASE64_STANDARD.encode(mime);
        self.call_as(Some(ALICE), Method::Post, target, &fields, body.as_bytes())
    }

    fn patch(&self, target: &str, body: Value) -> Told {
        self.patch_with(target, &[], body)
    }

    fn patch_with(&self, target: &str, fields: &[(&str, &str)], body: Value) -> Told {
        let body = body.to_string();
        self.call_as(Some(ALICE), Method::Patch, target, fields, body.as_bytes())
    }

    fn set_quota(&self, address: &str, bytes: u64) {
        let update = rmail_store::AccountUpdate {
            quota_bytes: Some(bytes),
            ..Default::default()
        };
        let account = self.account(address).id;
        let batch = vec![DirectoryWrite::UpdateAccount { account, update }];
        assert!(self.store.write_directory(START, batch).unwrap()[0].is_ok());
    }

    /// Saves a message as IMAP does; its id.
    fn save(&self, folder: &str, flags: SystemFlags, mime: &str) -> String {
        self.save_at(folder, flags, mime, START)
    }

    fn save_at(&self, folder: &str, flags: SystemFlags, mime: &str, at: UnixTime) -> String {
        self.save_bytes(folder, flags, mime.as_bytes(), at)
    }

    fn save_bytes(&self, folder: &str, flags: SystemFlags, mime: &[u8], at: UnixTime) -> String {
        let mut scanner = rmail_proto::mime::Scanner::new();
        scanner.handle_input(mime);
        let message = rmail_store::NewMessage {
            content: rmail_store::Content::Inline(Bytes::copy_from_slice(mime)),
            summary: Arc::new(scanner.finish()),
            flags: Flags::system(flags),
            internal_date: DateTime::utc(at),
        };
        let batch = vec![rmail_store::AccountWrite::Save {
            mailbox: MailboxRef::Name(folder.to_owned()),
            messages: vec![message],
        }];
        let account = self.account(ALICE).id;
        let written = self.store.write_account(at, account, batch, &[]).unwrap();
        match &written.results[0] {
            Ok(rmail_store::AccountWritten::Saved { instances, .. }) => instances[0].to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The subjects of a list.
    fn subjects(&self, target: &str) -> Vec<String> {
        subjects(&self.get(target).json(200))
    }

    fn queue(&self) -> Vec<QueuedMessage> {
        let queue = self
            .store
            .queue(&QueueFilter::default(), None, 100)
            .unwrap();
        let entry = |name: String| self.store.queued(&name).unwrap().expect("it is there");
        queue.into_iter().map(|it| entry(it.envelope_id)).collect()
    }

    /// What is in the queue, as it goes out.
    fn queued_content(&self, entry: &QueuedMessage) -> String {
        let size = usize::try_from(entry.summary.size_bytes).unwrap();
        let read = self.store.read_spooled(entry.summary.id, 0, size);
        String::from_utf8(read.unwrap().expect("it is there").to_vec()).unwrap()
    }
}

fn subjects(list: &Value) -> Vec<String> {
    let messages = list["value"].as_array().expect("a list has a value");
    let subject = |message: &Value| message["subject"].as_str().unwrap_or_default().to_owned();
    messages.iter().map(subject).collect()
}

fn id(told: &Value) -> String {
    told["id"].as_str().expect("it has an id").to_owned()
}

fn recipient(address: &str) -> Value {
    json!({"emailAddress": {"address": address}})
}

/// A message from bob.
fn mail(subject: &str, rest: &str) -> String {
    format!(
        "From: Bob <bob@example.com>\r\nTo: alice@example.com\r\nSubject: {subject}\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <{subject}@example.com>\r\n{rest}"
    )
}

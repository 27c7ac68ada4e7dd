//! What the endpoints promise, on a store in a temporary folder.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use rmail_proto::{
    Address, Instant, Now, Secret, UnixTime,
    http::{Body, Method, RequestId, Status},
};
use rmail_store::{DirectoryWrite, NewAccount, RealFiles, SqliteStore, Store};
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Answer, answer},
        exchange::{ContentKind, Exchange},
        odata::Options,
        prefer::Preferences,
        service::{ApiKeys, Service},
        subscriptions::search,
        time::write_time,
        token::{Claims, Subject},
    },
    config::Config,
    outside::webhooks::{Post, PostAnswer, PostError, Posting, Purpose},
    session::SessionId,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOOK: &str = "https://hooks.example/hook";

/// How the target answers.
type PlainBehaviour = fn(&str) -> Result<PostAnswer, PostError>;
type Behaviour = Box<dyn Fn(&str) -> Result<PostAnswer, PostError> + Send>;

struct World {
    store: SqliteStore,
    service: Service,
    target: Target,
    requests: Cell<u64>,
    _folder: tempfile::TempDir,
}

struct Target {
    behaviour: Mutex<Behaviour>,
    asked: AtomicUsize,
}

impl Post for Target {
    fn post(&self, posting: &Posting<'_>) -> Result<PostAnswer, PostError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(posting.purpose, Purpose::Handshake);
        assert_eq!(posting.content, b"");
        assert_eq!(posting.content_type, "text/plain; charset=utf-8");
        let (_, token) = posting.target.url().split_once("validationToken=").unwrap();
        let token = percent_encoding::percent_decode_str(token).decode_utf8();
        (self.behaviour.lock().unwrap())(&token.unwrap())
    }
}

fn repeat(token: &str) -> Result<PostAnswer, PostError> {
    Ok(PostAnswer {
        status: 200,
        content_type: Some("Text/Plain; charset=utf-8".to_owned()),
        content: token.as_bytes().to_vec(),
    })
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"domains": ["example.com"], "hostname": "mail.example.com",
            "exchange_api": {"limits": {"subscriptions_per_mailbox": 3}}}"#;
        let (config, _warnings) = Config::load(text, folder.path()).unwrap();
        let store = SqliteStore::open(&config.mail_root, Arc::new(RealFiles), None, 1).unwrap();
        for (guid, name) in [(1, "ann@example.com"), (2, "bob@example.com")] {
            let account = NewAccount {
                address: Address::parse(name).unwrap(),
                guid,
                credential: String::new(),
                is_admin: false,
            };
            let write = DirectoryWrite::CreateAccount(account);
            store.write_directory(NOW, vec![write]).unwrap();
        }
        let keys = ApiKeys {
            token_secret: Secret::new("a secret of at least 32 bytes, truly".to_owned()),
            process: Secret::new([2; 32]),
        };
        Self {
            store,
            service: Service::new(Arc::new(config), keys),
            target: Target {
                behaviour: Mutex::new(Box::new(repeat)),
                asked: AtomicUsize::new(0),
            },
            requests: Cell::new(0),
            _folder: folder,
        }
    }

    fn ask_as(&self, user: &str, method: Method, path: &str, body: &Value) -> (Status, Value) {
        let answer = self.answer_as(user, method, path, body);
        let Body::Bytes(content) = answer.response.body() else {
            return (answer.response.status(), Value::Null);
        };
        let told = serde_json::from_slice(content).unwrap();
        (answer.response.status(), told)
    }

    fn answer_as(&self, user: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.requests.set(self.requests.get() + 1);
        let address = Address::parse(user).unwrap();
        let account = self.store.account_by_address(&address).unwrap().unwrap();
        let claims = Claims {
            subject: Subject {
                address,
                guid: account.guid,
                generation: account.generation,
                is_admin: false,
            },
            id: 7,
            expires_at: UnixTime(NOW.0 + 3600),
            authenticated_at: NOW,
        };
        let exchange = Exchange {
            session: SessionId(1),
            id: RequestId(1),
            client_id: None,
            method,
            matched: self.service.find(method, path).unwrap(),
            path: path.to_owned(),
            query: String::new(),
            options: Options::default(),
            host: None,
            base: "https://mail.example.com".to_owned(),
            claims: Some(claims),
            preferences: Preferences::parse(std::iter::empty()),
            if_match: None,
            if_none_match: None,
            content_range: None,
            content_kind: ContentKind::Json,
            client: [127, 0, 0, 1].into(),
            takes_passwords: true,
            allow_origin: None,
            now: Now {
                at: Instant::default(),
                unix: NOW,
            },
            seed: self.requests.get(),
        };
        let content = match body {
            Value::Null => Bytes::new(),
            body => body.to_string().into(),
        };
        answer(
            &self.store,
            &self.service,
            &self.target,
            &exchange,
            &content,
        )
        .unwrap()
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> (Status, Value) {
        self.ask_as("ann@example.com", method, path, body)
    }

    fn create(&self, body: &Value) -> (Status, Value) {
        self.ask(Method::Post, "/v1.0/subscriptions", body)
    }

    fn set_behaviour(
        &self,
        behaviour: impl Fn(&str) -> Result<PostAnswer, PostError> + Send + 'static,
    ) {
        *self.target.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    fn asked(&self) -> usize {
        self.target.asked.load(Ordering::Relaxed)
    }
}

fn wanted() -> Value {
    json!({
        "changeType": "created,updated",
        "notificationUrl": HOOK,
        "resource": "me/mailFolders('inbox')/messages",
        "expirationDateTime": "2027-01-15T09:00:00.0000000Z",
        "clientState": "mine",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut body = wanted();
    body[name] = value;
    body
}

fn code(told: &Value) -> &str {
    told["error"]["code"].as_str().unwrap()
}

fn path_of(told: &Value) -> String {
    format!("/v1.0/subscriptions/{}", told["id"].as_str().unwrap())
}

#[test]
fn subscription_is_made_shown_listed_renewed_and_deleted() {
    let world = World::new();
    let (status, made) = world.create(&wanted());
    assert_eq!(status, Status::CREATED, "{made}");
    let expected = json!({
        "@odata.context": "https://mail.example.com/v1.0/$metadata#subscriptions/$entity",
        "id": made["id"],
        "resource": "me/mailFolders('inbox')/messages",
        "applicationId": null,
        "changeType": "created,updated",
        "clientState": "mine",
        "notificationUrl": HOOK,
        "lifecycleNotificationUrl": null,
        "expirationDateTime": "2027-01-15T09:00:00Z",
        "creatorId": "00000000-0000-0000-0000-000000000001",
        "latestSupportedTlsVersion": "v1_2",
    });
    assert_eq!(made, expected);
    let path = path_of(&made);
    assert_eq!(
        world.ask(Method::Get, &path, &Value::Null),
        (Status::OK, made.clone())
    );
    let (status, listed) = world.ask(Method::Get, "/v1.0/subscriptions", &Value::Null);
    assert_eq!(
        (status, listed["value"][0]["id"].clone()),
        (Status::OK, made["id"].clone())
    );
    let renewal = json!({"expirationDateTime": "2027-01-16T09:00:00Z"});
    let (status, renewed) = world.ask(Method::Patch, &path, &renewal);
    assert_eq!(status, Status::OK, "{renewed}");
    assert_eq!(renewed["expirationDateTime"], "2027-01-16T09:00:00Z");
    assert_eq!(world.asked(), 1, "a renewal needs no handshake");
    let (status, _) = world.ask(Method::Delete, &path, &Value::Null);
    assert_eq!(status, Status::NO_CONTENT);
    let (status, told) = world.ask(Method::Get, &path, &Value::Null);
    assert_eq!(
        (status, code(&told)),
        (Status::NOT_FOUND, "ResourceNotFound")
    );
}

#[test]
fn subscription_to_a_folder_that_is_gone_is_gone_while_that_is_told() {
    let world = World::new();
    let (_, folder) = world.ask(
        Method::Post,
        "/v1.0/me/mailFolders",
        &json!({"displayName": "Short"}),
    );
    let folder = format!("me/mailFolders/{}", folder["id"].as_str().unwrap());
    let mut body = with("resource", json!(format!("{folder}/messages")));
    body["lifecycleNotificationUrl"] = json!(HOOK);
    let (_, made) = world.create(&body);
    let path = format!("/v1.0/{folder}/permanentDelete");
    let (status, _) = world.ask(Method::Post, &path, &Value::Null);
    assert_eq!(status, Status::NO_CONTENT);
    let ann = Address::parse("ann@example.com").unwrap();
    let account = world.store.account_by_address(&ann).unwrap().unwrap().id;
    let news = search::news(&world.store, NOW, account, &BTreeSet::new());
    assert_eq!(news.unwrap()[0].events.len(), 1);
    let waiting = search::subscribers(&world.store, NOW).unwrap();
    assert_eq!(waiting.all.len(), 1);
    let (_, listed) = world.ask(Method::Get, "/v1.0/subscriptions", &Value::Null);
    assert_eq!(listed["value"], json!([]));
    let renewal = json!({"expirationDateTime": "2027-01-16T09:00:00Z"});
    for (method, body) in [
        (Method::Get, Value::Null),
        (Method::Patch, renewal),
        (Method::Delete, Value::Null),
    ] {
        let (status, _) = world.ask(method, &path_of(&made), &body);
        assert_eq!(status, Status::NOT_FOUND, "{method:?}");
    }
}

#[test]
fn those_who_wait_are_told_that_subscriptions_have_changed() {
    let world = World::new();
    let path = "/v1.0/subscriptions";
    let answer = world.answer_as("ann@example.com", Method::Post, path, &wanted());
    assert!(answer.touched.subscriptions && !answer.touched.directory);
}

#[test]
fn resources_are_messages_of_the_own_mailbox() {
    let world = World::new();
    let me = "00000000-0000-0000-0000-000000000001";
    for (resource, status, expected) in [
        ("me/messages", 201, ""),
        ("/me/mailFolders/SentItems/messages", 201, ""),
        (
            &format!("users/{me}/mailFolders('Inbox')/messages"),
            201,
            "",
        ),
        ("me/events", 400, "InvalidRequest"),
        ("me/messages/x", 400, "InvalidRequest"),
        ("me/mailFolders", 400, "InvalidRequest"),
        ("me/messages?$filter=isRead eq false", 400, "InvalidRequest"),
        ("", 400, "ErrorRequiredPropertyMissing"),
        ("users/bob@example.com/messages", 403, "ErrorAccessDenied"),
        (
            "users/nobody@example.com/messages",
            403,
            "ErrorAccessDenied",
        ),
        (
            "me/mailFolders('nothing')/messages",
            404,
            "ErrorItemNotFound",
        ),
    ] {
        let (told_status, told) = world.create(&with("resource", json!(resource)));
        assert_eq!(told_status.code(), status, "{resource}: {told}");
        if status != 201 {
            assert_eq!(code(&told), expected, "{resource}");
        }
    }
}

#[test]
fn what_is_missing_or_wrong_is_refused_before_anybody_is_asked() {
    let world = World::new();
    for name in [
        "changeType",
        "notificationUrl",
        "resource",
        "expirationDateTime",
    ] {
        let (status, told) = world.create(&with(name, Value::Null));
        let expected = (Status::BAD_REQUEST, "ErrorRequiredPropertyMissing");
        assert_eq!((status, code(&told)), expected, "{name}");
    }
    let past = write_time(NOW);
    let too_late = write_time(UnixTime(NOW.0 + 10_080 * 60 + 1));
    for (name, value) in [
        ("changeType", json!("created,moved")),
        ("changeType", json!(["created"])),
        ("expirationDateTime", json!("tomorrow")),
        ("expirationDateTime", json!(past)),
        ("expirationDateTime", json!(too_late)),
        ("clientState", json!("x".repeat(129))),
        ("includeResourceData", json!(true)),
        ("notificationUrl", json!("http://hooks.example/")),
        ("notificationUrl", json!("https://127.0.0.1/")),
        (
            "notificationUrl",
            json!("https://169.254.169.254/latest/meta-data"),
        ),
        ("notificationUrl", json!("https://[::ffff:10.0.0.1]/")),
        ("notificationUrl", json!("https://hooks.example:25/")),
        ("notificationUrl", json!("https://ann@hooks.example/")),
        ("lifecycleNotificationUrl", json!("https://10.0.0.1/")),
    ] {
        let (status, told) = world.create(&with(name, value.clone()));
        assert_eq!(status, Status::BAD_REQUEST, "{name} {value}: {told}");
    }
    assert_eq!(world.asked(), 0);
    let latest = write_time(UnixTime(NOW.0 + 10_080 * 60));
    let (status, told) = world.create(&with("expirationDateTime", json!(latest)));
    assert_eq!(status, Status::CREATED, "{told}");
}

#[test]
fn target_that_does_not_repeat_the_token_is_refused() {
    let world = World::new();
    let answers: [PlainBehaviour; 6] = [
        |token| repeat(&format!("{token}\n")),
        |_| repeat(""),
        |token| {
            repeat(token).map(|answer| PostAnswer {
                status: 202,
                ..answer
            })
        },
        |token| {
            repeat(token).map(|answer| PostAnswer {
                status: 302,
                ..answer
            })
        },
        |token| {
            let content_type = Some("text/html".to_owned());
            repeat(token).map(|answer| PostAnswer {
                content_type,
                ..answer
            })
        },
        |_| Err(PostError::NotPublic),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        world.set_behaviour(answer);
        let (status, told) = world.create(&wanted());
        let expected = (Status::BAD_REQUEST, "ValidationError");
        assert_eq!((status, code(&told)), expected, "{index}");
    }
    let (_, listed) = world.ask(Method::Get, "/v1.0/subscriptions", &Value::Null);
    assert_eq!(listed["value"], json!([]));
}

#[test]
fn what_is_wrong_with_a_target_is_not_told_in_detail() {
    let world = World::new();
    world.set_behaviour(|_| {
        Err(PostError::Failed(
            "connection refused by 8.8.8.8".to_owned(),
        ))
    });
    let (status, told) = world.create(&wanted());
    assert_eq!(status, Status::BAD_REQUEST);
    assert!(!told.to_string().contains("connection"), "{told}");
}

#[test]
fn too_many_handshakes_are_put_off() {
    let world = World::new();
    world.set_behaviour(|_| Err(PostError::Busy));
    let (status, _) = world.create(&wanted());
    assert_eq!(status, Status::SERVICE_UNAVAILABLE);
}

#[test]
fn new_target_is_asked_before_it_counts() {
    let world = World::new();
    let (_, made) = world.create(&wanted());
    let path = path_of(&made);
    let elsewhere = json!({"notificationUrl": "https://elsewhere.example/"});
    world.set_behaviour(|_| repeat(""));
    let (status, _) = world.ask(Method::Patch, &path, &elsewhere);
    assert_eq!(status, Status::BAD_REQUEST);
    let (_, told) = world.ask(Method::Get, &path, &Value::Null);
    assert_eq!(told["notificationUrl"], HOOK);
    world.set_behaviour(repeat);
    let (status, told) = world.ask(Method::Patch, &path, &elsewhere);
    assert_eq!(status, Status::OK);
    assert_eq!(told["notificationUrl"], "https://elsewhere.example/");
    assert_eq!(told["expirationDateTime"], made["expirationDateTime"]);
}

#[test]
fn both_targets_are_asked_when_they_differ() {
    let world = World::new();
    let (status, _) = world.create(&with("lifecycleNotificationUrl", json!(HOOK)));
    assert_eq!((status, world.asked()), (Status::CREATED, 1));
    let life = json!("https://hooks.example/life");
    let (status, told) = world.create(&with("lifecycleNotificationUrl", life.clone()));
    assert_eq!((status, world.asked()), (Status::CREATED, 3));
    assert_eq!(told["lifecycleNotificationUrl"], life);
}

#[test]
fn a_mailbox_has_so_many_subscriptions_and_no_more() {
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.create(&wanted()).0, Status::CREATED);
    }
    let (status, told) = world.create(&wanted());
    assert_eq!(
        (status, code(&told)),
        (Status::FORBIDDEN, "ErrorAccessDenied")
    );
    assert_eq!(world.asked(), 3);
    let bob = "bob@example.com";
    let (status, _) = world.ask_as(bob, Method::Post, "/v1.0/subscriptions", &wanted());
    assert_eq!(status, Status::CREATED);
}

#[test]
fn subscriptions_of_others_are_not_there() {
    let world = World::new();
    let (_, made) = world.create(&wanted());
    let (path, bob) = (path_of(&made), "bob@example.com");
    for (method, body) in [
        (Method::Get, Value::Null),
        (
            Method::Patch,
            json!({"expirationDateTime": "2027-01-16T09:00:00Z"}),
        ),
        (Method::Delete, Value::Null),
    ] {
        let (status, told) = world.ask_as(bob, method, &path, &body);
        assert_eq!(
            (status, code(&told)),
            (Status::NOT_FOUND, "ResourceNotFound")
        );
    }
    let (_, listed) = world.ask_as(bob, Method::Get, "/v1.0/subscriptions", &Value::Null);
    assert_eq!(listed["value"], json!([]));
    for id in ["x", "00000000-0000-0000-0000-000000000009", "%00"] {
        let path = format!("/v1.0/subscriptions/{id}");
        if world.service.find(Method::Get, &path).is_ok() {
            assert_eq!(
                world.ask(Method::Get, &path, &Value::Null).0,
                Status::NOT_FOUND
            );
        }
    }
}

#[test]
fn a_batch_asks_one_target() {
    let world = World::new();
    let request = |id: &str| {
        json!({"id": id, "method": "POST", "url": "/subscriptions", "body": wanted(),
            "headers": {"Content-Type": "application/json"}})
    };
    let batch = json!({"requests": [request("1"), request("2")]});
    let (status, told) = world.ask(Method::Post, "/v1.0/$batch", &batch);
    assert_eq!(status, Status::OK);
    let statuses: Vec<_> = told["responses"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&statuses[0]["status"], &statuses[1]["status"]),
        (&json!(201), &json!(429))
    );
    assert_eq!(world.asked(), 1);
}

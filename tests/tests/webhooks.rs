//! Change notifications of both daemons, with a receiver on this machine.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rmail_proto::{DateTime, UnixTime};
use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port},
    lines::Lines,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Between a change and its notification.
const PROMISED: Duration = Duration::from_secs(5);

rmail_tests::promises! {
    changes_by_smtp_imap_and_http_are_told_within_seconds,
    of_two_daemons_on_one_mail_root_one_tells,
    what_is_not_taken_is_told_again,
    what_waits_when_the_daemon_is_killed_is_told_by_the_next,
    what_waits_when_a_daemon_is_killed_is_told_by_the_other,
    redirects_are_not_followed,
    targets_that_are_not_public_are_refused_and_not_touched,
    slow_target_holds_up_no_shutdown,
}

/// A receiver of notifications.
struct Receiver {
    address: SocketAddr,
    heard: mpsc::Receiver<Value>,
    connections: Arc<AtomicUsize>,
    behaviour: Arc<Behaviour>,
}

/// How it answers notifications; handshakes are always well.
struct Behaviour {
    status: AtomicU16,
    /// Where it redirects to.
    location: String,
}

/// The status that stands for no answer at all.
const NEVER: u16 = 0;

impl Receiver {
    fn start(location: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (sender, heard) = mpsc::channel();
        let receiver = Self {
            address: listener.local_addr().expect("it is bound"),
            heard,
            connections: Arc::default(),
            behaviour: Arc::new(Behaviour {
                status: AtomicU16::new(202),
                location: location.to_owned(),
            }),
        };
        let connections = Arc::clone(&receiver.connections);
        let behaviour = Arc::clone(&receiver.behaviour);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (behaviour, sender) = (Arc::clone(&behaviour), sender.clone());
                thread::spawn(move || serve(stream, &behaviour, &sender));
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn answer(&self, status: u16) {
        self.behaviour.status.store(status, Ordering::SeqCst);
    }

    /// The next notification, which must come within this time.
    fn next_within(&self, time: Duration) -> Value {
        let heard = self.heard.recv_timeout(time);
        heard.expect("a notification comes in time")
    }

    /// Kind and id of the next change, which must be told as promised.
    fn next_change(&self) -> (String, String) {
        let content = self.next_within(PROMISED);
        let [notification] = content["value"].as_array().expect("a list").as_slice() else {
            panic!("one change was made: {content}");
        };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        assert_eq!(notification["clientState"], "mine");
        (
            text(&notification["changeType"]),
            text(&notification["resourceData"]["id"]),
        )
    }
}

/// One request.
fn serve(mut stream: TcpStream, behaviour: &Behaviour, heard: &mpsc::Sender<Value>) {
    let Some((target, content)) = read_request(&mut stream) else {
        return;
    };
    if let Some((_, token)) = target.split_once("validationToken=") {
        let length = token.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{token}"
        );
        stream.write_all(answer.as_bytes()).ok();
        return;
    }
    let content = serde_json::from_str(&content).expect("notifications are JSON");
    let status = behaviour.status.load(Ordering::SeqCst);
    // A test that has heard enough has gone.
    heard.send(content).ok();
    if status == NEVER {
        // Until the other side leaves.
        stream.read_to_end(&mut Vec::new()).ok();
        return;
    }
    let location = &behaviour.location;
    let answer =
        format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok();
}

/// Its target and its content.
fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let text = read_message(stream)?;
    let (head, content) = text.split_once("\r\n\r\n")?;
    let target = head.split(' ').nth(1)?.to_owned();
    Some((target, content.to_owned()))
}

/// A head and as much content as its length says.
fn read_message(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, content)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse::<usize>().ok())?
        });
        if content.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}

/// A client of the API that is logged in.
struct Client {
    address: SocketAddr,
    token: String,
}

impl Client {
    fn log_in(daemon: &Daemon) -> Self {
        let mut client = Self {
            address: daemon.address(Port::Http),
            token: String::new(),
        };
        let login = json!({"username": ALICE, "password": PASSWORD});
        let (status, told) = client.ask("POST", "/auth/login", &login);
        assert_eq!(status, 200, "{told}");
        client.token = told["token"].as_str().expect("a text").to_owned();
        client
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("it is not zero");
        let content = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {content}",
            self.token,
            content.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let answer = read_message(&mut stream).expect("it answers");
        let (head, content) = answer.split_once("\r\n\r\n").expect("there is a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let told = serde_json::from_str(content).unwrap_or_default();
        (status.expect("a status"), told)
    }

    fn try_subscribe(&self, resource: &str, url: &str) -> (u16, Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("the clock is right").as_secs();
        let expiry = UnixTime(i64::try_from(now + 3600).expect("it is not so late yet"));
        let body = json!({
            "changeType": "created,updated,deleted",
            "resource": resource,
            "notificationUrl": url,
            "expirationDateTime": DateTime::utc(expiry).rfc3339().to_string(),
            "clientState": "mine",
        });
        self.ask("POST", "/v1.0/subscriptions", &body)
    }

    fn subscribe(&self, resource: &str, url: &str) {
        let (status, told) = self.try_subscribe(resource, url);
        assert_eq!(status, 201, "{told}");
    }
}

fn start(root: &MailRoot, kind: Kind) -> Daemon {
    let exempt = json!({"exchange_api": {"notification_targets": ["http://127.0.0.1:"]}});
    root.start_with(kind, &exempt)
}

fn deliver(daemon: &Daemon) {
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    client.read_reply().expect("it greets");
    client.smtp("EHLO client.example.net").expect("it answers");
    let message = "Subject: news\r\n\r\nThis is news.";
    let delivered = client.deliver("bob@example.net", &[ALICE], message);
    delivered.expect("the message is taken");
}

fn expect_ok(client: &mut Lines, command: &str) {
    let (_, completion) = client.imap(command).expect("the connection lasts");
    assert!(completion.starts_with("OK"), "{command}: {completion}");
}

fn is(kind: &str, id: &str) -> (String, String) {
    (kind.to_owned(), id.to_owned())
}

fn changes_by_smtp_imap_and_http_are_told_within_seconds(kind: Kind) {
    let root = MailRoot::new();
    let daemon = start(&root, kind);
    daemon.add_user(ALICE, PASSWORD);
    let client = Client::log_in(&daemon);
    let (all, inbox) = (Receiver::start(""), Receiver::start(""));
    client.subscribe("me/messages", &all.url());
    client.subscribe("me/mailFolders('inbox')/messages", &inbox.url());
    deliver(&daemon);
    let (created, id) = all.next_change();
    assert_eq!(created, "created");
    assert_eq!(inbox.next_change(), is("created", &id));
    let mut mail = daemon.imap(ALICE, PASSWORD);
    expect_ok(&mut mail, "SELECT INBOX");
    expect_ok(&mut mail, "STORE 1 +FLAGS (\\Flagged)");
    assert_eq!(all.next_change(), is("updated", &id));
    assert_eq!(inbox.next_change(), is("updated", &id));
    expect_ok(&mut mail, "MOVE 1 Archive");
    assert_eq!(all.next_change(), is("updated", &id));
    assert_eq!(inbox.next_change(), is("deleted", &id));
    let path = format!("/messages/{id}");
    let (status, told) = client.ask("PATCH", &path, &json!({"seen": true}));
    assert_eq!(status, 200, "{told}");
    assert_eq!(all.next_change(), is("updated", &id));
    expect_ok(&mut mail, "SELECT Archive");
    expect_ok(&mut mail, "STORE 1 +FLAGS (\\Deleted)");
    assert_eq!(all.next_change(), is("updated", &id));
    expect_ok(&mut mail, "EXPUNGE");
    assert_eq!(all.next_change(), is("deleted", &id));
    daemon.finish();
}

fn of_two_daemons_on_one_mail_root_one_tells(kind: Kind) {
    let root = MailRoot::new();
    let one = start(&root, kind);
    one.add_user(ALICE, PASSWORD);
    let other = start(&root, kind.other());
    let receiver = Receiver::start("");
    let client = Client::log_in(&one);
    client.subscribe("me/messages", &receiver.url());
    let mut ids = Vec::new();
    for daemon in [&one, &other, &one, &other] {
        deliver(daemon);
        let (created, id) = receiver.next_change();
        assert_eq!(created, "created");
        assert!(!ids.contains(&id), "it was told twice");
        ids.push(id);
    }
    other.finish();
    one.finish();
    assert!(receiver.heard.try_recv().is_err(), "it was told twice");
}

fn what_is_not_taken_is_told_again(kind: Kind) {
    let root = MailRoot::new();
    let daemon = start(&root, kind);
    daemon.add_user(ALICE, PASSWORD);
    let receiver = Receiver::start("");
    Client::log_in(&daemon).subscribe("me/messages", &receiver.url());
    receiver.answer(503);
    deliver(&daemon);
    let first = receiver.next_within(PROMISED);
    receiver.answer(200);
    assert_eq!(receiver.next_within(PATIENCE), first);
    deliver(&daemon);
    assert_eq!(receiver.next_change().0, "created");
    daemon.finish();
}

/// A change that the target refuses, and then keeps waiting; what it hears of it.
fn make_news_that_wait(daemon: &Daemon, receiver: &Receiver) -> Value {
    receiver.answer(503);
    deliver(daemon);
    let heard = receiver.next_within(PROMISED);
    receiver.answer(NEVER);
    assert_eq!(receiver.next_within(PATIENCE), heard);
    heard
}

fn what_waits_when_the_daemon_is_killed_is_told_by_the_next(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = start(&root, kind);
    daemon.add_user(ALICE, PASSWORD);
    let receiver = Receiver::start("");
    Client::log_in(&daemon).subscribe("me/messages", &receiver.url());
    let news = make_news_that_wait(&daemon, &receiver);
    daemon.kill();
    receiver.answer(200);
    daemon.restart();
    assert_eq!(receiver.next_within(PATIENCE), news);
    deliver(&daemon);
    let (created, id) = receiver.next_change();
    assert_eq!(created, "created");
    assert_ne!(news["value"][0]["resourceData"]["id"], id.as_str());
    daemon.finish();
    assert!(receiver.heard.try_recv().is_err(), "it was told twice");
}

fn what_waits_when_a_daemon_is_killed_is_told_by_the_other(kind: Kind) {
    let root = MailRoot::new();
    let mut killed = start(&root, kind);
    killed.add_user(ALICE, PASSWORD);
    let receiver = Receiver::start("");
    Client::log_in(&killed).subscribe("me/messages", &receiver.url());
    let news = make_news_that_wait(&killed, &receiver);
    let other = start(&root, kind.other());
    killed.kill();
    receiver.answer(200);
    assert_eq!(receiver.next_within(PATIENCE), news);
    other.finish();
    assert!(receiver.heard.try_recv().is_err(), "it was told twice");
}

fn redirects_are_not_followed(kind: Kind) {
    let root = MailRoot::new();
    let daemon = start(&root, kind);
    daemon.add_user(ALICE, PASSWORD);
    let elsewhere = Receiver::start("");
    let receiver = Receiver::start(&elsewhere.url());
    Client::log_in(&daemon).subscribe("me/messages", &receiver.url());
    receiver.answer(307);
    deliver(&daemon);
    let first = receiver.next_within(PROMISED);
    assert_eq!(receiver.next_within(PATIENCE), first);
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
    daemon.finish();
}

fn targets_that_are_not_public_are_refused_and_not_touched(kind: Kind) {
    let root = MailRoot::new();
    let daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    let client = Client::log_in(&daemon);
    let receiver = Receiver::start("");
    let port = receiver.address.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://0.0.0.0:{port}/"),
        format!("https://127.1:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://hooks.example.com@127.0.0.1:{port}/"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/".to_owned(),
    ] {
        let (status, told) = client.try_subscribe("me/messages", &url);
        let code = told["error"]["code"].as_str();
        assert_eq!((status, code), (400, Some("ValidationError")), "{url}");
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
    daemon.finish();
}

fn slow_target_holds_up_no_shutdown(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = start(&root, kind);
    daemon.add_user(ALICE, PASSWORD);
    let receiver = Receiver::start("");
    Client::log_in(&daemon).subscribe("me/messages", &receiver.url());
    receiver.answer(NEVER);
    deliver(&daemon);
    receiver.next_within(PROMISED);
    let begun = Instant::now();
    assert!(daemon.stop().success());
    assert!(begun.elapsed() < PROMISED, "{:?}", begun.elapsed());
}

//! A daemon is killed again and again while clients send. What it acknowledged is there, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::mpsc::{Sender, channel},
    thread,
    time::Instant,
};

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port},
    lines::Door,
};
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";

/// How often the daemon is killed.
const ROUNDS: u32 = 8;

/// Clients that send at the same time.
const CLIENTS: u32 = 8;

/// The daemon is killed when it has acknowledged so many in a round, and a few more in each
/// further round, so that it dies at another moment each time.
const ACKNOWLEDGED: u32 = 40;

const ACCOUNTS: [&str; 4] = [
    "alice@example.com",
    "bob@example.com",
    "carol@example.com",
    "dave@example.com",
];

/// A message, whose number nobody else uses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Letter {
    number: u32,
    account: usize,
}

impl Letter {
    fn account(self) -> &'static str {
        ACCOUNTS[self.account]
    }

    fn text(self) -> String {
        let number = self.number;
        format!("From: sender@example.net\r\nX-Number: {number}\r\n\r\nNumber {number}\r\n")
    }
}

/// Sends letters of one account after the other until it is cut off, which is its error.
type Client = fn(&Door, &mut dyn Iterator<Item = Letter>, &Sender<Letter>) -> io::Result<()>;

#[test]
fn tokio_keeps_each_acknowledged_message_once_through_kills() {
    keeps_through_kills(Kind::Tokio, Port::Smtp, send_by_smtp);
}

#[test]
fn async_std_keeps_each_acknowledged_message_once_through_kills() {
    keeps_through_kills(Kind::AsyncStd, Port::Smtp, send_by_smtp);
}

#[test]
fn tokio_keeps_each_acknowledged_append_once_through_kills() {
    keeps_through_kills(Kind::Tokio, Port::Imaps, append_by_imap);
}

#[test]
fn async_std_keeps_each_acknowledged_append_once_through_kills() {
    keeps_through_kills(Kind::AsyncStd, Port::Imaps, append_by_imap);
}

#[test]
fn one_that_is_killed_of_two_leaves_the_other_its_mail_and_its_sessions() {
    let root = MailRoot::new();
    let config = json!({ "smtp": { "max_messages_per_connection": 100_000 } });
    let mut daemons = Kind::ALL.map(|kind| root.start_with(kind, &config));
    for account in ACCOUNTS {
        daemons[0].add_user(account, PASSWORD);
    }
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let [first, second] = &mut daemons;
        let (killed, other) = match round % 2 {
            0 => (first, second),
            _ => (second, first),
        };
        let mut reader = other.imap(ACCOUNTS[0], PASSWORD);
        acknowledged.extend(thread::scope(|scope| {
            let beside = scope.spawn(|| send_beside(other, round));
            let mut acknowledged = kill_under_load(killed, Port::Smtp, send_by_smtp, round);
            acknowledged.extend(beside.join().expect("the other goes on"));
            acknowledged
        }));
        reader.imap("NOOP").expect("the other's session goes on");
        // Before the killed one is back.
        wait_for_all(other, &acknowledged);
        killed.restart();
    }
    for daemon in daemons {
        daemon.finish();
    }
}

/// Sends through the daemon that is not killed; every message must be acknowledged.
fn send_beside(daemon: &Daemon, round: u32) -> Vec<Letter> {
    let (sender, receiver) = channel();
    let first = (ROUNDS + round) * CLIENTS * 100_000;
    let account = round as usize % ACCOUNTS.len();
    let mut letters = (first..first + ACKNOWLEDGED).map(|number| Letter { number, account });
    send_by_smtp(&daemon.door(Port::Smtp), &mut letters, &sender).expect("it goes on");
    drop(sender);
    receiver.iter().collect()
}

fn keeps_through_kills(kind: Kind, port: Port, client: Client) {
    let root = MailRoot::new();
    let mut daemon = root.start_with(
        kind,
        &json!({ "smtp": { "max_messages_per_connection": 100_000 } }),
    );
    for account in ACCOUNTS {
        daemon.add_user(account, PASSWORD);
    }
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        acknowledged.extend(kill_under_load(&mut daemon, port, client, round));
        daemon.restart();
    }
    wait_for_all(&daemon, &acknowledged);
    daemon.finish();
}

/// What was acknowledged until the end.
fn kill_under_load(daemon: &mut Daemon, port: Port, client: Client, round: u32) -> Vec<Letter> {
    let (sender, receiver) = channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let door = daemon.door(port);
            let sender = sender.clone();
            let account = number as usize % ACCOUNTS.len();
            let first = (round * CLIENTS + number) * 100_000;
            let mut letters = (first..).map(move |number| Letter { number, account });
            thread::spawn(move || client(&door, &mut letters, &sender))
        })
        .collect();
    drop(sender);
    let wanted = (ACKNOWLEDGED + 7 * round) as usize;
    let mut acknowledged: Vec<Letter> = receiver.iter().take(wanted).collect();
    daemon.kill();
    for client in clients {
        let end = client.join().expect("a client reports how it ended");
        let error = end.expect_err("a client goes on until it is cut off");
        assert_eq!(acknowledged.len(), wanted, "clients gave up: {error}");
    }
    acknowledged.extend(receiver.iter());
    acknowledged
}

fn send_by_smtp(
    door: &Door,
    letters: &mut dyn Iterator<Item = Letter>,
    acknowledged: &Sender<Letter>,
) -> io::Result<()> {
    let mut client = door.connect()?;
    client.read_reply()?;
    client.smtp("EHLO client.example.net")?;
    for letter in letters {
        client.deliver("sender@example.net", &[letter.account()], &letter.text())?;
        acknowledged.send(letter).map_err(io::Error::other)?;
    }
    Ok(())
}

fn append_by_imap(
    door: &Door,
    letters: &mut dyn Iterator<Item = Letter>,
    acknowledged: &Sender<Letter>,
) -> io::Result<()> {
    let mut letters = letters.peekable();
    let first = letters.peek().expect("there is no end to them");
    let mut client = door.log_in(first.account(), PASSWORD)?;
    for letter in letters {
        let text = letter.text();
        let append = format!("APPEND INBOX {{{}+}}\r\n{text}", text.len());
        let (_, completion) = client.imap(&append)?;
        if !completion.starts_with("OK") {
            return Err(io::Error::other(completion));
        }
        acknowledged.send(letter).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Waits until each of these is where it was sent to; nothing may be there twice.
fn wait_for_all(daemon: &Daemon, acknowledged: &[Letter]) {
    for (index, account) in ACCOUNTS.iter().enumerate() {
        let to_account = acknowledged.iter().filter(|letter| letter.account == index);
        let expected = to_account.map(|letter| letter.number).collect();
        let kept = wait_for(daemon, account, &expected);
        let doubled: Vec<_> = kept.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(
            doubled.is_empty(),
            "{account} has more than once: {doubled:?}"
        );
    }
}

/// Waits until all these are in the mailbox; what is there, and how often.
fn wait_for(daemon: &Daemon, account: &str, expected: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
    let mut client = daemon.imap(account, PASSWORD);
    client.imap("SELECT INBOX").expect("there is an INBOX");
    let until = Instant::now() + PATIENCE;
    loop {
        let fetched = client.imap("FETCH 1:* BODY.PEEK[TEXT]");
        let (untagged, _) = fetched.expect("the mailbox can be read");
        let mut kept = BTreeMap::new();
        for number in untagged.iter().filter_map(|line| number_in(line)) {
            *kept.entry(number).or_default() += 1;
        }
        let is_missing = |number: &&u32| !kept.contains_key(number);
        let missing: Vec<&u32> = expected.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return kept;
        }
        assert!(
            Instant::now() < until,
            "{account} lost {missing:?}; the log:\n{}",
            daemon.log()
        );
        client.imap("NOOP").expect("the connection lasts");
    }
}

fn number_in(response: &str) -> Option<u32> {
    let (_, number) = response.split_once("Number ")?;
    let end = number.find(|byte: char| !byte.is_ascii_digit())?;
    number[..end].parse().ok()
}

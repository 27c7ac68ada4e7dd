//! People go about their mail for as long as one likes, with slow peers and reloads between them:
//! what stays the same, and what does not, minute by minute.

use std::{
    io,
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rmail_tests::{
    http::HttpClient,
    lines::{Door, Lines},
};
use serde_json::json;

use crate::{
    Result,
    daemon::{Daemon, PASSWORD, USER},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Between two visits of one person.
const PAUSE: Duration = Duration::from_millis(200);

/// Messages that INBOX keeps.
const KEPT: u32 = 1_000;

/// Connections that send nothing, opened and dropped each minute.
const SLOW: usize = 200;

/// What was seen in one minute.
struct Minute {
    resident_kib: i64,
    files: usize,
    /// By kind of visit: how many, and their 99th percentile.
    visits: Vec<(usize, Duration)>,
}

/// A visit, and who makes it.
type Visit = fn(&Person) -> io::Result<()>;

/// What visits are counted by, how many people make each, and the visit.
const KINDS: [(&str, usize, Visit); 3] = [
    ("smtp", 4, Person::send),
    ("imap", 3, Person::read_by_imap),
    ("http", 3, Person::read_by_http),
];

struct Person {
    smtp: Door,
    imap: Door,
    http: Door,
    token: String,
}

/// Prints a line each minute, and what has changed from the beginning to the end.
pub(crate) fn measure(binary: &Path, minutes: u32) -> Result<()> {
    let daemon = Daemon::start(binary)?;
    let person = Person::new(&daemon);
    let is_over = AtomicBool::new(false);
    let took: [Mutex<Vec<Duration>>; KINDS.len()] = Default::default();
    let errors = Mutex::new(Vec::new());
    let seen = thread::scope(|scope| -> Result<Vec<Minute>> {
        for ((_, people, visit), took) in KINDS.iter().zip(&took) {
            for _ in 0..*people {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        match visit(&person) {
                            Ok(()) => lock(took).push(began.elapsed()),
                            Err(error) => lock(&errors).push(error.to_string()),
                        }
                        thread::sleep(PAUSE);
                    }
                });
            }
        }
        scope.spawn(|| {
            // When the others have stopped, there is nothing more to hear.
            if let Err(error) = idle(&person, &is_over)
                && !is_over.load(Ordering::Relaxed)
            {
                lock(&errors).push(format!("in IDLE: {error}"));
            }
        });
        let seen = watch(&daemon, binary, minutes, &took);
        is_over.store(true, Ordering::Relaxed);
        seen
    })?;
    tell_change(&seen);
    let errors = lock(&errors);
    println!("{} errors", errors.len());
    match errors.first() {
        None => Ok(()),
        Some(error) => Err(error.clone().into()),
    }
}

fn watch(
    daemon: &Daemon,
    binary: &Path,
    minutes: u32,
    took: &[Mutex<Vec<Duration>>],
) -> Result<Vec<Minute>> {
    let began = Instant::now();
    let mut seen = Vec::new();
    for number in 1..=minutes {
        let slow: Vec<TcpStream> = (0..SLOW)
            .map(|it| TcpStream::connect(("127.0.0.1", daemon.ports()[it % daemon.ports().len()])))
            .collect::<io::Result<_>>()?;
        thread::sleep((began + number * MINUTE).saturating_duration_since(Instant::now()));
        drop(slow);
        reload(daemon, binary)?;
        let minute = Minute {
            resident_kib: daemon.resident_kib()?,
            files: daemon.open_files()?,
            visits: took
                .iter()
                .map(|took| take_figures(&mut lock(took)))
                .collect(),
        };
        println!("minute {number:>4}: {}", text(&minute));
        seen.push(minute);
    }
    Ok(seen)
}

fn reload(daemon: &Daemon, binary: &Path) -> Result<()> {
    let mut command = Command::new(binary.canonicalize()?);
    let output = command
        .current_dir(daemon.folder())
        .arg("reload")
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

fn take_figures(took: &mut Vec<Duration>) -> (usize, Duration) {
    let mut took = std::mem::take(took);
    took.sort_unstable();
    let last = took.get(took.len() * 99 / 100).copied();
    (took.len(), last.unwrap_or_default())
}

fn text(minute: &Minute) -> String {
    let visits = KINDS.iter().zip(&minute.visits);
    let visits: String = visits
        .map(|((name, _, _), (count, p99))| {
            let milliseconds = p99.as_secs_f64() * 1000.0;
            format!(", {name} {count} (99 % {milliseconds:.1} ms)")
        })
        .collect();
    format!(
        "{} KiB, {} files{visits}",
        minute.resident_kib, minute.files
    )
}

/// The first tenth, without the first minute, beside the last tenth.
fn tell_change(seen: &[Minute]) {
    let tenth = (seen.len() / 10).max(1);
    let mean = |minutes: &[Minute], figure: &dyn Fn(&Minute) -> f64| {
        minutes.iter().map(figure).sum::<f64>() / minutes.len().max(1) as f64
    };
    let tell = |name: &str, unit: &str, figure: &dyn Fn(&Minute) -> f64| {
        let first = mean(
            &seen[1.min(seen.len() - 1)..][..tenth.min(seen.len() - 1).max(1)],
            figure,
        );
        let last = mean(&seen[seen.len() - tenth..], figure);
        println!("{name}: {first:.1} {unit} at first, {last:.1} {unit} at last");
    };
    tell("memory", "MiB", &|it| it.resident_kib as f64 / 1024.0);
    tell("open files", "", &|it| it.files as f64);
    for (index, (name, _, _)) in KINDS.iter().enumerate() {
        tell(&format!("99 % of {name}"), "ms", &|it| {
            it.visits[index].1.as_secs_f64() * 1000.0
        });
    }
}

/// One session that idles all the time.
fn idle(person: &Person, is_over: &AtomicBool) -> Result<()> {
    let mut client = person.imap.log_in(USER, PASSWORD)?;
    client.imap("SELECT INBOX")?;
    while !is_over.load(Ordering::Relaxed) {
        let tag = client.begin("IDLE")?;
        // Mail comes all the time: each line is one that tells of some.
        for _ in 0..200 {
            client.read_line()?;
        }
        client.send("DONE\r\n")?;
        client.complete(&tag)?;
    }
    Ok(())
}

impl Person {
    fn new(daemon: &Daemon) -> Self {
        let address = |port: u16| ([127, 0, 0, 1], port).into();
        let certificate = daemon.folder().join("mailstore/tls/cert.pem");
        let http = Door::clear(address(daemon.http_port));
        Self {
            smtp: Door::clear(address(daemon.smtp_port)),
            imap: Door::tls(address(daemon.imaps_port), &certificate),
            token: HttpClient::new(http.clone()).log_in(USER, PASSWORD),
            http,
        }
    }

    /// Three messages: a short one, one of 20 KB, one of 200 KB.
    fn send(&self) -> io::Result<()> {
        let mut client = self.smtp.connect()?;
        client.read_reply()?;
        client.smtp("EHLO soak.test")?;
        for lines in [1, 300, 3000] {
            let body =
                "A line of a message, as long as lines of messages are, mostly.\r\n".repeat(lines);
            let message = format!("Subject: soak\r\nMessage-ID: <{lines}@soak.test>\r\n\r\n{body}");
            client.deliver("sender@soak.test", &[USER], &message)?;
        }
        client.smtp("QUIT").map(drop)
    }

    /// Looks at the latest, marks them, keeps a draft, and throws old ones away.
    fn read_by_imap(&self) -> io::Result<()> {
        let mut client = self.imap.log_in(USER, PASSWORD)?;
        let selected = good(&mut client, "SELECT INBOX")?;
        let count = selected.iter().find_map(|line| {
            let count = line.strip_prefix("* ")?.strip_suffix(" EXISTS")?;
            count.parse::<u32>().ok()
        });
        let count = count.ok_or_else(|| io::Error::other("nothing EXISTS"))?;
        if count > 0 {
            let first = count.saturating_sub(20).max(1);
            good(
                &mut client,
                &format!("FETCH {first}:* (UID FLAGS ENVELOPE BODYSTRUCTURE)"),
            )?;
            good(&mut client, &format!("FETCH {count} BODY.PEEK[]"))?;
            good(&mut client, &format!("STORE {first}:* +FLAGS (\\Seen)"))?;
        }
        good(
            &mut client,
            "APPEND Drafts {23+}\r\nSubject: draft\r\n\r\nText.",
        )?;
        if count > KEPT {
            let old = count - KEPT;
            good(
                &mut client,
                &format!("STORE 1:{old} +FLAGS.SILENT (\\Deleted)"),
            )?;
            good(&mut client, "EXPUNGE")?;
            good(&mut client, "SELECT Drafts")?;
            // By UIDs: another may just have emptied it.
            good(&mut client, "UID STORE 1:* +FLAGS.SILENT (\\Deleted)")?;
            good(&mut client, "EXPUNGE")?;
        }
        good(&mut client, "LOGOUT").map(drop)
    }

    /// A page, a change, and a message to oneself.
    fn read_by_http(&self) -> io::Result<()> {
        let mut client = HttpClient::new(self.http.clone());
        client.set_token(&self.token);
        let page = "/v1.0/me/mailFolders/inbox/messages?$top=20&$select=subject";
        let answer = client.try_request("GET", page, &[], b"")?;
        let page = expect(answer, 200)?;
        if let Some(id) = page["value"][0]["id"].as_str() {
            let target = format!("/v1.0/me/messages/{id}");
            let body = json!({"isRead": true}).to_string();
            let fields = [("Content-Type", "application/json")];
            let answer = client.try_request("PATCH", &target, &fields, body.as_bytes())?;
            // Somebody else may have thrown it away.
            if answer.status != 404 {
                expect(answer, 200)?;
            }
        }
        let message = json!({"message": {
            "subject": "soak",
            "body": {"contentType": "text", "content": "Text."},
            "toRecipients": [{"emailAddress": {"address": USER}}],
        }, "saveToSentItems": false});
        let fields = [("Content-Type", "application/json")];
        let body = message.to_string();
        let answer = client.try_request("POST", "/v1.0/me/sendMail", &fields, body.as_bytes())?;
        match answer.status {
            202 => Ok(()),
            status => Err(io::Error::other(format!("sendMail: {status}"))),
        }
    }
}

fn expect(answer: rmail_tests::http::HttpAnswer, status: u16) -> io::Result<serde_json::Value> {
    match answer.status == status {
        true => Ok(serde_json::from_slice(&answer.body)?),
        false => Err(io::Error::other(format!("HTTP {}", answer.status))),
    }
}

/// An IMAP command that must succeed; its untagged responses.
fn good(client: &mut Lines, command: &str) -> io::Result<Vec<String>> {
    let (untagged, said) = client.imap(command)?;
    // Another person may have thrown the message away.
    match said.starts_with("OK") || said.contains("EXPUNGEISSUED") {
        true => Ok(untagged),
        false => Err(io::Error::other(format!("{command}: {said}"))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

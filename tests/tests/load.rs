//! Under load: thousands of slow connections, and a reload each second, beside people who go about
//! their mail. Each on both daemons, which take turns. What they took is printed.

use std::{
    fs,
    io::{self, Write as _},
    net::TcpStream,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port, free_port},
    http::HttpClient,
    lines::{Door, Lines},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Connections that are held open and send next to nothing.
const SLOW: usize = 2_000;

/// What each of them may cost: a session, its buffers and its TLS.
const SLOW_KIB_EACH: u64 = 64;

/// Bytes that each of them sends while people visit, and the time between two.
const TRICKLES: u32 = 20;
const TRICKLE_PAUSE: Duration = Duration::from_millis(250);

/// Visits by each protocol, at least.
const ROUNDS: usize = 50;

/// Reloads, one each second.
const RELOADS: u32 = 60;

/// Clients that write drafts at once, the length of each of these, and what all of that may take
/// of memory.
const WRITERS: usize = 24;
const DRAFT_BYTES: usize = 6 * 1024 * 1024;
const DRAFTS_KIB: u64 = 32 * 1024;

rmail_tests::promises! {
    slow_connections_keep_nobody_from_their_mail,
    reloads_under_load_fail_no_session,
    contents_on_their_way_are_not_in_memory,
}

/// What one daemon's connections cost is not to be seen beside another's.
static TURN: Mutex<()> = Mutex::new(());

fn slow_connections_keep_nobody_from_their_mail(kind: Kind) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    allow_many_files();
    let daemon = start(kind);
    let people = People::new(&daemon);
    // So that caches are warm, and a login's Argon2 has had its memory.
    people.visit_beside(|| {});
    let before = resident_kib(&daemon);
    let alone = people.visit_beside(|| {});
    let mut slow: Vec<Slow> = (0..SLOW).map(|it| Slow::open(&daemon, it)).collect();
    let beside = people.visit_beside(|| {
        for _ in 0..TRICKLES {
            slow.iter_mut().for_each(Slow::trickle);
            thread::sleep(TRICKLE_PAUSE);
        }
    });
    let (held, during) = (sessions(&daemon), resident_kib(&daemon));
    drop(slow);
    wait_until_alone(&daemon);
    let after = resident_kib(&daemon);
    tell(&format!(
        "{}: {held} slow connections of {SLOW}: memory {before} KiB before, {during} during, \
         {after} after; p99 of a visit {alone:?} alone, {beside:?} beside them",
        kind.program()
    ));
    assert!(held >= SLOW as u64, "{held} sessions are held open");
    let grown = during.saturating_sub(before);
    assert!(grown < SLOW as u64 * SLOW_KIB_EACH, "{grown} KiB");
    people.wait_for_what_they_sent(&daemon);
    daemon.finish();
}

fn reloads_under_load_fail_no_session(kind: Kind) {
    let mut daemon = start(kind);
    let people = People::new(&daemon);
    let mut lasting = daemon.imap(ALICE, PASSWORD);
    let p99 = people.visit_beside(|| {
        let began = Instant::now();
        for number in 1..=RELOADS {
            daemon.change_config(&json!({
                "domains": ["example.com", format!("domain{number}.example")],
                "imap": { "port": free_port() },
                "smtp": { "max_recipients": 100 + number },
            }));
            let output = daemon.command(&["reload"], "");
            assert!(output.status.success(), "{output:?}");
            let next = began + Duration::from_secs(number.into());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    let visits = people.visits.load(Ordering::Relaxed);
    tell(&format!(
        "{}: {RELOADS} reloads, {visits} visits meanwhile, none failed; p99 of a visit {p99:?}",
        kind.program()
    ));
    let (_, said) = lasting.imap("NOOP").expect("the session goes on");
    assert!(said.starts_with("OK"), "{said}");
    people.wait_for_what_they_sent(&daemon);
    daemon.finish();
}

fn contents_on_their_way_are_not_in_memory(kind: Kind) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let daemon = start(kind);
    let people = People::new(&daemon);
    people.visit_beside(|| {});
    let before = resident_kib(&daemon);
    let mut writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::begin(&people)).collect();
    let during = resident_kib(&daemon);
    tell(&format!(
        "{}: {WRITERS} drafts of {DRAFT_BYTES} bytes: memory {before} KiB before, {during} while \
         they came",
        kind.program(),
    ));
    assert!(during < before + DRAFTS_KIB, "{before} {during}");
    people.read_by_http().expect("others are served");
    // Of the others nobody is heard of again.
    for writer in writers.drain(..WRITERS / 2) {
        assert_eq!(writer.finish(), "HTTP/1.1 201 Created");
    }
    drop(writers);
    wait_until_alone(&daemon);
    let mut client = daemon.imap(ALICE, PASSWORD);
    let status = client.imap("STATUS Drafts (MESSAGES)");
    let (untagged, _) = status.expect("the connection lasts");
    let count = WRITERS / 2;
    assert_eq!(untagged, [format!("* STATUS Drafts (MESSAGES {count})")]);
    let folder = daemon.root().folder().join("mail/spool/tmp");
    let files = fs::read_dir(folder).expect("it is there").count();
    assert_eq!(files, 0, "what nobody needs is removed");
    daemon.finish();
}

/// A client that has written a draft but for its last byte.
struct Writer {
    lines: Lines,
    last: u8,
}

impl Writer {
    fn begin(people: &People) -> Self {
        let mut lines = people.http.connect().expect("it listens");
        let line = b"This line is one of a great many that this draft consists of\r\n";
        let text = line.repeat(DRAFT_BYTES / line.len());
        let message = [b"Subject: long\r\n\r\n", &text[..]].concat();
        let content = BASE64_STANDARD.encode(message);
        let (last, most) = content.as_bytes().split_last().expect("there is some");
        let head = format!(
            "POST /v1.0/me/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            people.token,
            content.len(),
        );
        let most = [head.as_bytes(), most].concat();
        lines.send_bytes(&most).expect("the server reads");
        Self { lines, last: *last }
    }

    /// The status line.
    fn finish(mut self) -> String {
        self.lines
            .send_bytes(&[self.last])
            .expect("the server reads");
        self.lines.read_line().expect("the server answers")
    }
}

/// People of each protocol, whose every visit must succeed.
struct People {
    smtp: Door,
    imap: Door,
    http: Door,
    token: String,
    /// Messages that were acknowledged.
    sent: AtomicU32,
    visits: AtomicU32,
}

impl People {
    const VISITS: [fn(&Self) -> io::Result<()>; 3] =
        [Self::send, Self::read_by_imap, Self::read_by_http];

    fn new(daemon: &Daemon) -> Self {
        let http = daemon.door(Port::Http);
        Self {
            token: HttpClient::new(http.clone()).log_in(ALICE, PASSWORD),
            smtp: daemon.door(Port::Smtp),
            imap: daemon.door(Port::Imaps),
            http,
            sent: AtomicU32::new(0),
            visits: AtomicU32::new(0),
        }
    }

    /// Visits for as long as this work takes, and [`ROUNDS`] times at least; the p99 of what one
    /// visit took.
    fn visit_beside(&self, work: impl FnOnce()) -> Duration {
        let is_over = AtomicBool::new(false);
        let (is_over, me) = (&is_over, self);
        let mut took: Vec<Duration> = thread::scope(|scope| {
            let visitors = Self::VISITS.map(|visit| {
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while took.len() < ROUNDS || !is_over.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        visit(me).expect("every visit succeeds");
                        took.push(began.elapsed());
                        me.visits.fetch_add(1, Ordering::Relaxed);
                    }
                    took
                })
            });
            work();
            is_over.store(true, Ordering::Relaxed);
            let took = visitors.map(|it| it.join().expect("every visit succeeds"));
            took.into_iter().flatten().collect()
        });
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }

    fn send(&self) -> io::Result<()> {
        let mut client = self.smtp.connect()?;
        client.read_reply()?;
        client.smtp("EHLO client.example.net")?;
        client.deliver("bob@example.net", &[ALICE], "Subject: hello\r\n\r\nHello.")?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        client.smtp("QUIT").map(drop)
    }

    fn read_by_imap(&self) -> io::Result<()> {
        let mut client = self.imap.log_in(ALICE, PASSWORD)?;
        for command in ["SELECT INBOX", "UID FETCH * (FLAGS ENVELOPE)", "LOGOUT"] {
            let (_, said) = client.imap(command)?;
            if !said.starts_with("OK") {
                return Err(io::Error::other(format!("{command}: {said}")));
            }
        }
        Ok(())
    }

    fn read_by_http(&self) -> io::Result<()> {
        let mut client = HttpClient::new(self.http.clone());
        client.set_token(&self.token);
        let answer = client.try_request("GET", "/folders/inbox/messages?limit=10", &[], b"")?;
        match answer.status {
            200 => Ok(()),
            status => Err(io::Error::other(status.to_string())),
        }
    }

    /// Waits until all that was acknowledged is in the mailbox, and nothing twice.
    fn wait_for_what_they_sent(&self, daemon: &Daemon) {
        let sent = self.sent.load(Ordering::Relaxed);
        let mut client = daemon.imap(ALICE, PASSWORD);
        let until = Instant::now() + PATIENCE;
        loop {
            let status = client.imap("STATUS INBOX (MESSAGES)");
            let (untagged, _) = status.expect("the connection lasts");
            match untagged.contains(&format!("* STATUS INBOX (MESSAGES {sent})")) {
                true => return,
                false => assert!(Instant::now() < until, "{sent} were sent: {untagged:?}"),
            }
        }
    }
}

/// A connection that sends a byte now and then.
struct Slow {
    stream: TcpStream,
    rest: std::slice::Iter<'static, u8>,
}

impl Slow {
    /// What is sent, and where.
    const KINDS: [(Port, &'static [u8]); 5] = [
        (Port::Smtp, b"EHLO a.client.that.has.time"),
        (Port::Submission, b"NOOP what I wanted to say is"),
        (Port::Imap, b"a LOGIN alice@example.com"),
        (
            Port::Imaps,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello of TLS",
        ),
        (
            Port::Smtps,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello of TLS",
        ),
    ];

    fn open(daemon: &Daemon, number: usize) -> Self {
        let (port, text) = Self::KINDS[number % Self::KINDS.len()];
        Self {
            stream: TcpStream::connect(daemon.address(port)).expect("it listens"),
            rest: text.iter(),
        }
    }

    fn trickle(&mut self) {
        if let Some(byte) = self.rest.next() {
            self.stream.write_all(&[*byte]).expect("the server waits");
        }
    }
}

fn start(kind: Kind) -> Daemon {
    let daemon = MailRoot::new().start_with(
        kind,
        &json!({
            "smtp": { "max_connections": 2 * SLOW },
            "imap": { "max_connections": 2 * SLOW },
        }),
    );
    daemon.add_user(ALICE, PASSWORD);
    daemon
}

fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("a process may use what it may have");
}

/// How many connections the daemon has.
fn sessions(daemon: &Daemon) -> u64 {
    let output = daemon.command(&["status", "--json"], "");
    let status: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let count = |name: &str| {
        let count = status["servers"][0]["sessions"][name].as_u64();
        count.expect("it is a number")
    };
    count("smtp") + count("imap") + count("http")
}

fn wait_until_alone(daemon: &Daemon) {
    let until = Instant::now() + PATIENCE;
    while sessions(daemon) > 0 {
        assert!(Instant::now() < until, "{} sessions stay", sessions(daemon));
    }
}

fn resident_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()));
    let status = status.expect("the daemon runs");
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let number = resident.and_then(|text| text.trim().strip_suffix(" kB"));
    number
        .and_then(|it| it.parse().ok())
        .expect("it has memory")
}

/// Prints it though the test passes.
fn tell(text: &str) {
    writeln!(io::stderr(), "{text}").expect("it can be written");
}

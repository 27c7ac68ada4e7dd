//! A server that takes all mail, in cleartext, and tells what it has taken.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use crate::daemon::PATIENCE;

/// How a sink behaves.
#[derive(Clone, Debug)]
pub struct SinkSetup {
    /// What it calls itself.
    pub name: &'static str,
    /// Whether it speaks LMTP. Then it takes nothing for `nobody`, which it says after the content.
    pub is_lmtp: bool,
    /// Of so many messages it takes one, and hangs up in place of its 250.
    pub hangs_up_at: Option<usize>,
}

impl Default for SinkSetup {
    fn default() -> Self {
        Self {
            name: "sink.example.net",
            is_lmtp: false,
            hangs_up_at: None,
        }
    }
}

/// A message that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The connection, numbered from 0 in the order in which they were opened.
    pub connection: usize,
    /// MAIL and RCPT commands.
    pub envelope: Vec<String>,
    /// The content, with CRLFs, as it came: dots are doubled.
    pub content: String,
    /// Whether the answer to it went out, as far as we can know.
    pub is_answered: bool,
}

/// A sink on a free port of the loopback interface, in threads of its own, until it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    setup: SinkSetup,
    seen: Mutex<Seen>,
    more: Condvar,
    is_stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    commands: Vec<String>,
    taken: Vec<Taken>,
}

impl Sink {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn start(setup: SinkSetup) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            setup,
            seen: Mutex::default(),
            more: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&accepting, &listener));
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.seen().connections
    }

    /// All commands of all connections.
    pub fn commands(&self) -> Vec<String> {
        self.shared.seen().commands.clone()
    }

    /// What was taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.seen().taken.clone()
    }

    /// Waits until something is found in what was taken; `None` when it is not in time.
    pub fn wait_for<T>(&self, mut find: impl FnMut(&[Taken]) -> Option<T>) -> Option<T> {
        let mut until = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen();
        let mut count = seen.taken.len();
        loop {
            if let Some(found) = find(&seen.taken) {
                return Some(found);
            }
            // As long as there is more, it is not over.
            if seen.taken.len() > count {
                count = seen.taken.len();
                until = Instant::now() + PATIENCE;
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.shared.more.wait_timeout(seen, left);
            (seen, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // It waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a message. Returns whether it is to be answered.
    fn take(&self, connection: usize, envelope: Vec<String>, content: String) -> bool {
        let mut seen = self.seen();
        let count = seen.taken.len() + 1;
        let hangs_up_at = self.setup.hangs_up_at;
        let is_answered = hangs_up_at.is_none_or(|at| !count.is_multiple_of(at));
        seen.taken.push(Taken {
            connection,
            envelope,
            content,
            is_answered,
        });
        self.more.notify_all();
        is_answered
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if shared.is_stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let connection = shared.seen().connections;
        shared.seen().connections += 1;
        let shared = Arc::clone(shared);
        // It ends with its client, however that ends.
        thread::spawn(move || serve(&shared, connection, stream));
    }
}

fn serve(shared: &Shared, connection: usize, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let name = shared.setup.name;
    write!(writer, "220 {name} ready\r\n")?;
    let mut envelope: Vec<String> = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        shared.seen().commands.push(command.clone());
        match command.get(..4) {
            Some("EHLO" | "LHLO") => {
                write!(writer, "250-{name}\r\n250-PIPELINING\r\n250 8BITMIME\r\n")?;
            }
            Some("MAIL") => {
                envelope = vec![command];
                write!(writer, "250 2.1.0 good\r\n")?;
            }
            Some("RCPT") => {
                envelope.push(command);
                write!(writer, "250 2.1.5 good\r\n")?;
            }
            Some("DATA") => {
                write!(writer, "354 go on\r\n")?;
                let content = read_content(&mut reader)?;
                let replies = replies(&shared.setup, &envelope);
                if !shared.take(connection, std::mem::take(&mut envelope), content) {
                    return Ok(());
                }
                writer.write_all(replies.as_bytes())?;
            }
            Some("QUIT") => return write!(writer, "221 2.0.0 {name} ends\r\n"),
            _ => write!(writer, "250 2.0.0 good\r\n")?,
        }
    }
}

/// What follows the content: one reply, or by LMTP one for each recipient (RFC 2033 §4.2).
fn replies(setup: &SinkSetup, envelope: &[String]) -> String {
    let recipients = envelope.iter().skip(1);
    let reply = |recipient: &String| match recipient.contains("<nobody@") {
        true => "550 5.1.1 No such user at the sink\r\n",
        false => "250 2.0.0 taken\r\n",
    };
    match setup.is_lmtp {
        true => recipients.map(reply).collect(),
        false => "250 2.0.0 taken\r\n".to_owned(),
    }
}

fn read_content(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut content = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(content);
        }
        content += &line;
    }
}

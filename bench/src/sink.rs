//! A server that takes all mail, throws it away, and counts.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// The sink, in threads that end with the process.
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) port: u16,
    counter: Arc<Counter>,
}

#[derive(Default)]
struct Counter {
    taken: AtomicU32,
    /// How many are waited for, and when so many were there.
    goal: Mutex<(u32, Option<Instant>)>,
    reached: Condvar,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let counter = Arc::new(Counter::default());
        let sink = Self {
            port,
            counter: Arc::clone(&counter),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                thread::spawn(move || serve(stream, &counter));
            }
        });
        Ok(sink)
    }

    /// How many messages were taken.
    pub(crate) fn taken(&self) -> u32 {
        self.counter.taken.load(Ordering::Relaxed)
    }

    /// From now on it is looked for the moment when so many messages will have been taken.
    pub(crate) fn set_goal(&self, taken: u32) {
        *self.counter.goal() = (taken, None);
    }

    /// The moment when the goal was reached.
    pub(crate) fn wait(&self, patience: Duration) -> Result<Instant> {
        let goal = self.counter.goal();
        let waited = self
            .counter
            .reached
            .wait_timeout_while(goal, patience, |goal| goal.1.is_none());
        let (goal, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = self.taken();
        goal.1
            .ok_or_else(|| format!("{taken} of {} messages were taken", goal.0).into())
    }
}

impl Counter {
    fn goal(&self) -> std::sync::MutexGuard<'_, (u32, Option<Instant>)> {
        self.goal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let mut goal = self.goal();
        if taken == goal.0 {
            goal.1 = Some(Instant::now());
            self.reached.notify_all();
        }
    }
}

/// Takes all mail of a connection.
fn serve(stream: TcpStream, counter: &Counter) {
    // Without it a peer that waits for an answer would wait for longer.
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut say = |text: &str| writer.write_all(text.as_bytes()).is_ok();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut in_data = false;
    if !say("220 sink.test ESMTP\r\n") {
        return;
    }
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        let goes_on = match (in_data, line.get(..4)) {
            (true, _) if line == b".\r\n" => {
                in_data = false;
                counter.count();
                say("250 taken\r\n")
            }
            (true, _) => true,
            (false, Some(b"EHLO")) => say("250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
            (false, Some(b"DATA")) => {
                in_data = true;
                say("354 go on\r\n")
            }
            (false, Some(b"QUIT")) => {
                say("221 good bye\r\n");
                return;
            }
            (false, _) => say("250 ok\r\n"),
        };
        if !goes_on {
            return;
        }
    }
}

//! The third runtime: nodes, sessions and clients in one thread on virtual time.
//!
//! [`Host`] does for [`Node`](rmail_server::node::Node) and [`Session`] what the daemons do, by
//! the same calls, and is therefore the proof that they need no clock, no thread and no socket.
//! Time stands still while anything can happen, and then jumps to what happens next. Everything
//! that is left to chance comes from one seed.
//!
//! What a fault would change is in one place each: a stream's [`Link`], the [`Files`] and the VFS
//! of a store, and the times that jobs take.

mod errors;
mod process;
mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rmail_proto::{Entropy, Instant, Now, UnixTime};
use rmail_server::{
    node::{Admission, Done, Job, ListenerKind, NodeAction},
    session::{Session, SessionId},
    tls::ServerTls,
};
use rmail_store::{Files, RealFiles};
use tempfile::TempDir;

use self::{
    errors::Errors,
    process::{Process, ProcessId},
    stream::Stream,
};
use crate::{
    AccountChange, Link, Received, ServerIndex, Setup, StreamId, Wire,
    pipe::{Read, duration_between},
};

/// 2023-11-14 22:13:20 UTC.
const START: UnixTime = UnixTime(1_700_000_000);

/// Longest time that a job waits for a thread, and that its end goes unnoticed.
const JOB_WAIT_MAX: Duration = Duration::from_millis(3);

/// Longest time that a datagram takes.
const DATAGRAM_LATENCY_MAX: Duration = Duration::from_millis(2);

/// Longest time that a stop may take: the grace of sessions, and what they began.
const STOP_MAX: Duration = Duration::from_secs(120);

/// See the module's documentation.
pub struct Host {
    setup: Setup,
    now: Now,
    entropy: Entropy,
    link: Link,
    tls: Arc<ServerTls>,
    servers: Vec<Option<Process>>,
    processes_started: u64,
    streams: BTreeMap<StreamId, Stream>,
    streams_opened: u64,
    happenings: BTreeMap<(Instant, u64), Happening>,
    happenings_planned: u64,
    errors: Errors,
    files: Arc<dyn Files>,
    /// Last: stores are closed while their folder is there.
    mail_root: TempDir,
}

/// What is going to happen, besides bytes that arrive and timers that run out.
#[derive(Debug)]
enum Happening {
    /// A job has a thread.
    JobBegins(ProcessId, Box<Job>),
    /// The end of a job is noticed.
    JobEnds(ProcessId, Box<Done>),
    /// A datagram arrives.
    Datagram { to: PathBuf, bytes: Vec<u8> },
}

impl Host {
    /// A host on which everything runs that the setup asks for.
    ///
    /// # Panics
    ///
    /// When the setup can't be made.
    pub fn new(setup: Setup, seed: u64) -> Self {
        let mail_root = TempDir::new().expect("there is room for temporary files");
        let config = setup.config(mail_root.path());
        let tls = ServerTls::load_or_create(&config, START).expect("a certificate can be made");
        let servers = setup.servers;
        let mut host = Self {
            setup,
            now: Now {
                at: Instant::from_start(Duration::from_secs(1000)),
                unix: START,
            },
            entropy: Entropy::new(seed),
            link: Link::default(),
            tls: Arc::new(tls),
            servers: Vec::new(),
            processes_started: 0,
            streams: BTreeMap::new(),
            streams_opened: 0,
            happenings: BTreeMap::new(),
            happenings_planned: 0,
            errors: Errors::listen(),
            files: Arc::new(RealFiles),
            mail_root,
        };
        for account in host.setup.accounts.clone() {
            host.change_account(AccountChange::Add(account));
        }
        for _ in 0..servers {
            let process = host.start_process();
            host.servers.push(Some(process));
        }
        host
    }

    /// How streams that are opened from now on carry bytes.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.now
    }

    /// What everything waits for, for people.
    pub fn describe(&self) -> String {
        let sessions = self.streams.values().filter_map(Stream::session);
        let mut lines: Vec<String> = sessions.map(Session::describe).collect();
        for ((at, _), happening) in &self.happenings {
            lines.push(format!("{:?}: {happening:?}", at.since_start()));
        }
        lines.join("\n")
    }

    /// Lets things happen until `is_done`, or until the time is `deadline`. Returns whether it is
    /// done.
    fn run_until(&mut self, deadline: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.settle();
            if is_done(self) {
                return true;
            }
            match self.next_event() {
                Some(at) if at <= deadline => self.set_time(at),
                Some(_) | None => {
                    self.set_time(deadline);
                    return false;
                }
            }
        }
    }

    fn set_time(&mut self, at: Instant) {
        let start = Instant::from_start(Duration::from_secs(1000));
        self.now.at = self.now.at.max(at);
        self.now.unix = UnixTime(START.0 + self.now.at.since(start).as_secs() as i64);
    }

    fn next_event(&self) -> Option<Instant> {
        let happenings = self.happenings.keys().next().map(|&(at, _)| at);
        let nodes = self
            .processes()
            .filter_map(|process| process.node.poll_timeout());
        let streams = self
            .streams
            .values()
            .filter_map(|stream| stream.next_event(self.now.at));
        happenings.into_iter().chain(nodes).chain(streams).min()
    }

    /// Everything happens that can happen now.
    fn settle(&mut self) {
        loop {
            let mut has_changed = self.happen();
            has_changed |= self.wake_nodes();
            has_changed |= self.carry_out();
            has_changed |= self.move_bytes();
            if !has_changed {
                return;
            }
        }
    }

    fn happen(&mut self) -> bool {
        let Some(entry) = self.happenings.first_entry() else {
            return false;
        };
        if entry.key().0 > self.now.at {
            return false;
        }
        match entry.remove() {
            Happening::JobBegins(id, job) => {
                if let Some(process) = self.process(id) {
                    let done = job.run(&process.world);
                    self.plan(JOB_WAIT_MAX, Happening::JobEnds(id, Box::new(done)));
                }
            }
            Happening::JobEnds(id, done) => {
                let now = self.now;
                if let Some(process) = self.process(id) {
                    process.node.handle_job_done(now, *done);
                }
            }
            Happening::Datagram { to, bytes } => {
                let now = self.now;
                let mut processes = self.servers.iter_mut().flatten();
                if let Some(process) = processes.find(|process| process.hint_socket == to) {
                    process.node.handle_datagram(now, &bytes);
                }
            }
        }
        true
    }

    fn wake_nodes(&mut self) -> bool {
        let mut has_changed = false;
        let now = self.now;
        for process in self.servers.iter_mut().flatten() {
            if process.node.poll_timeout().is_some_and(|at| at <= now.at) {
                process.node.handle_timeout(now);
                has_changed = true;
            }
        }
        has_changed
    }

    /// Carries out what the nodes want done.
    fn carry_out(&mut self) -> bool {
        let mut actions = VecDeque::new();
        for process in self.servers.iter_mut().flatten() {
            while let Some(action) = process.node.poll_action() {
                actions.push_back((process.id, action));
            }
        }
        let has_changed = !actions.is_empty();
        for (id, action) in actions {
            match action {
                NodeAction::RunJob(job) => {
                    self.plan(JOB_WAIT_MAX, Happening::JobBegins(id, Box::new(job)));
                }
                NodeAction::Notify(session, event) => {
                    let now = self.now;
                    if let Some(session) = self.session(id, session) {
                        session.handle_event(now, event);
                    }
                }
                NodeAction::SendDatagram { to, bytes } => {
                    self.plan(DATAGRAM_LATENCY_MAX, Happening::Datagram { to, bytes });
                }
                NodeAction::Dial { session, .. } => {
                    // There is nobody out there.
                    let now = self.now;
                    if let Some(process) = self.process(id) {
                        let refused = Err("connection refused".to_owned());
                        let begun = process.node.handle_dialled(now, session, refused);
                        assert!(begun.is_none(), "there is no connection");
                    }
                }
                // Questions to nobody.
                NodeAction::SendUdp { .. } | NodeAction::CloseUdp(_) => {}
                NodeAction::SetLogLevel(_) => {}
                NodeAction::StopListening => {
                    if let Some(process) = self.process(id) {
                        process.is_listening = false;
                    }
                }
                NodeAction::Stopped => {
                    let is_stopped = |process: &mut Process| process.id == id;
                    for server in &mut self.servers {
                        server.take_if(is_stopped);
                    }
                }
            }
        }
        has_changed
    }

    fn move_bytes(&mut self) -> bool {
        let mut has_changed = false;
        for stream in self.streams.values_mut() {
            let mut processes = self.servers.iter_mut().flatten();
            let process = processes.find(|process| process.id == stream.process);
            has_changed |= stream.progress(self.now, &mut self.entropy, process);
        }
        self.streams.retain(|_, stream| !stream.is_over());
        has_changed
    }

    fn plan(&mut self, within: Duration, happening: Happening) {
        let wait = duration_between(&mut self.entropy, Duration::ZERO, within);
        self.happenings_planned += 1;
        let key = (self.now.at + wait, self.happenings_planned);
        self.happenings.insert(key, happening);
    }

    fn start_process(&mut self) -> Process {
        self.processes_started += 1;
        let config = self.setup.config(self.mail_root.path());
        let entropy = Entropy::new(self.entropy.next_u64());
        let mut process = Process::new(
            ProcessId(self.processes_started),
            config,
            Arc::clone(&self.tls),
            Arc::clone(&self.files),
            entropy,
        );
        process.node.handle_start(self.now);
        process
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.servers.iter().flatten()
    }

    fn process(&mut self, id: ProcessId) -> Option<&mut Process> {
        let mut processes = self.servers.iter_mut().flatten();
        processes.find(|process| process.id == id)
    }

    fn session(&mut self, process: ProcessId, session: SessionId) -> Option<&mut Session> {
        let mut streams = self.streams.values_mut();
        streams.find_map(|stream| {
            let is_its = stream.process == process;
            let found = stream.session_mut().filter(|found| found.id() == session);
            found.filter(|_| is_its)
        })
    }
}

impl Wire for Host {
    fn connect(&mut self, server: ServerIndex, listener: ListenerKind) -> StreamId {
        self.streams_opened += 1;
        let id = StreamId(self.streams_opened);
        let peer = ([127, 0, 0, 1], 40_000).into();
        let process = self.servers[server.0].as_mut();
        let process = process.filter(|process| process.is_listening);
        let process = process.expect("a client connects to a server that runs");
        let admission = process.node.handle_connection(self.now, listener, peer);
        let mut stream = Stream::new(process.id, self.link);
        match admission {
            Admission::Admitted(session) => stream.admit(session),
            Admission::Refused(bytes) => stream.refuse(self.now, &mut self.entropy, &bytes),
        }
        self.streams.insert(id, stream);
        id
    }

    fn send(&mut self, stream: StreamId, bytes: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.client_sends(bytes);
        }
    }

    fn receive(&mut self, id: StreamId, patience: Duration) -> Received {
        let deadline = self.now.at + patience;
        let has_come = |host: &Self| match host.streams.get(&id) {
            Some(stream) => stream.has_arrived(host.now.at),
            None => true,
        };
        if !self.run_until(deadline, has_come) {
            return Received::Silence;
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Received::End;
        };
        match stream.client_reads(self.now) {
            Read::Bytes(bytes) => Received::Bytes(bytes),
            Read::End => Received::End,
            Read::Nothing => Received::Silence,
        }
    }

    fn disconnect(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.client_leaves(self.now, &mut self.entropy);
        }
    }

    fn stop(&mut self, server: ServerIndex) {
        let process = self.servers[server.0].as_mut();
        let process = process.expect("a server that runs is stopped");
        process.node.handle_stop(self.now);
        self.settle();
    }

    fn restart(&mut self, server: ServerIndex) {
        let deadline = self.now.at + STOP_MAX;
        let has_stopped = self.run_until(deadline, |host| host.servers[server.0].is_none());
        assert!(
            has_stopped,
            "the server does not stop:\n{}",
            self.describe()
        );
        let process = self.start_process();
        self.servers[server.0] = Some(process);
    }

    fn change_account(&mut self, change: AccountChange) {
        let hints = process::change_account(
            self.mail_root.path(),
            Arc::clone(&self.files),
            self.now.unix,
            &mut self.entropy,
            change,
        );
        for (to, bytes) in hints {
            self.plan(DATAGRAM_LATENCY_MAX, Happening::Datagram { to, bytes });
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.run_until(self.now.at + duration, |_| false);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let errors = self.errors.take();
        if !std::thread::panicking() {
            assert!(errors.is_empty(), "logged at ERROR:\n{}", errors.join("\n"));
        }
    }
}

//! The third runtime: hosts, their processes and their clients in one thread on virtual time.
//!
//! A [`World`] does for [`Node`](rmail_server::node::Node) and [`Session`] what the daemons do, by
//! the same calls, and is therefore the proof that they need no clock, no thread and no socket.
//! Time stands still while anything can happen, and then jumps to what happens next. Everything
//! that is left to chance comes from one seed.
//!
//! What goes wrong is somebody else's to say, by what a world offers: [`World::kill`],
//! [`World::lose_power`], [`World::lose_stream`], [`World::stall`], the faults of a
//! [`Disk`](crate::Disk), and the [`Conditions`].

mod conditions;
mod host;
mod log;
mod operator;
mod outbound;
mod pace;
mod process;
mod stream;
mod trace;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rmail_proto::{Entropy, Instant, Now, UnixTime};
use rmail_server::{
    node::{Admission, Done, Job, ListenerKind, NodeAction, SocketId},
    session::{Session, SessionId},
    tls::ServerTls,
};
use rmail_store::{Store, StoreError};

pub use self::{
    conditions::Conditions,
    host::HostId,
    operator::{CERTIFICATE, OTHER_CERTIFICATE, TAKEN_PORT, certificate_config},
    trace::Trace,
};
use self::{
    host::{Host, START_AGAIN, find_process},
    log::Log,
    outbound::Network,
    process::{Process, ProcessId},
    stream::{Stream, Surroundings},
    trace::Kind,
};
use crate::{
    AccountChange, Disk, DnsWorld, ServerIndex, Setup, StreamId,
    pipe::{Read, duration_between},
};

/// 2023-11-14 22:13:20 UTC.
const START: UnixTime = UnixTime(1_700_000_000);

/// How long a world is there already: durations can be taken from its first moment.
const START_INSTANT: Instant = Instant::from_start(Duration::from_secs(1000));

/// Most bytes that a session may hold: the send credit and one more unit of output, two pieces of
/// an upload, and what one read of a socket brings, in cleartext and in records.
const SESSION_BYTES_MAX: usize = 1024 * 1024;

/// See the module's documentation.
pub struct World {
    now: Now,
    entropy: Entropy,
    conditions: Conditions,
    hosts: Vec<Host>,
    /// What all name servers know.
    dns: DnsWorld,
    network: Network,
    /// UDP sockets that are open.
    sockets: BTreeSet<(ProcessId, SocketId)>,
    processes_started: u64,
    streams: BTreeMap<StreamId, Stream>,
    streams_opened: u64,
    happenings: BTreeMap<(Instant, u64), Happening>,
    happenings_planned: u64,
    /// When somebody looks around.
    wakes: BTreeSet<Instant>,
    /// Grows with whatever a client does.
    touched: u64,
    counts: Counts,
    trace: Trace,
    log: Log,
}

/// What happened, in numbers, for reports.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Jobs that ran.
    pub jobs: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Hosts that lost their power.
    pub power_losses: u64,
    /// Streams that were lost.
    pub streams_lost: u64,
    /// Streams that stood still for a while.
    pub stalls: u64,
    /// Datagrams that were lost or doubled.
    pub datagram_faults: u64,
    /// Connections from machine to machine that came up.
    pub dialled: u64,
    /// Times that machines could not reach each other for a while.
    pub partitions: u64,
}

/// What is going to happen, besides bytes that arrive, timers that run out and looks around.
#[derive(Debug)]
enum Happening {
    /// A job has a thread.
    JobBegins(ProcessId, Box<Job>),
    /// The end of a job is noticed.
    JobEnds(ProcessId, Box<Done>),
    /// A datagram arrives.
    Datagram {
        host: HostId,
        to: PathBuf,
        bytes: Vec<u8>,
    },
    /// A connection to another machine is there, or not.
    Dialled(ProcessId, SessionId, SocketAddr),
    /// A datagram arrives at a UDP socket.
    Udp {
        process: ProcessId,
        socket: SocketId,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A server is started that is down.
    Start(HostId, ServerIndex),
}

impl World {
    /// A world with nothing in it.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Now {
                at: START_INSTANT,
                unix: START,
            },
            entropy: Entropy::new(seed),
            conditions: Conditions::default(),
            hosts: Vec::new(),
            dns: DnsWorld::new(seed, ""),
            network: Network::default(),
            sockets: BTreeSet::new(),
            processes_started: 0,
            streams: BTreeMap::new(),
            streams_opened: 0,
            happenings: BTreeMap::new(),
            happenings_planned: 0,
            wakes: BTreeSet::new(),
            touched: 0,
            counts: Counts::default(),
            trace: Trace::new(),
            log: Log::listen(),
        }
    }

    /// A world with one host.
    pub fn with_host(setup: Setup, seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.add_host(setup);
        world
    }

    /// One more host, on which everything runs that the setup asks for.
    ///
    /// # Panics
    ///
    /// When the setup can't be made.
    pub fn add_host(&mut self, setup: Setup) -> HostId {
        let id = HostId(self.hosts.len());
        let (accounts, servers) = (setup.accounts.clone(), setup.servers);
        let host = Host::new(setup, certificate(), self.entropy.next_u64());
        self.hosts.push(host);
        for account in accounts {
            self.change_account(id, AccountChange::Add(account))
                .expect("an account can be made on a new disk");
        }
        for server in 0..servers {
            self.start(id, ServerIndex(server));
        }
        id
    }

    /// What holds from now on; streams keep the link that they were opened with.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The one source of chance.
    pub fn entropy(&mut self) -> &mut Entropy {
        &mut self.entropy
    }

    /// What happened.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// What happened, in numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was logged at ERROR since the last call.
    pub fn take_errors(&mut self) -> Vec<String> {
        self.log.take_errors()
    }

    /// A host's disk.
    pub fn disk(&self, host: HostId) -> Disk {
        self.hosts[host.0].disk.clone()
    }

    /// The largest message that a host takes, in bytes.
    pub fn message_bytes_max(&self, host: HostId) -> u64 {
        self.hosts[host.0].config().smtp.max_message_size.get()
    }

    /// Whether a server runs.
    pub fn is_up(&self, host: HostId, server: ServerIndex) -> bool {
        self.hosts[host.0].servers[server.0].is_some()
    }

    /// The store of a server that runs, for whoever compares what clients see with what is there.
    pub fn store(&self, host: HostId, server: ServerIndex) -> Option<Arc<dyn Store>> {
        let process = self.hosts[host.0].servers[server.0].as_ref()?;
        Some(Arc::clone(&process.world.store))
    }

    /// What everything waits for, for people.
    pub fn describe(&self) -> String {
        let mut lines = Vec::new();
        for (id, stream) in &self.streams {
            for session in stream.sessions() {
                lines.push(format!("{id}: {}", session.describe()));
            }
        }
        for process in self.processes() {
            let timer = process.node.poll_timeout();
            lines.push(format!("{}: timer {timer:?}", process.id));
        }
        for ((at, _), happening) in &self.happenings {
            let kind = Kind(happening);
            lines.push(format!("{:?}: {kind}", at.since_start()));
        }
        lines.join("\n")
    }

    /// Everything happens that can happen now.
    pub fn settle(&mut self) {
        loop {
            let mut has_changed = self.happen();
            while self.wakes.first().is_some_and(|at| *at <= self.now.at) {
                self.wakes.pop_first();
            }
            has_changed |= self.wake_nodes();
            has_changed |= self.carry_out();
            has_changed |= self.move_bytes();
            self.check_sessions();
            self.trace_log();
            if !has_changed {
                return;
            }
        }
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Instant> {
        let happenings = self.happenings.keys().next().map(|&(at, _)| at);
        let nodes = self
            .processes()
            .filter_map(|process| process.node.poll_timeout());
        let streams = self
            .streams
            .values()
            .filter_map(|stream| stream.next_event(self.now.at));
        let wake = self.wakes.first().copied();
        let planned = happenings.into_iter().chain(wake);
        planned.chain(nodes).chain(streams).min()
    }

    /// Time passes; it never goes back.
    pub fn set_time(&mut self, at: Instant) {
        self.now.at = self.now.at.max(at);
        let passed = self.now.at.since(START_INSTANT);
        self.now.unix = UnixTime(START.0 + passed.as_secs() as i64);
    }

    /// Grows with whatever a client does: when it has, there may be something to settle.
    pub fn touched(&self) -> u64 {
        self.touched
    }

    /// At this time everybody looks around.
    pub fn wake_at(&mut self, at: Instant) {
        self.wakes.insert(at);
    }

    // What goes wrong.

    /// SIGKILL, if the server runs; it is started again after that time.
    pub fn kill(&mut self, host: HostId, server: ServerIndex, restart_after: Duration) {
        let Some(process) = self.hosts[host.0].servers[server.0].take() else {
            return;
        };
        self.counts.kills += 1;
        self.hosts[host.0].interruptions += 1;
        self.note(process.id, format_args!("killed"));
        for stream in self.streams.values_mut() {
            stream.lose_process(process.id);
        }
        self.sockets.retain(|(owner, _)| *owner != process.id);
        process.kill();
        let at = self.now.at + restart_after;
        self.plan_at(at, Happening::Start(host, server));
    }

    /// The power of a host goes, and comes back after that time.
    pub fn lose_power(&mut self, host: HostId, restart_after: Duration) {
        self.counts.power_losses += 1;
        self.note(host, format_args!("power lost"));
        for server in 0..self.hosts[host.0].servers.len() {
            let is_up = self.is_up(host, ServerIndex(server));
            self.kill(host, ServerIndex(server), restart_after);
            self.counts.kills -= u64::from(is_up);
        }
        self.hosts[host.0].disk.lose_power();
    }

    /// The streams that there are.
    pub fn streams(&self) -> Vec<StreamId> {
        self.streams.keys().copied().collect()
    }

    /// A connection is lost, for both ends.
    pub fn lose_stream(&mut self, stream: StreamId) {
        if let Some(found) = self.streams.get_mut(&stream) {
            found.lose();
            self.counts.streams_lost += 1;
            self.note(stream, format_args!("connection lost"));
        }
    }

    /// Nothing arrives on a stream for so long.
    pub fn stall(&mut self, stream: StreamId, duration: Duration) {
        let until = self.now.at + duration;
        if let Some(found) = self.streams.get_mut(&stream) {
            found.stall(until);
            self.counts.stalls += 1;
            self.note(stream, format_args!("stalls for {duration:?}"));
        }
    }

    // What clients and operators do.

    /// Connects to a listener; `None` when nobody listens there.
    pub fn connect_to(
        &mut self,
        host: HostId,
        server: ServerIndex,
        listener: ListenerKind,
    ) -> Option<StreamId> {
        self.connect_from(([127, 0, 0, 1], 40_000).into(), host, server, listener)
    }

    /// The same, from this address.
    pub fn connect_from(
        &mut self,
        peer: SocketAddr,
        host: HostId,
        server: ServerIndex,
        listener: ListenerKind,
    ) -> Option<StreamId> {
        self.touched += 1;
        let process = self.hosts[host.0].servers[server.0].as_mut();
        let process = process.filter(|process| {
            let mut open = process.node.listeners().into_iter();
            open.any(|spec| spec.kind == listener)
        })?;
        self.streams_opened += 1;
        let id = StreamId(self.streams_opened);
        let admission = process
            .node
            .handle_connection(self.now, listener, peer, peer.ip());
        let place = process.id;
        let mut stream = Stream::new(id, process.id, self.conditions.link);
        match admission {
            Admission::Admitted(session) => stream.admit(session),
            Admission::Refused(bytes) => stream.refuse(self.now, &mut self.entropy, &bytes),
        }
        self.streams.insert(id, stream);
        self.note(place, format_args!("{id} to {}", listener.name()));
        Some(id)
    }

    /// Sends all of it, now or as soon as there is room.
    pub(crate) fn person_sends(&mut self, stream: StreamId, bytes: &[u8]) {
        self.touched += 1;
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.person_sends(bytes);
        }
    }

    /// Whether all that the person at its end sent is on its way.
    pub(crate) fn has_sent_all(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(Stream::has_sent_all)
    }

    /// What has come for the person at its end.
    pub(crate) fn person_reads(&mut self, stream: StreamId) -> Read {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return Read::Lost;
        };
        let read = stream.person_reads(self.now);
        if read != Read::Nothing {
            self.touched += 1;
        }
        read
    }

    /// The person at its end leaves.
    pub(crate) fn person_leaves(&mut self, stream: StreamId) {
        self.touched += 1;
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.person_leaves(self.now, &mut self.entropy);
        }
    }

    /// Does what the command line does to accounts.
    ///
    /// # Errors
    ///
    /// What the command line would say: the disk fails, or there is no such account.
    pub fn change_account(
        &mut self,
        host: HostId,
        change: AccountChange,
    ) -> Result<(), StoreError> {
        self.touched += 1;
        let now = self.now.unix;
        let hints = self.hosts[host.0].change_account(now, &mut self.entropy, change);
        self.check_power(host);
        for (to, bytes) in hints? {
            self.send_datagram(host, to, bytes);
        }
        Ok(())
    }

    /// Asks a server to stop, as SIGTERM does, without waiting for it. Nothing happens when it
    /// is down.
    pub fn stop_server(&mut self, host: HostId, server: ServerIndex) {
        self.touched += 1;
        let now = self.now;
        self.hosts[host.0].interruptions += 1;
        if let Some(process) = &mut self.hosts[host.0].servers[server.0] {
            process.node.handle_stop(now);
        }
    }

    /// Starts a server that is down; when it does not come up, again after a while.
    pub fn start(&mut self, host: HostId, server: ServerIndex) {
        if self.is_up(host, server) {
            return;
        }
        self.touched += 1;
        self.processes_started += 1;
        let id = ProcessId(self.processes_started);
        let entropy = Entropy::new(self.entropy.next_u64());
        let started = self.hosts[host.0].start(id, self.now, entropy);
        match started {
            Ok(process) => {
                self.note(id, format_args!("started as server {}", server.0));
                self.hosts[host.0].servers[server.0] = Some(process);
            }
            Err(error) => {
                self.note(id, format_args!("did not come up: {error}"));
                let at = self.now.at + START_AGAIN;
                self.plan_at(at, Happening::Start(host, server));
            }
        }
        self.check_power(host);
    }

    // What happens by itself.

    fn happen(&mut self) -> bool {
        let Some(entry) = self.happenings.first_entry() else {
            return false;
        };
        if entry.key().0 > self.now.at {
            return false;
        }
        match entry.remove() {
            Happening::JobBegins(id, job) => self.run_job(id, *job),
            Happening::JobEnds(id, done) => {
                let now = self.now;
                if let Some(process) = self.process(id) {
                    process.node.handle_job_done(now, *done);
                }
            }
            Happening::Datagram { host, to, bytes } => {
                let now = self.now;
                let servers = self.hosts[host.0].servers.iter_mut();
                let mut processes = servers.flatten();
                // Each process sees the disk under a path of its own.
                let is_its =
                    |process: &&mut Process| process.hint_socket.file_name() == to.file_name();
                if let Some(process) = processes.find(is_its) {
                    process.node.handle_datagram(now, None, &bytes);
                }
            }
            Happening::Dialled(process, session, to) => self.connect_session(process, session, to),
            Happening::Udp {
                process,
                socket,
                from,
                bytes,
            } => self.deliver_udp(process, socket, from, &bytes),
            Happening::Start(host, server) => self.start(host, server),
        }
        true
    }

    fn run_job(&mut self, id: ProcessId, job: Job) {
        self.trace_log();
        let place = format_args!("job {}", Kind(&job));
        self.trace.line(self.now.at, id, place);
        let Some(process) = self.process(id) else {
            return;
        };
        let done = job.run(&process.world);
        self.counts.jobs += 1;
        let host = self.host_of(id).expect("the process runs on a host");
        if self.check_power(host) {
            self.log.forget_lines();
        } else {
            let wait_max = self.conditions.job_wait_max;
            self.plan(wait_max, Happening::JobEnds(id, Box::new(done)));
        }
    }

    fn trace_log(&mut self) {
        for line in self.log.take_lines() {
            self.trace.line(self.now.at, "log", format_args!("{line}"));
        }
    }

    /// When the disk has had its last operation, the power of its host is gone.
    fn check_power(&mut self, host: HostId) -> bool {
        let is_lost = self.hosts[host.0].disk.has_crashed();
        if is_lost {
            self.lose_power(host, START_AGAIN);
        }
        is_lost
    }

    fn wake_nodes(&mut self) -> bool {
        let mut has_changed = false;
        let now = self.now;
        for process in self.processes_mut() {
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
        for (number, host) in self.hosts.iter_mut().enumerate() {
            for process in host.servers.iter_mut().flatten() {
                while let Some(action) = process.node.poll_action() {
                    actions.push_back((HostId(number), process.id, action));
                }
            }
        }
        let has_changed = !actions.is_empty();
        for (host, id, action) in actions {
            match action {
                NodeAction::RunJob(job) => {
                    let wait_max = self.conditions.job_wait_max;
                    self.plan(wait_max, Happening::JobBegins(id, Box::new(job)));
                }
                NodeAction::Notify(session, event) => {
                    let now = self.now;
                    if let Some(session) = self.session(id, session) {
                        session.handle_event(now, event);
                    }
                }
                NodeAction::SendDatagram { to, bytes } => self.send_datagram(host, to, bytes),
                NodeAction::Dial {
                    session,
                    to,
                    patience,
                } => self.dial(id, session, to, patience),
                NodeAction::SendUdp { socket, to, bytes } => self.send_udp(id, socket, to, &bytes),
                NodeAction::CloseUdp(socket) => {
                    self.sockets.remove(&(id, socket));
                }
                NodeAction::SetLog(..) => {}
                NodeAction::Listen(spec) => {
                    if let Some(process) = self.process(id) {
                        let opened = operator::listen(spec);
                        process.node.handle_listening(spec, opened);
                    }
                }
                NodeAction::CloseListener(spec) => {
                    if let Some(process) = self.process(id) {
                        process.node.handle_listener_closed(spec);
                    }
                }
                NodeAction::Stopped => {
                    self.note(id, format_args!("stopped"));
                    let is_stopped = |process: &mut Process| process.id == id;
                    for server in &mut self.hosts[host.0].servers {
                        server.take_if(is_stopped);
                    }
                }
            }
        }
        has_changed
    }

    fn send_datagram(&mut self, host: HostId, to: PathBuf, bytes: Vec<u8>) {
        let mut copies = 1;
        if self.entropy.next_below(1000) < u64::from(self.conditions.datagrams_lost_per_mille) {
            copies = 0;
        } else if self.entropy.next_below(1000)
            < u64::from(self.conditions.datagrams_doubled_per_mille)
        {
            copies = 2;
        }
        self.counts.datagram_faults += u64::from(copies != 1);
        for _ in 0..copies {
            let (to, bytes) = (to.clone(), bytes.clone());
            let datagram = Happening::Datagram { host, to, bytes };
            self.plan(self.conditions.datagram_latency_max, datagram);
        }
    }

    fn move_bytes(&mut self) -> bool {
        let mut has_changed = false;
        let mut around = Surroundings {
            now: self.now,
            entropy: &mut self.entropy,
            trace: &mut self.trace,
        };
        for stream in self.streams.values_mut() {
            has_changed |= stream.progress(&mut around, &mut self.hosts);
        }
        self.streams.retain(|_, stream| !stream.is_over());
        has_changed
    }

    /// No peer makes a session hold more than its share.
    fn check_sessions(&self) {
        for session in self.streams.values().flat_map(Stream::sessions) {
            let held = session.held_bytes();
            assert!(
                held <= SESSION_BYTES_MAX,
                "a session holds {held} bytes: {}",
                session.describe()
            );
        }
    }

    fn note(&mut self, place: impl std::fmt::Display, text: std::fmt::Arguments<'_>) {
        self.trace.line(self.now.at, place, text);
    }

    fn plan(&mut self, within: Duration, happening: Happening) {
        self.plan_from(self.now.at, within, happening);
    }

    fn plan_from(&mut self, at: Instant, within: Duration, happening: Happening) {
        let wait = duration_between(&mut self.entropy, Duration::ZERO, within);
        self.plan_at(at + wait, happening);
    }

    fn plan_at(&mut self, at: Instant, happening: Happening) {
        self.happenings_planned += 1;
        self.happenings
            .insert((at, self.happenings_planned), happening);
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let hosts = self.hosts.iter();
        hosts.flat_map(|host| host.servers.iter().flatten())
    }

    fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        let hosts = self.hosts.iter_mut();
        hosts.flat_map(|host| host.servers.iter_mut().flatten())
    }

    fn process(&mut self, id: ProcessId) -> Option<&mut Process> {
        find_process(&mut self.hosts, id)
    }

    fn host_of(&self, id: ProcessId) -> Option<HostId> {
        let is_there = |host: &Host| host.servers.iter().flatten().any(|found| found.id == id);
        self.hosts.iter().position(is_there).map(HostId)
    }

    fn session(&mut self, process: ProcessId, session: SessionId) -> Option<&mut Session> {
        let mut streams = self.streams.values_mut();
        streams.find_map(|stream| stream.session_mut(process, session))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let errors = self.log.take_errors();
        if !std::thread::panicking() {
            assert!(errors.is_empty(), "logged at ERROR:\n{}", errors.join("\n"));
        }
    }
}

/// The certificate that all hosts have at first.
fn certificate() -> Arc<ServerTls> {
    let setup = Setup {
        config: operator::certificate_config(operator::CERTIFICATE),
        ..Setup::default()
    };
    let tls = ServerTls::load_or_create(&setup.config(Path::new("/")), START);
    Arc::new(tls.expect("the certificate of the tests can be read"))
}

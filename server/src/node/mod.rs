//! What all sessions of a process share: admission, accounts, open mailboxes, group commit,
//! delivery, hints to other processes, reload and shutdown.
//!
//! [`Node`] is sans-IO like the machines. `handle_*` in; after each of them the driver drains
//! [`Node::poll_action`]; [`Node::handle_timeout`] is due at [`Node::poll_timeout`]. Whatever
//! blocks leaves as a [`Job`] and comes back with [`Node::handle_job_done`]; what memory can
//! answer is answered without one.

mod admission;
mod authentication;
mod automatic_replies;
mod conclusions;
mod connections;
mod control;
mod delivery;
mod directory;
mod expansion;
mod http;
mod imap;
mod job_queues;
mod jobs;
mod lifecycle;
mod listeners;
mod lookups;
mod mailboxes;
mod notifications;
mod outbound;
mod smtp;
mod status;
#[cfg(test)]
mod tests;
mod uploads;
mod writes;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustls::ServerConfig;

use authentication::SlowedAnswer;
use job_queues::JobQueues;
use rmail_proto::{AccountId, CallId, Entropy, Instant, MailboxId, Now, Secret, UploadId};
use rmail_store::{StageId, StoreError};

pub(crate) use admission::listeners as configured_listeners;
pub use admission::{Admission, ListenerKind, ListenerSpec};
pub use control::{RELOAD, ReloadReport, STATUS};
pub(crate) use directory::is_own_address;
pub use jobs::{Done, Job, World};
pub use notifications::{Channel, NotifyDone, NotifyJob, QueueName};
pub use status::{ClientLimits, LimitsStatus, SmtpLimits, Status};

use crate::{
    api::service::{ApiKeys, Service},
    config::{Config, LogFormat, LogLevel},
    credentials::PasswordCache,
    guesses::Guesses,
    rate_limit::RateLimiter,
    session::{Call, Reply, Request, SessionEvent, SessionId},
    tls::{ClientTls, ServerTls},
};

/// Names a UDP socket of this process. Never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SocketId(pub u64);

/// What a node wants done, in order.
#[derive(Debug)]
pub enum NodeAction {
    /// Run this where it may block; [`Node::handle_job_done`] is owed.
    RunJob(Job),
    /// Hand this to the session, if it still lives.
    Notify(SessionId, SessionEvent),
    /// Send a datagram to a Unix socket; losing it is harmless.
    SendDatagram {
        /// The socket.
        to: PathBuf,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Connect to another machine; [`Node::handle_dialled`] is owed.
    Dial {
        /// The session that is to be.
        session: SessionId,
        /// Where to.
        to: SocketAddr,
        /// How long it may take.
        patience: Duration,
    },
    /// Send a datagram from a UDP socket of its own, on a port that the system draws, and hand in
    /// what comes back with [`Node::handle_udp`] until it is closed. Failing is harmless.
    SendUdp {
        /// The new socket.
        socket: SocketId,
        /// Where to.
        to: SocketAddr,
        /// Its content.
        bytes: Bytes,
    },
    /// Close a UDP socket.
    CloseUdp(SocketId),
    /// Log at this level, in this format, from now on.
    SetLog(LogLevel, LogFormat),
    /// Open this listener; [`Node::handle_listening`] is owed.
    Listen(ListenerSpec),
    /// Close this listener; [`Node::handle_listener_closed`] is owed.
    CloseListener(ListenerSpec),
    /// Everything that was begun is finished: end the process.
    Stopped,
}

/// What a node is made with.
#[derive(Debug)]
pub struct NodeSetup {
    /// The configuration.
    pub config: Arc<Config>,
    /// The certificate.
    pub tls: Arc<ServerTls>,
    /// For connections to other servers.
    pub client_tls: ClientTls,
    /// The name servers of this machine, in the form of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Fresh randomness of the operating system: seeds of sessions.
    pub seed: u64,
    /// Fresh randomness of the operating system: the key of remembered passwords.
    pub cache_key: Secret<[u8; 32]>,
    /// How many password hashes may be computed at once: twice the number of processors.
    pub hashes_running_max: usize,
    /// The secrets of the HTTP API.
    pub api_keys: ApiKeys,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    api: Arc<Service>,
    tls: Arc<ServerTls>,
    /// The same for port 25.
    inbound_tls: Arc<ServerConfig>,
    client_tls: ClientTls,
    entropy: Entropy,
    actions: VecDeque<NodeAction>,
    jobs: JobQueues,
    sessions: BTreeMap<SessionId, SessionEntry>,
    sessions_begun: u64,
    http: http::HttpSessions,
    rate_limiter: RateLimiter,
    guesses: Guesses,
    slowed: VecDeque<(Instant, SlowedAnswer)>,
    directory: directory::Directory,
    passwords: PasswordCache,
    uploads: BTreeMap<(SessionId, UploadId), uploads::Upload>,
    mailboxes: mailboxes::OpenMailboxes,
    account_writes: BTreeMap<AccountId, writes::AccountQueue>,
    spool_writes: writes::SpoolQueue,
    delivery: delivery::Delivery,
    outbound: outbound::Outbound,
    lookups: lookups::Lookups,
    notifications: notifications::Notifications,
    peers: lifecycle::Peers,
    listeners: listeners::Listeners,
    reloads: control::Reloads,
    started_at: Instant,
    timers: BTreeMap<(Instant, u64), NodeTimer>,
    timers_set: u64,
    stopping: Option<lifecycle::Stopping>,
}

/// What the node knows of a session.
#[derive(Debug)]
struct SessionEntry {
    kind: SessionKind,
    /// Who has connected.
    peer: Option<IpAddr>,
    login: Option<Login>,
    /// What an SMTP client has announced of its message, in bytes; 0 when it did not.
    announced_bytes: u64,
    selected: Option<SelectedMailbox>,
    /// When it began, or last asked for something.
    active_at: Instant,
    /// It was told to end, and its place is somebody else's.
    is_leaving: bool,
}

impl SessionEntry {
    fn new(now: Now, kind: SessionKind, peer: Option<IpAddr>) -> Self {
        Self {
            kind,
            peer,
            login: None,
            announced_bytes: 0,
            selected: None,
            active_at: now.at,
            is_leaving: false,
        }
    }
}

/// How a session began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SessionKind {
    /// Somebody has connected to this listener.
    Accepted(ListenerKind),
    /// We have connected to another server.
    Dialled,
}

/// Who has logged in, and by which state of the account: see
/// [`Account::generation`](rmail_store::Account::generation).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Login {
    account: AccountId,
    generation: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct SelectedMailbox {
    mailbox: MailboxId,
    read_only: bool,
}

/// Who asked, and where the reply goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Asker {
    session: SessionId,
    call: CallId,
}

/// When to do what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NodeTimer {
    /// When to try an account's writes again that found the database busy.
    RetryAccount(AccountId),
    /// When to try the spool's writes again.
    RetrySpool,
    /// When to try again to write the ends of deliveries to the spool.
    RetryPutOff,
    /// When to ask again what changed in a mailbox whose database was busy.
    RetryRefresh(AccountId, MailboxId),
    /// When to forget what clients did long ago.
    ForgetClients,
    /// When to run the jobs again that found a database busy.
    RetryJobs,
    /// When to look at what other processes did.
    Peers,
    /// When to look for spooled messages that nobody has claimed.
    Claim,
    /// When to look for mail to other servers that is due.
    ClaimRemote,
    /// When to end connections to other servers for which there is nothing to do.
    IdleConnections,
    /// When to give an answer that was kept back.
    SlowedAnswer,
    /// When to read all subscriptions again.
    Subscriptions,
    /// When to look what has changed for subscriptions.
    Settled,
    /// When to post again what was not taken.
    Posts,
    /// When the resolver has waited long enough.
    Lookups,
    /// When sessions that outlive a shutdown are ended.
    Grace,
}

impl Node {
    /// A node that has not begun: see [`handle_start`](Self::handle_start).
    pub fn new(setup: NodeSetup) -> Self {
        let mut entropy = Entropy::new(setup.seed);
        let seed = entropy.next_u64();
        let lookups = lookups::Lookups::new(&setup.config, setup.resolv_conf, seed);
        let api = Service::new(Arc::clone(&setup.config), setup.api_keys);
        let listeners = admission::listeners(&setup.config);
        Self {
            api: Arc::new(api),
            config: setup.config,
            inbound_tls: setup.tls.without_tickets(),
            tls: setup.tls,
            client_tls: setup.client_tls,
            entropy,
            actions: VecDeque::new(),
            jobs: JobQueues::new(setup.hashes_running_max),
            sessions: BTreeMap::new(),
            sessions_begun: 0,
            http: http::HttpSessions::default(),
            rate_limiter: RateLimiter::default(),
            guesses: Guesses::default(),
            slowed: VecDeque::new(),
            directory: directory::Directory::default(),
            passwords: PasswordCache::new(setup.cache_key.reveal()),
            uploads: BTreeMap::new(),
            mailboxes: mailboxes::OpenMailboxes::default(),
            account_writes: BTreeMap::new(),
            spool_writes: writes::SpoolQueue::default(),
            delivery: delivery::Delivery::default(),
            outbound: outbound::Outbound::default(),
            lookups,
            notifications: notifications::Notifications::default(),
            peers: lifecycle::Peers::default(),
            listeners: listeners::Listeners::new(listeners),
            reloads: control::Reloads::default(),
            started_at: Instant::default(),
            timers: BTreeMap::new(),
            timers_set: 0,
            stopping: None,
        }
    }

    /// The process is up, and accepts connections: looks for mail that an earlier one left in the
    /// spool.
    pub fn handle_start(&mut self, now: Now) {
        self.tell_listeners();
        self.started_at = now.at;
        self.set_timer(now.at, NodeTimer::Claim);
        self.set_timer(now.at, NodeTimer::ClaimRemote);
        self.set_timer(now.at, NodeTimer::Peers);
        self.set_timer(now.at, NodeTimer::ForgetClients);
        self.set_timer(now.at, NodeTimer::Subscriptions);
        self.handle_timeout(now);
    }

    /// Takes what a session asks.
    pub fn handle_request(&mut self, now: Now, session: SessionId, request: Request) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.active_at = now.at;
        }
        match request {
            Request::Call(call_id, call) => {
                let asker = Asker {
                    session,
                    call: call_id,
                };
                match call {
                    Call::Smtp(call, summary) => self.handle_smtp(now, asker, call, summary),
                    Call::Imap(call, summary) => self.handle_imap(now, asker, call, summary),
                    Call::Http(call) => self.handle_http(now, asker, call),
                    Call::SmtpClient(call) => self.handle_smtp_client(now, asker, call),
                    Call::Raw(bytes) => self.handle_lookup_bytes(now, session, &bytes),
                }
            }
            // Replies to calls that nobody waits for are ignored by the machines; but a message
            // is not given to one that does not want it any more.
            Request::Cancel(call) => self.handle_cancelled(session, call),
        }
    }

    /// The session is over and its stream is dropped.
    pub fn handle_session_over(&mut self, now: Now, session: SessionId) {
        if let Some(entry) = self.sessions.remove(&session) {
            self.close_selected(session, &entry);
            self.discard_uploads(session);
            self.end_http(session);
            self.release_connection(&entry);
            if entry.kind == SessionKind::Dialled {
                self.handle_dialled_over(now, session);
            }
        }
        self.check_stopped(now);
    }

    /// A job is done.
    pub fn handle_job_done(&mut self, now: Now, done: Done) {
        self.jobs.finish(done.kind());
        self.handle_done(now, done);
        self.start_jobs();
        self.check_stopped(now);
    }

    /// A datagram from another process on the same `mail_root`; `from`: its socket, if it has a
    /// name.
    pub fn handle_datagram(&mut self, now: Now, from: Option<&Path>, bytes: &[u8]) {
        self.handle_hint(now, bytes);
        if let Some(from) = from {
            self.handle_command(now, from, bytes);
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now.at {
                break;
            }
            match entry.remove() {
                NodeTimer::RetryAccount(account) => self.retry_account(now, account),
                NodeTimer::RetrySpool => self.retry_spool(now),
                NodeTimer::RetryJobs => self.retry_jobs(),
                NodeTimer::ForgetClients => self.forget_clients(now),
                NodeTimer::RetryPutOff => self.retry_put_off(now),
                NodeTimer::RetryRefresh(account, mailbox) => self.retry_refresh(account, mailbox),
                NodeTimer::Peers => self.handle_peers_timer(now),
                NodeTimer::Claim => self.claim_spooled(now),
                NodeTimer::ClaimRemote => self.claim_remote(now),
                NodeTimer::IdleConnections => self.end_idle_connections(now),
                NodeTimer::SlowedAnswer => self.handle_slowed(now),
                NodeTimer::Subscriptions => self.handle_subscriptions_timer(now),
                NodeTimer::Settled => self.handle_settled(now),
                NodeTimer::Posts => self.handle_posts_timer(now),
                NodeTimer::Lookups => self.handle_lookups_timer(now),
                NodeTimer::Grace => self.end_grace(),
            }
        }
        self.check_stopped(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.keys().next().map(|&(at, _)| at)
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<NodeAction> {
        self.actions.pop_front()
    }

    fn forget_clients(&mut self, now: Now) {
        let limits = &self.config.rate_limit;
        self.rate_limiter.forget_stale(now.at, limits);
        let at = now.at + limits.cleanup_interval;
        self.set_timer(at, NodeTimer::ForgetClients);
    }

    fn set_timer(&mut self, at: Instant, timer: NodeTimer) {
        self.timers_set += 1;
        self.timers.insert((at, self.timers_set), timer);
    }

    fn reply(&mut self, asker: Asker, reply: Reply) {
        let event = SessionEvent::Reply(asker.call, reply);
        self.notify(asker.session, event);
    }

    fn notify(&mut self, session: SessionId, event: SessionEvent) {
        if self.sessions.contains_key(&session) {
            self.actions.push_back(NodeAction::Notify(session, event));
        }
    }

    fn drop_stage(&mut self, stage: StageId) {
        self.run(Job::DropStage(stage));
    }
}

/// ERROR is for what an operator must see to; a busy database is no such thing, and what is gone
/// was taken away by somebody.
fn log_failure(error: &StoreError, what: &str) {
    match error {
        StoreError::Full | StoreError::Failed(_) => tracing::error!(%error, "{what}"),
        StoreError::Busy
        | StoreError::NoSuchAccount
        | StoreError::AddressTaken
        | StoreError::NoSuchAlias
        | StoreError::AliasLoop(_)
        | StoreError::NoSuchMailbox
        | StoreError::NoSuchMessage
        | StoreError::ChangedSince
        | StoreError::OverQuota
        | StoreError::MailboxExists
        | StoreError::MailboxProtected
        | StoreError::TooMany(_)
        | StoreError::NoSuchUpload
        | StoreError::NoSuchEntry
        | StoreError::InDelivery => tracing::warn!(%error, "{what}"),
    }
}

//! What the node promises when things happen in an unlucky order. Jobs run when a test says so.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use rmail_proto::{Address, ForwardPath, ModSeq, UnixTime, imap, mime::Summary, smtp};
use rmail_store::{
    AccountUpdate, Destination, DirectoryWrite, NewAccount, NewRecipient, NewSpoolEntry, RealFiles,
    SpoolId, SpoolWrite, SqliteStore,
};
use tempfile::TempDir;

mod aliases;
mod delivery;
mod http;
mod notifications;
mod outbound;
mod quota;
mod rate_limit;

use super::*;
use crate::{
    credentials::Credential,
    limits,
    outside::{random, webhooks::Post},
};

struct Site {
    node: Node,
    world: World,
    now: Now,
    jobs: VecDeque<Job>,
    events: Vec<(SessionId, SessionEvent)>,
    calls: u64,
    /// Connections so far.
    connections: u32,
    /// Connections that are to be made.
    dials: VecDeque<(SessionId, SocketAddr)>,
    /// How many jobs are run before the process dies, if it is to.
    jobs_left: Option<u32>,
    config: Arc<Config>,
    /// Where notifications go.
    targets: Arc<notifications::Targets>,
    _folder: TempDir,
}

/// When tests begin.
const START: UnixTime = UnixTime(1_800_000_000);

impl Site {
    fn new() -> Self {
        Self::with(r#"{"domains": ["mail.example"], "hostname": "mail.example"}"#)
    }

    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (config, _warnings) = Config::load(text, folder.path()).unwrap();
        let now = Now {
            at: Instant::from_start(Duration::ZERO),
            unix: START,
        };
        let targets = Arc::new(notifications::Targets::default());
        Self::start(Arc::new(config), targets, now, 1, folder)
    }

    /// A process that starts; `folder` goes with it.
    fn start(
        config: Arc<Config>,
        targets: Arc<notifications::Targets>,
        now: Now,
        seed: u64,
        folder: TempDir,
    ) -> Self {
        let store = SqliteStore::open(&config.mail_root, Arc::new(RealFiles), None, seed).unwrap();
        let mut site = Self {
            node: new_node(&config),
            world: World {
                store: Arc::new(store),
                poster: Arc::clone(&targets) as Arc<dyn Post>,
                config_path: folder.path().join("config.json"),
            },
            now,
            jobs: VecDeque::new(),
            events: Vec::new(),
            calls: 0,
            connections: 0,
            dials: VecDeque::new(),
            jobs_left: None,
            config,
            targets,
            _folder: folder,
        };
        site.node.handle_start(site.now);
        site.settle();
        site
    }

    /// The process dies, and another takes its place.
    fn restart(&mut self) {
        self.jobs_left = None;
        let root = &self.config.mail_root;
        let seed = self.now.at.since_start().as_nanos() as u64 + 2;
        let store = SqliteStore::open(root, Arc::new(RealFiles), None, seed).unwrap();
        self.world.store = Arc::new(store);
        self.node = new_node(&self.config);
        self.node.handle_start(self.now);
        self.settle();
    }

    /// The clocks go on to this moment.
    fn set_time(&mut self, at: Instant) {
        self.now.at = at;
        self.now.unix = UnixTime(START.0 + at.since_start().as_secs() as i64);
    }

    /// Makes the account `ann@mail.example`.
    fn make_account(&mut self) -> AccountId {
        self.make_account_of("ann")
    }

    fn make_account_of(&mut self, local_part: &str) -> AccountId {
        let credential = Credential::new(&password(), random::bytes()).to_string();
        self.write_directory(DirectoryWrite::CreateAccount(NewAccount {
            address: Address::parse(&format!("{local_part}@mail.example")).unwrap(),
            guid: random::guid(),
            credential,
            is_admin: false,
        }))
    }

    fn write_directory(&mut self, write: DirectoryWrite) -> AccountId {
        let results = self.world.store.write_directory(self.now.unix, vec![write]);
        results.unwrap().remove(0).unwrap()
    }

    /// Somebody connects, from another address each time.
    fn connect(&mut self, kind: ListenerKind) -> SessionId {
        self.connections += 1;
        let address = std::net::Ipv4Addr::from_bits(0xc633_6400 + self.connections);
        self.connect_from(kind, address.into())
    }

    fn connect_from(&mut self, kind: ListenerKind, peer: IpAddr) -> SessionId {
        let peer = SocketAddr::new(peer, 4000);
        match self.node.handle_connection(self.now, kind, peer, peer.ip()) {
            Admission::Admitted(session) => session.id(),
            Admission::Refused(reason) => panic!("refused: {reason:?}"),
        }
    }

    fn ask(&mut self, session: SessionId, call: Call) {
        self.calls += 1;
        let request = Request::Call(CallId(self.calls), call);
        self.node.handle_request(self.now, session, request);
        self.drain();
    }

    fn ask_login(&mut self, session: SessionId) {
        let call = imap::Call::Authenticate {
            username: "ann@mail.example".to_owned(),
            password: password(),
        };
        self.ask(session, Call::Imap(call, None));
    }

    fn log_in(&mut self) -> SessionId {
        let session = self.connect(ListenerKind::Imap);
        self.ask_login(session);
        self.settle();
        let reply = self.events.pop();
        assert!(
            matches!(
                reply,
                Some((
                    _,
                    SessionEvent::Reply(_, Reply::Imap(imap::Reply::Authenticated { .. }))
                ))
            ),
            "{reply:?}"
        );
        session
    }

    fn pass(&mut self, time: Duration) {
        self.now.at = self.now.at + time;
        self.node.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.node.poll_action() {
            match action {
                NodeAction::RunJob(job) => self.jobs.push_back(job),
                NodeAction::Notify(session, event) => self.events.push((session, event)),
                NodeAction::Dial { session, to, .. } => self.dials.push_back((session, to)),
                NodeAction::SendUdp { .. }
                | NodeAction::CloseUdp(_)
                | NodeAction::SendDatagram { .. }
                | NodeAction::SetLog(..)
                | NodeAction::Listen(_)
                | NodeAction::CloseListener(_)
                | NodeAction::Stopped => {}
            }
        }
    }

    fn finish(&mut self, done: Done) {
        self.node.handle_job_done(self.now, done);
        self.drain();
    }

    /// Runs jobs until there are none.
    fn settle(&mut self) {
        self.drain();
        while let Some(job) = self.jobs.pop_front() {
            match &mut self.jobs_left {
                Some(0) => return self.jobs.clear(),
                Some(left) => *left -= 1,
                None => {}
            }
            let done = job.run(&self.world);
            self.finish(done);
        }
    }

    fn is_told_to_end(&self, session: SessionId) -> bool {
        self.events
            .iter()
            .any(|(told, event)| *told == session && matches!(event, SessionEvent::Shutdown { .. }))
    }
}

fn new_node(config: &Arc<Config>) -> Node {
    let tls = ServerTls::load_or_create(config, START).unwrap();
    Node::new(NodeSetup {
        config: Arc::clone(config),
        tls: Arc::new(tls),
        client_tls: ClientTls::without_roots(),
        resolv_conf: String::new(),
        seed: 1,
        cache_key: Secret::new([1; 32]),
        hashes_running_max: 2,
        api_keys: ApiKeys {
            token_secret: Secret::new("a secret of at least 32 bytes, truly".to_owned()),
            process: Secret::new([2; 32]),
        },
    })
}

fn password() -> Secret<String> {
    Secret::new("correct horse".to_owned())
}

fn disable(account: AccountId) -> DirectoryWrite {
    let update = AccountUpdate {
        is_enabled: Some(false),
        ..AccountUpdate::default()
    };
    DirectoryWrite::UpdateAccount { account, update }
}

/// Another process takes a message for ann.
fn spool(site: &Site, bytes: usize) {
    let recipient = smtp::Recipient::new(ForwardPath::Address(
        Address::parse("Ann@mail.example").unwrap(),
    ));
    let entry = NewSpoolEntry {
        envelope_id: "e".to_owned(),
        reverse_path: rmail_proto::ReversePath::Null,
        notice: Default::default(),
        smtputf8: false,
        eight_bit_mime: false,
        recipients: vec![NewRecipient {
            recipient,
            destination: Destination::Local,
        }],
        summary: Default::default(),
        content: rmail_store::Content::Inline(vec![b'x'; bytes].into()),
        is_claimed: false,
    };
    let accepted = site
        .world
        .store
        .write_spool(START, vec![SpoolWrite::Accept(entry)]);
    accepted.unwrap().remove(0).unwrap();
}

#[test]
fn sessions_of_a_deleted_account_are_told_to_end_and_others_are_not() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.log_in();
    let stranger = site.connect(ListenerKind::Imap);
    site.pass(limits::PEERS_INTERVAL);
    site.settle();
    assert!(!site.is_told_to_end(session));
    site.write_directory(DirectoryWrite::DeleteAccount(account));
    site.pass(limits::PEERS_INTERVAL);
    site.settle();
    assert!(site.is_told_to_end(session));
    assert!(!site.is_told_to_end(stranger));
}

#[test]
fn login_that_was_read_before_its_account_was_disabled_neither_lasts_nor_is_remembered() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.connect(ListenerKind::Imap);
    site.ask_login(session);
    let job = site.jobs.pop_back().unwrap();
    let read_before = job.run(&site.world);
    site.write_directory(disable(account));
    site.pass(limits::PEERS_INTERVAL);
    site.settle();
    site.finish(read_before);
    site.settle();
    assert!(site.is_told_to_end(session));
    let address = Address::parse("ann@mail.example").unwrap();
    assert_eq!(site.node.directory.cached(&address), None);
}

#[test]
fn message_whose_last_piece_fails_leaves_no_upload() {
    let mut site = Site::new();
    let session = site.connect(ListenerKind::Smtp);
    let upload = UploadId(1);
    let data = Bytes::from_static(b"Subject: x\r\n\r\n");
    let chunk = smtp::Call::Chunk {
        upload,
        data: data.clone(),
    };
    site.ask(session, Call::Smtp(chunk, None));
    site.settle();
    let envelope = smtp::Envelope {
        id: "1".to_owned(),
        reverse_path: rmail_proto::ReversePath::Null,
        recipients: Vec::new(),
        identity: None,
        header_from: Vec::new(),
        smtputf8: false,
        eight_bit_mime: false,
        notice: smtp::MailNotice::default(),
    };
    let message = smtp::Call::Message {
        upload,
        data,
        envelope: Box::new(envelope),
    };
    site.ask(
        session,
        Call::Smtp(message, Some(Arc::new(Summary::default()))),
    );
    let Some(Job::Stage { stage, .. }) = site.jobs.pop_front() else {
        panic!("the last piece is staged");
    };
    site.finish(Done::Staged {
        session,
        upload,
        stage,
        outcome: Err(StoreError::Full),
    });
    assert!(site.node.uploads.is_empty());
    let reply = site.events.last();
    assert!(
        matches!(
            reply,
            Some((
                _,
                SessionEvent::Reply(_, Reply::Smtp(smtp::Reply::Refused(_)))
            ))
        ),
        "{reply:?}"
    );
    assert!(matches!(site.jobs.pop_front(), Some(Job::DropStage(_))));
}

#[test]
fn upload_of_a_session_that_ends_while_a_piece_is_written_is_dropped() {
    let mut site = Site::new();
    let session = site.connect(ListenerKind::Smtp);
    let chunk = smtp::Call::Chunk {
        upload: UploadId(1),
        data: Bytes::from_static(b"Subject: x\r\n"),
    };
    site.ask(session, Call::Smtp(chunk, None));
    site.node.handle_session_over(site.now, session);
    let job = site.jobs.pop_front().unwrap();
    let done = job.run(&site.world);
    site.finish(done);
    assert!(site.node.uploads.is_empty());
    assert!(matches!(site.jobs.pop_front(), Some(Job::DropStage(_))));
    assert!(site.events.is_empty());
}

#[test]
fn looks_at_other_processes_do_not_pile_up() {
    let mut site = Site::new();
    for _ in 0..10 {
        site.pass(limits::PEERS_INTERVAL);
        site.node.handle_datagram(site.now, None, b"directory");
        site.drain();
    }
    let is_look = |job: &&Job| matches!(job, Job::LookAtPeers { .. });
    assert_eq!(site.jobs.iter().filter(is_look).count(), 1);
    site.settle();
    site.pass(limits::PEERS_INTERVAL);
    assert_eq!(site.jobs.iter().filter(is_look).count(), 1);
}

#[test]
fn mailbox_that_is_older_than_changes_of_it_is_asked_for_the_gap() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.log_in();
    let select = imap::Call::Select {
        name: "INBOX".to_owned(),
        read_only: false,
    };
    site.ask(session, Call::Imap(select, None));
    site.settle();
    let mailbox = site.node.sessions[&session].selected.unwrap().mailbox;
    let changes = imap::Changes {
        modseq: ModSeq(u64::MAX),
        ..imap::Changes::default()
    };
    let since = ModSeq(u64::MAX - 1);
    site.node.apply_changes(account, mailbox, since, &changes);
    site.drain();
    assert!(matches!(site.jobs.front(), Some(Job::Changes { .. })));
    let open = site.node.mailboxes.find(account, mailbox).unwrap();
    assert!(open.snapshot.modseq() < since);
}

/// The job that asks what has changed in a mailbox, if there is one.
fn is_asked_for_changes(site: &Site) -> bool {
    matches!(site.jobs.front(), Some(Job::Changes { .. }))
}

#[test]
fn what_is_written_while_a_mailbox_is_loaded_is_asked_for() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.log_in();
    let select = imap::Call::Select {
        name: "INBOX".to_owned(),
        read_only: false,
    };
    site.ask(session, Call::Imap(select, None));
    let load = site.jobs.pop_front().expect("the mailbox is loaded");
    let loaded = load.run(&site.world);
    let hint = format!("account {}", account.0);
    site.node.handle_datagram(site.now, None, hint.as_bytes());
    site.drain();
    assert!(site.jobs.is_empty(), "nobody has it open");
    site.finish(loaded);
    assert!(is_asked_for_changes(&site));
}

#[test]
fn what_changes_while_changes_are_asked_for_is_asked_for_again() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.log_in();
    let select = imap::Call::Select {
        name: "INBOX".to_owned(),
        read_only: true,
    };
    site.ask(session, Call::Imap(select, None));
    site.settle();
    let hint = format!("account {}", account.0);
    site.node.handle_datagram(site.now, None, hint.as_bytes());
    site.drain();
    let asked = site.jobs.pop_front().expect("the mailbox is asked for");
    let answered = asked.run(&site.world);
    site.node.handle_datagram(site.now, None, hint.as_bytes());
    site.drain();
    site.finish(answered);
    assert!(is_asked_for_changes(&site));
    site.settle();
    assert!(!is_asked_for_changes(&site));
}

#[test]
fn refreshes_of_a_mailbox_do_not_pile_up_and_a_busy_one_is_tried_again() {
    let mut site = Site::new();
    let account = site.make_account();
    let session = site.log_in();
    let select = imap::Call::Select {
        name: "INBOX".to_owned(),
        read_only: true,
    };
    site.ask(session, Call::Imap(select, None));
    site.settle();
    for _ in 0..10 {
        let hint = format!("account {}", account.0);
        site.node.handle_datagram(site.now, None, hint.as_bytes());
        site.drain();
    }
    assert_eq!(site.jobs.len(), 1);
    let Some(Job::Changes { mailbox, since, .. }) = site.jobs.pop_front() else {
        panic!("the mailbox is asked for");
    };
    site.finish(Done::Changes {
        account,
        mailbox,
        since,
        outcome: Err(StoreError::Busy),
    });
    assert!(site.jobs.is_empty());
    site.pass(limits::BUSY_RETRY);
    assert!(matches!(site.jobs.front(), Some(Job::Changes { .. })));
    site.settle();
}

#[test]
fn end_of_a_delivery_that_can_not_be_written_is_tried_again() {
    let mut site = Site::new();
    let hold = SpoolWrite::PutOff {
        spool: SpoolId(1),
        destination: rmail_store::Destination::Local,
        until: site.now.unix,
        reason: "no such mailbox".to_owned(),
    };
    let origin = writes::SpoolOrigin::Nobody;
    site.node.write_spool(site.now, hold, origin);
    site.drain();
    let Some(Job::WriteSpool { batch, origins, .. }) = site.jobs.pop_front() else {
        panic!("the spool is written to");
    };
    site.finish(Done::SpoolWritten {
        batch,
        origins,
        outcome: Err(StoreError::Full),
    });
    assert!(site.jobs.is_empty());
    site.pass(limits::HOLD);
    let is_write = |job: &Job| matches!(job, Job::WriteSpool { .. });
    assert!(site.jobs.iter().any(is_write));
    site.settle();
}

#[test]
fn password_of_a_session_that_is_gone_is_not_hashed() {
    let mut site = Site::new();
    site.make_account();
    let sessions: Vec<SessionId> = (0..5).map(|_| site.connect(ListenerKind::Imap)).collect();
    for &session in &sessions {
        site.ask_login(session);
    }
    assert_eq!(site.jobs.len(), 2);
    for &session in &sessions[2..] {
        site.node.handle_session_over(site.now, session);
    }
    let first = site.jobs.pop_front().unwrap().run(&site.world);
    site.finish(first);
    assert_eq!(site.jobs.len(), 1);
    site.settle();
    assert_eq!(site.node.jobs.waiting(), 0);
}

#[test]
fn stopping_does_not_wait_for_looks_at_other_processes() {
    let mut site = Site::new();
    site.pass(limits::PEERS_INTERVAL);
    let look = site.jobs.pop_front().unwrap();
    site.node.handle_stop(site.now);
    site.pass(limits::STOP_GRACE);
    assert!(site.jobs.is_empty());
    let done = look.run(&site.world);
    site.finish(done);
    assert!(site.jobs.is_empty());
    assert_eq!(site.node.stopping, Some(lifecycle::Stopping::Stopped));
}

#[test]
fn mail_is_delivered_to_no_more_accounts_at_once_than_there_are_workers() {
    let mut site = Site::with(
        r#"{"domains": ["mail.example"], "hostname": "mail.example", "delivery": {"workers": 2}}"#,
    );
    let names = ["ann", "bob", "cat", "dan", "eve"];
    let recipients = names.map(|name| {
        site.make_account_of(name);
        let address = Address::parse(&format!("{name}@mail.example")).unwrap();
        let path = rmail_proto::ForwardPath::Address(address);
        smtp::Recipient::new(path)
    });
    let session = site.connect(ListenerKind::Smtp);
    let envelope = smtp::Envelope {
        id: "envelope".to_owned(),
        reverse_path: rmail_proto::ReversePath::Null,
        recipients: recipients.to_vec(),
        identity: None,
        header_from: Vec::new(),
        smtputf8: false,
        eight_bit_mime: false,
        notice: smtp::MailNotice::default(),
    };
    let message = smtp::Call::Message {
        upload: UploadId(1),
        data: Bytes::from_static(b"Subject: all\r\n\r\n"),
        envelope: Box::new(envelope),
    };
    let summary = Some(Arc::new(Summary::default()));
    site.ask(session, Call::Smtp(message, summary));

    let (mut at_once_max, mut written) = (0, 0);
    while let Some(job) = site.jobs.pop_front() {
        let is_write = |job: &Job| matches!(job, Job::WriteAccount { .. });
        let waiting = site.jobs.iter().filter(|job| is_write(job)).count();
        at_once_max = at_once_max.max(waiting + usize::from(is_write(&job)));
        written += usize::from(is_write(&job));
        let done = job.run(&site.world);
        site.finish(done);
    }
    assert_eq!((at_once_max, written), (2, names.len()));
}

#[test]
fn many_small_messages_of_one_append_wait_in_files_beyond_a_bound() {
    let mut site = Site::new();
    site.make_account();
    let session = site.log_in();
    let data = Bytes::from(vec![b'x'; 64 * 1024]);
    let in_memory = limits::UPLOAD_BYTES_IN_MEMORY / data.len();
    for upload in 0..=in_memory {
        assert!(site.jobs.is_empty(), "all that fits stays in memory");
        let chunk = imap::Call::Chunk {
            upload: UploadId(upload as u64),
            data: data.clone(),
            last: true,
        };
        let summary = Some(Arc::new(Summary::default()));
        site.ask(session, Call::Imap(chunk, summary));
    }
    assert!(matches!(site.jobs.pop_front(), Some(Job::Stage { .. })));
}

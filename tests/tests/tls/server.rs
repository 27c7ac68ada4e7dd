//! A session on a socket in memory, driven as its documentation says.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rmail_proto::{CallId, Domain, Instant, Notice, Now, UnixTime, imap, limits, smtp};
use rmail_server::{
    config::Config,
    limits::WRITE_BYTES,
    node::ListenerKind,
    session::{Call, Machine, Request, Session, SessionEvent, SessionId, TlsSide},
    tls::ServerTls,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tempfile::TempDir;

use crate::world::World;

/// Every listener.
pub(crate) const LISTENERS: [ListenerKind; 5] = [
    ListenerKind::Smtp,
    ListenerKind::Submission,
    ListenerKind::Smtps,
    ListenerKind::Imap,
    ListenerKind::Imaps,
];

/// Those with STARTTLS.
pub(crate) const STARTTLS_LISTENERS: [ListenerKind; 3] = [
    ListenerKind::Smtp,
    ListenerKind::Submission,
    ListenerKind::Imap,
];

/// Those with implicit TLS.
pub(crate) const IMPLICIT_LISTENERS: [ListenerKind; 2] = [ListenerKind::Smtps, ListenerKind::Imaps];

/// Bytes that a runtime reads at once.
const READ_BYTES: usize = 32 * 1024;

/// Bytes of the largest message.
const MESSAGE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A record's header, and what encryption adds to it at most (RFC 8446 §5.2).
const RECORD_OVERHEAD_BYTES: usize = 5 + 256;

/// Bytes of a record's plaintext (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What a session may hold at once: all send credit with its TLS records, what one read brings,
/// and the record that it completes. A machine whose credit is not used up may overdraw it by one
/// piece.
pub(crate) const HELD_BYTES_MAX: usize = limits::SEND_CREDIT_BYTES
    + limits::READ_BYTES
    + (WRITE_BYTES / RECORD_BYTES + 1) * RECORD_OVERHEAD_BYTES
    + READ_BYTES
    + RECORD_BYTES;

/// What all sessions of these tests serve with.
pub(crate) struct Certificate {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// As it stands in the file that the configuration names.
    pub(crate) der: CertificateDer<'static>,
}

pub(crate) static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let hostname = r#"{ "hostname": "mail.example.com" }"#;
    let (config, _warnings) = Config::load(hostname, path).unwrap();
    // Made once, and then configured as an operator's.
    ServerTls::load_or_create(&config, START.unix).unwrap();
    let config = format!(
        r#"{{ "hostname": "mail.example.com",
              "tls": {{ "cert_file": {:?}, "key_file": {:?} }} }}"#,
        config.mail_root.join("tls/cert.pem"),
        config.mail_root.join("tls/key.pem"),
    );
    let (config, _warnings) = Config::load(&config, path).unwrap();
    let rmail_server::config::Tls::Files { cert_file, .. } = &config.tls else {
        panic!("the certificate is an operator's");
    };
    let pem = std::fs::read(cert_file).unwrap();
    Certificate {
        tls: ServerTls::load_or_create(&config, START.unix)
            .unwrap()
            .config,
        der: CertificateDer::from_pem_slice(&pem).unwrap(),
    }
});

const START: Now = Now {
    at: Instant::from_start(Duration::from_secs(1000)),
    unix: UnixTime(1_800_000_000),
};

/// See the module's documentation.
pub(crate) struct Server {
    session: Session,
    pub(crate) now: Now,
    pub(crate) world: World,
    /// Whether what the session asks has to wait.
    pub(crate) holds_calls: bool,
    held_calls: VecDeque<(CallId, Call)>,
    /// Segments that wait in the socket to be read.
    incoming: VecDeque<Vec<u8>>,
    has_peer_ended: bool,
    /// Whether the peer takes bytes.
    pub(crate) is_read: bool,
    /// Bytes of the largest write.
    pub(crate) write_bytes_max: usize,
    outgoing: Vec<u8>,
    /// Whether the session has ended its half.
    pub(crate) has_ended: bool,
    /// The most that the session has held.
    pub(crate) held_bytes_max: usize,
}

impl Server {
    pub(crate) fn new(listener: ListenerKind) -> Self {
        let now = START;
        let (machine, is_implicit) = machine(listener, now);
        let tls = Some(Arc::clone(&CERTIFICATE.tls));
        let mut server = Self {
            session: Session::new(
                SessionId(1),
                machine,
                tls.map(TlsSide::Server),
                is_implicit,
                now,
            ),
            now,
            world: World::default(),
            holds_calls: false,
            held_calls: VecDeque::new(),
            incoming: VecDeque::new(),
            has_peer_ended: false,
            is_read: true,
            write_bytes_max: usize::MAX,
            outgoing: Vec::new(),
            has_ended: false,
            held_bytes_max: 0,
        };
        server.progress();
        server
    }

    /// A segment arrives.
    pub(crate) fn receive(&mut self, segment: &[u8]) {
        if !segment.is_empty() {
            self.incoming.push_back(segment.to_vec());
        }
        self.progress();
    }

    /// The peer ends its half.
    pub(crate) fn end(&mut self) {
        self.has_peer_ended = true;
        self.progress();
    }

    /// The connection is reset.
    pub(crate) fn fail(&mut self) {
        self.session.handle_stream_failure(self.now);
        self.progress();
    }

    /// What was sent since the last time.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// What was asked is answered.
    pub(crate) fn answer_held(&mut self) {
        self.holds_calls = false;
        self.progress();
    }

    /// The mailbox may have changed.
    pub(crate) fn notice(&mut self) {
        let event = SessionEvent::Notice(Notice::MailboxChanged);
        self.session.handle_event(self.now, event);
        self.progress();
    }

    /// The server stops.
    pub(crate) fn shut_down(&mut self, grace: Duration) {
        let grace_until = self.now.at + grace;
        let event = SessionEvent::Shutdown { grace_until };
        self.session.handle_event(self.now, event);
        self.progress();
    }

    /// Time goes by; timers run out when their time has come.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.at + duration;
        while let Some(at) = self.session.poll_timeout().filter(|&at| at <= end) {
            self.now.at = self.now.at.max(at);
            self.session.handle_timeout(self.now);
            self.progress();
        }
        self.now.at = end;
    }

    /// Whether the stream was dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Does whatever can be done.
    pub(crate) fn progress(&mut self) {
        while self.pass_calls() | self.write() | self.read() {
            let held = self.session.held_bytes();
            self.held_bytes_max = self.held_bytes_max.max(held);
            assert!(held <= HELD_BYTES_MAX, "{}", self.session.describe());
        }
    }

    fn pass_calls(&mut self) -> bool {
        let mut has_changed = false;
        while let Some(request) = self.session.poll_request() {
            match request {
                Request::Call(id, call) => self.held_calls.push_back((id, call)),
                Request::Cancel(id) => self.held_calls.retain(|(held, _)| *held != id),
            }
            has_changed = true;
        }
        while !self.holds_calls
            && let Some((id, call)) = self.held_calls.pop_front()
        {
            let reply = SessionEvent::Reply(id, self.world.answer(call));
            self.session.handle_event(self.now, reply);
            has_changed = true;
        }
        has_changed
    }

    fn write(&mut self) -> bool {
        if self.session.is_over() {
            return false;
        }
        let bytes = self.session.transmit();
        if bytes.is_empty() {
            if !self.session.wants_write_end() {
                return false;
            }
            self.has_ended = true;
            self.session.handle_write_ended(self.now);
            return true;
        }
        if !self.is_read {
            return false;
        }
        let length = bytes.len().min(self.write_bytes_max);
        self.outgoing.extend_from_slice(&bytes[..length]);
        self.session.handle_sent(self.now, length);
        true
    }

    fn read(&mut self) -> bool {
        if !self.session.wants_read() {
            return false;
        }
        if let Some(mut segment) = self.incoming.pop_front() {
            let rest = segment.split_off(segment.len().min(READ_BYTES));
            if !rest.is_empty() {
                self.incoming.push_front(rest);
            }
            self.session.handle_received(self.now, &segment);
            return true;
        }
        if self.has_peer_ended {
            self.session.handle_end_of_stream(self.now);
            return true;
        }
        false
    }
}

fn machine(listener: ListenerKind, now: Now) -> (Machine, bool) {
    let hostname = Domain::parse("mail.example.com").unwrap();
    let peer = Ipv4Addr::new(192, 0, 2, 1).into();
    let smtp = |listener, tls| {
        let config = smtp::Config {
            hostname: hostname.clone(),
            listener,
            peer,
            tls,
            message_bytes_max: MESSAGE_BYTES_MAX,
            recipients_max: 10,
            messages_max: 10,
            seed: 1,
        };
        Machine::Smtp(Box::new(smtp::Server::new(config, now)))
    };
    let imap = |tls| {
        let config = imap::Config {
            hostname: hostname.clone(),
            peer,
            tls,
            message_bytes_max: MESSAGE_BYTES_MAX,
            seed: 1,
        };
        Machine::Imap(Box::new(imap::Server::new(config, now)))
    };
    match listener {
        ListenerKind::Smtp => (smtp(smtp::Listener::Inbound, smtp::Tls::Offered), false),
        ListenerKind::Submission => (smtp(smtp::Listener::Submission, smtp::Tls::Offered), false),
        ListenerKind::Smtps => (
            smtp(smtp::Listener::ImplicitTlsSubmission, smtp::Tls::Implicit),
            true,
        ),
        ListenerKind::Imap => (imap(imap::Tls::Offered), false),
        ListenerKind::Imaps => (imap(imap::Tls::Implicit), true),
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

//! The contract that every machine of a stream protocol keeps.

use alloc::string::String;

use bytes::Bytes;

use crate::{Instant, Now, Timeout};

/// One side of a stream protocol as a state machine.
///
/// The driver (see `rmail-server`'s `Session`) does this, and nothing else:
///
/// 1. It hands received bytes to [`handle_input`](Self::handle_input) and everything else that
///    happens to [`handle_event`](Self::handle_event).
/// 2. After each of these it drains [`poll_action`](Self::poll_action) until `None` and carries
///    the actions out **in their order**.
/// 3. It sends [`Event::Timeout`] once the time of [`poll_timeout`](Self::poll_timeout) has come.
///
/// In return a machine keeps five rules, each of which is a property test:
///
/// - **Drain.** Outputs are valid once `poll_action` has returned `None`.
/// - **One unit.** One `handle_input` consumes at most one protocol unit (a command line, a
///   literal chunk, a data chunk, a request head) and queues a bounded number of actions.
/// - **Blocked means owed.** `handle_input` returns 0 for non-empty input only while the machine
///   is owed something: the reply of a call, send credit, a TLS handshake, or the end of a close.
/// - **Total.** No input, event or time, in any state, panics or returns an error. A peer's fault
///   becomes a reply, or a close.
/// - **Pure.** No clock, no randomness, no I/O, no globals.
pub trait Connection {
    /// What the machine asks of the world, as data.
    type Call;
    /// What the world answers, as data.
    type Reply;

    /// Takes bytes from the peer. Returns how many were consumed; 0 for non-empty input means
    /// that the machine is blocked and the same bytes are to be offered again after an event.
    fn handle_input(&mut self, now: Now, input: &[u8]) -> usize;

    /// Takes anything that is not bytes from the peer. A reply to a call that the machine does
    /// not wait for (late, doubled, cancelled) is ignored.
    fn handle_event(&mut self, now: Now, event: Event<Self::Reply>);

    /// The next thing to do, in order.
    fn poll_action(&mut self) -> Option<Action<Self::Call>>;

    /// When to send [`Event::Timeout`], and why. May change with every `handle_*`.
    fn poll_timeout(&self) -> Option<Timeout>;
}

/// What happens to a machine besides bytes from its peer.
#[derive(Debug)]
pub enum Event<R> {
    /// The handshake that [`Action::StartTls`] asked for is done; also the first event of a
    /// machine on a listener with implicit TLS whose configuration says that TLS is not up yet.
    TlsEstablished(TlsInfo),
    /// The handshake failed, for this reason, in one line for people. Only machines that are their
    /// connection's client are told; nothing more can be sent or received.
    TlsFailed(String),
    /// The answer to [`Action::Call`].
    Reply(CallId, R),
    /// Something may have changed. An empty, coalesced hint: losing or doubling one is harmless.
    Notice(Notice),
    /// This many bytes of [`Action::Send`] have reached the socket since the last such event.
    Sent(usize),
    /// The time of [`Connection::poll_timeout`] has come.
    Timeout,
    /// The peer will send no more bytes.
    PeerClosed,
    /// The server is going down: end at the next boundary of the protocol, at `grace_until` at
    /// the latest.
    Shutdown {
        /// When the session is ended from outside.
        grace_until: Instant,
    },
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Action<C> {
    /// Send these bytes to the peer.
    Send(Bytes),
    /// Ask the world; [`Event::Reply`] with the same id is owed, unless it is cancelled.
    Call(CallId, C),
    /// The reply to this call is no longer wanted. It may come all the same.
    Cancel(CallId),
    /// Start TLS as the side that the machine is, server or client, after everything before it was
    /// sent. Input that was received before and not consumed is thrown away.
    StartTls,
    /// End the connection.
    Close(Close),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// After everything that was sent has gone out.
    Flush,
    /// At once.
    Abort,
}

/// Names a call of one machine. Never reused within a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(pub u64);

/// Hands out [`CallId`]s.
#[derive(Debug, Default)]
pub struct CallIds(u64);

impl CallIds {
    /// The next id.
    pub fn allocate(&mut self) -> CallId {
        self.0 += 1;
        CallId(self.0)
    }
}

/// Names an upload (the content of a message on its way in) of one machine. Never reused within
/// a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UploadId(pub u64);

/// Why a machine is poked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The selected mailbox may have changed.
    MailboxChanged,
    /// The account that is logged in may have been changed, disabled or deleted.
    AccountChanged,
}

/// What was agreed in a TLS handshake, for trace fields and logs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsInfo {
    /// Protocol version, as in `TLSv1.3`.
    pub version: String,
    /// Cipher suite, as in `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The server name that the client asked for, if any (RFC 6066 §3).
    pub server_name: Option<String>,
}

//! A question on its way through the servers.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{
    Name, QueryId, Question, Reason, Source, StreamId,
    wire::{HEADER_BYTES, Query},
};
use crate::{Instant, limits};

/// One question, asked of one server after the other until it is answered.
#[derive(Debug)]
pub(super) struct Lookup {
    /// As it came.
    pub(super) question: Question,
    /// The queries that have this question.
    pub(super) waiters: Vec<QueryId>,
    /// When it is answered, come what may.
    pub(super) give_up_at: Instant,
    /// When it is woken.
    pub(super) alarm_at: Instant,
    pub(super) state: State,

    /// Where the aliases have led so far.
    pub(super) target: Name,
    /// How many they were.
    pub(super) aliases: u32,
    /// How long all responses so far hold.
    pub(super) valid_until: Instant,
    /// Whether all of them are vouched for.
    pub(super) authentic: bool,

    /// The servers in the order in which the target is asked of them.
    pub(super) order: Vec<SocketAddr>,
    /// How often one was.
    pub(super) attempts: usize,
    /// Whether queries carry EDNS: until a server does not understand it.
    pub(super) edns: bool,
    /// Why the last attempt failed.
    pub(super) reason: Reason,
}

/// What a lookup waits for.
///
/// | State | Next | When |
/// |---|---|---|
/// | Waiting | Datagram | others are done |
/// | Datagram | Dialing | the response is truncated, or somebody guesses |
/// | Datagram, Reading | Datagram | the server failed, did not answer, or knows no EDNS |
/// | Dialing | Reading | connected |
/// | Dialing | Datagram | it can't be reached, or not in time |
/// | any | gone | answered, all attempts used up, or its time is over |
#[derive(Debug)]
pub(super) enum State {
    Waiting,
    Datagram {
        source: Source,
        server: SocketAddr,
        query: Query,
        /// Datagrams that did not fit.
        strays: u32,
    },
    Dialing {
        stream: StreamId,
        server: SocketAddr,
        query: Query,
    },
    Reading {
        stream: StreamId,
        server: SocketAddr,
        query: Query,
        received: Vec<u8>,
    },
}

impl Lookup {
    pub(super) fn new(now: Instant, question: Question) -> Self {
        Self {
            target: question.name.clone(),
            question,
            waiters: Vec::new(),
            give_up_at: now + limits::DNS_LOOKUP_TIMEOUT,
            alarm_at: now + limits::DNS_LOOKUP_TIMEOUT,
            state: State::Waiting,
            aliases: 0,
            valid_until: now + limits::DNS_TTL_MAX,
            authentic: true,
            order: Vec::new(),
            attempts: 0,
            edns: true,
            reason: Reason::Timeout,
        }
    }

    /// The question for the servers now: the aliases so far are followed.
    pub(super) fn next_question(&self) -> Question {
        Question::new(self.target.clone(), self.question.record_type)
    }
}

impl State {
    /// The server that is being asked.
    pub(super) const fn server(&self) -> Option<SocketAddr> {
        match self {
            Self::Waiting => None,
            Self::Datagram { server, .. }
            | Self::Dialing { server, .. }
            | Self::Reading { server, .. } => Some(*server),
        }
    }
}

/// Takes bytes of a stream, on which each message has its length in two bytes before it (RFC 1035
/// §4.2.2). Returns the first message once it is complete. What comes behind it is ignored.
///
/// # Errors
///
/// `Malformed` when the length is no message's, or beyond [`limits::DNS_MESSAGE_BYTES`].
pub(super) fn receive<'a>(
    received: &'a mut Vec<u8>,
    mut bytes: &[u8],
) -> Result<Option<&'a [u8]>, Reason> {
    const LENGTH_BYTES: usize = 2;
    while received.len() < LENGTH_BYTES {
        let Some((first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        received.push(*first);
        bytes = rest;
    }
    let length = usize::from(u16::from_be_bytes([received[0], received[1]]));
    if !(HEADER_BYTES..=limits::DNS_MESSAGE_BYTES).contains(&length) {
        return Err(Reason::Malformed);
    }
    let missing = LENGTH_BYTES + length - received.len();
    received.extend_from_slice(&bytes[..missing.min(bytes.len())]);
    match bytes.len() < missing {
        true => Ok(None),
        false => Ok(Some(&received[LENGTH_BYTES..])),
    }
}

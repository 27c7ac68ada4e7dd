//! The machines that a session can own, behind one face.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{
    Action, CallId, Connection, Event, Now, Timeout, UploadId, http, imap,
    mime::Summary,
    smtp::{self, client},
};

use super::RawStream;

/// A machine of any protocol.
#[derive(Debug)]
pub enum Machine {
    /// SMTP.
    Smtp(Box<smtp::Server>),
    /// IMAP.
    Imap(Box<imap::Server>),
    /// HTTP.
    Http(Box<http::Server>),
    /// SMTP or LMTP, as the client.
    SmtpClient(Box<client::Client>),
    /// No protocol: what comes goes to the node, and back.
    Raw(RawStream),
}

/// A call of any machine. With the last piece of an upload comes its summary.
#[derive(Debug)]
pub enum Call {
    /// SMTP's.
    Smtp(smtp::Call, Option<Arc<Summary>>),
    /// IMAP's.
    Imap(imap::Call, Option<Arc<Summary>>),
    /// HTTP's.
    Http(http::Call),
    /// An SMTP client's.
    SmtpClient(client::Call),
    /// Bytes that came.
    Raw(Bytes),
}

/// A reply to a [`Call`] of the same protocol.
#[derive(Debug)]
pub enum Reply {
    /// SMTP's.
    Smtp(smtp::Reply),
    /// IMAP's.
    Imap(imap::Reply),
    /// HTTP's.
    Http(http::Reply),
    /// An SMTP client's.
    SmtpClient(client::Reply),
    /// Bytes to be sent.
    Raw(Bytes),
}

/// A piece of an upload.
pub(super) struct Piece<'a> {
    pub(super) upload: UploadId,
    pub(super) data: &'a Bytes,
    pub(super) is_last: bool,
}

impl Machine {
    pub(super) fn handle_input(&mut self, now: Now, input: &[u8]) -> usize {
        match self {
            Self::Smtp(machine) => machine.handle_input(now, input),
            Self::Imap(machine) => machine.handle_input(now, input),
            Self::Http(machine) => machine.handle_input(now, input),
            Self::SmtpClient(machine) => machine.handle_input(now, input),
            Self::Raw(machine) => machine.handle_input(now, input),
        }
    }

    /// Takes an event that is no reply.
    pub(super) fn handle_event(&mut self, now: Now, event: Event<std::convert::Infallible>) {
        match self {
            Self::Smtp(machine) => machine.handle_event(now, without_reply(event)),
            Self::Imap(machine) => machine.handle_event(now, without_reply(event)),
            Self::Http(machine) => machine.handle_event(now, without_reply(event)),
            Self::SmtpClient(machine) => machine.handle_event(now, without_reply(event)),
            Self::Raw(machine) => machine.handle_event(now, without_reply(event)),
        }
    }

    pub(super) fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match (self, reply) {
            (Self::Smtp(machine), Reply::Smtp(reply)) => {
                machine.handle_event(now, Event::Reply(id, reply));
            }
            (Self::Imap(machine), Reply::Imap(reply)) => {
                machine.handle_event(now, Event::Reply(id, reply));
            }
            (Self::Http(machine), Reply::Http(reply)) => {
                machine.handle_event(now, Event::Reply(id, reply));
            }
            (Self::SmtpClient(machine), Reply::SmtpClient(reply)) => {
                machine.handle_event(now, Event::Reply(id, reply));
            }
            (Self::Raw(machine), Reply::Raw(bytes)) => {
                machine.handle_event(now, Event::Reply(id, bytes));
            }
            (
                Self::Smtp(_) | Self::Imap(_) | Self::Http(_) | Self::SmtpClient(_) | Self::Raw(_),
                _,
            ) => {
                unreachable!("the node answers in the protocol it was asked in")
            }
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action<Call>> {
        match self {
            Self::Smtp(machine) => machine
                .poll_action()
                .map(|action| map_call(action, |call| Call::Smtp(call, None))),
            Self::Imap(machine) => machine
                .poll_action()
                .map(|action| map_call(action, |call| Call::Imap(call, None))),
            Self::Http(machine) => machine
                .poll_action()
                .map(|action| map_call(action, Call::Http)),
            Self::SmtpClient(machine) => machine
                .poll_action()
                .map(|action| map_call(action, Call::SmtpClient)),
            Self::Raw(machine) => machine
                .poll_action()
                .map(|action| map_call(action, Call::Raw)),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timeout> {
        match self {
            Self::Smtp(machine) => machine.poll_timeout(),
            Self::Imap(machine) => machine.poll_timeout(),
            Self::Http(machine) => machine.poll_timeout(),
            Self::SmtpClient(machine) => machine.poll_timeout(),
            Self::Raw(machine) => machine.poll_timeout(),
        }
    }
}

impl Call {
    /// The piece of an upload that the call carries.
    pub(super) fn upload(&self) -> Option<Piece<'_>> {
        match self {
            Self::Smtp(smtp::Call::Chunk { upload, data }, _) => Some(Piece {
                upload: *upload,
                data,
                is_last: false,
            }),
            Self::Smtp(smtp::Call::Message { upload, data, .. }, _) => Some(Piece {
                upload: *upload,
                data,
                is_last: true,
            }),
            Self::Imap(imap::Call::Chunk { upload, data, last }, _) => Some(Piece {
                upload: *upload,
                data,
                is_last: *last,
            }),
            // Its contents are no messages, and are not scanned.
            Self::Http(_)
            | Self::Smtp(..)
            | Self::Imap(..)
            | Self::SmtpClient(_)
            | Self::Raw(_) => None,
        }
    }

    /// The upload that the call gives up.
    pub(super) fn discarded_upload(&self) -> Option<UploadId> {
        match self {
            Self::Smtp(smtp::Call::Discard { upload }, _)
            | Self::Imap(imap::Call::Discard { upload }, _) => Some(*upload),
            Self::Smtp(..)
            | Self::Imap(..)
            | Self::Http(_)
            | Self::SmtpClient(_)
            | Self::Raw(_) => None,
        }
    }

    pub(super) fn set_summary(&mut self, found: Option<Arc<Summary>>) {
        match self {
            Self::Smtp(_, summary) | Self::Imap(_, summary) => *summary = found,
            Self::Http(_) | Self::SmtpClient(_) | Self::Raw(_) => {}
        }
    }
}

fn map_call<A, B>(action: Action<A>, map: impl FnOnce(A) -> B) -> Action<B> {
    match action {
        Action::Send(bytes) => Action::Send(bytes),
        Action::Call(id, call) => Action::Call(id, map(call)),
        Action::Cancel(id) => Action::Cancel(id),
        Action::StartTls => Action::StartTls,
        Action::Close(close) => Action::Close(close),
    }
}

fn without_reply<R>(event: Event<std::convert::Infallible>) -> Event<R> {
    match event {
        Event::TlsEstablished(info) => Event::TlsEstablished(info),
        Event::TlsFailed(reason) => Event::TlsFailed(reason),
        Event::Reply(_, never) => match never {},
        Event::Notice(notice) => Event::Notice(notice),
        Event::Sent(bytes) => Event::Sent(bytes),
        Event::Timeout => Event::Timeout,
        Event::PeerClosed => Event::PeerClosed,
        Event::Shutdown { grace_until } => Event::Shutdown { grace_until },
    }
}

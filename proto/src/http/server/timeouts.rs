//! What is waited for, how long, and what happens then.

use super::{Server, State};
use crate::{Action, Close, Connection, Now, Timeout, Timer, http::refusal::Refusal, limits};

impl Server {
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let Some(timeout) = self.poll_timeout().filter(|timeout| timeout.at <= now.at) else {
            return;
        };
        match (timeout.timer, &self.state) {
            // A client that waits between two requests would take an answer for the next one's.
            (Timer::Command, State::Head(reader)) if reader.is_empty() => {
                self.close(now, Close::Flush);
            }
            (Timer::Command, _) => self.refuse_head(now, Refusal::timeout()),
            // It has its answer.
            (Timer::Data, State::Dropping { .. }) => self.close(now, Close::Flush),
            (Timer::Data, _) => self.refuse_unsent(now, Refusal::timeout()),
            (Timer::Shutdown, _) => self.refuse_unsent(now, Refusal::shutting_down()),
            (Timer::Handshake | Timer::Send, _) => self.close(now, Close::Abort),
            (Timer::Login | Timer::Penalty | Timer::KeepAlive, _) => {}
        }
    }

    /// Gives up the request, and answers with an error; with nothing if its response was begun.
    fn refuse_unsent(&mut self, now: Now, refusal: Refusal) {
        let exchange = match core::mem::replace(&mut self.state, State::Handshake) {
            State::Asking { call, exchange, .. } | State::Answering { call, exchange } => {
                self.actions.push_back(Action::Cancel(call));
                exchange
            }
            State::Receiving(receiving) => {
                self.drop_upload(receiving.upload);
                receiving.exchange
            }
            State::Finishing { exchange, upload } => {
                self.drop_upload(*upload);
                exchange
            }
            State::Responding(responding) if responding.is_unsent() => {
                self.drop_rest(responding.rest);
                responding.exchange
            }
            state @ (State::Handshake
            | State::Head(_)
            | State::Responding(_)
            | State::Dropping { .. }
            | State::Closed(_)) => {
                self.state = state;
                return self.close(now, Close::Abort);
            }
        };
        self.refuse(now, exchange, refusal);
    }

    /// The deadline of the state. None while the world, and not the peer, is waited for.
    pub(super) fn state_timeout(&self) -> Option<Timeout> {
        let (timer, at) = match &self.state {
            State::Handshake => {
                let at = self.state_since + limits::TLS_HANDSHAKE_TIMEOUT;
                (Timer::Handshake, at)
            }
            // It is busy with the last response.
            State::Head(_) if self.has_unsent() => return None,
            State::Head(reader) if reader.is_empty() => {
                let since = self.state_since.max(self.sent_at);
                (Timer::Command, since + limits::HTTP_IDLE_TIMEOUT)
            }
            State::Head(_) => {
                let since = self.state_since.max(self.sent_at);
                (Timer::Command, since + self.config.bounds.head_timeout)
            }
            State::Receiving(receiving) => (Timer::Data, receiving.pace.deadline()?),
            State::Dropping { pace, .. } => (Timer::Data, pace.deadline()?),
            State::Asking { .. }
            | State::Finishing { .. }
            | State::Answering { .. }
            | State::Responding(_)
            | State::Closed(_) => return None,
        };
        Some(Timeout { at, timer })
    }

    pub(super) fn send_timeout(&self) -> Option<Timeout> {
        let aborted = matches!(self.state, State::Closed(Close::Abort));
        let at = self.sent_at + limits::HTTP_SEND_TIMEOUT;
        (self.has_unsent() && !aborted).then_some(Timeout {
            at,
            timer: Timer::Send,
        })
    }

    pub(super) fn shutdown_timeout(&self) -> Option<Timeout> {
        let closed = matches!(self.state, State::Closed(_));
        let at = self.shutdown_at.filter(|_| !closed)?;
        Some(Timeout {
            at,
            timer: Timer::Shutdown,
        })
    }

    fn has_unsent(&self) -> bool {
        self.credit.available_bytes() < limits::SEND_CREDIT_BYTES
    }
}

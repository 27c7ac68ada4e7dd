//! What is waited for, how long, and what happens then (RFC 5321 §4.5.3.2).

use super::{Server, State};
use crate::{Close, Connection, Now, Timeout, Timer, limits, smtp::Refusal};

impl Server {
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let Some(timeout) = self.poll_timeout().filter(|timeout| timeout.at <= now.at) else {
            return;
        };
        match timeout.timer {
            Timer::Data if self.is_data_broken() => self.refuse_broken(now),
            Timer::Command | Timer::Data | Timer::Login => {
                self.close_with(now, Refusal::timeout());
            }
            Timer::Shutdown => self.close_with(now, Refusal::shutting_down()),
            Timer::Handshake | Timer::Send => self.close(now, Close::Abort),
            Timer::Penalty | Timer::KeepAlive => {}
        }
    }

    /// Whether mail data holds a bare CR or LF, so that the client may wait for an answer to an
    /// end that was none.
    fn is_data_broken(&self) -> bool {
        matches!(&self.state, State::Data(data) if data.decoder.is_broken())
    }

    /// The deadline of the state. None while the world, and not the peer, is waited for.
    pub(super) fn state_timeout(&self) -> Option<Timeout> {
        let (timer, duration) = match &self.state {
            State::Handshake => (Timer::Handshake, limits::TLS_HANDSHAKE_TIMEOUT),
            State::Command | State::Exchange(_) => (Timer::Command, limits::SMTP_COMMAND_TIMEOUT),
            State::Data(_)
            | State::Chunk(_)
            | State::Dropping(_)
            | State::Asking { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => return None,
        };
        Some(Timeout {
            at: self.state_since + duration,
            timer,
        })
    }

    /// When a message is late. That includes the time between the chunks of one message.
    pub(super) fn content_timeout(&self) -> Option<Timeout> {
        let is_awaited = match &self.state {
            State::Data(_) | State::Chunk(_) | State::Dropping(_) => true,
            State::Command => self.open.as_ref().is_some_and(|open| open.chunks.is_some()),
            State::Handshake
            | State::Exchange(_)
            | State::Asking { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => false,
        };
        let at = self.pace.deadline().filter(|_| is_awaited)?;
        Some(Timeout {
            at,
            timer: Timer::Data,
        })
    }

    pub(super) fn login_timeout(&self) -> Option<Timeout> {
        let waits = matches!(self.state, State::Command | State::Exchange(_));
        let anonymous = self.is_submission() && self.identity.is_none();
        let at = self.started_at + limits::SMTP_LOGIN_TIMEOUT;
        (waits && anonymous).then_some(Timeout {
            at,
            timer: Timer::Login,
        })
    }

    pub(super) fn send_timeout(&self) -> Option<Timeout> {
        let unsent = self.credit.available_bytes() < limits::SEND_CREDIT_BYTES;
        let aborted = matches!(self.state, State::Closed(Close::Abort));
        let at = self.sent_at + limits::SEND_TIMEOUT;
        (unsent && !aborted).then_some(Timeout {
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
}

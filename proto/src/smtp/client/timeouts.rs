//! What is waited for, how long, and what happens then (RFC 5321 §4.5.3.2).

use core::time::Duration;

use super::{Client, Stage, State, Trouble, transaction::Awaited};
use crate::{Close, Connection, Now, Timeout, Timer, limits};

impl Client {
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let Some(timeout) = self.poll_timeout().filter(|timeout| timeout.at <= now.at) else {
            return;
        };
        match timeout.timer {
            Timer::Command | Timer::Handshake | Timer::Data => match self.awaited() {
                Some((stage, _)) => self.break_off(now, Trouble::Timeout(stage)),
                // The farewell is all that was waited for.
                None => self.finish(now, Close::Abort),
            },
            Timer::Send => match self.state {
                State::Closed(_) => self.abort(now),
                State::Quitting => self.finish(now, Close::Abort),
                State::Handshake
                | State::Greeting
                | State::Hello { .. }
                | State::StartTls
                | State::Exchange(_)
                | State::Computing { .. }
                | State::Ready(_)
                | State::Asking(_)
                | State::Surveying(_)
                | State::Sending(_)
                | State::Resetting(_) => self.break_off(now, Trouble::Timeout(Stage::Block)),
            },
            Timer::Shutdown => match self.state {
                State::Quitting => self.finish(now, Close::Abort),
                State::Closed(_) => self.abort(now),
                State::Handshake
                | State::Greeting
                | State::Hello { .. }
                | State::StartTls
                | State::Exchange(_)
                | State::Computing { .. }
                | State::Ready(_)
                | State::Asking(_)
                | State::Surveying(_)
                | State::Sending(_)
                | State::Resetting(_) => self.break_off(now, Trouble::ShuttingDown),
            },
            Timer::Login | Timer::Penalty | Timer::KeepAlive => {}
        }
    }

    /// A close that does not come to its end is cut short.
    fn abort(&mut self, now: Now) {
        self.state = State::Closed(Close::Abort);
        self.waiting_since = now.at;
        self.actions.push_back(crate::Action::Close(Close::Abort));
    }

    /// Which reply is waited for, and how long. None while it is the world that is waited for,
    /// and for QUIT.
    fn awaited(&self) -> Option<(Stage, Duration)> {
        match &self.state {
            State::Handshake => Some((Stage::Handshake, limits::TLS_HANDSHAKE_TIMEOUT)),
            State::Greeting => Some((Stage::Greeting, limits::SMTP_GREETING_TIMEOUT)),
            State::Hello { .. } => Some((Stage::Hello, limits::SMTP_HELLO_TIMEOUT)),
            State::StartTls => Some((Stage::StartTls, limits::SMTP_HELLO_TIMEOUT)),
            State::Exchange(_) => Some((Stage::Auth, limits::SMTP_HELLO_TIMEOUT)),
            State::Resetting(_) => Some((Stage::Reset, limits::SMTP_HELLO_TIMEOUT)),
            State::Sending(transaction) => Some(match transaction.awaited()? {
                Awaited::Mail => (Stage::Mail, limits::SMTP_MAIL_TIMEOUT),
                Awaited::Rcpt(_) => (Stage::Rcpt, limits::SMTP_RCPT_TIMEOUT),
                Awaited::Data => (Stage::Data, limits::SMTP_DATA_COMMAND_TIMEOUT),
                Awaited::Chunk => (Stage::Block, limits::SMTP_DATA_BLOCK_TIMEOUT),
                Awaited::End | Awaited::EndFor(_) | Awaited::LoneDot => {
                    (Stage::DataEnd, limits::SMTP_DATA_END_TIMEOUT)
                }
            }),
            State::Computing { .. }
            | State::Ready(_)
            | State::Asking(_)
            | State::Surveying(_)
            | State::Quitting
            | State::Closed(_) => None,
        }
    }

    /// Counts from the last reply, and from the last byte that went out if that is later: a peer
    /// that takes bytes is alive.
    pub(super) fn reply_timeout(&self) -> Option<Timeout> {
        let is_quitting = matches!(self.state, State::Quitting);
        let duration = match self.awaited() {
            Some((_, duration)) => duration,
            None if is_quitting => limits::SMTP_QUIT_TIMEOUT,
            None => return None,
        };
        let timer = match self.awaited() {
            Some((Stage::Handshake, _)) => Timer::Handshake,
            Some(_) | None => Timer::Command,
        };
        let at = self.waiting_since.max(self.sent_at) + duration;
        Some(Timeout { at, timer })
    }

    pub(super) fn send_timeout(&self) -> Option<Timeout> {
        let unsent = self.credit.available_bytes() < limits::SEND_CREDIT_BYTES;
        let aborted = matches!(self.state, State::Closed(Close::Abort));
        let at = self.sent_at + limits::SMTP_DATA_BLOCK_TIMEOUT;
        (unsent && !aborted).then_some(Timeout {
            at,
            timer: Timer::Send,
        })
    }

    pub(super) fn shutdown_timeout(&self) -> Option<Timeout> {
        let aborted = matches!(self.state, State::Closed(_));
        let at = self.shutdown_at.filter(|_| !aborted)?;
        Some(Timeout {
            at,
            timer: Timer::Shutdown,
        })
    }
}

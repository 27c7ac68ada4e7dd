//! From the connection to the first message: greeting, EHLO, STARTTLS and AUTH.

use alloc::{format, string::String};

use super::{
    Call, Client, Protocol, Reply, Security, State, Trouble,
    auth::{Exchange, Scram, Step},
    extensions::Extensions,
};
use crate::{Action, Now, TlsInfo, smtp::PeerReply};

impl Client {
    pub(super) fn handle_greeting(&mut self, now: Now, reply: PeerReply) {
        if !reply.is_positive() {
            return self.break_off(now, Trouble::Refused(reply));
        }
        match self.is_own_name(&reply) {
            true => self.break_off(now, Trouble::OwnName),
            false => self.say_hello(now, true),
        }
    }

    /// Whether the peer introduces itself by our name: the first word of the greeting and of the
    /// answer to EHLO is its own (RFC 5321 §4.2, §4.1.1.1).
    fn is_own_name(&self, reply: &PeerReply) -> bool {
        let line = reply.lines.first().map_or("", String::as_str);
        let name = line.split(' ').next().unwrap_or_default();
        self.config.shuns_own_name && name.eq_ignore_ascii_case(self.config.hostname.as_str())
    }

    fn say_hello(&mut self, now: Now, extended: bool) {
        let verb = match (self.config.protocol, extended) {
            (Protocol::Lmtp, _) => "LHLO",
            (Protocol::Smtp, true) => "EHLO",
            (Protocol::Smtp, false) => "HELO",
        };
        let line = format!("{verb} {}", self.config.hostname);
        self.send_line(now, &line);
        self.enter(now, State::Hello { extended });
    }

    pub(super) fn handle_hello_reply(&mut self, now: Now, extended: bool, reply: PeerReply) {
        if reply.is_positive() {
            if self.is_own_name(&reply) {
                return self.break_off(now, Trouble::OwnName);
            }
            self.peer = match extended {
                true => Extensions::parse(&reply.lines),
                false => Extensions::default(),
            };
            return self.after_hello(now);
        }
        // A server that knows no EHLO may know HELO (RFC 5321 §3.2), by which nothing else can be
        // had.
        let may_fall_back = extended
            && reply.is_permanent()
            && self.config.protocol == Protocol::Smtp
            && self.config.credentials.is_none()
            && (self.tls.is_some() || self.config.security != Security::Required);
        match may_fall_back {
            true => self.say_hello(now, false),
            false => self.break_off(now, Trouble::Refused(reply)),
        }
    }

    fn after_hello(&mut self, now: Now) {
        let wants_tls = match self.config.security {
            Security::Cleartext | Security::Implicit => false,
            Security::Opportunistic | Security::Required => self.tls.is_none(),
        };
        if wants_tls && self.peer.starttls {
            self.send_line(now, "STARTTLS");
            self.enter(now, State::StartTls);
        } else if wants_tls && self.config.security == Security::Required {
            self.break_off(now, Trouble::TlsUnavailable);
        } else {
            self.authenticate(now);
        }
    }

    pub(super) fn handle_starttls_reply(&mut self, now: Now, reply: PeerReply) {
        if reply.code == 220 {
            self.replies.clear();
            self.actions.push_back(Action::StartTls);
            self.enter(now, State::Handshake);
        } else if reply.is_positive() || reply.code / 100 == 3 {
            self.break_off(now, Trouble::OutOfTurn(reply));
        } else if self.config.security == Security::Required {
            self.break_off(now, Trouble::StartTlsRefused(reply));
        } else {
            self.authenticate(now);
        }
    }

    /// All that was known of the peer is forgotten (RFC 3207 §4.2).
    pub(super) fn handle_tls_established(&mut self, now: Now, tls: TlsInfo) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.tls = Some(tls);
        self.peer = Extensions::default();
        self.replies.clear();
        match self.config.security {
            Security::Implicit => self.enter(now, State::Greeting),
            Security::Cleartext | Security::Opportunistic | Security::Required => {
                self.say_hello(now, true);
            }
        }
    }

    fn authenticate(&mut self, now: Now) {
        let Some(credentials) = &self.config.credentials else {
            return self.enter(now, State::Ready(None));
        };
        match Exchange::begin(credentials, self.peer.auth, self.tls.is_some()) {
            Some((line, exchange)) => {
                self.send_line(now, line.reveal());
                self.enter(now, State::Exchange(exchange));
            }
            None => self.break_off(now, Trouble::AuthUnavailable),
        }
    }

    pub(super) fn handle_auth_reply(&mut self, now: Now, exchange: Exchange, reply: PeerReply) {
        match reply.code {
            334 => match exchange.handle_challenge(&reply.text()) {
                Step::Respond(line, exchange) => {
                    self.send_line(now, line.reveal());
                    self.enter(now, State::Exchange(exchange));
                }
                Step::Compute(input, scram) => {
                    let call = self.call(Call::Scram(input));
                    self.enter(now, State::Computing { call, scram });
                }
                Step::Distrust => self.distrust(now),
            },
            235 if exchange.is_complete() => self.enter(now, State::Ready(None)),
            235 => self.distrust(now),
            _ if reply.is_transient() || reply.is_permanent() => {
                self.break_off(now, Trouble::AuthRefused(reply));
            }
            _ => self.break_off(now, Trouble::OutOfTurn(reply)),
        }
    }

    pub(super) fn handle_computed(&mut self, now: Now, scram: Scram, reply: Reply) {
        let next = match reply {
            Reply::Scram {
                client_proof,
                server_signature,
            } => scram.handle_computed(client_proof, server_signature),
            Reply::Message(_)
            | Reply::NoMore
            | Reply::Bytes(_)
            | Reply::Unavailable
            | Reply::Noted => None,
        };
        match next {
            Some((line, exchange)) => {
                self.send_line(now, line.reveal());
                self.enter(now, State::Exchange(exchange));
            }
            // The world can't compute now.
            None => self.break_off(now, Trouble::AuthUnavailable),
        }
    }

    fn distrust(&mut self, now: Now) {
        self.break_off(now, Trouble::ServerNotAuthentic);
    }
}

//! Connections to other servers: opened for what waits, used again while there is more, and ended
//! when there is nothing to do.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use rmail_proto::{
    CallId, Instant, Now,
    mime::{Part, Parts},
    smtp::{
        self, EnhancedCode, PeerReply,
        client::{
            Call, Client, Config, Credentials, End, Fate as Outcome, Message, Protocol, Reply,
            Report, Security, Trouble,
        },
    },
};
use rmail_store::{Fate, SpoolId, StoreError, Told};
use rustls::pki_types::ServerName;

use super::{
    Asker, Job, Node, NodeAction, NodeTimer, SessionEntry, SessionKind,
    outbound::{ActiveDestination, Failure, Hosts, LotId},
};
use crate::{
    config::RelayTls,
    limits,
    outbound::{
        report::return_path_bytes,
        route::{HostKind, NextHop},
    },
    session::{self, Machine, Session, SessionId, TlsSide},
};

/// A connection to another server, also one that is still to be made.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) destination: String,
    host: String,
    address: SocketAddr,
    security: Security,
    stage: Stage,
    /// Whether the peer has answered for a message: it is alive.
    is_proven: bool,
}

/// What a connection does.
#[derive(Debug)]
enum Stage {
    /// It is being made.
    Dialling,
    /// The two introduce themselves.
    Opening,
    /// It asks for a message.
    Asking { call: CallId, since: Instant },
    /// It sends a lot, of which it has not told the fates of these recipients, by their places in
    /// the message; each is one of the lot's.
    Sending {
        lot: LotId,
        places: Vec<usize>,
        untold: BTreeSet<usize>,
    },
    /// It ends.
    Ending,
}

// For what waits.
impl Node {
    /// Gives what waits to connections that ask, and opens others where that is not enough.
    pub(super) fn advance_destination(&mut self, now: Now, key: &str) {
        loop {
            let Some(destination) = self.outbound.destinations.get(key) else {
                return;
            };
            if destination.waiting.is_empty() {
                return self.forget_if_idle(key);
            }
            let own = self.outbound.connections.iter();
            let own = own.filter(|(_, connection)| connection.destination == key);
            let asking = own
                .clone()
                .find_map(|(session, connection)| match connection.stage {
                    Stage::Asking { call, .. } => Some((*session, call)),
                    Stage::Dialling | Stage::Opening | Stage::Sending { .. } | Stage::Ending => {
                        None
                    }
                });
            if let Some((session, call)) = asking {
                self.send_next(key, session, call);
                continue;
            }
            let coming = own.clone().filter(|(_, connection)| {
                matches!(connection.stage, Stage::Dialling | Stage::Opening)
            });
            let most = self.config.relay.connections_per_destination.get();
            if coming.count() >= destination.waiting.len() || own.count() >= most {
                return;
            }
            if !self.open_connection(now, key) {
                return;
            }
        }
    }

    /// Opens a connection. Returns whether there may be more to do.
    fn open_connection(&mut self, now: Now, key: &str) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let destination = self.outbound.destinations.get_mut(key);
        let destination = destination.expect("something waits for it");
        let (host, security) = match &mut destination.hosts {
            Hosts::Asked => return false,
            hosts @ Hosts::Unknown => {
                *hosts = Hosts::Asked;
                let next_hop = destination.next_hop.clone();
                self.find_hosts(now, key, &next_hop);
                return false;
            }
            Hosts::Known(hosts) => match hosts.iter().find(|host| !host.is_bad) {
                None => {
                    // The next attempt begins with all of them.
                    destination.hosts = Hosts::Unknown;
                    self.fail_waiting(now, key);
                    return false;
                }
                Some(host) => {
                    let tls = destination.next_hop.tls(&self.config);
                    let security = match (tls, host.is_cleartext) {
                        (RelayTls::Off, _) | (RelayTls::Opportunistic, true) => Security::Cleartext,
                        (RelayTls::Opportunistic, false) => Security::Opportunistic,
                        (RelayTls::Required, _) => Security::Required,
                        (RelayTls::Implicit, _) => Security::Implicit,
                    };
                    (host.found.clone(), security)
                }
            },
        };
        if self.outbound.connections.len() >= self.config.relay.max_connections.get()
            && !self.end_one_idle_connection()
        {
            return false;
        }
        let session = self.dial(host.address);
        let connection = Connection {
            destination: key.to_owned(),
            host: host.name,
            address: host.address,
            security,
            stage: Stage::Dialling,
            is_proven: false,
        };
        self.outbound.connections.insert(session, connection);
        true
    }

    /// Asks for a stream to there.
    pub(super) fn dial(&mut self, to: SocketAddr) -> SessionId {
        self.sessions_begun += 1;
        let session = SessionId(self.sessions_begun);
        self.actions.push_back(NodeAction::Dial {
            session,
            to,
            patience: limits::CONNECT,
        });
        session
    }

    /// The stream that [`NodeAction::Dial`] asked for is there, or why it is not. The session is
    /// to be driven like any other; without one, the stream is not wanted any more.
    pub fn handle_dialled(
        &mut self,
        now: Now,
        session: SessionId,
        outcome: Result<(), String>,
    ) -> Option<Box<Session>> {
        if let Some(begun) = self.lookup_session(now, session, outcome.is_ok()) {
            return begun;
        }
        let connection = self.outbound.connections.get(&session)?;
        let (address, host) = (connection.address, connection.host.clone());
        if let Err(error) = outcome {
            let failure = Failure {
                status: EnhancedCode(4, 4, 1),
                told: Told {
                    by: format!("{host} [{address}]"),
                    answer: error,
                },
            };
            self.lose_connection(now, session, Some((Fault::Host, failure)));
            return None;
        }
        if self.stopping.is_some() {
            self.outbound.connections.remove(&session);
            return None;
        }
        tracing::debug!(session = session.0, %host, %address, "connected");
        let begun = self.begin_session(now, session);
        self.sessions
            .insert(session, SessionEntry::new(now, SessionKind::Dialled, None));
        Some(Box::new(begun))
    }

    fn begin_session(&mut self, now: Now, session: SessionId) -> Session {
        let nonce = std::array::from_fn(|_| self.entropy.next_u64() as u8);
        let connection = self.outbound.connections.get_mut(&session);
        let connection = connection.expect("it was dialled");
        connection.stage = Stage::Opening;
        let security = connection.security;
        let destination = &self.outbound.destinations[&connection.destination];
        let (protocol, credentials) = match &destination.next_hop {
            NextHop::Host {
                kind: HostKind::Lmtp,
                ..
            } => (Protocol::Lmtp, None),
            NextHop::Host {
                kind: HostKind::Smarthost,
                ..
            } => {
                let smarthost = self.config.relay.smarthost.as_ref();
                let credentials = smarthost.and_then(|it| it.credentials.as_ref());
                let credentials = credentials.map(|(username, password)| Credentials {
                    username: username.clone(),
                    password: password.clone(),
                    cleartext_allowed: security == Security::Cleartext
                        && smarthost.is_some_and(|it| it.tls == RelayTls::Off),
                    nonce,
                });
                (Protocol::Smtp, credentials)
            }
            NextHop::Mx(_)
            | NextHop::Host {
                kind: HostKind::Smtp,
                ..
            } => (Protocol::Smtp, None),
        };
        let tls = match security {
            Security::Cleartext | Security::Opportunistic => &self.client_tls.opportunistic,
            Security::Required | Security::Implicit => &self.client_tls.verified,
        };
        let name = ServerName::try_from(connection.host.clone());
        let name = name.unwrap_or_else(|_| ServerName::from(connection.address.ip()));
        let client = Client::new(
            Config {
                protocol,
                hostname: self.config.hostname.clone(),
                shuns_own_name: matches!(destination.next_hop, NextHop::Mx(_)),
                security,
                credentials,
            },
            now,
        );
        let machine = Machine::SmtpClient(Box::new(client));
        let side = TlsSide::Client(Arc::clone(tls), name);
        let is_implicit = security == Security::Implicit;
        Session::new(session, machine, Some(side), is_implicit, now)
    }

    /// Gives the lot that has waited longest to a connection.
    fn send_next(&mut self, key: &str, session: SessionId, call: CallId) {
        let outbound = &mut self.outbound;
        let destination = outbound.destinations.get_mut(key);
        let id = destination.and_then(|destination| destination.waiting.pop_front());
        let id = id.expect("something waits");
        let lot = &outbound.lots[&id];
        let places: Vec<usize> = lot.undecided.iter().copied().collect();
        let entry = &lot.entry;
        let recipients = places.iter().map(|&place| {
            let recipient = &entry.recipients[place].1;
            smtp::client::Recipient {
                path: recipient.path.clone(),
                notify: recipient.notice.notify,
                original: recipient.notice.orcpt.clone(),
            }
        });
        let skipped = return_path_bytes(&entry.reverse_path);
        let message = Message {
            key: id.0,
            reverse_path: entry.reverse_path.clone(),
            recipients: recipients.collect(),
            size_bytes: entry.summary.size_bytes.saturating_sub(skipped),
            parts: parts_behind(&entry.summary.parts, skipped),
            eight_bit: true,
            smtputf8: entry.smtputf8,
            return_of_content: entry.notice.ret,
            envelope_id: entry.notice.envid.clone(),
        };
        let connection = outbound.connections.get_mut(&session);
        let connection = connection.expect("it asks");
        connection.stage = Stage::Sending {
            lot: id,
            untold: (0..places.len()).collect(),
            places,
        };
        let asker = Asker { session, call };
        self.reply_client(asker, Reply::Message(Box::new(message)));
    }

    fn reply_client(&mut self, asker: Asker, reply: Reply) {
        self.reply(asker, session::Reply::SmtpClient(reply));
    }
}

// What sessions ask and tell.
impl Node {
    pub(super) fn handle_smtp_client(&mut self, now: Now, asker: Asker, call: Call) {
        match call {
            Call::NextMessage => {
                let Some(connection) = self.outbound.connections.get_mut(&asker.session) else {
                    return self.reply_client(asker, Reply::NoMore);
                };
                connection.stage = Stage::Asking {
                    call: asker.call,
                    since: now.at,
                };
                let key = connection.destination.clone();
                self.wake_at(NodeTimer::IdleConnections, now.at + limits::CONNECTION_IDLE);
                self.advance_destination(now, &key);
            }
            Call::Read { offset, length } => self.read_for(asker, offset, length),
            Call::Report(report) => {
                self.handle_fates(now, asker.session, report);
                self.reply_client(asker, Reply::Noted);
            }
            Call::Ended(end) => {
                self.handle_ended(now, asker.session, end);
                self.reply_client(asker, Reply::Noted);
            }
            Call::Scram(input) => self.run(Job::Scram { asker, input }),
        }
    }

    fn read_for(&mut self, asker: Asker, offset: u64, length: usize) {
        let connection = self.outbound.connections.get(&asker.session);
        let lot = connection.and_then(|connection| match &connection.stage {
            Stage::Sending { lot, .. } => self.outbound.lots.get(lot),
            Stage::Dialling | Stage::Opening | Stage::Asking { .. } | Stage::Ending => None,
        });
        let Some(lot) = lot else {
            return self.reply_client(asker, Reply::Unavailable);
        };
        let offset = offset + return_path_bytes(&lot.entry.reverse_path);
        match &lot.entry.content {
            Some(content) => {
                let start =
                    usize::try_from(offset).map_or(content.len(), |it| it.min(content.len()));
                let end = start.saturating_add(length).min(content.len());
                let piece = content.slice(start..end);
                self.reply_client(asker, Reply::Bytes(piece));
            }
            None => {
                let spool = lot.entry.id;
                self.run(Job::ReadSpooled {
                    asker,
                    spool,
                    offset,
                    length,
                });
            }
        }
    }

    pub(super) fn handle_spooled_read(
        &mut self,
        asker: Asker,
        spool: SpoolId,
        outcome: Result<Option<Bytes>, StoreError>,
    ) {
        let reply = match outcome {
            Ok(Some(bytes)) => Reply::Bytes(bytes),
            Ok(None) => {
                tracing::error!(spool = spool.0, "the content of a message is gone");
                Reply::Unavailable
            }
            Err(error) => {
                super::log_failure(&error, "a message can't be read");
                Reply::Unavailable
            }
        };
        self.reply_client(asker, reply);
    }

    /// A connection does not want the message that it asked for.
    pub(super) fn handle_cancelled(&mut self, session: SessionId, cancelled: CallId) {
        if let Some(connection) = self.outbound.connections.get_mut(&session)
            && let Stage::Asking { call, .. } = connection.stage
            && call == cancelled
        {
            connection.stage = Stage::Ending;
        }
    }

    /// Recipients have met their fates.
    fn handle_fates(&mut self, now: Now, session: SessionId, report: Report) {
        let Some(connection) = self.outbound.connections.get_mut(&session) else {
            return;
        };
        let Stage::Sending {
            lot: id,
            places,
            untold,
        } = &mut connection.stage
        else {
            return;
        };
        assert_eq!(
            id.0, report.key,
            "fates are those of the message that was given"
        );
        let id = *id;
        let host = &connection.host;
        let lot = self.outbound.lots.get_mut(&id).expect("it is being sent");
        let mut is_broken = false;
        for (place, outcome) in report.fates {
            untold.remove(&place);
            connection.is_proven |= peer_reply(&outcome).is_some();
            let decided = decide(&outcome, host, lot.broken);
            is_broken |= matches!(decided, Decided::Again { counts: true });
            if let Decided::Met { fate, status, told } = decided {
                let is_reply = peer_reply(&outcome).is_some();
                let is_passed_on = report.dsn_passed_on;
                lot.decide(places[place], fate, status, told, is_reply, is_passed_on);
            }
        }
        lot.broken += u32::from(is_broken);
        if !untold.is_empty() {
            return;
        }
        let is_decided = lot.undecided.is_empty();
        connection.stage = Stage::Opening;
        let key = connection.destination.clone();
        self.give_back(now, id, &key, is_decided);
        self.advance_destination(now, &key);
    }

    /// A lot is with no connection any more.
    fn give_back(&mut self, now: Now, id: LotId, key: &str, is_decided: bool) {
        if is_decided {
            return self.finish_lot(now, id, key);
        }
        if self.stopping.is_some() {
            // There is no other connection: the rest is whose turn is next.
            return self.conclude_decided(now, id);
        }
        let destination = self.outbound.destinations.get_mut(key);
        let destination = destination.expect("a destination stays while lots go there");
        destination.waiting.push_front(id);
    }

    fn handle_ended(&mut self, now: Now, session: SessionId, end: End) {
        let Some(connection) = self.outbound.connections.get_mut(&session) else {
            return;
        };
        connection.stage = match std::mem::replace(&mut connection.stage, Stage::Ending) {
            sending @ Stage::Sending { .. } => sending,
            Stage::Dialling | Stage::Opening | Stage::Asking { .. } | Stage::Ending => {
                Stage::Ending
            }
        };
        let failure = match end {
            End::Finished | End::Broken(Trouble::ShuttingDown | Trouble::ConnectionSpent) => None,
            End::Broken(trouble) => Some((
                Fault::of(&trouble, connection.security),
                Failure {
                    status: trouble.enhanced(),
                    told: Told {
                        by: connection.host.clone(),
                        answer: trouble.to_string(),
                    },
                },
            )),
        };
        match failure {
            // One that has served before was just tired of waiting: another may be opened.
            Some((_, failure)) if connection.is_proven => {
                tracing::debug!(session = session.0, why = %failure.told.answer, "ended");
                self.lose_connection(now, session, None);
            }
            failure => self.lose_connection(now, session, failure),
        }
    }

    /// The session of a connection is over.
    pub(super) fn handle_dialled_over(&mut self, now: Now, session: SessionId) {
        self.handle_lookup_over(now, session);
        self.lose_connection(now, session, None);
    }

    /// A connection is gone, and perhaps something is no good.
    fn lose_connection(&mut self, now: Now, session: SessionId, failure: Option<(Fault, Failure)>) {
        let Some(connection) = self.outbound.connections.remove(&session) else {
            return;
        };
        let key = connection.destination;
        if let Stage::Sending { lot: id, .. } = connection.stage {
            let lot = self.outbound.lots.get_mut(&id).expect("it is being sent");
            lot.broken += 1;
            self.give_back(now, id, &key, false);
        }
        if let Some((fault, failure)) = failure
            && let Some(destination) = self.outbound.destinations.get_mut(&key)
        {
            destination.note_failure(connection.address, fault, failure);
        }
        self.advance_destination(now, &key);
        // The room that it leaves may be for another destination.
        let mut others = self.outbound.destinations.iter();
        let waiting = others.find(|(other, it)| **other != key && !it.waiting.is_empty());
        if let Some(other) = waiting.map(|(other, _)| other.clone()) {
            self.advance_destination(now, &other);
        }
    }

    /// Ends connections that have asked in vain for long enough.
    pub(super) fn end_idle_connections(&mut self, now: Now) {
        let mut next: Option<Instant> = None;
        for (asker, since) in self.asking() {
            let until = since + limits::CONNECTION_IDLE;
            if until <= now.at {
                self.end_connection(asker);
            } else {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
        }
        self.move_timer(NodeTimer::IdleConnections, next);
    }

    /// Ends the connection that has asked longest in vain. Returns whether there was one.
    fn end_one_idle_connection(&mut self) -> bool {
        let longest = self.asking().into_iter().min_by_key(|(_, since)| *since);
        match longest {
            Some((asker, _)) => {
                self.end_connection(asker);
                true
            }
            None => false,
        }
    }

    /// The connections that ask for a message, and since when.
    fn asking(&self) -> Vec<(Asker, Instant)> {
        let connections = self.outbound.connections.iter();
        let asking = connections.filter_map(|(&session, connection)| match connection.stage {
            Stage::Asking { call, since } => Some((Asker { session, call }, since)),
            Stage::Dialling | Stage::Opening | Stage::Sending { .. } | Stage::Ending => None,
        });
        asking.collect()
    }

    fn end_connection(&mut self, asker: Asker) {
        if let Some(connection) = self.outbound.connections.get_mut(&asker.session) {
            connection.stage = Stage::Ending;
        }
        self.reply_client(asker, Reply::NoMore);
    }
}

/// What is no good when a connection failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// The host.
    Host,
    /// Its TLS, which need not be.
    Tls,
    /// The host, which is ourselves, and those behind it.
    Ourselves,
}

impl Fault {
    fn of(trouble: &Trouble, security: Security) -> Self {
        if *trouble == Trouble::OwnName {
            Self::Ourselves
        } else if trouble.is_tls() && security == Security::Opportunistic {
            Self::Tls
        } else {
            Self::Host
        }
    }
}

impl ActiveDestination {
    fn note_failure(&mut self, address: SocketAddr, fault: Fault, failure: Failure) {
        let hosts = match &mut self.hosts {
            Hosts::Known(hosts) => hosts.as_mut_slice(),
            Hosts::Unknown | Hosts::Asked => &mut [],
        };
        if let Some(place) = hosts.iter().position(|it| it.found.address == address) {
            match fault {
                Fault::Tls if !hosts[place].is_cleartext => hosts[place].is_cleartext = true,
                Fault::Tls | Fault::Host => hosts[place].is_bad = true,
                // Hosts that are no better than we are would give it to us (RFC 5321 §5.1).
                Fault::Ourselves => hosts[place..].iter_mut().for_each(|it| it.is_bad = true),
            }
        }
        // Where a better host may come back, it waits for that.
        if fault != Fault::Ourselves || self.failure.is_none() {
            self.failure = Some(failure);
        }
    }
}

/// What a recipient's fate on one connection means.
enum Decided {
    /// It is a verdict.
    Met {
        fate: Fate,
        status: EnhancedCode,
        told: Told,
    },
    /// It is none: another connection may do better. Whether that is to happen a few times only.
    Again { counts: bool },
}

fn decide(outcome: &Outcome, host: &str, broken: u32) -> Decided {
    let met = |fate, status, answer| Decided::Met {
        fate,
        status,
        told: Told {
            by: host.to_owned(),
            answer,
        },
    };
    match outcome {
        Outcome::Accepted(reply) => met(Fate::Relayed, status_of(reply, 2), reply.to_string()),
        Outcome::Refused(reply) => met(Fate::Failed, status_of(reply, 5), reply.to_string()),
        Outcome::Deferred(reply) => met(Fate::Waiting, status_of(reply, 4), reply.to_string()),
        Outcome::Failed(Trouble::ConnectionSpent) => Decided::Again { counts: false },
        Outcome::Failed(trouble) if trouble.is_permanent() => {
            met(Fate::Failed, trouble.enhanced(), trouble.to_string())
        }
        Outcome::Failed(_) if broken + 1 < limits::LOT_CONNECTIONS => {
            Decided::Again { counts: true }
        }
        Outcome::Failed(trouble) => met(Fate::Waiting, trouble.enhanced(), trouble.to_string()),
        Outcome::Uncertain(trouble) => {
            let answer = format!("{trouble}, after all of it was sent");
            met(Fate::Waiting, trouble.enhanced(), answer)
        }
    }
}

fn peer_reply(outcome: &Outcome) -> Option<&PeerReply> {
    match outcome {
        Outcome::Accepted(reply) | Outcome::Refused(reply) | Outcome::Deferred(reply) => {
            Some(reply)
        }
        Outcome::Failed(_) | Outcome::Uncertain(_) => None,
    }
}

/// The status code of a reply (RFC 3463); where it has none, the class alone.
fn status_of(reply: &PeerReply, class: u8) -> EnhancedCode {
    reply.enhanced.unwrap_or(EnhancedCode(class, 0, 0))
}

/// The part tree of what stands behind so many bytes of the header, in its stored form.
fn parts_behind(stored: &[u8], skipped_bytes: u64) -> Bytes {
    let behind = |offset: u64| offset.saturating_sub(skipped_bytes);
    let shifted = |part: &Part| Part {
        header: behind(part.header.start)..behind(part.header.end),
        body: behind(part.body.start)..behind(part.body.end),
        ..part.clone()
    };
    let parts = Parts::decode(stored);
    let parts = parts.and_then(|parts| Parts::new(parts.iter().map(shifted).collect()));
    parts.map_or_else(Bytes::new, |parts| parts.encode().into())
}

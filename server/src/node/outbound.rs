//! Mail to other servers: a bounded active window over an unbounded queue.
//!
//! ```text
//!  due in the spool ──(room, and none too many of one destination)──► waiting ──► being sent
//!        ▲                                                               ▲            │
//!        │                                     the connection broke:     └────────────┤
//!        │                                     another host, twice more               │
//!        └──── put off, or gone, with a report ◄─── every recipient has its verdict ◄─┘
//! ```
//!
//! What waits is put to connections destination by destination, so that one which stalls holds up
//! no other. A destination is known as long as something of it waits or is sent, or a connection
//! to it is open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rmail_proto::{ForwardPath, Instant, Now, UnixTime, smtp::EnhancedCode};
use rmail_store::{Claim, Destination, Fate, Lots, SpoolEntry, SpoolWrite, Told};

use super::{
    Node, NodeTimer,
    conclusions::{Conclusion, Verdict},
    connections::Connection,
    lookups::{FoundHost, NoHosts},
    writes::SpoolOrigin,
};
use crate::{
    limits,
    outbound::{
        report::Original,
        route::{NextHop, Route, destination_key, route_path},
    },
    session::SessionId,
};

/// Names an active lot. Never reused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct LotId(pub(super) u64);

/// The active window.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) lots: BTreeMap<LotId, Lot>,
    lots_begun: u64,
    /// Content in memory.
    bytes: usize,
    pub(super) destinations: BTreeMap<String, ActiveDestination>,
    pub(super) connections: BTreeMap<SessionId, Connection>,
    is_claiming: bool,
    /// Whether more became due while a claim was under way.
    may_claim: bool,
}

/// A lot that is being sent, or waits for a connection.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) entry: SpoolEntry,
    /// Recipients without a verdict, by their places in the entry's list.
    pub(super) undecided: BTreeSet<usize>,
    verdicts: Vec<Verdict>,
    /// Connections that broke under it.
    pub(super) broken: u32,
}

/// A destination with something to do.
#[derive(Debug)]
pub(super) struct ActiveDestination {
    pub(super) next_hop: NextHop,
    /// Lots that wait for a connection, in order.
    pub(super) waiting: VecDeque<LotId>,
    /// Lots, those that are being sent included.
    active: usize,
    pub(super) hosts: Hosts,
    /// Why the last connection failed.
    pub(super) failure: Option<Failure>,
}

/// The hosts of a destination.
#[derive(Debug)]
pub(super) enum Hosts {
    /// Nobody has asked.
    Unknown,
    /// The answer is to come.
    Asked,
    /// In the order in which they are to be tried; not empty.
    Known(Vec<Host>),
}

/// A host that may take mail.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) found: FoundHost,
    /// It did not work out.
    pub(super) is_bad: bool,
    /// TLS did not work out, and need not be.
    pub(super) is_cleartext: bool,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: EnhancedCode,
    pub(super) told: Told,
}

impl Outbound {
    pub(super) fn is_idle(&self) -> bool {
        !self.is_claiming
    }
}

impl Node {
    /// Asks for mail to other servers that is due, if there is room for it.
    pub(super) fn claim_remote(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        let outbound = &mut self.outbound;
        outbound.may_claim = true;
        let room = limits::OUTBOUND_ACTIVE.saturating_sub(outbound.lots.len());
        if outbound.is_claiming || room < limits::OUTBOUND_ACTIVE / 2 {
            return;
        }
        outbound.is_claiming = true;
        outbound.may_claim = false;
        let busy = outbound.destinations.iter();
        let busy = busy.filter(|(_, it)| it.active > limits::OUTBOUND_ACTIVE_EACH / 2);
        let claim = Claim {
            lots: Lots::Remote {
                each_max: limits::OUTBOUND_ACTIVE_EACH,
                except: busy.map(|(key, _)| key.clone()).collect(),
            },
            count_max: room.min(limits::BATCH_WRITES),
            bytes_max: limits::OUTBOUND_BYTES.saturating_sub(outbound.bytes),
        };
        self.write_spool(now, SpoolWrite::Claim(claim), SpoolOrigin::ClaimRemote);
    }

    pub(super) fn handle_claimed_remote(
        &mut self,
        now: Now,
        entries: Vec<SpoolEntry>,
        next_due: Option<UnixTime>,
    ) {
        self.outbound.is_claiming = false;
        let has_claimed = !entries.is_empty();
        let mut keys = BTreeSet::new();
        for entry in entries {
            keys.extend(self.begin_lot(now, entry));
        }
        for key in keys {
            self.advance_destination(now, &key);
        }
        if has_claimed || self.outbound.may_claim {
            self.claim_remote(now);
        }
        let latest = UnixTime(now.unix.0 + limits::CLAIM_INTERVAL.as_secs() as i64);
        self.claim_remote_at(now, next_due.map_or(latest, |due| due.min(latest)));
    }

    /// Puts a lot in line, unless it does not go there any more. Returns the destination.
    fn begin_lot(&mut self, now: Now, entry: SpoolEntry) -> Option<String> {
        let Destination::Remote(key) = entry.destination.clone() else {
            unreachable!("mail for mailboxes is not asked for");
        };
        let (route, elsewhere) = self.route_lot(&entry, &key);
        let (spool, destination) = (entry.id, entry.destination.clone());
        if !elsewhere.is_empty() {
            let to = elsewhere;
            let reroute = SpoolWrite::Reroute {
                spool,
                destination,
                to,
            };
            self.write_spool(now, reroute, SpoolOrigin::Nobody);
            self.outbound.may_claim = true;
            return None;
        }
        let next_hop = match route {
            Route::Remote(next_hop) => next_hop,
            Route::Hold(reason) => {
                let reason = reason.to_owned();
                tracing::info!(mail = %entry.envelope_id, %reason, "held");
                let park = SpoolWrite::Park {
                    spool,
                    destination,
                    reason,
                };
                self.write_spool(now, park, SpoolOrigin::Nobody);
                return None;
            }
            Route::Local => unreachable!("what goes to mailboxes was led elsewhere"),
        };
        let outbound = &mut self.outbound;
        outbound.lots_begun += 1;
        let id = LotId(outbound.lots_begun);
        outbound.bytes += entry.content.as_ref().map_or(0, |bytes| bytes.len());
        let lot = Lot {
            undecided: (0..entry.recipients.len()).collect(),
            entry,
            verdicts: Vec::new(),
            broken: 0,
        };
        outbound.lots.insert(id, lot);
        let destination = outbound.destinations.entry(key.clone());
        let destination = destination.or_insert_with(|| ActiveDestination {
            next_hop,
            waiting: VecDeque::new(),
            active: 0,
            hosts: Hosts::Unknown,
            failure: None,
        });
        destination.active += 1;
        destination.waiting.push_back(id);
        Some(key)
    }

    /// The route of a lot, and those of its recipients that go elsewhere by now: the configuration
    /// may have changed since they were accepted.
    fn route_lot(&self, entry: &SpoolEntry, key: &str) -> (Route, Vec<(u32, Destination)>) {
        let mut common = None;
        let mut elsewhere = Vec::new();
        for (position, recipient) in &entry.recipients {
            let route = route_path(&self.config, &recipient.path);
            let to = match (&route, &recipient.path) {
                (Route::Local, _) | (_, ForwardPath::Postmaster) => Destination::Local,
                (route, ForwardPath::Address(address)) => {
                    Destination::Remote(destination_key(route, address.domain()))
                }
            };
            match to {
                Destination::Remote(same) if same == key => common = Some(route),
                to => elsewhere.push((*position, to)),
            }
        }
        (common.unwrap_or(Route::Local), elsewhere)
    }

    /// Hosts were found for a destination, or not.
    pub(super) fn handle_hosts(
        &mut self,
        now: Now,
        key: &str,
        found: Result<Vec<FoundHost>, NoHosts>,
    ) {
        let Some(destination) = self.outbound.destinations.get_mut(key) else {
            return;
        };
        match found {
            Ok(hosts) => {
                let hosts = hosts.into_iter().map(|found| Host {
                    found,
                    is_bad: false,
                    is_cleartext: false,
                });
                destination.hosts = Hosts::Known(hosts.collect());
                destination.failure = None;
                self.advance_destination(now, key);
            }
            Err(NoHosts { status, why }) => {
                destination.hosts = Hosts::Unknown;
                let told = Told {
                    by: String::new(),
                    answer: why,
                };
                destination.failure = Some(Failure { status, told });
                self.fail_waiting(now, key);
            }
        }
    }

    /// There is no way to a destination now: what waits for it is put off, or given up.
    pub(super) fn fail_waiting(&mut self, now: Now, key: &str) {
        let Some(destination) = self.outbound.destinations.get_mut(key) else {
            return;
        };
        let failure = destination.failure.clone().unwrap_or_else(|| Failure {
            status: EnhancedCode(4, 4, 1),
            told: Told {
                by: String::new(),
                answer: "no host could be reached".to_owned(),
            },
        });
        let fate = match failure.status.0 {
            5 => Fate::Failed,
            _ => Fate::Waiting,
        };
        for id in std::mem::take(&mut destination.waiting) {
            let lot = self.outbound.lots.get_mut(&id).expect("it waits");
            for place in std::mem::take(&mut lot.undecided) {
                lot.decide(
                    place,
                    fate,
                    failure.status,
                    failure.told.clone(),
                    false,
                    false,
                );
            }
            self.finish_lot(now, id, key);
        }
        self.forget_if_idle(key);
    }

    /// All recipients of a lot have their verdicts.
    pub(super) fn finish_lot(&mut self, now: Now, id: LotId, key: &str) {
        let outbound = &mut self.outbound;
        let lot = outbound.lots.remove(&id).expect("a lot is finished once");
        outbound.bytes -= lot.entry.content.as_ref().map_or(0, |bytes| bytes.len());
        let destination = outbound.destinations.get_mut(key);
        let destination = destination.expect("a destination stays while lots go there");
        destination.active -= 1;
        let has_room = destination.active == limits::OUTBOUND_ACTIVE_EACH / 2
            || outbound.lots.len() == limits::OUTBOUND_ACTIVE / 2;
        let conclusion = Conclusion {
            original: Original::of(&lot.entry),
            reverse_path: lot.entry.reverse_path,
            destination: lot.entry.destination,
            attempts: lot.entry.attempts,
            is_delay_told: lot.entry.is_delay_told,
            delivery: None,
            verdicts: lot.verdicts,
        };
        self.conclude(now, conclusion);
        if has_room || self.outbound.may_claim {
            self.claim_remote(now);
        }
    }

    /// A destination with nothing to do and no connection is forgotten.
    pub(super) fn forget_if_idle(&mut self, key: &str) {
        let outbound = &mut self.outbound;
        let has_connection = outbound
            .connections
            .values()
            .any(|it| it.destination == key);
        let is_idle = outbound
            .destinations
            .get(key)
            .is_some_and(|it| it.active == 0);
        if is_idle && !has_connection {
            outbound.destinations.remove(key);
        }
    }

    /// Wakes the node at this time for this, at the latest.
    pub(super) fn wake_at(&mut self, timer: NodeTimer, at: Instant) {
        let is_set =
            |(&(when, _), known): (&(Instant, u64), &NodeTimer)| *known == timer && when <= at;
        if !self.timers.iter().any(is_set) {
            self.move_timer(timer, Some(at));
        }
    }

    /// Sets a timer of which there is one, or none.
    pub(super) fn move_timer(&mut self, timer: NodeTimer, at: Option<Instant>) {
        self.timers.retain(|_, known| *known != timer);
        if let Some(at) = at {
            self.set_timer(at, timer);
        }
    }
}

impl Lot {
    /// A recipient has met its fate.
    pub(super) fn decide(
        &mut self,
        place: usize,
        fate: Fate,
        status: EnhancedCode,
        told: Told,
        is_reply: bool,
        is_passed_on: bool,
    ) {
        self.undecided.remove(&place);
        let (position, recipient) = self.entry.recipients[place].clone();
        self.verdicts.push(Verdict {
            position,
            recipient,
            fate,
            status,
            told,
            is_reply,
            is_passed_on,
        });
    }
}

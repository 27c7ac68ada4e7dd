//! What nodes do to the rest of the world: connections to other hosts, and questions to the DNS.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rmail_proto::Instant;
use rmail_server::{
    node::{Admission, ListenerKind, SocketId},
    session::SessionId,
};

use super::{Happening, HostId, World, host::Host, process::ProcessId, stream::Stream};
use crate::{DnsWorld, StreamId};

/// The one name server, which all hosts ask.
pub(super) const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 253));

/// Longest time that a connection, or a question to the DNS, is on its way.
const LATENCY_MAX: Duration = Duration::from_millis(200);

/// Who is reached where, and who is not for now.
#[derive(Default)]
pub(super) struct Network {
    /// Where somebody listens who is no process, and the streams that wait for them.
    doors: BTreeMap<SocketAddr, VecDeque<(StreamId, HostId)>>,
    /// Until when a machine is cut off from another, or from all.
    cuts: BTreeMap<(IpAddr, Option<IpAddr>), Instant>,
}

/// Who takes a connection.
#[derive(Clone, Copy)]
enum Listener {
    Process(ProcessId, ListenerKind),
    Person,
}

impl World {
    /// What all name servers know, and how they behave.
    pub fn dns(&mut self) -> &mut DnsWorld {
        &mut self.dns
    }

    /// Where a host is reached, for the DNS.
    pub fn address(&self, host: HostId) -> IpAddr {
        Host::address(host)
    }

    /// How often a process of this host was killed, or asked to stop: what one had done may not
    /// have been written down.
    pub fn interruptions(&self, host: HostId) -> u64 {
        self.hosts[host.0].interruptions
    }

    /// From now on connections to there are taken, for [`accept`](Self::accept).
    pub(crate) fn listen(&mut self, at: SocketAddr) {
        self.network.doors.entry(at).or_default();
    }

    /// The next stream that came to there, and from whom.
    pub(crate) fn accept(&mut self, at: SocketAddr) -> Option<(StreamId, HostId)> {
        let arrived = self.network.doors.get_mut(&at)?.pop_front();
        self.touched += u64::from(arrived.is_some());
        arrived
    }

    /// The person at the end of a stream is gone, without a word.
    pub(crate) fn person_vanishes(&mut self, stream: StreamId) {
        self.touched += 1;
        if let Some(found) = self.streams.get_mut(&stream) {
            found.lose();
        }
        self.person_leaves(stream);
    }

    /// A machine can't reach another, or none at all, for so long, and is not reached: streams
    /// stand still, connections time out, questions to the DNS are lost.
    pub fn cut_off(&mut self, one: IpAddr, other: Option<IpAddr>, duration: Duration) {
        let until = self.now.at + duration;
        self.counts.partitions += 1;
        self.note(
            "network",
            format_args!("{one} cut off from {other:?} for {duration:?}"),
        );
        let known = self.network.cuts.entry((one, other)).or_default();
        *known = until.max(*known);
        for stream in self.streams.values_mut() {
            if stream.connects(one, other) {
                stream.stall(until);
            }
        }
    }

    /// Nobody ever answers there.
    pub fn silence(&mut self, address: IpAddr) {
        let never = self.now.at + Duration::from_secs(1000 * 24 * 60 * 60);
        self.network.cuts.insert((address, None), never);
    }

    fn are_cut_off(&self, from: IpAddr, to: IpAddr) -> bool {
        let pairs = [(from, None), (to, None), (from, Some(to)), (to, Some(from))];
        let until = |pair| self.network.cuts.get(pair);
        pairs
            .iter()
            .filter_map(until)
            .any(|until| self.now.at < *until)
    }

    fn address_of(&self, process: ProcessId) -> IpAddr {
        self.host_of(process).map_or(NAME_SERVER, Host::address)
    }

    /// Whether a connection is made is seen when it would be there.
    pub(super) fn dial(
        &mut self,
        process: ProcessId,
        session: SessionId,
        to: SocketAddr,
        patience: Duration,
    ) {
        let dialled = Happening::Dialled(process, session, to);
        match self.are_cut_off(self.address_of(process), to.ip()) {
            true => self.plan_at(self.now.at + patience, dialled),
            false => self.plan(LATENCY_MAX, dialled),
        }
    }

    pub(super) fn connect_session(&mut self, from: ProcessId, session: SessionId, to: SocketAddr) {
        let now = self.now;
        let peer = self.address_of(from);
        let found = match self.are_cut_off(peer, to.ip()) {
            true => Err("connection timed out"),
            false => self.listener(to).ok_or("connection refused"),
        };
        let outcome = found.map(|_| ()).map_err(str::to_owned);
        let Some(process) = self.process(from) else {
            return;
        };
        let dialled = process.node.handle_dialled(now, session, outcome);
        let (Some(dialled), Ok(listener)) = (dialled, found) else {
            return;
        };
        self.streams_opened += 1;
        self.counts.dialled += 1;
        let id = StreamId(self.streams_opened);
        let process = match listener {
            Listener::Process(target, _) => Some(target),
            Listener::Person => None,
        };
        let mut stream = Stream::dialled(id, (from, dialled), process, self.conditions.link);
        stream.set_machines(peer, to.ip());
        match listener {
            Listener::Process(target, kind) => {
                let listening = self.process(target).expect("it was just found");
                let client = (peer, 40_000).into();
                match listening.node.handle_connection(now, kind, client, to.ip()) {
                    Admission::Admitted(session) => stream.admit(session),
                    Admission::Refused(bytes) => stream.refuse(now, &mut self.entropy, &bytes),
                }
            }
            Listener::Person => {
                let host = self.host_of(from).expect("its process runs");
                let door = self.network.doors.get_mut(&to);
                door.expect("somebody listens").push_back((id, host));
            }
        }
        self.streams.insert(id, stream);
        self.note(from, format_args!("{id} to {to}"));
    }

    /// Who listens there, and for what.
    fn listener(&self, to: SocketAddr) -> Option<Listener> {
        if self.network.doors.contains_key(&to) {
            return Some(Listener::Person);
        }
        let mut hosts = self.hosts.iter().enumerate();
        let (_, host) = hosts.find(|(number, _)| Host::address(HostId(*number)) == to.ip())?;
        let mut processes = host.servers.iter().flatten();
        processes.find_map(|process| {
            let listeners = process.node.listeners().into_iter();
            let mut kinds = listeners.filter(|spec| spec.address.port() == to.port());
            let kind = kinds.next()?.kind;
            Some(Listener::Process(process.id, kind))
        })
    }

    pub(super) fn send_udp(
        &mut self,
        process: ProcessId,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        self.sockets.insert((process, socket));
        if to.ip() != NAME_SERVER || self.are_cut_off(self.address_of(process), to.ip()) {
            return;
        }
        for reply in self.dns.answer_datagram(bytes) {
            let arrival = self.now.at + reply.after;
            let udp = Happening::Udp {
                process,
                socket,
                from: to,
                bytes: reply.bytes,
            };
            self.plan_from(arrival, LATENCY_MAX, udp);
        }
    }

    pub(super) fn deliver_udp(
        &mut self,
        process: ProcessId,
        socket: SocketId,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let now = self.now;
        if self.sockets.contains(&(process, socket))
            && let Some(process) = self.process(process)
        {
            process.node.handle_udp(now, socket, from, bytes);
        }
    }
}

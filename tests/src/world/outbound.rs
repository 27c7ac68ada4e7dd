//! What nodes do to the rest of the world: connections to other hosts, and questions to the DNS.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rmail_server::{
    node::{Admission, SocketId},
    session::SessionId,
};

use super::{Happening, HostId, World, host::Host, process::ProcessId, stream::Stream};
use crate::{DnsWorld, StreamId};

/// The one name server, which all hosts ask.
pub(super) const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 253));

/// Longest time that a connection, or a question to the DNS, is on its way.
const LATENCY_MAX: Duration = Duration::from_millis(200);

impl World {
    /// What all name servers know, and how they behave.
    pub fn dns(&mut self) -> &mut DnsWorld {
        &mut self.dns
    }

    /// Where a host is reached, for the DNS.
    pub fn address(&self, host: HostId) -> IpAddr {
        Host::address(host)
    }

    /// Whether a connection is made is seen when it would be there.
    pub(super) fn dial(&mut self, process: ProcessId, session: SessionId, to: SocketAddr) {
        self.plan(LATENCY_MAX, Happening::Dialled(process, session, to));
    }

    pub(super) fn connect_session(&mut self, from: ProcessId, session: SessionId, to: SocketAddr) {
        let now = self.now;
        let found = self.listener(to);
        let outcome = match found {
            Some(_) => Ok(()),
            None => Err("connection refused".to_owned()),
        };
        let Some(process) = self.process(from) else {
            return;
        };
        let dialled = process.node.handle_dialled(now, session, outcome);
        let (Some(dialled), Some((target, kind))) = (dialled, found) else {
            return;
        };
        let peer = self.host_of(from).map_or(NAME_SERVER, Host::address);
        self.streams_opened += 1;
        let id = StreamId(self.streams_opened);
        let mut stream = Stream::new(id, target, self.conditions.link);
        stream.dialled_by(from, dialled);
        let listening = self.process(target).expect("it was just found");
        match listening
            .node
            .handle_connection(now, kind, (peer, 40_000).into(), to.ip())
        {
            Admission::Admitted(session) => stream.admit(session),
            Admission::Refused(bytes) => stream.refuse(now, &mut self.entropy, &bytes),
        }
        self.streams.insert(id, stream);
        self.note(from, format_args!("{id} to {target}"));
    }

    /// Which process listens there, and for what.
    fn listener(&self, to: SocketAddr) -> Option<(ProcessId, rmail_server::node::ListenerKind)> {
        let mut hosts = self.hosts.iter().enumerate();
        let (_, host) = hosts.find(|(number, _)| Host::address(HostId(*number)) == to.ip())?;
        let mut processes = host.servers.iter().flatten();
        processes.find_map(|process| {
            let listeners = process.node.listeners().into_iter();
            let mut kinds = listeners.filter(|spec| spec.address.port() == to.port());
            let kind = kinds.next().filter(|_| process.is_listening)?.kind;
            Some((process.id, kind))
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
        if to.ip() != NAME_SERVER {
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

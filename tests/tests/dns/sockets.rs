//! The world behind loopback sockets, as real mail servers see it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{self, Duration},
};

use rmail_proto::{
    Instant, Now, UnixTime,
    dns::{Action, Failure, Reason, RecordType, Records, Resolver, Source, StreamId},
};
use rmail_tests::{Conduct, DnsServer, DnsWorld};

use crate::{
    RECORDS,
    asker::{Asker, Carrier},
};

/// How long one socket is looked at before the next one is.
const GLANCE: Duration = Duration::from_millis(2);

pub(crate) struct Sockets {
    started_at: time::Instant,
    datagrams: BTreeMap<Source, UdpSocket>,
    streams: BTreeMap<StreamId, Option<TcpStream>>,
    dialled: Vec<StreamId>,
}

impl Carrier for Sockets {
    fn now(&self) -> Now {
        Now {
            at: Instant::from_start(self.started_at.elapsed()),
            unix: UnixTime(0),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendDatagram { source, to, bytes } => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_read_timeout(Some(GLANCE)).unwrap();
                socket.connect(to).unwrap();
                socket.send(&bytes).unwrap();
                self.datagrams.insert(source, socket);
            }
            Action::Dial { stream, to } => {
                let connection = TcpStream::connect(to).ok();
                if let Some(connection) = &connection {
                    connection.set_read_timeout(Some(GLANCE)).unwrap();
                }
                self.streams.insert(stream, connection);
                self.dialled.push(stream);
            }
            Action::SendStream { stream, bytes } => {
                let connection = self.streams.get_mut(&stream).unwrap().as_mut();
                connection.unwrap().write_all(&bytes).unwrap();
            }
            Action::CloseDatagram { source } => drop(self.datagrams.remove(&source)),
            Action::CloseStream { stream } => drop(self.streams.remove(&stream)),
            Action::Answer { .. } => unreachable!("answers are the asker's"),
        }
    }

    fn wait(&mut self, resolver: &mut Resolver) {
        for stream in std::mem::take(&mut self.dialled) {
            match self.streams.get(&stream) {
                Some(Some(_)) => resolver.handle_stream_connected(self.now(), stream),
                Some(None) => resolver.handle_stream_failed(self.now(), stream),
                None => {}
            }
        }
        let mut buffer = [0; 4096];
        for (source, socket) in &self.datagrams {
            // A closed port is an error here, and a silent server to the resolver.
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                resolver.handle_datagram(self.now(), *source, from, &buffer[..length]);
            }
        }
        for (stream, connection) in &self.streams {
            if let Some(mut connection) = connection.as_ref() {
                match connection.read(&mut buffer) {
                    Ok(0) => resolver.handle_stream_failed(self.now(), *stream),
                    Ok(length) => {
                        resolver.handle_stream_bytes(self.now(), *stream, &buffer[..length]);
                    }
                    Err(_) => {}
                }
            }
        }
        resolver.handle_timeout(self.now());
    }
}

/// Somebody who asks these servers.
pub(crate) fn asker(servers: Vec<SocketAddr>) -> Asker<Sockets> {
    let carrier = Sockets {
        started_at: time::Instant::now(),
        datagrams: BTreeMap::new(),
        streams: BTreeMap::new(),
        dialled: Vec::new(),
    };
    Asker::new(carrier, servers)
}

fn serve() -> (DnsServer, Asker<Sockets>) {
    let server = DnsServer::start(DnsWorld::new(7, RECORDS));
    let asker = asker(vec![server.address()]);
    (server, asker)
}

#[test]
fn route_is_found_over_sockets() {
    let (server, mut asker) = serve();
    let plan = asker.route("example.com").unwrap();
    let targets: Vec<_> = plan.targets().map(|(_, ip)| ip.to_string()).collect();
    assert_eq!(targets, ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(server.world().asked().len(), 5);
}

#[test]
fn answer_that_no_datagram_holds_comes_by_tcp() {
    let (server, mut asker) = serve();
    for number in 0..40 {
        let filling = "x".repeat(300);
        server
            .world()
            .add(&format!("big.example TXT {number} {filling}"));
    }
    let answer = asker.ask("big.example", RecordType::Txt).unwrap();
    assert_eq!(answer.records.len(), 40);
    assert_eq!(
        server.world().asked(),
        ["TXT big.example", "TXT big.example"]
    );
}

#[test]
fn answers_come_late_where_the_table_says_so() {
    let (server, mut asker) = serve();
    let delay = Duration::from_millis(200);
    let conduct = Conduct {
        delay,
        doubled_percent: 100,
        ..Conduct::default()
    };
    server.world().set_conduct_of("small.example", conduct);
    let asked_at = time::Instant::now();
    let answer = asker.ask("small.example", RecordType::A).unwrap();
    assert!(asked_at.elapsed() >= delay);
    assert_eq!(answer.records, Records::A([[192, 0, 2, 3].into()].into()));
}

#[test]
fn what_is_not_there_and_who_refuses_come_over() {
    let (server, mut asker) = serve();
    let missing = asker.ask("missing.example", RecordType::A);
    assert!(matches!(missing, Err(Failure::NoSuchDomain(_))));
    let conduct = Conduct {
        fault: Some(rmail_tests::DnsFault::Refused),
        ..Conduct::default()
    };
    server.world().set_conduct(conduct);
    let refused = asker.ask("small.example", RecordType::A);
    assert_eq!(refused, Err(Failure::Temporary(Reason::Refused)));
}

#[test]
fn server_gives_its_port_back() {
    let (server, _) = serve();
    let port = server.address().port();
    drop(server);
    let world = DnsWorld::new(7, RECORDS);
    let server = DnsServer::start_on(port, world).expect("the port is free again");
    assert_eq!(server.address().port(), port);
}

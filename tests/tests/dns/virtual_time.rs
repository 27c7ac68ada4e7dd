//! The world in one thread, on virtual time.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rmail_proto::{
    Instant, Now,
    dns::{Action, Failure, Reason, RecordType, Records, Resolver, Source, StreamId},
    smtp::EnhancedCode,
};
use rmail_tests::{Conduct, DnsFault, DnsWorld};

use crate::{
    RECORDS,
    asker::{Asker, Carrier},
};

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53);

struct Virtual {
    world: DnsWorld,
    now: Now,
    coming: BTreeMap<(Instant, u64), Coming>,
    number: u64,
}

enum Coming {
    Datagram(Source, Vec<u8>),
    Connected(StreamId),
    Bytes(StreamId, Vec<u8>),
    Failed(StreamId),
}

impl Virtual {
    fn plan(&mut self, after: Duration, coming: Coming) {
        self.number += 1;
        self.coming
            .insert((self.now.at + after, self.number), coming);
    }
}

impl Carrier for Virtual {
    fn now(&self) -> Now {
        self.now
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendDatagram { source, bytes, .. } => {
                for reply in self.world.answer_datagram(&bytes) {
                    self.plan(reply.after, Coming::Datagram(source, reply.bytes));
                }
            }
            Action::Dial { stream, .. } => self.plan(Duration::ZERO, Coming::Connected(stream)),
            Action::SendStream { stream, bytes } => match self.world.answer_stream(&bytes[2..]) {
                Some(reply) => {
                    let length = u16::try_from(reply.bytes.len()).unwrap();
                    let bytes = [&length.to_be_bytes()[..], &reply.bytes].concat();
                    self.plan(reply.after, Coming::Bytes(stream, bytes));
                }
                None => self.plan(Duration::ZERO, Coming::Failed(stream)),
            },
            Action::CloseDatagram { .. } | Action::CloseStream { .. } | Action::Answer { .. } => {}
        }
    }

    fn wait(&mut self, resolver: &mut Resolver) {
        let deadline = resolver.poll_timeout().expect("something is waited for");
        match self.coming.first_entry() {
            Some(entry) if entry.key().0 <= deadline => {
                self.now.at = entry.key().0.max(self.now.at);
                match entry.remove() {
                    Coming::Datagram(source, bytes) => {
                        resolver.handle_datagram(self.now, source, SERVER, &bytes);
                    }
                    Coming::Connected(stream) => resolver.handle_stream_connected(self.now, stream),
                    Coming::Bytes(stream, bytes) => {
                        resolver.handle_stream_bytes(self.now, stream, &bytes);
                    }
                    Coming::Failed(stream) => resolver.handle_stream_failed(self.now, stream),
                }
            }
            Some(_) | None => {
                self.now.at = deadline;
                resolver.handle_timeout(self.now);
            }
        }
    }
}

fn asker(conduct: Conduct) -> Asker<Virtual> {
    let mut world = DnsWorld::new(7, RECORDS);
    world.set_conduct(conduct);
    let carrier = Virtual {
        world,
        now: Now::default(),
        coming: BTreeMap::new(),
        number: 0,
    };
    Asker::new(carrier, vec![SERVER])
}

fn faulty(fault: DnsFault) -> Asker<Virtual> {
    asker(Conduct {
        fault: Some(fault),
        ..Conduct::default()
    })
}

fn targets(asker: &mut Asker<Virtual>) -> Vec<String> {
    let plan = asker.route("example.com").unwrap();
    plan.targets()
        .map(|(_, address)| address.to_string())
        .collect()
}

const TARGETS: [&str; 3] = ["2001:db8::1", "192.0.2.1", "192.0.2.2"];

#[test]
fn route_is_found_in_a_good_world() {
    let mut asker = asker(Conduct::default());
    assert_eq!(targets(&mut asker), TARGETS);
    let world = &asker.carrier.world;
    assert_eq!(world.asked()[0], "MX example.com");
    assert_eq!(world.asked().len(), 5);
    // All of it is remembered.
    assert_eq!(targets(&mut asker), TARGETS);
    assert_eq!(asker.carrier.world.asked().len(), 5);
}

#[test]
fn route_is_found_where_datagrams_are_lost_late_and_doubled() {
    let mut asker = asker(Conduct {
        delay: Duration::from_millis(300),
        lost_percent: 30,
        doubled_percent: 30,
        ..Conduct::default()
    });
    assert_eq!(targets(&mut asker), TARGETS);
}

#[test]
fn route_is_found_by_tcp() {
    let mut asker = asker(Conduct {
        is_truncated: true,
        ..Conduct::default()
    });
    assert_eq!(targets(&mut asker), TARGETS);
}

#[test]
fn route_is_found_without_edns() {
    assert_eq!(targets(&mut faulty(DnsFault::NoEdns)), TARGETS);
}

#[test]
fn null_mx_and_missing_domains_are_permanent() {
    let mut asker = asker(Conduct::default());
    let code = |result: Result<_, rmail_proto::smtp::RouteFailure>| result.unwrap_err().enhanced;
    assert_eq!(code(asker.route("null.example")), EnhancedCode(5, 1, 10));
    assert_eq!(code(asker.route("missing.example")), EnhancedCode(5, 1, 2));
    // It is not there itself, but below it something is.
    assert_eq!(code(asker.route("example.net")), EnhancedCode(5, 1, 2));
    let no_data = asker.ask("example.net", RecordType::A);
    assert!(matches!(no_data, Err(Failure::NoData(_))));
}

#[test]
fn servers_that_fail_are_temporary_until_they_do_not() {
    for (fault, reason) in [
        (DnsFault::ServerFailure, Reason::ServerFailure),
        (DnsFault::Refused, Reason::Refused),
        (DnsFault::Malformed, Reason::Malformed),
    ] {
        let mut asker = faulty(fault);
        let result = asker.ask("example.com", RecordType::Mx);
        assert_eq!(result, Err(Failure::Temporary(reason)));
        let failure = asker.route("example.com").unwrap_err();
        assert_eq!(failure.enhanced, EnhancedCode(4, 4, 3));
        asker.carrier.world.set_conduct(Conduct::default());
        asker.carrier.now.at = asker.carrier.now.at + Duration::from_secs(60);
        assert_eq!(targets(&mut asker), TARGETS);
    }
}

#[test]
fn dead_servers_are_temporary_in_time() {
    let mut asker = asker(Conduct {
        lost_percent: 100,
        ..Conduct::default()
    });
    let result = asker.ask("example.com", RecordType::Mx);
    assert_eq!(result, Err(Failure::Temporary(Reason::Timeout)));
    assert_eq!(asker.carrier.now.at.since_start(), Duration::from_secs(25));
}

#[test]
fn conduct_of_a_name_is_its_own() {
    let mut asker = asker(Conduct::default());
    let conduct = Conduct {
        fault: Some(DnsFault::ServerFailure),
        ..Conduct::default()
    };
    asker
        .carrier
        .world
        .set_conduct_of("mx1.example.com", conduct);
    assert_eq!(targets(&mut asker), ["192.0.2.2"]);
}

#[test]
fn all_types_come_over_and_change_with_the_table() {
    let mut asker = asker(Conduct {
        is_authentic: true,
        ..Conduct::default()
    });
    let text = asker.ask("example.com", RecordType::Txt).unwrap();
    assert!(text.authentic);
    assert_eq!(text.valid_until.since_start(), Duration::from_secs(60));
    assert_eq!(text.records, Records::Txt(["v=spf1 mx -all".into()].into()));
    let tlsa = asker
        .ask("_25._tcp.mx1.example.com", RecordType::Tlsa)
        .unwrap();
    assert_eq!(tlsa.records.len(), 1);
    let names = asker
        .ask("1.2.0.192.in-addr.arpa", RecordType::Ptr)
        .unwrap();
    assert_eq!(names.records.len(), 1);
    let world = &mut asker.carrier.world;
    world.remove("example.com");
    world.add("example.com 5 TXT other");
    world.add_empty("empty.example");
    asker.carrier.now.at = asker.carrier.now.at + Duration::from_secs(60);
    let text = asker.ask("example.com", RecordType::Txt).unwrap();
    assert_eq!(text.records, Records::Txt(["other".into()].into()));
    let empty = asker.ask("empty.example", RecordType::A);
    assert!(matches!(empty, Err(Failure::NoData(_))));
}

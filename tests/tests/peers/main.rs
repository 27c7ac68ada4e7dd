//! Postfix and Exim take mail from both daemons and relay to them, with STARTTLS. Who takes the
//! mail of a domain, dnsmasq says.

mod journeys;
mod logins;

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, Port, free_port},
    lines::Lines,
    peers::{Peer, PeerKind, PeerSetup},
    programs::Dnsmasq,
};
use serde_json::json;

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Each journey, as a test of each peer with each daemon.
macro_rules! journeys {
    ($($name:ident,)*) => {
        mod postfix_and_tokio {
            $(#[test] fn $name() {
                crate::run(crate::PeerKind::Postfix, crate::Kind::Tokio, crate::journeys::$name);
            })*
        }
        mod postfix_and_async_std {
            $(#[test] fn $name() {
                crate::run(crate::PeerKind::Postfix, crate::Kind::AsyncStd, crate::journeys::$name);
            })*
        }
        mod exim_and_tokio {
            $(#[test] fn $name() {
                crate::run(crate::PeerKind::Exim, crate::Kind::Tokio, crate::journeys::$name);
            })*
        }
        mod exim_and_async_std {
            $(#[test] fn $name() {
                crate::run(crate::PeerKind::Exim, crate::Kind::AsyncStd, crate::journeys::$name);
            })*
        }
    };
}

journeys! {
    mail_goes_both_ways_by_starttls_as_it_was_written,
    large_message_goes_both_ways_byte_for_byte,
    recipient_that_the_peer_refuses_comes_back_in_its_words,
    recipient_that_we_refuse_comes_back_from_the_peer_in_our_words,
    mail_that_the_peer_puts_off_goes_after_queue_retry,
    wishes_for_reports_reach_the_peer,
    address_in_utf8_goes_both_ways,
    mail_in_circles_ends_in_a_report,
}

/// Alice at example.com on rmail, and a peer with everybody else.
struct Town {
    rmail: Daemon,
    peer: Peer,
    /// The peer's domain.
    domain: &'static str,
    _dns: Dnsmasq,
}

fn run(peer: PeerKind, kind: Kind, journey: fn(&Town)) {
    if !peer.is_installed() || !Dnsmasq::is_installed() {
        return;
    }
    let town = Town::new(peer, kind);
    journey(&town);
    town.rmail.finish();
}

impl Town {
    fn new(peer: PeerKind, kind: Kind) -> Self {
        let domain = peer.domain();
        let dns = Dnsmasq::start(&[
            format!("--mx-host={domain},mx.{domain},10"),
            format!("--mx-host=loop.example,mx.{domain},10"),
            format!("--host-record=mx.{domain},127.0.0.1"),
        ]);
        let port = free_port();
        let root = MailRoot::new();
        // What is put off waits until it is told to go.
        let rmail = root.start_with(
            kind,
            &json!({ "relay": {
                "port": port, "dns_servers": [dns.address().to_string()], "retry_delays": [86400],
            } }),
        );
        rmail.add_user(ALICE, PASSWORD);
        let tls = root.folder().join("mail/tls");
        let setup = PeerSetup {
            example_com: rmail.port(Port::Smtp),
            loop_example: rmail.port(Port::Submission),
            login: (ALICE, PASSWORD),
            ..PeerSetup::new(port, &tls)
        };
        Self {
            peer: Peer::start(peer, &setup),
            rmail,
            domain,
            _dns: dns,
        }
    }

    fn at_peer(&self, local_part: &str) -> String {
        format!("{local_part}@{}", self.domain)
    }

    fn alice_sends(&self, to: &[&str], text: &str) {
        let mut client = self.rmail.submission(ALICE, PASSWORD);
        let sent = client.deliver(ALICE, to, &dot_stuffed(text));
        sent.expect("rmail takes it");
    }

    fn bob_sends(&self, to: &[&str], text: &str) {
        let mut client = self.at_the_peers();
        let sent = client.deliver(&self.at_peer("bob"), to, &dot_stuffed(text));
        sent.expect("the peer takes it");
    }

    /// A client that has introduced itself to the peer.
    fn at_the_peers(&self) -> Lines {
        let mut client = self.peer.door().connect().expect("the peer listens");
        client.read_reply().expect("the peer greets");
        client
            .smtp("EHLO client.example.net")
            .expect("the peer answers");
        client
    }

    fn wait_for_alices(&self, text: &str) -> String {
        self.rmail.wait_for_mail((ALICE, PASSWORD), text)
    }
}

/// As it goes by DATA, without the last CRLF.
fn dot_stuffed(text: &str) -> String {
    let text = text.strip_suffix("\r\n").expect("the last line has an end");
    text.replace("\r\n.", "\r\n..")
}

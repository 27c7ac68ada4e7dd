//! Which handshakes succeed, and how the others end.

use std::time::Duration;

use proptest::prelude::*;
use rmail_proto::limits::TLS_HANDSHAKE_TIMEOUT;
use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;
use rustls::{
    ProtocolVersion, SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use crate::{
    client::{Client, are_alerts, client_hello, named, noop, starttls},
    server::{CERTIFICATE, IMPLICIT_LISTENERS, LISTENERS},
};

/// The two versions.
const VERSIONS: [(&SupportedProtocolVersion, ProtocolVersion); 2] = [
    (&TLS12, ProtocolVersion::TLSv1_2),
    (&TLS13, ProtocolVersion::TLSv1_3),
];

/// A hand-made ClientHello that is all of a record.
fn hello_record(minor_version: u8) -> Vec<u8> {
    let message = client_hello(minor_version);
    let mut record = vec![22, 3, minor_version.min(1), 0, message.len() as u8];
    record.extend(message);
    record
}

/// Past STARTTLS where there is one: what comes now must be TLS.
fn before_handshake(listener: ListenerKind) -> Client {
    let mut client = Client::connect(listener);
    client.send(starttls(listener).as_bytes());
    client
}

#[test]
fn tls_1_2_and_1_3_are_spoken_on_every_listener() {
    for listener in LISTENERS {
        for (version, expected) in VERSIONS {
            let mut client = before_handshake(listener);
            let config = ClientTls::config(&[version]);
            client.start_tls_with(named(config));
            let tls = client.tls.as_mut().unwrap();
            assert_eq!(tls.connection().protocol_version(), Some(expected));
            let (command, answer) = noop(listener);
            let said = client.say(command);
            assert!(said.starts_with(answer), "{listener:?}: {said}");
        }
    }
}

#[test]
fn nothing_below_tls_1_2_is_spoken() {
    // SSL 3.0, TLS 1.0, TLS 1.1.
    for minor_version in 0..=2 {
        for listener in LISTENERS {
            let mut client = before_handshake(listener);
            client.server.receive(&hello_record(minor_version));
            let sent = client.server.take_sent();
            assert!(are_alerts(&sent), "{listener:?}: {sent:?}");
            assert!(client.server.has_ended);
        }
    }
}

/// So that [`nothing_below_tls_1_2_is_spoken`] is about the version, and no mistake in the hello.
#[test]
fn same_hello_is_answered_when_it_says_tls_1_2() {
    const HANDSHAKE: u8 = 22;
    for listener in LISTENERS {
        let mut client = before_handshake(listener);
        client.server.receive(&hello_record(3));
        assert_eq!(client.server.take_sent().first(), Some(&HANDSHAKE));
    }
}

#[test]
fn certificate_is_the_configured_one_whatever_name_is_asked_for() {
    let names = [
        ServerName::try_from("mail.example.com").unwrap(),
        ServerName::try_from("other.example.net").unwrap(),
        // An address is no server name (RFC 6066 §3): none is sent.
        ServerName::try_from("192.0.2.1").unwrap(),
    ];
    for listener in LISTENERS {
        for (version, _) in VERSIONS {
            for name in names.clone() {
                let mut client = before_handshake(listener);
                let config = ClientTls::config(&[version]);
                client.start_tls_with(ClientTls::with_config(config, name));
                let tls = client.tls.as_mut().unwrap();
                let chain = tls.connection().peer_certificates().unwrap();
                assert_eq!(chain.first(), Some(&CERTIFICATE.der));
            }
        }
    }
}

#[test]
fn handshake_that_stalls_ends_by_its_timeout() {
    let hello = ClientTls::new().transmit();
    for listener in LISTENERS {
        for sent_at_first in [0, 3, hello.len() - 20, hello.len()] {
            let mut client = before_handshake(listener);
            client.server.receive(&hello[..sent_at_first]);
            // A byte now and then buys no time.
            let step = Duration::from_secs(5);
            let mut passed = Duration::ZERO;
            for byte in hello[sent_at_first..].iter().take(20) {
                if passed + step < TLS_HANDSHAKE_TIMEOUT {
                    client.server.pass(step);
                    passed += step;
                    client.server.receive(&[*byte]);
                }
            }
            assert!(!client.server.is_over(), "{listener:?}");
            client.server.pass(TLS_HANDSHAKE_TIMEOUT - passed);
            assert!(client.server.is_over(), "{listener:?}");
        }
    }
}

#[test]
fn shutdown_of_the_peer_within_a_handshake_ends_the_session() {
    let hello = ClientTls::new().transmit();
    for listener in LISTENERS {
        for received in [0, hello.len() / 2, hello.len()] {
            let mut client = before_handshake(listener);
            client.server.receive(&hello[..received]);
            client.server.end();
            assert!(client.server.is_over(), "{listener:?}");
            assert_eq!(client.server.world.calls, Vec::<String>::new());
        }
    }
}

#[test]
fn stop_of_the_server_within_a_handshake_ends_the_session_by_its_grace() {
    let grace = Duration::from_secs(10);
    for listener in LISTENERS {
        let mut client = before_handshake(listener);
        client.server.receive(&ClientTls::new().transmit());
        client.server.shut_down(grace);
        client.server.pass(grace);
        assert!(client.server.is_over(), "{listener:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_instead_of_a_client_hello_hears_alerts_or_nothing(
        garbage in proptest::collection::vec(any::<u8>(), 1..600),
        // Half of it looks like a record.
        header in proptest::option::of((20u8..25, 0u8..5, 0u8..2, any::<u8>())),
        which in 0usize..LISTENERS.len(),
    ) {
        let mut client = before_handshake(LISTENERS[which]);
        if let Some((kind, minor_version, high, low)) = header {
            client.server.receive(&[kind, 3, minor_version, high, low]);
        }
        client.server.receive(&garbage);
        let sent = client.server.take_sent();
        prop_assert!(sent.is_empty() || are_alerts(&sent), "{:?}", sent);
        prop_assert!(client.server.has_ended || sent.is_empty());
        client.server.end();
        client.server.pass(Duration::from_secs(60));
        prop_assert!(client.server.is_over());
    }

    #[test]
    fn damaged_handshake_hears_alerts_and_no_answer(
        at in 0usize..200,
        flip in 1u8..,
        which in 0usize..IMPLICIT_LISTENERS.len(),
    ) {
        // The client's second flight: what is encrypted of it is damaged.
        let listener = IMPLICIT_LISTENERS[which];
        let mut client = before_handshake(listener);
        let mut tls = ClientTls::new();
        client.server.receive(&tls.transmit());
        let answer = client.server.take_sent();
        tls.read(&answer);
        let mut flight = tls.transmit();
        // Behind the dummy ChangeCipherSpec (6 bytes) and the header of the next record.
        let place = 11 + at % (flight.len() - 11);
        flight[place] ^= flip;
        client.server.receive(&flight);
        let (command, _) = noop(listener);
        tls.write(command.as_bytes());
        client.server.receive(&tls.transmit());
        prop_assert!(client.server.has_ended);
        prop_assert!(tls.try_read(&client.server.take_sent()).is_err());
        prop_assert_eq!(&client.server.world.calls, &Vec::<String>::new());
    }
}

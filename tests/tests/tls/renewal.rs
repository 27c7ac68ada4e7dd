//! New keys within a connection: TLS 1.3's key update is served, TLS 1.2's renegotiation refused.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rmail_tests::ClientTls;
use rustls::{
    ConnectionTrafficSecrets, ExtractedSecrets,
    crypto::aws_lc_rs as provider,
    version::{TLS12, TLS13},
};

use crate::{
    client::{Client, client_hello, named, noop, starttls},
    server::LISTENERS,
};

#[test]
fn keys_are_renewed_as_often_as_the_client_likes() {
    for listener in LISTENERS {
        let mut client = Client::connect(listener);
        client.say(starttls(listener));
        client.start_tls_with(named(ClientTls::config(&[&TLS13])));
        let (command, answer) = noop(listener);
        for _ in 0..20 {
            let tls = client.tls.as_mut().unwrap();
            tls.connection().refresh_traffic_keys().unwrap();
            let said = client.say(command);
            assert!(said.starts_with(answer), "{listener:?}: {said}");
        }
    }
}

/// A flood of requests for new keys is bounded, and so is what answers it.
#[test]
fn flood_of_key_updates_costs_nothing() {
    for listener in LISTENERS {
        let mut client = Client::connect(listener);
        client.say(starttls(listener));
        client.start_tls_with(named(ClientTls::config(&[&TLS13])));
        let mut wire = Vec::new();
        for _ in 0..1000 {
            let tls = client.tls.as_mut().unwrap();
            tls.connection().refresh_traffic_keys().unwrap();
            wire.extend(tls.transmit());
        }
        client.server.is_read = false;
        client.server.receive(&wire);
        client.server.is_read = true;
        client.server.progress();
        let sent = client.server.take_sent();
        assert!(sent.len() < 100, "{} bytes", sent.len());
    }
}

#[test]
fn renegotiation_is_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const APPLICATION_DATA: u8 = 23;
    for listener in LISTENERS {
        let mut client = Client::connect(listener);
        client.say(starttls(listener));
        client.start_tls_with(chacha20_client());
        let tls = client.tls.take().unwrap().into_connection();
        let mut records = Records::new(tls.dangerous_extract_secrets().unwrap());

        let hello = records.seal(HANDSHAKE, &client_hello(3));
        client.server.receive(&hello);
        let answer = records.open(&client.server.take_sent());
        assert_eq!(
            answer,
            [(ALERT, vec![1, 100])],
            "no_renegotiation (RFC 5746)"
        );
        let calls = client.server.world.calls.clone();

        // The session goes on, but not if the client insists.
        let (command, answer) = noop(listener);
        let command = records.seal(APPLICATION_DATA, command.as_bytes());
        client.server.receive(&command);
        let said = records.open(&client.server.take_sent());
        assert!(matches!(&said[..], [(APPLICATION_DATA, said)]
            if said.starts_with(answer.as_bytes())));
        let hello = records.seal(HANDSHAKE, &client_hello(3));
        client.server.receive(&hello);
        assert!(
            client.server.has_ended,
            "{listener:?}: it may go on for ever"
        );
        assert_eq!(client.server.world.calls, calls);
    }
}

/// A client whose keys can be taken out, and whose nonces are plain.
fn chacha20_client() -> ClientTls {
    let mut provider = provider::default_provider();
    provider.cipher_suites.retain(|suite| {
        let name = format!("{:?}", suite.suite());
        name.starts_with("TLS_") && name.contains("CHACHA20")
    });
    let mut config = ClientTls::config_of(provider, &[&TLS12]);
    config.enable_secret_extraction = true;
    named(config)
}

/// Writes and reads the records of one TLS 1.2 connection by hand (RFC 7905).
struct Records {
    write: Direction,
    read: Direction,
}

struct Direction {
    sequence: u64,
    key: LessSafeKey,
    iv: [u8; 12],
}

impl Records {
    fn new(secrets: ExtractedSecrets) -> Self {
        Self {
            write: Direction::new(secrets.tx),
            read: Direction::new(secrets.rx),
        }
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let (nonce, aad) = self.write.next(kind, content.len());
        let mut sealed = content.to_vec();
        let key = &self.write.key;
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)
            .unwrap();
        let mut record = vec![kind, 3, 3];
        record.extend((sealed.len() as u16).to_be_bytes());
        record.extend(sealed);
        record
    }

    /// The records, each with its kind.
    fn open(&mut self, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut records = Vec::new();
        while let [kind, 3, 3, high, low, rest @ ..] = bytes {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (sealed, after) = rest.split_at(length);
            bytes = after;
            let (nonce, aad) = self.read.next(*kind, length - CHACHA20_POLY1305.tag_len());
            let mut sealed = sealed.to_vec();
            let key = &self.read.key;
            let content = key.open_in_place(nonce, Aad::from(aad), &mut sealed);
            records.push((*kind, content.unwrap().to_vec()));
        }
        assert!(bytes.is_empty());
        records
    }
}

impl Direction {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
            panic!("it is the only suite");
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).unwrap();
        Self {
            sequence,
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().unwrap(),
        }
    }

    /// The nonce, and the additional data (RFC 5246 §6.2.3.3), of the next record.
    fn next(&mut self, kind: u8, content_bytes: usize) -> (Nonce, [u8; 13]) {
        let sequence = self.sequence.to_be_bytes();
        self.sequence += 1;
        let mut nonce = self.iv;
        for (byte, other) in nonce[4..].iter_mut().zip(sequence) {
            *byte ^= other;
        }
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&sequence);
        aad[8..11].copy_from_slice(&[kind, 3, 3]);
        aad[11..].copy_from_slice(&(content_bytes as u16).to_be_bytes());
        (Nonce::assume_unique_for_key(nonce), aad)
    }
}

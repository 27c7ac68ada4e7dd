//! What TLS set-up promises.

use std::fs;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConnection};
use tempfile::TempDir;

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: i64 = 24 * 60 * 60;

fn config(folder: &TempDir, text: &str) -> Config {
    let (config, _warnings) = Config::load(text, folder.path()).unwrap();
    config
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join("mailstore/tls").join(name)).unwrap()
}

fn with_files(folder: &TempDir, cert_file: &str, key_file: &str) -> Config {
    let text = format!(r#"{{"tls": {{"cert_file": "{cert_file}", "key_file": "{key_file}"}}}}"#);
    config(folder, &text)
}

/// Makes a pair as `NAME.pem` and `NAME.key`.
fn make_pair(folder: &TempDir, name: &str, hostname: &str) {
    let maker = TempDir::new().unwrap();
    let text = format!(r#"{{"hostname": "{hostname}"}}"#);
    ServerTls::load_or_create(&config(&maker, &text), NOW).unwrap();
    for (made, copy) in [("cert.pem", "pem"), ("key.pem", "key")] {
        fs::write(
            folder.path().join(format!("{name}.{copy}")),
            read(&maker, made),
        )
        .unwrap();
    }
    let key = folder.path().join(format!("{name}.key"));
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn self_signed_certificate_is_made_with_a_private_key_and_reused() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder, "{}");
    let first = ServerTls::load_or_create(&config, NOW).unwrap();
    assert!(first.renewed.is_some());
    assert_eq!(first.warnings, Vec::<String>::new());
    let key = folder.path().join("mailstore/tls/key.pem");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let made = (read(&folder, "cert.pem"), read(&folder, "key.pem"));
    let later = UnixTime(NOW.0 + 700 * DAY);
    let second = ServerTls::load_or_create(&config, later).unwrap();
    assert_eq!(second.renewed, None);
    assert_eq!((read(&folder, "cert.pem"), read(&folder, "key.pem")), made);
}

#[test]
fn self_signed_certificate_names_host_domains_and_this_machine() {
    let folder = TempDir::new().unwrap();
    let text = r#"{"hostname": "mx.example.org", "domains": ["example.org"]}"#;
    ServerTls::load_or_create(&config(&folder, text), NOW).unwrap();
    let tls = folder.path().join("mailstore/tls");
    let provider = aws_lc_rs::default_provider();
    let pair = Pair::load(&tls.join("cert.pem"), &tls.join("key.pem"), &provider).unwrap();
    assert_eq!(
        pair.facts.dns_names,
        ["mx.example.org", "mail.example.org", "localhost"]
    );
    assert_eq!(pair.facts.common_name.as_deref(), Some("mx.example.org"));
    assert!(pair.facts.not_before <= NOW && pair.facts.not_after.0 > NOW.0 + 800 * DAY);
}

#[test]
fn self_signed_certificate_is_made_anew_when_the_host_name_changes() {
    let folder = TempDir::new().unwrap();
    ServerTls::load_or_create(&config(&folder, "{}"), NOW).unwrap();
    let made = read(&folder, "cert.pem");
    let renamed = config(&folder, r#"{"hostname": "other.example.com"}"#);
    let renewed = ServerTls::load_or_create(&renamed, NOW).unwrap().renewed;
    assert_eq!(renewed.unwrap(), "hostname is now other.example.com");
    assert_ne!(read(&folder, "cert.pem"), made);
}

#[test]
fn self_signed_certificate_is_made_anew_near_its_end_and_when_it_is_damaged() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder, "{}");
    let first = ServerTls::load_or_create(&config, NOW).unwrap();
    let near_end = UnixTime(first.not_after.0 - 29 * DAY);
    let second = ServerTls::load_or_create(&config, near_end).unwrap();
    assert!(second.not_after > first.not_after);
    fs::write(folder.path().join("mailstore/tls/key.pem"), "torn").unwrap();
    let third = ServerTls::load_or_create(&config, near_end).unwrap();
    assert!(third.renewed.unwrap().contains("key.pem"));
}

#[test]
fn own_certificate_is_served() {
    let folder = TempDir::new().unwrap();
    make_pair(&folder, "own", "mail.example.com");
    let config = with_files(&folder, "own.pem", "own.key");
    let tls = ServerTls::load_or_create(&config, NOW).unwrap();
    assert_eq!(tls.warnings, Vec::<String>::new());
    assert!(!folder.path().join("mailstore").exists());
}

#[test]
fn odd_certificates_are_warned_of() {
    let folder = TempDir::new().unwrap();
    make_pair(&folder, "own", "other.example.org");
    let key = folder.path().join("own.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let config = with_files(&folder, "own.pem", "own.key");
    // Made for the default domain, so "mail.example.com" is covered; ask for another.
    let config = Config {
        hostname: rmail_proto::Domain::parse("x.example").unwrap(),
        ..config
    };
    let warnings = check(&config, UnixTime(NOW.0 + 1000 * DAY)).unwrap();
    for (warning, part) in warnings
        .iter()
        .zip(["has expired", "not for hostname", "chmod 600"])
    {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(warnings.len(), 3);
    assert_eq!(check(&config, UnixTime(NOW.0 - 2 * DAY)).unwrap().len(), 3);
    let soon = check(&config, UnixTime(NOW.0 + 810 * DAY)).unwrap();
    assert!(soon[0].contains("ends soon"));
}

#[test]
fn wildcard_stands_for_one_label() {
    let facts = Facts {
        not_before: NOW,
        not_after: NOW,
        common_name: None,
        dns_names: vec!["*.example.com".to_owned()],
    };
    assert!(facts.covers("mail.example.com"));
    assert!(!facts.covers("example.com"));
    assert!(!facts.covers("a.mail.example.com"));
}

#[test]
fn each_fault_names_its_file() {
    let folder = TempDir::new().unwrap();
    make_pair(&folder, "one", "mail.example.com");
    make_pair(&folder, "two", "mail.example.com");
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(folder.path().join("broken.pem"), broken).unwrap();
    for (cert_file, key_file, part) in [
        (
            "one.pem",
            "two.key",
            "the key in two.key does not fit the certificate in one.pem",
        ),
        ("none.pem", "one.key", "none.pem can't be read"),
        ("one.pem", "none.key", "none.key can't be read"),
        ("empty.pem", "one.key", "empty.pem holds no certificate"),
        (
            "broken.pem",
            "one.key",
            "broken.pem holds a damaged certificate",
        ),
        ("one.pem", "one.pem", "one.pem holds no private key"),
    ] {
        let config = with_files(&folder, cert_file, key_file);
        let error = ServerTls::load_or_create(&config, NOW)
            .unwrap_err()
            .to_string();
        let error = error.replace(&format!("{}/", folder.path().display()), "");
        assert!(error.contains(part), "{error}");
    }
}

/// How a client's second connection begins, after one that was the same.
fn second_handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> HandshakeKind {
    let kinds = [(); 2].map(|()| {
        let name = "mail.example.com".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets().unwrap();
            }
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.handshake_kind().unwrap()
    });
    kinds[1]
}

#[test]
fn sessions_are_resumed_but_not_on_port_25() {
    let folder = TempDir::new().unwrap();
    let tls = ServerTls::load_or_create(&config(&folder, "{}"), NOW).unwrap();
    let client = || ClientTls::without_roots().opportunistic;
    assert_eq!(
        second_handshake(&tls.config, &client()),
        HandshakeKind::Resumed
    );
    let inbound = tls.without_tickets();
    assert_eq!(second_handshake(&inbound, &client()), HandshakeKind::Full);
}

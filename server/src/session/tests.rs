//! What a session promises beyond what its machine does.

use std::time::Duration;

use rmail_proto::{Domain, UnixTime, smtp};
use tempfile::TempDir;

use super::*;
use crate::{config::Config, tls::ServerTls};

const NOW: Now = Now {
    at: Instant::from_start(Duration::ZERO),
    unix: UnixTime(1_800_000_000),
};

fn smtp_session() -> Session {
    session(smtp::Tls::Unavailable)
}

fn server_tls() -> TlsSide {
    let folder = TempDir::new().unwrap();
    let (config, _warnings) = Config::load("{}", folder.path()).unwrap();
    TlsSide::Server(ServerTls::load_or_create(&config, NOW.unix).unwrap().config)
}

fn session(tls: smtp::Tls) -> Session {
    let server_tls = (tls != smtp::Tls::Unavailable).then(server_tls);
    let config = smtp::Config {
        hostname: Domain::parse("mail.example").unwrap(),
        listener: smtp::Listener::Inbound,
        peer: "192.0.2.1".parse().unwrap(),
        tls,
        message_bytes_max: 1_000_000,
        recipients_max: 10,
        messages_max: 10,
        seed: 1,
    };
    let machine = Machine::Smtp(Box::new(smtp::Server::new(config, NOW)));
    let implicit_tls = tls == smtp::Tls::Implicit;
    Session::new(SessionId(1), machine, server_tls, implicit_tls, NOW)
}

/// Takes all that the session sends.
fn sent(session: &mut Session) -> String {
    let mut sent = Vec::new();
    while let bytes = session.transmit()
        && !bytes.is_empty()
    {
        sent.extend_from_slice(bytes);
        let length = bytes.len();
        session.handle_sent(NOW, length);
    }
    String::from_utf8(sent).unwrap()
}

/// Answers every call with yes; returns whether there was one.
fn permit(session: &mut Session) -> bool {
    let mut was_asked = false;
    while let Some(request) = session.poll_request() {
        if let Request::Call(id, _) = request {
            let reply = Reply::Smtp(smtp::Reply::Permitted);
            session.handle_event(NOW, SessionEvent::Reply(id, reply));
            was_asked = true;
        }
    }
    was_asked
}

#[test]
fn what_came_before_the_end_of_the_stream_is_answered() {
    let mut session = smtp_session();
    let input = b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n\
        RCPT TO:<c@mail.example>\r\nQUIT\r\n";
    session.handle_received(NOW, input);
    session.handle_end_of_stream(NOW);
    assert!(!session.wants_read());
    assert!(permit(&mut session));
    let sent = sent(&mut session);
    assert!(sent.contains("250 2.1.5"), "{sent}");
    assert!(sent.lines().last().unwrap().starts_with("221 "), "{sent}");
    assert!(session.wants_write_end());
}

#[test]
fn session_whose_peer_is_gone_ends_once_nothing_is_left_to_consume() {
    let mut session = smtp_session();
    session.handle_received(NOW, b"EHLO client.example\r\nMAIL FR");
    session.handle_end_of_stream(NOW);
    assert!(sent(&mut session).starts_with("220 "));
    assert!(session.wants_write_end());
    session.handle_write_ended(NOW);
    assert!(session.is_over());
}

#[test]
fn abort_ends_a_session_that_flushes_or_lingers() {
    for lingers in [false, true] {
        let mut session = smtp_session();
        session.handle_received(NOW, b"QUIT\r\n");
        if lingers {
            sent(&mut session);
            session.handle_write_ended(NOW);
        }
        assert!(!session.is_over());
        session.handle_event(NOW, SessionEvent::Abort);
        assert!(session.is_over());
    }
}

#[test]
fn plaintext_behind_starttls_is_dropped() {
    let mut session = session(smtp::Tls::Offered);
    let input = b"EHLO client.example\r\nSTARTTLS\r\nMAIL FROM:<a@b.example>\r\n";
    session.handle_received(NOW, input);
    assert!(!permit(&mut session));
    let sent = sent(&mut session);
    assert!(
        sent.lines().last().unwrap().starts_with("220 2.0.0"),
        "{sent}"
    );
    assert!(session.wants_read());
}

#[test]
fn failed_handshake_is_answered_by_an_alert() {
    const ALERT: u8 = 21;
    let mut session = session(smtp::Tls::Implicit);
    session.handle_received(NOW, b"EHLO client.example\r\n");
    assert_eq!(session.transmit().first(), Some(&ALERT));
    assert!(session.wants_write_end());
    assert!(!session.wants_read());
}

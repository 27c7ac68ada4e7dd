//! What a session promises beyond what its machine does.

use rmail_proto::{Domain, UnixTime, smtp};

use super::*;

const NOW: Now = Now {
    at: Instant::from_start(Duration::ZERO),
    unix: UnixTime(1_800_000_000),
};

fn smtp_session() -> Session {
    let config = smtp::Config {
        hostname: Domain::parse("mail.example").unwrap(),
        listener: smtp::Listener::Inbound,
        peer: "192.0.2.1".parse().unwrap(),
        tls: smtp::Tls::Unavailable,
        message_bytes_max: 1_000_000,
        recipients_max: 10,
        messages_max: 10,
        seed: 1,
    };
    let machine = Machine::Smtp(Box::new(smtp::Server::new(config, NOW)));
    Session::new(SessionId(1), machine, None, false, NOW)
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

//! AUTH (RFC 4954).

use rmail_proto::{
    Close, limits,
    smtp::{Listener, Refusal, Tls},
};

use crate::world::{self, Client, config, connect, inbound, submission};

fn anonymous() -> Client {
    let mut client = connect(config(Listener::Submission, Tls::Unavailable));
    client.send(b"EHLO a.b\r\n");
    client.take_sent();
    client
}

#[test]
fn every_form_of_auth_works() {
    for transcript in [
        "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 235 2.7.0 Authentication successful",
        "C: auth plain
         S: 334\u{20}
         C: AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 235 2.7.0 Authentication successful",
        "C: AUTH LOGIN
         S: 334 VXNlcm5hbWU6
         C: YWxpY2VAZXhhbXBsZS5jb20=
         S: 334 UGFzc3dvcmQ6
         C: c2VjcmV0
         S: 235 2.7.0 Authentication successful",
        "C: AUTH LOGIN YWxpY2VAZXhhbXBsZS5jb20=
         S: 334 UGFzc3dvcmQ6
         C: c2VjcmV0
         S: 235 2.7.0 Authentication successful",
    ] {
        let mut client = anonymous();
        client.play(transcript);
        assert_eq!(client.machine().identity(), Some(&world::alice()));
    }
}

#[test]
fn faulty_exchanges_are_refused_and_leave_no_trace() {
    let mut client = anonymous();
    client.play(
        "C: AUTH
         S: 501 5.5.4 *
         C: AUTH GSSAPI
         S: 504 5.5.4 *
         C: AUTH PLAIN
         S: 334\u{20}
         C: *
         S: 501 5.7.0 Authentication cancelled
         C: AUTH PLAIN =
         S: 501 5.5.2 *
         C: AUTH PLAIN !!!
         S: 501 5.5.2 *
         C: AUTH LOGIN =
         S: 334 UGFzc3dvcmQ6
         C: c2VjcmV0
         S: 535 5.7.8 *
         C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdyb25n
         S: 535 5.7.8 *
         C: MAIL FROM:<alice@example.com>
         S: 530 5.7.0 Authentication required
         C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 235 2.7.0 *",
    );
}

#[test]
fn auth_is_never_there_on_port_25() {
    inbound().play(
        "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 503 5.5.1 *",
    );
}

#[test]
fn auth_has_its_place() {
    let mut client = connect(config(Listener::Submission, Tls::Unavailable));
    client.play(
        "S: 220 *
         C: AUTH PLAIN
         S: 503 5.5.1 Send EHLO first",
    );
    let mut client = submission();
    client.play(
        "C: AUTH PLAIN
         S: 503 5.5.1 *
         C: MAIL FROM:<alice@example.com>
         S: 250 2.1.0 *
         C: AUTH PLAIN
         S: 503 5.5.1 *",
    );
}

#[test]
fn failed_logins_end_the_session() {
    let mut client = anonymous();
    let attempt = "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdyb25n
                   S: 535 5.7.8 *\n";
    for _ in 1..limits::SMTP_AUTH_FAILURES_MAX {
        client.play(attempt);
    }
    assert_eq!(client.closed, None);
    client.play(&format!("{attempt}S: 421 4.7.0 Too many failed logins*"));
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn login_that_can_not_be_looked_at_is_no_failed_login() {
    let mut client = anonymous();
    client.world.refuse = Some(("Authenticate", Refusal::authentication_unavailable()));
    for _ in 0..limits::SMTP_AUTH_FAILURES_MAX + 1 {
        client.play(
            "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
             S: 454 4.7.0 *",
        );
    }
    client.world.refuse = Some(("Authenticate", Refusal::too_many_connections()));
    client.play(
        "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 421 4.7.0 *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn longest_auth_line_fits_and_one_byte_more_does_not() {
    let mut client = anonymous();
    let line = |bytes: usize| format!("{}\r\n", "A".repeat(bytes - 2));
    client.send(b"AUTH PLAIN\r\n");
    client.send(line(limits::SMTP_AUTH_LINE_BYTES).as_bytes());
    client.play("S: 334\u{20}\nS: 501 5.5.2 *");
    client.send(b"AUTH PLAIN\r\n");
    client.send(line(limits::SMTP_AUTH_LINE_BYTES + 1).as_bytes());
    client.play("S: 334\u{20}\nS: 500 5.5.6 *");
    let initial = |bytes: usize| format!("AUTH PLAIN {}\r\n", "A".repeat(bytes - 13));
    client.send(initial(limits::SMTP_AUTH_LINE_BYTES).as_bytes());
    client.play("S: 501 5.5.2 *");
}

#[test]
fn client_that_goes_away_while_it_is_asked_for_cancels_the_call() {
    let mut client = anonymous();
    client.world.hold = Some("Authenticate");
    client.send(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==\r\n");
    assert_eq!(client.held.len(), 1);
    assert_eq!(client.offer(b"NOOP\r\n"), 0);
    client.handle(rmail_proto::Event::PeerClosed);
    assert!(client.held.is_empty());
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn debug_output_shows_no_password() {
    let mut client = anonymous();
    client.send(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==");
    let shown = format!("{:?}", client.machine());
    assert!(shown.starts_with("Server"));
    let line = format!("{:?}", b"AUTH PLAIN".as_slice());
    assert!(!shown.contains(line.trim_matches(['[', ']'])));
}

//! Greeting, EHLO, STARTTLS, order of commands, and the ends of a session.

use std::time::Duration;

use rmail_proto::{
    Close, Event, TlsInfo, limits,
    smtp::{Config, Listener, Tls},
};

use crate::world::{self, config, connect, inbound, submission};

fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        server_name: None,
    }
}

#[test]
fn ehlo_advertises_what_is_honoured_and_nothing_else() {
    let mut client = connect(config(Listener::Inbound, Tls::Offered));
    client.play(
        "S: 220 mx.example.com ESMTP rmail
         C: EHLO client.example
         S: 250-mx.example.com
         S: 250-PIPELINING
         S: 250-8BITMIME
         S: 250-SMTPUTF8
         S: 250-CHUNKING
         S: 250-ENHANCEDSTATUSCODES
         S: 250-DSN
         S: 250-SIZE 1000000
         S: 250-LIMITS RCPTMAX=3 MAILMAX=2
         S: 250-STARTTLS
         S: 250 HELP
         C: HELO client.example
         S: 250 mx.example.com",
    );
}

#[test]
fn auth_is_advertised_where_it_may_be_used() {
    let cases = [
        (Listener::Inbound, Tls::Unavailable, false),
        (Listener::Inbound, Tls::Offered, false),
        (Listener::Submission, Tls::Offered, false),
        (Listener::Submission, Tls::Unavailable, true),
    ];
    for (listener, tls, advertised) in cases {
        let mut client = connect(config(listener, tls));
        client.send(b"EHLO a.b\r\n");
        let sent = client.take_sent();
        assert_eq!(
            sent.contains("AUTH PLAIN LOGIN"),
            advertised,
            "{listener:?} {tls:?}"
        );
    }
    let mut client = submission();
    client.send(b"EHLO a.b\r\n");
    assert!(
        !client.take_sent().contains("AUTH"),
        "nobody authenticates twice"
    );
}

#[test]
fn after_starttls_everything_starts_afresh() {
    let mut client = connect(config(Listener::Submission, Tls::Offered));
    client.send(b"EHLO a.b\r\n");
    client.take_sent();
    client.play(
        "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 538 5.7.11 *
         C: STARTTLS now
         S: 501 5.5.4 *
         C: STARTTLS
         S: 220 2.0.0 Ready to start TLS",
    );
    assert_eq!(
        client.offer(b"NOOP\r\n"),
        0,
        "buffered cleartext is never a command"
    );
    client.establish_tls(tls());
    client.play(
        "C: MAIL FROM:<>
         S: 503 5.5.1 Send EHLO first
         C: STARTTLS
         S: 503 5.5.1 *",
    );
    client.send(b"EHLO a.b\r\n");
    let sent = client.take_sent();
    assert!(sent.contains("AUTH PLAIN LOGIN") && !sent.contains("STARTTLS"));
}

#[test]
fn implicit_tls_greets_after_the_handshake() {
    let mut client = connect(config(Listener::ImplicitTlsSubmission, Tls::Implicit));
    client.expect_silence();
    assert_eq!(client.offer(b"EHLO a.b\r\n"), 0);
    client.handle(Event::TlsEstablished(tls()));
    client.play("S: 220 mx.example.com ESMTP rmail");
    client.send(b"EHLO a.b\r\n");
    let sent = client.take_sent();
    assert!(sent.contains("AUTH PLAIN LOGIN") && !sent.contains("STARTTLS"));
}

#[test]
fn starttls_without_a_certificate_is_not_there() {
    inbound().play(
        "C: STARTTLS
         S: 502 5.5.1 *",
    );
}

#[test]
fn small_commands_have_their_answers() {
    let mut client = inbound();
    client.play(
        "C: NOOP whatever
         S: 250 2.0.0 Ok
         C: VRFY alice
         S: 252 2.0.0 *
         C: VRFY
         S: 501 5.5.4 *
         C: HELP
         S: 214 2.0.0 *
         C: EXPN staff
         S: 502 5.5.1 *
         C: XYZZY
         S: 500 5.5.1 *
         C:
         S: 500 5.5.1 *
         C: RSET
         S: 250 2.0.0 Ok
         C: QUIT now
         S: 501 5.5.4 *
         C: QUIT
         S: 221 2.0.0 Bye",
    );
    assert_eq!(client.closed, Some(Close::Flush));
    assert_eq!(client.offer(b"NOOP\r\n"), 0);
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut client = connect(config(Listener::Inbound, Tls::Unavailable));
    client.play(
        "S: 220 *
         C: MAIL FROM:<a@b.c>
         S: 503 5.5.1 Send EHLO first
         C: RCPT TO:<bob@example.com>
         S: 503 5.5.1 Send MAIL first
         C: DATA
         S: 503 5.5.1 Send MAIL first
         C: HELO a.b
         S: 250 mx.example.com
         C: MAIL FROM:<a@b.c>
         S: 250 2.1.0 *
         C: MAIL FROM:<a@b.c>
         S: 503 5.5.1 Nested MAIL command
         C: DATA
         S: 554 5.5.1 No valid recipients
         C: EHLO
         S: 501 5.5.4 *
         C: HELO a.b
         S: 250 mx.example.com
         C: RCPT TO:<bob@example.com>
         S: 503 5.5.1 Send MAIL first",
    );
}

#[test]
fn longest_command_line_fits_and_one_byte_more_does_not() {
    let mut client = inbound();
    let line = |bytes: usize| format!("NOOP {}\r\n", "x".repeat(bytes - 7));
    client.send(line(limits::SMTP_COMMAND_LINE_BYTES).as_bytes());
    client.play("S: 250 2.0.0 Ok");
    client.send(line(limits::SMTP_COMMAND_LINE_BYTES + 1).as_bytes());
    client.play("S: 500 5.5.2 Line too long");
    // Where AUTH is offered, longer lines are gathered; still only AUTH may be so long.
    let mut client = connect(config(Listener::Submission, Tls::Unavailable));
    client.send(b"EHLO a.b\r\n");
    client.take_sent();
    client.send(line(limits::SMTP_COMMAND_LINE_BYTES + 1).as_bytes());
    client.play("S: 500 5.5.2 Line too long");
}

#[test]
fn line_that_is_not_utf8_is_refused() {
    let mut client = inbound();
    client.send(b"NOOP \xff\r\n");
    client.play("S: 500 5.5.2 *");
}

#[test]
fn bare_newline_in_a_command_ends_the_session() {
    for line in [
        &b"NOOP\nQUIT\r\n"[..],
        b"NOOP\rx\r\nQUIT\r\n",
        b"NOOP\r\r\nQUIT\r\n",
    ] {
        let mut client = inbound();
        client.offer(line);
        client.play("S: 500 5.5.2 *");
        assert_eq!(client.closed, Some(Close::Flush), "{line:?}");
    }
}

#[test]
fn too_many_errors_end_the_session() {
    let mut client = inbound();
    for _ in 1..limits::SMTP_ERRORS_MAX {
        client.play(
            "C: XYZZY
             S: 500 5.5.1 *",
        );
    }
    assert_eq!(client.closed, None);
    client.play(
        "C: XYZZY
         S: 500 5.5.1 *
         S: 421 4.7.0 Too many errors*",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn silent_client_is_told_and_left() {
    let mut client = inbound();
    client.pass(limits::SMTP_COMMAND_TIMEOUT - Duration::from_secs(1));
    client.send(b"NOO");
    assert_eq!(client.closed, None);
    client.pass(Duration::from_secs(1));
    client.play("S: 421 4.4.2 Timeout*");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn silence_within_data_ends_the_session() {
    let mut client = inbound();
    world::start_data(&mut client);
    client.pass(limits::SMTP_DATA_TIMEOUT - Duration::from_secs(1));
    let rate = usize::try_from(limits::CONTENT_BYTES_PER_SECOND).unwrap();
    let timeout = usize::try_from(limits::SMTP_DATA_TIMEOUT.as_secs()).unwrap();
    client.send(&vec![b'a'; rate * timeout]);
    client.pass(limits::SMTP_DATA_TIMEOUT - Duration::from_secs(1));
    client.expect_silence();
    client.pass(Duration::from_secs(1));
    client.play("S: 421 4.4.2 Timeout*");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn handshake_that_does_not_end_is_given_up() {
    let mut client = connect(config(Listener::ImplicitTlsSubmission, Tls::Implicit));
    client.pass(limits::TLS_HANDSHAKE_TIMEOUT);
    client.expect_silence();
    assert_eq!(client.closed, Some(Close::Abort));
}

#[test]
fn client_that_never_logs_in_is_left() {
    let mut client = connect(config(Listener::Submission, Tls::Unavailable));
    client.take_sent();
    let step = Duration::from_secs(60);
    for _ in 1..limits::SMTP_LOGIN_TIMEOUT.as_secs() / 60 {
        client.pass(step);
        client.play(
            "C: NOOP
             S: 250 2.0.0 Ok",
        );
    }
    client.pass(step);
    client.play("S: 421 4.4.2 Timeout*");
}

#[test]
fn shutdown_takes_the_place_of_the_next_command() {
    let mut client = inbound();
    let grace_until = client.now.at + Duration::from_secs(30);
    client.handle(Event::Shutdown { grace_until });
    client.play("S: 421 4.3.2 *");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn shutdown_lets_a_message_finish() {
    let mut client = inbound();
    world::start_data(&mut client);
    let grace_until = client.now.at + Duration::from_secs(30);
    client.handle(Event::Shutdown { grace_until });
    client.expect_silence();
    client.play(
        "C: hello
         C: .
         S: 250 2.0.0 Ok: queued as *
         S: 421 4.3.2 *",
    );
    assert_eq!(client.world.messages.len(), 1);
}

#[test]
fn shutdown_waits_for_a_message_until_the_grace_is_over() {
    let mut client = inbound();
    world::start_data(&mut client);
    let grace_until = client.now.at + Duration::from_secs(30);
    client.handle(Event::Shutdown { grace_until });
    client.pass(Duration::from_secs(30));
    client.play("S: 421 4.3.2 *");
    assert_eq!(client.closed, Some(Close::Flush));
    assert!(client.world.messages.is_empty());
}

#[test]
fn pipelining_client_that_reads_nothing_is_not_read_either() {
    use rmail_proto::{Action, Connection, Now, smtp::Server};
    let mut server = Server::new(config(Listener::Inbound, Tls::Unavailable), Now::default());
    let mut sent_bytes = 0;
    let mut consumed = 1;
    while consumed > 0 {
        consumed = server.handle_input(Now::default(), b"NOOP\r\n");
        while let Some(action) = server.poll_action() {
            match action {
                Action::Send(bytes) => sent_bytes += bytes.len(),
                other => panic!("{other:?}"),
            }
        }
    }
    let bound = limits::SEND_CREDIT_BYTES..limits::SEND_CREDIT_BYTES + 512;
    assert!(bound.contains(&sent_bytes), "{sent_bytes}");
    server.handle_event(Now::default(), Event::Sent(sent_bytes));
    assert_eq!(server.handle_input(Now::default(), b"NOOP\r\n"), 6);
}

#[test]
fn peer_that_takes_no_bytes_is_given_up() {
    use rmail_proto::{Action, Connection, Now, Timer, smtp::Server};
    let mut now = Now::default();
    let mut server = Server::new(config(Listener::Inbound, Tls::Unavailable), now);
    assert!(matches!(server.poll_action(), Some(Action::Send(_))));
    now.at = now.at + Duration::from_secs(1);
    assert_eq!(server.handle_input(now, b"QUIT\r\n"), 6);
    while server.poll_action().is_some() {}
    let timeout = server.poll_timeout().expect("bytes are unsent");
    assert_eq!(timeout.timer, Timer::Send);
    now.at = timeout.at;
    server.handle_event(now, Event::Timeout);
    assert!(matches!(
        server.poll_action(),
        Some(Action::Close(Close::Abort))
    ));
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn limits_keyword_keeps_to_six_digits() {
    let mut client = connect(Config {
        recipients_max: u32::MAX,
        messages_max: 0,
        ..config(Listener::Inbound, Tls::Unavailable)
    });
    client.send(b"EHLO a.b\r\n");
    assert!(
        client
            .take_sent()
            .contains("LIMITS RCPTMAX=999999 MAILMAX=1\r\n")
    );
}

//! Connecting, TLS, logging in, selecting, and the end of a connection.

use std::time::Duration;

use rmail_proto::{
    Close, Connection, Event, Instant, Notice, Timer, TlsInfo,
    imap::{NoCode, Tls},
    limits,
};

use crate::world::{Memory, connect_to, login, open, select};

#[test]
fn cleartext_listener_without_tls_offers_login_at_once() {
    let mut client = connect_to(Memory::new(), Tls::Unavailable);
    client.play(
        "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN] mx.example.com rmail ready
         C: a CAPABILITY
         S: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN
         S: a OK Capability completed
         C: b LOGIN alice@example.com wrong
         S: b NO [AUTHENTICATIONFAILED] Wrong name or password
         C: c LOGIN \"alice@example.com\" {6}
         S: + OK",
    );
    client.play(
        "C: secret
         S: c OK [CAPABILITY IMAP4rev1 *IDLE*] Logged in
         C: d LOGIN alice@example.com secret
         S: d BAD Already logged in
         C: e SELECT Nowhere
         S: e NO [NONEXISTENT] No such mailbox
         C: f FETCH 1 FLAGS
         S: f BAD No mailbox is selected",
    );
}

#[test]
fn passwords_are_refused_before_tls_where_it_can_be_had() {
    let mut client = connect_to(Memory::new(), Tls::Offered);
    client.play(
        "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE STARTTLS LOGINDISABLED] *
         C: a LOGIN alice@example.com secret
         S: a NO [PRIVACYREQUIRED] *
         C: b AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: b NO [PRIVACYREQUIRED] *
         C: c STARTTLS
         S: c OK *",
    );
    assert_eq!(client.offer(b"d NOOP\r\n"), 0);
    client.establish_tls(TlsInfo::default());
    client.play(
        "C: d CAPABILITY
         S: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN
         S: d OK *
         C: e STARTTLS
         S: e BAD *
         C: f AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: f OK *",
    );
}

#[test]
fn greeting_waits_for_implicit_tls() {
    let mut client = connect_to(Memory::new(), Tls::Implicit);
    client.expect_silence();
    client.handle(Event::TlsEstablished(TlsInfo::default()));
    client.play("S: * OK [CAPABILITY *AUTH=PLAIN*] *");
}

#[test]
fn authenticate_speaks_plain_and_login_with_and_without_initial_response() {
    for transcript in [
        "C: a AUTHENTICATE PLAIN
         S: + 
         C: AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: a OK *",
        "C: a authenticate login
         S: + VXNlcm5hbWU6
         C: YWxpY2VAZXhhbXBsZS5jb20=
         S: + UGFzc3dvcmQ6
         C: c2VjcmV0
         S: a OK *",
        "C: a AUTHENTICATE LOGIN YWxpY2VAZXhhbXBsZS5jb20=
         S: + UGFzc3dvcmQ6
         C: c2VjcmV0
         S: a OK *",
        "C: a AUTHENTICATE PLAIN
         S: + 
         C: *
         S: a BAD *
         C: b AUTHENTICATE PLAIN !!!
         S: b BAD *
         C: c AUTHENTICATE PLAIN Ym9iAGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: c BAD *
         C: d AUTHENTICATE SCRAM-SHA-256
         S: d NO *
         C: e NOOP
         S: e OK *",
    ] {
        let mut client = connect_to(Memory::new(), Tls::Unavailable);
        client.take_sent();
        client.play(transcript);
    }
}

#[test]
fn authenticate_line_is_bounded() {
    let mut client = connect_to(Memory::new(), Tls::Unavailable);
    client.take_sent();
    client.play(
        "C: a AUTHENTICATE PLAIN
         S: + ",
    );
    client.send(&vec![b'A'; limits::IMAP_AUTH_LINE_BYTES]);
    client.play(
        "C: 
         S: a BAD Line is too long
         C: b NOOP
         S: b OK *",
    );
}

#[test]
fn guessing_passwords_ends_the_connection() {
    let mut client = connect_to(Memory::new(), Tls::Unavailable);
    client.take_sent();
    for _ in 1..limits::IMAP_LOGIN_FAILURES_MAX {
        client.play(
            "C: a LOGIN alice@example.com wrong
             S: a NO [AUTHENTICATIONFAILED] *",
        );
    }
    client.play(
        "C: a LOGIN alice@example.com wrong
         S: a NO [AUTHENTICATIONFAILED] *
         S: * BYE *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn select_tells_all_about_a_mailbox() {
    let mut world = Memory::new();
    world.deliver("Subject: one\r\n\r\nHello\r\n");
    let mut client = login(world);
    client.play(
        "C: a SELECT inbox
         S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
         S: * 1 EXISTS
         S: * 1 RECENT
         S: * OK [UNSEEN 1] *
         S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] *
         S: * OK [UIDVALIDITY 7] *
         S: * OK [UIDNEXT 2] *
         S: * OK [HIGHESTMODSEQ 2] *
         S: * OK [MAILBOXID (F00000000000000000000000000000001)] *
         S: a OK [READ-WRITE] Select completed
         C: b EXAMINE INBOX
         S: * OK [CLOSED] *
         S: * FLAGS (*)
         S: * 1 EXISTS
         S: * 0 RECENT
         S: * OK [UNSEEN 1] *
         S: * OK [PERMANENTFLAGS ()] *
         S: * OK [UIDVALIDITY 7] *
         S: * OK [UIDNEXT 2] *
         S: * OK [HIGHESTMODSEQ 2] *
         S: * OK [MAILBOXID (*)] *
         S: b OK [READ-ONLY] Examine completed
         C: c SELECT Nowhere
         S: * OK [CLOSED] *
         S: c NO [NONEXISTENT] *
         C: d CHECK
         S: d BAD *",
    );
}

#[test]
fn unselect_and_close_leave_the_mailbox() {
    let mut world = Memory::new();
    world.deliver("\r\n");
    let mut client = select(world);
    client.play(
        "C: a STORE 1 +FLAGS.SILENT (\\Deleted)
         S: a OK *
         C: b UNSELECT
         S: b OK *
         C: c CLOSE
         S: c BAD *",
    );
    assert_eq!(client.world.inbox().messages.len(), 1);
    client.send(b"d SELECT INBOX\r\n");
    client.take_sent();
    client.play(
        "C: e CLOSE
         S: e OK *
         C: f CLOSE
         S: f BAD *",
    );
    assert_eq!(client.world.inbox().messages.len(), 0);
}

#[test]
fn close_after_examine_removes_nothing() {
    let mut world = Memory::new();
    let date = rmail_proto::DateTime::default();
    let deleted = crate::world::flags(rmail_proto::SystemFlags::DELETED, &[]);
    world.inbox().add(b"\r\n", deleted, date);
    let mut client = open(world, "EXAMINE");
    client.play(
        "C: a EXPUNGE
         S: a NO *
         C: b UID EXPUNGE 1
         S: b NO *
         C: c CLOSE
         S: c OK *",
    );
    assert_eq!(client.world.inbox().messages.len(), 1);
}

#[test]
fn noop_without_news_makes_no_call() {
    let mut client = select(Memory::new());
    client.play(
        "C: a NOOP
         S: a OK *
         C: b CHECK
         S: b OK *",
    );
    assert!(client.world.calls.is_empty());
}

#[test]
fn news_are_told_before_the_tagged_response() {
    let mut client = select(Memory::new());
    client.world.deliver("\r\n");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.expect_silence();
    client.play(
        "C: a NOOP
         S: * 1 EXISTS
         S: * 1 RECENT
         S: a OK NOOP completed
         C: b NOOP
         S: b OK NOOP completed",
    );
    client.world.inbox().remove(&[1]);
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: c NOOP
         S: * 1 EXPUNGE
         S: * 0 RECENT
         S: c OK *",
    );
}

#[test]
fn session_ends_when_its_mailbox_is_deleted() {
    let mut client = select(Memory::new());
    client.world.delete("INBOX");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a NOOP
         S: * BYE *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn refresh_that_fails_is_tried_again_with_the_next_command() {
    let mut client = select(Memory::new());
    client.world.deliver("\r\n");
    client.world.refuse = Some(("Refresh", NoCode::Unavailable));
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a NOOP
         S: a OK *",
    );
    client.world.refuse = None;
    client.play(
        "C: b NOOP
         S: * 1 EXISTS
         S: * 1 RECENT
         S: b OK *",
    );
}

#[test]
fn small_commands_answer() {
    let mut client = login(Memory::new());
    client.play(
        "C: a ID NIL
         S: * ID (\"name\" \"rmail\")
         S: a OK *
         C: b NAMESPACE
         S: * NAMESPACE ((\"\" \"/\")) NIL NIL
         S: b OK *
         C: c ENABLE CONDSTORE X-NOTHING
         S: * ENABLED CONDSTORE
         S: c OK *
         C: d LOGOUT
         S: * BYE *
         S: d OK *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn too_many_faults_end_the_connection() {
    let mut client = login(Memory::new());
    for _ in 1..limits::IMAP_FAULTS_MAX {
        client.play(
            "C: a NONSENSE
             S: a BAD *",
        );
    }
    client.play(
        "C: a NOOP
         S: a OK *",
    );
    for _ in 1..limits::IMAP_FAULTS_MAX {
        client.play(
            "C: a FETCH 1 FLAGS
             S: a BAD *",
        );
    }
    client.play(
        "C: a NONSENSE
         S: a BAD *
         S: * BYE *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn silent_clients_are_logged_out() {
    let mut client = connect_to(Memory::new(), Tls::Unavailable);
    client.take_sent();
    let timeout = client.machine().poll_timeout().unwrap();
    assert_eq!(timeout.timer, Timer::Login);
    client.pass(limits::IMAP_LOGIN_TIMEOUT - Duration::from_secs(1));
    client.expect_silence();
    client.pass(Duration::from_secs(1));
    client.play("S: * BYE *");

    let mut client = login(Memory::new());
    assert!(limits::IMAP_COMMAND_TIMEOUT >= Duration::from_secs(30 * 60));
    client.pass(limits::IMAP_COMMAND_TIMEOUT);
    client.play("S: * BYE *");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn handshake_that_does_not_end_is_given_up() {
    let mut client = connect_to(Memory::new(), Tls::Implicit);
    client.pass(limits::TLS_HANDSHAKE_TIMEOUT);
    assert_eq!(client.closed, Some(Close::Abort));
}

#[test]
fn shutdown_ends_a_waiting_session_at_once_and_a_busy_one_after_its_command() {
    let grace_until = Instant::from_start(Duration::from_secs(9999));
    let mut client = select(Memory::new());
    client.handle(Event::Shutdown { grace_until });
    client.play("S: * BYE [UNAVAILABLE] *");
    assert_eq!(client.closed, Some(Close::Flush));

    let mut world = Memory::new();
    world.hold = Some("Status");
    let mut client = login(world);
    client.play("C: a STATUS INBOX (MESSAGES)");
    client.handle(Event::Shutdown { grace_until });
    client.expect_silence();
    let id = client.held.pop_front().unwrap();
    client.handle(Event::Reply(id, rmail_proto::imap::Reply::Done));
    client.play(
        "S: a NO [SERVERBUG] *
         S: * BYE [UNAVAILABLE] *",
    );

    let mut world = Memory::new();
    world.hold = Some("Status");
    let mut client = login(world);
    client.play("C: a STATUS INBOX (MESSAGES)");
    let grace_until = client.now.at + Duration::from_secs(5);
    client.handle(Event::Shutdown { grace_until });
    client.pass(Duration::from_secs(5));
    assert_eq!(client.closed, Some(Close::Abort));
    assert!(client.held.is_empty(), "what is waited for is cancelled");
}

#[test]
fn peer_that_closes_cancels_what_runs() {
    let mut world = Memory::new();
    world.hold = Some("Status");
    let mut client = login(world);
    client.play("C: a STATUS INBOX (MESSAGES)");
    assert_eq!(client.held.len(), 1);
    client.handle(Event::PeerClosed);
    assert!(client.held.is_empty());
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn notice_that_comes_before_the_mailbox_is_open_is_heard() {
    let mut world = Memory::new();
    world.hold = Some("Select");
    let mut client = login(world);
    client.play("C: a SELECT INBOX");
    let reply = client.world.select("INBOX".to_owned(), false);
    client.world.deliver("\r\n");
    client.handle(Event::Notice(Notice::MailboxChanged));
    let id = client.held.pop_front().unwrap();
    client.handle(Event::Reply(id, reply));
    let sent = client.take_sent();
    assert!(
        sent.contains("* 0 EXISTS") && sent.contains("* 1 EXISTS"),
        "{sent}"
    );
}

#[test]
fn quiet_session_is_small() {
    assert!(size_of::<rmail_proto::imap::Server>() <= 2 * 1024);
}

/// A command has its time, however many of its bytes come.
#[test]
fn command_that_trickles_is_given_up() {
    let mut client = login(Memory::new());
    client.send(b"a LIST \"\" ");
    let mut left = limits::IMAP_COMMAND_TIME.as_secs();
    while left > 1 {
        client.pass(Duration::from_secs(1));
        client.send(b"x");
        left -= 1;
    }
    assert_eq!(client.closed, None);
    client.pass(Duration::from_secs(1));
    client.play("S: * BYE *");
    assert_eq!(client.closed, Some(Close::Flush));
}

//! Peers that hang, hang up, or talk nonsense, at any point; and our own going down.

use std::time::Duration;

use rmail_proto::{
    Close, Event, limits,
    smtp::client::{End, Fate, Security, Stage, Trouble},
};

use crate::world::{HELLO, Peer, config, connect, greeted, message, one_message};

/// Points of a session that the peer has led it to, with what was waited for there.
fn points() -> Vec<(Stage, Duration, Peer)> {
    let at = |extensions: &[&str], replies: &str| {
        let mut peer = one_message(extensions, &["a@b.c"]);
        peer.send(replies.as_bytes());
        peer.take_sent();
        peer
    };
    let fresh = connect(config(Security::Cleartext), vec![]);
    let mut hello = connect(config(Security::Cleartext), vec![]);
    hello.send(b"220 mx\r\n");
    hello.take_sent();
    let big = vec![message(1, &["a@b.c"], &vec![b'x'; limits::READ_BYTES * 2])];
    let mut block = greeted(&["mx", "CHUNKING"], big);
    block.send(b"250 ok\r\n250 ok\r\n");
    block.take_sent();
    vec![
        (Stage::Greeting, limits::SMTP_GREETING_TIMEOUT, fresh),
        (Stage::Hello, limits::SMTP_HELLO_TIMEOUT, hello),
        (
            Stage::StartTls,
            limits::SMTP_HELLO_TIMEOUT,
            at(&["STARTTLS"], ""),
        ),
        (
            Stage::Handshake,
            limits::TLS_HANDSHAKE_TIMEOUT,
            at(&["STARTTLS"], "220 go\r\n"),
        ),
        (Stage::Mail, limits::SMTP_MAIL_TIMEOUT, at(&[], "")),
        (
            Stage::Rcpt,
            limits::SMTP_RCPT_TIMEOUT,
            at(&[], "250 ok\r\n"),
        ),
        (
            Stage::Data,
            limits::SMTP_DATA_COMMAND_TIMEOUT,
            at(&[], "250 ok\r\n250 ok\r\n"),
        ),
        (Stage::Block, limits::SMTP_DATA_BLOCK_TIMEOUT, block),
        (
            Stage::DataEnd,
            limits::SMTP_DATA_END_TIMEOUT,
            at(&[], "250 ok\r\n250 ok\r\n354 go\r\n"),
        ),
        (
            Stage::Reset,
            limits::SMTP_HELLO_TIMEOUT,
            at(&[], "250 ok\r\n550 no\r\n"),
        ),
    ]
}

/// Whether the message was taken at that point, and no fate was reported.
fn has_pending(stage: Stage) -> bool {
    match stage {
        Stage::Greeting
        | Stage::Hello
        | Stage::StartTls
        | Stage::Handshake
        | Stage::Auth
        | Stage::Reset => false,
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Block | Stage::DataEnd => true,
    }
}

fn check_fate(stage: Stage, peer: &Peer, trouble: &Trouble) {
    if !has_pending(stage) {
        return;
    }
    let expected = match stage {
        Stage::DataEnd => Fate::Uncertain(trouble.clone()),
        _ => Fate::Failed(trouble.clone()),
    };
    assert_eq!(peer.world.fates[&1][&0], expected);
}

#[test]
fn each_wait_has_its_time() {
    for (stage, duration, mut peer) in points() {
        peer.pass(duration - Duration::from_secs(1));
        assert_eq!(peer.closed, None, "{stage:?}");
        peer.pass(Duration::from_secs(1));
        assert_eq!(*peer.world.trouble(), Trouble::Timeout(stage));
        assert_eq!(peer.closed, Some(Close::Abort));
        check_fate(stage, &peer, &Trouble::Timeout(stage));
    }
}

#[test]
fn lost_connection_defers_and_after_the_end_of_the_message_is_uncertain() {
    for (stage, _, mut peer) in points() {
        peer.handle(Event::PeerClosed);
        if stage == Stage::Handshake {
            assert!(peer.world.trouble().is_tls());
            continue;
        }
        assert_eq!(*peer.world.trouble(), Trouble::Lost);
        check_fate(stage, &peer, &Trouble::Lost);
    }
}

#[test]
fn what_is_no_reply_ends_the_session_anywhere() {
    for garbage in ["hello\r\n", "250 ok\n", "2\r\n", "250-a\r\n550 b\r\n"] {
        for (stage, _, mut peer) in points() {
            if stage == Stage::Handshake {
                continue;
            }
            peer.offer(garbage.as_bytes());
            assert_eq!(
                *peer.world.trouble(),
                Trouble::Malformed,
                "{stage:?} {garbage:?}"
            );
            check_fate(stage, &peer, &Trouble::Malformed);
        }
    }
}

#[test]
fn service_closing_ends_the_session_anywhere() {
    for (stage, _, mut peer) in points() {
        if stage == Stage::Handshake {
            continue;
        }
        peer.send(b"421 4.3.2 going down\r\n");
        assert!(
            matches!(peer.world.trouble(), Trouble::Refused(_)),
            "{stage:?}"
        );
        if has_pending(stage) {
            assert_eq!(peer.world.fates_of(1), ["deferred 421"]);
        }
    }
}

#[test]
fn reply_of_the_wrong_kind_ends_the_session() {
    for (stage, _, mut peer) in points() {
        if matches!(
            stage,
            Stage::Greeting | Stage::Hello | Stage::Handshake | Stage::Reset
        ) {
            continue;
        }
        peer.send(b"334 go on\r\n");
        assert!(
            matches!(peer.world.trouble(), Trouble::OutOfTurn(_)),
            "{stage:?}"
        );
    }
}

#[test]
fn extra_reply_is_never_taken_for_the_next_one() {
    let mut peer = one_message(&["PIPELINING"], &["a@b.c"]);
    peer.world.keeps_waiting = true;
    peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n");
    peer.offer(b"250 queued again\r\n");
    assert!(matches!(peer.world.trouble(), Trouble::OutOfTurn(_)));
    assert_eq!(
        peer.world.fates_of(1),
        ["accepted 250"],
        "what was said, was said"
    );
    assert!(peer.held.is_empty());
}

#[test]
fn reply_within_the_data_is_out_of_turn() {
    let content = vec![b'x'; limits::READ_BYTES * 10];
    let mut peer = greeted(&["mx"], vec![message(1, &["a@b.c"], &content)]);
    peer.world.unreadable = false;
    peer.send(b"250 ok\r\n250 ok\r\n");
    peer.take_sent();
    peer.send(b"354 go\r\n");
    // All of it went out, as the test takes everything at once.
    assert!(peer.take_sent().ends_with("\r\n.\r\n"));
    peer.send(b"250 ok\r\n");
    assert_eq!(peer.world.fates_of(1), ["accepted 250"]);
}

#[test]
fn content_that_can_not_be_read_is_never_sent_as_whole() {
    for extensions in [vec!["mx"], vec!["mx", "CHUNKING"]] {
        let mut peer = greeted(&extensions, vec![message(1, &["a@b.c"], HELLO)]);
        peer.world.unreadable = true;
        peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n");
        assert!(!peer.take_sent().contains("\r\n.\r\n"));
        assert_eq!(peer.world.fates_of(1), ["failed 4.3.0"]);
        assert_eq!(peer.closed, Some(Close::Abort));
    }
}

#[test]
fn shutdown_lets_the_transaction_end_and_quits() {
    let mut peer = one_message(&["LIMITS RCPTMAX=1"], &["a@b.c", "d@b.c"]);
    let grace_until = peer.now.at + Duration::from_secs(30);
    peer.handle(Event::Shutdown { grace_until });
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 ok
         C: RCPT TO:<a@b.c>
         S: 250 ok
         C: DATA
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 queued
         C: QUIT
         S: 221 bye",
    );
    assert_eq!(peer.world.fates_of(1), ["accepted 250", "failed 4.3.2"]);
    assert_eq!(peer.world.end, Some(End::Finished));
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    for (stage, _, mut peer) in points() {
        let grace_until = peer.now.at + Duration::from_secs(30);
        peer.handle(Event::Shutdown { grace_until });
        peer.pass(Duration::from_secs(30));
        assert!(peer.closed.is_some(), "{stage:?}");
        check_fate(stage, &peer, &Trouble::ShuttingDown);
    }
}

#[test]
fn refused_reset_leaves_no_recipient_without_a_fate() {
    for (reply, fate) in [("451 no", "deferred 451"), ("500 what?", "failed 4.3.2")] {
        let mut peer = one_message(&["LIMITS RCPTMAX=1"], &["a@b.c", "d@b.c"]);
        peer.send(b"250 ok\r\n550 no\r\n");
        assert!(peer.take_sent().ends_with("RSET\r\n"));
        peer.send(format!("{reply}\r\n").as_bytes());
        assert_eq!(peer.world.fates_of(1), ["refused 550", fate]);
    }
}

#[test]
fn quit_that_is_not_answered_changes_nothing() {
    for answer in ["timeout", "close", "nonsense\r\n", "500 what?\r\n"] {
        let mut peer = connect(config(Security::Cleartext), vec![]);
        peer.send(b"220 mx\r\n250 mx\r\n");
        match answer {
            "timeout" => peer.pass(limits::SMTP_QUIT_TIMEOUT),
            "close" => peer.handle(Event::PeerClosed),
            text => peer.send(text.as_bytes()),
        }
        assert_eq!(peer.world.end, Some(End::Finished), "{answer}");
        assert!(peer.closed.is_some());
    }
}

//! Mail transactions: MAIL, RCPT, DATA, and what the replies to them mean.

use rmail_proto::{
    Close,
    smtp::{
        Notify, Return,
        client::{End, Fate, Protocol, Security},
    },
};

use crate::world::{HELLO, config, connect, greeted, message, one_message};

const SMALL: &[&str] = &["PIPELINING"];

#[test]
fn message_goes_command_by_command_without_pipelining() {
    let mut peer = one_message(&[], &["a@b.c", "d@b.c"]);
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 2.1.0 ok
         C: RCPT TO:<a@b.c>
         S: 250 ok
         C: RCPT TO:<d@b.c>
         S: 550 5.1.1 No such user
         C: DATA
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 2.0.0 queued
         C: QUIT
         S: 221 bye",
    );
    assert_eq!(peer.world.fates_of(1), ["accepted 250", "refused 550"]);
    assert_eq!(peer.world.end, Some(End::Finished));
    assert_eq!(peer.closed, Some(Close::Flush));
}

#[test]
fn commands_go_at_once_with_pipelining() {
    let mut peer = one_message(SMALL, &["a@b.c", "d@b.c", "e@b.c"]);
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         C: RCPT TO:<a@b.c>
         C: RCPT TO:<d@b.c>
         C: RCPT TO:<e@b.c>
         C: DATA
         S: 250 ok
         S: 451 4.2.0 later
         S: 250-fine,
         S: 250 that is
         S: 550 5.1.1 no
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 2.0.0 queued
         C: QUIT",
    );
    let fates = peer.world.fates_of(1);
    assert_eq!(fates, ["deferred 451", "accepted 250", "refused 550"]);
}

#[test]
fn words_of_the_peer_are_kept() {
    let mut peer = one_message(SMALL, &["a@b.c"]);
    peer.take_sent();
    peer.send(b"250 ok\r\n550-5.7.1 Go\r\n550 5.7.1 away\r\n503 5.5.1 no\r\n");
    let Fate::Refused(reply) = &peer.world.fates[&1][&0] else {
        panic!("{:?}", peer.world.fates);
    };
    assert_eq!(reply.to_string(), "550 5.7.1 Go away");
}

#[test]
fn lone_dot_ends_data_that_nobody_is_to_get() {
    let mut peer = one_message(SMALL, &["a@b.c"]);
    peer.take_sent();
    peer.play(
        "S: 250 ok
         S: 550 5.1.1 no
         S: 354 go all the same
         C: .
         S: 554 5.5.1 no recipients
         C: QUIT",
    );
    assert_eq!(peer.world.fates_of(1), ["refused 550"]);
    assert_eq!(peer.world.reads, 0);
}

#[test]
fn refused_mail_is_the_fate_of_all_and_rcpt_replies_are_not() {
    let mut peer = one_message(SMALL, &["a@b.c", "d@b.c"]);
    peer.take_sent();
    peer.play(
        "S: 550 5.7.1 not you
         S: 503 5.5.1 MAIL first
         S: 503 5.5.1 MAIL first
         S: 503 5.5.1 MAIL first
         C: QUIT",
    );
    let fates = &peer.world.fates[&1];
    assert_eq!(fates.len(), 2);
    for fate in fates.values() {
        assert!(matches!(fate, Fate::Refused(reply) if reply.to_string() == "550 5.7.1 not you"));
    }
}

#[test]
fn data_is_not_sent_after_a_refused_mail() {
    let mut peer = one_message(SMALL, &["a@b.c"]);
    peer.take_sent();
    peer.play(
        "S: 550 5.7.1 not you
         S: 250 but he
         S: 354 go",
    );
    assert_eq!(peer.world.fates_of(1), ["refused 550"]);
    assert_eq!(peer.closed, Some(Close::Abort));
}

#[test]
fn refused_data_is_the_fate_of_the_accepted_and_a_reset_follows() {
    let mut peer = one_message(SMALL, &["a@b.c", "d@b.c"]);
    peer.take_sent();
    peer.play(
        "S: 250 ok
         S: 250 ok
         S: 550 5.1.1 no
         S: 451 4.3.0 not now
         C: RSET
         S: 250 ok
         C: QUIT",
    );
    assert_eq!(peer.world.fates_of(1), ["deferred 451", "refused 550"]);
}

#[test]
fn transaction_without_recipients_is_reset() {
    let mut peer = one_message(&[], &["a@b.c"]);
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 ok
         C: RCPT TO:<a@b.c>
         S: 550 no
         C: RSET
         S: 250 ok
         C: QUIT",
    );
}

#[test]
fn one_connection_takes_one_message_after_another() {
    let waiting = vec![message(1, &["a@b.c"], HELLO), message(2, &["d@b.c"], b"x")];
    let mut peer = greeted(&["mx", "PIPELINING"], waiting);
    for text in ["Subject: hi\r\n\r\nHello\r\n", "x\r\n"] {
        peer.take_sent();
        peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n");
        assert_eq!(peer.take_sent(), format!("{text}.\r\n"));
        peer.send(b"250 queued\r\n");
    }
    peer.play("C: QUIT");
    assert_eq!(peer.world.fates_of(1), ["accepted 250"]);
    assert_eq!(peer.world.fates_of(2), ["accepted 250"]);
}

#[test]
fn connection_is_kept_while_the_next_message_is_waited_for() {
    let mut peer = one_message(SMALL, &["a@b.c"]);
    peer.world.keeps_waiting = true;
    peer.take_sent();
    peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n");
    peer.take_sent();
    peer.pass(std::time::Duration::from_secs(3600));
    assert_eq!((peer.closed, peer.held.len()), (None, 1));
    peer.play("S: 421 4.4.2 idle for too long");
    assert_eq!(peer.closed, Some(Close::Abort));
    assert!(peer.held.is_empty(), "the call is cancelled");
    assert!(peer.world.trouble().to_string().contains("421 4.4.2"));
}

#[test]
fn recipients_that_are_too_many_go_in_the_next_transaction_at_once() {
    let mut peer = one_message(SMALL, &["a@b.c", "d@b.c", "e@b.c", "f@b.c"]);
    peer.take_sent();
    peer.play(
        "S: 250 ok
         S: 250 ok
         S: 452 4.5.3 too many
         S: 452 4.2.2 mailbox full
         S: 452 too many
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 first
         C: MAIL FROM:<alice@example.com>
         C: RCPT TO:<d@b.c>
         C: RCPT TO:<f@b.c>
         C: DATA
         S: 250 ok
         S: 452 4.5.3 too many, which can not be true
         S: 250 ok
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 second
         C: QUIT",
    );
    let expected = [
        "accepted 250",
        "deferred 452",
        "deferred 452",
        "accepted 250",
    ];
    assert_eq!(peer.world.fates_of(1), expected);
}

#[test]
fn transaction_has_as_many_recipients_as_the_peer_or_the_bound_allow() {
    let all: Vec<String> = (0..250).map(|number| format!("u{number}@b.c")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for (limits, sizes) in [
        ("LIMITS", vec![100, 100, 50]),
        ("LIMITS RCPTMAX=120", vec![100]),
        ("LIMITS RCPTMAX=3 MAILMAX=2", vec![3, 3]),
    ] {
        let mut peer = one_message(&["PIPELINING", limits], &all);
        for size in sizes {
            let sent = peer.take_sent();
            assert_eq!(sent.matches("RCPT TO").count(), size, "{limits}");
            peer.send(b"250 ok\r\n");
            peer.send(&b"250 ok\r\n".repeat(size));
            peer.send(b"354 go\r\n");
            assert!(peer.take_sent().ends_with("\r\n.\r\n"));
            peer.send(b"250 done\r\n");
        }
    }
}

#[test]
fn connection_ends_when_the_peer_takes_no_more_transactions() {
    let waiting = vec![
        message(1, &["a@b.c", "d@b.c"], HELLO),
        message(2, &["e@b.c"], HELLO),
    ];
    let mut peer = greeted(&["mx", "PIPELINING", "LIMITS RCPTMAX=1 MAILMAX=1"], waiting);
    peer.take_sent();
    peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n");
    assert!(peer.take_sent().ends_with(".\r\nQUIT\r\n"));
    assert_eq!(peer.world.fates_of(1), ["accepted 250", "failed 4.5.3"]);
    assert_eq!(peer.world.waiting.len(), 1, "the second is not taken");
}

#[test]
fn transaction_keeps_to_the_domains_that_the_peer_takes() {
    let recipients = &["a@one.example", "b@one.example", "c@two.example"];
    let mut peer = one_message(&["PIPELINING", "LIMITS RCPTDOMAINMAX=1"], recipients);
    assert_eq!(peer.take_sent().matches("RCPT TO").count(), 2);
    peer.send(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n");
    assert!(
        peer.take_sent()
            .ends_with("RCPT TO:<c@two.example>\r\nDATA\r\n")
    );
}

#[test]
fn delivery_status_parameters_are_passed_on_to_a_peer_that_knows_them() {
    let (mut first, content) = message(1, &["a@b.c"], HELLO);
    first.return_of_content = Some(Return::Headers);
    first.envelope_id = Some("QQ314159".to_owned());
    first.recipients[0].notify = Some(Notify::default());
    first.recipients[0].original = Some("rfc822;a@b.c".to_owned());
    for (offers, knows) in [
        (vec!["mx", "DSN", "SIZE"], true),
        (vec!["mx", "SIZE"], false),
    ] {
        let mut peer = greeted(&offers, vec![(first.clone(), content.clone())]);
        let (ret, notify) = match knows {
            true => (
                " RET=HDRS ENVID=QQ314159",
                " NOTIFY=NEVER ORCPT=rfc822;a@b.c",
            ),
            false => ("", ""),
        };
        peer.play(&format!(
            "C: MAIL FROM:<alice@example.com> SIZE=22{ret}
             S: 250 ok
             C: RCPT TO:<a@b.c>{notify}
             S: 250 ok
             C: DATA
             S: 451 no
             C: RSET"
        ));
        assert_eq!(peer.world.dsn_passed_on, knows);
    }
}

#[test]
fn lmtp_has_a_reply_for_each_accepted_recipient() {
    let lmtp = rmail_proto::smtp::client::Config {
        protocol: Protocol::Lmtp,
        ..config(Security::Cleartext)
    };
    let mut peer = connect(lmtp, vec![message(1, &["a@b.c", "d@b.c", "e@b.c"], HELLO)]);
    peer.play(
        "S: 220 ready
         C: LHLO mx.example.com
         S: 250-mx
         S: 250 PIPELINING
         C: MAIL FROM:<alice@example.com>
         C: RCPT TO:<a@b.c>
         C: RCPT TO:<d@b.c>
         C: RCPT TO:<e@b.c>
         S: 250 ok
         S: 250 ok
         S: 550 5.1.1 no
         S: 250 ok
         C: DATA
         S: 354 go
         C: Subject: hi
         C:
         C: Hello
         C: .
         S: 250 a has it
         S: 452 4.2.2 e is full
         C: QUIT",
    );
    let fates = peer.world.fates_of(1);
    assert_eq!(fates, ["accepted 250", "refused 550", "deferred 452"]);
}

#[test]
fn message_without_recipients_is_passed_over() {
    let mut peer = one_message(SMALL, &[]);
    peer.play("C: QUIT\nS: 221 bye");
    assert_eq!(peer.world.calls, ["NextMessage", "NextMessage", "Ended"]);
}

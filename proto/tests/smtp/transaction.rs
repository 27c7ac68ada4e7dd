//! MAIL and RCPT with their parameters and limits.

use rmail_proto::{
    Close, Event, ReversePath, limits,
    smtp::{Listener, Notify, Refusal, Reply, Return, Tls},
};

use crate::world::{config, connect, inbound, submission};

#[test]
fn faulty_mail_and_rcpt_are_named_for_what_they_are() {
    let mut client = inbound();
    client.play(
        "C: MAIL
         S: 501 5.5.4 *
         C: MAIL FROM:alice
         S: 501 5.1.7 *
         C: MAIL FROM:<alice>
         S: 501 5.1.7 *
         C: MAIL FROM:<a@b.c> SIZE=1000001
         S: 552 5.3.4 *
         C: MAIL FROM:<a@b.c> BODY=BINARYMIME
         S: 555 5.5.4 *
         C: MAIL FROM:<a@b.c> AUTH=<>
         S: 555 5.5.4 *
         C: MAIL FROM:<a@b.c> SIZE=big
         S: 501 5.5.4 *
         C: MAIL FROM:<jörg@b.c>
         S: 553 5.6.7 *
         C: MAIL FROM:<a@b.c> SIZE=1000000 BODY=8BITMIME
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<>
         S: 501 5.1.3 *
         C: RCPT TO:<jörg@example.com>
         S: 553 5.6.7 *
         C: RCPT TO:<a@example.com> NOTIFY=OFTEN
         S: 501 5.5.4 *
         C: RCPT TO:<nobody@example.com>
         S: 550 5.1.1 *
         C: RCPT TO:<a@elsewhere.example>
         S: 550 5.7.1 *
         C: DATA
         S: 554 5.5.1 No valid recipients",
    );
}

#[test]
fn source_routes_are_stripped_and_postmaster_needs_no_domain() {
    let mut client = inbound();
    client.play(
        "C: MAIL FROM:<@x.y:a@b.c>
         S: 250 2.1.0 *
         C: RCPT TO:<@x.y,@z.w:bob@example.com>
         S: 250 2.1.5 *
         C: RCPT TO:<Postmaster>
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    let envelope = &client.world.messages[0].envelope;
    assert_eq!(envelope.reverse_path.to_string(), "<a@b.c>");
    let paths: Vec<String> = envelope
        .recipients
        .iter()
        .map(|r| r.path.to_string())
        .collect();
    assert_eq!(paths, ["<bob@example.com>", "<postmaster>"]);
}

#[test]
fn smtputf8_lets_other_scripts_in() {
    let mut client = inbound();
    client.play(
        "C: MAIL FROM:<jörg@b.c> SMTPUTF8
         S: 250 2.1.0 *
         C: RCPT TO:<zoë@example.com>
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    assert!(client.world.messages[0].envelope.smtputf8);
    assert!(
        client.world.messages[0]
            .content
            .contains("with UTF8SMTP\r\n")
    );
}

#[test]
fn wishes_for_notices_come_along_as_they_were_spelled() {
    let mut client = inbound();
    client.play(
        "C: MAIL FROM:<a@b.c> RET=HDRS ENVID=QQ314+2B159
         S: 250 2.1.0 *
         C: RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@Example.com
         S: 250 2.1.5 *
         C: RCPT TO:<eve@example.com> NOTIFY=NEVER
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    let envelope = &client.world.messages[0].envelope;
    assert_eq!(envelope.notice.ret, Some(Return::Headers));
    assert_eq!(envelope.notice.envid.as_deref(), Some("QQ314+2B159"));
    let [bob, eve] = &envelope.recipients[..] else {
        panic!("{envelope:?}");
    };
    assert!(bob.notice.wanted().success && !bob.notice.wanted().failure);
    assert_eq!(bob.notice.orcpt.as_deref(), Some("rfc822;Bob@Example.com"));
    assert_eq!(eve.notice.notify, Some(Notify::default()));
}

#[test]
fn message_that_went_through_too_many_servers_is_refused() {
    for (fields, reply) in [
        (limits::SMTP_RECEIVED_FIELDS, "250 2.0.0 "),
        (limits::SMTP_RECEIVED_FIELDS + 1, "554 5.4.6 "),
    ] {
        let mut client = inbound();
        client.play(
            "C: MAIL FROM:<a@b.c>
             S: 250 2.1.0 *
             C: RCPT TO:<bob@example.com>
             S: 250 2.1.5 *
             C: DATA
             S: 354 *",
        );
        let received = "Received: from x by y; z\r\n".repeat(fields as usize);
        let message = format!("{received}\r\ntext\r\n.\r\n");
        client.send(message.as_bytes());
        let heard = client.take_sent();
        assert!(heard.starts_with(reply), "{heard}");
    }
}

#[test]
fn one_recipient_too_many_is_refused_and_the_others_stay() {
    let mut client = inbound();
    client.play(
        "C: MAIL FROM:<a@b.c>
         S: 250 2.1.0 *
         C: RCPT TO:<a@example.com>
         S: 250 2.1.5 *
         C: RCPT TO:<b@example.com>
         S: 250 2.1.5 *
         C: RCPT TO:<c@example.com>
         S: 250 2.1.5 *
         C: RCPT TO:<d@example.com>
         S: 452 4.5.3 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    assert_eq!(client.world.messages[0].envelope.recipients.len(), 3);
}

#[test]
fn one_message_too_many_ends_the_session() {
    let mut client = inbound();
    let message = "C: MAIL FROM:<a@b.c>
         S: 250 2.1.0 *
         C: RCPT TO:<a@example.com>
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *";
    client.play(message);
    client.play(message);
    client.play(
        "C: MAIL FROM:<a@b.c>
         S: 421 4.7.0 Too many messages*",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn submission_needs_authentication_first() {
    let mut client = connect(config(Listener::Submission, Tls::Offered));
    client.send(b"EHLO a.b\r\n");
    client.take_sent();
    client.play(
        "C: MAIL FROM:<alice@example.com>
         S: 530 5.7.0 Authentication required",
    );
}

#[test]
fn authenticated_sender_may_use_the_null_reverse_path() {
    let mut client = submission();
    client.play(
        "C: MAIL FROM:<> AUTH=<>
         S: 250 2.1.0 *
         C: RCPT TO:<bob@example.com>
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    let envelope = &client.world.messages[0].envelope;
    assert_eq!(envelope.reverse_path, ReversePath::Null);
    assert!(envelope.identity.is_some());
}

#[test]
fn world_has_the_last_word_on_senders() {
    let mut client = submission();
    client.world.refuse = Some(("Mail", Refusal::sender_not_owned()));
    client.play(
        "C: MAIL FROM:<bob@example.com>
         S: 550 5.7.1 That sender address is not yours
         C: RCPT TO:<bob@example.com>
         S: 503 5.5.1 *",
    );
    client.world.refuse = Some(("Mail", Refusal::too_many_connections()));
    client.play(
        "C: MAIL FROM:<alice@example.com>
         S: 421 4.7.0 *",
    );
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn pipelined_commands_wait_for_the_world_in_turn() {
    let mut client = inbound();
    client.world.hold = Some("Rcpt");
    let batch = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n";
    assert_eq!(client.offer(batch), batch.len() - 6);
    client.play("S: 250 2.1.0 *");
    let call = client.held.pop_front().unwrap();
    client.handle(Event::Reply(call, Reply::Permitted));
    client.play(
        "S: 250 2.1.5 *
         C: DATA
         S: 354 *",
    );
    // A doubled reply changes nothing.
    client.handle(Event::Reply(call, Reply::Accepted));
    client.expect_silence();
}

#[test]
fn doubled_reply_answers_no_other_call() {
    let mut client = inbound();
    client.world.hold = Some("Rcpt");
    client.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<a@example.com>\r\n");
    client.play("S: 250 2.1.0 *");
    let first = client.held.pop_front().unwrap();
    client.handle(Event::Reply(first, Reply::Permitted));
    client.play("S: 250 2.1.5 *");
    client.send(b"RCPT TO:<nobody@example.com>\r\n");
    client.handle(Event::Reply(first, Reply::Permitted));
    client.expect_silence();
    let second = client.held.pop_front().unwrap();
    client.handle(Event::Reply(
        second,
        Reply::Refused(Refusal::no_such_mailbox()),
    ));
    client.play("S: 550 5.1.1 *");
}

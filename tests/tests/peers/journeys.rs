//! What happens between rmail and a peer.

use std::fmt::Write as _;

use crate::{ALICE, PASSWORD, Town};

/// Bytes of the large message.
const LARGE_BYTES: usize = 10_000_000;

fn letter(from: &str, body: &str) -> String {
    format!(
        "From: {from}\r\nTo: somebody@example.net\r\nSubject: a letter\r\n\
         Date: Fri, 31 Dec 1999 23:59:59 +0000\r\nMessage-ID: <1@client.example.net>\r\n\r\n{body}"
    )
}

/// Asserts that this message, its lines ended by LF, was kept behind what servers put before it.
fn assert_kept(mail: &str, text: &str) {
    let text = text.replace("\r\n", "\n");
    let begin = mail.find("From: ").unwrap_or_default();
    let differs = mail[begin..]
        .lines()
        .zip(text.lines())
        .find(|(kept, sent)| kept != sent);
    assert!(mail.ends_with(&text), "it is changed at {differs:?}");
}

pub(crate) fn mail_goes_both_ways_by_starttls_as_it_was_written(town: &Town) {
    let body = "Gr\u{fc}\u{df}e,\r\n.\r\n..\r\n.dot\r\n \ttabs\t \r\n\r\nFrom me.\r\n\r\n";
    let bob = town.at_peer("bob");
    let text = letter(ALICE, body);
    town.alice_sends(&[&bob], &text);
    let mail = town.peer.wait_for_mail("Subject: a letter");
    let received = mail.to_lowercase();
    assert!(received.contains("with esmtps"), "without TLS:\n{mail}");
    assert!(mail.contains(&format!("Return-Path: <{ALICE}>")) || mail.contains("Return-path:"));
    assert_kept(&mail, &text);

    let text = letter(&bob, body);
    town.bob_sends(&[ALICE], &text);
    let mail = town.wait_for_alices("Subject: a letter");
    assert!(mail.contains("with ESMTPS"), "without TLS:\n{mail}");
    assert!(
        mail.contains(&format!("Return-Path: <{bob}>")),
        "no return path:\n{mail}"
    );
    assert!(mail.ends_with(&text), "it is changed:\n{mail}");
}

pub(crate) fn large_message_goes_both_ways_byte_for_byte(town: &Town) {
    let mut body = String::with_capacity(LARGE_BYTES + 100);
    let mut number = 0;
    while body.len() < LARGE_BYTES {
        number += 1;
        write!(body, "{number:070}\r\n").expect("a string takes everything");
    }
    let bob = town.at_peer("bob");
    let text = letter(ALICE, &body);
    town.alice_sends(&[&bob], &text);
    let mail = town.peer.wait_for_mail("Subject: a letter");
    assert_kept(&mail, &text);
    let text = letter(&bob, &body);
    town.bob_sends(&[ALICE], &text);
    let mail = town.wait_for_alices("Subject: a letter");
    assert!(mail.ends_with(&text), "it is changed");
}

pub(crate) fn recipient_that_the_peer_refuses_comes_back_in_its_words(town: &Town) {
    let (bob, nobody) = (town.at_peer("bob"), town.at_peer("nobody"));
    town.alice_sends(&[&bob, &nobody], &letter(ALICE, "Hi\r\n"));
    town.peer.wait_for_mail("Subject: a letter");
    let report = town.wait_for_alices("Action: failed");
    for part in [
        &format!("Final-Recipient: rfc822; {nobody}"),
        "Status: 5.1.1",
        &format!("Remote-MTA: dns; mx.{}", town.domain),
        "Diagnostic-Code: smtp; 550 5.1.1 ",
        "No such user at ",
        "Subject: a letter",
    ] {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
    assert!(!report.contains(&bob), "bob has it:\n{report}");
}

pub(crate) fn recipient_that_we_refuse_comes_back_from_the_peer_in_our_words(town: &Town) {
    let bob = town.at_peer("bob");
    town.bob_sends(&[ALICE, "nobody@example.com"], &letter(&bob, "Hi\r\n"));
    town.wait_for_alices("Subject: a letter");
    let report = town.peer.wait_for_mail("No such mailbox here");
    assert!(report.contains("nobody@example.com"), "{report}");
    assert!(report.contains("Action: failed"), "{report}");
}

pub(crate) fn mail_that_the_peer_puts_off_goes_after_queue_retry(town: &Town) {
    let (bob, later) = (town.at_peer("bob"), town.at_peer("later"));
    town.alice_sends(&[&bob, &later], &letter(ALICE, "Hi\r\n"));
    town.rmail.wait_for_log("put off");
    let listed = town.rmail.ask(&["queue", "list"]);
    let id = listed
        .split_whitespace()
        .find(|word| word.len() == 17 && word.chars().all(|it| it.is_ascii_alphanumeric()));
    let id = id.unwrap_or_else(|| panic!("no id in:\n{listed}"));
    let why = ["queue", "why", id];
    town.rmail.wait_for_command(&why, "Come back later to ");
    town.peer.wait_for_mail(&format!("Delivered-To: {bob}"));
    assert_eq!(town.peer.mails().len(), 1, "bob alone has his already");
    town.peer.open_up();
    town.rmail.ask(&["queue", "retry", "--domain", town.domain]);
    town.peer.wait_for_mail(&format!("Delivered-To: {later}"));
    assert_eq!(town.peer.mails().len(), 2, "bob gets his once");
}

pub(crate) fn wishes_for_reports_reach_the_peer(town: &Town) {
    let bob = town.at_peer("bob");
    let mut client = town.rmail.submission(ALICE, PASSWORD);
    for (command, expected) in [
        (format!("MAIL FROM:<{ALICE}> RET=HDRS ENVID=QQ314159"), 250),
        (
            format!("RCPT TO:<{bob}> NOTIFY=SUCCESS ORCPT=rfc822;Robert@old.example"),
            250,
        ),
        ("DATA".to_owned(), 354),
        (format!("{}.", letter(ALICE, "Hi\r\n")), 250),
    ] {
        let (code, text) = client.smtp(&command).expect("the connection lasts");
        assert_eq!(code, expected, "{text}");
    }
    town.peer.wait_for_mail("Subject: a letter");
    let report = town.wait_for_alices("Action: delivered");
    let lower = report.to_lowercase();
    for part in [
        &format!("reporting-mta: dns; mx.{}", town.domain),
        "original-envelope-id: qq314159",
        "robert@old.example",
    ] {
        assert!(lower.contains(part), "{part:?} is missing in:\n{report}");
    }
    assert!(!report.contains("\r\nHi\r\n"), "headers alone:\n{report}");
}

pub(crate) fn address_in_utf8_goes_both_ways(town: &Town) {
    let zoe = town.at_peer("zo\u{eb}");
    let text = format!("Cc: {zoe}\r\n{}", letter(ALICE, "Hi\r\n"));
    send_in_utf8(
        &mut town.rmail.submission(ALICE, PASSWORD),
        (ALICE, &zoe),
        &text,
    );
    let mail = town.peer.wait_for_mail("Subject: a letter");
    assert!(mail.contains(&format!("for <{zoe}>")), "{mail}");
    assert!(mail.to_lowercase().contains("utf8smtps"), "{mail}");
    assert_kept(&mail, &text);
    let text = letter(&zoe, "Hi\r\n");
    send_in_utf8(&mut town.at_the_peers(), (&zoe, ALICE), &text);
    let mail = town.wait_for_alices("Subject: a letter");
    assert!(mail.contains(&format!("Return-Path: <{zoe}>")), "{mail}");
    assert!(mail.contains("with UTF8SMTPS"), "{mail}");
    assert!(mail.ends_with(&text), "{mail}");
}

fn send_in_utf8(client: &mut rmail_tests::lines::Lines, (from, to): (&str, &str), text: &str) {
    for (command, expected) in [
        (format!("MAIL FROM:<{from}> SMTPUTF8 BODY=8BITMIME"), 250),
        (format!("RCPT TO:<{to}>"), 250),
        ("DATA".to_owned(), 354),
        (format!("{text}."), 250),
    ] {
        let (code, answer) = client.smtp(&command).expect("the connection lasts");
        assert_eq!(code, expected, "{command}: {answer}");
    }
}

/// Each hands it to the other, until one of them has counted enough.
pub(crate) fn mail_in_circles_ends_in_a_report(town: &Town) {
    // It has been on its way for long: each circle writes to the disk a dozen times.
    let hops = "Received: by relay.example.net; Fri, 31 Dec 1999 23:59:59 +0000\r\n"
        .repeat(town.peer.hops_max() - 6);
    let text = format!("{hops}{}", letter(ALICE, "Hi\r\n"));
    town.alice_sends(&["anybody@loop.example"], &text);
    let report = town.wait_for_alices("Action: failed");
    assert!(report.contains("anybody@loop.example"), "{report}");
    let list = town.rmail.ask(&["queue", "list"]);
    assert!(!list.contains("loop.example"), "it goes on:\n{list}");
}

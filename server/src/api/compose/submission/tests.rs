use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime(1_700_000_000);

fn submit(
    mime: &[u8],
    recipients: Option<&[EmailAddress]>,
    date: SendDate,
) -> Result<Submission, ApiError> {
    let mut submitter = Submitter {
        sender: &EmailAddress::new(Some("Alice"), "alice@example.test"),
        hostname: &Domain::parse("mx.example.test").unwrap(),
        now: NOW,
        entropy: &mut Entropy::new(1),
        recipients_max: 3,
    };
    Submission::new(mime, recipients, date, &mut submitter)
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn text(mime: &[u8]) -> &str {
    std::str::from_utf8(mime).unwrap()
}

#[test]
fn blind_recipients_get_it_and_only_the_copy_names_them() {
    let mime = "Return-Path: <x@y.test>\r\nFrom: Alice <alice@example.test>\r\nTo: b@c.test\r\n\
        Bcc: d@e.test,\r\n f@g.test\r\nCc: b@C.test\r\nDate: Mon, 13 Nov 2023 00:00:00 +0000\r\n\
        Message-ID: <1@example.test>\r\nSubject: x\r\n\r\nbody\r\nBcc: in the body\r\n";
    let submission = submit(mime.as_bytes(), None, SendDate::Kept).unwrap();
    assert_eq!(texts(&submission.senders), ["alice@example.test"]);
    assert_eq!(submission.message_id, "<1@example.test>");
    let (sent, copy) = (text(&submission.sent), text(&submission.copy));
    let (header, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(!header.contains("Bcc") && !header.contains("d@e.test") && !header.contains("f@g"));
    assert!(!header.contains("Return-Path"));
    assert_eq!(body, "body\r\nBcc: in the body\r\n");
    assert!(copy.contains("Bcc: d@e.test,\r\n f@g.test\r\n") && !copy.contains("Received"));
    assert!(sent.contains("Date: Mon, 13 Nov 2023") && copy.contains("Date: Mon, 13 Nov 2023"));
    let trace = format!(
        "Received: by mx.example.test with HTTPS\r\n\tid {};\r\n\
         \tTue, 14 Nov 2023 22:13:20 +0000\r\n",
        submission.id
    );
    assert!(sent.starts_with(&trace), "{sent}");
}

#[test]
fn each_recipient_counts_once_and_there_is_one_at_least() {
    let recipients = |header: &str| {
        let mime = format!("{header}\r\n\r\n");
        submit(mime.as_bytes(), None, SendDate::Kept).map(|it| texts(&it.recipients))
    };
    let several = recipients("To: a@B.test, team: c@d.test;\r\nCc: a@b.test\r\nTo: E <e@f.test>");
    let mut several = several.unwrap();
    several.sort();
    assert_eq!(several, ["a@b.test", "c@d.test", "e@f.test"]);
    for header in [
        "Subject: x",
        "To: undisclosed-recipients:;",
        "To: bob",
        "To: a@b.test, x",
        "To: a@b.c, d@e.f, g@h.i, j@k.l",
    ] {
        assert_eq!(
            recipients(header),
            Err(ApiError::invalid_recipients()),
            "{header}"
        );
    }
    let given = [EmailAddress::new(None, "z@y.test")];
    let submission = submit(b"To: a@b.test\r\n\r\n", Some(&given), SendDate::Kept).unwrap();
    assert_eq!(texts(&submission.recipients), ["z@y.test"]);
}

#[test]
fn what_is_missing_is_added_once() {
    let submission = submit(b"To: a@b.test\n\nbody\n", None, SendDate::Kept).unwrap();
    for mime in [&submission.sent, &submission.copy] {
        let mime = text(mime);
        for field in [
            "From: \"Alice\" <alice@example.test>\r\n",
            "Message-ID: <",
            "Date: Tue, 14 Nov",
        ] {
            assert_eq!(mime.matches(field).count(), 1, "{field} in {mime}");
        }
        assert!(mime.contains(&format!("Message-ID: {}\r\n", submission.message_id)));
        assert!(mime.ends_with("\r\n\r\nbody\r\n"));
    }
    assert!(submission.message_id.ends_with("@example.test>"));
    assert_eq!(texts(&submission.senders), ["alice@example.test"]);
}

#[test]
fn drafts_date_gives_way_to_that_of_sending() {
    let mime =
        b"To: a@b.test\r\nDate: Mon, 13 Nov 2000 00:00:00 +0000\r\nMessage-ID: <bro ken>\r\n\r\n";
    let submission = submit(mime, None, SendDate::Renewed).unwrap();
    let sent = text(&submission.sent);
    assert!(
        sent.contains("Date: Tue, 14 Nov 2023") && !sent.contains("2000"),
        "{sent}"
    );
    assert!(!sent.contains("bro ken") && sent.matches("Message-ID:").count() == 1);
}

#[test]
fn all_senders_are_told_and_broken_ones_refused() {
    let senders = |header: &str| {
        let mime = format!("To: a@b.test\r\n{header}\r\n\r\n");
        submit(mime.as_bytes(), None, SendDate::Kept).map(|it| texts(&it.senders))
    };
    let several = "From: a@b.test, c@d.test\r\nSender: e@f.test\r\nFrom: g@h.test";
    let expected = ["a@b.test", "c@d.test", "g@h.test", "e@f.test"];
    assert_eq!(senders(several).unwrap(), expected);
    assert!(senders("From: nobody").is_err());
    assert!(submit(b"To: a@b.test\r\n\r\n\0", None, SendDate::Kept).is_err());
}

fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let pieces = prop::sample::select(vec![
        "To: a@b.test",
        "Bcc: hidden@x.test",
        "BCC : hidden@x.test",
        "bcc:\r\n\thidden@x.test",
        "Resent-Bcc: hidden@x.test",
        "From: alice@example.test",
        "Subject: y",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "x",
        ":",
    ]);
    prop::collection::vec(pieces, 0..12)
}

proptest! {
    #[test]
    fn no_copy_that_goes_out_names_blind_recipients(pieces in pieces()) {
        let mime = format!("To: a@b.test\r\n{}", pieces.concat());
        if let Ok(submission) = submit(mime.as_bytes(), None, SendDate::Kept) {
            let sent = &submission.sent;
            for field in header_fields(sent) {
                prop_assert!(!field.name.eq_ignore_ascii_case(b"bcc"));
                prop_assert!(!field.name.eq_ignore_ascii_case(b"resent-bcc"));
            }
            let crlf = text(sent).replace("\r\n", "");
            prop_assert!(!crlf.contains(['\r', '\n']));
        }
    }
}

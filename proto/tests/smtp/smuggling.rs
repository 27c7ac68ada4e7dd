//! End of data is CRLF.CRLF and nothing else: every known way to smuggle a second message.

use rmail_proto::{Close, limits};

use crate::world::{inbound, start_data, submission};

const SMUGGLED: &[u8] =
    b"MAIL FROM:<admin@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nevil\r\n.\r\n";

/// What some server, somewhere, has taken for an end of data.
const FALSE_ENDS: [&[u8]; 34] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\n.\n\n",
    b"\n.\r\r\n",
    b"\n\n.\n",
    b"\n\n.\r\n",
    b"\n\r.\n\r",
    b"\n\r.\r\n",
    b"\n\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\r.\r\r\n",
    b"\r\r.\r\r",
    b"\r\r.\r\n",
    b"\r\r\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\n.\n\r\n",
    b"\r\n\n.\r\n",
    b"\r\n\r.\r\n",
    b"\r\n\r.\r\r\n",
    b"\r\n\x00.\n",
    b"\r\n.\x00\n",
    b"\r\n.\x00\r",
    b"\r\n\x00.\r",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\n",
    b"\n\x00.\r\n",
    b"\x0b\n.\n",
    b"\x85\n.\r\n",
];

#[test]
fn false_end_is_refused_and_nothing_behind_it_is_a_command() {
    for false_end in FALSE_ENDS {
        for mut client in [inbound(), submission()] {
            start_data(&mut client);
            client.world.calls.clear();
            let wire = [b"Subject: x\r\n\r\nhello", false_end, SMUGGLED].concat();
            client.offer(&wire);
            client.play("S: 550 5.5.2 Bare CR or LF*");
            assert!(client.world.messages.is_empty(), "{false_end:?}");
            assert!(
                client.world.calls.is_empty(),
                "{false_end:?}: {:?}",
                client.world.calls
            );
            assert_eq!(client.closed, Some(Close::Flush), "{false_end:?}");
        }
    }
}

#[test]
fn false_end_split_anywhere_is_refused() {
    for false_end in FALSE_ENDS {
        let mut client = inbound();
        start_data(&mut client);
        let wire = [b"hello", false_end, SMUGGLED].concat();
        for byte in &wire {
            client.offer(std::slice::from_ref(byte));
        }
        client.play("S: 550 5.5.2 Bare CR or LF*");
        assert!(client.world.messages.is_empty(), "{false_end:?}");
    }
}

#[test]
fn whole_newlines_around_other_octets_are_text() {
    let texts: [&[u8]; 6] = [
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n. \r\n",
        b"\r\n..\r\n",
        b"\r\n\x0b.\r\n",
        b"\r\n\x85.\r\n",
    ];
    for text in texts {
        let mut client = inbound();
        start_data(&mut client);
        client.world.calls.clear();
        client.send(&[b"hello", text, b"MAIL FROM:<a@b.c>\r\n.\r\n"].concat());
        client.play("S: 250 2.0.0 *");
        assert_eq!(client.world.messages.len(), 1);
        assert_eq!(client.world.calls, ["Message"]);
        assert!(
            client.world.messages[0]
                .content
                .ends_with("MAIL FROM:<a@b.c>\r\n")
        );
    }
}

#[test]
fn true_end_is_an_end_and_what_follows_is_pipelined() {
    let mut client = inbound();
    start_data(&mut client);
    client.send(b"hello\r\n.\r\nMAIL FROM:<a@b.c>\r\n");
    client.play("S: 250 2.0.0 *\nS: 250 2.1.0 *");
}

#[test]
fn client_that_waits_for_an_answer_to_a_false_end_gets_a_permanent_one() {
    let mut client = inbound();
    start_data(&mut client);
    client.send(b"hello\n.\n");
    client.expect_silence();
    client.pass(limits::SMTP_DATA_TIMEOUT);
    client.play("S: 550 5.5.2 Bare CR or LF*");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn upload_that_turns_out_broken_is_discarded() {
    let mut client = inbound();
    start_data(&mut client);
    client.send(&b"x".repeat(limits::UPLOAD_CHUNK_BYTES * 3));
    assert_eq!(client.world.open_uploads(), 1);
    client.send(b"\n");
    assert_eq!(client.world.open_uploads(), 0);
    client.offer(b".\r\n\r\n.\r\n");
    client.play("S: 550 5.5.2 Bare CR or LF*");
}

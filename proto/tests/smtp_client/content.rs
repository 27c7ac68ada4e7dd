//! The content: dots, chunks, sizes, 8-bit text and UTF-8.

use bytes::Bytes;
use rmail_proto::{
    Action, Address, Connection, Event, Now, ReversePath, limits,
    smtp::client::{Call, Client, Fate, Message, Reply, Security, Trouble},
};

use crate::world::{HELLO, Peer, greeted, message, one_message};

fn peer_for(extensions: &[&str], content: &[u8]) -> Peer {
    let extensions = [&["mx"], extensions].concat();
    greeted(&extensions, vec![message(1, &["a@b.c"], content)])
}

/// All that goes out as mail data, dots stuffed.
fn data_of(content: &[u8]) -> String {
    let mut peer = peer_for(&["PIPELINING", "8BITMIME"], content);
    peer.take_sent();
    peer.send(b"250 ok\r\n250 ok\r\n354 go\r\n");
    peer.take_sent()
}

#[test]
fn dots_are_stuffed_and_the_last_line_ends() {
    assert_eq!(
        data_of(b".a\r\n..\r\nb.\r\n."),
        "..a\r\n...\r\nb.\r\n..\r\n.\r\n"
    );
    assert_eq!(data_of(b""), ".\r\n");
    assert_eq!(data_of(b"\r\n"), "\r\n.\r\n");
}

#[test]
fn bare_line_ends_go_out_as_crlf_and_end_nothing() {
    assert_eq!(
        data_of(b"a\n.\nb\r.\rc"),
        "a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"
    );
}

#[test]
fn chunks_go_raw_after_the_recipients_are_known() {
    let mut peer = peer_for(&["PIPELINING", "CHUNKING"], b".a\r\n.");
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         C: RCPT TO:<a@b.c>
         S: 250 ok
         S: 250 ok
         C: BDAT 7 LAST
         C: .a
         C: .
         S: 250 queued
         C: QUIT",
    );
    assert_eq!(peer.world.fates_of(1), ["accepted 250"]);
    let mut peer = peer_for(&["PIPELINING", "CHUNKING"], b"");
    peer.take_sent();
    peer.play("S: 250 ok\nS: 250 ok\nC: BDAT 0 LAST");
}

#[test]
fn recipients_that_are_refused_get_no_chunk() {
    let mut peer = one_message(&["PIPELINING", "CHUNKING"], &["a@b.c"]);
    peer.take_sent();
    peer.play("S: 250 ok\nS: 550 no\nC: RSET\nS: 250 ok\nC: QUIT");
    assert_eq!(peer.world.reads, 0);
}

#[test]
fn chunks_in_flight_are_bounded() {
    let content = vec![b'x'; limits::READ_BYTES * 20];
    for (extensions, in_flight) in [
        (
            vec!["PIPELINING", "CHUNKING"],
            limits::SMTP_CLIENT_CHUNKS_IN_FLIGHT,
        ),
        (vec!["CHUNKING"], 1),
    ] {
        let mut peer = peer_for(&extensions, &content);
        peer.send(b"250 ok\r\n250 ok\r\n");
        let sent = peer.take_sent();
        assert_eq!(sent.matches("BDAT ").count(), in_flight);
        peer.send(b"250 got it\r\n");
        assert_eq!(peer.take_sent().matches("BDAT ").count(), 1);
    }
}

#[test]
fn refused_chunk_ends_the_content_and_a_reset_follows() {
    let content = vec![b'x'; limits::READ_BYTES * 20];
    let mut peer = peer_for(&["CHUNKING"], &content);
    peer.send(b"250 ok\r\n250 ok\r\n");
    peer.take_sent();
    peer.play("S: 552 5.3.4 too much\nC: RSET\nS: 250 ok\nC: QUIT");
    assert_eq!(peer.world.fates_of(1), ["refused 552"]);
    // With chunks on their way, their replies come first, and are no replies to RSET.
    let mut peer = peer_for(
        &["PIPELINING", "CHUNKING"],
        &content[..limits::READ_BYTES * 2],
    );
    peer.send(b"250 ok\r\n250 ok\r\n");
    assert!(peer.take_sent().contains("LAST"));
    peer.play("S: 452 4.3.1 full");
    peer.play("S: 503 5.5.1 no\nC: RSET\nS: 250 ok\nC: QUIT");
    assert_eq!(peer.world.fates_of(1), ["deferred 452"]);
}

#[test]
fn size_is_declared_and_its_limit_kept_without_asking() {
    let mut peer = peer_for(&["SIZE 22"], HELLO);
    peer.play("C: MAIL FROM:<alice@example.com> SIZE=22");
    let mut peer = peer_for(&["SIZE 21"], HELLO);
    peer.play("C: QUIT");
    let limit_bytes = 21;
    let too_large = Fate::Failed(Trouble::TooLarge { limit_bytes });
    assert_eq!(peer.world.fates[&1][&0], too_large);
    assert_eq!(peer.world.fates_of(1), ["failed 5.3.4"]);
}

const EIGHT_BIT: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                         Content-Transfer-Encoding: 8bit\r\n\r\nThis is a caf\u{e9}.\r\n";

#[test]
fn eight_bit_content_is_declared() {
    let mut peer = peer_for(&["8BITMIME"], EIGHT_BIT.as_bytes());
    peer.play("C: MAIL FROM:<alice@example.com> BODY=8BITMIME");
    let mut peer = peer_for(&["8BITMIME"], HELLO);
    peer.play("C: MAIL FROM:<alice@example.com>");
}

#[test]
fn eight_bit_content_is_converted_for_a_peer_that_takes_seven() {
    let mut peer = peer_for(&[], EIGHT_BIT.as_bytes());
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 ok
         C: RCPT TO:<a@b.c>
         S: 250 ok
         C: DATA
         S: 354 go
         C: MIME-Version: 1.0
         C: Content-Type: text/plain; charset=utf-8
         C: Content-Transfer-Encoding: quoted-printable
         C:
         C: This is a caf=C3=A9.
         C: .
         S: 250 queued
         C: QUIT",
    );
}

#[test]
fn content_that_can_not_be_converted_fails_with_its_reason() {
    let signed = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n\
                  --b\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9}\r\n--b--\r\n";
    let header = "Subject: caf\u{e9}\r\n\r\ncaf\u{e9}\r\n";
    for content in [signed, header] {
        let mut peer = peer_for(&[], content.as_bytes());
        peer.play("C: QUIT");
        assert_eq!(peer.world.fates_of(1), ["failed 5.6.3"]);
    }
    let (mut first, content) = message(1, &["a@b.c"], EIGHT_BIT.as_bytes());
    first.parts = Bytes::new();
    let mut peer = greeted(&["mx"], vec![(first, content)]);
    peer.play("C: QUIT");
    assert_eq!(peer.world.fates_of(1), ["failed 5.6.3"]);
}

#[test]
fn converted_content_keeps_to_the_limit_of_size() {
    let mut peer = peer_for(&["SIZE 150"], EIGHT_BIT.as_bytes());
    peer.play("C: QUIT");
    assert_eq!(peer.world.fates_of(1), ["failed 5.3.4"]);
}

#[test]
fn utf8_address_needs_a_peer_that_takes_it() {
    let recipients = &["j\u{f6}rg@b.c", "a@b.c"];
    let mut peer = one_message(&["8BITMIME"], recipients);
    peer.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 ok
         C: RCPT TO:<a@b.c>
         S: 250 ok
         C: DATA
         S: 451 no
         C: RSET",
    );
    assert_eq!(peer.world.fates_of(1), ["failed 5.6.7", "deferred 451"]);
    let mut peer = one_message(&["8BITMIME", "SMTPUTF8"], recipients);
    peer.play(
        "C: MAIL FROM:<alice@example.com> SMTPUTF8
         S: 250 ok
         C: RCPT TO:<j\u{f6}rg@b.c>",
    );
    let (mut first, content) = message(1, &["a@b.c", "d@b.c"], HELLO);
    first.reverse_path = ReversePath::Address(Address::parse("j\u{f6}rg@b.c").unwrap());
    let mut peer = greeted(&["mx", "8BITMIME"], vec![(first, content)]);
    peer.play("C: QUIT");
    assert_eq!(peer.world.fates_of(1), ["failed 5.6.7", "failed 5.6.7"]);
}

#[test]
fn utf8_headers_are_looked_for_where_the_peer_does_not_take_them() {
    for (subject, takes) in [("hi", true), ("caf\u{e9}", false)] {
        let content = format!("Subject: {subject}\r\n\r\nHello\r\n");
        let (mut first, content) = message(1, &["a@b.c"], content.as_bytes());
        first.smtputf8 = true;
        let mut peer = greeted(&["mx", "8BITMIME"], vec![(first, content)]);
        if takes {
            peer.play("C: MAIL FROM:<alice@example.com>");
        } else {
            peer.play("C: QUIT");
            assert_eq!(peer.world.fates_of(1), ["failed 5.6.7"]);
        }
    }
}

/// The transcript helper reports what was sent at once; here nothing is taken by the peer.
struct Stalled {
    client: Client,
    message: Message,
    content: Bytes,
    unsent_bytes: usize,
    taken: usize,
}

impl Stalled {
    fn new(content: &[u8]) -> Self {
        let (message, content) = message(1, &["a@b.c"], content);
        Self {
            client: Client::new(crate::world::config(Security::Cleartext), Now::default()),
            message,
            content,
            unsent_bytes: 0,
            taken: 0,
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let consumed = self.client.handle_input(Now::default(), bytes);
            bytes = &bytes[consumed..];
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.client.poll_action() {
            let (id, reply) = match action {
                Action::Send(bytes) => {
                    self.unsent_bytes += bytes.len();
                    continue;
                }
                Action::Call(id, Call::NextMessage) => {
                    self.taken += 1;
                    (id, Reply::Message(Box::new(self.message.clone())))
                }
                Action::Call(id, Call::Read { offset, length }) => {
                    let start = offset as usize;
                    (id, Reply::Bytes(self.content.slice(start..start + length)))
                }
                Action::Call(id, Call::Report(_)) => (id, Reply::Noted),
                other => panic!("{other:?}"),
            };
            self.client
                .handle_event(Now::default(), Event::Reply(id, reply));
        }
    }
}

const UP_TO_DATA: &[u8] = b"220 a\r\n250-a\r\n250 PIPELINING\r\n250 a\r\n250 a\r\n354 a\r\n";

#[test]
fn peer_that_takes_nothing_costs_the_send_credit() {
    let mut peer = Stalled::new(&vec![b'x'; 1_000_000]);
    peer.receive(UP_TO_DATA);
    assert!(peer.unsent_bytes > limits::SEND_CREDIT_BYTES / 2);
    assert!(peer.unsent_bytes <= limits::SEND_CREDIT_BYTES);
    let before = peer.unsent_bytes;
    peer.client
        .handle_event(Now::default(), Event::Sent(before));
    peer.drain();
    assert!(peer.unsent_bytes > before, "it goes on");
}

#[test]
fn next_message_is_not_asked_for_while_the_last_one_has_not_gone_out() {
    let mut peer = Stalled::new(&vec![b'x'; limits::SMTP_CLIENT_CREDIT_BYTES + 1]);
    peer.receive(UP_TO_DATA);
    // It can't have seen the end of what it accepts.
    peer.receive(b"250 a\r\n");
    assert_eq!(peer.taken, 1);
    peer.client.handle_event(Now::default(), Event::Sent(1000));
    peer.drain();
    assert_eq!(peer.taken, 2);
}

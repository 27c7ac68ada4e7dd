//! Beginnings and ends of a connection.

use std::time::Duration;

use rmail_proto::{
    Close, Event, Now, TlsInfo,
    http::{Method, Server, Tls},
};

use crate::{
    transcript::Session,
    world::{Client, Memory, ask, config, connect, only_response},
};

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

fn shut_down(client: &mut Client) {
    let grace_until = client.now.at + Duration::from_secs(20);
    client.handle(Event::Shutdown { grace_until });
}

#[test]
fn nothing_is_taken_before_tls() {
    let mut client: Client = Session::new(Memory::default(), |now: Now| {
        Server::new(config(Tls::Implicit), now)
    });
    assert_eq!(client.offer(HELLO), 0);
    client.handle(Event::TlsEstablished(TlsInfo::default()));
    client.send(HELLO);
    assert_eq!(only_response(&mut client, Method::Get).body, "hello");
}

#[test]
fn idle_connection_closes_at_once_on_shutdown() {
    for partial in [&b""[..], b"GET / HT"] {
        let mut client = connect();
        client.send(partial);
        shut_down(&mut client);
        client.expect_silence();
        assert_eq!(client.closed, Some(Close::Flush));
    }
}

#[test]
fn answer_in_progress_is_the_last_on_shutdown() {
    let mut client = connect();
    client.world.hold = Some("LastChunk");
    client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    shut_down(&mut client);
    assert_eq!(client.closed, None);
    client.world.hold = None;
    client.send(b"b");
    let read = only_response(&mut client, Method::Post);
    assert!(read.status == 201 && read.closes());
}

#[test]
fn answer_that_does_not_come_in_time_is_503() {
    let mut client = connect();
    client.world.hold = Some("Request");
    client.send(HELLO);
    shut_down(&mut client);
    client.pass(Duration::from_secs(19));
    client.expect_silence();
    client.pass(Duration::from_secs(1));
    let read = only_response(&mut client, Method::Get);
    assert!(read.status == 503 && read.closes());
    assert!(client.held.is_empty());
}

#[test]
fn complete_request_is_answered_though_the_client_has_closed_its_half() {
    let mut client = connect();
    client.world.hold = Some("Request");
    client.send(HELLO);
    let id = client.held[0];
    client.handle(Event::PeerClosed);
    assert_eq!(client.closed, None);
    let answer = crate::world::text(rmail_proto::http::Status::OK, "late");
    client.handle(Event::Reply(
        id,
        rmail_proto::http::Reply::Respond(Box::new(answer)),
    ));
    let read = only_response(&mut client, Method::Get);
    assert!(read.body == "late" && read.closes());
}

#[test]
fn request_that_is_cut_off_is_given_up() {
    let large = [
        &b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"[..],
        &[b'x'; 199_999],
    ]
    .concat();
    let cases: [(&[u8], Option<&str>); 4] = [
        (b"GET / HTTP/1.1\r\nHo", None),
        (
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
            Some("Request"),
        ),
        (
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
            None,
        ),
        (&large, None),
    ];
    for (request, hold) in cases {
        let mut client = connect();
        client.world.hold = hold;
        client.send(request);
        client.handle(Event::PeerClosed);
        client.expect_silence();
        assert_eq!(client.closed, Some(Close::Flush));
        assert!(client.held.is_empty());
        assert_eq!(client.world.open_uploads(), 0);
    }
}

#[test]
fn client_that_closes_between_requests_hears_nothing() {
    let mut client = connect();
    ask(&mut client, str::from_utf8(HELLO).unwrap());
    client.handle(Event::PeerClosed);
    client.expect_silence();
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
#[should_panic(expected = "no handshake was asked for")]
fn upgrade_to_tls_is_not_offered() {
    let mut client = connect();
    let upgrade =
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n";
    assert_eq!(ask(&mut client, upgrade).status, 404);
    client.establish_tls(TlsInfo::default());
}

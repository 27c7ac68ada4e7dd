//! How long a client may take.

use std::time::Duration;

use rmail_proto::{
    Close, Connection, Timer,
    http::{Method, Tls},
    limits,
};

use crate::world::{Client, ask, connect, only_response};

const SECOND: Duration = Duration::from_secs(1);

fn timer(client: &Client) -> Option<Timer> {
    client.machine().poll_timeout().map(|timeout| timeout.timer)
}

#[test]
fn head_that_does_not_end_is_408() {
    let mut client = connect();
    client.pass(limits::HTTP_IDLE_TIMEOUT - SECOND);
    client.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..9 {
        client.pass(SECOND);
        client.send(b"A: b\r\n");
        client.expect_silence();
    }
    client.pass(SECOND);
    let read = only_response(&mut client, Method::Get);
    assert!(read.status == 408 && read.closes());
}

#[test]
fn idle_connection_is_closed_without_a_word() {
    let mut client = connect();
    client.pass(limits::HTTP_IDLE_TIMEOUT / 2);
    ask(&mut client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    client.pass(limits::HTTP_IDLE_TIMEOUT - SECOND);
    assert_eq!(client.closed, None);
    client.pass(SECOND);
    client.expect_silence();
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn content_that_stops_or_trickles_is_408() {
    for every_second in [&b""[..], b"x"] {
        let mut client = connect();
        client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        for _ in 0..29 {
            client.pass(SECOND);
            client.send(every_second);
            client.expect_silence();
        }
        client.pass(SECOND * 2);
        let read = only_response(&mut client, Method::Post);
        assert!(read.status == 408 && read.closes());
        assert_eq!(client.world.open_uploads(), 0);
    }
}

#[test]
fn content_that_keeps_the_rate_is_never_late() {
    let mut client = connect();
    client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 204800\r\n\r\n");
    for _ in 0..100 {
        client.pass(SECOND * 2);
        client.send(&[b'x'; 2048]);
    }
    assert_eq!(only_response(&mut client, Method::Post).status, 201);
}

#[test]
fn time_that_the_world_takes_is_not_the_clients() {
    let mut client = connect();
    client.world.hold = Some("Request");
    client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(timer(&client), None);

    let mut client = connect();
    client.world.hold = Some("Chunk");
    client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    assert_eq!(timer(&client), Some(Timer::Data));
    client.offer(&[b'x'; 300_000]);
    assert_eq!(timer(&client), None);
}

#[test]
fn unwanted_content_that_does_not_come_ends_the_connection() {
    let mut client = connect();
    client.send(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    client.take_sent();
    client.pass(limits::HTTP_CONTENT_TIMEOUT);
    client.expect_silence();
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn handshake_that_does_not_end_is_aborted() {
    let mut client: Client = crate::transcript::Session::new(Default::default(), |now| {
        rmail_proto::http::Server::new(crate::world::config(Tls::Implicit), now)
    });
    client.pass(limits::TLS_HANDSHAKE_TIMEOUT);
    assert_eq!(client.closed, Some(Close::Abort));
}

//! Responses on their way out.

use rmail_proto::{Close, http::Method, limits};

use crate::world::{ask, connect, letters, only_response};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn bodies_come_byte_for_byte_however_they_are_given() {
    for path in ["bytes", "file", "stream"] {
        for length in [0, 1, 16_383, 16_384, 16_385, 65_536, 65_537, 700_001] {
            let mut client = connect();
            let read = ask(&mut client, &get(&format!("/{path}?{length}")));
            assert!(
                read.body.as_bytes() == letters(0, length),
                "/{path}?{length}"
            );
            let told = read.field("content-length").map(str::to_owned);
            match path {
                "stream" => assert_eq!(read.field("transfer-encoding"), Some("chunked")),
                _ => assert_eq!(told, Some(length.to_string())),
            }
            assert!(client.world.largest_read_bytes <= limits::READ_BYTES);
            assert_eq!(client.world.open_sources(), 0, "/{path}?{length}");
            assert_eq!(client.closed, None);
        }
    }
}

#[test]
fn accepted_has_length_zero_and_no_content_has_none() {
    let mut client = connect();
    let read = ask(&mut client, &get("/accepted"));
    assert_eq!(
        (read.status, read.field("content-length")),
        (202, Some("0"))
    );
    assert_eq!(read.field("content-type"), None);
    let read = ask(&mut client, &get("/no-content"));
    assert_eq!((read.status, read.field("content-length")), (204, None));
}

#[test]
fn body_that_can_not_be_read_is_another_answer_while_nothing_is_sent() {
    let mut client = connect();
    let read = ask(&mut client, &get("/gone?5"));
    assert_eq!((read.status, read.body.as_str()), (404, "gone"));
    assert_eq!(client.world.calls, ["Request", "Read", "Release"]);
    assert_eq!(client.closed, None);
}

#[test]
fn body_that_ends_early_does_not_look_whole() {
    let mut client = connect();
    client.send(get("/broken?200000").as_bytes());
    assert_eq!(client.closed, Some(Close::Abort));
    let sent = client.take_sent();
    assert!(sent.contains("Content-Length: 200000\r\n"));
    assert!(sent.len() < 110_000);
    assert_eq!(client.world.open_sources(), 0);
}

#[test]
fn body_that_is_empty_against_its_promise_is_an_error() {
    let mut client = connect();
    client.send(get("/broken?1").as_bytes());
    let read = only_response(&mut client, Method::Get);
    assert_eq!(
        (read.status, read.body.as_str()),
        (500, r#"{"error":"Internal error"}"#)
    );
    assert!(read.closes());
}

#[test]
fn body_is_released_when_the_peer_stops_reading() {
    let mut client = connect();
    client.world.hold = Some("Read");
    client.send(get("/file?100").as_bytes());
    assert_eq!(client.held.len(), 1);
    client.handle(rmail_proto::Event::Shutdown {
        grace_until: client.now.at,
    });
    client.pass(std::time::Duration::ZERO);
    let read = only_response(&mut client, Method::Get);
    assert_eq!(read.status, 503);
    assert_eq!(client.held.len(), 0);
    assert_eq!(client.world.open_sources(), 0);
}

//! Content of requests on its way in.

use rmail_proto::{Close, http::Method, limits};

use crate::world::{UPLOAD_BYTES_MAX, ask, connect, letters, only_response, read_response};

fn post(path: &str, fields: &str, content: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{content}")
}

fn with_length(path: &str, content: &str) -> String {
    post(
        path,
        &format!("Content-Length: {}\r\n", content.len()),
        content,
    )
}

fn in_chunks(content: &str, chunk_bytes: usize) -> String {
    let mut wire = String::new();
    for chunk in content.as_bytes().chunks(chunk_bytes) {
        let chunk = str::from_utf8(chunk).unwrap();
        wire += &format!("{:x};n=\"v\"\r\n{chunk}\r\n", chunk.len());
    }
    wire + "0\r\nTrailer: dropped\r\n\r\n"
}

fn text(length: usize) -> String {
    String::from_utf8(letters(0, length).to_vec()).unwrap()
}

#[test]
fn small_content_is_one_piece() {
    let mut client = connect();
    let read = ask(&mut client, &with_length("/upload", "{}"));
    assert_eq!((read.status, read.body.as_str()), (201, "2"));
    assert_eq!(client.world.calls, ["Request", "LastChunk"]);
    assert_eq!(client.world.contents, [b"{}"]);
}

#[test]
fn content_arrives_byte_for_byte_in_bounded_pieces() {
    for length in [
        1, 65_535, 65_536, 65_537, 131_072, 131_073, 299_999, 300_000,
    ] {
        let content = text(length);
        let chunked = post(
            "/upload",
            "Transfer-Encoding: chunked\r\n",
            &in_chunks(&content, 999),
        );
        for request in [with_length("/upload", &content), chunked] {
            let mut client = connect();
            let read = ask(&mut client, &request);
            assert_eq!(read.body, length.to_string());
            assert_eq!(client.world.contents, [content.as_bytes()]);
            assert!(client.world.largest_piece_bytes <= limits::UPLOAD_CHUNK_BYTES);
            assert_eq!(
                client.world.calls.len(),
                2 + (length - 1) / limits::UPLOAD_CHUNK_BYTES
            );
            assert_eq!(client.closed, None);
        }
    }
}

#[test]
fn absent_content_that_is_wanted_is_one_empty_piece() {
    for request in [
        post("/upload", "", ""),
        with_length("/upload", ""),
        post(
            "/upload",
            "Expect: 100-continue\r\nContent-Length: 0\r\n",
            "",
        ),
        post("/upload", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let mut client = connect();
        let read = ask(&mut client, &request);
        assert_eq!((read.status, read.body.as_str()), (201, "0"));
        assert_eq!(client.world.calls, ["Request", "LastChunk"]);
    }
}

#[test]
fn nothing_is_taken_while_the_window_is_full() {
    let mut client = connect();
    client.world.hold = Some("Chunk");
    let request = with_length("/upload", &text(300_000));
    let head_bytes = request.find("\r\n\r\n").unwrap() + 4;
    let taken = client.offer(request.as_bytes()) - head_bytes;
    // Two pieces are with the world, a third is gathered.
    assert_eq!(client.held.len(), limits::UPLOAD_CHUNKS_IN_FLIGHT);
    assert_eq!(taken, 3 * limits::UPLOAD_CHUNK_BYTES + 1);
    assert_eq!(client.offer(b"x"), 0);
}

#[test]
fn continue_is_sent_when_the_content_is_wanted_and_only_then() {
    let mut client = connect();
    client.play(
        "C: POST /upload HTTP/1.1
         C: Host: a
         C: Content-Length: 2
         C: Expect: 100-Continue
         C:
         S: HTTP/1.1 100 Continue
         S: ",
    );
    client.send(b"{}");
    assert_eq!(only_response(&mut client, Method::Post).status, 201);

    let mut client = connect();
    let fields = "Content-Length: 2\r\nExpect: 100-continue\r\n";
    let read = ask(&mut client, &post("/nowhere", fields, ""));
    // Whether the content follows all the same, only the client knows.
    assert!(read.status == 404 && read.closes());
}

#[test]
fn too_much_content_is_refused_before_it_is_asked_for() {
    let mut client = connect();
    let length = UPLOAD_BYTES_MAX + 1;
    let fields = format!("Content-Length: {length}\r\nExpect: 100-continue\r\n");
    let read = ask(&mut client, &post("/upload", &fields, ""));
    assert_eq!((read.status, read.body.as_str()), (413, "too large"));
    assert_eq!(client.world.calls, ["Request"]);
}

#[test]
fn other_expectations_are_refused() {
    for expectation in ["200-ok", "100-continue, x", "100-continue=1"] {
        let mut client = connect();
        let fields = format!("Expect: {expectation}\r\nContent-Length: 2\r\n");
        assert_eq!(ask(&mut client, &post("/upload", &fields, "")).status, 417);
        assert!(client.world.calls.is_empty());
    }
}

#[test]
fn http_1_0_knows_no_expectations() {
    let mut client = connect();
    client.send(b"POST /upload HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(only_response(&mut client, Method::Post).status, 201);
}

#[test]
fn chunks_beyond_the_limit_are_refused_and_the_upload_is_discarded() {
    let mut client = connect();
    let content = text(UPLOAD_BYTES_MAX as usize + 1);
    let request = post(
        "/upload",
        "Transfer-Encoding: chunked\r\n",
        &in_chunks(&content, 5000),
    );
    let read = ask(&mut client, &request);
    assert!(read.status == 413 && read.closes());
    assert_eq!(client.world.open_uploads(), 0);
    assert!(client.world.contents.is_empty());
}

#[test]
fn malformed_chunks_are_refused_and_the_upload_is_discarded() {
    let mut client = connect();
    let whole = in_chunks(&text(150_000), 5000);
    let broken = whole.replace("0\r\nTrailer", "0 \r\nTrailer");
    let read = ask(
        &mut client,
        &post("/upload", "Transfer-Encoding: chunked\r\n", &broken),
    );
    assert!(read.status == 400 && read.closes());
    assert_eq!(client.world.open_uploads(), 0);
    assert!(client.world.contents.is_empty());
}

#[test]
fn small_unwanted_content_is_dropped_and_the_connection_goes_on() {
    for length in [0, 1, limits::HTTP_DROPPED_CONTENT_BYTES as usize] {
        let mut client = connect();
        let wire =
            with_length("/nowhere", &text(length)) + "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(wire.as_bytes());
        let sent = client.take_sent();
        let mut rest = sent.as_str();
        assert_eq!(read_response(&mut rest, Method::Post, false).status, 404);
        assert_eq!(read_response(&mut rest, Method::Get, false).body, "hello");
        assert_eq!(client.world.calls, ["Request", "Request"]);
    }
}

#[test]
fn large_unwanted_content_ends_the_connection() {
    let length = limits::HTTP_DROPPED_CONTENT_BYTES as usize + 1;
    for request in [
        with_length("/nowhere", &text(length)),
        post("/nowhere", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let mut client = connect();
        let read = ask(&mut client, &request);
        assert!(read.status == 404 && read.closes());
        assert_eq!(client.closed, Some(Close::Flush));
    }
}

#[test]
fn content_that_is_refused_halfway_is_dropped() {
    for (length, closes) in [(70_000, false), (299_000, true)] {
        let mut client = connect();
        client.send(with_length("/picky", &text(length)).as_bytes());
        let read = only_response(&mut client, Method::Post);
        assert_eq!((read.status, read.closes()), (507, closes));
        assert_eq!(client.world.open_uploads(), 0);
        assert_eq!(client.world.calls, ["Request", "Chunk", "Discard"]);
    }
}

#[test]
fn put_and_patch_and_delete_carry_content_too() {
    for method in ["PUT", "PATCH", "DELETE", "GET", "OPTIONS"] {
        let mut client = connect();
        let request = format!("{method} /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(ask(&mut client, &request).status, 201, "{method}");
    }
}

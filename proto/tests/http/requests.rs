//! Requests: what reaches the world, and what comes back.

use rmail_proto::{
    Close, Now,
    http::{Bounds, Config, Content, Method, Server, Tls},
};

use crate::{
    transcript::Session,
    world::{Client, Memory, ask, config, connect, last_content, read_response},
};

#[test]
fn response_has_its_length_the_date_and_the_requests_id() {
    let mut client = connect();
    client.send(
        b"GET /hello?a=%20b HTTP/1.1\r\nHost: Example.Test:9002\r\nclient-request-id: mine-1\r\n\
          Authorization: Bearer abc\r\nAccept:  */* \r\nX-Empty:\r\n\r\n",
    );
    let sent = client.take_sent();
    let id = client.world.requests[0].id.to_string();
    assert_eq!(
        sent,
        format!(
            "HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Length: 5\r\n\
             request-id: {id}\r\nclient-request-id: mine-1\r\n\
             X-Content-Type-Options: nosniff\r\n\r\nhello"
        )
    );
    assert_eq!(id.len(), 36);
    assert_eq!(&id[14..15], "4", "{id}");
    let request = &client.world.requests[0];
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.target.path, "/hello");
    assert_eq!(request.target.query.as_deref(), Some("a=%20b"));
    assert_eq!(
        request.host.as_ref().unwrap().to_string(),
        "example.test:9002"
    );
    assert_eq!(
        request.authorization.as_ref().unwrap().reveal(),
        "Bearer abc"
    );
    assert_eq!(request.field("authorization"), None);
    assert_eq!(request.field("accept"), Some("*/*"));
    assert_eq!(request.field("x-empty"), Some(""));
    assert_eq!(request.content, Content::Absent);
    assert!(!format!("{request:?}").contains("abc"));
}

#[test]
fn connection_is_kept_for_more_requests() {
    let mut client = connect();
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let read = ask(&mut client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(read.body, "hello");
            read.field("request-id").unwrap().to_owned()
        })
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn connection_ends_when_the_client_says_so() {
    let mut client = connect();
    let read = ask(
        &mut client,
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, Close\r\n\r\n",
    );
    assert!(read.closes());
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn http_1_0_gets_one_response_and_no_chunks() {
    for request in [
        "GET /stream?50 HTTP/1.0\r\n\r\n",
        "GET /stream?50 HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n",
    ] {
        let mut client = connect();
        let read = ask(&mut client, request);
        assert_eq!(read.body.len(), 50);
        assert_eq!(read.field("transfer-encoding"), None);
        assert_eq!(read.field("content-length"), None);
        assert_eq!(client.closed, Some(Close::Flush));
    }
}

#[test]
fn ill_formed_client_request_ids_are_replaced() {
    for id in ["a b", "a;b", "", "\"x\"", &"a".repeat(129)] {
        let mut client = connect();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nclient-request-id: {id}\r\n\r\n");
        let read = ask(&mut client, &request);
        assert_eq!(
            read.field("client-request-id"),
            read.field("request-id"),
            "{id:?}"
        );
    }
    let longest = "a".repeat(128);
    let mut client = connect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nclient-request-id: {longest}\r\n\r\n");
    let read = ask(&mut client, &request);
    assert_eq!(read.field("client-request-id"), Some(longest.as_str()));
}

#[test]
fn head_has_the_header_of_get_and_no_body() {
    let mut client = connect();
    for (target, length) in [("/hello", Some("5")), ("/file?70000", Some("70000"))] {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let read = ask(&mut client, &request);
        assert_eq!(read.field("content-length"), length);
    }
    ask(&mut client, "HEAD /stream?9 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.world.calls.contains(&"Read"));
    assert_eq!(client.world.open_sources(), 0);
}

#[test]
fn options_reach_the_world_also_for_the_server_as_a_whole() {
    let mut client = connect();
    for target in ["*", "/hello", "http://a/x"] {
        ask(
            &mut client,
            &format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
    }
    let paths = client
        .world
        .requests
        .iter()
        .map(|request| request.target.path.as_str());
    assert_eq!(paths.collect::<Vec<_>>(), ["*", "/hello", "/x"]);
    assert_eq!(client.world.requests[0].method, Method::Options);
}

#[test]
fn host_of_an_absolute_target_counts() {
    let mut client = connect();
    for (target, host, path, query) in [
        ("http://B.example/x?y", "b.example", "/x", Some("y")),
        ("HTTPS://b.example:9003", "b.example:9003", "/", None),
        ("http://b.example?y", "b.example", "/", Some("y")),
    ] {
        ask(
            &mut client,
            &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        let request = client.world.requests.last().unwrap();
        assert_eq!(request.host.as_ref().unwrap().to_string(), host);
        assert_eq!(request.target.path, path);
        assert_eq!(request.target.query.as_deref(), query);
    }
}

#[test]
fn queries_may_hold_what_clients_send_raw() {
    let mut client = connect();
    let query = "$search=\"a:'b'\"&$filter=x(a,b)&c={}|^`<>[]\\";
    ask(
        &mut client,
        &format!("GET /hello?{query} HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    let target = &client.world.requests[0].target;
    assert_eq!(target.query.as_deref(), Some(query));
}

#[test]
fn two_authorizations_are_none() {
    let mut client = connect();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: a\r\n\r\n";
    ask(&mut client, request);
    assert!(client.world.requests[0].authorization.is_none());
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let mut client = connect();
    client.world.hold = Some("Request");
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let first = request("/hello");
    let wire = first.clone() + &request("/bytes?3");
    assert_eq!(client.offer(wire.as_bytes()), first.len());
    assert_eq!(client.world.requests.len(), 1);

    let mut client = connect();
    client.send(wire.as_bytes());
    let sent = client.take_sent();
    let mut rest = sent.as_str();
    assert_eq!(read_response(&mut rest, Method::Get, false).body, "hello");
    assert_eq!(read_response(&mut rest, Method::Get, false).body, "abc");
    assert_eq!(rest, "");
}

#[test]
fn errors_are_told_in_the_shape_of_the_family() {
    let mut client = connect();
    let read = ask(&mut client, "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    assert_eq!(read.status, 400);
    assert_eq!(
        read.body,
        r#"{"error":"Exactly one valid Host field is required"}"#
    );
    assert_eq!(
        read.field("content-type"),
        Some("application/json; charset=utf-8")
    );
    for target in ["/v1.0/me", "/V1.0", "/beta?x"] {
        let mut client = connect();
        let read = ask(&mut client, &format!("GET {target} HTTP/1.1\r\n\r\n"));
        let id = read.field("request-id").unwrap();
        let expected = format!(
            "{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"Exactly one valid Host field is \
             required\",\"innerError\":{{\"date\":\"2023-11-14T22:13:20\",\
             \"request-id\":\"{id}\",\"client-request-id\":\"{id}\"}}}}}}"
        );
        assert_eq!(read.body, expected, "{target}");
    }
    let mut client = connect();
    let read = ask(&mut client, "GET /v1.0x HTTP/1.1\r\n\r\n");
    assert!(read.body.starts_with(r#"{"error":""#));
}

#[test]
fn content_is_announced_to_the_world() {
    for (field, content) in [
        ("", Content::Absent),
        ("Content-Length: 0\r\n", Content::Length(0)),
        ("Content-Length: 000\r\n", Content::Length(0)),
        (
            "Content-Length: 18446744073709551615\r\n",
            Content::Length(u64::MAX),
        ),
        ("Transfer-Encoding: ChunKed\r\n", Content::Chunked),
    ] {
        let mut client = connect();
        client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\n{field}\r\n").as_bytes());
        assert_eq!(last_content(&client), Some(content), "{field}");
    }
}

#[test]
fn what_is_too_long_is_told_and_ends_the_connection() {
    let long = "a".repeat(17_000);
    let fields = "X: y\r\n".repeat(100);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /{long}"), 414),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\nY: {long}\r\n\r\n"),
            431,
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431),
    ] {
        let mut client = connect();
        let read = ask(&mut client, &request);
        assert!(read.status == status && read.closes());
        assert!(client.world.calls.is_empty());
    }
}

#[test]
fn error_of_a_head_request_has_no_body() {
    let mut client = connect();
    client.send(b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(client.take_sent().ends_with("\r\n\r\n"));
}

#[test]
fn operators_bounds_hold() {
    let bounds = Bounds {
        target_bytes: 10,
        head_bytes: 100,
        fields: 2,
        ..Bounds::default()
    };
    let (long, field) = ("a".repeat(43), "X: y\r\n");
    for (request, status) in [
        ("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}{long}\r\n\r\n"),
            431,
        ),
        (
            format!("GET /hello HTTP/1.1\r\nHost: a\r\n{field}\r\n"),
            200,
        ),
        (
            format!("GET /hello HTTP/1.1\r\nHost: a\r\n{field}{field}\r\n"),
            431,
        ),
    ] {
        let mut client: Client = Session::new(Memory::default(), |now: Now| {
            let config = config(Tls::Absent);
            Server::new(Config { bounds, ..config }, now)
        });
        assert_eq!(ask(&mut client, &request).status, status, "{request}");
    }
}

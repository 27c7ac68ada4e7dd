//! A model client: whatever it pipelines, it gets each response exactly once, in order.

use proptest::{collection::vec, prelude::*};
use rmail_proto::http::Method;

use crate::world::{UPLOAD_BYTES_MAX, connect, letters, read_response};

#[derive(Clone, Copy, Debug)]
enum Framing {
    Absent,
    Length,
    /// In chunks of so many bytes.
    Chunked(usize),
}

#[derive(Clone, Debug)]
struct Exchange {
    method: Method,
    path: &'static str,
    number: usize,
    framing: Framing,
    content_bytes: usize,
    asks_to_close: bool,
}

impl Exchange {
    fn content(&self) -> Vec<u8> {
        match self.framing {
            Framing::Absent => Vec::new(),
            Framing::Length | Framing::Chunked(_) => letters(0, self.content_bytes).to_vec(),
        }
    }

    fn write(&self, index: usize, wire: &mut Vec<u8>) {
        let (method, path, number) = (self.method.as_str(), self.path, self.number);
        let content = self.content();
        let mut head = format!("{method} {path}?{number} HTTP/1.1\r\nHost: a\r\n");
        head += &format!("client-request-id: r{index}\r\n");
        if self.asks_to_close {
            head += "Connection: close\r\n";
        }
        match self.framing {
            Framing::Absent => {}
            Framing::Length => head += &format!("Content-Length: {}\r\n", content.len()),
            Framing::Chunked(_) => head += "Transfer-Encoding: chunked\r\n",
        }
        wire.extend_from_slice(head.as_bytes());
        wire.extend_from_slice(b"\r\n");
        let Framing::Chunked(chunk_bytes) = self.framing else {
            return wire.extend_from_slice(&content);
        };
        for chunk in content.chunks(chunk_bytes) {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
    }

    /// The status and the body that must come.
    fn expected(&self) -> (u16, Vec<u8>) {
        let (status, body) = match self.path {
            "/hello" => (200, b"hello".to_vec()),
            "/bytes" | "/file" | "/stream" => (200, letters(0, self.number).to_vec()),
            // Of an empty body nothing is read.
            "/gone" if self.number == 0 => (200, Vec::new()),
            "/gone" => (404, b"gone".to_vec()),
            "/no-content" => (204, Vec::new()),
            "/upload" if self.content().len() as u64 > UPLOAD_BYTES_MAX => {
                (413, b"too large".to_vec())
            }
            "/upload" => (201, self.content().len().to_string().into_bytes()),
            _ => (404, b"no such path".to_vec()),
        };
        match self.method {
            Method::Head if self.path == "/gone" => (200, Vec::new()),
            Method::Head => (status, Vec::new()),
            Method::Get
            | Method::Post
            | Method::Put
            | Method::Patch
            | Method::Delete
            | Method::Options
            | Method::Trace
            | Method::Query => (status, body),
        }
    }
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let path = prop_oneof![
        Just("/hello"),
        Just("/bytes"),
        Just("/file"),
        Just("/stream"),
        Just("/gone"),
        Just("/no-content"),
        Just("/upload"),
        Just("/upload"),
        Just("/nowhere"),
    ];
    let number = prop_oneof![0usize..100, 0usize..150_000];
    let framing = prop_oneof![
        Just(Framing::Absent),
        Just(Framing::Length),
        (1usize..9_000).prop_map(Framing::Chunked),
    ];
    let content_bytes = prop_oneof![4 => 0usize..300, 2 => 0usize..70_000, 1 => 0usize..310_000];
    let method = proptest::sample::select(Method::ALL.to_vec());
    let asks_to_close = prop_oneof![9 => Just(false), 1 => Just(true)];
    (method, path, number, framing, content_bytes, asks_to_close).prop_map(
        |(method, path, number, framing, content_bytes, asks_to_close)| Exchange {
            method,
            path,
            number,
            framing,
            content_bytes,
            asks_to_close,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_response_comes_exactly_once_and_in_order(
        exchanges in vec(exchange(), 1..12),
        pieces in vec(1usize..20_000, 1..5),
    ) {
        let mut wire = Vec::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            exchange.write(index, &mut wire);
        }
        let mut client = connect();
        let (mut rest, mut pieces) = (wire.as_slice(), pieces.iter().cycle());
        while !rest.is_empty() && client.closed.is_none() {
            let (piece, behind) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            client.send(piece);
            rest = behind;
        }
        let sent = client.take_sent();
        let mut sent = sent.as_str();
        let mut contents = Vec::new();
        let mut answered = 0;
        while !sent.is_empty() {
            let exchange = &exchanges[answered];
            let read = read_response(&mut sent, exchange.method, client.closed.is_some());
            let id = format!("r{answered}");
            prop_assert_eq!(read.field("client-request-id"), Some(id.as_str()));
            let (status, body) = exchange.expected();
            prop_assert_eq!((read.status, read.body.as_bytes()), (status, body.as_slice()));
            if status == 201 {
                contents.push(exchange.content());
            }
            answered += 1;
            prop_assert_eq!(read.closes(), sent.is_empty() && client.closed.is_some());
        }
        prop_assert!(answered == exchanges.len() || client.closed.is_some());
        prop_assert_eq!(client.world.requests.len(), answered);
        prop_assert!(client.world.contents == contents);
        prop_assert_eq!(client.world.open_uploads() + client.world.open_sources(), 0);
    }
}

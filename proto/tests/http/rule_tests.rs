//! The five rules of a connection.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Now,
    http::{Accept, Body, Call, Content, Reply, Response, Server, SourceId, Status, Tls},
    limits,
};

use super::world::{self, letters, text};
use crate::rules::Subject;

/// What a server with this set-up is put through.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) tls: Tls,
    pub(crate) seed: u64,
}

/// How much can be read of a source whose length is not told.
const STREAM_BYTES: u64 = 150_000;

impl Http {
    fn respond(number: u64) -> Reply {
        let source = SourceId(1);
        let body = match number % 6 {
            0 => Body::Empty,
            1 => Body::Bytes(Bytes::from_static(b"hello")),
            2 => Body::Bytes(letters(0, 400_000)),
            3 => Body::Source {
                source,
                length: Some(200_000),
            },
            4 => Body::Source {
                source,
                length: Some(0),
            },
            _ => Body::Source {
                source,
                length: None,
            },
        };
        let status = [Status::OK, Status::NO_CONTENT, Status::NOT_FOUND][number as usize % 3];
        Reply::Respond(Box::new(Response::new(status).with_body(body)))
    }

    fn accept(bytes_max: u64) -> Reply {
        let too_large = Box::new(text(Status::CONTENT_TOO_LARGE, "too large"));
        Reply::Accept(Accept {
            bytes_max,
            too_large,
        })
    }
}

impl Subject for Http {
    type Machine = Server;

    // Two cancels, discard, head, four pieces of a body, release, close.
    const ACTIONS_MAX: usize = 10;

    // A piece of a body is not worth less.
    const BLOCKING_BYTES: usize = limits::SEND_CREDIT_BYTES - limits::SEND_PIECE_BYTES;

    fn machine(&self, now: Now) -> Server {
        let config = world::config(self.tls);
        let seed = self.seed;
        Server::new(rmail_proto::http::Config { seed, ..config }, now)
    }

    fn starts_with_tls(&self) -> bool {
        self.tls == Tls::Implicit
    }

    fn is_awaited(&self, call: &Call) -> bool {
        !matches!(call, Call::Discard { .. } | Call::Release { .. })
    }

    fn reply(&self, call: &Call, choice: u8) -> Reply {
        match (choice % 8, call) {
            (0, Call::Request(request)) => match request.content {
                Content::Absent => Self::respond(request.target.path.len() as u64),
                Content::Length(_) | Content::Chunked => Self::accept(250_000),
            },
            (0, Call::Chunk { last: false, .. }) => Reply::ChunkTaken,
            (0, Call::Read { offset, length, .. }) => {
                let left = STREAM_BYTES.max(200_000).saturating_sub(*offset) as usize;
                Reply::Piece(letters(*offset, left.min(*length)))
            }
            (0, Call::Chunk { .. } | Call::Discard { .. } | Call::Release { .. }) => {
                Self::respond(1)
            }
            (1, _) => Self::accept(1_000),
            (2, _) => Reply::ChunkTaken,
            (3, _) => Reply::Piece(Bytes::new()),
            (4, _) => Reply::Piece(letters(0, 100_000)),
            // Whose own answer would be the same, without an end, if it had a source.
            (_, Call::Read { .. }) => Self::respond(u64::from(choice % 3)),
            (_, _) => Self::respond(u64::from(choice)),
        }
    }
}

fn subjects() -> impl Strategy<Value = Http> {
    let tls = prop_oneof![3 => Just(Tls::Absent), 1 => Just(Tls::Implicit)];
    (tls, any::<u64>()).prop_map(|(tls, seed)| Http { tls, seed })
}

/// A request with content, sometimes cut short.
fn with_content() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0usize..200, 0usize..260_000];
    let expects = prop_oneof![4 => Just(""), 1 => Just("Expect: 100-continue\r\n")];
    (
        any::<bool>(),
        expects,
        size,
        1usize..9_000,
        0usize..100,
        any::<usize>(),
    )
        .prop_map(|(is_chunked, expects, size, chunk_bytes, chance, cut)| {
            let content = letters(0, size);
            let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\n{expects}");
            let mut wire = head.into_bytes();
            if is_chunked {
                wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in content.chunks(chunk_bytes) {
                    wire.extend_from_slice(format!("{:x};e\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
            } else {
                wire.extend_from_slice(format!("Content-Length: {size}\r\n\r\n").as_bytes());
                wire.extend_from_slice(&content);
            }
            if chance < 10 {
                wire.truncate(cut % (wire.len() + 1));
            }
            wire
        })
}

/// Input that gets somewhere, most of the time.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let without_content = (
        prop_oneof![4 => Just("GET"), 1 => Just("HEAD"), 1 => Just("OPTIONS")],
        0usize..8,
        prop_oneof![
            8 => Just(""), 1 => Just("Connection: close\r\n"), 1 => Just("Host: b\r\n"),
            1 => Just("X : y\r\n"),
        ],
        prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/2.0")],
    )
        .prop_map(|(method, length, field, version)| {
            let path = "p".repeat(length);
            format!("{method} /{path} {version}\r\nHost: a\r\n{field}\r\n").into_bytes()
        });
    prop_oneof![
        8 => without_content,
        6 => with_content(),
        1 => Just(b"\r\n".to_vec()),
        1 => (0usize..40_000).prop_map(|bytes| b"GET /".repeat(bytes / 5)),
        1 => (0usize..150).prop_map(|count| b"A: b\r\n".repeat(count)),
        1 => vec(any::<u8>(), 0..64),
        1 => "[GET /1.\r\n:0a-f]{0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn machine_keeps_the_rules(subject in subjects(), steps in crate::rules::steps(input())) {
        crate::rules::check_rules(&subject, &steps);
    }

    #[test]
    fn splitting_changes_nothing(
        subject in subjects(),
        input in vec(input(), 0..12),
        pieces in vec(1usize..5000, 1..6),
        choices in vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 0..8),
    ) {
        crate::rules::check_splitting(&subject, &input.concat(), &pieces, &choices);
    }
}

//! A small world for transcripts: a few paths, and a memory of all that was asked.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rmail_proto::{
    Now, UploadId,
    http::{
        Accept, Body, Bounds, Call, Config, Content, FieldName, FieldValue, Method, Reply, Request,
        Response, Server, SourceId, Status, Tls,
    },
    limits,
};

use crate::transcript::{Session, World};

pub(crate) const CONTENT_TYPE: FieldName = FieldName::new("Content-Type");
pub(crate) const LOCATION: FieldName = FieldName::new("Location");
pub(crate) const NOSNIFF: FieldName = FieldName::new("X-Content-Type-Options");

/// Most content that `/upload` takes.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 300_000;

/// Answers every call at once, unless a test asks it to hold back.
///
/// | path | answer |
/// |---|---|
/// | `/hello` | 200, `hello` |
/// | `/bytes?n` | 200, n bytes at once |
/// | `/file?n`, `/stream?n` | 200, n bytes to be read, whose number is known or not |
/// | `/broken?n` | 200, n bytes are promised and half of them can be read |
/// | `/gone` | 404, where a source was promised first |
/// | `/no-content` | 204, though with a body |
/// | `/accepted` | 202 |
/// | `/fields?n` | 200, as many and long fields as there can be, n bytes |
/// | `/upload` | takes the content: 201, its number of bytes |
/// | `/picky` | takes one piece of content: 507 |
/// | others | 404, content not wanted |
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) requests: Vec<Request>,
    /// Names of all calls, in order.
    pub(crate) calls: Vec<&'static str>,
    /// The call with this name is not answered.
    pub(crate) hold: Option<&'static str>,
    /// Contents that came in whole.
    pub(crate) contents: Vec<Vec<u8>>,
    /// The most that was asked of a source at once.
    pub(crate) largest_read_bytes: usize,
    pub(crate) largest_piece_bytes: usize,
    uploads: BTreeMap<UploadId, Vec<u8>>,
    sources: BTreeMap<SourceId, Source>,
    released: BTreeSet<SourceId>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    /// What can be read.
    length: u64,
    is_gone: bool,
}

impl Memory {
    /// Uploads that were begun and neither finished nor discarded.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Sources that were given and not released.
    pub(crate) fn open_sources(&self) -> usize {
        self.sources.len()
    }

    fn handle_request(&mut self, request: &Request) -> Reply {
        let number = request.target.query.as_deref().unwrap_or_default();
        let number: u64 = number.parse().unwrap_or_default();
        let body = match request.target.path.as_str() {
            "/hello" => Body::Bytes(Bytes::from_static(b"hello")),
            "/bytes" => Body::Bytes(letters(0, number as usize)),
            "/file" => self.source(number, Some(number)),
            "/stream" => self.source(number, None),
            "/broken" => self.source(number / 2, Some(number)),
            "/gone" => {
                let source = SourceId(1_000 + self.requests.len() as u64);
                let is_gone = true;
                self.sources.insert(source, Source { length: 0, is_gone });
                let length = Some(number);
                Body::Source { source, length }
            }
            "/no-content" => return respond(Status::NO_CONTENT, Body::Bytes("x".into())),
            "/fields" => {
                let value = FieldValue::parse("v".repeat(limits::HTTP_FIELD_VALUE_BYTES)).unwrap();
                let response = (0..limits::HTTP_RESPONSE_FIELDS_MAX)
                    .fold(Response::new(Status::OK), |response, _| {
                        response.with(LOCATION, value.clone())
                    });
                let body = Body::Bytes(letters(0, number as usize));
                return Reply::Respond(Box::new(response.with_body(body)));
            }
            "/accepted" => return respond(Status::ACCEPTED, Body::Empty),
            "/upload" | "/picky" => {
                return Reply::Accept(Accept {
                    bytes_max: UPLOAD_BYTES_MAX,
                    too_large: Box::new(text(Status::CONTENT_TOO_LARGE, "too large")),
                });
            }
            _ => return Reply::Respond(Box::new(text(Status::NOT_FOUND, "no such path"))),
        };
        respond(Status::OK, body)
    }

    fn source(&mut self, readable: u64, length: Option<u64>) -> Body {
        let source = SourceId(self.requests.len() as u64);
        let entry = Source {
            length: readable,
            is_gone: false,
        };
        self.sources.insert(source, entry);
        Body::Source { source, length }
    }

    fn handle_chunk(&mut self, upload: UploadId, data: &Bytes, last: bool) -> Reply {
        self.largest_piece_bytes = self.largest_piece_bytes.max(data.len());
        let content = self.uploads.entry(upload).or_default();
        content.extend_from_slice(data);
        let path = self
            .requests
            .last()
            .map(|request| request.target.path.as_str());
        if path == Some("/picky") {
            if last {
                self.uploads.remove(&upload);
            }
            return Reply::Respond(Box::new(text(Status::INSUFFICIENT_STORAGE, "full")));
        }
        if !last {
            return Reply::ChunkTaken;
        }
        let content = self.uploads.remove(&upload).unwrap_or_default();
        let answer = text(Status::CREATED, &content.len().to_string());
        self.contents.push(content);
        Reply::Respond(Box::new(
            answer.with(LOCATION, FieldValue::from_static("/x")),
        ))
    }

    fn handle_read(&mut self, source: SourceId, offset: u64, length: usize) -> Reply {
        self.largest_read_bytes = self.largest_read_bytes.max(length);
        let found = self.sources[&source];
        if found.is_gone {
            return Reply::Respond(Box::new(text(Status::NOT_FOUND, "gone")));
        }
        let left = found.length.saturating_sub(offset) as usize;
        Reply::Piece(letters(offset, left.min(length)))
    }
}

impl World<Server> for Memory {
    fn answer(&mut self, call: Call) -> Option<Reply> {
        let name = name(&call);
        self.calls.push(name);
        let reply = match call {
            Call::Request(request) => {
                let request = *request;
                self.requests.push(request.clone());
                self.handle_request(&request)
            }
            Call::Chunk { upload, data, last } => self.handle_chunk(upload, &data, last),
            Call::Read {
                source,
                offset,
                length,
            } => self.handle_read(source, offset, length),
            Call::Discard { upload } => {
                assert!(self.uploads.remove(&upload).is_some(), "nothing to discard");
                Reply::ChunkTaken
            }
            Call::Release { source } => {
                assert!(self.sources.remove(&source).is_some(), "nothing to release");
                assert!(self.released.insert(source), "released twice");
                Reply::ChunkTaken
            }
        };
        (self.hold != Some(name)).then_some(reply)
    }
}

fn respond(status: Status, body: Body) -> Reply {
    Reply::Respond(Box::new(Response::new(status).with_body(body)))
}

/// A response with a text.
pub(crate) fn text(status: Status, text: &str) -> Response {
    Response::new(status)
        .with(CONTENT_TYPE, FieldValue::from_static("text/plain"))
        .with_body(Body::Bytes(Bytes::from(text.to_owned())))
}

/// What every body here is made of, from this offset on.
pub(crate) fn letters(offset: u64, length: usize) -> Bytes {
    let letter = |index: u64| b'a' + (index % 26) as u8;
    (offset..offset + length as u64).map(letter).collect()
}

pub(crate) fn name(call: &Call) -> &'static str {
    match call {
        Call::Request(_) => "Request",
        Call::Chunk { last: false, .. } => "Chunk",
        Call::Chunk { last: true, .. } => "LastChunk",
        Call::Discard { .. } => "Discard",
        Call::Read { .. } => "Read",
        Call::Release { .. } => "Release",
    }
}

pub(crate) fn config(tls: Tls) -> Config {
    Config {
        tls,
        bounds: Bounds::default(),
        fields: vec![(NOSNIFF, FieldValue::from_static("nosniff"))],
        object_error_segments: &["v1.0", "beta"],
        seed: 7,
    }
}

pub(crate) type Client = Session<Server, Memory>;

pub(crate) fn connect() -> Client {
    Session::new(Memory::default(), |now: Now| {
        Server::new(config(Tls::Absent), now)
    })
}

/// A response as a client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Read {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Read {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|field| field.0 == name);
        let found = fields.next().map(|field| field.1.as_str());
        assert!(fields.next().is_none(), "{name} twice");
        found
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Reads one response off what was sent, strictly; `ended`: whether the connection has.
pub(crate) fn read_response(sent: &mut &str, method: Method, ended: bool) -> Read {
    let (head, mut rest) = sent.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .expect("a status line");
    assert_eq!(status.as_bytes()[3], b' ', "{status_line}");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a field");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let mut read = Read {
        status: status[..3].parse().unwrap(),
        fields: fields.collect(),
        body: String::new(),
    };
    let length = read
        .field("content-length")
        .map(|length| length.parse::<usize>().unwrap());
    let is_chunked = read.field("transfer-encoding") == Some("chunked");
    assert!(length.is_none() || !is_chunked, "{head}");
    if method == Method::Head || [204, 304].contains(&read.status) || read.status < 200 {
        assert!(
            read.status != 204 || (length.is_none() && !is_chunked),
            "{head}"
        );
    } else if is_chunked {
        loop {
            let (size, behind) = rest.split_once("\r\n").expect("a chunk");
            let size = usize::from_str_radix(size, 16).unwrap();
            read.body += &behind[..size];
            rest = behind[size..]
                .strip_prefix("\r\n")
                .expect("the end of a chunk");
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        read.body = rest[..length].to_owned();
        rest = &rest[length..];
    } else {
        assert!(ended && read.closes(), "the end of {head} is not known");
        read.body = std::mem::take(&mut rest).to_owned();
    }
    *sent = rest;
    read
}

/// The only response that was sent.
pub(crate) fn only_response(client: &mut Client, method: Method) -> Read {
    let sent = client.take_sent();
    let mut rest = sent.as_str();
    let read = read_response(&mut rest, method, client.closed.is_some());
    assert_eq!(rest, "", "sent after the response");
    assert_eq!(
        read.closes(),
        client.closed.is_some(),
        "Connection: close is told"
    );
    read
}

/// Sends one request and reads its response.
pub(crate) fn ask(client: &mut Client, request: &str) -> Read {
    client.send(request.as_bytes());
    let name = request.split(' ').next().unwrap_or_default();
    only_response(client, Method::parse(name).unwrap_or(Method::Get))
}

/// The content that the world was told of.
pub(crate) fn last_content(client: &Client) -> Option<Content> {
    client.world.requests.last().map(|request| request.content)
}

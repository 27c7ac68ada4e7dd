//! Mail data: its end, its header, and the fields that are put in front of it.

use std::net::IpAddr;

use rmail_proto::mime::{Fields, parse_date};

use super::{
    command::{Command, parse_command},
    dot::{DotDecoder, NewlineCheck},
    from::parse_from,
    header::HeaderFilter,
    trace::{Trace, With, write_id, write_trace},
};
use crate::{
    Address, DateTime, Domain, Entropy, ForwardPath, ReversePath, TlsInfo, UnixTime, limits,
    plan::Plan,
};

/// Longest line in bytes, without its CRLF (RFC 5322 §2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// Content, whether it is broken, and how many bytes were taken up to the end, if there is one.
fn decode(wire: &[u8], piece_bytes: usize) -> (Vec<u8>, bool, Option<usize>) {
    let mut decoder = DotDecoder::new();
    let mut content = Vec::new();
    let mut taken = 0;
    for piece in wire.chunks(piece_bytes) {
        let (consumed, ended) = decoder.decode(piece, |run| content.extend_from_slice(run));
        taken += consumed;
        if ended {
            return (content, decoder.is_broken(), Some(taken));
        }
        assert_eq!(consumed, piece.len());
    }
    (content, decoder.is_broken(), None)
}

/// Mail data ends at CRLF.CRLF and nowhere else, however it is split; what a client writes comes
/// back; DATA and BDAT agree on what a broken line end is.
pub(crate) fn dot(input: &[u8]) {
    let mut plan = Plan(input);
    let piece_bytes = usize::from(plan.byte()).max(1);
    let wire = plan.0;
    let (content, broken, end) = decode(wire, wire.len().max(1));
    let framed = [b"\r\n", wire].concat();
    let expected = framed.windows(5).position(|window| window == b"\r\n.\r\n");
    assert_eq!(end, expected.map(|index| index + 3));
    let in_pieces = decode(wire, piece_bytes);
    assert_eq!((in_pieces.1, in_pieces.2), (broken, end));
    if !broken {
        assert_eq!(in_pieces.0, content);
    }

    let mut check = NewlineCheck::default();
    let clean = check.is_clean(wire) && check.is_closed();
    if !clean {
        return;
    }
    let mut stuffed = Vec::new();
    let mut lines: Vec<u8> = wire.to_vec();
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        lines.extend_from_slice(b"\r\n");
    }
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    let length = stuffed.len();
    assert_eq!(decode(&stuffed, piece_bytes), (lines, false, Some(length)));
}

/// What becomes of content whose header is looked at.
fn filter(content: &[u8], piece_bytes: usize) -> (Vec<u8>, HeaderFilter) {
    let hostname = Domain::parse("mx.example").expect("it is one");
    let mut filter = HeaderFilter::new("id", &hostname, UnixTime(0));
    let mut out = Vec::new();
    let mut take = |run: &[u8]| out.extend_from_slice(run);
    for piece in content.chunks(piece_bytes) {
        filter.handle_content(piece, &mut take);
    }
    filter.finish(&mut take);
    (out, filter)
}

/// Splitting changes nothing; at most so many bytes are added; and another reader of the header
/// that comes out finds a Date, a Message-ID, no Return-Path, and the same From.
pub(crate) fn header(input: &[u8]) {
    let mut plan = Plan(input);
    let piece_bytes = usize::from(plan.byte()).max(1);
    let mut content = Vec::new();
    for &byte in plan.0.iter().filter(|&&byte| byte != b'\r') {
        if byte == b'\n' {
            content.push(b'\r');
        }
        content.push(byte);
    }
    if content.last().is_some_and(|&byte| byte != b'\n') {
        content.extend_from_slice(b"\r\n");
    }
    let (out, whole) = filter(&content, content.len().max(1));
    let (in_pieces, again) = filter(&content, piece_bytes);
    assert_eq!(in_pieces, out);
    assert_eq!(again.is_malformed(), whole.is_malformed());
    assert!(out.len() <= content.len() + limits::SMTP_HEADER_ADDED_BYTES);

    let mut named: [usize; 3] = [0; 3];
    let mut from: Option<Vec<Address>> = Some(Vec::new());
    for field in Fields::new(&out) {
        for (name, count) in ["Date", "Message-ID", "Return-Path"].iter().zip(&mut named) {
            *count += usize::from(field.name.eq_ignore_ascii_case(name.as_bytes()));
        }
        if field.name.eq_ignore_ascii_case(b"From") {
            let more = parse_from(field.value).ok();
            from = from.zip(more).map(|(all, more)| [all, more].concat());
        }
    }
    assert!(named[0] > 0 && named[1] > 0 && named[2] == 0, "{named:?}");
    if !whole.is_malformed() {
        assert_eq!(Some(whole.into_addresses()), from);
    }
}

/// Whatever a client may say of itself, the fields in front of its message are two, in short
/// lines, and end in the date.
pub(crate) fn trace(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = plan.byte();
    let now = UnixTime(plan.number().into());
    let Ok(text) = std::str::from_utf8(plan.0) else {
        return;
    };
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default();
    let line = format!("EHLO {}", part());
    let Ok(Command::Ehlo { name }) = parse_command(&line) else {
        return;
    };
    let Ok(peer) = part().parse::<IpAddr>() else {
        return;
    };
    let Ok(hostname) = Domain::parse(part()) else {
        return;
    };
    let reverse_path = Address::parse(part());
    let reverse_path = reverse_path.map_or(ReversePath::Null, ReversePath::Address);
    let recipient = Address::parse(part());
    let recipient = recipient.map_or(ForwardPath::Postmaster, ForwardPath::Address);
    let tls = TlsInfo {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        server_name: None,
    };
    let id = write_id(&mut Entropy::new(7), now);
    let written = write_trace(&Trace {
        reverse_path: &reverse_path,
        name,
        peer,
        tls: (kind & 1 > 0).then_some(&tls),
        hostname: &hostname,
        with: With {
            extended: kind & 2 > 0,
            utf8: kind & 4 > 0,
            tls: kind & 1 > 0,
            authenticated: kind & 8 > 0,
        },
        id: &id,
        recipient: (kind & 16 > 0).then_some(&recipient),
        date: now,
    });
    for line in written.split_inclusive("\r\n") {
        let line = line.strip_suffix("\r\n").expect("every line has its end");
        assert!(line.len() <= LINE_BYTES_MAX);
        assert!(!line.contains(|c: char| c != '\t' && c.is_control()));
    }
    let fields: Vec<_> = Fields::new(written.as_bytes()).collect();
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    assert_eq!(names, [&b"Return-Path"[..], b"Received"]);
    let date = fields[1].value.rsplit(|&byte| byte == b';').next();
    assert_eq!(date.and_then(parse_date), Some(DateTime::utc(now)));
}

//! Conversion of 8-bit messages to 7-bit ones, with mail-parser as the reader.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    limits,
    mime::{Converter, Parts, Scanner, Survey, Unconvertible},
};

fn parts(message: &[u8]) -> Parts {
    let mut scanner = Scanner::new();
    scanner.handle_input(message);
    Parts::decode(&scanner.finish().parts).unwrap()
}

/// The message in pieces of these lengths, again and again.
fn split<'a>(message: &'a [u8], pieces: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = message;
    let mut pieces = pieces.iter().copied().cycle();
    std::iter::from_fn(move || {
        let length = pieces.next().unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn convert_in_pieces(message: &[u8], pieces: &[usize]) -> Result<Vec<u8>, Unconvertible> {
    let mut survey = Survey::new(&parts(message));
    for piece in split(message, pieces) {
        survey.handle_input(piece);
    }
    let plan = survey.finish().plan?;
    let announced_bytes = plan.size_bytes();
    let is_unchanged = plan.is_unchanged();
    let mut converter = Converter::new(plan);
    let mut converted = Vec::new();
    for piece in split(message, pieces) {
        converted.extend(converter.handle_input(piece));
    }
    converted.extend(converter.finish());
    assert!(!is_unchanged || converted == message);
    assert!(converted.len() as u64 <= announced_bytes);
    Ok(converted)
}

fn convert(message: &str) -> Result<String, Unconvertible> {
    let converted = convert_in_pieces(message.as_bytes(), &[])?;
    Ok(String::from_utf8(converted).unwrap())
}

fn lines(lines: &[&str]) -> String {
    lines.join("\r\n") + "\r\n"
}

#[test]
fn mostly_ascii_text_becomes_quoted_printable() {
    let message = lines(&[
        "MIME-Version: 1.0",
        "content-transfer-encoding: 8bit",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "A caf\u{e9} and = and trailing space ",
    ]);
    let expected = lines(&[
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "A caf=C3=A9 and =3D and trailing space=20",
    ]);
    assert_eq!(convert(&message), Ok(expected));
}

#[test]
fn other_content_becomes_base64_and_its_multipart_says_7bit() {
    let message = lines(&[
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Transfer-Encoding: 8bit",
        "",
        "--b",
        "",
        "plain",
        "--b",
        "Content-Type: application/octet-stream",
        "Content-Transfer-Encoding: binary",
        "",
        "\u{e9}\u{e9}",
        "--b--",
    ]);
    let expected = lines(&[
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Transfer-Encoding: 7bit",
        "",
        "--b",
        "",
        "plain",
        "--b",
        "Content-Type: application/octet-stream",
        "Content-Transfer-Encoding: base64",
        "",
        "w6nDqQ==",
        "--b--",
    ]);
    assert_eq!(convert(&message), Ok(expected));
}

#[test]
fn message_that_is_no_mime_becomes_one() {
    let message = lines(&["Subject: x", "", "a long line of text with a caf\u{e9}"]);
    let expected = lines(&[
        "Subject: x",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=unknown-8bit",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "a long line of text with a caf=C3=A9",
    ]);
    assert_eq!(convert(&message), Ok(expected));
}

#[test]
fn seven_bit_message_is_unchanged() {
    let message = lines(&["Subject: x", "MIME-Version: 1.0", "", "text"]);
    assert_eq!(convert(&message), Ok(message));
}

#[test]
fn what_must_not_be_changed_is_not_converted() {
    let multipart = |kind: &str, header: &str, body: &str| {
        lines(&[
            "MIME-Version: 1.0",
            &format!("Content-Type: multipart/{kind}; boundary=b"),
            "",
            "--b",
            header,
            "",
            body,
            "--b--",
        ])
    };
    let eight = "\u{e9}";
    for (message, why) in [
        (
            multipart("signed", "Content-Type: text/plain", eight),
            Unconvertible::Signed,
        ),
        (
            multipart("encrypted", "Content-Type: text/plain", eight),
            Unconvertible::Signed,
        ),
        (
            multipart("mixed", "Content-Transfer-Encoding: base64", eight),
            Unconvertible::Opaque,
        ),
        (
            multipart("mixed", "Content-Transfer-Encoding: x-own", eight),
            Unconvertible::Opaque,
        ),
        (
            multipart("mixed", "Content-Type: message/partial", eight),
            Unconvertible::Opaque,
        ),
        (
            multipart("mixed", "Subject: \u{e9}", "x"),
            Unconvertible::Header,
        ),
        (
            multipart("mixed", "X: y", "x") + eight,
            Unconvertible::Surroundings,
        ),
    ] {
        assert_eq!(convert(&message), Err(why), "{message}");
        assert!(!why.to_string().is_empty());
    }
    let signed = multipart("signed", "Content-Transfer-Encoding: 8bit", "only ASCII");
    assert_eq!(convert(&signed), Ok(signed), "nothing needs to be changed");
}

#[test]
fn longest_header_is_changed_and_no_longer_one() {
    let end = "\r\n\r\na long enough text \u{e9}\r\n";
    let header = |bytes: usize| format!("X: {}", "x".repeat(bytes - 7)) + end;
    assert!(convert(&header(limits::MIME_HEADER_BYTES)).is_ok());
    let too_long = convert(&header(limits::MIME_HEADER_BYTES + 1));
    assert_eq!(too_long, Err(Unconvertible::HeaderTooLong));
}

/// An entity with its header, nested to some depth.
fn entity() -> impl Strategy<Value = Vec<u8>> {
    let text = vec(
        prop_oneof![
            4 => Just("Some text, for the most part.\r\n".as_bytes().to_vec()),
            2 => Just("caf\u{e9} \u{442}\u{435}\u{43a}\u{441}\u{442} \r\n".as_bytes().to_vec()),
            1 => Just(b".\r\n".to_vec()),
            1 => Just(b"=\t\r\n".to_vec()),
            1 => Just(b"================ \r \r\n\n\x01".to_vec()),
            1 => "[a-z \u{e9}]{0,120}".prop_map(|line| (line + "\r\n").into_bytes()),
        ],
        0..8,
    );
    let types = prop_oneof![
        Just("Content-Type: text/plain; charset=utf-8\r\n"),
        Just("Content-Type: text/html; charset=\"utf-8\"\r\n"),
        Just("Content-Type: application/octet-stream; name=x\r\n"),
    ];
    let encodings = prop_oneof![
        Just(""),
        Just("Content-Transfer-Encoding: 8bit\r\n"),
        Just("Content-Transfer-Encoding:\r\n BINARY (really)\r\n"),
    ];
    let leaf = (types, encodings, text).prop_map(|(content_type, encoding, text)| {
        let header = format!("{content_type}{encoding}X-Other: y\r\n\r\n").into_bytes();
        [header, text.concat()].concat()
    });
    leaf.prop_recursive(3, 12, 4, |inner| {
        let multipart = (vec(inner.clone(), 1..4), any::<u32>(), any::<bool>());
        let multipart = multipart.prop_map(|(parts, boundary, labelled)| {
            let label = if labelled {
                "Content-Transfer-Encoding: 8bit\r\n"
            } else {
                ""
            };
            let boundary = format!("b{boundary}");
            let mut out = format!(
                "Content-Type: multipart/mixed; boundary={boundary}\r\n{label}\r\npreamble\r\n"
            );
            let mut out = std::mem::take(&mut out).into_bytes();
            for part in parts {
                out.extend(format!("--{boundary}\r\n").as_bytes());
                out.extend(part);
                out.extend(b"\r\n");
            }
            out.extend(format!("--{boundary}--\r\nepilogue\r\n").as_bytes());
            out
        });
        let message = inner.prop_map(|entity| {
            let header =
                b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n";
            [&header[..], &entity].concat()
        });
        prop_oneof![3 => multipart, 1 => message]
    })
}

/// All that a reader sees of a message: its parts, decoded, with their types.
fn seen(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    fn walk(message: &mail_parser::Message<'_>, seen: &mut Vec<(String, Vec<u8>)>) {
        for part in &message.parts {
            let kind = part.content_type().map(|it| {
                let subtype = it.subtype().unwrap_or_default();
                format!("{}/{subtype}", it.ctype())
            });
            let kind = kind.unwrap_or_default();
            match &part.body {
                PartType::Message(inner) => {
                    seen.push((kind, Vec::new()));
                    walk(inner, seen);
                }
                PartType::Multipart(children) => seen.push((kind, vec![children.len() as u8])),
                PartType::Text(_)
                | PartType::Html(_)
                | PartType::Binary(_)
                | PartType::InlineBinary(_) => seen.push((kind, part.contents().to_vec())),
            }
        }
    }
    let mut all = Vec::new();
    walk(&MessageParser::default().parse(message).unwrap(), &mut all);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn converted_message_is_seven_bit_and_decodes_to_the_same_parts(
        entity in entity(),
        pieces in vec(1usize..200, 1..4),
    ) {
        let message = [b"Subject: outer\r\nMIME-Version: 1.0\r\n", &entity[..]].concat();
        let converted = convert_in_pieces(&message, &[]).unwrap();
        prop_assert!(converted.is_ascii());
        prop_assert_eq!(&convert_in_pieces(&message, &pieces).unwrap(), &converted);
        prop_assert_eq!(seen(&converted), seen(&message));
        prop_assert_eq!(&convert_in_pieces(&converted, &[]).unwrap(), &converted);
    }

    #[test]
    fn anything_is_converted_or_refused(
        message in vec(
            prop_oneof![
                Just("--b\r\n"), Just("--b--\r\n"), Just("\r\n"), Just("caf\u{e9}\r\n"),
                Just("Content-Type: multipart/mixed; boundary=b\r\n"), Just("x"), Just("\n"),
                Just("Content-Type: message/rfc822\r\n"), Just("Content-Type: text/plain\r\n"),
                Just("Content-Transfer-Encoding: 8bit\r\n"), Just("MIME-Version: 1.0\r\n"),
            ],
            0..24,
        ),
        other in vec(any::<u8>(), 0..40),
    ) {
        let message = message.concat();
        if let Ok(converted) = convert_in_pieces(message.as_bytes(), &[7]) {
            prop_assert!(converted.is_ascii());
        }
        // With parts that are not this message's own.
        let mut survey = Survey::new(&parts(message.as_bytes()));
        survey.handle_input(&other);
        if let Ok(plan) = survey.finish().plan {
            let mut converter = Converter::new(plan);
            converter.handle_input(&other);
            converter.finish();
        }
    }
}

//! What the scanner finds in messages, in whatever pieces they come.

use proptest::prelude::*;
use rmail_proto::{
    limits,
    mime::{Part, PartKind, Parts, Scanner, Summary},
};

fn scan(message: impl AsRef<[u8]>) -> Summary {
    let mut scanner = Scanner::new();
    scanner.handle_input(message.as_ref());
    scanner.finish()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The structure of a message that is written with bare LFs, with CRLFs.
fn body(message: &str) -> String {
    let summary = scan(message.replace('\n', "\r\n"));
    text(&summary.body).replace(
        "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"",
        "TEXT",
    )
}

fn body_structure(header: &str) -> String {
    let summary = scan(format!("MIME-Version: 1.0\r\n{header}\r\n\r\nx\r\n"));
    text(&summary.body_structure).to_owned()
}

fn envelope(header: &str) -> String {
    text(&scan(format!("{header}\r\n\r\n")).envelope).to_owned()
}

fn parts(summary: &Summary) -> Vec<Part> {
    Parts::decode(&summary.parts)
        .unwrap()
        .iter()
        .cloned()
        .collect()
}

const EXAMPLE: &str = concat!(
    "From: =?utf-8?q?J=C3=B6rg?= <joerg@a.test>\r\n",
    "To: group: a@b.test, \"C, D\" <c@d.test>;, e@f.test\r\n",
    "Subject: =?utf-8?b?4oKs?= sum\r\n",
    "Date: Tue, 05 Mar 2024 10:11:12 +0200\r\n",
    "Message-ID: <1@a.test>\r\n",
    "In-Reply-To: <0@a.test>\r\n",
    "MIME-Version: 1.0\r\n",
    "Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n",
    "preamble\r\n--b1\r\n",
    "Content-Type: multipart/alternative; boundary=b2\r\n\r\n",
    "--b2\r\nContent-Type: text/plain; charset=utf-8\r\n",
    "Content-Transfer-Encoding: 8bit\r\n\r\nt\u{e9}xt\r\n",
    "--b2\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b2--\r\n",
    "--b1\r\nContent-Type: application/pdf; name=\"a b.pdf\"\r\n",
    "Content-Disposition: attachment; filename=\"a b.pdf\"\r\n",
    "Content-Transfer-Encoding: base64\r\nContent-ID: <cid@x>\r\n\r\nJVBERi0xLjQK\r\n",
    "--b1\r\nContent-Type: message/rfc822\r\n\r\n",
    "From: in@ner.test\r\nSubject: inner\r\n\r\ninner body\r\n--b1--\r\nepilogue\r\n",
);

#[test]
fn example_is_understood_in_full() {
    let summary = scan(EXAMPLE);
    let from = r#"(("=?utf-8?q?J=C3=B6rg?=" NIL "joerg" "a.test"))"#;
    let to = concat!(
        r#"((NIL NIL "group" NIL)(NIL NIL "a" "b.test")("C, D" NIL "c" "d.test")"#,
        r#"(NIL NIL NIL NIL)(NIL NIL "e" "f.test"))"#
    );
    let expected = format!(
        "(\"Tue, 05 Mar 2024 10:11:12 +0200\" \"=?utf-8?b?4oKs?= sum\" {from} {from} {from} {to} \
         NIL NIL \"<0@a.test>\" \"<1@a.test>\")"
    );
    assert_eq!(text(&summary.envelope), expected);
    let inner = r#"((NIL NIL "in" "ner.test"))"#;
    let expected = [
        r#"((("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 5 0 NIL NIL NIL NIL)"#,
        r#"("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 8 0 NIL NIL NIL NIL) "#,
        r#""alternative" ("boundary" "b2") NIL NIL NIL)"#,
        r#"("application" "pdf" ("name" "a b.pdf") "<cid@x>" NIL "base64" 12 NIL "#,
        r#"("attachment" ("filename" "a b.pdf")) NIL NIL)"#,
        r#"("message" "rfc822" NIL NIL NIL "7bit" 47 (NIL "inner" "#,
        &format!("{inner} {inner} {inner} NIL NIL NIL NIL NIL) "),
        r#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 0 NIL NIL NIL NIL) "#,
        r#"3 NIL NIL NIL NIL) "mixed" ("boundary" "b1") NIL NIL NIL)"#,
    ]
    .concat();
    assert_eq!(text(&summary.body_structure), expected);
    assert_eq!(summary.size_bytes, EXAMPLE.len() as u64);
    assert_eq!(
        summary.header_bytes,
        EXAMPLE.find("preamble").unwrap() as u64
    );
    assert_eq!(summary.sent_date.unwrap().unix.0, 1_709_626_272);
    assert_eq!(summary.message_id.as_deref(), Some("1@a.test"));
    assert_eq!(summary.references, ["0@a.test"]);
    assert!(summary.has_attachments);
    let bodies: Vec<_> = parts(&summary)
        .iter()
        .map(|part| &EXAMPLE[part.body.start as usize..part.body.end as usize])
        .map(|body| body.chars().take(10).collect::<String>())
        .collect();
    let expected = [
        "preamble\r\n",
        "--b2\r\nCont",
        "t\u{e9}xt",
        "<p>x</p>",
        "JVBERi0xLj",
        "From: in@n",
        "inner body",
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn message_without_fields_is_plain_text() {
    for (message, size, lines) in [
        ("", 0, 0),
        ("\n", 0, 0),
        ("\nx", 1, 0),
        ("A: b", 0, 0),
        ("A: b\n\nx\n", 3, 1),
    ] {
        assert_eq!(
            body(message),
            format!("(TEXT {size} {lines})"),
            "{message:?}"
        );
    }
    assert_eq!(
        envelope("A: b"),
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    );
}

#[test]
fn delimiters_part_a_multipart() {
    for (message, expected) in [
        ("", "(TEXT 0 0)"),
        ("--x\n\na\n--x--\n", "(TEXT 1 0)"),
        ("--x\n\na\n", "(TEXT 3 1)"),
        ("--x  \n\na\n\n--x-- \n", "(TEXT 3 1)"),
        (
            "--x\n\na\n--x\n\nb\n--x--\n--x\n\nc\n",
            "(TEXT 1 0)(TEXT 1 0)",
        ),
        (
            "--x\n--x\n\n--x\nA: b\n--x--",
            "(TEXT 0 0)(TEXT 0 0)(TEXT 0 0)",
        ),
        ("--x", "(TEXT 0 0)"),
        (" --x\n-x\n--X\n", "(TEXT 0 0)"),
    ] {
        let message = format!("Content-Type: multipart/mixed; boundary=x\n\n{message}");
        assert_eq!(
            body(&message),
            format!("({expected} \"mixed\")"),
            "{message}"
        );
    }
}

#[test]
fn part_ends_at_the_delimiter_of_an_outer_multipart() {
    let outer = "Content-Type: multipart/mixed; boundary=x\n\n--x\n";
    let inner = "Content-Type: multipart/related; boundary=xy\n\n";
    for (message, expected) in [
        (
            "--xy\n\na\n--x\n\nb\n--x--\n",
            "((TEXT 1 0) \"related\")(TEXT 1 0)",
        ),
        (
            "--xy\n\na\n--xy--\nepilogue\n--x\n\nb",
            "((TEXT 1 0) \"related\")(TEXT 1 0)",
        ),
        ("preamble\n--x--\n--xy\n\n", "((TEXT 0 0) \"related\")"),
    ] {
        assert_eq!(
            body(&format!("{outer}{inner}{message}")),
            format!("({expected} \"mixed\")")
        );
    }
}

#[test]
fn bare_line_feeds_end_lines() {
    let message = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\nb\n--x--\n";
    assert!(text(&scan(message).body).contains("\"7bit\" 3 1)"));
}

#[test]
fn parts_of_a_digest_are_messages_unless_they_say_otherwise() {
    let message = "Content-Type: multipart/digest; boundary=x\n\n\
        --x\n\nSubject: i\n\nb\n--x\nContent-Type: text/plain\n\nq\n--x--\n";
    let expected = "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 \
        (NIL \"i\" NIL NIL NIL NIL NIL NIL NIL NIL) (TEXT 1 0) 2)(TEXT 1 0) \"digest\")";
    assert_eq!(body(message), expected);
}

#[test]
fn content_type_that_cannot_be_read_is_plain_text() {
    for value in [
        "",
        "text",
        "/plain",
        "text/",
        "text plain",
        "text/plain x",
        "; charset=x",
    ] {
        let structure = body_structure(&format!("Content-Type: {value}"));
        assert!(
            structure.starts_with(r#"("text" "plain" ("charset" "us-ascii") NIL"#),
            "{value}"
        );
    }
}

#[test]
fn parameters_are_unquoted_and_continuations_joined() {
    for (value, expected) in [
        ("; A=b;c=\"d \\\"e\\\"\"", r#"("A" "b" "c" "d \"e\"")"#),
        (" (x); (y) a (z) = b (c);", r#"("a" "b")"#),
        ("; x; =y; a=\"unfinished", "NIL"),
        ("; n*1=b; n*0=a; c=d", r#"("c" "d" "n" "ab")"#),
        ("; n*0*=utf-8''%20; n*1=b", r#"("n*" "utf-8''%20b")"#),
        ("; n*0=a; n*2=c", r#"("n*0" "a" "n*2" "c")"#),
    ] {
        let structure = body_structure(&format!("Content-Type: a/b{value}"));
        let expected = format!(r#"("a" "b" {expected} NIL NIL "7bit" 3 NIL NIL NIL NIL)"#);
        assert_eq!(structure, expected, "{value}");
    }
}

#[test]
fn every_content_field_has_its_place() {
    let header = "Content-Type: a/b\r\nContent-ID: <i>\r\nContent-Description: d\r\n e\r\n\
        Content-Transfer-Encoding: base64 (x)\r\nContent-MD5: m\r\nContent-Disposition: inline\r\n\
        Content-Language: en, de\r\nContent-Location: l\r\nContent-ID: <second>";
    let expected = r#"("a" "b" NIL "<i>" "d e" "base64" 3 "m" ("inline" NIL) ("en" "de") "l")"#;
    assert_eq!(body_structure(header), expected);
}

#[test]
fn eight_bit_text_is_kept_in_literals() {
    let summary = scan(b"Subject: \xff\xfe\r\n\r\n");
    assert!(summary.envelope.starts_with(b"(NIL {2}\r\n\xff\xfe NIL"));
}

#[test]
fn attachments_are_told_from_what_is_shown() {
    for (header, expected) in [
        ("Content-Type: text/plain", false),
        ("Content-Type: text/plain; name=a.txt", true),
        ("Content-Type: application/pdf", true),
        ("Content-Type: image/png\r\nContent-ID: <a>", false),
        (
            "Content-Type: image/png\r\nContent-Disposition: inline",
            false,
        ),
        (
            "Content-Type: text/plain\r\nContent-Disposition: attachment",
            true,
        ),
        ("Content-Type: multipart/mixed; boundary=x", false),
    ] {
        assert_eq!(
            scan(format!("{header}\r\n\r\n")).has_attachments,
            expected,
            "{header}"
        );
    }
}

#[test]
fn nesting_is_bounded() {
    let mut message = String::new();
    for depth in 0..limits::MIME_DEPTH_MAX + 5 {
        message +=
            &format!("Content-Type: multipart/mixed; boundary=b{depth}.\r\n\r\n--b{depth}.\r\n");
    }
    let summary = scan(&message);
    assert_eq!(parts(&summary).len(), limits::MIME_DEPTH_MAX + 1);
    assert!(text(&summary.body).contains("(\"application\" \"octet-stream\""));
    let messages = scan("Content-Type: message/rfc822\r\n\r\n".repeat(limits::MIME_DEPTH_MAX + 5));
    assert_eq!(parts(&messages).len(), limits::MIME_DEPTH_MAX + 1);
}

#[test]
fn last_part_of_the_bound_runs_to_the_end() {
    let header = "Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_owned();
    let summary = scan(header + &"--x\r\n\r\na\r\n".repeat(limits::MIME_PARTS_MAX + 5));
    let parts = parts(&summary);
    assert_eq!(parts.len(), limits::MIME_PARTS_MAX);
    assert_eq!(parts.last().unwrap().body.end, summary.size_bytes);
}

#[test]
fn boundary_is_found_up_to_its_bound() {
    for (length, expected) in [
        (limits::MIME_BOUNDARY_BYTES, 2),
        (limits::MIME_BOUNDARY_BYTES + 1, 1),
    ] {
        let boundary = "b".repeat(length);
        let message = format!(
            "Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n\
             --{boundary}\r\n\r\na\r\n--{boundary}--\r\n"
        );
        assert_eq!(parts(&scan(message)).len(), expected);
    }
}

#[test]
fn header_is_kept_up_to_its_bounds() {
    let room = limits::MIME_HEADER_BYTES;
    let fits = format!("Subject: {}\r\nTo: a@b\r\n\r\n", "s".repeat(room / 2));
    assert!(text(&scan(fits).envelope).contains("\"a\" \"b\""));
    let beyond = format!("Subject: {}\r\nTo: a@b\r\n\r\n", "s".repeat(room));
    assert!(!text(&scan(beyond).envelope).contains("\"a\" \"b\""));
    let other = format!("X-Other: {}\r\nTo: a@b\r\n\r\n", "s".repeat(room));
    assert!(text(&scan(other).envelope).contains("\"a\" \"b\""));

    let part = format!("--x\r\nContent-ID: {}\r\n\r\n\r\n", "i".repeat(room / 2));
    let count = 2 * limits::MIME_HEADERS_BYTES / room + 3;
    let message = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}",
        part.repeat(count)
    );
    let summary = scan(message);
    assert_eq!(parts(&summary).len(), count + 1);
    assert!(summary.body.len() < limits::MIME_HEADERS_BYTES + 100 * count);
}

#[test]
fn addresses_and_ids_are_bounded() {
    let to = "a@b,".repeat(limits::MIME_ADDRESSES_MAX + 5);
    let shown = envelope(&format!("To: {to}"));
    assert_eq!(
        shown.matches("\"a\" \"b\"").count(),
        limits::MIME_ADDRESSES_MAX
    );

    let ids: String = (0..limits::REFERENCES_MAX + 5)
        .map(|id| format!(" <{id}@x>"))
        .collect();
    let summary = scan(format!("References:{ids}\r\n\r\n"));
    assert_eq!(summary.references.len(), limits::REFERENCES_MAX);
    assert_eq!(summary.references[0], "5@x");

    let longest = "i".repeat(limits::MESSAGE_ID_BYTES);
    let kept = scan(format!("Message-ID: <{longest}>\r\n\r\n")).message_id;
    assert_eq!(kept, Some(longest.clone()));
    assert_eq!(
        scan(format!("Message-ID: <{longest}i>\r\n\r\n")).message_id,
        None
    );
}

/// Lines that matter to the scanner, and some that nearly do.
fn odd_message() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=x"),
        Just("Content-Type: multipart/digest; boundary=xy"),
        Just("Content-Type: message/rfc822"),
        Just("Subject: a"),
        Just("--x"),
        Just("--x--"),
        Just("--xy"),
        Just("--xy--"),
        Just("-"),
        Just("text"),
        Just(""),
        Just(""),
    ];
    let line_end = prop_oneof![4 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
    proptest::collection::vec((line, line_end), 0..30).prop_map(|lines| {
        let lines = lines.into_iter().map(|(line, end)| [line, end].concat());
        lines.collect::<String>().into_bytes()
    })
}

/// A well-formed message: its text, and how many parts it has.
fn proper_part(depth: u32) -> BoxedStrategy<(String, usize)> {
    let leaf = "[a-z]{0,9}(\r\n[a-z]{1,9}){0,3}"
        .prop_map(|text| (format!("Content-Type: text/plain\r\n\r\n{text}\r\n"), 1));
    if depth == 0 {
        return leaf.boxed();
    }
    let children = proptest::collection::vec(proper_part(depth - 1), 1..4);
    let multipart = children.prop_map(move |children| {
        let mut text = format!("Content-Type: multipart/mixed; boundary=\"={depth}=\"\r\n\r\n");
        let mut count = 1;
        for (child, parts) in children {
            text += &format!("--={depth}=\r\n{child}\r\n");
            count += parts;
        }
        (text + &format!("--={depth}=--\r\n"), count)
    });
    prop_oneof![leaf, multipart].boxed()
}

fn check_nesting(parts: &[Part], index: usize) -> usize {
    let part = &parts[index];
    assert_eq!(part.header.end, part.body.start);
    let mut next = index + 1;
    let mut end = part.body.start;
    for _ in 0..part.children {
        let child = &parts[next];
        assert!(end <= child.header.start && child.body.end <= part.body.end);
        if part.kind == PartKind::Message {
            assert_eq!(child.header.start..child.body.end, part.body);
        }
        end = child.body.end;
        next = check_nesting(parts, next);
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn splitting_changes_nothing(message in odd_message(), size in 1usize..9) {
        let mut scanner = Scanner::new();
        for piece in message.chunks(size) {
            scanner.handle_input(piece);
        }
        prop_assert_eq!(scanner.finish(), scan(&message));
    }

    #[test]
    fn parts_nest_and_add_up(message in odd_message()) {
        let summary = scan(&message);
        let parts = parts(&summary);
        prop_assert_eq!(check_nesting(&parts, 0), parts.len());
        prop_assert_eq!(parts[0].header.start, 0);
        prop_assert_eq!(parts[0].header.end, summary.header_bytes);
        prop_assert_eq!(parts[0].body.end, message.len() as u64);
    }

    #[test]
    fn any_bytes_are_a_message(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(scan(&message).size_bytes, message.len() as u64);
    }

    #[test]
    fn agrees_with_mail_parser(
        (part, count) in proper_part(3),
        subject in "[a-z]{1,9}( [a-z]{1,9}){0,3}",
        id in "[a-z]{1,9}@[a-z]{1,9}",
    ) {
        let message = format!("Subject: {subject}\r\nMessage-ID: <{id}>\r\n{part}");
        let summary = scan(&message);
        let oracle = mail_parser::MessageParser::new().parse(&message).unwrap();
        prop_assert_eq!(summary.message_id.as_deref(), oracle.message_id());
        let shown = format!("(NIL \"{}\" NIL", oracle.subject().unwrap());
        prop_assert!(text(&summary.envelope).starts_with(&shown));
        prop_assert_eq!(parts(&summary).len(), count);
        prop_assert_eq!(oracle.parts.len(), count);
    }
}

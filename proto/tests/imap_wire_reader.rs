//! The reader of IMAP commands: literals, faults, and staying in step.

use proptest::prelude::*;
use rmail_proto::{
    imap::wire::{CommandReader, FaultKind, Progress, Refused},
    limits,
};

/// What a reader reports for a stream of bytes, one line each. Literals are accepted, APPEND's
/// messages are consumed.
fn read(pieces: &[&[u8]]) -> Vec<String> {
    read_with(pieces, false)
}

fn read_with(pieces: &[&[u8]], refuse: bool) -> Vec<String> {
    let mut reader = CommandReader::default();
    let mut events = Vec::new();
    let mut message: Option<(u64, Vec<u8>)> = None;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            if let Some((remaining, content)) = &mut message {
                let taken = usize::try_from(*remaining)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                content.extend_from_slice(&rest[..taken]);
                *remaining -= taken as u64;
                rest = &rest[taken..];
                if *remaining == 0 {
                    events.push(format!("message {:?}", String::from_utf8_lossy(content)));
                    message = None;
                    reader.append_literal_done();
                }
                continue;
            }
            let (consumed, progress) = reader.handle_input(rest);
            assert!(consumed > 0, "only a decision blocks the reader");
            rest = &rest[consumed..];
            match progress {
                Progress::Incomplete => {}
                Progress::NeedContinuation if refuse => {
                    assert_eq!(reader.refuse(), Refused::Over);
                    events.push("refused".into());
                }
                Progress::NeedContinuation => {
                    events.push("+".into());
                    reader.accept_literal();
                }
                Progress::AppendLiteral(append) => {
                    let (mailbox, size) = (&append.mailbox, append.size_bytes);
                    events.push(format!("{} append {mailbox} {size}", append.tag));
                    if refuse {
                        events.push(format!("{:?}", reader.refuse()));
                    } else if size == 0 {
                        reader.append_literal_done();
                    } else {
                        message = Some((size, Vec::new()));
                    }
                }
                Progress::AppendDone(tag) => events.push(format!("{tag} done")),
                Progress::Command(command) => {
                    events.push(format!("{} {:?}", command.tag, command.body));
                }
                Progress::Fault(fault) => {
                    let tag = fault.tag.as_ref().map_or("*", |tag| tag.as_str());
                    events.push(format!("{tag} {:?}", fault.kind));
                }
                Progress::Skipped => events.push("skipped".into()),
            }
        }
    }
    events
}

fn read_whole(input: &[u8]) -> Vec<String> {
    read(&[input])
}

#[test]
fn literals_of_both_kinds_are_part_of_their_command() {
    let input = b"a LOGIN {5}\r\nalice {3+}\r\nabc\r\nb NOOP\r\n";
    let login = "a Login { username: \"alice\", password: Secret }";
    assert_eq!(read_whole(input), ["+", login, "b Noop"]);
}

#[test]
fn empty_literal_is_an_empty_string() {
    let login = "a Login { username: \"\", password: Secret }";
    assert_eq!(read_whole(b"a LOGIN {0}\r\n {0+}\r\n\r\n"), ["+", login]);
}

#[test]
fn messages_of_append_are_left_to_the_caller() {
    let input = b"a APPEND {4}\r\nSent (\\Seen) {5}\r\nHello {3+}\r\nYou\r\nb NOOP\r\n";
    assert_eq!(
        read_whole(input),
        [
            "+",
            "a append Sent 5",
            "message \"Hello\"",
            "a append Sent 3",
            "message \"You\"",
            "a done",
            "b Noop"
        ]
    );
}

#[test]
fn refused_append_is_skipped_where_its_literal_is_on_its_way() {
    let input = b"a APPEND Sent {5+}\r\nHello {3+}\r\nYou\r\nb NOOP\r\n";
    assert_eq!(
        read_with(&[input], true),
        ["a append Sent 5", "Skipping", "skipped", "b Noop"]
    );
    let input = b"a APPEND Sent {5}\r\nb NOOP\r\n";
    assert_eq!(
        read_with(&[input], true),
        ["a append Sent 5", "Over", "b Noop"]
    );
    let input = b"a APPEND Sent {5+}\r\nHello {3}\r\nb NOOP\r\n";
    assert_eq!(
        read_with(&[input], true),
        ["a append Sent 5", "Skipping", "skipped", "b Noop"]
    );
}

#[test]
fn refused_literal_ends_its_command() {
    assert_eq!(
        read_with(&[b"a LOGIN {5}\r\nb NOOP\r\n"], true),
        ["refused", "b Noop"]
    );
}

#[test]
fn append_that_was_refused_between_messages_is_skipped() {
    let mut reader = CommandReader::default();
    let input = b"a APPEND Sent {1+}\r\n";
    let (consumed, progress) = reader.handle_input(input);
    assert!(consumed == input.len() && matches!(progress, Progress::AppendLiteral(_)));
    reader.append_literal_done();
    reader.skip_append();
    let mut rest: &[u8] = b" {3+}\r\nYou\r\n";
    let mut last = Progress::Incomplete;
    while !rest.is_empty() {
        let (consumed, progress) = reader.handle_input(rest);
        (rest, last) = (&rest[consumed..], progress);
    }
    assert!(matches!(last, Progress::Skipped));
    assert!(reader.is_between_commands());
}

#[test]
fn faulty_command_that_announces_a_literal_stays_in_step() {
    for (input, expected) in [
        (
            &b"a APPEND Sent (\\Foo) {9+}\r\nx LOGOUT\n\r\nb NOOP\r\n"[..],
            &["a Bad", "b Noop"][..],
        ),
        (
            b"a APPEND Sent (\\Foo) {9}\r\nb NOOP\r\n",
            &["a Bad", "b Noop"],
        ),
        (
            b"a APPEND Sent ~{9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
            &["a Bad", "b Noop"],
        ),
        (
            b"a APPEND &&& {9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
            &["a MailboxName", "b Noop"],
        ),
        (
            b"a N\0OP {9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
            &["a Bad", "b Noop"],
        ),
        (
            b"a NOOP {9+}\nx LOGOUT\n\r\nb NOOP\r\n",
            &["a Bad", "b Noop"],
        ),
        (b"a NOOP {9}\nb NOOP\r\n", &["a Bad", "b Noop"]),
        (
            b"a FOO {9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
            &["a Bad", "b Noop"],
        ),
        (b"a FOO {2}\r\nxx\r\nb NOOP\r\n", &["+", "a Bad", "b Noop"]),
        (
            b"a APPEND Sent {1+}\r\nx {1+}\r\ny (\r\nb NOOP\r\n",
            &[
                "a append Sent 1",
                "message \"x\"",
                "a append Sent 1",
                "message \"y\"",
                "a Bad",
                "b Noop",
            ],
        ),
    ] {
        assert_eq!(
            read_whole(input),
            expected,
            "{}",
            String::from_utf8_lossy(input)
        );
    }
}

#[test]
fn lines_that_do_not_end_in_crlf_are_faults() {
    assert_eq!(read_whole(b"a NOOP\nb NOOP\r\n"), ["a Bad", "b Noop"]);
    assert_eq!(read_whole(b"a NO\rOP\r\nb NOOP\r\n"), ["a Bad", "b Noop"]);
    assert_eq!(read_whole(b"a NOOP\r\r\nb NOOP\r\n"), ["a Bad", "b Noop"]);
    assert_eq!(read_whole(b"\r\nb NOOP\r\n"), ["* Bad", "b Noop"]);
}

#[test]
fn fault_carries_the_tag_when_there_is_one() {
    assert_eq!(read_whole(b"a FOO\r\n"), ["a Bad"]);
    assert_eq!(read_whole(b"a\r\n"), ["a Bad"]);
    assert_eq!(read_whole(b"a \r\n"), ["a Bad"]);
    assert_eq!(read_whole(b"+ NOOP\r\n"), ["* Bad"]);
    assert_eq!(read_whole(b"(a) NOOP\r\n"), ["* Bad"]);
    let tag = "x".repeat(limits::IMAP_TAG_BYTES);
    assert_eq!(
        read_whole(format!("{tag} NOOP\r\n").as_bytes()),
        [format!("{tag} Noop")]
    );
    assert_eq!(read_whole(format!("{tag}x NOOP\r\n").as_bytes()), ["* Bad"]);
}

#[test]
fn longest_command_fits_and_one_byte_more_does_not() {
    let command = |bytes: usize| {
        let start = "a LOGIN u \"";
        let password = "x".repeat(bytes - start.len() - 3);
        format!("{start}{password}\"\r\nb NOOP\r\n")
    };
    let login = "a Login { username: \"u\", password: Secret }";
    let longest = command(limits::IMAP_COMMAND_BYTES);
    assert_eq!(read_whole(longest.as_bytes()), [login, "b Noop"]);
    let too_long = command(limits::IMAP_COMMAND_BYTES + 1);
    assert_eq!(read_whole(too_long.as_bytes()), ["a TooBig", "b Noop"]);
}

#[test]
fn longest_literal_fits_and_one_byte_more_does_not() {
    let input = |literal_bytes: usize, plus: &str| {
        let literal = if plus.is_empty() && literal_bytes > 60_000 {
            String::new()
        } else {
            "x".repeat(literal_bytes) + "\r\n"
        };
        format!("a LOGIN u {{{literal_bytes}{plus}}}\r\n{literal}b NOOP\r\n")
    };
    let start_bytes = "a LOGIN u {65000+}\r\n".len();
    let longest = limits::IMAP_COMMAND_BYTES - start_bytes - 2;
    let login = "a Login { username: \"u\", password: Secret }";
    assert_eq!(
        read_whole(input(longest, "+").as_bytes()),
        [login, "b Noop"]
    );
    assert_eq!(
        read_whole(input(longest + 1, "+").as_bytes()),
        ["a TooBig", "b Noop"]
    );
    assert_eq!(
        read_whole(input(longest + 2, "").as_bytes()),
        ["a TooBig", "b Noop"]
    );
    let endless = b"a LOGIN u {99999999999999999999999}\r\nb NOOP\r\n";
    assert_eq!(read_whole(endless), ["a TooBig", "b Noop"]);
}

#[test]
fn too_long_line_that_announces_a_literal_stays_in_step() {
    let line = "a LOGIN u ".to_owned() + &"x".repeat(limits::IMAP_COMMAND_BYTES);
    let input = format!("{line}{{9+}}\r\nx LOGOUT\n\r\nb NOOP\r\n");
    assert_eq!(read_whole(input.as_bytes()), ["a TooBig", "b Noop"]);
    let input = format!("{line}{{9}}\r\nb NOOP\r\n");
    assert_eq!(read_whole(input.as_bytes()), ["a TooBig", "b Noop"]);
}

#[test]
fn nothing_is_consumed_while_a_decision_is_awaited() {
    let mut reader = CommandReader::default();
    let (_, progress) = reader.handle_input(b"a LOGIN {5}\r\n");
    assert!(matches!(progress, Progress::NeedContinuation));
    assert!(!reader.is_between_commands());
    assert_eq!(reader.handle_input(b"alice").0, 0);
    reader.accept_literal();
    assert_eq!(reader.handle_input(b"alice x\r\n").0, 5);
    let (consumed, progress) = reader.handle_input(b" x\r\n");
    assert!(consumed == 4 && matches!(progress, Progress::Command(_)));
    assert!(reader.is_between_commands());
}

#[test]
fn calls_at_the_wrong_time_change_nothing() {
    let mut reader = CommandReader::default();
    reader.accept_literal();
    reader.append_literal_done();
    reader.skip_append();
    assert_eq!(reader.refuse(), Refused::Over);
    let (_, progress) = reader.handle_input(b"a NOO");
    assert!(matches!(progress, Progress::Incomplete));
    reader.refuse();
    reader.skip_append();
    let (_, progress) = reader.handle_input(b"P\r\n");
    assert!(matches!(progress, Progress::Command(_)));
}

#[test]
fn unknown_charset_is_named_as_such() {
    let mut reader = CommandReader::default();
    let (_, progress) = reader.handle_input(b"a SEARCH CHARSET X-FOO TEXT x\r\n");
    assert!(matches!(progress, Progress::Fault(fault) if fault.kind == FaultKind::BadCharset));
}

/// Bytes that look like commands often enough.
fn hostile_input() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop::sample::select(vec![
            "a ",
            "b ",
            "NOOP",
            "LOGIN ",
            "APPEND ",
            "FETCH ",
            "SEARCH ",
            "UID ",
            "STORE ",
            "LIST ",
            "STATUS ",
            "CREATE ",
            "ID ",
            "INBOX ",
            "1:* ",
            "(",
            ")",
            "\"",
            "\\",
            "\\Seen ",
            "{3}",
            "{3+}",
            "{0}",
            "{5+}\r\n",
            "{2}\r\n",
            "{900}\r\n",
            "{99999999999+}",
            "~{2}",
            "\r\n",
            "\r\n",
            "\r\n",
            "\n",
            "\r",
            "BODY[",
            "HEADER.FIELDS (",
            "]",
            "<0.1>",
            "&AOQ-",
            "OR ",
            "NOT ",
            "TEXT ",
            "CHARSET ",
            "\" 1-Jan-2024 10:00:00 +0000\" ",
            "FLAGS ",
            "*",
            "%",
            " ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn splitting_changes_nothing(
        input in hostile_input(),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        refuse: bool,
    ) {
        let whole = read_with(&[&input], refuse);
        let splits = splits.iter().map(|split| split.index(input.len() + 1));
        let mut splits: Vec<usize> = splits.collect();
        splits.extend([0, input.len()]);
        splits.sort_unstable();
        let pieces: Vec<&[u8]> = splits.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect();
        prop_assert_eq!(read_with(&pieces, refuse), whole.clone());
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(read_with(&bytes, refuse), whole);
    }

    #[test]
    fn a_command_is_understood_after_anything_that_ended(input in hostile_input()) {
        let mut reader = CommandReader::default();
        // Line ends complete what is open, unless it is a literal that is as good as endless.
        let input = [input, b"\r\n".repeat(1000)].concat();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (consumed, progress) = reader.handle_input(rest);
            rest = &rest[consumed..];
            if matches!(progress, Progress::NeedContinuation | Progress::AppendLiteral(_)) {
                reader.refuse();
            }
        }
        if reader.is_between_commands() {
            let (_, progress) = reader.handle_input(b"z NOOP\r\n");
            prop_assert!(matches!(progress, Progress::Command(_)));
        } else {
            prop_assert!(input.windows(5).any(|bytes| bytes.iter().all(u8::is_ascii_digit)));
        }
    }
}

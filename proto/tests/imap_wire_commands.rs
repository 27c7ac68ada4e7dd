//! The grammar of IMAP commands.

use proptest::prelude::*;
use rmail_proto::{
    Keyword, Keywords,
    imap::wire::{
        Command, CommandBody, CommandReader, Fault, FaultKind, FetchItem, MessageSet, Progress,
        SearchContext, SearchCriteria, SequenceNumber, SequenceSet,
    },
    imap::{SearchKey, UidSet},
    limits,
};

/// Reads one command that has no synchronising literal.
fn parse_bytes(text: &[u8]) -> Result<Command, Fault> {
    let mut reader = CommandReader::default();
    let input = [b"t ", text, b"\r\n"].concat();
    let mut rest = &input[..];
    loop {
        let (consumed, progress) = reader.handle_input(rest);
        assert!(
            consumed > 0,
            "command is incomplete: {}",
            String::from_utf8_lossy(text)
        );
        rest = &rest[consumed..];
        match progress {
            Progress::Incomplete => {}
            Progress::Command(command) => return Ok(command),
            Progress::Fault(fault) => return Err(fault),
            other => panic!("{other:?}"),
        }
    }
}

fn parse(text: &str) -> CommandBody {
    match parse_bytes(text.as_bytes()) {
        Ok(command) => command.body,
        Err(fault) => panic!("{text}: {fault:?}"),
    }
}

fn debug(text: &str) -> String {
    format!("{:?}", parse(text))
}

fn fault(text: &str) -> FaultKind {
    match parse_bytes(text.as_bytes()) {
        Ok(command) => panic!("{text}: {command:?}"),
        Err(fault) => fault.kind,
    }
}

#[test]
fn commands_without_arguments_in_any_case() {
    for (text, expected) in [
        ("CAPABILITY", "Capability"),
        ("noop", "Noop"),
        ("Logout", "Logout"),
        ("STARTTLS", "StartTls"),
        ("NAMESPACE", "Namespace"),
        ("IDLE", "Idle"),
        ("CHECK", "Check"),
        ("CLOSE", "Close"),
        ("UNSELECT", "Unselect"),
        ("EXPUNGE", "Expunge"),
    ] {
        assert_eq!(debug(text), expected);
        assert_eq!(fault(&format!("{text} x")), FaultKind::Bad);
    }
}

#[test]
fn commands_on_mailboxes() {
    for (text, expected) in [
        (
            "SELECT inbox",
            "Select { mailbox: \"INBOX\", condstore: false }",
        ),
        (
            "SELECT a (CONDSTORE)",
            "Select { mailbox: \"a\", condstore: true }",
        ),
        (
            "EXAMINE \"Inbox/Work\"",
            "Examine { mailbox: \"INBOX/Work\", condstore: false }",
        ),
        (
            "CREATE Entw&APw-rfe/",
            "Create { mailbox: \"Entwürfe/\", special_use: None }",
        ),
        (
            "CREATE x (USE (\\Sent))",
            "Create { mailbox: \"x\", special_use: Some(Sent) }",
        ),
        ("DELETE {3+}\r\na b", "Delete { mailbox: \"a b\" }"),
        (
            "RENAME a \"b\\\"c\\\\\"",
            "Rename { from: \"a\", to: \"b\\\"c\\\\\" }",
        ),
        ("SUBSCRIBE Inboxes", "Subscribe { mailbox: \"Inboxes\" }"),
        (
            "UNSUBSCRIBE Entwürfe",
            "Unsubscribe { mailbox: \"Entwürfe\" }",
        ),
        ("LSUB \"\" %", "Lsub { reference: \"\", pattern: \"%\" }"),
        (
            "STATUS a (MESSAGES uidnext MESSAGES SIZE)",
            "Status { mailbox: \"a\", items: [Messages, UidNext, Size] }",
        ),
    ] {
        assert_eq!(debug(text), expected);
    }
    for text in [
        "SELECT",
        "SELECT ",
        "SELECT a b",
        "SELECT (a)",
        "CREATE x (FOO)",
        "RENAME a",
        "STATUS a ()",
        "STATUS a MESSAGES",
        "STATUS a (FOO)",
        "DELETE \"a",
        "SELECT a*",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
    for text in ["SELECT a&b", "SELECT &AGE-", "LIST \"\" a&b"] {
        assert_eq!(fault(text), FaultKind::MailboxName, "{text}");
    }
    for text in ["CREATE x (USE (\\All))", "CREATE x (USE (\\Sent \\Trash))"] {
        assert_eq!(fault(text), FaultKind::UseAttr, "{text}");
    }
}

#[test]
fn longest_mailbox_name_fits_and_one_byte_more_does_not() {
    let name = "x".repeat(limits::IMAP_MAILBOX_NAME_BYTES);
    parse(&format!("SELECT {name}"));
    assert_eq!(fault(&format!("SELECT {name}x")), FaultKind::MailboxName);
}

#[test]
fn mailbox_name_that_is_not_utf_8_is_refused() {
    let fault = parse_bytes(b"SELECT \"f\xfcr\"").unwrap_err();
    assert_eq!(fault.kind, FaultKind::MailboxName);
}

#[test]
fn list_with_its_options() {
    let CommandBody::List(list) = parse("LIST \"\" *") else {
        panic!()
    };
    assert!(!list.extended && list.patterns == ["*"] && list.reference.is_empty());
    let text = "LIST (SUBSCRIBED RECURSIVEMATCH) a (b c%) RETURN (CHILDREN STATUS (UNSEEN))";
    let CommandBody::List(list) = parse(text) else {
        panic!()
    };
    assert!(list.extended && list.select.subscribed && list.select.recursive_match);
    assert!(list.returns.children && list.returns.status.len() == 1);
    assert_eq!(list.patterns, ["b", "c%"]);
    let CommandBody::List(list) = parse("LIST (SPECIAL-USE) \"\" \"*\"") else {
        panic!()
    };
    assert!(list.select.special_use && !list.returns.special_use);
    parse("LIST \"\" \"\" RETURN ()");
    for text in [
        "LIST \"\"",
        "LIST (FOO) \"\" *",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST \"\" ()",
        "LIST \"\" * RETURN (FOO)",
        "LIST \"\" * RETURN",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
    let patterns = vec!["x"; limits::IMAP_LIST_PATTERNS].join(" ");
    parse(&format!("LIST \"\" ({patterns})"));
    assert_eq!(fault(&format!("LIST \"\" ({patterns} x)")), FaultKind::Bad);
}

#[test]
fn logging_in() {
    let CommandBody::Login { username, password } = parse("LOGIN joe \"a \\\\b\"") else {
        panic!()
    };
    assert_eq!(
        (username.as_str(), password.reveal().as_str()),
        ("joe", "a \\b")
    );
    for (text, expected) in [
        ("AUTHENTICATE plain", None),
        ("AUTHENTICATE PLAIN AGEAYg==", Some("AGEAYg==")),
        ("AUTHENTICATE PLAIN =", Some("")),
    ] {
        let CommandBody::Authenticate {
            mechanism,
            initial_response,
        } = parse(text)
        else {
            panic!()
        };
        assert_eq!(mechanism, "PLAIN");
        assert_eq!(
            initial_response
                .as_ref()
                .map(|secret| secret.reveal().as_str()),
            expected
        );
    }
    assert_eq!(fault("LOGIN joe"), FaultKind::Bad);
    assert_eq!(fault("AUTHENTICATE"), FaultKind::Bad);
    assert_eq!(fault("LOGIN joe {3+}\r\na\0b"), FaultKind::Bad);
}

#[test]
fn extensions_with_arguments() {
    for (text, expected) in [
        ("ID NIL", "Id { parameters: None }"),
        ("ID ()", "Id { parameters: Some([]) }"),
        (
            "ID (\"name\" \"x\" \"os\" NIL)",
            "Id { parameters: Some([(\"name\", Some(\"x\")), (\"os\", None)]) }",
        ),
        (
            "ENABLE condstore X",
            "Enable { capabilities: [\"CONDSTORE\", \"X\"] }",
        ),
    ] {
        assert_eq!(debug(text), expected);
    }
    let pairs = |count: usize| format!("ID ({})", vec!["\"a\" \"b\""; count].join(" "));
    parse(&pairs(limits::IMAP_ID_PAIRS));
    assert_eq!(fault(&pairs(limits::IMAP_ID_PAIRS + 1)), FaultKind::Bad);
    for text in [
        "ID",
        "ID (\"a\")",
        "ID (a b)",
        "ENABLE",
        "UID",
        "UID NOOP",
        "UID LOGIN a b",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
}

#[test]
fn store_with_its_modes() {
    for (text, mode, silent) in [
        ("STORE 1 FLAGS (\\Seen Foo)", "Replace", false),
        ("STORE 1 +flags.silent \\seen Foo", "Add", true),
        ("STORE 1 -FLAGS (\\SEEN Foo)", "Remove", false),
    ] {
        let body = debug(text);
        assert!(
            body.contains(&format!("mode: {mode}, silent: {silent}")),
            "{body}"
        );
        assert!(
            body.contains("system: SystemFlags(1)") && body.contains("[Foo]"),
            "{body}"
        );
    }
    let body = debug("UID STORE 1 (UNCHANGEDSINCE 12) FLAGS ()");
    assert!(
        body.contains("Uids(") && body.contains("Some(ModSeq(12))"),
        "{body}"
    );
    for text in [
        "STORE 1 FLAGS (\\Recent)",
        "STORE 1 FLAGS (\\Foo)",
        "STORE 1 FLAGS",
        "STORE 1 FLAGS ",
        "STORE 1 FOO (\\Seen)",
        "STORE 1 FLAGS (\\*)",
        "STORE 0 FLAGS (\\Seen)",
        "STORE 1 FLAGS (a  b)",
        "STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
}

#[test]
fn keywords_are_bounded_in_number_and_length() {
    let store = |count: usize| {
        let keywords: Vec<String> = (0..count).map(|number| format!("k{number}")).collect();
        format!("STORE 1 FLAGS ({})", keywords.join(" "))
    };
    parse(&store(Keywords::COUNT_MAX));
    assert_eq!(fault(&store(Keywords::COUNT_MAX + 1)), FaultKind::Bad);
    let keyword = "k".repeat(Keyword::BYTES_MAX);
    parse(&format!("STORE 1 FLAGS {keyword}"));
    assert_eq!(fault(&format!("STORE 1 FLAGS {keyword}k")), FaultKind::Bad);
}

#[test]
fn copy_move_and_uid_expunge() {
    assert!(debug("COPY 1:2 inbox").contains("Numbers("));
    assert!(debug("UID COPY 1:2 inbox").contains("mailbox: \"INBOX\""));
    assert!(debug("MOVE 1 x").starts_with("Move { messages: Numbers("));
    assert!(debug("UID MOVE 1 x").starts_with("Move { messages: Uids("));
    assert!(debug("UID EXPUNGE 1:*").starts_with("UidExpunge"));
    assert_eq!(fault("EXPUNGE 1"), FaultKind::Bad);
}

#[test]
fn sets_are_bounded_and_hold_no_zero() {
    for text in [
        "COPY 0 x",
        "COPY 1: x",
        "COPY , x",
        "COPY 1,,2 x",
        "COPY 4294967296 x",
        "COPY a x",
        "COPY 1:2:3 x",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
    let set = |ranges: usize| format!("COPY {} x", vec!["1"; ranges].join(","));
    parse(&set(limits::IMAP_SET_RANGES));
    assert_eq!(fault(&set(limits::IMAP_SET_RANGES + 1)), FaultKind::Bad);
}

fn fetch_items(text: &str) -> Vec<FetchItem> {
    match parse(text) {
        CommandBody::Fetch { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_macros_stand_for_their_items() {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    assert_eq!(
        fetch_items("FETCH 1 fast"),
        [Flags, InternalDate, Rfc822Size]
    );
    assert_eq!(
        fetch_items("FETCH 1 ALL"),
        [Flags, InternalDate, Rfc822Size, Envelope]
    );
    assert_eq!(
        fetch_items("FETCH 1 FULL"),
        [Flags, InternalDate, Rfc822Size, Envelope, Body]
    );
    assert_eq!(fault("FETCH 1 (FAST)"), FaultKind::Bad);
}

#[test]
fn fetch_items_by_name() {
    let text = "FETCH 1 (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE MODSEQ \
                EMAILID THREADID RFC822 RFC822.HEADER RFC822.TEXT uid BODY.PEEK[] BODY[])";
    let items = fetch_items(text);
    assert_eq!(items.len(), 15);
    let seen: Vec<&FetchItem> = items.iter().filter(|item| item.sets_seen()).collect();
    assert!(matches!(
        seen[..],
        [
            FetchItem::Rfc822,
            FetchItem::Rfc822Text,
            FetchItem::BodySection { peek: false, .. }
        ]
    ));
}

#[test]
fn sections_print_as_they_were_asked_for() {
    for section in [
        "[]",
        "[HEADER]",
        "[TEXT]",
        "[1]",
        "[1.2.3]",
        "[1.MIME]",
        "[2.1.HEADER]",
        "[1.TEXT]",
        "[HEADER.FIELDS (DATE From)]",
        "[3.HEADER.FIELDS.NOT (\"a%b\" x]y)]",
    ] {
        let items = fetch_items(&format!("FETCH 1 BODY{section}<7.9>"));
        let [
            FetchItem::BodySection {
                section: parsed,
                partial: Some(partial),
                peek: false,
            },
        ] = &items[..]
        else {
            panic!("{items:?}");
        };
        assert_eq!(parsed.to_string(), section);
        assert_eq!((partial.offset, partial.length), (7, 9));
    }
    for section in [
        "[MIME]",
        "[1.]",
        "[0]",
        "[1.0]",
        "[1MIME]",
        "[FOO]",
        "[HEADER.FIELDS]",
        "[",
        "[HEADER.FIELDS ()]",
        "[HEADER.FIELDS (a:)]",
        "[]<0.0>",
        "[]<1>",
        "[]<.1>",
        "[1..2]",
    ] {
        assert_eq!(
            fault(&format!("FETCH 1 BODY{section}")),
            FaultKind::Bad,
            "{section}"
        );
    }
    let deep = |depth: usize| format!("FETCH 1 BODY[{}]", vec!["1"; depth].join("."));
    parse(&deep(limits::IMAP_SECTION_DEPTH));
    assert_eq!(fault(&deep(limits::IMAP_SECTION_DEPTH + 1)), FaultKind::Bad);
}

#[test]
fn fetch_is_bounded_and_takes_modifiers() {
    let body = debug("UID FETCH 1:* FLAGS (CHANGEDSINCE 12 VANISHED)");
    assert!(
        body.ends_with("changed_since: Some(ModSeq(12)), vanished: true }"),
        "{body}"
    );
    for text in [
        "FETCH 1",
        "FETCH 1 ()",
        "FETCH 1 FOO",
        "FETCH 1 (FLAGS",
        "FETCH 1 FLAGS UID",
        "FETCH 1 FLAGS (VANISHED)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "FETCH 1 FLAGS (FOO)",
    ] {
        assert_eq!(fault(text), FaultKind::Bad, "{text}");
    }
    let items = |count: usize| format!("FETCH 1 ({})", vec!["UID"; count].join(" "));
    parse(&items(limits::IMAP_FETCH_ITEMS));
    assert_eq!(fault(&items(limits::IMAP_FETCH_ITEMS + 1)), FaultKind::Bad);
}

fn search(text: &str) -> SearchCriteria {
    match parse(text) {
        CommandBody::Search { criteria, .. } => criteria,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_search_key_is_understood() {
    let day = 19_787; // 2024-03-05
    for (key, expected) in [
        ("ALL", "All".to_owned()),
        ("ANSWERED", "Flags(SystemFlags(2))".into()),
        ("UNDELETED", "Not(Flags(SystemFlags(8)))".into()),
        ("DRAFT", "Flags(SystemFlags(16))".into()),
        ("unflagged", "Not(Flags(SystemFlags(4)))".into()),
        ("SEEN", "Flags(SystemFlags(1))".into()),
        ("NEW", "And([Recent, Not(Flags(SystemFlags(1)))])".into()),
        ("OLD", "Not(Recent)".into()),
        ("RECENT", "Recent".into()),
        ("KEYWORD Foo", "Keyword(Foo)".into()),
        ("UNKEYWORD Foo", "Not(Keyword(Foo))".into()),
        ("BEFORE 5-Mar-2024", format!("InternalDate(Before, {day})")),
        ("ON \"05-mar-2024\"", format!("InternalDate(On, {day})")),
        ("SINCE 05-Mar-2024", format!("InternalDate(Since, {day})")),
        ("SENTBEFORE 5-Mar-2024", format!("SentDate(Before, {day})")),
        ("SENTON 5-Mar-2024", format!("SentDate(On, {day})")),
        ("SENTSINCE 5-Mar-2024", format!("SentDate(Since, {day})")),
        ("FROM joe", "Header(\"from\", \"joe\")".into()),
        ("BCC \"\"", "Header(\"bcc\", \"\")".into()),
        ("SUBJECT {3+}\r\na b", "Header(\"subject\", \"a b\")".into()),
        (
            "HEADER Message-ID x",
            "Header(\"message-id\", \"x\")".into(),
        ),
        ("BODY x", "Body(\"x\")".into()),
        ("TEXT \"für\"", "Text(\"für\")".into()),
        ("LARGER 5000000000", "Larger(5000000000)".into()),
        ("SMALLER 5", "Smaller(5)".into()),
        ("MODSEQ 5", "ModSeq(ModSeq(5))".into()),
        (
            "MODSEQ \"/flags/\\\\draft\" all 5",
            "ModSeq(ModSeq(5))".into(),
        ),
        (
            "OR SEEN NOT ALL",
            "Or(Flags(SystemFlags(1)), Not(All))".into(),
        ),
        (
            "(ALL RECENT) OLD",
            "And([And([All, Recent]), Not(Recent)])".into(),
        ),
    ] {
        assert_eq!(format!("{:?}", search(&format!("SEARCH {key}"))), expected);
    }
    for key in [
        "",
        "FOO",
        "OR ALL",
        "NOT",
        "()",
        "(ALL",
        "ON 32-Jan-2024",
        "ON 1-Foo-2024",
        "ON 1-Jan-24",
        "FROM",
        "KEYWORD \\Seen",
        "UID",
        "LARGER x",
        "HEADER a",
        "MODSEQ x",
    ] {
        assert_eq!(fault(&format!("SEARCH {key}")), FaultKind::Bad, "{key}");
    }
}

#[test]
fn search_texts_come_in_their_charset() {
    let command = parse_bytes(b"SEARCH CHARSET iso-8859-1 TEXT {3+}\r\nf\xfcr").unwrap();
    assert!(format!("{:?}", command.body).contains("Text(\"für\")"));
    let fault = parse_bytes(b"SEARCH CHARSET utf-8 TEXT {3+}\r\nf\xfcr").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Bad);
}

#[test]
fn search_return_options() {
    let body = debug("UID SEARCH RETURN (MIN COUNT) CHARSET UTF-8 UID 1");
    assert!(body.contains("by_uid: true"), "{body}");
    assert!(
        body.contains("min: true, max: false, all: false, count: true"),
        "{body}"
    );
    assert!(debug("SEARCH RETURN () ALL").contains("all: true"));
    assert_eq!(fault("SEARCH RETURN (SAVE) ALL"), FaultKind::Bad);
}

#[test]
fn search_is_bounded_in_depth_and_keys() {
    let depth = |depth: usize| format!("SEARCH {}ALL", "NOT ".repeat(depth));
    parse(&depth(limits::IMAP_SEARCH_DEPTH));
    assert_eq!(fault(&depth(limits::IMAP_SEARCH_DEPTH + 1)), FaultKind::Bad);
    let depth = |depth: usize| format!("SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth));
    parse(&depth(limits::IMAP_SEARCH_DEPTH));
    assert_eq!(fault(&depth(limits::IMAP_SEARCH_DEPTH + 1)), FaultKind::Bad);
    let keys = |count: usize| format!("SEARCH {}", vec!["ALL"; count].join(" "));
    parse(&keys(limits::IMAP_SEARCH_KEYS));
    assert_eq!(fault(&keys(limits::IMAP_SEARCH_KEYS + 1)), FaultKind::Bad);
}

#[test]
fn what_a_session_knows_is_resolved() {
    struct Nothing;
    impl SearchContext for Nothing {
        fn numbers(&self, _: &SequenceSet) -> UidSet {
            UidSet::default()
        }
        fn uids(&self, _: &SequenceSet) -> UidSet {
            UidSet::default()
        }
        fn recent(&self) -> UidSet {
            UidSet::default()
        }
    }
    let criteria = search("SEARCH OR 1:5 NOT UID 7:* RECENT MODSEQ 3 (2 SEEN)");
    assert_eq!(criteria.number_sets().len(), 2);
    assert!(criteria.has_modseq());
    let none = || SearchKey::Uids(UidSet::default());
    let SearchKey::And(keys) = criteria.resolve(&Nothing) else {
        panic!()
    };
    assert_eq!(
        keys[0],
        SearchKey::Or(none().into(), SearchKey::Not(none().into()).into())
    );
    assert_eq!(keys[1], none());
    assert!(matches!(&keys[3], SearchKey::And(keys) if keys[0] == none()));
}

#[test]
fn append_takes_flags_and_a_date() {
    let mut reader = CommandReader::default();
    let input = b"t APPEND \"a b\" (\\Draft Foo) \" 5-Mar-2024 10:11:12 +0200\" {9}\r\n";
    let (_, Progress::AppendLiteral(message)) = reader.handle_input(input) else {
        panic!()
    };
    assert_eq!(message.mailbox, "a b");
    assert_eq!(message.internal_date.unwrap().unix.0, 1_709_626_272);
    assert_eq!(message.internal_date.unwrap().zone_minutes, 120);
    assert!(message.synchronising && message.size_bytes == 9);
    assert_eq!(message.flags.keywords_line(), "Foo");
    for start in [
        "a",
        "a (\\Recent)",
        "a \"5-Mar-2024\"",
        "a \"05-Mar-2024 10:11:12 +0260\"",
        "a \"30-Feb-2024 10:11:12 +0000\"",
        "",
        "a b",
        "a (x) (y)",
    ] {
        assert_eq!(
            fault(&format!("APPEND {start} x{{0+}}\r\n")),
            FaultKind::Bad,
            "{start}"
        );
    }
    assert_eq!(fault("APPEND a"), FaultKind::Bad);
}

#[derive(Clone, Debug)]
enum Spelling {
    Bare,
    Quoted,
    Literal,
}

/// The test's own encoder of astrings.
fn spell(text: &str, spelling: &Spelling) -> String {
    let bare = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.&,+/".contains(&byte));
    match spelling {
        Spelling::Bare if bare => text.to_owned(),
        Spelling::Bare | Spelling::Quoted if !text.contains(['\r', '\n', '\0']) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => format!("{{{}+}}\r\n{text}", text.len()),
    }
}

fn spelling() -> impl Strategy<Value = Spelling> {
    prop_oneof![
        Just(Spelling::Bare),
        Just(Spelling::Quoted),
        Just(Spelling::Literal)
    ]
}

fn set() -> impl Strategy<Value = (String, SequenceSet)> {
    let number = prop_oneof![
        1 => Just(("*".to_owned(), SequenceNumber::Star)),
        4 => any::<core::num::NonZeroU32>()
            .prop_map(|number| (number.to_string(), SequenceNumber::Number(number))),
    ];
    let range = (number.clone(), number, any::<bool>()).prop_map(|(first, last, single)| {
        if single {
            (first.0, (first.1, first.1))
        } else {
            (format!("{}:{}", first.0, last.0), (first.1, last.1))
        }
    });
    prop::collection::vec(range, 1..8).prop_map(|ranges| {
        let (texts, ranges): (Vec<String>, Vec<_>) = ranges.into_iter().unzip();
        (texts.join(","), SequenceSet(ranges))
    })
}

proptest! {
    #[test]
    fn strings_arrive_however_they_are_spelled(
        username in "[^\\x00]{0,20}", password in "[^\\x00]{0,20}",
        first in spelling(), second in spelling(),
    ) {
        let (user, word) = (spell(&username, &first), spell(&password, &second));
        let CommandBody::Login { username: user, password: word } =
            parse(&format!("LOGIN {user} {word}")) else { panic!() };
        prop_assert_eq!((user, word.reveal()), (username, &password));
    }

    #[test]
    fn mailbox_names_arrive_in_utf_8(name in any::<String>(), spelling in spelling()) {
        prop_assume!(name.len() < 200 && !name.to_ascii_uppercase().starts_with("INBOX"));
        let encoded = rmail_proto::imap::wire::encode_mailbox_name(&name);
        let text = format!("DELETE {}", spell(&encoded, &spelling));
        let CommandBody::Delete { mailbox } = parse(&text) else { panic!() };
        prop_assert_eq!(mailbox, name);
    }

    #[test]
    fn sets_arrive_as_written((text, set) in set()) {
        let CommandBody::Copy { messages, .. } = parse(&format!("COPY {text} x")) else { panic!() };
        prop_assert_eq!(messages, MessageSet::Numbers(set));
    }

    #[test]
    fn resolved_sets_hold_what_their_ranges_hold(
        (_, set) in set(), largest in 0u32..50, probe in 1u32..60,
    ) {
        let resolved = set.resolve(largest);
        let expected = set.0.iter().any(|&(first, last)| {
            let number = |end| match end {
                SequenceNumber::Number(number) => Some(number.get()),
                SequenceNumber::Star => (largest > 0).then_some(largest),
            };
            let (Some(first), Some(last)) = (number(first), number(last)) else { return false };
            (first.min(last)..=first.max(last)).contains(&probe)
        });
        prop_assert_eq!(resolved.iter().any(|range| range.contains(&probe)), expected);
        for pair in resolved.windows(2) {
            prop_assert!(u64::from(*pair[0].end()) + 1 < u64::from(*pair[1].start()));
        }
    }
}

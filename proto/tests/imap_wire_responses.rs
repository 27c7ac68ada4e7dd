//! IMAP responses as bytes.

use proptest::prelude::*;
use rmail_proto::{
    Flags, Keyword, MailboxId, ModSeq, SystemFlags, Uid, UidValidity,
    imap::wire::{
        self, CommandBody, CommandReader, Condition, Fault, FaultKind, FetchResponse,
        ListAttributes, Progress, ResponseCode, SearchReturn, Section, SectionText, StatusItem,
        Tag,
    },
    imap::{Appended, Copied, MailboxStatus, No, NoCode, SpecialUse},
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn validity() -> UidValidity {
    UidValidity(7.try_into().unwrap())
}

fn status(code: Option<ResponseCode<'_>>) -> String {
    written(|out| wire::write_status(out, None, Condition::Ok, code, "Done"))
}

#[test]
fn status_responses_carry_tag_condition_and_text() {
    let tag = Tag::new(b"a1").unwrap();
    for (condition, expected) in [
        (Condition::Ok, "a1 OK Hi\r\n"),
        (Condition::No, "a1 NO Hi\r\n"),
        (Condition::Bad, "a1 BAD Hi\r\n"),
        (Condition::PreAuth, "a1 PREAUTH Hi\r\n"),
        (Condition::Bye, "a1 BYE Hi\r\n"),
    ] {
        let line = written(|out| wire::write_status(out, Some(&tag), condition, None, "Hi"));
        assert_eq!(line, expected);
    }
    let line =
        written(|out| wire::write_status(out, None, Condition::Bad, None, "a\r\nb OK \u{1}"));
    assert_eq!(line, "* BAD a  b OK  \r\n");
}

#[test]
fn response_codes() {
    let keywords = [Keyword::new("Foo").unwrap()].into_iter().collect();
    let copied = Copied {
        uid_validity: validity(),
        source: vec![uid(3), uid(4), uid(9)],
        target: vec![uid(1), uid(2), uid(3)],
    };
    let appended = Appended {
        uid_validity: validity(),
        uids: vec![uid(5), uid(6)],
    };
    let permanent = |system, new_keywords| ResponseCode::PermanentFlags {
        system,
        keywords: &keywords,
        new_keywords,
    };
    for (code, expected) in [
        (ResponseCode::Alert, "ALERT"),
        (
            ResponseCode::Capability(&["IMAP4rev1", "IDLE"]),
            "CAPABILITY IMAP4rev1 IDLE",
        ),
        (
            permanent(SystemFlags::SEEN, true),
            "PERMANENTFLAGS (\\Seen Foo \\*)",
        ),
        (permanent(SystemFlags::NONE, false), "PERMANENTFLAGS (Foo)"),
        (ResponseCode::ReadOnly, "READ-ONLY"),
        (ResponseCode::ReadWrite, "READ-WRITE"),
        (ResponseCode::UidNext(uid(9)), "UIDNEXT 9"),
        (ResponseCode::UidValidity(validity()), "UIDVALIDITY 7"),
        (ResponseCode::Unseen(3), "UNSEEN 3"),
        (ResponseCode::HighestModSeq(ModSeq(12)), "HIGHESTMODSEQ 12"),
        (ResponseCode::Modified(&[1..=3, 5..=5]), "MODIFIED 1:3,5"),
        (ResponseCode::AppendUid(&appended), "APPENDUID 7 5:6"),
        (ResponseCode::CopyUid(&copied), "COPYUID 7 3:4,9 1:3"),
        (ResponseCode::Closed, "CLOSED"),
        (
            ResponseCode::MailboxId(MailboxId(1)),
            "MAILBOXID (F00000000000000000000000000000001)",
        ),
        (ResponseCode::No(NoCode::TryCreate), "TRYCREATE"),
        (ResponseCode::No(NoCode::OverQuota), "OVERQUOTA"),
        (ResponseCode::Other("UIDNOTSTICKY"), "UIDNOTSTICKY"),
    ] {
        assert_eq!(status(Some(code)), format!("* OK [{expected}] Done\r\n"));
    }
    let none = Copied {
        source: vec![],
        target: vec![],
        ..copied
    };
    assert_eq!(status(Some(ResponseCode::CopyUid(&none))), "* OK Done\r\n");
    let none = ResponseCode::PermanentFlags {
        system: SystemFlags::NONE,
        keywords: &Default::default(),
        new_keywords: true,
    };
    assert_eq!(status(Some(none)), "* OK [PERMANENTFLAGS (\\*)] Done\r\n");
}

#[test]
fn faults_and_refusals_become_bad_or_no() {
    let tag = Tag::new(b"a");
    for (kind, tag, expected) in [
        (FaultKind::Bad, tag.clone(), "a BAD Why\r\n"),
        (FaultKind::Bad, None, "* BAD Why\r\n"),
        (FaultKind::TooBig, tag.clone(), "a BAD [TOOBIG] Why\r\n"),
        (FaultKind::UseAttr, tag.clone(), "a NO [USEATTR] Why\r\n"),
        (FaultKind::MailboxName, tag.clone(), "a NO [CANNOT] Why\r\n"),
    ] {
        let fault = Fault {
            tag,
            kind,
            text: "Why",
        };
        assert_eq!(written(|out| wire::write_fault(out, &fault)), expected);
    }
    let fault = Fault {
        tag: tag.clone(),
        kind: FaultKind::BadCharset,
        text: "Why",
    };
    let line = written(|out| wire::write_fault(out, &fault));
    assert!(line.starts_with("a NO [BADCHARSET (US-ASCII UTF-8 ") && line.ends_with(")] Why\r\n"));
    let no = No {
        code: NoCode::NonExistent,
        text: "Gone".into(),
    };
    let line = written(|out| wire::write_no(out, &tag.unwrap(), &no));
    assert_eq!(line, "a NO [NONEXISTENT] Gone\r\n");
}

#[test]
fn untagged_lines() {
    let keywords = [Keyword::new("Foo").unwrap()].into_iter().collect();
    let flags = SystemFlags::SEEN | SystemFlags::ANSWERED;
    type Write<'a> = Box<dyn FnOnce(&mut Vec<u8>) + 'a>;
    let cases: Vec<(Write<'_>, &str)> = vec![
        (
            Box::new(|out| wire::write_continuation(out, "go")),
            "+ go\r\n",
        ),
        (
            Box::new(|out| wire::write_capability(out, &["A", "B"])),
            "* CAPABILITY A B\r\n",
        ),
        (
            Box::new(|out| wire::write_enabled(out, &[])),
            "* ENABLED\r\n",
        ),
        (
            Box::new(wire::write_namespace),
            "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n",
        ),
        (Box::new(|out| wire::write_id(out, &[])), "* ID NIL\r\n"),
        (
            Box::new(|out| wire::write_id(out, &[("name", "rmail"), ("version", "1")])),
            "* ID (\"name\" \"rmail\" \"version\" \"1\")\r\n",
        ),
        (
            Box::new(|out| wire::write_flags(out, flags, &keywords)),
            "* FLAGS (\\Answered \\Seen Foo)\r\n",
        ),
        (Box::new(|out| wire::write_exists(out, 3)), "* 3 EXISTS\r\n"),
        (Box::new(|out| wire::write_recent(out, 0)), "* 0 RECENT\r\n"),
        (
            Box::new(|out| wire::write_expunge(out, 2)),
            "* 2 EXPUNGE\r\n",
        ),
        (
            Box::new(|out| wire::write_vanished(out, true, &[1..=2])),
            "* VANISHED (EARLIER) 1:2\r\n",
        ),
        (Box::new(|out| wire::write_vanished(out, false, &[])), ""),
        (
            Box::new(|out| wire::write_search(out, [2, 84], None)),
            "* SEARCH 2 84\r\n",
        ),
        (
            Box::new(|out| wire::write_search(out, [2], Some(ModSeq(9)))),
            "* SEARCH 2 (MODSEQ 9)\r\n",
        ),
        (
            Box::new(wire::write_list_separator),
            "* LIST (\\Noselect) \"/\" \"\"\r\n",
        ),
        (Box::new(|out| wire::write_nstring(out, None)), "NIL"),
        (
            Box::new(|out| wire::write_uids(out, &[uid(5), uid(6), uid(2), uid(u32::MAX)])),
            "5:6,2,4294967295",
        ),
    ];
    for (write, expected) in cases {
        assert_eq!(written(write), expected);
    }
}

#[test]
fn list_lines_name_attributes_and_encode_the_name() {
    let attributes = ListAttributes {
        has_children: Some(false),
        special_use: Some(SpecialUse::Drafts),
        ..ListAttributes::default()
    };
    assert_eq!(
        written(|out| wire::write_list(out, &attributes, "Entwürfe")),
        "* LIST (\\HasNoChildren \\Drafts) \"/\" Entw&APw-rfe\r\n"
    );
    let attributes = ListAttributes {
        no_select: true,
        has_children: Some(true),
        marked: Some(false),
        ..ListAttributes::default()
    };
    assert_eq!(
        written(|out| wire::write_lsub(out, &attributes, "a b\"")),
        "* LSUB (\\Noselect \\HasChildren \\Unmarked) \"/\" \"a b\\\"\"\r\n"
    );
    let attributes = ListAttributes {
        subscribed: true,
        ..ListAttributes::default()
    };
    assert_eq!(
        written(|out| wire::write_list_child_info(out, &attributes, "x")),
        "* LIST (\\Subscribed) \"/\" x (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
}

#[test]
fn status_items_come_in_the_order_asked() {
    let status = MailboxStatus {
        mailbox: MailboxId(15),
        messages: 1,
        recent: 2,
        unseen: 3,
        uid_next: uid(4),
        uid_validity: validity(),
        modseq: ModSeq(6),
        size_bytes: 8,
    };
    let items = StatusItem::NAMED.map(|(item, _)| item);
    assert_eq!(
        written(|out| wire::write_mailbox_status(out, "INBOX", &items, &status)),
        "* STATUS INBOX (MESSAGES 1 RECENT 2 UIDNEXT 4 UIDVALIDITY 7 UNSEEN 3 HIGHESTMODSEQ 6 \
         SIZE 8 MAILBOXID (F0000000000000000000000000000000f))\r\n"
    );
}

#[test]
fn esearch_tells_what_was_asked_for() {
    let tag = Tag::new(b"a").unwrap();
    let all = SearchReturn {
        min: true,
        max: true,
        all: true,
        count: true,
    };
    assert_eq!(
        written(|out| wire::write_esearch(out, &tag, true, all, &[2..=4, 9..=9], Some(ModSeq(5)))),
        "* ESEARCH (TAG \"a\") UID MIN 2 MAX 9 ALL 2:4,9 COUNT 4 MODSEQ 5\r\n"
    );
    assert_eq!(
        written(|out| wire::write_esearch(out, &tag, false, all, &[], None)),
        "* ESEARCH (TAG \"a\") COUNT 0\r\n"
    );
}

#[test]
fn fetch_items_are_parted_by_spaces() {
    let section = Section {
        part: vec![],
        text: SectionText::HeaderFields(vec!["DATE".into(), "FROM".into()]),
    };
    let line = written(|out| {
        let mut response = FetchResponse::start(out, 12);
        response.flags(out, &Flags::system(SystemFlags::SEEN), true);
        response.uid(out, uid(7));
        response.internal_date(out, Default::default());
        response.size(out, 44);
        response.modseq(out, ModSeq(3));
        response.envelope(out, b"(E)");
        response.body(out, b"(B)");
        response.body_structure(out, b"(S)");
        response.absent_section(out, &Section::default(), None);
        response.section(out, &section, Some(0), 2);
        out.extend_from_slice(b"Hi");
        response.rfc822_header(out, 0);
        response.end(out);
    });
    assert_eq!(
        line,
        "* 12 FETCH (FLAGS (\\Seen \\Recent) UID 7 INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" \
         RFC822.SIZE 44 MODSEQ (3) ENVELOPE (E) BODY (B) BODYSTRUCTURE (S) BODY[] NIL \
         BODY[HEADER.FIELDS (DATE FROM)]<0> {2}\r\nHi RFC822.HEADER {0}\r\n)\r\n"
    );
}

#[test]
fn what_can_not_be_quoted_is_a_literal() {
    let astring = |value: &str| written(|out| wire::write_astring(out, value.as_bytes()));
    for (value, expected) in [
        ("abc]", "abc]"),
        ("", "\"\""),
        ("nil", "\"nil\""),
        ("a*b", "\"a*b\""),
        ("a\\\"", "\"a\\\\\\\"\""),
        ("a\nb", "{3}\r\na\nb"),
        ("a\0", "{2}\r\na\0"),
        ("ü", "{2}\r\nü"),
    ] {
        assert_eq!(astring(value), expected);
    }
    let longest = "x".repeat(1000);
    assert_eq!(astring(&longest), longest);
    assert!(astring(&(longest + "x")).starts_with("{1001}\r\n"));
}

proptest! {
    #[test]
    fn written_astrings_are_read_back(value in "[^\\x00]{0,1100}") {
        let text = written(|out| wire::write_astring(out, value.as_bytes()));
        let input = format!("a LOGIN {text} x\r\n");
        let mut reader = CommandReader::default();
        let mut rest = input.as_bytes();
        let command = loop {
            let (consumed, progress) = reader.handle_input(rest);
            rest = &rest[consumed..];
            match progress {
                Progress::Incomplete => prop_assert!(consumed > 0),
                Progress::NeedContinuation => reader.accept_literal(),
                Progress::Command(command) => break command,
                other => panic!("{other:?}"),
            }
        };
        let CommandBody::Login { username, .. } = command.body else { panic!() };
        prop_assert_eq!(username, value);
    }
}

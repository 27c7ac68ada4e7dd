//! What filters mean, and what is none.

use proptest::prelude::*;

use super::*;
use crate::api::{
    odata::{
        ElementNumber, ElementText, MailFolder, Message, MessageCollection, MessageText,
        MessageTime,
        entity::{FolderNumber, MessageBoolean, MessageRank},
    },
    time::parse_time,
};

const BOUNDS: Bounds = Bounds {
    bytes: 8192,
    depth: 32,
    operands: 200,
};

fn parse(text: &str) -> Filter<Message> {
    parse_filter(text, BOUNDS).unwrap_or_else(|error| panic!("{text}: {}", error.message()))
}

fn fault(text: &str) -> String {
    let error = parse_filter::<Message>(text, BOUNDS).expect_err(text);
    assert_eq!(
        (error.code(), error.status().code()),
        ("BadRequest", 400),
        "{text}"
    );
    error.message().to_owned()
}

fn text(property: MessageText, operator: Operator, value: &str) -> Filter<Message> {
    Filter::Text(Comparison {
        left: TextOperand::Property(property),
        operator,
        right: TextOperand::Literal(value.to_owned()),
    })
}

fn is_read() -> Filter<Message> {
    Filter::Is(MessageBoolean::IsRead)
}

fn not(filter: Filter<Message>) -> Filter<Message> {
    Filter::Not(Box::new(filter))
}

fn any_text(collection: MessageCollection, name: ElementText, value: &str) -> Filter<Message> {
    let filter = Filter::Text(Comparison {
        left: TextOperand::Property(name),
        operator: Operator::Eq,
        right: TextOperand::Literal(value.to_owned()),
    });
    Filter::Any(collection, Some(Box::new(filter)))
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    let subject = |value| text(MessageText::Subject, Operator::Eq, value);
    let expected = Filter::Or(vec![
        subject("a"),
        Filter::And(vec![subject("b"), not(subject("c"))]),
    ]);
    assert_eq!(
        parse("subject eq 'a' or subject eq 'b' and not subject eq 'c'"),
        expected
    );
    assert_eq!(
        parse("(subject eq 'a') or ((subject eq 'b') and not(subject eq 'c'))"),
        expected
    );
}

#[test]
fn truth_is_a_property_or_its_contrary() {
    for (written, expected) in [
        ("isRead", is_read()),
        ("isRead eq true", is_read()),
        ("true eq isRead", is_read()),
        ("isRead ne false", is_read()),
        ("isRead eq false", not(is_read())),
        ("not isRead", not(is_read())),
        ("not isRead eq true", not(is_read())),
        ("true", Filter::Constant(true)),
        ("true eq false", Filter::Constant(false)),
    ] {
        assert_eq!(parse(written), expected, "{written}");
    }
}

#[test]
fn blanks_are_free() {
    let expected = Filter::Match {
        test: TextTest::Contains,
        text: TextOperand::Property(MessageText::Subject),
        pattern: TextOperand::Literal("it's".to_owned()),
    };
    for written in [
        "contains(subject,'it''s')",
        " contains ( subject , 'it''s' ) ",
    ] {
        assert_eq!(parse(written), expected, "{written}");
    }
    assert_eq!(
        parse("categories/any(a: a eq 'x')"),
        parse("categories/any(a:a eq 'x')")
    );
}

#[test]
fn times_compare_with_times() {
    let written = "receivedDateTime ge 2024-01-01T00:00:00+02:00";
    let expected = Filter::Time(Comparison {
        left: TimeOperand::Property(MessageTime::Received),
        operator: Operator::Ge,
        right: TimeOperand::Literal(parse_time("2023-12-31T22:00:00Z").unwrap()),
    });
    assert_eq!(parse(written), expected);
    assert!(fault("receivedDateTime ge '2024-01-01'").contains("Incomparable"));
    assert!(fault("receivedDateTime ge 5").contains("Incomparable"));
}

#[test]
fn importance_is_an_order() {
    let high = |operator| Filter::Rank(MessageRank::Importance, operator, Importance::High);
    assert_eq!(parse("importance eq 'HIGH'"), high(Operator::Eq));
    assert_eq!(parse("not importance eq 'high'"), not(high(Operator::Eq)));
    assert_eq!(parse("'high' gt importance"), high(Operator::Lt));
    assert!(fault("importance eq 'urgent'").contains("position 0"));
}

#[test]
fn null_is_what_is_absent() {
    let absent = Filter::TextAbsent(MessageText::InternetMessageId);
    assert_eq!(parse("internetMessageId eq null"), absent);
    assert_eq!(parse("null ne internetMessageId"), not(absent));
    assert_eq!(
        parse("sentDateTime eq null"),
        Filter::TimeAbsent(MessageTime::Sent)
    );
    assert_eq!(parse("subject gt null"), Filter::Constant(false));
    assert_eq!(parse("isRead eq null"), Filter::Constant(false));
    assert_eq!(parse("null eq null"), Filter::Constant(true));
}

#[test]
fn collections_are_looked_into() {
    let to = any_text(MessageCollection::ToRecipients, ElementText::Address, "a@b");
    assert_eq!(
        parse("toRecipients/any(r:r/emailAddress/address eq 'a@b')"),
        to
    );
    // Without `any`, as one client writes it.
    assert_eq!(parse("toRecipients/emailAddress/address eq 'a@b'"), to);
    let category = any_text(MessageCollection::Categories, ElementText::Itself, "x");
    assert_eq!(parse("categories/any(c:c eq 'x')"), category);
    let some = Filter::Any(MessageCollection::Attachments, None);
    assert_eq!(parse("attachments/any()"), some);
    let size = Filter::Number(Comparison {
        left: NumberOperand::Property(ElementNumber::Size),
        operator: Operator::Gt,
        right: NumberOperand::Literal(5),
    });
    let all = Filter::All(MessageCollection::Attachments, Box::new(size));
    assert_eq!(parse("attachments/all(a:a/size gt 5)"), all);
    assert!(matches!(
        parse("startswith(toRecipients/emailAddress/address, 'a')"),
        Filter::Any(MessageCollection::ToRecipients, Some(_))
    ));
}

#[test]
fn functions_are_of_texts() {
    let length = Filter::Number(Comparison {
        left: NumberOperand::Length(TextOperand::Property(MessageText::Subject)),
        operator: Operator::Lt,
        right: NumberOperand::Literal(10),
    });
    assert_eq!(parse("length(subject) lt 10"), length);
    let same = text(MessageText::Subject, Operator::Eq, "a");
    assert_eq!(parse("tolower(subject) eq 'a'"), same);
    assert_eq!(parse("toupper(subject) eq toupper('a')"), same);
    assert!(matches!(
        parse("trim(subject) eq 'a'"),
        Filter::Text(Comparison {
            left: TextOperand::Trimmed(_),
            ..
        })
    ));
}

#[test]
fn lists_are_alternatives() {
    let expected = Filter::Or(vec![
        text(MessageText::Subject, Operator::Eq, "a"),
        text(MessageText::Subject, Operator::Eq, "b"),
    ]);
    assert_eq!(parse("subject in ('a', 'b')"), expected);
    assert!(fault("subject in ()").contains("Syntax error"));
    assert!(fault("subject in ('a', isRead)").contains("Incomparable"));
    assert!(fault("subject in (subject)").contains("Incomparable"));
}

#[test]
fn faults_are_told_with_their_position() {
    for (written, position) in [
        ("", 0),
        ("subject", 7),
        ("subject eq", 10),
        ("subject eq 'a' x", 15),
        ("subject eq 'a", 11),
        ("subject EQ 'a'", 8),
        ("x eq 'a'", 0),
        ("isRead and y eq 1", 11),
        ("matches(subject,'a')", 0),
        ("contains(subject,'a'", 20),
        ("contains(isRead,'a')", 0),
        ("(isRead", 7),
        ("isRead)", 6),
        ("isRead gt false", 0),
        ("subject/any(a:a eq 'x')", 0),
        ("categories/any(c:subject eq 'x')", 17),
        ("categories/any(c c eq 'x')", 17),
        ("categories eq 'x'", 0),
        ("toRecipients/any(r:r/name eq 'x')", 19),
        ("toRecipients/all()", 17),
        ("subject eq 5", 0),
        ("'a' eq 5", 0),
        ("from eq 'x'", 0),
        ("isRead isRead", 7),
    ] {
        let message = fault(written);
        assert!(
            message.contains(&format!("position {position} ")),
            "{written}: {message}"
        );
    }
}

#[test]
fn filters_are_bounded() {
    let deep = |depth: usize| format!("{}isRead{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse(&deep(BOUNDS.depth)), is_read());
    assert!(fault(&deep(BOUNDS.depth + 1)).contains("Nested too deeply"));
    assert!(fault(&format!("{}isRead", "not ".repeat(BOUNDS.depth + 1))).contains("Nested"));
    let wide = |count: usize| vec!["isRead"; count].join(" or ");
    assert!(matches!(parse(&wide(BOUNDS.operands)), Filter::Or(_)));
    assert!(fault(&wide(BOUNDS.operands + 1)).contains("Too many operands"));
    let long = |bytes: usize| format!("subject eq '{}'", "a".repeat(bytes - 13));
    assert!(matches!(parse(&long(BOUNDS.bytes)), Filter::Text(_)));
    assert!(fault(&long(BOUNDS.bytes + 1)).contains("too long"));
}

#[test]
fn folders_have_numbers() {
    let parse = |text| parse_filter::<MailFolder>(text, BOUNDS);
    let expected = Filter::Number(Comparison {
        left: NumberOperand::Property(FolderNumber::UnreadItems),
        operator: Operator::Gt,
        right: NumberOperand::Literal(0),
    });
    assert_eq!(parse("unreadItemCount gt 0"), Ok(expected));
    assert!(parse("displayName eq 'x' and not isHidden").is_ok());
    assert!(parse("subject eq 'x'").is_err());
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(
        words in proptest::collection::vec(
            prop_oneof![
                "[ -~\u{e9}]{0,4}",
                proptest::sample::select(vec![
                    "(", ")", ",", "/", ":", " ", "'a'", "not ", " and ", " or ", " eq ", " in ",
                    "null", "true", "5", "2024-01-01", "subject", "isRead", "importance",
                    "receivedDateTime", "categories", "any", "all", "c", "contains", "length",
                    "toRecipients/emailAddress/address", "trim",
                ]).prop_map(str::to_owned),
            ],
            0..24,
        ),
    ) {
        let _ = parse_filter::<Message>(&words.concat(), BOUNDS);
    }
}

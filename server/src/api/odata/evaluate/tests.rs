use std::cell::Cell;

use proptest::prelude::*;
use rmail_proto::UnixTime;

use super::*;
use crate::api::odata::{Bounds, ListQuery, MailFolder, Options, parse_filter};

const BOUNDS: Bounds = Bounds {
    bytes: 8192,
    depth: 32,
    operands: 200,
};

/// A message that notes what of it was looked up.
#[derive(Debug, Default)]
struct Sample {
    subject: Option<&'static str>,
    received: i64,
    sent: Option<i64>,
    is_read: bool,
    importance: Importance,
    to: Vec<(&'static str, &'static str)>,
    categories: Vec<&'static str>,
    attachments: Vec<(&'static str, u64)>,
    body: &'static str,
    id: &'static str,
    looked_up: Cell<Option<Needs>>,
}

impl Sample {
    fn note(&self, property: PropertyPath<Message>) {
        let needs = Some(Message::needs(property));
        self.looked_up.set(self.looked_up.get().max(needs));
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp {
        unix: UnixTime(seconds),
        nanoseconds: 0,
    }
}

impl Values<Message> for Sample {
    fn text(&self, name: MessageText) -> Option<Cow<'_, str>> {
        self.note(PropertyPath::Text(name));
        let text = match name {
            MessageText::Id => Some(self.id),
            MessageText::Subject => self.subject,
            MessageText::BodyContent => Some(self.body),
            MessageText::FlagStatus => Some("flagged"),
            MessageText::FromName => Some("Bob Bär"),
            MessageText::FromAddress => Some("bob@Example.test"),
            MessageText::BodyPreview
            | MessageText::ConversationId
            | MessageText::InternetMessageId
            | MessageText::ParentFolderId
            | MessageText::ChangeKey
            | MessageText::InferenceClassification
            | MessageText::SenderAddress
            | MessageText::SenderName => None,
        };
        text.map(Cow::Borrowed)
    }

    fn time(&self, name: MessageTime) -> Option<Timestamp> {
        self.note(PropertyPath::Time(name));
        match name {
            MessageTime::Sent => self.sent.map(at),
            MessageTime::Received | MessageTime::Created | MessageTime::LastModified => {
                Some(at(self.received))
            }
        }
    }

    fn boolean(&self, name: MessageBoolean) -> bool {
        self.note(PropertyPath::Boolean(name));
        match name {
            MessageBoolean::IsRead => self.is_read,
            MessageBoolean::IsDraft => false,
            MessageBoolean::HasAttachments => !self.attachments.is_empty(),
        }
    }

    fn number(&self, name: Never) -> Option<i64> {
        match name {}
    }

    fn rank(&self, name: MessageRank) -> Importance {
        self.note(PropertyPath::Rank(name));
        self.importance
    }

    fn elements(&self, name: MessageCollection) -> Vec<ElementValues<'_>> {
        self.note(PropertyPath::Collection(name));
        let text = |text: &'static str| Some(Cow::Borrowed(text));
        match name {
            MessageCollection::Categories => {
                let categories = self.categories.iter();
                let element = categories.map(|name| ElementValues {
                    itself: text(name),
                    ..ElementValues::default()
                });
                element.collect()
            }
            MessageCollection::ToRecipients => {
                let element = self.to.iter().map(|(name, address)| ElementValues {
                    name: text(name),
                    address: text(address),
                    ..ElementValues::default()
                });
                element.collect()
            }
            MessageCollection::Attachments => {
                let element = self.attachments.iter().map(|(name, size)| ElementValues {
                    name: text(name),
                    size_bytes: Some(*size),
                    ..ElementValues::default()
                });
                element.collect()
            }
            MessageCollection::CcRecipients
            | MessageCollection::BccRecipients
            | MessageCollection::ReplyTo => Vec::new(),
        }
    }
}

impl Searched for Sample {
    fn size_bytes(&self) -> u64 {
        1000
    }

    fn body_text(&self) -> Cow<'_, str> {
        self.note(PropertyPath::Text(MessageText::BodyContent));
        Cow::Borrowed(self.body)
    }
}

fn sample() -> Sample {
    Sample {
        subject: Some("Große Pläne"),
        received: 1_700_000_000,
        importance: Importance::High,
        to: vec![("Alice", "alice@example.test"), ("", "carol@example.test")],
        categories: vec!["Red"],
        attachments: vec![("Report.pdf", 5000)],
        body: "<p>The café is open</p>",
        id: "m1",
        ..Sample::default()
    }
}

fn is_true(filter: &str) -> bool {
    parse_filter::<Message>(filter, BOUNDS)
        .unwrap()
        .matches(&sample())
}

fn finds(search: &str) -> bool {
    Search::parse(search, BOUNDS).unwrap().matches(&sample())
}

#[test]
fn filters_that_are_true() {
    for filter in [
        "subject eq 'GROSSE PLÄNE'",
        "subject ne 'x'",
        "contains(subject, 'PLÄ')",
        "startswith(subject,'gross') and endswith(subject,'ne')",
        "length(subject) eq 11",
        "not (subject eq 'x')",
        "not isRead",
        "isRead eq false",
        "importance eq 'high' and importance gt 'normal'",
        "receivedDateTime ge 2023-11-14T22:13:20Z",
        "receivedDateTime lt 2023-11-14T22:13:20.5Z",
        "from/emailAddress/address eq 'BOB@example.TEST'",
        "categories/any(c:c eq 'red')",
        "not categories/any(c:c eq 'blue')",
        "toRecipients/any(r:r/emailAddress/address eq 'carol@example.test')",
        "toRecipients/all(r:contains(r/emailAddress/address, '@example.'))",
        "ccRecipients/all(r:r/emailAddress/address eq 'x')",
        "attachments/any(a:a/size gt 4000 and endswith(a/name, '.PDF'))",
        "attachments/any()",
        "subject in ('x', 'große pläne')",
        "flag/flagStatus eq 'Flagged'",
        "contains(body/content, 'CAFÉ')",
    ] {
        assert!(is_true(filter), "{filter}");
    }
}

#[test]
fn filters_that_are_false() {
    for filter in [
        "subject eq 'Große'",
        "contains(subject, 'Plane')",
        "ccRecipients/any()",
        "toRecipients/all(r:r/emailAddress/name eq 'Alice')",
        "importance lt 'normal'",
        "isRead or isDraft",
        "subject eq 'große pläne' and isRead",
    ] {
        assert!(!is_true(filter), "{filter}");
    }
}

#[test]
fn absent_value_is_null_and_compares_with_nothing() {
    assert!(is_true(
        "sentDateTime eq null and internetMessageId eq null"
    ));
    assert!(is_true(
        "sentDateTime ne 2023-11-14T22:13:20Z and internetMessageId ne 'x'"
    ));
    for operator in ["eq", "gt", "ge", "lt", "le"] {
        assert!(!is_true(&format!(
            "sentDateTime {operator} 2023-11-14T22:13:20Z"
        )));
        assert!(!is_true(&format!("internetMessageId {operator} 'x'")));
    }
    assert!(!is_true("contains(internetMessageId, '')"));
    assert!(is_true("receivedDateTime ne null"));
}

#[test]
fn searches_find_words_without_case_and_diacritics() {
    for search in [
        "plane",
        "GROẞE",
        "\"grosse plane\"",
        "cafe",
        "caf*",
        "from:bob",
        "from:bar",
        "from:bob@example.test",
        "to:carol",
        "recipients:alice AND participants:bob",
        "subject:'plane'",
        "body:open NOT body:closed",
        "attachment:report",
        "category:red",
        "hasAttachments:true isread:false importance:high",
        "size>=1000",
        "size:500..1500",
        "received:2023-11-14",
        "received>=11/14/2023",
        "kind:email",
        "nothing OR open",
    ] {
        let search = search
            .replace("size>=", "size:>=")
            .replace("received>=", "received:>=");
        assert!(finds(&search), "{search}");
    }
    for search in [
        "plan",
        "afe",
        "open cafe closed",
        "cc:carol",
        "size:<1000",
        "received:2023-11-15",
        "sent:2023-11-14",
        "kind:meetings",
        "NOT open",
        "\"cafe open\"",
    ] {
        assert!(!finds(search), "{search}");
    }
}

#[test]
fn what_a_query_needs_is_known_before_and_no_more_is_looked_up() {
    for (query, needs) in [
        ("", Needs::Facts),
        ("$filter=isRead eq false", Needs::Facts),
        (
            "$filter=receivedDateTime ge 2023-11-14 and categories/any(c:c eq 'x')",
            Needs::Facts,
        ),
        (
            "$filter=flag/flagStatus eq 'flagged'&$orderby=receivedDateTime desc",
            Needs::Facts,
        ),
        ("$filter=isRead&$orderby=subject", Needs::Header),
        (
            "$filter=startswith(subject,'x') or from/emailAddress/address eq 'x'",
            Needs::Header,
        ),
        ("$filter=not (importance eq 'high')", Needs::Header),
        ("$filter=contains(trim(body/content),'x')", Needs::Content),
        ("$orderby=bodyPreview", Needs::Content),
        ("$search=\"subject:x from:y\"", Needs::Header),
        ("$search=\"isread:true\"", Needs::Facts),
        ("$search=\"x\"", Needs::Content),
    ] {
        let query = query.replace("2023-11-14 ", "2023-11-14T00:00:00Z ");
        let query = ListQuery::<Message>::parse(&Options::parse(&query).unwrap(), BOUNDS).unwrap();
        assert_eq!(query.criteria.needs(), needs, "{query:?}");
        assert_eq!(query.criteria.needs_content(), needs == Needs::Content);
        let item = sample();
        match &query.criteria {
            Criteria::Filter { filter, order } => {
                filter.as_ref().map(|filter| filter.matches(&item));
                Place::new(order, &item, "x".to_owned());
            }
            Criteria::Search(search) => {
                search.matches(&item);
            }
        }
        assert!(item.looked_up.get() <= Some(needs), "{query:?}");
    }
}

#[test]
fn content_is_not_looked_up_when_less_decides() {
    for filter in [
        "contains(body/content,'x') and isRead",
        "contains(body/content,'x') or isRead eq false",
    ] {
        let item = sample();
        parse_filter::<Message>(filter, BOUNDS)
            .unwrap()
            .matches(&item);
        assert_eq!(item.looked_up.get(), Some(Needs::Facts), "{filter}");
    }
    let item = sample();
    assert!(
        !Search::parse("cafe isread:true", BOUNDS)
            .unwrap()
            .matches(&item)
    );
    assert_eq!(item.looked_up.get(), Some(Needs::Facts));
}

fn sorted(order: &str, items: &[Sample]) -> Vec<&'static str> {
    let order = OrderBy::<Message>::parse(order).unwrap();
    let mut places: Vec<(Place, &str)> = items
        .iter()
        .map(|item| (Place::new(&order, item, item.id.to_owned()), item.id))
        .collect();
    places.sort();
    places.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn orders_are_by_their_keys_and_then_by_id() {
    let item = |id, subject, received| Sample {
        id,
        subject,
        received,
        ..Sample::default()
    };
    let items = [
        item("d", Some("b"), 1),
        item("c", Some("B"), 2),
        item("b", None, 3),
        item("a", Some("a"), 1),
    ];
    assert_eq!(sorted("subject", &items), ["b", "a", "c", "d"]);
    assert_eq!(sorted("subject desc", &items), ["c", "d", "a", "b"]);
    assert_eq!(
        sorted("receivedDateTime desc,subject", &items),
        ["b", "c", "a", "d"]
    );
    assert_eq!(sorted("isRead", &items), ["a", "b", "c", "d"]);
    assert_eq!(sorted("id desc", &items), ["d", "c", "b", "a"]);
    let mut places = items
        .iter()
        .map(|it| Place::new(&OrderBy::DEFAULT, it, it.id.to_owned()));
    assert!(places.next() > places.next());
}

#[test]
fn folders_need_facts_only() {
    let query = Options::parse("$filter=totalItemCount gt 5&$orderby=displayName").unwrap();
    let query = ListQuery::<MailFolder>::parse(&query, BOUNDS).unwrap();
    assert_eq!(query.criteria.needs(), Needs::Facts);
}

proptest! {
    #[test]
    fn order_of_places_is_total(ids in prop::collection::vec("[ab]{0,2}", 0..6), desc: bool) {
        let order = if desc { "subject desc" } else { "subject" };
        let order = OrderBy::<Message>::parse(order).unwrap();
        let item = sample();
        let mut places: Vec<Place> =
            ids.iter().map(|id| Place::new(&order, &item, id.clone())).collect();
        places.sort();
        places.dedup();
        let mut unique = ids;
        unique.sort();
        unique.dedup();
        let sorted: Vec<String> = places.into_iter().map(|place| place.id).collect();
        prop_assert_eq!(sorted, unique);
    }
}

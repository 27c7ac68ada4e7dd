//! Which messages a list holds: what the store can select and sort by itself, it does; the rest
//! is looked at here, in the order of the list, and no more of it than the page needs.
//!
//! | asked | done |
//! |---|---|
//! | flags, dates, folder, by date | the page comes from the store, and so does the count |
//! | other filters, a search; by date | messages are looked at until the page is full |
//! | another order | all are looked at; those up to the page's end are kept |
//!
//! A walk through the messages goes by their dates of arrival, which never change: what comes and
//! goes meanwhile neither repeats nor hides another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rmail_proto::{
    InstanceId, MailboxId, SystemFlags, Uid, UnixTime,
    imap::{Columns, MessageData},
};
use rmail_store::{Listing, StoreError, StoredMessage};

use super::{Cx, Failure, categories::Categories, lists::Page, message_values::Candidate};
use crate::{
    api::{
        odata::{
            self, Comparison, Criteria, Days, Filter, MessageBoolean, MessageText, MessageTime,
            Needs, Operator, OrderBy, Place, Search, SortKey, TextOperand, TimeOperand,
        },
        resources::Parsed,
        time::Timestamp,
    },
    limits,
};

type MessageFilter = Filter<odata::Message>;
type MessageOrder = OrderBy<odata::Message>;

/// A page of messages.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) messages: Vec<StoredMessage>,
    /// How many there are in all; where they were not counted, more than the page's end if there
    /// are more.
    pub(super) total: u64,
}

/// Finds the messages of a page, in a folder or in all.
pub(super) fn find(
    cx: &Cx<'_>,
    folder: Option<MailboxId>,
    criteria: &Criteria<odata::Message>,
    page: Page,
    counts: bool,
) -> Result<Found, Failure> {
    let plan = Plan::new(folder, criteria);
    let found = match (plan.condition, plan.order) {
        (Condition::All, []) => plan.select(cx, page, counts),
        (_, []) => plan.walk(cx, page, counts),
        (_, _) => plan.sort(cx, page),
    };
    match found {
        // A filter names a folder that there is not.
        Err(Failure::Store(StoreError::NoSuchMailbox)) => Ok(Found::default()),
        found => found,
    }
}

/// How they are found.
#[derive(Debug)]
struct Plan<'q> {
    /// What the store does.
    listing: Listing,
    /// What is looked at besides.
    condition: Condition<'q>,
    /// The order, where it is not that of the listing.
    order: &'q [MessageOrder],
}

/// What messages must be, besides being in the listing.
#[derive(Clone, Copy, Debug)]
enum Condition<'q> {
    All,
    Filter(&'q MessageFilter),
    Search(&'q Search),
}

impl<'q> Plan<'q> {
    fn new(folder: Option<MailboxId>, criteria: &'q Criteria<odata::Message>) -> Self {
        let mut listing = Listing {
            mailbox: folder,
            ..Listing::default()
        };
        let (condition, order) = match criteria {
            Criteria::Search(search) => {
                narrow_search(&mut listing, search);
                (Condition::Search(search), [].as_slice())
            }
            Criteria::Filter { filter, order } => {
                let condition = match filter {
                    Some(filter) if !narrow(&mut listing, filter) => Condition::Filter(filter),
                    Some(_) | None => Condition::All,
                };
                let order = match by_date(order) {
                    Some(oldest_first) => {
                        listing.oldest_first = oldest_first;
                        &[]
                    }
                    None => order.as_slice(),
                };
                (condition, order)
            }
        };
        Self {
            listing,
            condition,
            order,
        }
    }

    fn select(mut self, cx: &Cx<'_>, page: Page, counts: bool) -> Result<Found, Failure> {
        let items = u64::from(page.items);
        self.listing.offset = page.skip;
        // One more tells whether there are more.
        self.listing.count_max = items + u64::from(!counts);
        let account = cx.account().id;
        let (mut messages, total) = cx.store().list(account, &self.listing, counts)?;
        let total = total.unwrap_or(page.skip + messages.len() as u64);
        messages.truncate(page.items as usize);
        Ok(Found { messages, total })
    }

    fn walk(self, cx: &Cx<'_>, page: Page, counts: bool) -> Result<Found, Failure> {
        let category_names = Categories::load(cx)?.names;
        let most = match self.condition {
            Condition::Search(_) => limits::SEARCH_RESULTS,
            Condition::All | Condition::Filter(_) => u64::MAX,
        };
        let end = (page.skip + u64::from(page.items)).min(most);
        let enough = match counts {
            true => most,
            false => (end + 1).min(most),
        };
        let mut found = Found::default();
        let (condition, needs) = (self.condition, self.condition.needs());
        let mut walk = Walk::new(cx, self.listing, end + 1);
        while found.total < enough
            && let Some(messages) = walk.next()?
        {
            let headers = headers(cx, &messages, needs)?;
            for message in messages {
                let header = headers.get(&place_of(&message)).cloned();
                let candidate = Candidate::new(cx, &message, &category_names, header);
                if !candidate.ask(|it| condition.holds(it))?.unwrap_or(false) {
                    continue;
                }
                if (page.skip..end).contains(&found.total) {
                    found.messages.push(message);
                }
                found.total += 1;
                if found.total >= enough {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn sort(self, cx: &Cx<'_>, page: Page) -> Result<Found, Failure> {
        let category_names = Categories::load(cx)?.names;
        let (skip, items) = (page.skip as usize, page.items as usize);
        let end = skip.saturating_add(items);
        let mut kept: Vec<(Place, StoredMessage)> = Vec::new();
        let mut total = 0;
        let (condition, order) = (self.condition, self.order);
        let needs = condition.needs().max(OrderBy::needs(order));
        let mut walk = Walk::new(cx, self.listing, u64::MAX);
        while let Some(messages) = walk.next()? {
            let headers = headers(cx, &messages, needs)?;
            for message in messages {
                let header = headers.get(&place_of(&message)).cloned();
                let candidate = Candidate::new(cx, &message, &category_names, header);
                let id = message.data.instance_id.to_string();
                let place = candidate.ask(|it| {
                    let holds = condition.holds(it);
                    holds.then(|| Place::new(order, it, id))
                })?;
                if let Some(Some(place)) = place {
                    total += 1;
                    kept.push((place, message));
                }
            }
            keep_first(&mut kept, end);
        }
        let messages = kept.into_iter().map(|(_, message)| message);
        Ok(Found {
            messages: messages.skip(skip).take(items).collect(),
            total,
        })
    }
}

/// No two have the same place.
fn keep_first(kept: &mut Vec<(Place, StoredMessage)>, count: usize) {
    kept.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    kept.truncate(count);
}

impl Condition<'_> {
    fn holds(&self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Filter(filter) => filter.matches(candidate),
            Self::Search(search) => search.matches(candidate),
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Self::All => Needs::Facts,
            Self::Filter(filter) => filter.needs(),
            Self::Search(search) => search.needs(),
        }
    }
}

/// Whether an order is by the date of arrival alone, and which way.
fn by_date(order: &[MessageOrder]) -> Option<bool> {
    let is_date = |by: &MessageOrder| by.key == SortKey::Time(MessageTime::Received);
    match order {
        [] => Some(false),
        [by] if is_date(by) => Some(!by.is_descending),
        [by, id] if is_date(by) && id.is_total() && by.is_descending == id.is_descending => {
            Some(!by.is_descending)
        }
        _ => None,
    }
}

/// Has the store select by a filter, as far as it can; whether that is all of it.
fn narrow(listing: &mut Listing, filter: &MessageFilter) -> bool {
    match filter {
        Filter::Constant(value) => *value,
        Filter::And(filters) => {
            let mut is_all = true;
            for filter in filters {
                is_all &= narrow(listing, filter);
            }
            is_all
        }
        Filter::Is(name) => narrow_flag(listing, *name, true),
        Filter::Not(filter) => match &**filter {
            Filter::Is(name) => narrow_flag(listing, *name, false),
            _ => false,
        },
        Filter::Text(Comparison {
            left: TextOperand::Property(name),
            operator: Operator::Eq,
            right: TextOperand::Literal(text),
        }) => narrow_text(listing, *name, text),
        Filter::Time(Comparison {
            left: TimeOperand::Property(MessageTime::Received),
            operator,
            right: TimeOperand::Literal(time),
        }) => narrow_date(listing, *operator, *time),
        Filter::Time(Comparison {
            left: TimeOperand::Literal(time),
            operator,
            right: TimeOperand::Property(MessageTime::Received),
        }) => narrow_date(listing, operator.flipped(), *time),
        Filter::Or(_)
        | Filter::Text(_)
        | Filter::Time(_)
        | Filter::Number(_)
        | Filter::Rank(..)
        | Filter::Match { .. }
        | Filter::TextAbsent(_)
        | Filter::TimeAbsent(_)
        | Filter::Any(..)
        | Filter::All(..) => false,
    }
}

fn narrow_flag(listing: &mut Listing, name: MessageBoolean, is_set: bool) -> bool {
    let flag = match name {
        MessageBoolean::IsRead => SystemFlags::SEEN,
        MessageBoolean::IsDraft => SystemFlags::DRAFT,
        MessageBoolean::HasAttachments => return false,
    };
    let side = match is_set {
        true => &mut listing.with,
        false => &mut listing.without,
    };
    *side = *side | flag;
    true
}

fn narrow_text(listing: &mut Listing, name: MessageText, text: &str) -> bool {
    match name {
        MessageText::ParentFolderId => match (listing.mailbox, MailboxId::parse(text)) {
            (None, Some(folder)) => {
                listing.mailbox = Some(folder);
                true
            }
            (known, folder) => known.is_some() && known == folder,
        },
        MessageText::FlagStatus if text.eq_ignore_ascii_case("flagged") => {
            listing.with = listing.with | SystemFlags::FLAGGED;
            true
        }
        MessageText::FlagStatus if text.eq_ignore_ascii_case("notFlagged") => {
            // Those that are complete are not flagged either.
            listing.without = listing.without | SystemFlags::FLAGGED;
            false
        }
        MessageText::FlagStatus
        | MessageText::Id
        | MessageText::Subject
        | MessageText::BodyPreview
        | MessageText::BodyContent
        | MessageText::ConversationId
        | MessageText::InternetMessageId
        | MessageText::ChangeKey
        | MessageText::InferenceClassification
        | MessageText::FromAddress
        | MessageText::FromName
        | MessageText::SenderAddress
        | MessageText::SenderName => false,
    }
}

/// Messages arrive at whole seconds.
fn narrow_date(listing: &mut Listing, operator: Operator, time: Timestamp) -> bool {
    let second = time.unix.0;
    let is_whole = time.nanoseconds == 0;
    let next = second.saturating_add(1);
    let (from, until) = match operator {
        Operator::Ge if is_whole => (Some(second), None),
        Operator::Ge | Operator::Gt => (Some(next), None),
        Operator::Lt if is_whole => (None, Some(second.saturating_sub(1))),
        Operator::Lt | Operator::Le => (None, Some(second)),
        Operator::Eq if is_whole => (Some(second), Some(second)),
        // None does.
        Operator::Eq => (Some(next), Some(second)),
        Operator::Ne => return false,
    };
    narrow_range(listing, from, until);
    true
}

fn narrow_range(listing: &mut Listing, from: Option<i64>, until: Option<i64>) {
    let from = from.map(UnixTime).into_iter().chain(listing.received_from);
    let until = until.map(UnixTime).into_iter();
    let until = until.chain(listing.received_until);
    (listing.received_from, listing.received_until) = (from.max(), until.min());
}

/// Has the store leave out what a search can't find.
fn narrow_search(listing: &mut Listing, search: &Search) {
    match search {
        Search::And(terms) => terms.iter().for_each(|term| narrow_search(listing, term)),
        Search::IsRead(is_read) => {
            narrow_flag(listing, MessageBoolean::IsRead, *is_read);
        }
        Search::Received(Days { from, before }) => {
            if let Some(from) = from {
                narrow_date(listing, Operator::Ge, *from);
            }
            if let Some(before) = before {
                narrow_date(listing, Operator::Lt, *before);
            }
        }
        Search::Or(_)
        | Search::Not(_)
        | Search::Text(..)
        | Search::HasAttachment(_)
        | Search::Importance(_)
        | Search::Size(_)
        | Search::Sent(_)
        | Search::Everything(_) => {}
    }
}

/// A way through a listing, piece by piece.
struct Walk<'c> {
    cx: &'c Cx<'c>,
    listing: Listing,
    /// Messages of the last date that were there already.
    edge: BTreeSet<InstanceId>,
    edge_date: Option<UnixTime>,
    piece: u64,
    has_ended: bool,
}

impl<'c> Walk<'c> {
    /// `wanted`: how many are wanted at least; a guess.
    fn new(cx: &'c Cx<'c>, listing: Listing, wanted: u64) -> Self {
        let (min, max) = (limits::WALK_MESSAGES_MIN, limits::WALK_MESSAGES_MAX);
        Self {
            cx,
            listing,
            edge: BTreeSet::new(),
            edge_date: None,
            piece: wanted.clamp(min, max),
            has_ended: false,
        }
    }

    /// The next messages; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<StoredMessage>>, Failure> {
        if self.has_ended {
            return Ok(None);
        }
        self.listing.count_max = self.piece + self.edge.len() as u64;
        self.piece = (self.piece * 4).min(limits::WALK_MESSAGES_MAX);
        let account = self.cx.account().id;
        let (mut messages, _) = self.cx.store().list(account, &self.listing, false)?;
        self.has_ended = (messages.len() as u64) < self.listing.count_max;
        messages.retain(|message| !self.edge.contains(&message.data.instance_id));
        let date = |message: &StoredMessage| message.data.internal_date.unix;
        if let Some(last) = messages.last().map(date) {
            if self.edge_date != Some(last) {
                self.edge.clear();
            }
            let at_edge = messages.iter().rev().take_while(|it| date(it) == last);
            self.edge.extend(at_edge.map(|it| it.data.instance_id));
            self.edge_date = Some(last);
            match self.listing.oldest_first {
                true => self.listing.received_from = Some(last),
                false => self.listing.received_until = Some(last),
            }
        }
        Ok(Some(messages))
    }
}

type Headers = BTreeMap<(MailboxId, Uid), Arc<Parsed>>;

fn place_of(message: &StoredMessage) -> (MailboxId, Uid) {
    (message.mailbox, message.data.uid)
}

/// What the headers of many messages say, where nothing else of them is needed.
fn headers(cx: &Cx<'_>, messages: &[StoredMessage], needs: Needs) -> Result<Headers, Failure> {
    let mut headers = Headers::new();
    if needs != Needs::Header {
        return Ok(headers);
    }
    let mut wanted: BTreeMap<MailboxId, Vec<Uid>> = BTreeMap::new();
    for message in messages {
        match cx.parsed_before(message) {
            Some(parsed) => {
                headers.insert(place_of(message), parsed);
            }
            None => wanted
                .entry(message.mailbox)
                .or_default()
                .push(message.data.uid),
        }
    }
    for (mailbox, mut uids) in wanted {
        uids.sort_unstable();
        let mut left = uids.as_slice();
        while !left.is_empty() {
            let (found, looked_at) = read_headers(cx, mailbox, left)?;
            left = &left[looked_at..];
            // A header that is not kept apart is read when it is asked for.
            let found = found.into_iter().filter(|data| !data.header.is_empty());
            headers.extend(found.map(|data| {
                let parsed = Parsed::parse(&data.header);
                ((mailbox, data.uid), Arc::new(parsed))
            }));
        }
    }
    Ok(headers)
}

fn read_headers(
    cx: &Cx<'_>,
    mailbox: MailboxId,
    uids: &[Uid],
) -> Result<(Vec<MessageData>, usize), Failure> {
    let columns = Columns {
        header: true,
        ..Columns::default()
    };
    let account = cx.account().id;
    let read = cx
        .store()
        .messages(account, mailbox, uids, columns, limits::SEARCH_BATCH_BYTES);
    match read {
        Ok((found, looked_at)) => Ok((found, looked_at.max(1))),
        // It went just now, and its messages with it.
        Err(StoreError::NoSuchMailbox) => Ok((Vec::new(), uids.len())),
        Err(error) => Err(error.into()),
    }
}

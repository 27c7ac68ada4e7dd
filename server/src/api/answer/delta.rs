//! `…/delta`: what has changed since a token was given out.
//!
//! | round | items | where it goes on |
//! |---|---|---|
//! | the first | all messages of the folder, by UID | above the last UID |
//! | a later one | what went, then what changed, by MODSEQ and UID | above the last of both |
//!
//! Each round ends at the MODSEQ that the folder had when it began: what changes meanwhile belongs
//! to the next. What comes and goes between two pages moves nothing else, so nothing is lost.

use rmail_proto::{
    MailboxId, ModSeq, Uid, UnixTime,
    http::{FieldName, Status},
};
use rmail_store::{ListOrder, Listing, MessageChanges, StoredMessage};
use serde_json::{Value, json};

use super::{
    Cx, Failure, Outcome,
    categories::Categories,
    folders::Folder,
    lists::preferring,
    message_telling::Telling,
    message_values::Candidate,
    reply::{Content, Reply},
};
use crate::api::{
    error::{ApiError, Family, Occasion},
    odata::{self, Criteria, Cursor, CursorKind, ListQuery, Options, Position},
    resources::CategoryNames,
    routes::Param,
};

/// The token of a client that wants to hear of what comes alone.
const LATEST: &str = "latest";

/// A message is looked at in pieces of so many where a filter passes over some.
const PIECE_MESSAGES: u64 = 200;

pub(super) fn messages(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let key = cx.exchange.param(Param::Folder);
    let folder = cx.folder(key)?;
    let begun = match Begun::parse(cx, Some(folder.id))? {
        Ok(begun) => begun,
        Err(gone) => return Ok(gone),
    };
    let options = Options::parse(&begun.options)?;
    let query: ListQuery<odata::Message> =
        ListQuery::parse(&options, cx.service().filter_bounds())?;
    if let Criteria::Search(_) = query.criteria {
        let message = "Changes can't be searched.".to_owned();
        return Err(ApiError::bad_request().with_message(message).into());
    }
    let round = Round {
        telling: Telling::new(query.select.clone(), query.expand.clone()),
        category_names: Categories::load(cx)?.names,
        items: query.page_items(cx.exchange.preferences.page_items) as usize,
        criteria: query.criteria,
        changes: ChangeTypes::parse(options.other("changeType"))?,
        folder,
        begun,
    };
    round.run(cx)
}

pub(super) fn folders(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let begun = match Begun::parse(cx, None)? {
        Ok(begun) => begun,
        Err(gone) => return Ok(gone),
    };
    let options = Options::parse(&begun.options)?;
    let query: ListQuery<odata::MailFolder> =
        ListQuery::parse(&options, cx.service().filter_bounds())?;
    // One page: there are not so many folders that it would be too long.
    let since = match begun.place {
        Place::Start => ModSeq(0),
        Place::Latest => ModSeq(u64::MAX),
        Place::Since(since) => since,
        Place::Within(position) => position.since,
    };
    let changes = cx.store().mailbox_changes(cx.account().id, since)?;
    let folders = cx.folders()?;
    let mut value = Vec::new();
    for id in changes.changed {
        if let Some(folder) = folders.by_id(id) {
            value.push(cx.mail_folder(&folders, folder)?.tell(&query.select));
        }
    }
    if since > ModSeq(0) {
        let gone = changes.vanished.iter();
        value.extend(gone.map(|id| removed("mailFolder", &id.to_string(), "deleted")));
    }
    let end = begun.seal(
        cx,
        None,
        CursorKind::Delta,
        Position {
            since: changes.modseq,
            ..Position::default()
        },
    )?;
    tell(
        cx,
        "Collection(mailFolder)",
        value,
        "@odata.deltaLink",
        &end,
    )
}

/// What a round was begun with.
#[derive(Clone, Debug)]
struct Begun {
    /// The options of the first request of all.
    options: String,
    place: Place,
    /// When the token was given out.
    issued_at: Option<UnixTime>,
}

/// Where in its rounds a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// At the very beginning.
    Start,
    /// It wants a token alone.
    Latest,
    /// At the beginning of a later round.
    Since(ModSeq),
    /// In the middle of one.
    Within(Position),
}

impl Begun {
    /// From a request; the reply when its token is no good.
    fn parse(cx: &Cx<'_>, folder: Option<MailboxId>) -> Result<Result<Self, Reply>, Failure> {
        let options = &cx.exchange.options;
        let (kind, token) = match (options.odata("deltatoken"), options.odata("skiptoken")) {
            (Some(token), None) if token.eq_ignore_ascii_case(LATEST) => {
                return Ok(Ok(Self::first(cx, Place::Latest)));
            }
            (Some(token), None) => (CursorKind::Delta, token),
            (None, Some(token)) => (CursorKind::Skip, token),
            (None, None) => return Ok(Ok(Self::first(cx, Place::Start))),
            (Some(_), Some(_)) => return Err(ApiError::bad_request().into()),
        };
        let account = cx.account().guid;
        let opened = cx
            .service()
            .cursors
            .open(cx.now(), kind, account, folder, token);
        let Ok(cursor) = opened else {
            return Ok(Err(gone(cx)));
        };
        Ok(Ok(Self {
            options: cursor.options,
            place: match kind {
                CursorKind::Delta => Place::Since(cursor.position.since),
                CursorKind::Skip => Place::Within(cursor.position),
            },
            issued_at: Some(cursor.issued_at),
        }))
    }

    fn first(cx: &Cx<'_>, place: Place) -> Self {
        let is_token = |option: &&str| option.to_ascii_lowercase().contains("token=");
        let options = cx.exchange.query.split('&');
        let options: Vec<&str> = options.filter(|option| !is_token(option)).collect();
        Self {
            options: options.join("&"),
            place,
            issued_at: None,
        }
    }

    /// A link to where it goes on.
    fn seal(
        &self,
        cx: &Cx<'_>,
        folder: Option<MailboxId>,
        kind: CursorKind,
        position: Position,
    ) -> Result<String, Failure> {
        let sealed = cx.service().cursors.seal(&Cursor {
            kind,
            account: cx.account().guid,
            folder,
            options: self.options.clone(),
            position,
            issued_at: cx.now(),
        });
        let token = sealed.ok_or_else(|| {
            let message = "The query options are too long.".to_owned();
            ApiError::bad_request().with_message(message)
        })?;
        let name = match kind {
            CursorKind::Skip => "$skiptoken",
            CursorKind::Delta => "$deltatoken",
        };
        let (base, path) = (&cx.exchange.base, &cx.exchange.path);
        Ok(format!("{base}{path}?{name}={token}"))
    }
}

/// `changeType`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ChangeTypes {
    All,
    Created,
    Updated,
    Deleted,
}

impl ChangeTypes {
    fn parse(text: Option<&str>) -> Result<Self, Failure> {
        Ok(match text.map(str::to_ascii_lowercase).as_deref() {
            None => Self::All,
            Some("created") => Self::Created,
            Some("updated") => Self::Updated,
            Some("deleted") => Self::Deleted,
            Some(_) => {
                let message = "changeType must be created, updated or deleted.".to_owned();
                return Err(ApiError::bad_request().with_message(message).into());
            }
        })
    }

    fn wants_change(self, is_new: bool) -> bool {
        match self {
            Self::All => true,
            Self::Created => is_new,
            Self::Updated => !is_new,
            Self::Deleted => false,
        }
    }

    fn wants_removal(self) -> bool {
        matches!(self, Self::All | Self::Deleted)
    }
}

/// A round over one folder.
struct Round {
    telling: Telling,
    category_names: CategoryNames,
    criteria: Criteria<odata::Message>,
    changes: ChangeTypes,
    items: usize,
    folder: Folder,
    begun: Begun,
}

impl Round {
    fn run(&self, cx: &Cx<'_>) -> Outcome {
        let present = || Ok::<ModSeq, Failure>(cx.status(&self.folder)?.modseq);
        match self.begun.place {
            Place::Start => self.first_round(cx, None, present()?),
            Place::Latest => self.end(cx, Vec::new(), present()?),
            Place::Since(since) => self.later_round(cx, since, None, present()?),
            Place::Within(position) => {
                let last = u32::try_from(position.skip).unwrap_or(u32::MAX);
                match position.since {
                    ModSeq(0) => self.first_round(cx, Uid::new(last), position.until),
                    since => self.later_round(cx, since, Some(last), position.until),
                }
            }
        }
    }

    /// All messages above a UID.
    fn first_round(&self, cx: &Cx<'_>, above: Option<Uid>, until: ModSeq) -> Outcome {
        let mut listing = Listing {
            mailbox: Some(self.folder.id),
            order: ListOrder::ByUid,
            above,
            count_max: PIECE_MESSAGES,
            ..Listing::default()
        };
        let mut value = Vec::new();
        loop {
            let (piece, _) = cx.store().list(cx.account().id, &listing, false)?;
            let is_last = (piece.len() as u64) < PIECE_MESSAGES;
            for message in &piece {
                if value.len() == self.items {
                    let place = Position {
                        skip: listing.above.map_or(0, |uid| u64::from(uid.get())),
                        since: ModSeq(0),
                        until,
                    };
                    return self.go_on(cx, value, place);
                }
                listing.above = Some(message.data.uid);
                if self.matches(cx, message)? {
                    value.push(self.telling.tell(cx, message)?);
                }
            }
            if is_last {
                return self.end(cx, value, until);
            }
        }
    }

    /// What changed: all after `since`, or what is left of it above the last one told.
    fn later_round(&self, cx: &Cx<'_>, since: ModSeq, last: Option<u32>, until: ModSeq) -> Outcome {
        // Others with the same MODSEQ may be left.
        let from = match last {
            Some(_) => ModSeq(since.0.saturating_sub(1)),
            None => since,
        };
        let account = cx.account().id;
        let changes = cx.store().message_changes(account, self.folder.id, from)?;
        let Some(MessageChanges {
            changed, vanished, ..
        }) = changes
        else {
            return Ok(gone(cx));
        };
        let mut value = Vec::new();
        if last.is_none() && self.changes.wants_removal() {
            let removals = vanished.iter();
            value.extend(removals.map(|id| removed("message", &id.to_string(), "deleted")));
        }
        let place = |message: &StoredMessage| (message.state.modseq, message.data.uid.get());
        let told = last.map(|uid| (since, uid));
        let left = changed.iter().filter(|message| {
            told.is_none_or(|told| place(message) > told) && message.state.modseq <= until
        });
        let mut count = 0;
        let mut last_told = None;
        for message in left {
            if count == self.items {
                let (since, uid) = last_told.unwrap_or((since, 0));
                let place = Position {
                    skip: u64::from(uid),
                    since,
                    until,
                };
                return self.go_on(cx, value, place);
            }
            last_told = Some(place(message));
            let is_new = (self.begun.issued_at).is_some_and(|at| message.created_at >= at);
            if !self.changes.wants_change(is_new) {
                continue;
            }
            count += 1;
            value.push(match self.matches(cx, message)? {
                true => self.telling.tell(cx, message)?,
                false => removed("message", &message.data.instance_id.to_string(), "changed"),
            });
        }
        self.end(cx, value, until)
    }

    fn matches(&self, cx: &Cx<'_>, message: &StoredMessage) -> Result<bool, Failure> {
        let Criteria::Filter {
            filter: Some(filter),
            ..
        } = &self.criteria
        else {
            return Ok(true);
        };
        let candidate = Candidate::new(cx, message, &self.category_names, None);
        Ok(candidate.ask(|it| filter.matches(it))?.unwrap_or(false))
    }

    fn go_on(&self, cx: &Cx<'_>, value: Vec<Value>, place: Position) -> Outcome {
        let link = self
            .begun
            .seal(cx, Some(self.folder.id), CursorKind::Skip, place)?;
        tell(cx, "Collection(message)", value, "@odata.nextLink", &link)
    }

    fn end(&self, cx: &Cx<'_>, value: Vec<Value>, until: ModSeq) -> Outcome {
        let place = Position {
            since: until,
            ..Position::default()
        };
        let link = self
            .begun
            .seal(cx, Some(self.folder.id), CursorKind::Delta, place)?;
        tell(cx, "Collection(message)", value, "@odata.deltaLink", &link)
    }
}

fn tell(cx: &Cx<'_>, of: &str, value: Vec<Value>, name: &str, link: &str) -> Outcome {
    let told = json!({
        "@odata.context": cx.metadata(of),
        name: link,
        "value": value,
    });
    Ok(preferring(cx, Reply::ok(told)))
}

fn removed(kind: &str, id: &str, reason: &str) -> Value {
    json!({
        "@odata.type": format!("#microsoft.graph.{kind}"),
        "id": id,
        "@removed": {"reason": reason},
    })
}

/// 410: the token is unknown or too old; where to start anew.
fn gone(cx: &Cx<'_>) -> Reply {
    let occasion = Occasion {
        now: cx.exchange.now,
        id: cx.exchange.id,
        client_id: cx.exchange.client_id.as_deref(),
    };
    let body = ApiError::sync_state_not_found().body(Family::Graph, &occasion);
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (base, path) = (&cx.exchange.base, &cx.exchange.path);
    Reply::new(Status::GONE, Content::Json(body)).with(
        const { FieldName::new("Location") },
        format!("{base}{path}"),
    )
}

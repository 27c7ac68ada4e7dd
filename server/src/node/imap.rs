//! What IMAP sessions ask.

use std::sync::Arc;

use rmail_proto::{
    AccountId, DateTime, MailboxId, Now,
    imap::{Appended, Call, Copied, No, NoCode, Reply, Selected},
    mime::Summary,
};
use rmail_store::{AccountWrite, AccountWritten, MailboxRef, NewMessage, StoreError};

use super::{
    Asker, Job, Node, SelectedMailbox, SessionKind,
    authentication::Protocol,
    jobs::{Loaded, Query},
    uploads::Piece,
    writes::AccountOrigin,
};
use crate::session::{self, SessionId};

/// Which command writes to an account, and so what its answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImapWrite {
    /// APPEND.
    Append,
    /// STORE, in this mailbox.
    Store(MailboxId),
    /// COPY and MOVE.
    Copy,
    /// EXPUNGE, in this mailbox.
    Expunge(MailboxId),
    /// CREATE, SUBSCRIBE and UNSUBSCRIBE.
    Names,
    /// DELETE and RENAME, after which an open mailbox may be gone.
    Removal,
}

impl Node {
    pub(super) fn handle_imap(
        &mut self,
        now: Now,
        asker: Asker,
        call: Call,
        summary: Option<Arc<Summary>>,
    ) {
        if let Call::Authenticate { username, password } = call {
            return self.authenticate(now, asker, Protocol::Imap, &username, password);
        }
        let Some(entry) = self.sessions.get(&asker.session) else {
            return;
        };
        let (login, selected) = (entry.login, entry.selected);
        let login = login.expect("a machine asks nothing else before it has logged in");
        let account = login.account;
        if let Some(call) = self.handle_unselected(now, asker, account, call, summary) {
            let selected = selected.expect("a machine asks the rest with a mailbox selected only");
            self.handle_selected(now, asker, account, selected, call);
        }
    }

    /// Calls that need no selected mailbox; the rest is returned.
    fn handle_unselected(
        &mut self,
        now: Now,
        asker: Asker,
        account: AccountId,
        call: Call,
        summary: Option<Arc<Summary>>,
    ) -> Option<Call> {
        match call {
            Call::Mailboxes => self.query(asker, account, Query::Mailboxes),
            Call::Status { name } => self.query(asker, account, Query::Status(name)),
            Call::AppendCheck { name, .. } => {
                self.query(asker, account, Query::AppendCheck(name));
            }
            Call::Select { name, read_only } => {
                self.unselect(asker.session);
                self.start_select(asker, account, name, read_only);
            }
            Call::Unselect => {
                self.unselect(asker.session);
                self.reply_imap(asker, Reply::Done);
            }
            Call::Create { name, special_use } => {
                let write = AccountWrite::CreateMailbox { name, special_use };
                self.write_imap(now, asker, account, write, ImapWrite::Names);
            }
            Call::Delete { name } => {
                let mailbox = MailboxRef::Name(name);
                let write = AccountWrite::DeleteMailbox { mailbox };
                self.write_imap(now, asker, account, write, ImapWrite::Removal);
            }
            Call::Rename { from, to } => {
                let mailbox = MailboxRef::Name(from);
                let write = AccountWrite::RenameMailbox { mailbox, to };
                self.write_imap(now, asker, account, write, ImapWrite::Removal);
            }
            Call::Subscribe { name, subscribed } => {
                let write = AccountWrite::Subscribe { name, subscribed };
                self.write_imap(now, asker, account, write, ImapWrite::Names);
            }
            Call::Chunk { upload, data, last } => {
                let piece = match last {
                    true => {
                        let summary = summary.expect("a session adds it to the last piece");
                        Piece::last(data, summary, None)
                    }
                    false => Piece::more(data),
                };
                self.handle_piece(now, asker, upload, piece);
            }
            Call::Discard { upload } => {
                self.discard_upload(asker.session, upload);
                self.reply_imap(asker, Reply::Done);
            }
            Call::Append { name, messages } => self.append(now, asker, account, name, messages),
            Call::Authenticate { .. } => unreachable!("it is answered before"),
            call @ (Call::Refresh
            | Call::Store { .. }
            | Call::Copy { .. }
            | Call::Move { .. }
            | Call::Expunge { .. }
            | Call::Fetch { .. }
            | Call::Read { .. }
            | Call::Search { .. }) => return Some(call),
        }
        None
    }

    fn handle_selected(
        &mut self,
        now: Now,
        asker: Asker,
        account: AccountId,
        selected: SelectedMailbox,
        call: Call,
    ) {
        let mailbox = selected.mailbox;
        match call {
            Call::Refresh => self.reply_snapshot(now, asker, account, selected),
            Call::Store {
                uids,
                mode,
                flags,
                unchanged_since,
            } => {
                let write = AccountWrite::StoreFlags {
                    mailbox,
                    uids,
                    mode,
                    flags,
                    unchanged_since,
                };
                self.write_imap(now, asker, account, write, ImapWrite::Store(mailbox));
            }
            Call::Copy { uids, target } => {
                let write = AccountWrite::Copy {
                    source: mailbox,
                    uids,
                    target: MailboxRef::Name(target),
                };
                self.write_imap(now, asker, account, write, ImapWrite::Copy);
            }
            Call::Move { uids, target } => {
                let write = AccountWrite::Move {
                    source: mailbox,
                    uids,
                    target: MailboxRef::Name(target),
                };
                self.write_imap(now, asker, account, write, ImapWrite::Copy);
            }
            Call::Expunge { uids } => {
                let write = AccountWrite::Expunge { mailbox, uids };
                self.write_imap(now, asker, account, write, ImapWrite::Expunge(mailbox));
            }
            Call::Fetch {
                uids,
                columns,
                bytes_max,
            } => {
                let query = Query::Fetch {
                    mailbox,
                    uids,
                    columns,
                    bytes_max,
                };
                self.query(asker, account, query);
            }
            Call::Read {
                uid,
                offset,
                length,
            } => {
                let query = Query::Read {
                    mailbox,
                    uid,
                    offset,
                    length,
                };
                self.query(asker, account, query);
            }
            Call::Search { uids, program } => match self.mailboxes.find(account, mailbox) {
                Some(open) => {
                    let query = Query::Search {
                        mailbox,
                        snapshot: Arc::clone(&open.snapshot),
                        uids,
                        program,
                    };
                    self.query(asker, account, query);
                }
                None => self.reply_imap(asker, mailbox_is_gone()),
            },
            Call::Authenticate { .. }
            | Call::Mailboxes
            | Call::Select { .. }
            | Call::Unselect
            | Call::Create { .. }
            | Call::Delete { .. }
            | Call::Rename { .. }
            | Call::Subscribe { .. }
            | Call::Status { .. }
            | Call::AppendCheck { .. }
            | Call::Chunk { .. }
            | Call::Discard { .. }
            | Call::Append { .. } => unreachable!("they need no selected mailbox"),
        }
    }

    pub(super) fn handle_loaded(
        &mut self,
        now: Now,
        (asker, account): (Asker, AccountId),
        (name, read_only): (String, bool),
        commits: u64,
        outcome: Result<Loaded, StoreError>,
    ) {
        let mailbox = match outcome {
            Ok(Loaded::Whole(state)) => self.open_mailbox(account, state),
            Ok(Loaded::Since(mailbox, since, changes)) => {
                if self.mailboxes.find(account, mailbox).is_none() {
                    // It was forgotten meanwhile.
                    return self.start_select(asker, account, name, read_only);
                }
                self.apply_changes(account, mailbox, since, &changes);
                mailbox
            }
            Err(error) => return self.reply_imap(asker, Reply::No(no_from(&error))),
        };
        let selected = SelectedMailbox { mailbox, read_only };
        let opened = self.select_open(now, asker.session, account, selected, commits);
        if let Some((snapshot, uid_validity, recent)) = opened {
            let selected = Selected {
                mailbox,
                uid_validity,
                snapshot,
                recent,
            };
            self.reply_imap(asker, Reply::Selected(Box::new(selected)));
        }
    }

    pub(super) fn handle_imap_written(
        &mut self,
        asker: Asker,
        account: AccountId,
        write: ImapWrite,
        result: Result<AccountWritten, StoreError>,
    ) {
        if write == ImapWrite::Removal {
            self.refresh_all(Some(account));
        }
        let reply = match result {
            Ok(written) => self.written_reply(account, write, written),
            Err(error) => Reply::No(match write {
                ImapWrite::Append | ImapWrite::Copy => no_from_target(&error),
                ImapWrite::Store(_)
                | ImapWrite::Expunge(_)
                | ImapWrite::Names
                | ImapWrite::Removal => no_from(&error),
            }),
        };
        self.reply_imap(asker, reply);
    }

    pub(super) fn is_imap(&self, session: SessionId) -> bool {
        let entry = self.sessions.get(&session);
        entry.is_some_and(|entry| match entry.kind {
            SessionKind::Accepted(kind) => kind.is_imap(),
            SessionKind::Dialled => false,
        })
    }

    pub(super) fn reply_imap(&mut self, asker: Asker, reply: Reply) {
        self.reply(asker, session::Reply::Imap(reply));
    }

    fn written_reply(
        &self,
        account: AccountId,
        write: ImapWrite,
        written: AccountWritten,
    ) -> Reply {
        let snapshot = |mailbox| {
            let open = self.mailboxes.find(account, mailbox);
            open.map(|open| Arc::clone(&open.snapshot))
        };
        match (write, written) {
            (
                _,
                AccountWritten::Saved {
                    uid_validity, uids, ..
                },
            ) => Reply::Appended(Appended { uid_validity, uids }),
            (ImapWrite::Store(mailbox), AccountWritten::Stored { modified }) => {
                match snapshot(mailbox) {
                    Some(snapshot) => Reply::Stored { snapshot, modified },
                    None => mailbox_is_gone(),
                }
            }
            (ImapWrite::Expunge(mailbox), AccountWritten::Expunged { .. }) => {
                match snapshot(mailbox) {
                    Some(snapshot) => Reply::Snapshot {
                        snapshot,
                        recent: Default::default(),
                    },
                    None => mailbox_is_gone(),
                }
            }
            (
                _,
                AccountWritten::Copied {
                    uid_validity,
                    source,
                    target,
                    ..
                },
            ) => Reply::Copied(Copied {
                uid_validity,
                source,
                target,
            }),
            (_, AccountWritten::Made(mailbox)) => Reply::Created(mailbox),
            (_, AccountWritten::Done) => Reply::Done,
            (_, AccountWritten::Stored { .. } | AccountWritten::Expunged { .. }) => {
                unreachable!("the store answers each write in its own kind")
            }
        }
    }

    fn query(&mut self, asker: Asker, account: AccountId, query: Query) {
        self.run(Job::Query {
            asker,
            account,
            query,
        });
    }

    fn write_imap(
        &mut self,
        now: Now,
        asker: Asker,
        account: AccountId,
        write: AccountWrite,
        kind: ImapWrite,
    ) {
        self.write_account(now, account, write, AccountOrigin::Imap(asker, kind));
    }

    fn start_select(&mut self, asker: Asker, account: AccountId, name: String, read_only: bool) {
        self.run(Job::Select {
            asker,
            account,
            name,
            read_only,
            known: self.mailboxes.watched(account),
            commits: self.mailboxes.commits(),
        });
    }

    fn unselect(&mut self, session: SessionId) {
        if let Some(mut entry) = self.sessions.remove(&session) {
            self.close_selected(session, &entry);
            entry.selected = None;
            self.sessions.insert(session, entry);
        }
    }

    fn reply_snapshot(
        &mut self,
        now: Now,
        asker: Asker,
        account: AccountId,
        selected: SelectedMailbox,
    ) {
        let reply = match self.refresh_selected(now, account, selected) {
            Some((snapshot, recent)) => Reply::Snapshot { snapshot, recent },
            None => mailbox_is_gone(),
        };
        self.reply_imap(asker, reply);
    }

    fn append(
        &mut self,
        now: Now,
        asker: Asker,
        account: AccountId,
        name: String,
        messages: Vec<rmail_proto::imap::NewMessage>,
    ) {
        let mut complete = Vec::with_capacity(messages.len());
        for message in messages {
            let upload = self.take_upload(asker.session, message.upload);
            let (content, summary) = upload.expect("a machine appends complete uploads only");
            complete.push(NewMessage {
                content,
                summary,
                flags: message.flags,
                internal_date: message.internal_date.unwrap_or(DateTime::utc(now.unix)),
            });
        }
        let write = AccountWrite::Save {
            mailbox: MailboxRef::Name(name),
            messages: complete,
        };
        self.write_imap(now, asker, account, write, ImapWrite::Append);
    }
}

fn mailbox_is_gone() -> Reply {
    Reply::No(no_from(&StoreError::NoSuchMailbox))
}

/// What a client hears of the store's troubles.
pub(super) fn no_from(error: &StoreError) -> No {
    let (code, text) = match error {
        StoreError::Busy => (NoCode::Unavailable, "The mailbox is busy, try again"),
        StoreError::Full => {
            tracing::error!("the disk is full");
            (NoCode::Unavailable, "The disk is full, try again later")
        }
        StoreError::NoSuchAccount => (NoCode::NonExistent, "The account is gone"),
        StoreError::NoSuchMailbox => (NoCode::NonExistent, "No such mailbox"),
        StoreError::MailboxExists => (NoCode::AlreadyExists, "There is such a mailbox"),
        StoreError::MailboxProtected => (NoCode::Cannot, "That can't be done with this mailbox"),
        StoreError::OverQuota => (
            NoCode::OverQuota,
            "The mailbox is full: delete something first",
        ),
        StoreError::TooMany(_) => (NoCode::Limit, "That is more than one account can have"),
        StoreError::AddressTaken
        | StoreError::NoSuchMessage
        | StoreError::ChangedSince
        | StoreError::NoSuchAlias
        | StoreError::AliasLoop(_)
        | StoreError::NoSuchUpload
        | StoreError::NoSuchEntry
        | StoreError::InDelivery
        | StoreError::Failed(_) => {
            tracing::error!(%error, "the store failed");
            (NoCode::ServerBug, "The server failed; its log says more")
        }
    };
    No {
        code,
        text: text.into(),
    }
}

/// As [`no_from`], for the target of COPY, MOVE and APPEND (RFC 3501 §6.3.11, §6.4.7).
pub(super) fn no_from_target(error: &StoreError) -> No {
    match error {
        StoreError::NoSuchMailbox => No {
            code: NoCode::TryCreate,
            text: "No such mailbox: create it first".into(),
        },
        error => no_from(error),
    }
}

//! A small world for transcripts: one user, and mailboxes in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use bytes::Bytes;
use rmail_proto::{
    AccountId, DateTime, Domain, EmailId, Flags, InstanceId, Keyword, MailboxId, ModSeq, Now,
    SystemFlags, ThreadId, Uid, UidValidity, UnixTime, UploadId,
    imap::{
        Appended, Call, Changes, Columns, Config, Copied, DateTest, Mailbox, MailboxStatus,
        MessageData, MessageState, No, NoCode, Reply, SearchKey, Selected, Server, Snapshot,
        SpecialUse, StoreMode, Tls, UidSet,
    },
    limits,
    mime::{Part, PartKind, Parts},
};

use crate::transcript::{Session, World};

pub(crate) fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub(crate) fn flags(system: SystemFlags, keywords: &[&str]) -> Flags {
    let keywords = keywords.iter().map(|name| Keyword::new(name).unwrap());
    Flags {
        system,
        keywords: keywords.collect(),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    pub(crate) flags: Flags,
    modseq: u64,
    pub(crate) raw: Bytes,
    internal_date: DateTime,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    id: u128,
    pub(crate) messages: Vec<Message>,
    uid_next: u32,
    first_recent: u32,
    modseq: u64,
    special_use: Option<SpecialUse>,
}

impl Folder {
    pub(crate) fn add(&mut self, raw: &[u8], flags: Flags, internal_date: DateTime) -> u32 {
        self.modseq += 1;
        self.uid_next += 1;
        self.messages.push(Message {
            uid: self.uid_next,
            flags,
            modseq: self.modseq,
            raw: Bytes::copy_from_slice(raw),
            internal_date,
        });
        self.uid_next
    }

    pub(crate) fn set_flags(&mut self, uid: u32, flags: Flags) {
        self.modseq += 1;
        let modseq = self.modseq;
        let found = self.messages.iter_mut().find(|message| message.uid == uid);
        let message = found.expect("there is such a message");
        (message.flags, message.modseq) = (flags, modseq);
    }

    pub(crate) fn remove(&mut self, uids: &[u32]) {
        self.modseq += 1;
        self.messages.retain(|message| !uids.contains(&message.uid));
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let states = self.messages.iter().map(|message| MessageState {
            uid: uid(message.uid),
            flags: message.flags.clone(),
            modseq: ModSeq(message.modseq),
        });
        Arc::new(Snapshot::default().apply(&Changes {
            modseq: ModSeq(self.modseq),
            changed: states.collect(),
            vanished: Vec::new(),
            uid_next: Uid::new(self.uid_next + 1),
        }))
    }

    fn take_recent(&mut self, read_only: bool) -> UidSet {
        let first = self.first_recent;
        if !read_only {
            self.first_recent = self.uid_next + 1;
        }
        let recent = self.messages.iter().filter(|message| message.uid >= first);
        recent.map(|message| uid(message.uid)).collect()
    }

    fn of(&self, uids: &UidSet) -> Vec<Message> {
        let messages = self.messages.iter();
        let chosen = messages.filter(|message| uids.contains(uid(message.uid)));
        chosen.cloned().collect()
    }
}

/// Answers every call at once, unless a test asks it to hold back.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    folders: BTreeMap<String, Folder>,
    subscribed: BTreeSet<String>,
    selected: Option<(String, bool)>,
    uploads: BTreeMap<UploadId, Vec<u8>>,
    /// All calls, in order.
    pub(crate) calls: Vec<String>,
    /// Calls whose name begins so are not answered.
    pub(crate) hold: Option<&'static str>,
    /// Calls whose name begins so are answered so.
    pub(crate) refuse: Option<(&'static str, NoCode)>,
    pub(crate) largest_piece_bytes: usize,
}

fn no(code: NoCode, text: &'static str) -> Reply {
    Reply::No(No {
        code,
        text: text.into(),
    })
}

impl Memory {
    pub(crate) fn new() -> Self {
        let mut memory = Self::default();
        memory.make("INBOX", None);
        memory
    }

    pub(crate) fn make(&mut self, name: &str, special_use: Option<SpecialUse>) -> MailboxId {
        let id = self.folders.len() as u128 + 1;
        let folder = Folder {
            id,
            first_recent: 1,
            modseq: 1,
            special_use,
            ..Folder::default()
        };
        self.folders.insert(name.to_owned(), folder);
        MailboxId(id)
    }

    pub(crate) fn subscribe(&mut self, name: &str) {
        self.subscribed.insert(name.to_owned());
    }

    pub(crate) fn folder(&mut self, name: &str) -> &mut Folder {
        self.folders.get_mut(name).expect("there is such a mailbox")
    }

    pub(crate) fn inbox(&mut self) -> &mut Folder {
        self.folder("INBOX")
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.folders.remove(name);
    }

    /// A message that arrived on 2024-03-05 at 10:11:12 +0200.
    pub(crate) fn deliver(&mut self, raw: &str) -> u32 {
        let date = DateTime::from_civil((2024, 3, 5), (10, 11, 12), 120).unwrap();
        self.inbox().add(raw.as_bytes(), Flags::default(), date)
    }

    pub(crate) fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }

    /// Uploads that were begun and neither used nor discarded.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    fn current(&mut self) -> Option<&mut Folder> {
        let (name, _) = self.selected.as_ref()?;
        self.folders.get_mut(name)
    }

    fn mailboxes(&self) -> Reply {
        let mut names: BTreeSet<&str> = self.folders.keys().map(String::as_str).collect();
        for name in self.folders.keys() {
            names.extend(name.match_indices('/').map(|(end, _)| &name[..end]));
        }
        names.extend(self.subscribed.iter().map(String::as_str));
        let mailboxes = names.into_iter().map(|name| Mailbox {
            name: name.to_owned(),
            id: self.folders.get(name).map(|folder| MailboxId(folder.id)),
            subscribed: self.subscribed.contains(name),
            special_use: self.folders.get(name).and_then(|folder| folder.special_use),
        });
        Reply::Mailboxes(mailboxes.collect())
    }

    pub(crate) fn select(&mut self, name: String, read_only: bool) -> Reply {
        let Some(folder) = self.folders.get_mut(&name) else {
            return no(NoCode::NonExistent, "No such mailbox");
        };
        let selected = Selected {
            mailbox: MailboxId(folder.id),
            uid_validity: UidValidity(7.try_into().unwrap()),
            snapshot: folder.snapshot(),
            recent: folder.take_recent(read_only),
        };
        self.selected = Some((name, read_only));
        Reply::Selected(Box::new(selected))
    }

    pub(crate) fn refresh(&mut self) -> Reply {
        let read_only = self.selected.as_ref().is_some_and(|selected| selected.1);
        match self.current() {
            Some(folder) => Reply::Snapshot {
                snapshot: folder.snapshot(),
                recent: folder.take_recent(read_only),
            },
            None => no(NoCode::NonExistent, "No such mailbox"),
        }
    }

    fn status(&self, name: &str) -> Reply {
        let Some(folder) = self.folders.get(name) else {
            return no(NoCode::NonExistent, "No such mailbox");
        };
        let messages = &folder.messages;
        let count = |test: &dyn Fn(&&Message) -> bool| messages.iter().filter(test).count() as u32;
        Reply::Status(MailboxStatus {
            mailbox: MailboxId(folder.id),
            messages: messages.len() as u32,
            recent: count(&|message| message.uid >= folder.first_recent),
            unseen: count(&|message| !message.flags.system.contains(SystemFlags::SEEN)),
            uid_next: uid(folder.uid_next + 1),
            uid_validity: UidValidity(7.try_into().unwrap()),
            modseq: ModSeq(folder.modseq),
            size_bytes: messages
                .iter()
                .map(|message| message.raw.len() as u64)
                .sum(),
        })
    }

    fn store(
        &mut self,
        uids: &UidSet,
        (mode, flags): (StoreMode, &Flags),
        unchanged_since: Option<ModSeq>,
    ) -> Reply {
        let Some(folder) = self.current() else {
            return no(NoCode::NonExistent, "No such mailbox");
        };
        folder.modseq += 1;
        let mut modified = UidSet::EMPTY;
        for message in &mut folder.messages {
            let uid = uid(message.uid);
            if !uids.contains(uid) {
                continue;
            }
            if unchanged_since.is_some_and(|since| message.modseq > since.0) {
                modified.insert(uid);
                continue;
            }
            let changed = match mode {
                StoreMode::Replace => flags.clone(),
                StoreMode::Add => message.flags.with(flags),
                StoreMode::Remove => message.flags.without(flags),
            };
            if changed != message.flags {
                (message.flags, message.modseq) = (changed, folder.modseq);
            }
        }
        Reply::Stored {
            snapshot: folder.snapshot(),
            modified,
        }
    }

    fn copy(&mut self, uids: &UidSet, target: &str, moves: bool) -> Reply {
        let messages = self
            .current()
            .map(|folder| folder.of(uids))
            .unwrap_or_default();
        let Some(folder) = self.folders.get_mut(target) else {
            return no(NoCode::TryCreate, "No such mailbox");
        };
        let copies = messages.iter().map(|message| {
            uid(folder.add(&message.raw, message.flags.clone(), message.internal_date))
        });
        let copied = Copied {
            uid_validity: UidValidity(9.try_into().unwrap()),
            target: copies.collect(),
            source: messages.iter().map(|message| uid(message.uid)).collect(),
        };
        if moves {
            let gone: Vec<u32> = messages.iter().map(|message| message.uid).collect();
            self.current().expect("it was there before").remove(&gone);
        }
        Reply::Copied(copied)
    }

    fn expunge(&mut self, uids: Option<&UidSet>) -> Reply {
        if let Some(folder) = self.current() {
            let deleted = |message: &&Message| {
                message.flags.system.contains(SystemFlags::DELETED)
                    && uids.is_none_or(|uids| uids.contains(uid(message.uid)))
            };
            let gone = folder.messages.iter().filter(deleted);
            let gone: Vec<u32> = gone.map(|message| message.uid).collect();
            folder.remove(&gone);
        }
        self.refresh()
    }

    fn append(&mut self, name: &str, messages: Vec<rmail_proto::imap::NewMessage>) -> Reply {
        let Some(folder) = self.folders.get_mut(name) else {
            return no(NoCode::TryCreate, "No such mailbox");
        };
        let uploads: Vec<Vec<u8>> = messages
            .iter()
            .map(|message| {
                self.uploads
                    .remove(&message.upload)
                    .expect("it was uploaded")
            })
            .collect();
        let uids = messages.into_iter().zip(uploads).map(|(message, raw)| {
            let now = DateTime::utc(UnixTime(1_700_000_000));
            let date = message.internal_date.unwrap_or(now);
            uid(folder.add(&raw, message.flags, date))
        });
        Reply::Appended(Appended {
            uids: uids.collect(),
            uid_validity: UidValidity(7.try_into().unwrap()),
        })
    }

    fn fetch(&mut self, uids: &[Uid], columns: Columns, bytes_max: usize) -> Reply {
        assert!(uids.len() <= limits::FETCH_MESSAGES && bytes_max > 0);
        let Some(folder) = self.current() else {
            return no(NoCode::NonExistent, "No such mailbox");
        };
        let wanted: UidSet = uids.iter().copied().collect();
        let mut left = bytes_max;
        let messages = folder.of(&wanted).into_iter().map(|message| {
            let fits = message.raw.len() <= left;
            if fits && columns.content {
                left -= message.raw.len();
            }
            let mut data = data_of(message.uid, &message.raw, columns);
            data.internal_date = message.internal_date;
            data.content = data.content.filter(|_| fits);
            data
        });
        Reply::Fetched {
            messages: messages.collect(),
            answered: uids.len(),
        }
    }

    fn read(&mut self, uid: Uid, offset: u64, length: usize) -> Reply {
        assert!((1..=limits::READ_BYTES).contains(&length));
        let wanted = UidSet::from(uid..=uid);
        let found = self.current().and_then(|folder| folder.of(&wanted).pop());
        Reply::Bytes(found.map(|message| {
            let start = (offset as usize).min(message.raw.len());
            let end = message.raw.len().min(start + length);
            message.raw.slice(start..end)
        }))
    }

    fn search(&mut self, uids: &UidSet, program: &SearchKey) -> Reply {
        assert!(uids.len() <= limits::SEARCH_MESSAGES as u64);
        let messages = self
            .current()
            .map(|folder| folder.of(uids))
            .unwrap_or_default();
        let found = messages.iter().filter(|message| matches(program, message));
        Reply::Found(found.map(|message| uid(message.uid)).collect())
    }
}

/// Some message of this size.
pub(crate) fn raw(size_bytes: usize) -> Bytes {
    let line = b"x: 3456789abcde\r\n".iter().copied();
    let text: Vec<u8> = b"Subject: x\r\n\r\n"
        .iter()
        .copied()
        .chain(line.cycle())
        .take(size_bytes)
        .collect();
    Bytes::from(text)
}

/// The parts of a message that is `multipart/mixed` with the boundary `=`, has parts that are
/// texts or messages, and nests no deeper; or that is a text.
fn parts_of(raw: &[u8], header_end: usize) -> Vec<u8> {
    let text = std::str::from_utf8(raw).unwrap();
    let entity = |kind, start: usize, body: usize, end: usize, children| Part {
        kind,
        header: start as u64..body as u64,
        body: body as u64..end as u64,
        children,
    };
    let body_of = |start: usize| start + text[start..].find("\r\n\r\n").unwrap() + 4;
    let mut parts = Vec::new();
    let mut children = 0;
    let delimiters: Vec<usize> = text.match_indices("\r\n--=").map(|(at, _)| at).collect();
    for pair in delimiters.windows(2) {
        let (start, end) = (pair[0] + "\r\n--=\r\n".len(), pair[1]);
        let body = body_of(start);
        children += 1;
        if text[start..body].contains("message/rfc822") {
            parts.push(entity(PartKind::Message, start, body, end, 1));
            parts.push(entity(PartKind::Leaf, body, body_of(body), end, 0));
        } else {
            parts.push(entity(PartKind::Leaf, start, body, end, 0));
        }
    }
    let kind = if children > 0 {
        PartKind::Multipart
    } else {
        PartKind::Leaf
    };
    parts.insert(0, entity(kind, 0, header_end, raw.len(), children));
    Parts::new(parts).unwrap().encode()
}

/// All that is stored of a message, its content included when it was asked for.
pub(crate) fn data_of(number: u32, raw: &Bytes, columns: Columns) -> MessageData {
    let header_end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let header_end = header_end.map_or(raw.len(), |index| index + 4);
    let has_header = columns.header && header_end <= limits::FETCH_HEADER_BYTES;
    let wanted = |wanted: bool, list: &'static str| match wanted {
        true => Bytes::from_static(list.as_bytes()),
        false => Bytes::new(),
    };
    MessageData {
        uid: uid(number),
        size_bytes: raw.len() as u64,
        internal_date: DateTime::default(),
        email_id: EmailId(u128::from(number)),
        thread_id: ThreadId(5),
        instance_id: InstanceId(u128::from(number)),
        envelope: wanted(columns.envelope, "(envelope)"),
        body: wanted(columns.body_structure, "(body)"),
        body_structure: wanted(columns.body_structure, "(bodystructure)"),
        parts: match columns.parts {
            true => Bytes::from(parts_of(raw, header_end)),
            false => Bytes::new(),
        },
        header: match has_header {
            true => raw.slice(..header_end),
            false => Bytes::new(),
        },
        content: columns.content.then(|| raw.clone()),
    }
}

fn matches(key: &SearchKey, message: &Message) -> bool {
    let text = String::from_utf8_lossy(&message.raw).to_lowercase();
    let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let size_bytes = message.raw.len() as u64;
    match key {
        SearchKey::All => true,
        SearchKey::And(keys) => keys.iter().all(|key| matches(key, message)),
        SearchKey::Or(one, other) => matches(one, message) || matches(other, message),
        SearchKey::Not(key) => !matches(key, message),
        SearchKey::Uids(uids) => uids.contains(uid(message.uid)),
        SearchKey::Flags(flags) => message.flags.system.contains(*flags),
        SearchKey::Keyword(keyword) => message.flags.keywords.contains(keyword),
        SearchKey::Larger(bytes) => size_bytes > *bytes,
        SearchKey::Smaller(bytes) => size_bytes < *bytes,
        SearchKey::InternalDate(test, day) | SearchKey::SentDate(test, day) => {
            let date = message.internal_date.day_number();
            match test {
                DateTest::Before => date < *day,
                DateTest::On => date == *day,
                DateTest::Since => date >= *day,
            }
        }
        SearchKey::Header(name, text) => header.split("\r\n").any(|line| {
            let value = line.strip_prefix(&format!("{name}:"));
            value.is_some_and(|value| value.contains(&text.to_lowercase()))
        }),
        SearchKey::Body(wanted) => body.contains(&wanted.to_lowercase()),
        SearchKey::Text(wanted) => text.contains(&wanted.to_lowercase()),
        SearchKey::ModSeq(modseq) => message.modseq >= modseq.0,
        SearchKey::EmailId(id) => id.0 == u128::from(message.uid),
        SearchKey::ThreadId(id) => id.0 == 5,
    }
}

impl World<Server> for Memory {
    fn answer(&mut self, call: Call) -> Option<Reply> {
        let name = format!("{call:?}");
        if self.hold.is_some_and(|held| name.starts_with(held)) {
            self.calls.push(name);
            return None;
        }
        let refused = self.refuse.filter(|(refused, _)| name.starts_with(refused));
        self.calls.push(name);
        if let Some((_, code)) = refused {
            if let Call::Chunk { upload, .. } = call {
                // It may have been begun, so it is to be discarded.
                self.uploads.entry(upload).or_default();
            }
            return Some(no(code, "Not now"));
        }
        Some(match call {
            Call::Authenticate { username, password } => {
                match username == "alice@example.com" && password.reveal() == "secret" {
                    true => Reply::Authenticated {
                        account: AccountId(1),
                    },
                    false => no(NoCode::AuthenticationFailed, "Wrong name or password"),
                }
            }
            Call::Mailboxes => self.mailboxes(),
            Call::Select { name, read_only } => self.select(name, read_only),
            Call::Unselect => {
                self.selected = None;
                Reply::Done
            }
            Call::Refresh => self.refresh(),
            Call::Create { name, special_use } if self.folders.contains_key(&name) => {
                assert_eq!(special_use, None);
                no(NoCode::AlreadyExists, "There is one")
            }
            Call::Create { name, special_use } => Reply::Created(self.make(&name, special_use)),
            Call::Delete { name } => match self.folders.remove(&name) {
                Some(_) => Reply::Done,
                None => no(NoCode::NonExistent, "No such mailbox"),
            },
            Call::Rename { from, to } => match self.folders.remove(&from) {
                Some(folder) => {
                    self.folders.insert(to, folder);
                    Reply::Done
                }
                None => no(NoCode::NonExistent, "No such mailbox"),
            },
            Call::Subscribe { name, subscribed } => {
                match subscribed {
                    true => self.subscribed.insert(name),
                    false => self.subscribed.remove(&name),
                };
                Reply::Done
            }
            Call::Status { name } => self.status(&name),
            Call::AppendCheck { name, .. } => match self.folders.contains_key(&name) {
                true => Reply::Done,
                false => no(NoCode::TryCreate, "No such mailbox"),
            },
            Call::Chunk { upload, data, .. } => {
                self.largest_piece_bytes = self.largest_piece_bytes.max(data.len());
                self.uploads
                    .entry(upload)
                    .or_default()
                    .extend_from_slice(&data);
                Reply::Done
            }
            Call::Discard { upload } => {
                assert!(self.uploads.remove(&upload).is_some(), "nothing to discard");
                Reply::Done
            }
            Call::Append { name, messages } => self.append(&name, messages),
            Call::Store {
                uids,
                mode,
                flags,
                unchanged_since,
            } => self.store(&uids, (mode, &flags), unchanged_since),
            Call::Copy { uids, target } => self.copy(&uids, &target, false),
            Call::Move { uids, target } => self.copy(&uids, &target, true),
            Call::Expunge { uids } => self.expunge(uids.as_ref()),
            Call::Fetch {
                uids,
                columns,
                bytes_max,
            } => self.fetch(&uids, columns, bytes_max),
            Call::Read {
                uid,
                offset,
                length,
            } => self.read(uid, offset, length),
            Call::Search { uids, program } => self.search(&uids, &program),
        })
    }
}

pub(crate) fn config(tls: Tls) -> Config {
    Config {
        hostname: Domain::parse("mx.example.com").unwrap(),
        peer: Ipv4Addr::new(192, 0, 2, 7).into(),
        tls,
        message_bytes_max: 1_000_000,
        seed: 7,
    }
}

pub(crate) type Client = Session<Server, Memory>;

pub(crate) fn connect_to(world: Memory, tls: Tls) -> Client {
    Session::new(world, |now: Now| Server::new(config(tls), now))
}

/// After LOGIN, without TLS.
pub(crate) fn login(world: Memory) -> Client {
    let mut client = connect_to(world, Tls::Unavailable);
    client.send(b"a LOGIN alice@example.com secret\r\n");
    let sent = client.take_sent();
    assert!(sent.contains("\r\na OK [CAPABILITY "), "{sent}");
    client.world.take_calls();
    client
}

/// After SELECT INBOX.
pub(crate) fn select(world: Memory) -> Client {
    open(world, "SELECT")
}

/// After SELECT or EXAMINE of INBOX.
pub(crate) fn open(world: Memory, command: &str) -> Client {
    let mut client = login(world);
    client.send(format!("a {command} INBOX\r\n").as_bytes());
    let sent = client.take_sent();
    assert!(sent.contains("\r\na OK [READ-"), "{sent}");
    client.world.take_calls();
    client
}

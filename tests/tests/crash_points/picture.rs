//! All that can be seen of a store at one moment, part by part.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use rmail_proto::{AccountId, imap::Columns};
use rmail_store::{AliasFilter, MailboxRef, SqliteStore, Store};
use rmail_tests::Mount;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::actor::is_text;

/// What survives and is lost by itself: a database with its files.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    Directory,
    Spool,
    /// An account, by its local-part.
    Account(String),
}

/// A mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MailboxPicture {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) modseq: u64,
    /// Counts and bytes.
    totals: (u32, u32, u64),
    pub(crate) messages: Vec<MessagePicture>,
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MessagePicture {
    pub(crate) uid: u32,
    modseq: u64,
    flags: String,
    /// EMAILID, THREADID and the instance's.
    ids: [u128; 3],
    pub(crate) text: Text,
}

/// A message's bytes, of which only the number is printed.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.iter().filter(|byte| byte.is_ascii_digit());
        let number: String = digits.take(3).map(|&byte| byte as char).collect();
        write!(formatter, "{number}: {} bytes", self.0.len())
    }
}

/// What one part shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PartPicture {
    Lines(Vec<String>),
    Account {
        /// All names, with what they are.
        names: Vec<String>,
        mailboxes: BTreeMap<String, MailboxPicture>,
    },
}

impl PartPicture {
    /// Without what differs when something was tried twice: ids and MODSEQs.
    pub(crate) fn without_ids(mut self) -> Self {
        if let Self::Account { mailboxes, .. } = &mut self {
            for mailbox in mailboxes.values_mut() {
                mailbox.modseq = 0;
                for message in &mut mailbox.messages {
                    message.modseq = 0;
                    message.ids = [0; 3];
                }
            }
        }
        self
    }

    /// Without what differs when an account was made twice: all numbers.
    pub(crate) fn without_numbers(self) -> Self {
        let mut plain = self.without_ids();
        if let Self::Account { mailboxes, .. } = &mut plain {
            for mailbox in mailboxes.values_mut() {
                mailbox.uid_validity = 0;
            }
        }
        plain
    }

    /// How often a mailbox has the message of this number.
    pub(crate) fn count(&self, mailbox: &str, number: u32) -> usize {
        let found = self.mailboxes().find(|(name, _)| *name == mailbox);
        let (_, found) = found.expect("there is such a mailbox");
        let messages = found.messages.iter();
        messages.filter(|it| is_text(number, &it.text.0)).count()
    }

    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = (&String, &MailboxPicture)> {
        let mailboxes = match self {
            Self::Lines(_) => None,
            Self::Account { mailboxes, .. } => Some(mailboxes),
        };
        mailboxes.into_iter().flatten()
    }
}

pub(crate) type Picture = BTreeMap<Part, PartPicture>;

/// Looks at everything. `mount` is the observer's.
pub(crate) fn take(store: &SqliteStore, mount: &Mount) -> Picture {
    let accounts = store.accounts().expect("it lists");
    let mut picture = Picture::new();
    let mut lines = Vec::new();
    for account in accounts {
        lines.push(format!("{account:?}"));
        let name = account.address.local_part().to_owned();
        picture.insert(Part::Account(name), account_picture(store, account.id));
    }
    let aliases = store.aliases(&AliasFilter::default()).expect("it lists");
    lines.extend(aliases.iter().map(|alias| format!("{alias:?}")));
    picture.insert(Part::Directory, PartPicture::Lines(lines));
    picture.insert(Part::Spool, spool_picture(mount));
    picture
}

fn account_picture(store: &SqliteStore, account: AccountId) -> PartPicture {
    let mut names = Vec::new();
    let mut mailboxes = BTreeMap::new();
    for mailbox in store.mailboxes(account).expect("it lists") {
        let is_mailbox = mailbox.id.is_some();
        names.push(format!(
            "{} {is_mailbox} {} {:?}",
            mailbox.name, mailbox.subscribed, mailbox.special_use
        ));
        if let Some(id) = mailbox.id {
            mailboxes.insert(
                mailbox.name,
                mailbox_picture(store, account, MailboxRef::Id(id)),
            );
        }
    }
    PartPicture::Account { names, mailboxes }
}

fn mailbox_picture(store: &SqliteStore, account: AccountId, mailbox: MailboxRef) -> MailboxPicture {
    let status = store.status(account, &mailbox).expect("it reads");
    let state = store.mailbox_state(account, &mailbox).expect("it reads");
    let states = state.changes.changed;
    let uids: Vec<_> = states.iter().map(|state| state.uid).collect();
    let columns = Columns {
        content: true,
        ..Columns::default()
    };
    let read = store.messages(account, status.mailbox, &uids, columns, usize::MAX);
    let (messages, _) = read.expect("it reads");
    assert_eq!(messages.len(), states.len());
    let messages = states.iter().zip(messages).map(|(state, message)| {
        assert_eq!(state.uid, message.uid);
        let content = message.content.expect("a message has its content");
        assert_eq!(content.len() as u64, message.size_bytes);
        MessagePicture {
            uid: state.uid.get(),
            modseq: state.modseq.0,
            flags: format!("{:?}", state.flags),
            ids: [
                message.email_id.0,
                message.thread_id.0,
                message.instance_id.0,
            ],
            text: Text(content.to_vec()),
        }
    });
    let messages: Vec<MessagePicture> = messages.collect();
    assert_eq!(status.messages as usize, messages.len());
    let total: usize = messages.iter().map(|message| message.text.0.len()).sum();
    assert_eq!(status.size_bytes, total as u64);
    MailboxPicture {
        uid_validity: status.uid_validity.0.get(),
        uid_next: status.uid_next.get(),
        modseq: status.modseq.0,
        totals: (status.messages, status.unseen, status.size_bytes),
        messages,
    }
}

/// Entries with what is to be done, and their contents. Who has claimed them dies.
fn spool_picture(mount: &Mount) -> PartPicture {
    let database = connect(mount, &mount.root().join("mail/spool.db"));
    let mut statement = database
        .prepare(
            "SELECT id, envelope_id, in_file, bytes, size, (SELECT \
             group_concat(position || ' ' || path || ' ' || fate) FROM recipients \
             WHERE entry = id) FROM entries WHERE id NOT IN (SELECT entry FROM prepared) \
             ORDER BY id",
        )
        .expect("it prepares");
    let mut rows = statement.query([]).expect("it reads");
    let mut lines = Vec::new();
    while let Some(row) = rows.next().expect("it reads") {
        let id: i64 = row.get(0).expect("it reads");
        let bytes: Option<Vec<u8>> = row.get(3).expect("it reads");
        let size_bytes: u32 = row.get(4).expect("it reads");
        let bytes = bytes.unwrap_or_else(|| {
            read(
                mount,
                &mount.root().join(format!("mail/spool/{id}.eml")),
                size_bytes,
            )
        });
        assert_eq!(bytes.len(), size_bytes as usize, "spool entry {id}");
        let envelope_id: String = row.get(1).expect("it reads");
        let recipients: Option<String> = row.get(5).expect("it reads");
        let number = envelope_id.parse().expect("it is a number");
        assert!(is_text(number, &bytes), "spool entry {id}");
        lines.push(format!("{envelope_id} {recipients:?} {size_bytes}"));
    }
    PartPicture::Lines(lines)
}

fn read(mount: &Mount, path: &std::path::Path, size_bytes: u32) -> Vec<u8> {
    let mut bytes = vec![0; size_bytes as usize + 1];
    let mut file = mount.files().open(path).expect("the content is there");
    let count = file.read_at(0, &mut bytes).expect("it reads");
    bytes.truncate(count);
    bytes
}

fn connect(mount: &Mount, path: &std::path::Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, mount.vfs());
    let connection = connection.expect("it opens");
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .expect("it is set");
    connection
}

/// Whether what lies on the disk fits together: databases without faults, a file for each content
/// that is one, no file or folder besides, and nothing of processes that are dead. `swept` is
/// whether files that nothing names must be gone.
pub(crate) fn check_disk(store: &SqliteStore, mount: &Mount, is_swept: bool) {
    let root = mount.root().join("mail");
    let list = |folder: &str| -> Vec<String> {
        let paths = mount.files().list(&root.join(folder)).unwrap_or_default();
        let below = paths.into_iter().map(|path| {
            let below = path.strip_prefix(&root).expect("it lies below");
            below.display().to_string()
        });
        below.collect()
    };
    check_database(mount, root.join("directory.db"));
    let spool = check_database(mount, root.join("spool.db"));
    let mut needed = names(
        &spool,
        "SELECT 'spool/' || id || '.eml' FROM entries WHERE in_file",
    );
    needed.push("spool/tmp".to_owned());
    compare("spool", list("spool"), needed, is_swept);
    assert_eq!(list("spool/tmp"), Vec::<String>::new());
    let prepared = names(&spool, "SELECT CAST(entry AS TEXT) FROM prepared");
    assert_eq!(
        prepared,
        Vec::<String>::new(),
        "nobody knows whether they are sent"
    );
    assert_eq!(list("accounts/.trash"), Vec::<String>::new());
    let accounts = store.accounts().expect("it lists");
    let mut folders = Vec::new();
    for account in accounts {
        let folder = format!("accounts/example.com/{}", account.address.local_part());
        let mail = check_database(mount, root.join(&folder).join("mail.db"));
        let sql = format!(
            "SELECT '{folder}/messages/' || lower(substr(hex(email_id), 31)) || '/' || \
             lower(hex(email_id)) || '.eml' FROM contents WHERE in_file"
        );
        let subfolders = list(&format!("{folder}/messages"));
        let present = subfolders.iter().flat_map(|subfolder| list(subfolder));
        compare(&folder, present.collect(), names(&mail, &sql), is_swept);
        check_references(&mail);
        folders.push(folder);
    }
    assert_eq!(list("accounts/example.com"), folders, "folders of accounts");
    let socket = store.hint_socket();
    let own = socket.file_stem().expect("it has a name").to_string_lossy();
    let run = ["count", "lock"].map(|kind| format!("run/{own}.{kind}"));
    assert_eq!(list("run"), run);
}

/// Moves all logs into their databases, and removes the logs.
pub(crate) fn empty_logs(mount: &Mount) {
    let root = mount.root().join("mail");
    let accounts = ["ann", "bob"].map(|name| format!("accounts/example.com/{name}/mail"));
    let others = ["directory", "spool"].map(str::to_owned);
    for path in accounts.into_iter().chain(others) {
        let path = root.join(format!("{path}.db"));
        let database = connect(mount, &path);
        database
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .expect("nobody reads");
        drop(database);
        let log = path.with_extension("db-wal");
        mount.files().remove(&log).expect("it is there");
    }
}

fn compare(place: &str, present: Vec<String>, mut needed: Vec<String>, is_swept: bool) {
    needed.sort();
    let missing: Vec<_> = needed
        .iter()
        .filter(|name| !present.contains(name))
        .collect();
    assert!(missing.is_empty(), "{place} lacks {missing:?}");
    if is_swept {
        assert_eq!(present, needed, "{place}");
    }
}

fn check_database(mount: &Mount, path: PathBuf) -> Connection {
    let database = connect(mount, &path);
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("it reads");
    assert_eq!(check, "ok", "{}", path.display());
    database
}

/// Contents are counted as often as they are used, and counters of mailboxes say what is in them.
fn check_references(mail: &Connection) {
    for (rule, sql) in [
        (
            "counts of contents",
            "SELECT count(*) FROM contents c WHERE references_count != \
             (SELECT count(*) FROM messages WHERE content = c.id)",
        ),
        (
            "messages with contents",
            "SELECT count(*) FROM messages WHERE content NOT IN (SELECT id FROM contents)",
        ),
        (
            "UIDs below the next",
            "SELECT count(*) FROM messages m JOIN mailboxes b ON b.id = m.mailbox \
             WHERE m.uid >= b.uid_next OR m.modseq > b.highest_modseq",
        ),
        (
            "counters",
            "SELECT count(*) FROM meta WHERE modseq > modseq_ceiling",
        ),
    ] {
        let broken: i64 = mail.query_row(sql, [], |row| row.get(0)).expect("it reads");
        assert_eq!(broken, 0, "{rule}");
    }
}

fn names(database: &Connection, sql: &str) -> Vec<String> {
    let mut statement = database.prepare(sql).expect("it prepares");
    let rows = statement.query_map([], |row| row.get(0)).expect("it reads");
    rows.collect::<rusqlite::Result<_>>().expect("it reads")
}

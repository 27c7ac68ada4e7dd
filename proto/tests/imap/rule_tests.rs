//! The five rules of a connection.

use std::sync::Arc;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    AccountId, DateTime, EmailId, Flags, InstanceId, MailboxId, ModSeq, Now, SystemFlags, ThreadId,
    Uid, UidValidity,
    imap::{
        Appended, Call, Changes, Columns, Config, Copied, Mailbox, MailboxStatus, MessageData,
        MessageState, No, NoCode, Reply, Selected, Server, Snapshot, Tls, UidSet,
    },
    limits,
};

use super::world::{self, uid};
use crate::rules::Subject;

/// What a server of this configuration is put through.
#[derive(Debug)]
pub(crate) struct Imap(pub(crate) Config);

fn snapshot(choice: u8) -> Arc<Snapshot> {
    let choice = u32::from(choice);
    let uids = (1..=40 + choice % 9).filter(|uid| choice == 0 || uid % 7 != choice % 7);
    let changed = uids.map(|number| MessageState {
        uid: uid(number),
        flags: Flags::system(SystemFlags::from_bits((number * choice) as u8)),
        modseq: ModSeq(u64::from(choice)),
    });
    Arc::new(Snapshot::default().apply(&Changes {
        modseq: ModSeq(u64::from(choice)),
        changed: changed.collect(),
        ..Changes::default()
    }))
}

fn some_uids(choice: u8) -> UidSet {
    (1..=u32::from(choice % 50)).step_by(2).map(uid).collect()
}

fn size_bytes(uid: Uid) -> u64 {
    u64::from(uid.get() * 2_477) % 300_000
}

fn data(uid: Uid, columns: Columns, bytes_max: usize) -> MessageData {
    let raw = world::raw(size_bytes(uid) as usize);
    let mut data = world::data_of(uid.get(), &raw, columns);
    let fits = raw.len() <= bytes_max;
    data.content = (columns.content && fits).then_some(raw);
    data.email_id = EmailId(1);
    data.thread_id = ThreadId(2);
    data.instance_id = InstanceId(3);
    data.internal_date = DateTime::default();
    data
}

fn mailbox(name: &str, exists: bool) -> Mailbox {
    Mailbox {
        name: name.to_owned(),
        id: exists.then_some(MailboxId(1)),
        subscribed: !exists,
        special_use: None,
    }
}

fn no(code: NoCode) -> Reply {
    Reply::No(No {
        code,
        text: "No".into(),
    })
}

/// The answer that fits, in one of many forms.
fn fitting(call: &Call, choice: u8) -> Reply {
    match call {
        Call::Authenticate { .. } => Reply::Authenticated {
            account: AccountId(1),
        },
        Call::Mailboxes => Reply::Mailboxes(
            ["INBOX", "a", "a/b", "a/b/c", "d"]
                .map(|name| mailbox(name, name != "a/b"))
                .into(),
        ),
        Call::Select { .. } => Reply::Selected(Box::new(Selected {
            mailbox: MailboxId(1),
            uid_validity: UidValidity(1.try_into().unwrap()),
            snapshot: snapshot(choice),
            recent: some_uids(choice),
        })),
        Call::Refresh | Call::Expunge { .. } => Reply::Snapshot {
            snapshot: snapshot(choice),
            recent: some_uids(choice),
        },
        Call::Status { .. } => Reply::Status(MailboxStatus {
            mailbox: MailboxId(1),
            messages: 3,
            recent: 1,
            unseen: 2,
            uid_next: uid(4),
            uid_validity: UidValidity(1.try_into().unwrap()),
            modseq: ModSeq(9),
            size_bytes: 12,
        }),
        Call::Create { .. } => Reply::Created(MailboxId(2)),
        Call::Append { messages, .. } => Reply::Appended(Appended {
            uid_validity: UidValidity(1.try_into().unwrap()),
            uids: (1..=messages.len() as u32).map(uid).collect(),
        }),
        Call::Store { .. } => Reply::Stored {
            snapshot: snapshot(choice),
            modified: some_uids(choice / 2),
        },
        Call::Copy { .. } | Call::Move { .. } => Reply::Copied(Copied {
            uid_validity: UidValidity(1.try_into().unwrap()),
            source: some_uids(choice).iter().collect(),
            target: some_uids(choice).iter().collect(),
        }),
        Call::Fetch {
            uids,
            columns,
            bytes_max,
        } => {
            let answered = uids.len().saturating_sub(usize::from(choice % 4));
            let told = uids[..answered].iter().filter(|uid| uid.get() % 11 != 10);
            Reply::Fetched {
                messages: told.map(|&uid| data(uid, *columns, *bytes_max)).collect(),
                answered,
            }
        }
        Call::Read {
            uid,
            offset,
            length,
        } => {
            let raw = world::raw(size_bytes(*uid) as usize);
            let start = (*offset as usize).min(raw.len());
            let end = raw.len().min(start + length);
            Reply::Bytes(Some(raw.slice(start..end)))
        }
        Call::Search { .. } => Reply::Found(some_uids(choice)),
        Call::Unselect
        | Call::Delete { .. }
        | Call::Rename { .. }
        | Call::Subscribe { .. }
        | Call::AppendCheck { .. }
        | Call::Chunk { .. }
        | Call::Discard { .. } => Reply::Done,
    }
}

impl Subject for Imap {
    type Machine = Server;

    // Contents go out in pieces of 4 KiB at least, each after a piece of gathered text.
    const ACTIONS_MAX: usize = 160;
    const BLOCKING_BYTES: usize = limits::SEND_CREDIT_BYTES - limits::FETCH_CREDIT_BYTES;

    fn machine(&self, now: Now) -> Server {
        Server::new(self.0.clone(), now)
    }

    fn starts_with_tls(&self) -> bool {
        self.0.tls == Tls::Implicit
    }

    fn is_awaited(&self, call: &Call) -> bool {
        !matches!(call, Call::Discard { .. } | Call::Unselect)
    }

    fn reply(&self, call: &Call, choice: u8) -> Reply {
        match choice {
            0..=199 => fitting(call, choice),
            200..=204 => no(NoCode::NonExistent),
            205..=214 => no(NoCode::Unavailable),
            215..=219 => Reply::Done,
            220..=224 => Reply::Bytes(None),
            225..=229 => Reply::Bytes(Some(Bytes::from_static(b"unasked"))),
            230..=234 => Reply::Found(some_uids(choice)),
            235..=239 => Reply::Snapshot {
                snapshot: snapshot(choice),
                recent: some_uids(choice),
            },
            240..=244 => Reply::Fetched {
                messages: Vec::new(),
                answered: usize::from(choice - 240) * 100,
            },
            245..=249 => Reply::Mailboxes(Arc::from([])),
            250..=255 => Reply::Authenticated {
                account: AccountId(1),
            },
        }
    }
}

fn subjects() -> impl Strategy<Value = Imap> {
    let tls =
        prop_oneof![3 => Just(Tls::Unavailable), 1 => Just(Tls::Offered), 1 => Just(Tls::Implicit)];
    tls.prop_map(|tls| Imap(world::config(tls)))
}

const COMMANDS: [&str; 46] = [
    "NOOP",
    "CAPABILITY",
    "STARTTLS",
    "LOGIN alice@example.com secret",
    "AUTHENTICATE PLAIN",
    "AUTHENTICATE LOGIN eA==",
    "eA==",
    "SELECT INBOX",
    "SELECT INBOX",
    "EXAMINE INBOX (CONDSTORE)",
    "CREATE x (USE (\\Junk))",
    "DELETE INBOX",
    "RENAME a b",
    "SUBSCRIBE a",
    "UNSUBSCRIBE a",
    "LIST \"\" *",
    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% *) RETURN (STATUS (SIZE) SPECIAL-USE)",
    "LSUB \"\" %",
    "STATUS INBOX (MESSAGES UIDNEXT HIGHESTMODSEQ)",
    "ENABLE CONDSTORE",
    "NAMESPACE",
    "ID NIL",
    "IDLE",
    "DONE",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "UID EXPUNGE 1:9",
    "SEARCH UNSEEN",
    "UID SEARCH RETURN (ALL COUNT) TEXT x",
    "SEARCH 1:5 OR BODY x NEW",
    "FETCH 1:* (FLAGS UID)",
    "FETCH 1:* ALL",
    "FETCH 1:* (BODY[] ENVELOPE)",
    "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (x)]<1.4> RFC822.TEXT BODY[1.2.MIME]) (CHANGEDSINCE 2)",
    "FETCH 3 RFC822",
    "UID STORE 1:* +FLAGS (\\Seen x)",
    "STORE 1:3 (UNCHANGEDSINCE 7) FLAGS.SILENT ()",
    "COPY 1:3 a",
    "UID MOVE 1:* a",
    "LOGOUT",
    "APPEND a {5}\r\nabcde",
    "APPEND a (\\Seen) {5+}\r\nabcde {3+}\r\nabc",
    "APPEND a {2000000+}",
    "NONSENSE {3}",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let command = proptest::sample::select(&COMMANDS[..]);
    let line = command.prop_map(|command| format!("t {command}\r\n").into_bytes());
    let append = (0usize..200_000).prop_map(|bytes| {
        let mut wire = format!("t APPEND a {{{bytes}+}}\r\n").into_bytes();
        wire.extend_from_slice(&world::raw(bytes));
        wire.extend_from_slice(b"\r\n");
        wire
    });
    let start = "t LOGIN a b\r\nt SELECT INBOX\r\n";
    prop_oneof![
        4 => Just(start.as_bytes().to_vec()),
        16 => line,
        1 => Just(b"DONE\r\n".to_vec()),
        2 => append,
        1 => vec(any::<u8>(), 0..64),
        1 => "[a-z \"{}()*0-9\r\n]{0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn machine_keeps_the_rules(subject in subjects(), steps in crate::rules::steps(input())) {
        crate::rules::check_rules(&subject, &steps);
    }

    #[test]
    fn splitting_changes_nothing(
        subject in subjects(),
        input in vec(input(), 0..12),
        pieces in vec(1usize..5000, 1..6),
        choices in vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 0..8),
    ) {
        let input = [&b"t LOGIN a b\r\nt SELECT INBOX\r\n"[..], &input.concat()].concat();
        crate::rules::check_splitting(&subject, &input, &pieces, &choices);
    }
}

//! A client that rebuilds its mailbox from untagged responses alone, while it works in it and
//! others do too.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rmail_proto::{Event, Flags, Notice, SystemFlags};

use crate::world::{Client, Memory, flags, select};

/// What a client knows of one message; flags in no order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
}

struct Mirror {
    client: Client,
    messages: Vec<Known>,
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u32),
    Vanish(Vec<u32>),
    Change(Vec<u32>, u8),
    Notice,
    Command(Command),
}

#[derive(Clone, Debug)]
enum Command {
    Noop,
    Fetch(u32, u32),
    UidFetch(u32, u32),
    Read(u32),
    Store {
        from: u32,
        to: u32,
        mode: &'static str,
        flag: &'static str,
        silent: bool,
        by_uid: bool,
    },
    Search,
    UidSearch,
    Expunge,
    Move(u32, u32),
    Copy(u32),
    Idle(Vec<u32>),
}

fn names(flags: &Flags) -> BTreeSet<String> {
    let system = SystemFlags::NAMED.iter();
    let system = system.filter(|(flag, _)| flags.system.contains(*flag));
    let keywords = flags
        .keywords
        .iter()
        .map(|keyword| keyword.as_str().to_owned());
    system
        .map(|(_, name)| (*name).to_owned())
        .chain(keywords)
        .collect()
}

impl Mirror {
    fn new(count: u32) -> Self {
        let mut world = Memory::new();
        world.make("Archive", None);
        for _ in 0..count {
            world.deliver("Subject: x\r\n\r\ntext\r\n");
        }
        let client = select(world);
        let mut mirror = Self {
            client,
            messages: vec![Known::default(); count as usize],
        };
        mirror.learn_unknown();
        mirror
    }

    /// Sends a command, hears the answers up to the tagged one, and returns that.
    fn command(&mut self, command: &str, may_expunge: bool) -> String {
        self.client.send(format!("t {command}\r\n").as_bytes());
        self.hear(may_expunge)
    }

    fn hear(&mut self, may_expunge: bool) -> String {
        let sent = self.client.take_sent();
        let mut tagged = String::new();
        for line in sent.lines() {
            assert_eq!(tagged, "", "something follows the tagged response: {line}");
            match line.strip_prefix("t ") {
                Some(rest) => rest.clone_into(&mut tagged),
                None => self.hear_untagged(line, may_expunge),
            }
        }
        tagged
    }

    fn hear_untagged(&mut self, line: &str, may_expunge: bool) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let number = words.get(1).and_then(|word| word.parse::<usize>().ok());
        match (number, words.get(2).copied()) {
            (Some(number), Some("EXPUNGE")) => {
                assert!(may_expunge, "EXPUNGE where it may not be sent");
                self.messages.remove(number - 1);
            }
            (Some(count), Some("EXISTS")) => {
                assert!(count >= self.messages.len(), "EXISTS must not shrink");
                self.messages.resize(count, Known::default());
            }
            (Some(number), Some("FETCH")) => {
                let known = &mut self.messages[number - 1];
                if let Some((_, rest)) = line.split_once("UID ") {
                    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                    let uid = digits.parse().unwrap();
                    assert!(known.uid.is_none_or(|known| known == uid), "{line}");
                    known.uid = Some(uid);
                }
                if let Some((_, rest)) = line.split_once("FLAGS (") {
                    let list = rest.split_once(')').unwrap().0.split_whitespace();
                    let kept = list.filter(|name| *name != "\\Recent");
                    known.flags = Some(kept.map(str::to_owned).collect());
                }
            }
            _ => {}
        }
    }

    /// Asks for what EXISTS left open.
    fn learn_unknown(&mut self) {
        let is_open = |known: &Known| known.uid.is_none() || known.flags.is_none();
        let open = self.messages.iter().positions(is_open);
        for number in open {
            self.command(&format!("FETCH {number} (UID FLAGS)"), false);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Arrive(count) => {
                for _ in 0..*count {
                    self.client.world.deliver("Subject: x\r\n\r\ntext\r\n");
                }
            }
            Step::Vanish(uids) => self.client.world.inbox().remove(uids),
            Step::Change(uids, bits) => {
                let present = self.present(uids);
                for uid in present {
                    let changed = flags(SystemFlags::from_bits(*bits), &[]);
                    self.client.world.inbox().set_flags(uid, changed);
                }
            }
            Step::Notice => self.client.handle(Event::Notice(Notice::MailboxChanged)),
            Step::Command(command) => {
                self.run(command);
                self.learn_unknown();
            }
        }
    }

    fn present(&mut self, uids: &[u32]) -> Vec<u32> {
        let messages = self.client.world.inbox().messages.iter();
        let present: BTreeSet<u32> = messages.map(|message| message.uid).collect();
        uids.iter()
            .copied()
            .filter(|uid| present.contains(uid))
            .collect()
    }

    fn run(&mut self, command: &Command) {
        let count = self.messages.len() as u32;
        let number = |wanted: &u32| wanted % count.max(1) + 1;
        let by_number = matches!(
            command,
            Command::Fetch(..) | Command::Read(_) | Command::Move(..) | Command::Copy(_)
        );
        if by_number && count == 0 {
            return;
        }
        match command {
            Command::Noop => drop(self.command("NOOP", true)),
            Command::Fetch(from, to) => {
                let line = format!("FETCH {}:{} FLAGS", number(from), number(to));
                self.command(&line, false);
            }
            Command::UidFetch(from, to) => {
                self.command(&format!("UID FETCH {from}:{to} (FLAGS RFC822.SIZE)"), true);
            }
            Command::Read(message) => {
                self.command(&format!("FETCH {} BODY[TEXT]", number(message)), false);
            }
            Command::Store {
                from,
                to,
                mode,
                flag,
                silent,
                by_uid,
            } => {
                self.store((*from, *to), (mode, flag), *silent, *by_uid);
            }
            Command::Search => drop(self.command("SEARCH UNSEEN TEXT text", false)),
            Command::UidSearch => drop(self.command("UID SEARCH TEXT text", true)),
            Command::Expunge => drop(self.command("EXPUNGE", true)),
            Command::Move(from, to) => {
                let line = format!("MOVE {}:{} Archive", number(from), number(to));
                self.command(&line, true);
            }
            Command::Copy(message) => {
                self.command(&format!("COPY {} INBOX", number(message)), true);
            }
            Command::Idle(gone) => {
                self.command("IDLE", true);
                self.client.world.inbox().remove(gone);
                self.client.handle(Event::Notice(Notice::MailboxChanged));
                self.client.send(b"DONE\r\n");
                assert_eq!(self.hear(true), "OK Idle completed");
            }
        }
    }

    fn store(
        &mut self,
        (from, to): (u32, u32),
        (mode, flag): (&str, &str),
        silent: bool,
        by_uid: bool,
    ) {
        let count = self.messages.len() as u32;
        if count == 0 {
            return;
        }
        let (from, to) = match by_uid {
            true => (from, to),
            false => (from % count + 1, to % count + 1),
        };
        let (first, last) = (from.min(to), from.max(to));
        let (uid, suffix) = (
            if by_uid { "UID " } else { "" },
            if silent { ".SILENT" } else { "" },
        );
        if silent {
            // What a client that asked for silence takes for granted.
            for (index, known) in self.messages.iter_mut().enumerate() {
                let key = if by_uid {
                    known.uid.unwrap()
                } else {
                    index as u32 + 1
                };
                if (first..=last).contains(&key) {
                    let flags = known.flags.as_mut().unwrap();
                    match mode {
                        "+" => drop(flags.insert(flag.to_owned())),
                        "-" => drop(flags.remove(flag)),
                        _ => *flags = BTreeSet::from([flag.to_owned()]),
                    }
                }
            }
        }
        let line = format!("{uid}STORE {first}:{last} {mode}FLAGS{suffix} ({flag})");
        self.command(&line, by_uid);
    }

    /// After a notice and a NOOP, the client knows the mailbox as it is.
    fn check(&mut self) {
        self.client.handle(Event::Notice(Notice::MailboxChanged));
        self.command("NOOP", true);
        self.learn_unknown();
        let messages = self.client.world.inbox().messages.iter();
        let present: BTreeMap<u32, BTreeSet<String>> = messages
            .map(|message| (message.uid, names(&message.flags)))
            .collect();
        let known = self.messages.iter();
        let known: BTreeMap<u32, BTreeSet<String>> = known
            .map(|known| (known.uid.unwrap(), known.flags.clone().unwrap()))
            .collect();
        assert_eq!(known, present);
        assert_eq!(known.len(), self.messages.len());
        assert!(self.messages.is_sorted_by_key(|known| known.uid));
    }
}

/// Positions, from 1, collected so that the iterator's owner can be changed.
trait Positions<T>: Iterator<Item = T> + Sized {
    fn positions(self, test: impl Fn(T) -> bool) -> Vec<usize> {
        let tested = self
            .enumerate()
            .filter_map(|(index, item)| test(item).then_some(index + 1));
        tested.collect()
    }
}

impl<'a, I: Iterator<Item = &'a Known>> Positions<&'a Known> for I {}

fn step() -> impl Strategy<Value = Step> {
    let uids = || proptest::collection::vec(1u32..24, 0..5);
    let mode = prop_oneof![Just("+"), Just("-"), Just("")];
    let flag = prop_oneof![
        Just("\\Seen"),
        Just("\\Deleted"),
        Just("$Work"),
        Just("\\Flagged")
    ];
    let range = || (1u32..24, 1u32..24);
    let store = (range(), mode, flag, any::<bool>(), any::<bool>()).prop_map(
        |((from, to), mode, flag, silent, by_uid)| Command::Store {
            from,
            to,
            mode,
            flag,
            silent,
            by_uid,
        },
    );
    let command = prop_oneof![
        2 => Just(Command::Noop),
        1 => range().prop_map(|(from, to)| Command::Fetch(from, to)),
        1 => range().prop_map(|(from, to)| Command::UidFetch(from, to)),
        1 => (1u32..24).prop_map(Command::Read),
        4 => store,
        1 => Just(Command::Search),
        1 => Just(Command::UidSearch),
        1 => Just(Command::Expunge),
        1 => range().prop_map(|(from, to)| Command::Move(from, to)),
        1 => (1u32..24).prop_map(Command::Copy),
        1 => uids().prop_map(Command::Idle),
    ];
    prop_oneof![
        1 => (0u32..3).prop_map(Step::Arrive),
        1 => uids().prop_map(Step::Vanish),
        1 => (uids(), 0u8..32).prop_map(|(uids, bits)| Step::Change(uids, bits)),
        2 => Just(Step::Notice),
        5 => command.prop_map(Step::Command),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn client_that_hears_untagged_responses_alone_knows_the_mailbox(
        count in 0u32..12,
        steps in proptest::collection::vec(step(), 0..24),
    ) {
        let mut mirror = Mirror::new(count);
        for step in &steps {
            mirror.take(step);
        }
        mirror.check();
    }
}

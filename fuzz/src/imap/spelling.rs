//! Commands as a client would write them.

use rmail_proto::{
    DateTime, Flags, SystemFlags, UnixTime,
    imap::{
        DateTest, StoreMode,
        wire::{
            Command, CommandBody, FetchItem, List, MessageSet, SearchCriteria, SequenceNumber,
            SequenceSet, StatusItem, encode_mailbox_name, special_use_name, write_astring,
            write_string,
        },
    },
};

/// A command's wire form with its CRLF; `None` for those that hold secrets, which can't be
/// compared.
pub(super) fn spell(command: &Command) -> Option<Vec<u8>> {
    let mut out = Speller(Vec::new());
    out.text(command.tag.as_str());
    out.text(" ");
    out.body(&command.body)?;
    out.text("\r\n");
    Some(out.0)
}

struct Speller(Vec<u8>);

impl Speller {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn mailbox(&mut self, name: &str) {
        self.text(" ");
        write_astring(&mut self.0, encode_mailbox_name(name).as_bytes());
    }

    fn string(&mut self, text: &str) {
        self.text(" ");
        write_string(&mut self.0, text.as_bytes());
    }

    fn on_messages(&mut self, name: &str, messages: &MessageSet) {
        let (prefix, set) = match messages {
            MessageSet::Numbers(set) => ("", set),
            MessageSet::Uids(set) => ("UID ", set),
        };
        self.text(&format!("{prefix}{name} {}", spell_set(set)));
    }

    fn body(&mut self, body: &CommandBody) -> Option<()> {
        match body {
            CommandBody::Login { .. } => return None,
            CommandBody::Authenticate {
                mechanism,
                initial_response,
            } => {
                if initial_response.is_some() {
                    return None;
                }
                self.text(&format!("AUTHENTICATE {mechanism}"));
            }
            CommandBody::Capability => self.text("CAPABILITY"),
            CommandBody::Noop => self.text("NOOP"),
            CommandBody::Logout => self.text("LOGOUT"),
            CommandBody::StartTls => self.text("STARTTLS"),
            CommandBody::Namespace => self.text("NAMESPACE"),
            CommandBody::Idle => self.text("IDLE"),
            CommandBody::Check => self.text("CHECK"),
            CommandBody::Close => self.text("CLOSE"),
            CommandBody::Unselect => self.text("UNSELECT"),
            CommandBody::Expunge => self.text("EXPUNGE"),
            CommandBody::UidExpunge { uids } => {
                self.text(&format!("UID EXPUNGE {}", spell_set(uids)));
            }
            CommandBody::Id { parameters } => self.id(parameters.as_deref()),
            CommandBody::Enable { capabilities } => {
                self.text(&format!("ENABLE {}", capabilities.join(" ")));
            }
            CommandBody::Select { .. }
            | CommandBody::Examine { .. }
            | CommandBody::Create { .. }
            | CommandBody::Delete { .. }
            | CommandBody::Rename { .. }
            | CommandBody::Subscribe { .. }
            | CommandBody::Unsubscribe { .. }
            | CommandBody::List(_)
            | CommandBody::Lsub { .. }
            | CommandBody::Status { .. } => self.on_mailboxes(body),
            CommandBody::Search { .. }
            | CommandBody::Fetch { .. }
            | CommandBody::Store { .. }
            | CommandBody::Copy { .. }
            | CommandBody::Move { .. } => self.on_the_selected_mailbox(body),
        }
        Some(())
    }

    fn id(&mut self, parameters: Option<&[(String, Option<String>)]>) {
        self.text("ID ");
        let Some(parameters) = parameters else {
            return self.text("NIL");
        };
        self.text("(");
        for (index, (name, value)) in parameters.iter().enumerate() {
            self.text(if index == 0 { "" } else { " " });
            write_string(&mut self.0, name.as_bytes());
            match value {
                Some(value) => self.string(value),
                None => self.text(" NIL"),
            }
        }
        self.text(")");
    }

    fn on_mailboxes(&mut self, body: &CommandBody) {
        match body {
            CommandBody::Select { mailbox, condstore } => {
                self.select("SELECT", mailbox, *condstore)
            }
            CommandBody::Examine { mailbox, condstore } => {
                self.select("EXAMINE", mailbox, *condstore);
            }
            CommandBody::Create {
                mailbox,
                special_use,
            } => {
                self.text("CREATE");
                self.mailbox(mailbox);
                if let Some(special_use) = special_use {
                    self.text(&format!(" (USE ({}))", special_use_name(*special_use)));
                }
            }
            CommandBody::Delete { mailbox } => self.named("DELETE", mailbox),
            CommandBody::Subscribe { mailbox } => self.named("SUBSCRIBE", mailbox),
            CommandBody::Unsubscribe { mailbox } => self.named("UNSUBSCRIBE", mailbox),
            CommandBody::Rename { from, to } => {
                self.named("RENAME", from);
                self.mailbox(to);
            }
            CommandBody::List(list) => self.list(list),
            CommandBody::Lsub { reference, pattern } => {
                self.named("LSUB", reference);
                self.string(&encode_mailbox_name(pattern));
            }
            CommandBody::Status { mailbox, items } => {
                self.named("STATUS", mailbox);
                self.text(&format!(" ({})", spell_status(items)));
            }
            other => unreachable!("{other:?} names no mailbox"),
        }
    }

    fn named(&mut self, name: &str, mailbox: &str) {
        self.text(name);
        self.mailbox(mailbox);
    }

    fn select(&mut self, name: &str, mailbox: &str, condstore: bool) {
        self.named(name, mailbox);
        self.text(if condstore { " (CONDSTORE)" } else { "" });
    }

    fn list(&mut self, list: &List) {
        let options = |options: &[(bool, &str)]| {
            let chosen = options.iter().filter(|(is_set, _)| *is_set);
            let names: Vec<&str> = chosen.map(|(_, name)| *name).collect();
            names.join(" ")
        };
        self.text("LIST");
        if list.extended {
            let select = options(&[
                (list.select.subscribed, "SUBSCRIBED"),
                (list.select.remote, "REMOTE"),
                (list.select.recursive_match, "RECURSIVEMATCH"),
                (list.select.special_use, "SPECIAL-USE"),
            ]);
            self.text(&format!(" ({select})"));
        }
        self.mailbox(&list.reference);
        if list.extended {
            self.text(" (");
            for (index, pattern) in list.patterns.iter().enumerate() {
                self.text(if index == 0 { "" } else { " " });
                write_string(&mut self.0, encode_mailbox_name(pattern).as_bytes());
            }
            let status = format!("STATUS ({})", spell_status(&list.returns.status));
            let returns = options(&[
                (list.returns.subscribed, "SUBSCRIBED"),
                (list.returns.children, "CHILDREN"),
                (list.returns.special_use, "SPECIAL-USE"),
                (!list.returns.status.is_empty(), &status),
            ]);
            self.text(&format!(") RETURN ({returns})"));
        } else {
            self.string(&encode_mailbox_name(&list.patterns[0]));
        }
    }

    fn on_the_selected_mailbox(&mut self, body: &CommandBody) {
        match body {
            CommandBody::Copy { messages, mailbox } => {
                self.on_messages("COPY", messages);
                self.mailbox(mailbox);
            }
            CommandBody::Move { messages, mailbox } => {
                self.on_messages("MOVE", messages);
                self.mailbox(mailbox);
            }
            CommandBody::Store {
                messages,
                mode,
                silent,
                flags,
                unchanged_since,
            } => {
                self.on_messages("STORE", messages);
                if let Some(modseq) = unchanged_since {
                    self.text(&format!(" (UNCHANGEDSINCE {})", modseq.0));
                }
                let sign = match mode {
                    StoreMode::Replace => "",
                    StoreMode::Add => "+",
                    StoreMode::Remove => "-",
                };
                let silent = if *silent { ".SILENT" } else { "" };
                self.text(&format!(" {sign}FLAGS{silent} ({})", spell_flags(flags)));
            }
            CommandBody::Fetch {
                messages,
                items,
                changed_since,
                vanished,
            } => {
                self.on_messages("FETCH", messages);
                let items: Vec<String> = items.iter().map(spell_item).collect();
                self.text(&format!(" ({})", items.join(" ")));
                if let Some(modseq) = changed_since {
                    let vanished = if *vanished { " VANISHED" } else { "" };
                    self.text(&format!(" (CHANGEDSINCE {}{vanished})", modseq.0));
                }
            }
            CommandBody::Search {
                by_uid,
                returns,
                criteria,
            } => {
                self.text(if *by_uid { "UID SEARCH" } else { "SEARCH" });
                if let Some(returns) = returns {
                    let options = [
                        (returns.min, "MIN"),
                        (returns.max, "MAX"),
                        (returns.all, "ALL"),
                        (returns.count, "COUNT"),
                    ];
                    let chosen = options.iter().filter(|(is_set, _)| *is_set);
                    let names: Vec<&str> = chosen.map(|(_, name)| *name).collect();
                    self.text(&format!(" RETURN ({})", names.join(" ")));
                }
                self.text(" CHARSET UTF-8");
                self.criteria(criteria);
            }
            other => unreachable!("{other:?} is about no message"),
        }
    }

    fn criteria(&mut self, criteria: &SearchCriteria) {
        self.text(" ");
        match criteria {
            SearchCriteria::All => self.text("ALL"),
            SearchCriteria::And(all) => match &all[..] {
                [SearchCriteria::Recent, SearchCriteria::Not(key)] if is_seen(key) => {
                    self.text("NEW");
                }
                all => {
                    self.text("(");
                    for (index, key) in all.iter().enumerate() {
                        self.criteria(key);
                        if index == 0 {
                            self.close_up();
                        }
                    }
                    self.text(")");
                }
            },
            SearchCriteria::Or(one, other) => {
                self.text("OR");
                self.criteria(one);
                self.criteria(other);
            }
            SearchCriteria::Not(key) => self.not(key),
            SearchCriteria::Numbers(set) => self.text(&spell_set(set)),
            SearchCriteria::Uids(set) => self.text(&format!("UID {}", spell_set(set))),
            SearchCriteria::Recent => self.text("RECENT"),
            SearchCriteria::Flags(flags) => self.text(flag_key(*flags)),
            SearchCriteria::Keyword(keyword) => {
                self.text(&format!("KEYWORD {}", keyword.as_str()));
            }
            SearchCriteria::Larger(bytes) => self.text(&format!("LARGER {bytes}")),
            SearchCriteria::Smaller(bytes) => self.text(&format!("SMALLER {bytes}")),
            SearchCriteria::InternalDate(test, day) => self.date("", *test, *day),
            SearchCriteria::SentDate(test, day) => self.date("SENT", *test, *day),
            SearchCriteria::Header(field, text) => {
                self.text("HEADER");
                self.string(field);
                self.string(text);
            }
            SearchCriteria::Body(text) => {
                self.text("BODY");
                self.string(text);
            }
            SearchCriteria::Text(text) => {
                self.text("TEXT");
                self.string(text);
            }
            SearchCriteria::ModSeq(modseq) => self.text(&format!("MODSEQ {}", modseq.0)),
            SearchCriteria::EmailId(id) => self.text(&format!("EMAILID {id}")),
            SearchCriteria::ThreadId(id) => self.text(&format!("THREADID {id}")),
        }
    }

    /// Removes the space that a list's first key has in front.
    fn close_up(&mut self) {
        let open = self.0.windows(2).rposition(|pair| pair == b"( ");
        let _ = self.0.remove(open.expect("the list was just opened") + 1);
    }

    /// Keys that mean a NOT nest no deeper than one, so they are written where they can be.
    fn not(&mut self, key: &SearchCriteria) {
        match key {
            SearchCriteria::Flags(flags) => self.text(&format!("UN{}", flag_key(*flags))),
            SearchCriteria::Keyword(keyword) => {
                self.text(&format!("UNKEYWORD {}", keyword.as_str()));
            }
            SearchCriteria::Recent => self.text("OLD"),
            // No object has this id.
            SearchCriteria::All => self.text("EMAILID -"),
            key => {
                self.text("NOT");
                self.criteria(key);
            }
        }
    }

    fn date(&mut self, prefix: &str, test: DateTest, day: i64) {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (year, month, day) = DateTime::utc(UnixTime(day * 86_400)).date();
        let name = match test {
            DateTest::Before => "BEFORE",
            DateTest::On => "ON",
            DateTest::Since => "SINCE",
        };
        let month = MONTHS[usize::from(month) - 1];
        self.text(&format!("{prefix}{name} {day}-{month}-{year:04}"));
    }
}

fn is_seen(key: &SearchCriteria) -> bool {
    *key == SearchCriteria::Flags(SystemFlags::SEEN)
}

fn flag_key(flags: SystemFlags) -> &'static str {
    match flags {
        SystemFlags::ANSWERED => "ANSWERED",
        SystemFlags::DELETED => "DELETED",
        SystemFlags::DRAFT => "DRAFT",
        SystemFlags::FLAGGED => "FLAGGED",
        SystemFlags::SEEN => "SEEN",
        other => unreachable!("a key is about one flag, not {other:?}"),
    }
}

fn spell_set(set: &SequenceSet) -> String {
    let end = |end: SequenceNumber| match end {
        SequenceNumber::Number(number) => number.to_string(),
        SequenceNumber::Star => "*".to_owned(),
    };
    let ranges = set.0.iter().map(|&(first, last)| match first == last {
        true => end(first),
        false => format!("{}:{}", end(first), end(last)),
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn spell_status(items: &[StatusItem]) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.as_str()).collect();
    names.join(" ")
}

fn spell_flags(flags: &Flags) -> String {
    let system = SystemFlags::NAMED.into_iter();
    let system = system.filter(|(flag, _)| flags.system.contains(*flag));
    let names = system.map(|(_, name)| name);
    let keywords = flags.keywords.iter().map(|keyword| keyword.as_str());
    names.chain(keywords).collect::<Vec<_>>().join(" ")
}

fn spell_item(item: &FetchItem) -> String {
    let name = match item {
        FetchItem::Flags => "FLAGS",
        FetchItem::Uid => "UID",
        FetchItem::InternalDate => "INTERNALDATE",
        FetchItem::Rfc822Size => "RFC822.SIZE",
        FetchItem::Envelope => "ENVELOPE",
        FetchItem::Body => "BODY",
        FetchItem::BodyStructure => "BODYSTRUCTURE",
        FetchItem::ModSeq => "MODSEQ",
        FetchItem::EmailId => "EMAILID",
        FetchItem::ThreadId => "THREADID",
        FetchItem::Rfc822 => "RFC822",
        FetchItem::Rfc822Header => "RFC822.HEADER",
        FetchItem::Rfc822Text => "RFC822.TEXT",
        FetchItem::BodySection {
            section,
            partial,
            peek,
        } => {
            let peek = if *peek { ".PEEK" } else { "" };
            let partial = partial.map(|it| format!("<{}.{}>", it.offset, it.length));
            return format!("BODY{peek}{section}{}", partial.unwrap_or_default());
        }
    };
    name.to_owned()
}

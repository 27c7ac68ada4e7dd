//! A client that works in mailboxes which others change at the same time.

use std::{collections::BTreeSet, time::Duration};

use rmail_proto::Entropy;

use super::{
    imap_session::{Completion, ImapSession, Selected},
    ledger::{Existence, Generation},
    message::Token,
    scene::Scene,
    socket::Lost,
};
use crate::AccountSetup;

/// Mailboxes in which all clients of an account work, besides INBOX.
const SHARED: [&str; 2] = ["Archive", "Trash"];

/// How long what other processes did may take to be seen, with hints lost and jobs slow.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Most seconds that a client waits before it comes again.
const PAUSE_SECONDS_MAX: u64 = 60;

/// How a client behaves.
#[derive(Clone, Debug)]
pub(super) struct ImapWorker {
    /// Tells the mailboxes that it makes apart from those of others.
    pub(super) number: usize,
    pub(super) account: AccountSetup,
    pub(super) servers: usize,
    pub(super) steps: u32,
    pub(super) pause_seconds_max: u64,
    /// Whether it answers continuation requests, or sends literals at once (LITERAL+).
    pub(super) is_synchronizing: bool,
    /// Whether the disk never fails: what others did is seen in time, then.
    pub(super) disk_is_sound: bool,
}

/// A mailbox of its own, and what it has put there.
struct OwnMailbox {
    name: String,
    tokens: Vec<Token>,
}

/// What it has while it works.
struct Desk<'a> {
    worker: &'a ImapWorker,
    scene: Scene,
    entropy: &'a mut Entropy,
    session: ImapSession,
    own: &'a mut Option<OwnMailbox>,
    mailboxes_made: &'a mut u32,
}

impl ImapWorker {
    /// Works until all steps are done.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy) {
        let mut left = self.steps;
        let mut own = None;
        let mut mailboxes_made = 0;
        while left > 0 {
            scene.status(format!("has {left} steps left"));
            let server = scene.server(entropy.next_below(self.servers as u64) as usize);
            let session = ImapSession::log_in(&scene, server, &self.account).await;
            if let Ok(Some(session)) = session {
                let mut desk = Desk {
                    worker: &self,
                    scene: scene.clone(),
                    entropy: &mut entropy,
                    session,
                    own: &mut own,
                    mailboxes_made: &mut mailboxes_made,
                };
                // However it ended: what is left is done in another session.
                let _ = desk.work(&mut left).await;
            }
            let pause = 1 + entropy.next_below(PAUSE_SECONDS_MAX);
            scene.sleep(Duration::from_secs(pause)).await;
        }
        scene.status("is done");
    }
}

impl Desk<'_> {
    async fn work(&mut self, left: &mut u32) -> Result<(), Lost> {
        self.open().await?;
        while *left > 0 {
            *left -= 1;
            let seconds = self.entropy.next_below(self.worker.pause_seconds_max + 1);
            self.scene.sleep(Duration::from_secs(seconds)).await;
            self.step().await?;
            self.session.learn().await?;
        }
        self.compare().await?;
        self.session.command("LOGOUT").await?;
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Lost> {
        if self.session.selected.is_none() {
            return self.open().await;
        }
        match self.entropy.next_below(24) {
            0 | 1 => self.open().await,
            2..=4 => self.session.command("NOOP").await.map(drop),
            5 | 6 => {
                let seconds = 1 + self.entropy.next_below(90);
                self.session
                    .idle(Duration::from_secs(seconds))
                    .await
                    .map(drop)
            }
            7 | 8 => self.append().await,
            9..=11 => self.store().await,
            12 => self.expunge().await,
            13 => self.copy().await,
            14 | 15 => self.move_messages().await,
            16 | 17 => self.read().await,
            18 => self.search().await,
            19 => self.ask().await,
            20 | 21 => self.manage().await,
            22 => self.compare().await,
            _ => self.session.command("CHECK").await.map(drop),
        }
    }

    /// Opens one of the mailboxes.
    async fn open(&mut self) -> Result<(), Lost> {
        let name = self.some_mailbox();
        if self.session.select(&name).await?.is_none() {
            self.session.select("INBOX").await?;
        }
        Ok(())
    }

    async fn append(&mut self) -> Result<(), Lost> {
        let mailbox = self.some_mailbox();
        let account = self.session.account.clone();
        let token = self.scene.ledger().new_message(&account);
        let message = self.scene.ledger().message(token);
        self.scene.ledger().may_come(&account, token);
        let is_synchronizing = self.worker.is_synchronizing;
        let (completion, was_complete) = self
            .session
            .append(&mailbox, "\\Seen", &message, is_synchronizing)
            .await;
        let mut ledger = self.scene.ledger();
        match &completion {
            Ok(completion) if completion.is_ok => {
                ledger.came(&account, token);
                ledger.acknowledged += 1;
            }
            Ok(_) => ledger.refused(&account, token),
            Err(_) if !was_complete => ledger.did_not_come(&account, token),
            Err(_) => {}
        }
        drop(ledger);
        let completion = completion?;
        if completion.is_ok {
            self.remember_own(&mailbox, &[token]);
            self.check_appended(&mailbox, &completion, token);
        }
        Ok(())
    }

    /// APPENDUID names the UID of the message (RFC 4315 §3).
    fn check_appended(&mut self, mailbox: &str, completion: &Completion, token: Token) {
        let code = completion.code("APPENDUID").expect("APPEND tells the UID");
        let (validity, uid) = code.split_once(' ').expect("it has two numbers");
        let Some(selected) = &self.session.selected else {
            return;
        };
        if selected.name == mailbox {
            let generation = &selected.generation;
            assert_eq!(validity, generation.uid_validity.to_string());
            let uid = uid.parse().expect("a UID is a number");
            self.scene.ledger().saw(generation, uid, token);
        }
    }

    async fn store(&mut self) -> Result<(), Lost> {
        let Some((generation, uids)) = self.some_uids() else {
            return Ok(());
        };
        let mode = ["+FLAGS", "-FLAGS", "FLAGS"][self.entropy.next_below(3) as usize];
        let all = ["\\Seen", "\\Flagged", "$Work", "\\Deleted"];
        // Once it is there, \Deleted is not taken away: who marked it may have been told so.
        let flag = match mode {
            "+FLAGS" => all[self.entropy.next_below(4) as usize],
            _ => all[self.entropy.next_below(3) as usize],
        };
        for uid in &uids {
            let Some(token) = self.session.token(*uid).await? else {
                return Ok(());
            };
            if flag == "\\Deleted" {
                let account = &self.session.account;
                self.scene.ledger().mark(account, &generation, *uid, token);
            }
        }
        let set = set_of(&uids);
        let command = match self.entropy.next_below(2) {
            0 => format!("UID STORE {set} {mode} ({flag})"),
            _ => match self.numbers(&uids) {
                Some(numbers) => format!("STORE {numbers} {mode} ({flag})"),
                None => return Ok(()),
            },
        };
        self.session.command(&command).await?;
        // HIGHESTMODSEQ tells of a change that may be lost with the power.
        match (self.entropy.next_below(3), &self.session.selected) {
            (0, Some(selected)) => {
                let name = selected.name.clone();
                self.session.select(&name).await.map(drop)
            }
            (_, Some(_) | None) => Ok(()),
        }
    }

    async fn expunge(&mut self) -> Result<(), Lost> {
        let command = match self.some_uids() {
            Some((_, uids)) if self.entropy.next_below(2) == 0 => {
                format!("UID EXPUNGE {}", set_of(&uids))
            }
            Some(_) | None => "EXPUNGE".to_owned(),
        };
        self.session.command(&command).await.map(drop)
    }

    async fn copy(&mut self) -> Result<(), Lost> {
        let Some((_, uids)) = self.some_uids() else {
            return Ok(());
        };
        let target = self.some_mailbox();
        let account = self.session.account.clone();
        let mut tokens = Vec::new();
        for uid in &uids {
            if let Some(token) = self.session.token(*uid).await? {
                tokens.push((*uid, token));
            }
        }
        for (_, token) in &tokens {
            self.scene.ledger().may_come(&account, *token);
        }
        let listed: Vec<u32> = tokens.iter().map(|(uid, _)| *uid).collect();
        if listed.is_empty() {
            return Ok(());
        }
        let command = format!("UID COPY {} {target}", set_of(&listed));
        let completion = self.session.command(&command).await?;
        // COPYUID lists what was copied; the rest was gone.
        let copied = completion.code("COPYUID").and_then(copied_uids);
        let copied = copied.unwrap_or_default();
        let mut came = Vec::new();
        for (uid, token) in tokens {
            let mut ledger = self.scene.ledger();
            match completion.is_ok && copied.contains(&uid) {
                true => {
                    ledger.came(&account, token);
                    came.push(token);
                }
                false if completion.is_ok => ledger.did_not_come(&account, token),
                false => ledger.refused(&account, token),
            }
        }
        self.remember_own(&target, &came);
        Ok(())
    }

    async fn move_messages(&mut self) -> Result<(), Lost> {
        let Some((_, uids)) = self.some_uids() else {
            return Ok(());
        };
        // Never out of sight of the others, whose marks count.
        let target = self.shared_mailbox();
        let command = match self.numbers(&uids) {
            Some(numbers) if self.entropy.next_below(2) == 0 => format!("MOVE {numbers} {target}"),
            Some(_) | None => format!("UID MOVE {} {target}", set_of(&uids)),
        };
        self.session.command(&command).await.map(drop)
    }

    /// Reads a message, whole or in part: it is what was sent.
    async fn read(&mut self) -> Result<(), Lost> {
        let Some((_, uids)) = self.some_uids() else {
            return Ok(());
        };
        let uid = uids[0];
        let Some(token) = self.session.token(uid).await? else {
            return Ok(());
        };
        let completion = self
            .session
            .command(&format!("UID FETCH {uid} (BODY.PEEK[])"))
            .await?;
        let mut literals = completion.untagged.iter().flat_map(|found| &found.literals);
        if let Some(found) = literals.next() {
            let is_sent = self.scene.ledger().is_message(token, found);
            assert!(is_sent, "message {token:?} is not what was sent");
        }
        let structure =
            format!("UID FETCH {uid} (ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)");
        self.session.command(&structure).await.map(drop)
    }

    async fn search(&mut self) -> Result<(), Lost> {
        let criteria = [
            "ALL",
            "UNSEEN",
            "DELETED",
            "KEYWORD $Work",
            "SUBJECT message",
        ];
        let chosen = criteria[self.entropy.next_below(5) as usize];
        let uid = ["", "UID "][self.entropy.next_below(2) as usize];
        self.session
            .command(&format!("{uid}SEARCH {chosen}"))
            .await
            .map(drop)
    }

    async fn ask(&mut self) -> Result<(), Lost> {
        let name = self.shared_mailbox();
        let command = match self.entropy.next_below(3) {
            0 => "LIST \"\" \"*\"".to_owned(),
            1 => format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"),
            _ => "CAPABILITY".to_owned(),
        };
        self.session.command(&command).await.map(drop)
    }

    /// Makes, renames or deletes a mailbox of its own.
    async fn manage(&mut self) -> Result<(), Lost> {
        let account = self.session.account.clone();
        let Some(own) = self.own.as_mut() else {
            *self.mailboxes_made += 1;
            let name = format!("Box-{}-{}", self.worker.number, self.mailboxes_made);
            *self.own = Some(OwnMailbox {
                name: name.clone(),
                tokens: Vec::new(),
            });
            return self
                .change(&format!("CREATE {name}"), &[(&name, Existence::There)])
                .await;
        };
        let name = own.name.clone();
        if self.entropy.next_below(2) == 0 {
            *self.mailboxes_made += 1;
            let to = format!("Box-{}-{}", self.worker.number, self.mailboxes_made);
            own.name.clone_from(&to);
            let ends = [(&*name, Existence::Gone), (&*to, Existence::There)];
            // Nobody knows under which name to look for it when there is no answer.
            let tokens = std::mem::take(&mut own.tokens);
            let renamed = self.change(&format!("RENAME {name} {to}"), &ends).await;
            let is_there = self.existence(&to) == Some(Existence::There);
            match (&mut *self.own, is_there) {
                (Some(own), true) => own.tokens = tokens,
                (Some(_) | None, _) => *self.own = None,
            }
            return renamed;
        }
        for token in std::mem::take(&mut own.tokens) {
            self.scene.ledger().doom(&account, token);
        }
        *self.own = None;
        self.change(&format!("DELETE {name}"), &[(&name, Existence::Gone)])
            .await
    }

    /// Changes which mailboxes there are, and notes what that leads to.
    async fn change(&mut self, command: &str, ends: &[(&str, Existence)]) -> Result<(), Lost> {
        let account = self.session.account.clone();
        let before = self.scene.ledger().begin_change(&account, ends);
        let completion = self.session.command(command).await?;
        // A mailbox that is renamed or deleted while it is open: it is opened again.
        let is_open = |selected: &Selected| ends.iter().any(|(name, _)| selected.name == *name);
        if self.session.selected.as_ref().is_some_and(is_open) {
            self.session.selected = None;
        }
        let mut ledger = self.scene.ledger();
        ledger.end_change(&account, ends, before, completion.is_ok);
        Ok(())
    }

    fn existence(&self, name: &str) -> Option<Existence> {
        let key = (self.session.account.clone(), name.to_owned());
        self.scene.ledger().mailboxes.get(&key).copied()
    }

    /// When nobody has changed the mailbox for a while, the view is what the store says.
    async fn compare(&mut self) -> Result<(), Lost> {
        if !self.worker.disk_is_sound && !self.scene.is_healed() {
            return Ok(());
        }
        let before = self.session.truth();
        self.scene.sleep(SEEN_WITHIN).await;
        self.session.command("NOOP").await?;
        self.session.learn().await?;
        let after = self.session.truth();
        let (Some(before), Some(after)) = (before, after) else {
            return Ok(());
        };
        if before != after {
            return Ok(());
        }
        let Some(selected) = &self.session.selected else {
            return Ok(());
        };
        assert_eq!(
            selected.view.messages, after,
            "the view of {} in {} is not the mailbox",
            self.session.account, selected.name
        );
        self.scene.ledger().views_compared += 1;
        Ok(())
    }

    fn some_mailbox(&mut self) -> String {
        match (&*self.own, self.entropy.next_below(5)) {
            (Some(own), 0) if self.existence(&own.name) == Some(Existence::There) => {
                own.name.clone()
            }
            (_, 1 | 2) => self.shared_mailbox(),
            (_, _) => "INBOX".to_owned(),
        }
    }

    fn shared_mailbox(&mut self) -> String {
        SHARED[self.entropy.next_below(2) as usize].to_owned()
    }

    fn remember_own(&mut self, mailbox: &str, tokens: &[Token]) {
        if let Some(own) = self.own.as_mut().filter(|own| own.name == mailbox) {
            own.tokens.extend(tokens);
        }
    }

    /// A few neighbours in the open mailbox.
    fn some_uids(&mut self) -> Option<(Generation, Vec<u32>)> {
        let generation = self.session.generation()?;
        let uids = self.session.uids();
        if uids.is_empty() {
            return None;
        }
        let first = self.entropy.next_below(uids.len() as u64) as usize;
        let count = 1 + self.entropy.next_below(3) as usize;
        Some((
            generation,
            uids[first..].iter().take(count).copied().collect(),
        ))
    }

    /// The message numbers of UIDs, in the view.
    fn numbers(&self, uids: &[u32]) -> Option<String> {
        let selected = self.session.selected.as_ref()?;
        let messages = &selected.view.messages;
        let number = |uid: &u32| messages.iter().position(|known| known.uid == Some(*uid));
        let numbers: Option<Vec<usize>> = uids.iter().map(number).collect();
        let numbers = numbers?
            .iter()
            .map(|index| (index + 1).to_string())
            .collect::<Vec<_>>();
        Some(numbers.join(","))
    }
}

fn set_of(uids: &[u32]) -> String {
    let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
    uids.join(",")
}

/// The source UIDs of COPYUID.
fn copied_uids(code: &str) -> Option<BTreeSet<u32>> {
    let source = code.split(' ').nth(1)?;
    let mut uids = BTreeSet::new();
    for range in source.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        uids.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(uids)
}

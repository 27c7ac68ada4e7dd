//! A client's side of IMAP: commands, their one completion each, and the mailbox as the server's
//! responses describe it.

use std::time::Duration;

use rmail_server::node::ListenerKind;

use super::{
    ledger::Generation,
    mailbox_view::{Heard, Known, MailboxView},
    message::{Token, token_in},
    scene::{Place, Scene},
    socket::{Lost, PATIENCE, Socket},
};
use crate::AccountSetup;

/// A session that has logged in.
pub(super) struct ImapSession {
    scene: Scene,
    socket: Socket,
    pub(super) account: String,
    pub(super) server: Place,
    tags: u32,
    pub(super) selected: Option<Selected>,
}

/// The mailbox that is open.
pub(super) struct Selected {
    pub(super) name: String,
    pub(super) generation: Generation,
    pub(super) view: MailboxView,
}

/// A line, its literals apart.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) text: String,
    pub(super) literals: Vec<Vec<u8>>,
}

/// How a command was completed.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) is_ok: bool,
    /// What follows the tag.
    pub(super) text: String,
    /// The untagged responses that came before, as far as they are no news of the mailbox.
    pub(super) untagged: Vec<Response>,
}

impl Completion {
    /// What stands in the response code of this name (RFC 3501 §7.1).
    pub(super) fn code(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!("[{name} "))?;
        Some(rest.split_once(']')?.0)
    }
}

impl ImapSession {
    /// Connects over implicit TLS and logs in. `None` when the server does not take the login
    /// now: it is busy, or full, or the password is another one.
    pub(super) async fn log_in(
        scene: &Scene,
        server: Place,
        account: &AccountSetup,
    ) -> Result<Option<Self>, Lost> {
        let socket = Socket::connect(scene, server, ListenerKind::Imaps).await?;
        let mut session = Self {
            scene: scene.clone(),
            socket,
            account: account.address.clone(),
            server,
            tags: 0,
            selected: None,
        };
        let greeting = session.socket.line(PATIENCE).await?;
        if !greeting.starts_with("* OK") {
            return Ok(None);
        }
        let (address, password) = (&account.address, &account.password);
        let login = format!("LOGIN {address} \"{password}\"");
        let completion = session.command(&login).await?;
        Ok(completion.is_ok.then_some(session))
    }

    /// Sends a command and hears everything up to its completion.
    pub(super) async fn command(&mut self, text: &str) -> Result<Completion, Lost> {
        let tag = self.tag();
        self.socket.send_line(&format!("{tag} {text}"));
        self.complete(&tag, may_expunge(text)).await
    }

    /// Sends a command so often, and reads nothing.
    pub(super) fn ask_and_ignore(&mut self, text: &str, times: usize) {
        for _ in 0..times {
            let tag = self.tag();
            self.socket.send_line(&format!("{tag} {text}"));
        }
    }

    /// APPEND; also says whether all of it was sent.
    pub(super) async fn append(
        &mut self,
        mailbox: &str,
        flags: &str,
        message: &[u8],
        is_synchronizing: bool,
    ) -> (Result<Completion, Lost>, bool) {
        let tag = self.tag();
        let (plus, size) = (if is_synchronizing { "" } else { "+" }, message.len());
        let command = format!("{tag} APPEND {mailbox} ({flags}) {{{size}{plus}}}");
        self.socket.send_line(&command);
        if is_synchronizing {
            match self.continuation(&tag).await {
                Ok(None) => {}
                Ok(Some(refused)) => return (Ok(refused), false),
                Err(lost) => return (Err(lost), false),
            }
        }
        self.socket.send(message);
        self.socket.send(b"\r\n");
        (self.complete(&tag, true).await, true)
    }

    /// IDLE for so long.
    pub(super) async fn idle(&mut self, duration: Duration) -> Result<Completion, Lost> {
        let tag = self.tag();
        self.socket.send_line(&format!("{tag} IDLE"));
        if let Some(refused) = self.continuation(&tag).await? {
            return Ok(refused);
        }
        let until = self.scene.at() + duration;
        while self.scene.at() < until {
            let left = until.since(self.scene.at());
            match self.response(left).await {
                Ok(response) => self.hear(&response, true),
                Err(Lost::Silence) => break,
                Err(lost) => return Err(lost),
            }
        }
        self.socket.send_line("DONE");
        self.complete(&tag, true).await
    }

    /// Opens a mailbox, and learns what is in it. `None` when it can't be opened.
    pub(super) async fn select(&mut self, name: &str) -> Result<Option<()>, Lost> {
        self.selected = None;
        let opening = Selected {
            name: name.to_owned(),
            generation: Generation {
                mailbox_id: String::new(),
                uid_validity: 0,
            },
            view: MailboxView::default(),
        };
        self.selected = Some(opening);
        let completion = self.command(&format!("SELECT {name}")).await?;
        if !completion.is_ok {
            self.selected = None;
            return Ok(None);
        }
        let in_code = |name: &str| {
            let mut lines = completion.untagged.iter().map(|response| &response.text);
            lines.find_map(|line| {
                let (_, rest) = line.split_once(&format!("[{name} "))?;
                rest.split_once(']').map(|(value, _)| value.to_owned())
            })
        };
        let selected = self.selected.as_mut().expect("it was just set");
        selected.generation = Generation {
            // RFC 8474 §4.2
            mailbox_id: in_code("MAILBOXID")
                .map(|id| id.trim_matches(['(', ')']).to_owned())
                .expect("SELECT tells MAILBOXID"),
            uid_validity: in_code("UIDVALIDITY")
                .and_then(|number| number.parse().ok())
                .expect("SELECT tells UIDVALIDITY"),
        };
        let modseq = in_code("HIGHESTMODSEQ").and_then(|number| number.parse().ok());
        let uid_next = in_code("UIDNEXT").and_then(|number| number.parse().ok());
        self.scene.ledger().saw_modseq(
            &selected.generation,
            uid_next.expect("SELECT tells UIDNEXT"),
            modseq.expect("SELECT tells HIGHESTMODSEQ"),
        );
        self.learn().await?;
        Ok(Some(()))
    }

    /// Asks for what EXISTS left open: UIDs and flags.
    pub(super) async fn learn(&mut self) -> Result<(), Lost> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        let unknown = selected.view.unknown();
        if let (Some(first), Some(last)) = (unknown.first(), unknown.last()) {
            self.command(&format!("FETCH {first}:{last} (UID FLAGS)"))
                .await?;
        }
        Ok(())
    }

    /// The message with this UID, by its header; `None` when it is gone.
    pub(super) async fn token(&mut self, uid: u32) -> Result<Option<Token>, Lost> {
        let Some(generation) = self.generation() else {
            return Ok(None);
        };
        if let Some(token) = self.scene.ledger().token(&generation, uid) {
            return Ok(Some(token));
        }
        let fetch = format!("UID FETCH {uid} (BODY.PEEK[HEADER.FIELDS (X-Token)])");
        let completion = self.command(&fetch).await?;
        let mut literals = completion.untagged.iter().flat_map(|found| &found.literals);
        let token = literals.find_map(|literal| token_in(literal));
        if let Some(token) = token {
            self.scene.ledger().saw(&generation, uid, token);
        }
        Ok(token)
    }

    /// Where the UIDs of the open mailbox count.
    pub(super) fn generation(&self) -> Option<Generation> {
        let selected = self.selected.as_ref()?;
        Some(selected.generation.clone())
    }

    /// The UIDs that are known.
    pub(super) fn uids(&self) -> Vec<u32> {
        let selected = self.selected.iter();
        let known = selected.flat_map(|selected| &selected.view.messages);
        known.filter_map(|known| known.uid).collect()
    }

    /// The open mailbox, by the store of its server; `None` when it can't be read now.
    pub(super) fn truth(&self) -> Option<Vec<Known>> {
        let messages = self.true_messages()?.into_iter();
        Some(messages.map(|(known, _)| known).collect())
    }

    /// The same, each message with its MODSEQ.
    pub(super) fn true_messages(&self) -> Option<Vec<(Known, u64)>> {
        let selected = self.selected.as_ref()?;
        self.scene
            .mailbox(self.server, &self.account, &selected.name)
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    /// Waits for the continuation request; the completion when it does not come.
    async fn continuation(&mut self, tag: &str) -> Result<Option<Completion>, Lost> {
        loop {
            let response = self.response(PATIENCE).await?;
            if response.text.starts_with('+') {
                return Ok(None);
            }
            if let Some(text) = response.text.strip_prefix(&format!("{tag} ")) {
                return Ok(Some(self.completed(text, Vec::new())));
            }
            self.hear(&response, true);
        }
    }

    async fn complete(&mut self, tag: &str, may_expunge: bool) -> Result<Completion, Lost> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response(PATIENCE).await?;
            if let Some(text) = response.text.strip_prefix(&format!("{tag} ")) {
                return Ok(self.completed(text, untagged));
            }
            assert!(
                response.text.starts_with("* "),
                "a completion that nobody waits for: {}",
                response.text
            );
            self.hear(&response, may_expunge);
            untagged.push(response);
        }
    }

    fn completed(&mut self, text: &str, untagged: Vec<Response>) -> Completion {
        assert!(
            !text.starts_with("BAD"),
            "a command was not understood: {text}"
        );
        self.scene.ledger().commands += 1;
        Completion {
            is_ok: text.starts_with("OK"),
            text: text.to_owned(),
            untagged,
        }
    }

    fn hear(&mut self, response: &Response, may_expunge: bool) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let heard = selected.view.hear(&response.text, may_expunge);
        let mut ledger = self.scene.ledger();
        match heard {
            Heard::Expunged(Some(uid)) => ledger.saw_gone(&selected.generation, uid),
            Heard::Fetched(Some(uid)) => {
                let token = response
                    .literals
                    .iter()
                    .find_map(|literal| token_in(literal));
                if let Some(token) = token {
                    ledger.saw(&selected.generation, uid, token);
                }
            }
            Heard::Expunged(None) | Heard::Fetched(None) | Heard::Other => {}
        }
    }

    async fn response(&mut self, patience: Duration) -> Result<Response, Lost> {
        let mut response = Response::default();
        loop {
            // What began goes on, however short the patience was for its beginning.
            let patience = match response.text.is_empty() {
                true => patience,
                false => PATIENCE,
            };
            let line = self.socket.line(patience).await?;
            response.text.push_str(&line);
            let literal = line.strip_suffix('}').and_then(|start| {
                let (_, size) = start.rsplit_once('{')?;
                size.parse::<usize>().ok()
            });
            let Some(size) = literal else {
                return Ok(response);
            };
            response.literals.push(self.socket.bytes(size).await?);
        }
    }
}

/// Whether EXPUNGE may come while this command runs: not where message numbers were sent
/// (RFC 3501 §7.4.1).
fn may_expunge(command: &str) -> bool {
    let by_number = ["FETCH ", "STORE ", "SEARCH "];
    !by_number.iter().any(|name| command.starts_with(name))
}

//! What an HTTP client changes, an IMAP session of the same process shows at its next command.

use serde_json::Value;

use super::{
    http_worker::{Desk, Listed},
    imap_session::ImapSession,
    mailbox_view::Known,
    socket::Lost,
};

/// The mailbox that is looked at.
const WATCHED: &str = "INBOX";

/// A message as an answer told it: what it is until somebody changes it again.
#[derive(Clone, Copy, Debug)]
struct Told {
    uid: u32,
    modseq: u64,
}

impl Desk<'_> {
    /// Saves a message, marks it and deletes it, and looks by IMAP after each answer.
    pub(super) async fn watch(&mut self) -> Result<(), Lost> {
        if !self.worker.disk_is_sound && !self.scene.is_healed() {
            return Ok(());
        }
        let account = self.worker.account.clone();
        let server = self.session.server();
        let imap = ImapSession::log_in(&self.scene, server, &account).await?;
        let Some(mut imap) = imap else {
            return Ok(());
        };
        if imap.select(WATCHED).await?.is_none() {
            return Ok(());
        }
        let (token, request) = self.saving(WATCHED);
        let answer = self.session.ask(&request).await?;
        if !self.is_good(&answer, 201, &[]) {
            self.scene.ledger().refused(&account.address, token);
            return Ok(());
        }
        self.appended(WATCHED, token, &answer);
        let saved = answer.json();
        self.look(&mut imap, told(&saved)).await?;
        let id = saved["id"].as_str().expect("it has an id").to_owned();
        let message = Listed { id, token };
        let answer = self.mark_natively(&message).await?;
        if self.is_good(&answer, 200, &[404]) {
            self.look(&mut imap, told(&answer.json())).await?;
        }
        if self.purge_one(&message).await? {
            imap.command("NOOP").await?;
            let Told { uid, .. } = told(&saved);
            assert!(
                !imap.uids().contains(&uid),
                "IMAP shows what HTTP deleted: {uid}"
            );
            self.scene.ledger().views_compared += 1;
        }
        imap.command("LOGOUT").await?;
        Ok(())
    }

    /// Unless somebody has changed the message since, it is there as the answer told it.
    async fn look(&mut self, imap: &mut ImapSession, told: Told) -> Result<(), Lost> {
        let before = true_message(imap, told);
        imap.command("NOOP").await?;
        imap.learn().await?;
        let after = true_message(imap, told);
        let (Some(known), true) = (&before, before == after) else {
            return Ok(());
        };
        let selected = imap.selected.as_ref().expect("it is open");
        let mut shown = selected.view.messages.iter();
        let shown = shown.find(|shown| shown.uid == known.uid);
        assert_eq!(
            shown,
            Some(known),
            "IMAP does not show what HTTP has changed"
        );
        self.scene.ledger().views_compared += 1;
        Ok(())
    }
}

fn told(summary: &Value) -> Told {
    let number = |name: &str| summary[name].as_u64().expect("it is a number");
    Told {
        uid: u32::try_from(number("uid")).expect("a UID has 32 bits"),
        modseq: number("modseq"),
    }
}

/// The message as it is, if it is as it was told.
fn true_message(imap: &ImapSession, told: Told) -> Option<Known> {
    let messages = imap.true_messages()?;
    let is_told =
        |(known, modseq): &(Known, u64)| known.uid == Some(told.uid) && *modseq == told.modseq;
    messages.into_iter().find(is_told).map(|(known, _)| known)
}

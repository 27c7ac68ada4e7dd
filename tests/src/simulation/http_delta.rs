//! A client that follows a folder by what has changed since it looked last, and never reads it
//! whole: it knows the folder all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    http_session::Request,
    http_worker::{Desk, link},
    socket::Lost,
};

/// The folder, as IMAP and as Graph call it.
const FOLDER: (&str, &str) = ("INBOX", "inbox");

/// Most messages of a list.
const LIST_MAX: usize = 500;

/// What is known of the folder.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    /// Where the next round begins.
    next: String,
    /// By id, whether it is read.
    view: BTreeMap<String, bool>,
    /// How often the power was lost. The last changes of flags go with it, of which somebody may
    /// have been told.
    power_losses: u64,
}

impl Desk<'_> {
    /// One round, over as many pages as it takes; then all of the folder, to compare.
    pub(super) async fn follow(&mut self) -> Result<(), Lost> {
        if !self.worker.disk_is_sound && !self.scene.is_healed() {
            return Ok(());
        }
        let power_losses = self.scene.world().counts().power_losses;
        let known = self.memory.followed.take();
        let known = known.filter(|known| known.power_losses == power_losses);
        let mut followed = known.unwrap_or_else(|| Followed {
            next: format!("/v1.0/me/mailFolders/{}/messages/delta", FOLDER.1),
            view: BTreeMap::new(),
            power_losses,
        });
        let before = self.truth();
        let items = 1 + self.draw(20);
        loop {
            let request = Request::new("GET", &followed.next)
                .with_field("Prefer", format!("odata.maxpagesize={items}"));
            let answer = self.session.ask(&request).await?;
            if !self.is_good(&answer, 200, &[]) {
                // It goes on from the same link.
                self.memory.followed = Some(followed);
                return Ok(());
            }
            let page = answer.json();
            let told = page["value"].as_array().expect("a page has a value");
            told.iter().for_each(|item| followed.hear(item));
            if let Some(next) = link(&page, "@odata.nextLink") {
                followed.next = next;
                continue;
            }
            followed.next = link(&page, "@odata.deltaLink").expect("a round has an end");
            break;
        }
        let view = followed.view.clone();
        self.memory.followed = Some(followed);
        let target = format!("/folders/{}/messages?limit={LIST_MAX}", FOLDER.0);
        let answer = self.session.ask(&Request::new("GET", target)).await?;
        if !self.is_good(&answer, 200, &[]) {
            return Ok(());
        }
        let after = self.truth();
        let is_quiet = before.is_some() && before == after;
        if is_quiet && power_losses == self.scene.world().counts().power_losses {
            let listed = listed(&answer.json());
            if listed.len() < LIST_MAX {
                assert_eq!(view, listed, "delta tells another folder than a list");
                self.scene.ledger().views_compared += 1;
            }
        }
        Ok(())
    }

    /// Each message of the folder: its UID and MODSEQ.
    fn truth(&self) -> Option<Vec<(Option<u32>, u64)>> {
        let account = &self.worker.account.address;
        let messages = self
            .scene
            .mailbox(self.session.server(), account, FOLDER.0)?;
        let messages = messages.into_iter();
        Some(
            messages
                .map(|(known, modseq)| (known.uid, modseq))
                .collect(),
        )
    }
}

impl Followed {
    fn hear(&mut self, item: &Value) {
        let id = item["id"].as_str().expect("an item has an id").to_owned();
        match item.get("@removed") {
            Some(_) => {
                self.view.remove(&id);
            }
            None => {
                let is_read = item["isRead"].as_bool().expect("it is read or not");
                self.view.insert(id, is_read);
            }
        }
    }
}

fn listed(list: &Value) -> BTreeMap<String, bool> {
    let messages = list["messages"].as_array().expect("a list has messages");
    let known = messages.iter().map(|message| {
        let id = message["id"].as_str().expect("a message has an id");
        (id.to_owned(), message["seen"] == true)
    });
    known.collect()
}

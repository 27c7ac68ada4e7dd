//! The end of a run: all mail is read, by IMAP, and compared with the ledger.

use std::{collections::BTreeMap, time::Duration};

use super::{
    imap_session::ImapSession,
    ledger::Existence,
    message::{Token, token_in},
    relay::{ReadReport, is_report},
    scene::{Place, Scene},
};
use crate::AccountSetup;

/// How long an audit waits when it is not admitted.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// Reads everything that an account holds, and puts it down in the ledger.
///
/// # Panics
///
/// When it is nothing that was sent, or can't be read: nothing goes wrong any more.
pub(super) async fn audit(scene: Scene, server: Place, account: AccountSetup) {
    scene.status("reads all mail");
    let mut session = loop {
        match ImapSession::log_in(&scene, server, &account).await {
            Ok(Some(session)) => break session,
            // One connection too many: others have to be done first.
            Ok(None) | Err(_) => scene.sleep(COME_AGAIN).await,
        }
    };
    let address = account.address.clone();
    let names = mailboxes(&mut session).await;
    check_mailboxes(&scene, &address, &names);
    let mut found: BTreeMap<Token, i64> = BTreeMap::new();
    for name in &names {
        let opened = session.select(name).await.expect("nothing goes wrong");
        opened.unwrap_or_else(|| panic!("{name} can't be opened"));
        let generation = session.generation().expect("it is open");
        for uid in session.uids() {
            let fetch = format!("UID FETCH {uid} (BODY.PEEK[])");
            let completion = session.command(&fetch).await.expect("nothing goes wrong");
            let mut literals = completion.untagged.iter().flat_map(|found| &found.literals);
            let message = literals.next().expect("a message that is shown is there");
            if is_report(message) {
                let report = ReadReport::read(message);
                scene.ledger().fates.reported(&address, &report);
                continue;
            }
            let token = token_in(message).expect("every message has a token");
            let expected = scene.ledger().message(token);
            assert!(
                message.ends_with(&expected),
                "message {token:?} is not what was sent"
            );
            scene.ledger().check_not_gone(&generation, uid);
            *found.entry(token).or_default() += 1;
        }
    }
    scene.ledger().found(&address, found);
    session.command("LOGOUT").await.expect("nothing goes wrong");
    scene.status("is done");
}

async fn mailboxes(session: &mut ImapSession) -> Vec<String> {
    let completion = session.command("LIST \"\" \"*\"").await;
    let completion = completion.expect("nothing goes wrong any more");
    let lines = completion.untagged.iter().map(|response| &response.text);
    let listed = lines.filter(|line| line.starts_with("* LIST ") && !line.contains("\\Noselect"));
    let names = listed.filter_map(|line| line.rsplit(' ').next());
    names
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

fn check_mailboxes(scene: &Scene, account: &str, names: &[String]) {
    let ledger = scene.ledger();
    let known = ledger
        .mailboxes
        .iter()
        .filter(|((owner, _), _)| owner == account);
    for ((_, name), existence) in known {
        let is_there = names.contains(name);
        match existence {
            Existence::There => assert!(is_there, "the mailbox {name} of {account} is lost"),
            Existence::Gone => assert!(!is_there, "the mailbox {name} of {account} came back"),
            Existence::Unknown => {}
        }
    }
}

//! The end of a run: all mail is read, by IMAP, and compared with the ledger; and by HTTP, and
//! compared with what IMAP said.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rmail_server::node::ListenerKind;
use serde_json::Value;

use super::{
    http_session::{HttpSession, Request},
    http_worker::token_of,
    imap_session::ImapSession,
    ledger::Existence,
    mailbox_view::Known,
    message::{Token, token_in},
    relay::{ReadReport, is_report},
    scene::{Place, Scene},
};
use crate::AccountSetup;

/// How long an audit waits when it is not admitted.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// Messages on a page that is asked for by HTTP.
const PAGE: usize = 100;

/// What an account holds: by mailbox, and how often each message.
#[derive(Debug, Default, Eq, PartialEq)]
struct Holdings {
    /// By MAILBOXID, in the order of UIDs.
    views: BTreeMap<String, Vec<Known>>,
    tokens: BTreeMap<Token, i64>,
}

/// Reads everything that an account holds, and puts it down in the ledger.
///
/// # Panics
///
/// When it is nothing that was sent, or can't be read: nothing goes wrong any more. When HTTP
/// shows anything else.
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
    let mut found = Holdings::default();
    let mut sent = BTreeSet::new();
    for name in &names {
        let opened = session.select(name).await.expect("nothing goes wrong");
        opened.unwrap_or_else(|| panic!("{name} can't be opened"));
        let generation = session.generation().expect("it is open");
        let mut tokens = BTreeMap::new();
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
            let is_sent = scene.ledger().is_message(token, message);
            assert!(is_sent, "message {token:?} is not what was sent");
            scene.ledger().check_not_gone(&generation, uid);
            *found.tokens.entry(token).or_default() += 1;
            tokens.insert(uid, token);
        }
        let selected = session.selected.as_ref().expect("it is open");
        let view = selected.view.messages.clone();
        sent.extend(no_drafts(&view, &tokens));
        found.views.insert(generation.mailbox_id, view);
    }
    session.command("LOGOUT").await.expect("nothing goes wrong");
    let shown = holdings_by_http(&scene, server, &account).await;
    assert_eq!(shown, found, "HTTP shows of {address} what IMAP does not");
    scene.ledger().views_compared += shown.views.len() as u64;
    scene.ledger().found(&address, found.tokens, sent);
    scene.status("is done");
}

/// The messages of a mailbox that are no drafts.
fn no_drafts(view: &[Known], tokens: &BTreeMap<u32, Token>) -> BTreeSet<Token> {
    let is_draft = |known: &&Known| {
        let flags = known.flags.as_ref().expect("flags are known");
        flags.contains("\\Draft")
    };
    let others = view.iter().filter(|known| !is_draft(known));
    let uids = others.filter_map(|known| known.uid);
    uids.filter_map(|uid| tokens.get(&uid).copied()).collect()
}

async fn holdings_by_http(scene: &Scene, server: Place, account: &AccountSetup) -> Holdings {
    let mut session = HttpSession::new(scene, server, ListenerKind::Http, true);
    while session.log_in(account).await != Ok(true) {
        scene.sleep(COME_AGAIN).await;
    }
    let mut found = Holdings::default();
    let folders = get(&mut session, "/folders").await;
    let folders = folders["folders"].as_array().expect("there are some");
    for id in folders.iter().filter_map(|folder| folder["id"].as_str()) {
        let mut view = Vec::new();
        loop {
            let page = format!("limit={PAGE}&offset={}&sort=date", view.len());
            let list = get(&mut session, &format!("/folders/{id}/messages?{page}")).await;
            let messages = list["messages"].as_array().expect("a list has messages");
            for message in messages {
                if let Some(token) = token_of(&message["message_id"]) {
                    *found.tokens.entry(token).or_default() += 1;
                }
                view.push(known(message));
            }
            if messages.len() < PAGE {
                assert_eq!(list["total"], view.len());
                break;
            }
        }
        view.sort_by_key(|known| known.uid);
        found.views.insert(id.to_owned(), view);
    }
    found
}

/// What HTTP says of a message, as IMAP says it.
fn known(summary: &Value) -> Known {
    let uid = summary["uid"].as_u64().expect("a message has a UID");
    let flags = summary["flags"].as_array().expect("a message has flags");
    let flags = flags
        .iter()
        .map(|flag| flag.as_str().expect("flags are texts"));
    Known {
        uid: Some(u32::try_from(uid).expect("a UID has 32 bits")),
        flags: Some(flags.map(str::to_owned).collect()),
    }
}

async fn get(session: &mut HttpSession, target: &str) -> Value {
    let answer = session.ask(&Request::new("GET", target)).await;
    let answer = answer.expect("nothing goes wrong any more");
    answer.expect(200).json()
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

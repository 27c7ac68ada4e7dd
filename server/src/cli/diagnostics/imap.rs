//! Phase 6: logging in, and all that a mail program does with a mailbox.

use super::{
    account::{TestAccount, WRONG_PASSWORD},
    doors::{Door, Tools},
    imap_client::ImapClient,
    letter::Letter,
    report::Findings,
    trouble::Trouble,
};

/// A mailbox of the account's own, in which nothing else arrives.
const MAILBOX: &str = "Diagnostics";

/// A login at each listener, and the work of a mail program at the last of them.
pub(super) fn check(tools: &Tools, account: &TestAccount, doors: &[Door], findings: &mut Findings) {
    let mut session = None;
    for door in doors {
        match log_in(tools, account, door, findings) {
            Ok(client) => session = Some((client, door)),
            Err(trouble) => findings.trouble(&door.to_string(), &trouble),
        }
    }
    if let Some((mut client, door)) = session
        && let Err(trouble) = work(tools, account, door, &mut client, findings)
    {
        findings.trouble(&door.to_string(), &trouble);
    }
}

fn log_in(
    tools: &Tools,
    account: &TestAccount,
    door: &Door,
    findings: &mut Findings,
) -> Result<ImapClient, Trouble> {
    let (mut client, _greeting) = ImapClient::connect(tools, door)?;
    let address = account.address.to_string();
    if !door.kind.is_implicit_tls() {
        let answer = client.log_in(&address, WRONG_PASSWORD)?;
        // AUTHENTICATIONFAILED would mean that the password was looked at.
        let is_refused = !answer.is_ok() && !answer.completion.contains("AUTHENTICATIONFAILED");
        let what = format!("{door}: a password in clear");
        findings.refusal(&what, &answer.completion, is_refused);
        client = client.start_tls()?;
    }
    if tools.may_guess(door) {
        let answer = client.log_in(&address, WRONG_PASSWORD)?;
        let what = format!("{door}: a wrong password");
        findings.refusal(&what, &answer.completion, !answer.is_ok());
    }
    let answer = client.log_in(&address, account.password.reveal())?;
    if !answer.is_ok() {
        let completion = answer.completion;
        return Err(Trouble::Answer(format!(
            "{completion} (to the right password)"
        )));
    }
    let listed = client.order("LIST \"\" *")?;
    match listed.has("INBOX") {
        true => findings.ok(format!("{door}: the right password opens the mailboxes")),
        false => return Err(Trouble::Answer("LIST shows no INBOX".to_owned())),
    }
    Ok(client)
}

fn work(
    tools: &Tools,
    account: &TestAccount,
    door: &Door,
    client: &mut ImapClient,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    let letter = Letter::new("imap");
    let content = letter.content(&account.address);
    client.order(&format!("CREATE {MAILBOX}"))?;
    client.append(MAILBOX, &content)?;
    client.order(&format!("SELECT {MAILBOX}"))?;
    let fetched = client.order("FETCH 1 (FLAGS BODY.PEEK[])")?;
    if !fetched.has(&content) {
        let told = fetched.untagged.join(" ");
        return Err(Trouble::Answer(format!(
            "other bytes than were saved: {}",
            told.escape_debug()
        )));
    }
    findings.ok(format!(
        "{door}: a message is saved and comes back as it was"
    ));
    client.order("STORE 1 +FLAGS (\\Flagged)")?;
    for (criteria, hits) in [
        (format!("FLAGGED TEXT {}", letter.token), "* SEARCH 1"),
        ("UNFLAGGED".to_owned(), "* SEARCH"),
    ] {
        let found = client.order(&format!("SEARCH {criteria}"))?;
        if !found.untagged.iter().any(|response| response == hits) {
            let told = found.untagged.join(" ");
            return Err(Trouble::Answer(format!("{told} (to SEARCH {criteria})")));
        }
    }
    findings.ok(format!("{door}: it is flagged and found"));
    hear(tools, account, door, client, findings)?;
    client.order("STORE 1:* +FLAGS.SILENT (\\Deleted)")?;
    client.order("CLOSE")?;
    client.order(&format!("DELETE {MAILBOX}"))?;
    client.order("LOGOUT").map(drop)
}

/// What one connection saves, another hears of.
fn hear(
    tools: &Tools,
    account: &TestAccount,
    door: &Door,
    client: &mut ImapClient,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    let (mut other, _greeting) = ImapClient::connect(tools, door)?;
    if !door.kind.is_implicit_tls() {
        other = other.start_tls()?;
    }
    other.log_in(&account.address.to_string(), account.password.reveal())?;
    let tag = client.idle()?;
    other.append(MAILBOX, &Letter::new("imap").content(&account.address))?;
    let heard = client.wait_and_end_idle(&tag, " EXISTS")?;
    findings.ok(format!("{door}: IDLE tells of a new message: {heard}"));
    other.order("LOGOUT").map(drop)
}

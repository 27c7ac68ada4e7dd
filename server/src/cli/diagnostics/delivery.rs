//! Phase 8: what was sent has arrived, nothing of it waits, and the limiter limits.

use std::net::{IpAddr, Ipv4Addr};

use rmail_proto::Uid;
use rmail_store::{Listing, MailboxRef, QueueFilter};

use super::{
    account::{TestAccount, patience, pause},
    doors::{Door, Tools},
    letter::Letter,
    report::Findings,
    trouble::{Trouble, is_limiters},
};
use crate::{
    cli::{control, failure::Failure},
    config::Config,
    limits,
    node::{LimitsStatus, ListenerKind},
    outside::{client::Client, random},
    rate_limit::is_exempt,
};

/// More connections at a time are not opened to see whether one is too many.
const CONNECTIONS_MAX: usize = 40;

/// Looks into the account, the queue, and the running server.
pub(super) fn check(
    config: &Config,
    tools: &Tools,
    account: &TestAccount,
    letters: &[Letter],
    smtp: &[Door],
    findings: &mut Findings,
) {
    check_arrival(tools, account, letters, findings);
    check_queue(account, findings);
    check_limits(config, account, findings);
    match smtp.iter().find(|door| door.kind == ListenerKind::Smtp) {
        Some(door) => check_limiter(config, tools, door, findings),
        None => findings.ok("the limiter is not tried: there is no smtp listener to try it at"),
    }
}

fn check_arrival(
    tools: &Tools,
    account: &TestAccount,
    letters: &[Letter],
    findings: &mut Findings,
) {
    let mut counts = Ok(vec![0; letters.len()]);
    for _ in 0..patience() {
        counts = count_arrived(account, letters);
        let is_over = match &counts {
            Ok(counts) => counts.iter().all(|count| *count > 0),
            Err(_) => true,
        };
        if is_over || tools.dialer.interrupt.has_come() {
            break;
        }
        pause();
    }
    let counts = match counts {
        Ok(counts) => counts,
        Err(Failure(reason)) => {
            return findings.fail(
                format!("the account can't be looked into: {reason}"),
                "see that this runs as the user that the server runs as",
            );
        }
    };
    let mut arrived = Vec::new();
    for (letter, count) in letters.iter().zip(counts) {
        let via = &letter.via;
        match count {
            1 => arrived.push(via.as_str()),
            0 => findings.fail(
                format!(
                    "the message by {via} has not arrived within {} seconds",
                    limits::DIAGNOSTICS_TIME.as_secs()
                ),
                "see \"rmail queue list\", and the server's log for why it is not delivered",
            ),
            more => findings.fail(
                format!("the message by {via} has arrived {more} times"),
                "look into the server's log, and report this",
            ),
        }
    }
    if !arrived.is_empty() {
        findings.ok(format!(
            "arrived, each once and whole: the messages by {}",
            arrived.join(", ")
        ));
    }
}

/// How often each is in the INBOX.
fn count_arrived(account: &TestAccount, letters: &[Letter]) -> Result<Vec<usize>, Failure> {
    let store = &account.workplace.store;
    let inbox = store.status(account.id, &MailboxRef::Name("INBOX".to_owned()))?;
    let listing = Listing {
        mailbox: Some(inbox.mailbox),
        ..Listing::default()
    };
    let mut counts = vec![0; letters.len()];
    for message in store.list(account.id, &listing, false)?.0 {
        let uid: Uid = message.data.uid;
        let length = limits::DIAGNOSTICS_LINE_BYTES;
        let content = store.read(account.id, inbox.mailbox, uid, 0, length)?;
        let content = String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned();
        for (letter, count) in letters.iter().zip(&mut counts) {
            // In the body: its end.
            let is_this = content.trim_end().ends_with(&letter.token);
            *count += usize::from(is_this);
        }
    }
    Ok(counts)
}

fn check_queue(account: &TestAccount, findings: &mut Findings) {
    let store = &account.workplace.store;
    let most = limits::STATUS_QUEUE_COUNTED;
    let others = store.queue(&QueueFilter::default(), None, most);
    let waiting = account.workplace.waiting(&account.address);
    match (waiting, others.map_err(Failure::from)) {
        (Err(Failure(reason)), _) | (_, Err(Failure(reason))) => findings.fail(
            format!("the queue can't be read: {reason}"),
            "see that this runs as the user that the server runs as",
        ),
        (Ok(waiting), Ok(others)) if waiting.is_empty() => findings.ok(format!(
            "nothing of it waits in the queue; of others' mail: {}{}",
            others.len(),
            if others.len() == most {
                " and more"
            } else {
                ""
            },
        )),
        (Ok(waiting), Ok(_)) => findings.fail(
            format!("still in the queue: {}", waiting.join(", ")),
            "\"rmail queue why ID\" says what was tried, and what is next",
        ),
    }
}

/// Whether the limits of the file are those that the server goes by.
fn check_limits(config: &Config, account: &TestAccount, findings: &mut Findings) {
    let control::Answers { answers, silence } = match control::statuses(&*account.workplace.store) {
        Ok(told) => told,
        Err(Failure(reason)) => {
            let remedy = "see that the server's mail_root is the one of this configuration";
            return findings.fail(
                format!("the server does not tell its state: {reason}"),
                remedy,
            );
        }
    };
    if let Some(silence) = silence {
        findings.fail(
            silence,
            "look into its log for why; a restart is the last resort",
        );
    }
    for server in answers {
        match server.limits == LimitsStatus::of(config) {
            true => findings.ok(format!(
                "server {} goes by the limits of the file; clients that it has locked out: {}",
                server.pid, server.rate_limit.locked_out
            )),
            false => findings.warn(
                format!("server {} has other limits than the file", server.pid),
                "run \"rmail reload\" (several servers on one mail_root have a file each)",
            ),
        }
    }
}

/// Opens connections from an address that nobody else has, until one is too many.
fn check_limiter(config: &Config, tools: &Tools, door: &Door, findings: &mut Findings) {
    let limits = &config.rate_limit;
    let rate = usize::try_from(limits.connection_rate.get()).unwrap_or(usize::MAX);
    let most = rate.min(limits.max_concurrent_per_ip.get());
    let source = stranger();
    let reason = if !limits.enabled {
        "rate_limit.enabled is false"
    } else if !door.address.ip().is_loopback() || !door.address.is_ipv4() {
        "a client with another address can be played at 127.0.0.1 alone"
    } else if is_exempt(limits, source) {
        "all of 127.0.0.0/8 is in rate_limit.whitelist"
    } else if most > CONNECTIONS_MAX || most * 2 > config.smtp.max_connections.get() {
        "it would take too many connections"
    } else {
        return match overdo(tools, door, source, most) {
            Ok(Some(said)) => findings.ok(format!(
                "the limiter refuses connection {} of one client ({source}): {said}",
                most + 1
            )),
            Ok(None) => findings.fail(
                format!("the limiter lets one client have {} connections", most + 1),
                "run \"rmail reload\", which has the server read its limits again",
            ),
            Err(trouble) => findings.warn(
                format!("the limiter could not be tried: {trouble}"),
                trouble.remedy(),
            ),
        };
    };
    findings.ok(format!("the limiter is not tried: {reason}"));
}

/// An address of this machine from which nobody has come before.
fn stranger() -> IpAddr {
    let [a, b, c]: [u8; 3] = random::bytes();
    Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)).into()
}

/// How one connection more than `most` is refused, if it is.
fn overdo(
    tools: &Tools,
    door: &Door,
    source: IpAddr,
    most: usize,
) -> Result<Option<String>, Trouble> {
    let mut open: Vec<Client> = Vec::new();
    loop {
        let mut client = tools.dialer.dial_from(source, door.address)?;
        let line = client.read_line()?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let is_refused = is_limiters(&line);
        match (is_refused, open.len() == most) {
            (true, true) => return Ok(Some(line)),
            (false, true) => return Ok(None),
            (false, false) if line.starts_with("220") => open.push(client),
            (_, false) => return Err(Trouble::Answer(line)),
        }
    }
}

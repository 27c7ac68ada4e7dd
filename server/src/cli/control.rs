//! `reload` and `status`: what is asked of the servers that run.

use std::time::Duration;

use rmail_proto::{DateTime, UnixTime};
use rmail_store::{QueueFilter, Store};
use serde::{Serialize, de::DeserializeOwned};

use super::{console::Console, failure::Failure};
use crate::{
    limits,
    node::{ClientLimits, RELOAD, ReloadReport, STATUS, SmtpLimits, Status},
    outside::{
        clock,
        commands::{self, Asked},
    },
};

/// How long servers may take for a reload, certificates and listeners included.
const RELOAD_PATIENCE: Duration = Duration::from_secs(15);

/// How long servers may take to tell their state.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// What `status --json` prints.
#[derive(Serialize)]
struct WholeStatus {
    servers: Vec<Status>,
    queue: QueueStatus,
}

/// Messages that are not finished, of all servers together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct QueueStatus {
    messages: usize,
    held: usize,
    /// Not all were counted.
    is_more: bool,
}

/// What the servers of a `mail_root` answer.
pub(super) struct Answers<T> {
    pub(super) answers: Vec<T>,
    /// Why there are fewer than there are servers.
    pub(super) silence: Option<String>,
}

/// Has all servers read their configuration again; true when it holds now in each of them.
pub(super) fn reload(
    console: &mut Console<'_>,
    store: &dyn Store,
    json: bool,
) -> Result<bool, Failure> {
    let Answers { answers, silence }: Answers<ReloadReport> = ask(store, RELOAD, RELOAD_PATIENCE)?;
    let reports = answers;
    let is_good = silence.is_none() && reports.iter().all(|report| report.faults.is_empty());
    tell_silence(console, silence);
    if json {
        console.json(&reports)?;
        return Ok(is_good);
    }
    for report in &reports {
        for fault in &report.faults {
            console.line(&format!("fault    {fault}"))?;
        }
        for warning in &report.warnings {
            console.line(&format!("warning  {warning}"))?;
        }
        let verdict = match report.faults.is_empty() {
            true => "has read its configuration again",
            false => "goes on as it was: nothing has changed",
        };
        console.line(&format!("server {} {verdict}", report.pid))?;
    }
    Ok(is_good)
}

/// The state of each server.
pub(super) fn statuses(store: &dyn Store) -> Result<Answers<Status>, Failure> {
    ask(store, STATUS, STATUS_PATIENCE)
}

/// Shows what the servers do.
pub(super) fn status(
    console: &mut Console<'_>,
    store: &dyn Store,
    json: bool,
) -> Result<(), Failure> {
    let Answers {
        answers: servers,
        silence,
    } = statuses(store)?;
    tell_silence(console, silence);
    let queue = queue_status(store)?;
    if json {
        return console.json(&WholeStatus { servers, queue });
    }
    for server in &servers {
        show(console, server)?;
    }
    let more = if queue.is_more { " at least" } else { "" };
    let QueueStatus { messages, held, .. } = queue;
    console.line(&format!(
        "queue{more}: {messages} messages, {held} of them held"
    ))
}

fn show(console: &mut Console<'_>, server: &Status) -> Result<(), Failure> {
    let stopping = if server.is_stopping { ", stopping" } else { "" };
    console.line(&format!(
        "server {}: rmail {}, up {}{stopping}",
        server.pid,
        server.version,
        span(server.uptime_seconds)
    ))?;
    for listener in &server.listeners {
        let (name, address) = (&listener.name, listener.address.to_string());
        console.line(&format!("  {name:<11} {address:<24} {}", listener.state))?;
    }
    let (sessions, limits) = (&server.sessions, &server.limits);
    let count = |now: usize, most: usize| format!("{now} of {most}");
    console.line(&format!(
        "  sessions    smtp {}, imap {}, http {}, to other servers {}; {} logged in",
        count(sessions.smtp, limits.smtp.max_connections),
        count(sessions.imap, limits.imap.max_connections),
        count(sessions.http, limits.exchange_api.max_connections),
        sessions.outbound,
        sessions.logged_in,
    ))?;
    let clients = &server.rate_limit;
    console.line(&match limits.rate_limit.enabled {
        true => format!(
            "  rate limit  on: {} clients known, {} locked out",
            clients.tracked, clients.locked_out
        ),
        false => "  rate limit  off".to_owned(),
    })?;
    if limits.rate_limit.enabled {
        for line in client_limits(&limits.rate_limit) {
            console.line(&format!("              {line}"))?;
        }
    }
    let SmtpLimits {
        max_message_size,
        max_recipients,
        ..
    } = limits.smtp;
    console.line(&format!(
        "  messages    at most {max_message_size} bytes, {max_recipients} recipients"
    ))?;
    let until = UnixTime(server.certificate_not_after);
    let until = DateTime::utc(until).rfc3339().to_string();
    let ended = match server.certificate_not_after < clock::unix_now().0 {
        true => " (it has ended)",
        false => "",
    };
    console.line(&format!("  certificate until {until}{ended}"))
}

/// What each client may do.
fn client_limits(limits: &ClientLimits) -> [String; 3] {
    [
        format!(
            "each client: {} connections at once, {} in {}",
            limits.max_concurrent_per_ip,
            limits.connection_rate,
            span(limits.connection_period)
        ),
        format!(
            "{} messages in {}, {} recipients in {}",
            limits.message_rate,
            span(limits.message_period),
            limits.recipient_rate,
            span(limits.recipient_period)
        ),
        format!(
            "locked out for {} after {} wrong passwords; {} networks are exempt",
            span(limits.auth_failure_lockout),
            limits.auth_failure_limit,
            limits.whitelist
        ),
    ]
}

fn queue_status(store: &dyn Store) -> Result<QueueStatus, Failure> {
    let count = |filter: &QueueFilter| store.queue(filter, None, limits::STATUS_QUEUE_COUNTED);
    let all = count(&QueueFilter::default())?.len();
    let held = QueueFilter {
        is_held: true,
        ..QueueFilter::default()
    };
    Ok(QueueStatus {
        messages: all,
        held: count(&held)?.len(),
        is_more: all == limits::STATUS_QUEUE_COUNTED,
    })
}

/// The two largest units, without one of which there is nothing.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{seconds} s"),
        (0, 0, minutes) => [(minutes, "min"), (seconds % 60, "s")],
        (0, hours, minutes) => [(hours, "h"), (minutes, "min")],
        (days, hours, _) => [(days, "d"), (hours, "h")],
    };
    let told = two.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    told.join(" ")
}

fn tell_silence(console: &mut Console<'_>, silence: Option<String>) {
    if let Some(silence) = silence {
        console.note(&silence);
    }
}

/// Asks every server on the `mail_root`; at least one must answer.
fn ask<T: DeserializeOwned>(
    store: &dyn Store,
    command: &str,
    patience: Duration,
) -> Result<Answers<T>, Failure> {
    // Not the one for hints, at which other commands would take this one for a server.
    let own = store.hint_socket().with_extension("ask");
    let sockets = store.look_at_peers()?.sockets;
    let asked = commands::ask(&own, &sockets, command, patience);
    let Asked { servers, answers } = asked.map_err(|error| Failure::file(&own, "used", &error))?;
    if servers == 0 {
        return Err(Failure(
            "no server runs on this mail_root: start it first".to_owned(),
        ));
    }
    let silent = servers - answers.len();
    let silence = (silent > 0).then(|| {
        let seconds = patience.as_secs();
        format!(
            "{silent} of {servers} servers did not answer within {seconds} seconds: see its log"
        )
    });
    if let (true, Some(silence)) = (answers.is_empty(), &silence) {
        return Err(Failure(silence.clone()));
    }
    let answers = answers.iter().map(|json| serde_json::from_str(json));
    let answers = answers.collect::<Result<_, _>>();
    let answers = answers
        .map_err(|error| Failure(format!("a server of another version answers: {error}")))?;
    Ok(Answers { answers, silence })
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_have_two_units_at_most() {
        let told = [5, 65, 600, 3_599, 7_260, 90_000].map(span);
        let expected = [
            "5 s",
            "1 min 5 s",
            "10 min",
            "59 min 59 s",
            "2 h 1 min",
            "1 d 1 h",
        ];
        assert_eq!(told, expected);
    }
}

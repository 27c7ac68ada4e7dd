//! The HTTP API on a large mailbox: pages on one connection, then many clients that list, patch
//! and send at once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rmail_tests::{http::HttpClient, lines::Door};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Result,
    daemon::{Daemon, PASSWORD, USER},
};

const PAGE: &str = "/v1.0/me/mailFolders/inbox/messages?$top=50";

/// Pages that are asked for in turn where each is to be another one: more than the daemon
/// remembers.
const PAGES: u32 = 200;

/// Connections that fill the mailbox.
const SENDERS: u32 = 20;

/// Clients that work at once.
const CLIENTS: usize = 50;

/// How long each part is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// How long the mailbox may take until all messages are in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Fills a mailbox, and prints what the API does with it.
pub(crate) fn measure(binary: &Path, messages: u32) -> Result<()> {
    let mut daemon = Daemon::start(binary)?;
    fill(&daemon, messages)?;
    let mut client = new_client(&daemon);
    let token = client.log_in(USER, PASSWORD);
    wait_for_messages(&mut client, messages)?;
    pages(&daemon, &mut client, messages)?;
    let before = daemon.proportional_kib()?;
    for round in 1..=3 {
        many_clients(&daemon, &token, round)?;
    }
    let grown = daemon.proportional_kib()? - before;
    println!("memory: {before} KiB before {CLIENTS} clients, {grown:+} KiB after them");
    daemon.restart_on_one_processor()?;
    let mut client = new_client(&daemon);
    client.set_token(&token);
    println!("the same");
    measure_pages(&daemon, &mut client, "on one processor")
}

fn new_client(daemon: &Daemon) -> HttpClient {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.http_port));
    HttpClient::new(Door::clear(address))
}

/// Sends the messages by SMTP.
fn fill(daemon: &Daemon, messages: u32) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.smtp_port));
    let started_at = Instant::now();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || -> std::io::Result<()> {
                    let mut smtp = Door::clear(address).connect()?;
                    smtp.read_reply()?;
                    smtp.smtp("EHLO bench.test")?;
                    for number in (sender..messages).step_by(SENDERS as usize) {
                        let message = letter(number);
                        smtp.deliver("sender@bench.test", &[USER], &message)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let mut ends = senders.into_iter().map(thread::ScopedJoinHandle::join);
        ends.try_for_each(|end| end.expect("a sender does not panic"))
    })?;
    let seconds = started_at.elapsed().as_secs_f64();
    println!("{messages} messages taken by SMTP in {seconds:.1} s");
    Ok(())
}

fn letter(number: u32) -> String {
    format!(
        "From: Sender {number} <sender@bench.test>\r\nTo: {USER}\r\nSubject: Message {number}\r\n\
         Date: Fri, 2 Jan 2026 03:04:05 +0000\r\nMessage-ID: <{number}@bench.test>\r\n\r\n\
         This is message {number}.\r\n"
    )
}

fn wait_for_messages(client: &mut HttpClient, messages: u32) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let inbox = client.get("/v1.0/me/mailFolders/inbox").expect(200).json();
        if inbox["totalItemCount"].as_u64() >= Some(messages.into()) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err("the messages did not arrive".into())
}

/// Pages on one connection.
fn pages(daemon: &Daemon, client: &mut HttpClient, messages: u32) -> Result<()> {
    let first = client.get(PAGE).expect(200);
    let length = first.json()["value"].as_array().map(Vec::len);
    if length != Some(50) {
        return Err(format!("a page of {length:?} messages").into());
    }
    println!(
        "a page of 50 of {messages} messages ({} bytes), one connection:",
        first.body.len(),
    );
    measure_pages(daemon, client, "on all processors")
}

fn measure_pages(daemon: &Daemon, client: &mut HttpClient, place: &str) -> Result<()> {
    let first = |_| PAGE.to_owned();
    measure_requests(daemon, client, &format!("{place}, the same page"), first)?;
    let another = |request| format!("{PAGE}&$skip={}", request % PAGES);
    measure_requests(
        daemon,
        client,
        &format!("{place}, another page each time"),
        another,
    )
}

fn measure_requests(
    daemon: &Daemon,
    client: &mut HttpClient,
    what: &str,
    target: impl Fn(u32) -> String,
) -> Result<()> {
    let processor = daemon.processor_time()?;
    let started_at = Instant::now();
    let mut requests = 0_u32;
    while started_at.elapsed() < MEASURED {
        client.get(&target(requests)).expect(200);
        requests += 1;
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let busy = (daemon.processor_time()? - processor).as_secs_f64();
    println!(
        "  {what}: {:.0} requests/s, {:.0} for each second of a core that the daemon had",
        f64::from(requests) / seconds,
        f64::from(requests) / busy.max(0.01),
    );
    Ok(())
}

/// What a client did: how long each request took, by what it was.
#[derive(Default)]
struct Worked {
    lists: Vec<Duration>,
    patches: Vec<Duration>,
    sends: Vec<Duration>,
    errors: Vec<String>,
}

fn many_clients(daemon: &Daemon, token: &str, round: u32) -> Result<()> {
    let all = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || work(new_client(daemon), token, number)))
            .collect();
        let mut all = Worked::default();
        for worked in clients {
            let worked = worked.join().expect("a client does not panic");
            all.lists.extend(worked.lists);
            all.patches.extend(worked.patches);
            all.sends.extend(worked.sends);
            all.errors.extend(worked.errors);
        }
        all
    });
    println!(
        "{CLIENTS} clients, round {round}: lists {}, patches {}, sends {}; {} errors",
        figures(all.lists),
        figures(all.patches),
        figures(all.sends),
        all.errors.len()
    );
    match all.errors.first() {
        None => Ok(()),
        Some(error) => Err(error.clone().into()),
    }
}

/// What a client looks for in a page. It has the processors that the daemon could have.
#[derive(Default, Deserialize)]
struct Page<'p> {
    #[serde(borrow)]
    value: Vec<Listed<'p>>,
}

#[derive(Deserialize)]
struct Listed<'p> {
    id: &'p str,
}

fn work(mut client: HttpClient, token: &str, number: usize) -> Worked {
    client.set_token(token);
    let mut worked = Worked::default();
    let until = Instant::now() + MEASURED;
    for turn in 0_usize.. {
        if Instant::now() >= until {
            break;
        }
        let content = timed(&mut worked.lists, &mut worked.errors, 200, || {
            client.try_request("GET", PAGE, &[], b"")
        });
        let page: Page<'_> = serde_json::from_slice(&content).unwrap_or_default();
        // Each has messages of its own on the page.
        let id = page.value.get(number).map_or("", |message| message.id);
        let change = json!({"isRead": turn % 2 == 0});
        send(
            &mut client,
            &mut worked.patches,
            &mut worked.errors,
            200,
            ("PATCH", &format!("/v1.0/me/messages/{id}"), &change),
        );
        if turn % 10 == 0 {
            let message = json!({"message": {
                "subject": format!("from client {number}"),
                "body": {"contentType": "text", "content": "Text."},
                "toRecipients": [{"emailAddress": {"address": USER}}],
            }, "saveToSentItems": false});
            send(
                &mut client,
                &mut worked.sends,
                &mut worked.errors,
                202,
                ("POST", "/v1.0/me/sendMail", &message),
            );
        }
    }
    worked
}

fn send(
    client: &mut HttpClient,
    times: &mut Vec<Duration>,
    errors: &mut Vec<String>,
    status: u16,
    (method, target, body): (&str, &str, &Value),
) {
    let fields = [("Content-Type", "application/json")];
    let body = body.to_string();
    timed(times, errors, status, || {
        client.try_request(method, target, &fields, body.as_bytes())
    });
}

/// Does a request, and notes how long it took, or that it failed; its content.
fn timed(
    times: &mut Vec<Duration>,
    errors: &mut Vec<String>,
    status: u16,
    request: impl FnOnce() -> std::io::Result<rmail_tests::http::HttpAnswer>,
) -> Vec<u8> {
    let started_at = Instant::now();
    match request() {
        Ok(answer) if answer.status == status => {
            times.push(started_at.elapsed());
            answer.body
        }
        Ok(answer) => {
            errors.push(format!(
                "{}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ));
            Vec::new()
        }
        Err(error) => {
            errors.push(error.to_string());
            Vec::new()
        }
    }
}

/// Count, median and 99th percentile.
fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = times.len() * percent / 100;
        let time = times.get(place.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    format!(
        "{} (median {:.1} ms, 99 % {:.1} ms)",
        times.len(),
        at(50),
        at(99)
    )
}

//! Measures on loopback what a message, a connection and a long queue cost a daemon, and prints it.

mod client;
mod daemon;
mod http;
mod queue;
mod relay;
mod sink;
mod soak;

use std::{error::Error, path::PathBuf, time::Duration};

use clap::Parser;

use crate::{
    client::{Client, connect_plain, connect_tls},
    daemon::{Daemon, PASSWORD, USER},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of the large message.
const LARGE_BYTES: usize = 50 * 1000 * 1000;

/// Prints what a large message and idle connections cost a daemon in memory; or how it relays.
#[derive(Debug, Parser)]
struct Arguments {
    /// The daemon, built with --release
    #[arg(long, default_value = "target/release/rmail")]
    daemon: PathBuf,
    /// Idle connections
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Measure a queue of so many messages for another server, and nothing else
    #[arg(long)]
    queue: Option<u32>,
    /// Measure the relaying of so many messages, beside Postfix, and nothing else
    #[arg(long)]
    relay: Option<u32>,
    /// Measure the HTTP API on a mailbox of so many messages, and nothing else
    #[arg(long)]
    http: Option<u32>,
    /// Let people go about their mail for so many minutes, and nothing else
    #[arg(long)]
    soak: Option<u32>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("daemon: {}", arguments.daemon.display());
    if let Some(messages) = arguments.queue {
        return queue::measure(&arguments.daemon, messages);
    }
    if let Some(messages) = arguments.relay {
        return relay::measure(&arguments.daemon, messages);
    }
    if let Some(messages) = arguments.http {
        return http::measure(&arguments.daemon, messages);
    }
    if let Some(minutes) = arguments.soak {
        return soak::measure(&arguments.daemon, minutes);
    }
    large_message(&Daemon::start(&arguments.daemon)?)?;
    idle(&Daemon::start(&arguments.daemon)?, arguments.connections)?;
    Ok(())
}

/// A message of 50 MB by SMTP and back by IMAP: bytes compared, growth of the resident memory's
/// peak printed.
fn large_message(daemon: &Daemon) -> Result<()> {
    let body = large_body();
    let mut imap = connect_tls(daemon.imaps_port)?;
    // Before the measurement: a login's Argon2 hash takes 19 MiB for a moment.
    log_in(&mut imap)?;
    let before = daemon.resident_peak_kib(true)?;
    let mut smtp = connect_plain(daemon.smtp_port)?;
    smtp.expect("220")?;
    for line in [
        "EHLO bench.test",
        "MAIL FROM:<sender@bench.test>",
        &format!("RCPT TO:<{USER}>"),
    ] {
        smtp.send_line(line)?;
        smtp.expect("250")?;
    }
    smtp.send_line("DATA")?;
    smtp.expect("354")?;
    smtp.send(&body)?;
    smtp.send(b".\r\n")?;
    smtp.expect("250")?;
    let accepted = daemon.resident_peak_kib(false)?;
    wait_for_message(&mut imap)?;
    let received = imap.fetch_first()?;
    let fetched = daemon.resident_peak_kib(false)?;
    let is_same = received.ends_with(&body);
    println!(
        "a message of {} MB: peak memory {} KiB before, +{} KiB after it was accepted, \
         +{} KiB after it was fetched; byte for byte the same: {is_same}",
        LARGE_BYTES / 1_000_000,
        before,
        accepted - before,
        fetched - before,
    );
    match is_same {
        true => Ok(()),
        false => Err("the message came back changed".into()),
    }
}

/// Connections that wait, before login without TLS and in IDLE with it.
fn idle(daemon: &Daemon, connections: usize) -> Result<()> {
    let before = daemon.proportional_kib()?;
    let mut plain: Vec<Client> = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = connect_plain(daemon.imap_port)?;
        client.expect("* OK")?;
        plain.push(client);
    }
    print_per_connection("without TLS, greeted", daemon, before, connections)?;
    drop(plain);
    std::thread::sleep(Duration::from_secs(1));
    let before = daemon.proportional_kib()?;
    let mut idling: Vec<Client> = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = connect_tls(daemon.imaps_port)?;
        log_in(&mut client)?;
        client.send_line("s SELECT INBOX")?;
        client.expect("s OK")?;
        client.send_line("i IDLE")?;
        client.expect("+")?;
        idling.push(client);
    }
    print_per_connection("with TLS, in IDLE", daemon, before, connections)
}

fn print_per_connection(
    what: &str,
    daemon: &Daemon,
    before_kib: i64,
    connections: usize,
) -> Result<()> {
    let grown_kib = daemon.proportional_kib()? - before_kib;
    println!(
        "{connections} idle IMAP connections {what}: {:.1} KiB each",
        grown_kib as f64 / connections as f64,
    );
    Ok(())
}

fn log_in(imap: &mut Client) -> Result<()> {
    imap.expect("* OK")?;
    imap.send_line(&format!("l LOGIN {USER} {PASSWORD}"))?;
    imap.expect("l OK")
}

fn wait_for_message(imap: &mut Client) -> Result<()> {
    for _ in 0..600 {
        imap.send_line("s SELECT INBOX")?;
        if imap
            .read_until("s OK")?
            .iter()
            .any(|line| line == "* 1 EXISTS")
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the message did not arrive".into())
}

fn large_body() -> Vec<u8> {
    let mut body = b"From: sender@bench.test\r\nSubject: large\r\n\r\n".to_vec();
    let mut line = 0_u64;
    while body.len() < LARGE_BYTES {
        line += 1;
        body.extend_from_slice(format!("{line:070}\r\n").as_bytes());
    }
    body
}

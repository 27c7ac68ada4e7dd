//! A long queue for one server: how soon after the start the first message goes out, how many
//! follow, and what the daemon takes in memory.

use std::{path::Path, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use rmail_proto::{
    Address, ForwardPath, ReversePath, UnixTime,
    smtp::{MailNotice, Recipient},
};
use rmail_store::{
    Content, Destination, NewRecipient, NewSpoolEntry, RealFiles, SpoolWrite, SqliteStore, Store,
};
use serde_json::json;

use crate::{Result, daemon::Daemon, sink::Sink};

/// Messages of one write.
const BATCH: u32 = 5_000;

/// How long messages are counted after the first.
const COUNTED: Duration = Duration::from_secs(10);

/// How long the first message is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills a queue, starts a daemon on it, and prints what it does.
pub(crate) fn measure(binary: &Path, messages: u32) -> Result<()> {
    let sink = Sink::start()?;
    let port = sink.port;
    sink.set_goal(1);
    let relay = json!({
        "smarthost": "127.0.0.1", "smarthost_port": port, "smarthost_tls": "none",
    });
    let destination = format!("smarthost:127.0.0.1:{port}");
    let daemon = Daemon::start_prepared(binary, &relay, |root| fill(root, messages, &destination))?;
    let at = sink.wait(PATIENCE)?;
    let wait = at.duration_since(daemon.started_at);
    let before = sink.taken();
    thread::sleep(COUNTED);
    let sent = sink.taken() - before;
    println!(
        "{messages} queued messages: the first is taken {:.2} s after the start; {:.0} messages/s \
         then; peak memory {} MiB",
        wait.as_secs_f64(),
        f64::from(sent) / COUNTED.as_secs_f64(),
        daemon.resident_peak_kib(false)? / 1024,
    );
    Ok(())
}

/// Puts messages into the spool of a `mail_root`.
fn fill(root: &Path, messages: u32, destination: &str) -> Result<()> {
    let store = SqliteStore::open(root, Arc::new(RealFiles), None, 1)?;
    let content = format!(
        "Return-Path: <a@bench.test>\r\nSubject: x\r\n\r\n{:01000}\r\n",
        0
    );
    let content = Bytes::from(content);
    let summary = Arc::new(rmail_proto::mime::Summary {
        size_bytes: content.len() as u64,
        ..rmail_proto::mime::Summary::default()
    });
    let mut number = 0;
    while number < messages {
        let end = messages.min(number + BATCH);
        let mut batch = Vec::new();
        for number in number..end {
            let to = Address::parse(&format!("u{number}@d{}.test", number % 1000));
            let path = ForwardPath::Address(to.map_err(|_| "an address is malformed")?);
            batch.push(SpoolWrite::Accept(NewSpoolEntry {
                envelope_id: format!("b{number}"),
                reverse_path: ReversePath::Null,
                notice: MailNotice::default(),
                smtputf8: false,
                eight_bit_mime: false,
                recipients: vec![NewRecipient {
                    recipient: Recipient::new(path),
                    destination: Destination::Remote(destination.to_owned()),
                }],
                summary: Arc::clone(&summary),
                content: Content::Inline(content.clone()),
                is_claimed: false,
            }));
        }
        store.write_spool(UnixTime(1_700_000_000), batch)?;
        number = end;
    }
    Ok(())
}

//! Relaying beside Postfix: the same messages by the same clients, to the same server, with the
//! same DNS, in turn.

use std::{
    net::Ipv4Addr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rmail_tests::{
    peers::{Peer, PeerKind, PeerSetup},
    programs::Dnsmasq,
};
use serde_json::json;

use crate::{
    Result,
    client::{Client, connect_plain, connect_tls},
    daemon::{Daemon, PASSWORD, USER, free_ports},
    sink::Sink,
};

/// Connections on which messages come in.
const CLIENTS: u32 = 10;

/// Bytes of a message.
const MESSAGE_BYTES: usize = 4_000;

/// Domains of the second measurement.
const DOMAINS: u32 = 1_000;

/// How long all messages may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often each is measured.
const ROUNDS: u32 = 3;

/// Where the name server listens; Postfix asks on port 53 alone.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 153);

/// Postfix as it is shipped, with the sink for all mail, and without the pause by which it slows
/// down clients that are quicker than itself.
const POSTFIX: &str = "smtpd_tls_security_level = none
smtpd_tls_chain_files =
smtp_tls_security_level = none
smtpd_recipient_restrictions =
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
";

/// Who relays.
struct Relay<'a> {
    name: &'a str,
    open: &'a dyn Fn() -> Result<Client>,
}

/// Prints messages per second to one destination and to many.
pub(crate) fn measure(binary: &Path, messages: u32) -> Result<()> {
    if !PeerKind::Postfix.is_installed() || !Dnsmasq::is_installed() {
        return Err("it needs root, dnsmasq, and Postfix from tests/peers/unpack".into());
    }
    let sink = Sink::start()?;
    let mut zone: Vec<String> = (0..DOMAINS)
        .map(|number| format!("--mx-host=d{number}.test,mx.test,10"))
        .collect();
    zone.push("--host-record=mx.test,127.0.0.1".to_owned());
    zone.push("--local=/test/".to_owned());
    let dns = Dnsmasq::start_on((NAME_SERVER, 53).into(), &zone);
    let relay = json!({
        "port": sink.port, "dns_servers": [dns.address().to_string()], "tls": "none",
    });
    let daemon = Daemon::start_prepared(binary, &relay, |_| Ok(()))?;
    let port = free_ports(1)?[0];
    let transport = format!(
        "transport_maps = regexp:{{ {{ /@([a-z0-9.]+)$/ smtp:$1:{} }} }}\n{POSTFIX}",
        sink.port
    );
    let setup = PeerSetup {
        name_server: Some(NAME_SERVER.into()),
        postfix_settings: &transport,
        ..PeerSetup::new(port, Path::new("/"))
    };
    let _postfix = Peer::start(PeerKind::Postfix, &setup);
    let relays = [
        Relay {
            name: "rmail",
            open: &|| log_in(daemon.smtps_port),
        },
        Relay {
            name: "Postfix",
            open: &|| introduce(connect_plain(port)?),
        },
    ];
    for domains in [1, DOMAINS] {
        println!("{messages} messages of {MESSAGE_BYTES} bytes to {domains} domains:");
        for _ in 0..ROUNDS {
            for relay in &relays {
                let (accepted, relayed) = relay_all(&sink, relay, messages, domains)?;
                println!(
                    "  {}: {accepted:.0} accepted/s, {relayed:.0} relayed/s",
                    relay.name
                );
            }
        }
    }
    Ok(())
}

/// Messages per second that were accepted, and that were taken by the sink.
fn relay_all(sink: &Sink, relay: &Relay<'_>, messages: u32, domains: u32) -> Result<(f64, f64)> {
    let clients = (0..CLIENTS).map(|_| (relay.open)());
    let clients = clients.collect::<Result<Vec<Client>>>()?;
    sink.set_goal(sink.taken() + messages);
    let begun = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .zip(clients)
            .map(|(first, client)| {
                scope.spawn(move || {
                    let numbers = (first..messages).step_by(CLIENTS as usize);
                    // An error of a thread must be one that can leave it.
                    send(client, numbers, domains).map_err(|error| error.to_string())
                })
            })
            .collect();
        let mut outcomes = threads.into_iter().map(|it| it.join().expect("no panic"));
        outcomes.try_for_each(|outcome| outcome)
    })?;
    let accepted = begun.elapsed();
    let relayed = sink.wait(PATIENCE)?.duration_since(begun);
    let rate = |time: Duration| f64::from(messages) / time.as_secs_f64();
    Ok((rate(accepted), rate(relayed)))
}

fn send(mut client: Client, numbers: impl Iterator<Item = u32>, domains: u32) -> Result<()> {
    let line = format!("{:070}\r\n", 0);
    let body = line.repeat(MESSAGE_BYTES / line.len());
    for number in numbers {
        let to = format!("u{number}@d{}.test", number % domains);
        let message = format!(
            "MAIL FROM:<{USER}>\r\nRCPT TO:<{to}>\r\nDATA\r\nFrom: {USER}\r\nTo: {to}\r\n\
             Subject: number {number}\r\nDate: Fri, 31 Dec 1999 23:59:59 +0000\r\n\
             Message-ID: <{number}@bench.test>\r\n\r\n{body}.\r\n"
        );
        let (commands, content) = message.split_once("From: ").ok_or("it has a header")?;
        client.send(commands.as_bytes())?;
        for code in ["250", "250", "354"] {
            client.expect(code)?;
        }
        client.send(format!("From: {content}").as_bytes())?;
        client.expect("250")?;
    }
    client.send_line("QUIT")?;
    client.expect("221")
}

fn introduce(mut client: Client) -> Result<Client> {
    client.expect("220")?;
    client.send_line("EHLO bench.test")?;
    client.read_until("250 ")?;
    Ok(client)
}

fn log_in(port: u16) -> Result<Client> {
    let mut client = introduce(connect_tls(port)?)?;
    let login = BASE64.encode(format!("\0{USER}\0{PASSWORD}"));
    client.send_line(&format!("AUTH PLAIN {login}"))?;
    client.expect("235")?;
    Ok(client)
}

//! Other people's DNS programs: as clients of the table, and between it and the resolver.
//!
//! A program that is not installed is left out, and that is said; with `RMAIL_CLIENTS=required` it
//! is a failure.

use std::{
    env,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rmail_proto::dns::{Failure, RecordType};
use rmail_tests::{Conduct, DnsServer, DnsWorld};

use crate::{RECORDS, sockets::asker};

/// How long a program may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

fn is_installed(program: &str, version: &str) -> bool {
    let output = Command::new(program).arg(version).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        let is_required = env::var_os("RMAIL_CLIENTS").is_some_and(|value| value == "required");
        assert!(!is_required, "{program} is not installed");
        // Past what the harness captures of a test that passes.
        let _ = writeln!(std::io::stderr(), "left out: {program} is not installed");
    }
    is_there
}

/// What `dig` finds at this server.
fn dig(server: &DnsServer, arguments: &[&str]) -> Vec<String> {
    let output = Command::new("dig")
        .arg("@127.0.0.1")
        .args(["-p", &server.address().port().to_string()])
        .args(arguments)
        .output();
    let output = output.expect("it is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn dig_reads_the_table_by_datagrams_and_streams() {
    if !is_installed("dig", "-v") {
        return;
    }
    let server = DnsServer::start(DnsWorld::new(7, RECORDS));
    for way in ["+notcp", "+tcp", "+noedns"] {
        let hosts = dig(&server, &["+short", way, "example.com", "MX"]);
        assert_eq!(hosts, ["10 mx1.example.com.", "20 mx2.example.com."]);
        let alias = dig(&server, &["+short", way, "mx2.example.com", "A"]);
        assert_eq!(alias, ["192.0.2.2", "host.example.net."]);
    }
    let missing = dig(&server, &["missing.example", "A"]);
    assert!(missing.iter().any(|line| line.contains("status: NXDOMAIN")));
    assert!(
        !missing.iter().any(|line| line.contains("WARNING")),
        "{missing:#?}"
    );
}

/// A forwarder with a cache, between the resolver and the table.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Dnsmasq {
    fn start(table: &DnsServer) -> Self {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let address = free.expect("a port is free");
        let child = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--pid-file=",
                "--user=",
            ])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--server=127.0.0.1#{}", table.address().port()))
            .stdin(Stdio::null())
            .spawn();
        let child = child.expect("it is installed");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "dnsmasq does not listen");
            thread::yield_now();
        }
        Self { child, address }
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn resolver_finds_the_table_behind_dnsmasq() {
    if !is_installed("dnsmasq", "--version") {
        return;
    }
    let table = DnsServer::start(DnsWorld::new(7, RECORDS));
    let between = Dnsmasq::start(&table);
    let mut asker = asker(vec![between.address]);
    let plan = asker.route("example.com").unwrap();
    let targets: Vec<_> = plan.targets().map(|(_, ip)| ip.to_string()).collect();
    assert_eq!(targets, ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    let missing = asker.ask("missing.example", RecordType::A);
    assert!(
        matches!(missing, Err(Failure::NoSuchDomain(_))),
        "{missing:?}"
    );
    let nothing = asker.ask("small.example", RecordType::Aaaa);
    assert!(matches!(nothing, Err(Failure::NoData(_))), "{nothing:?}");
    let truncated = Conduct {
        is_truncated: true,
        ..Conduct::default()
    };
    table.world().set_conduct(truncated);
    let text = asker.ask("example.com", RecordType::Txt).unwrap();
    assert_eq!(text.records.len(), 1);
}

//! Other people's DNS programs: as clients of the table, and between it and the resolver.

use std::process::Command;

use rmail_proto::dns::{Failure, RecordType};
use rmail_tests::{
    Conduct, DnsServer, DnsWorld,
    programs::{Dnsmasq, is_installed},
};

use crate::{RECORDS, sockets::asker};

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
    if !is_installed("dig", Command::new("dig").arg("-v")) {
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

#[test]
fn resolver_finds_the_table_behind_dnsmasq() {
    if !Dnsmasq::is_installed() {
        return;
    }
    let table = DnsServer::start(DnsWorld::new(7, RECORDS));
    let port = table.address().port();
    let between = Dnsmasq::start(&[format!("--server=127.0.0.1#{port}")]);
    let mut asker = asker(vec![between.address()]);
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

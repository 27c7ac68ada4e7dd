//! The node, as other processes and the operator reach it.

use std::{path::Path, sync::Arc, time::Duration};

use rmail_proto::{Instant, Now, Secret, UnixTime};
use rmail_server::{
    api::service::ApiKeys,
    config::Config,
    node::{Node, NodeAction, NodeSetup},
    tls::{ClientTls, ServerTls},
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::plan::Plan;

/// Most actions that one event may queue here, where there are no sessions.
const ACTIONS_MAX: usize = 16;

/// No handshake gets so far.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn setup() -> NodeSetup {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("aws-lc-rs has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    NodeSetup {
        config: Arc::new(Config::default_in(Path::new("folder"))),
        tls: Arc::new(ServerTls {
            config: Arc::new(config),
            not_after: UnixTime(4_000_000_000),
            warnings: Vec::new(),
            renewed: None,
        }),
        client_tls: ClientTls::without_roots(),
        resolv_conf: String::new(),
        seed: 1,
        cache_key: Secret::new([1; 32]),
        hashes_running_max: 2,
        api_keys: ApiKeys {
            token_secret: Secret::new("a secret of at least 32 bytes, truly".to_owned()),
            process: Secret::new([2; 32]),
        },
    }
}

/// Lines of the input are datagrams of other processes; an empty one lets time pass. Any datagram
/// is taken or ignored, few things are done about each, and the same input has the same effect.
pub(crate) fn node(input: &[u8]) {
    assert_eq!(run(input), run(input));
}

fn run(input: &[u8]) -> Vec<String> {
    let mut plan = Plan(input);
    let stops_at = usize::from(plan.byte());
    let mut node = Node::new(setup());
    let mut now = Now {
        at: Instant::from_start(Duration::ZERO),
        unix: UnixTime(1_800_000_000),
    };
    let mut trace = Vec::new();
    node.handle_start(now);
    drain(&mut node, &mut trace);
    for (index, datagram) in plan.0.split(|&byte| byte == b'\n').take(64).enumerate() {
        if datagram.is_empty() {
            now.at = now.at + Duration::from_secs(1);
            now.unix.0 += 1;
            node.handle_timeout(now);
        } else {
            node.handle_datagram(now, Some(Path::new("commands")), datagram);
        }
        drain(&mut node, &mut trace);
        if index == stops_at {
            node.handle_stop(now);
            drain(&mut node, &mut trace);
        }
    }
    trace
}

fn drain(node: &mut Node, trace: &mut Vec<String>) {
    let mut count = 0;
    while let Some(action) = node.poll_action() {
        count += 1;
        assert!(count <= ACTIONS_MAX, "too many at once: {action:?}");
        let name = match action {
            NodeAction::RunJob(_) => "job".to_owned(),
            other => format!("{other:?}"),
        };
        trace.push(name);
    }
    trace.push(format!("{:?}", node.poll_timeout()));
}

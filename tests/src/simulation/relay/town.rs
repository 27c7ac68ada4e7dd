//! Which machines there are besides the first host, and who writes between them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rmail_proto::Entropy;
use serde_json::json;

use super::{
    super::{
        plan::is_on,
        scene::{Cast, HOST, Scene},
        sender::{Door, Sender},
    },
    fates::Fates,
    peer::{Deed, Peer, Stage, Whim},
};
use crate::{AccountSetup, Conduct, DnsFault, HostId, Setup, World};

/// Most hosts besides the first one that run rmail, and most peers.
const NEIGHBOURS_MAX: u64 = 2;
const PEERS_MAX: u64 = 3;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where nobody listens, and where nobody answers.
const DEAD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 250);
const SILENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 251);

/// Who all ask.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 253);

/// Domains to which nothing can be sent, and what the DNS says of the second.
const MISSING: &str = "missing.example";
const NULL: &str = "null.example";

const DEEDS: [Deed; 7] = [
    Deed::Defers,
    Deed::Refuses,
    Deed::IsBusy,
    Deed::Stalls,
    Deed::HangsUp,
    Deed::Vanishes,
    Deed::IsSlow,
];

const STAGES: [Stage; 8] = [
    Stage::Greeting,
    Stage::Hello,
    Stage::Tls,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::MidData,
    Stage::End,
];

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(in super::super) struct Town {
    /// Whether nothing goes wrong but what peers do.
    pub(in super::super) is_calm: bool,
    /// Hosts that run rmail.
    pub(in super::super) neighbours: Vec<Setup>,
    peers: Vec<Peer>,
    /// What the DNS knows.
    records: Vec<String>,
    /// Names of which the DNS says nothing useful at first.
    dns_troubles: Vec<DnsTrouble>,
    pub(in super::super) expiry: Duration,
}

#[derive(Clone, Debug)]
struct DnsTrouble {
    name: String,
    conduct: Conduct,
    until: Duration,
}

/// The domain of a host, counted from 0.
pub(in super::super) fn host_domain(host: HostId) -> String {
    match host {
        HOST => "example.com".to_owned(),
        HostId(number) => format!("host{number}.example"),
    }
}

/// Who writes to other machines at a host.
pub(in super::super) fn author(host: HostId) -> AccountSetup {
    AccountSetup::new(&format!("erin@{}", host_domain(host)), "pen and paper")
}

impl Town {
    pub(in super::super) fn draw(entropy: &mut Entropy) -> Self {
        let is_calm = is_on(entropy);
        let expiry = match is_on(entropy) {
            true => 5 * DAY,
            false => DAY,
        };
        // Three to five machines in all.
        let neighbours = entropy.next_below(NEIGHBOURS_MAX + 1);
        let peers = 1 + entropy.next_below(PEERS_MAX);
        let peers = peers.clamp(2 - neighbours.min(1), 4 - neighbours);
        let mut town = Self {
            is_calm,
            neighbours: Vec::new(),
            peers: Vec::new(),
            records: Vec::new(),
            dns_troubles: Vec::new(),
            expiry,
        };
        town.peers = (0..peers)
            .map(|number| draw_peer(entropy, number as u8, expiry))
            .collect();
        for number in 0..=neighbours {
            let host = HostId(number as usize);
            if host != HOST {
                town.neighbours.push(town.neighbour(host));
            }
            let domain = host_domain(host);
            let exchange = format!("mail.{domain}");
            town.records.push(format!("{domain} MX 10 {exchange}"));
            let address = Ipv4Addr::new(10, 0, 0, 1 + host.0 as u8);
            town.records.push(format!("{exchange} A {address}"));
        }
        town.records.push(format!("{NULL} MX 0 ."));
        for number in 0..town.peers.len() {
            let records = draw_records(entropy, &town.peers[number]);
            town.records.extend(records);
            if entropy.next_below(5) == 0 {
                let trouble = draw_trouble(entropy, &town.peers[number].domain, expiry);
                town.dns_troubles.push(trouble);
            }
        }
        town
    }

    /// One host, and one peer that does what it is asked.
    pub(in super::super) fn script() -> Self {
        let peer = Peer {
            address: SocketAddr::from(([10, 0, 0, 101], 25)),
            whims: Vec::new(),
            opens_after: Some(Duration::ZERO),
            is_lmtp: false,
            ..draw_peer(&mut Entropy::new(0), 0, DAY)
        };
        let records = [
            format!("{} MX 10 mx.{}", peer.domain, peer.domain),
            format!("mx.{} A {}", peer.domain, peer.address.ip()),
        ];
        Self {
            is_calm: false,
            neighbours: Vec::new(),
            peers: vec![peer],
            records: records.into(),
            dns_troubles: Vec::new(),
            expiry: DAY,
        }
    }

    /// What every host's configuration says of it.
    pub(in super::super) fn config(&self) -> serde_json::Value {
        let routes = self.peers.iter().filter(|peer| peer.is_lmtp);
        let routes: Vec<String> = routes
            .map(|peer| format!("{} lmtp:{}", peer.domain, peer.address))
            .collect();
        json!({ "relay": { "expiry": self.expiry.as_secs(), "routes": routes } })
    }

    fn neighbour(&self, host: HostId) -> Setup {
        let domain = host_domain(host);
        let mut config = self.config();
        let own = json!({ "hostname": format!("mail.{domain}"), "domains": [domain] });
        crate::setup::merge(&mut config, &own);
        Setup {
            config,
            accounts: vec![
                author(host),
                AccountSetup::new(&format!("tom@{domain}"), "tomcat"),
            ],
            servers: 1,
        }
    }

    /// Those who write to other machines, one at each host.
    pub(in super::super) fn draw_authors(
        &self,
        entropy: &mut Entropy,
        servers: usize,
    ) -> Vec<Sender> {
        let hosts = 0..=self.neighbours.len();
        hosts
            .map(|number| {
                let host = HostId(number);
                let account = author(host);
                Sender {
                    door: match is_on(entropy) {
                        true => Door::Submission(account),
                        false => Door::Smtps(account),
                    },
                    host,
                    writes_elsewhere: true,
                    messages: 1 + entropy.next_below(6) as u32,
                    recipients: self.recipients(entropy, host),
                    servers: if host == HOST { servers } else { 1 },
                    is_pipelining: is_on(entropy),
                    chunk_bytes_max: None,
                    piece_bytes_max: None,
                    pause_seconds_max: entropy.next_below(120),
                }
            })
            .collect()
    }

    /// Whom the author of a host writes to, in any order.
    pub(in super::super) fn recipients(&self, entropy: &mut Entropy, own: HostId) -> Vec<String> {
        let mut recipients = vec!["bob@example.com".to_owned(), "alice@example.com".to_owned()];
        for number in 1..=self.neighbours.len() {
            let domain = host_domain(HostId(number));
            recipients.push(format!("tom@{domain}"));
            if HostId(number) != own {
                recipients.push(format!("refuse-#@{domain}"));
            }
        }
        for peer in &self.peers {
            let words = ["take", "refuse", "later", "defer"];
            recipients.extend(words.map(|word| format!("{word}-#@{}", peer.domain)));
        }
        recipients.push(format!("refuse-#@{MISSING}"));
        recipients.push(format!("refuse-#@{NULL}"));
        for index in (1..recipients.len()).rev() {
            let other = entropy.next_below(index as u64 + 1) as usize;
            recipients.swap(index, other);
        }
        recipients
    }

    /// Makes its machines and its DNS.
    pub(in super::super) fn build(&self, world: &mut World) {
        for neighbour in &self.neighbours {
            world.add_host(neighbour.clone());
        }
        for record in &self.records {
            world.dns().add(record);
        }
        for trouble in &self.dns_troubles {
            let conduct = trouble.conduct.clone();
            world.dns().set_conduct_of(&trouble.name, conduct);
        }
        world.silence(SILENT.into());
    }

    /// Puts down what its people expect.
    pub(in super::super) fn prepare(&self, fates: &mut Fates) {
        fates.expiry = self.expiry;
        fates
            .dead_domains
            .extend([MISSING, NULL].map(str::to_owned));
        for peer in &self.peers {
            let domain = peer.domain.clone();
            let has_trouble = self.dns_troubles.iter().any(|it| it.name == domain);
            if peer.opens_after.is_none() {
                fates.dead_domains.insert(domain);
            } else if self.is_calm && peer.is_steady() && !has_trouble {
                fates.punctual_domains.insert(domain);
            }
        }
    }

    /// Its peers and its name servers begin.
    pub(in super::super) fn populate(&self, cast: &mut Cast, scene: &Scene, entropy: &mut Entropy) {
        for peer in &self.peers {
            let chance = Entropy::new(entropy.next_u64());
            let work = peer.clone().run(scene.clone(), chance);
            cast.add_background(peer.domain.clone(), work);
        }
        for trouble in self.dns_troubles.clone() {
            let scene = scene.clone();
            let name = format!("DNS of {}", trouble.name);
            cast.add_background(name, async move {
                scene.sleep(trouble.until).await;
                let conduct = Conduct::default();
                scene.world().dns().set_conduct_of(&trouble.name, conduct);
            });
        }
    }

    /// The addresses of its machines and of its name server, and of the first host.
    pub(in super::super) fn addresses(&self) -> Vec<IpAddr> {
        let hosts = 0..=self.neighbours.len() as u8;
        let hosts = hosts.map(|number| IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + number)));
        let peers = self.peers.iter().map(|peer| peer.address.ip());
        let others = peers.chain([NAME_SERVER.into()]);
        hosts.chain(others).collect()
    }
}

fn draw_peer(entropy: &mut Entropy, number: u8, expiry: Duration) -> Peer {
    let is_lmtp = entropy.next_below(5) == 0;
    let port = if is_lmtp { 24 } else { 25 };
    let whims = match entropy.next_below(3) {
        0 => 0,
        _ => 1 + entropy.next_below(4),
    };
    let whims = (0..whims).map(|_| Whim {
        stage: STAGES[entropy.next_below(STAGES.len() as u64) as usize],
        deed: DEEDS[entropy.next_below(DEEDS.len() as u64) as usize],
    });
    Peer {
        domain: format!("peer{number}.example"),
        address: SocketAddr::from(([10, 0, 0, 101 + number], port)),
        is_lmtp,
        whims: whims.collect(),
        is_pipelining: is_on(entropy),
        knows_dsn: is_on(entropy),
        opens_after: match entropy.next_below(8) {
            0 => None,
            1 => Some(Duration::from_secs(
                entropy.next_below(expiry.as_secs() / 4),
            )),
            _ => Some(Duration::ZERO),
        },
        whims_for: Duration::from_secs(1 + entropy.next_below(expiry.as_secs() / 4)),
    }
}

fn draw_records(entropy: &mut Entropy, peer: &Peer) -> Vec<String> {
    let (domain, address) = (&peer.domain, peer.address.ip());
    let exchange = format!("mx.{domain} A {address}");
    let plain = format!("{domain} MX 10 mx.{domain}");
    let before = |name: &str| format!("{domain} MX 5 {name}.{domain}");
    match entropy.next_below(6) {
        0 => vec![
            before("dead"),
            format!("dead.{domain} A {DEAD}"),
            plain,
            exchange,
        ],
        1 => vec![
            before("silent"),
            format!("silent.{domain} A {SILENT}"),
            plain,
            exchange,
        ],
        2 => vec![before("gone"), plain, exchange],
        3 => vec![format!("{domain} A {address}")],
        _ => vec![plain, exchange],
    }
}

fn draw_trouble(entropy: &mut Entropy, name: &str, expiry: Duration) -> DnsTrouble {
    let mut conduct = Conduct::default();
    match entropy.next_below(4) {
        0 => conduct.lost_percent = 100,
        1 => conduct.fault = Some(DnsFault::Refused),
        _ => conduct.fault = Some(DnsFault::ServerFailure),
    }
    DnsTrouble {
        name: name.to_owned(),
        conduct,
        until: Duration::from_secs(entropy.next_below((expiry / 4).max(HOUR).as_secs())),
    }
}

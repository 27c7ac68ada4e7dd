//! What a run is like: all of it drawn from the seed, what is switched off included.

use std::time::Duration;

use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;
use serde_json::{Value, json};

use super::{
    chaos::Chaos,
    hostile::{Hostile, TRICKS, Trick},
    http_worker::HttpWorker,
    imap_worker::ImapWorker,
    relay::{Town, author},
    scene::HOST,
    sender::{Door, Sender},
    siege::Siege,
};
use crate::{AccountSetup, Conditions, Link, Setup, setup::merge};

/// Most servers on one `mail_root`.
const SERVERS_MAX: u64 = 3;

/// In one run of so many, mail goes to other machines.
const TOWN_EVERY: u64 = 3;

/// Most clients of each kind.
const SENDERS_MAX: u64 = 4;
const WORKERS_MAX: u64 = 4;
const HOSTILE_MAX: u64 = 4;
const HTTP_WORKERS_MAX: u64 = 3;

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) setup: Setup,
    /// Attackers from all over the network.
    pub(super) siege: Option<Siege>,
    /// The machines besides the first host, where mail goes from one to another.
    pub(super) town: Option<Town>,
    pub(super) conditions: Conditions,
    pub(super) chaos: Chaos,
    /// How long faults go on.
    pub(super) fault_time: Duration,
    pub(super) senders: Vec<Sender>,
    pub(super) workers: Vec<ImapWorker>,
    pub(super) http_workers: Vec<HttpWorker>,
    pub(super) hostile: Vec<Hostile>,
    /// New passwords, with the seconds before each.
    pub(super) password_changes: Vec<u64>,
    /// Ends the run's power after so many disk operations, once.
    pub(super) crash_after: Option<u64>,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let entropy = &mut Entropy::new(seed ^ 0x706c_616e);
        let servers = 1 + entropy.next_below(SERVERS_MAX) as usize;
        let accounts = accounts();
        let mut chaos = draw_chaos(entropy, servers);
        chaos.busy_databases = draw_busy_databases(seed);
        let senders = (0..1 + entropy.next_below(SENDERS_MAX))
            .map(|_| draw_sender(entropy, servers, &accounts))
            .collect();
        // Most work in one account, so that they meet.
        let workers = (0..entropy.next_below(WORKERS_MAX + 1))
            .map(|number| draw_worker(entropy, number as usize, servers, &accounts, &chaos))
            .collect();
        let hostile = match is_on(entropy) {
            true => (0..1 + entropy.next_below(HOSTILE_MAX))
                .map(|_| Hostile {
                    trick: TRICKS[entropy.next_below(TRICKS.len() as u64) as usize],
                    victim: accounts[entropy.next_below(2) as usize].clone(),
                    servers,
                    rounds: 1 + entropy.next_below(4) as u32,
                })
                .collect(),
            false => Vec::new(),
        };
        let password_changes = (0..entropy.next_below(3))
            .map(|_| 1 + entropy.next_below(200))
            .collect();
        let plan = Self {
            setup: Setup {
                config: draw_config(entropy),
                accounts,
                servers,
            },
            siege: None,
            town: None,
            conditions: draw_conditions(entropy),
            chaos,
            fault_time: Duration::from_secs(60 + entropy.next_below(1200)),
            senders,
            workers,
            http_workers: Vec::new(),
            hostile,
            password_changes,
            crash_after: None,
        };
        let entropy = &mut Entropy::new(seed ^ 0x746f_776e);
        let mut plan = match entropy.next_below(TOWN_EVERY) {
            0 => plan.in_town(entropy),
            _ => plan,
        };
        plan.add_http(&mut Entropy::new(seed ^ 0x6874_7470));
        plan
    }

    /// Clients of the HTTP API, good ones and bad ones. By themselves, as busy databases are.
    fn add_http(&mut self, entropy: &mut Entropy) {
        let workers_max = if self.town.is_some() {
            1
        } else {
            HTTP_WORKERS_MAX
        };
        for number in 0..entropy.next_below(workers_max + 1) {
            let worker = self.draw_http_worker(entropy, number as usize);
            self.http_workers.push(worker);
        }
        if is_on(entropy) {
            let hostile = Hostile {
                trick: Trick::draw_http(entropy),
                victim: self.setup.accounts[entropy.next_below(2) as usize].clone(),
                servers: self.setup.servers,
                rounds: 1 + entropy.next_below(3) as u32,
            };
            self.hostile.push(hostile);
        }
    }

    fn draw_http_worker(&self, entropy: &mut Entropy, number: usize) -> HttpWorker {
        let accounts = &self.setup.accounts;
        let recipients_max = self.setup.config["smtp"]["max_recipients"].as_u64();
        HttpWorker {
            number,
            account: accounts[usize::from(entropy.next_below(4) == 0)].clone(),
            listener: match entropy.next_below(3) {
                0 => ListenerKind::Https,
                _ => ListenerKind::Http,
            },
            servers: self.setup.servers,
            steps: 4 + entropy.next_below(30) as u32,
            pause_seconds_max: entropy.next_below(60),
            recipients: match &self.town {
                Some(town) => town.recipients(entropy, HOST),
                None => accounts.iter().map(|it| it.address.clone()).collect(),
            },
            recipients_max: recipients_max.unwrap_or(u64::MAX),
            chunk_bytes: match entropy.next_below(3) {
                0 => Some(100 + entropy.next_below(20_000) as usize),
                _ => None,
            },
            disk_is_sound: self.chaos.disk_is_sound(),
        }
    }

    /// The same, with other machines around it; of what goes on at the first host alone, there is
    /// less.
    fn in_town(mut self, entropy: &mut Entropy) -> Self {
        let town = Town::draw(entropy);
        self.senders.truncate(1);
        self.workers.truncate(1);
        self.hostile.truncate(1);
        if town.is_calm {
            self.chaos = Chaos {
                servers: self.chaos.servers,
                pause_seconds_max: self.chaos.pause_seconds_max,
                ..Chaos::default()
            };
            self.conditions = Conditions::default();
        } else {
            self.chaos.partitioned = town.addresses();
            // Each piece is work, and messages go from machine to machine.
            let link = &mut self.conditions.link;
            link.piece_bytes_max = link.piece_bytes_max.max(500);
            link.window_bytes = link.window_bytes.max(8 * 1024);
            if is_on(entropy) {
                // A long time, in which things go wrong now and then.
                let seconds = 3600 + entropy.next_below(town.expiry.as_secs() / 5);
                self.fault_time = Duration::from_secs(seconds);
                self.chaos.pause_seconds_max = seconds / 20;
            }
        }
        for worker in &mut self.workers {
            worker.disk_is_sound = self.chaos.disk_is_sound();
        }
        self.chaos
            .servers
            .extend(town.neighbours.iter().map(|it| it.servers));
        let authors = town.draw_authors(entropy, self.setup.servers);
        self.senders.extend(authors);
        self.settle_in(town);
        self
    }

    fn settle_in(&mut self, town: Town) {
        merge(&mut self.setup.config, &town.config());
        self.setup.accounts.push(author(HOST));
        self.town = Some(town);
    }

    /// Servers of each host.
    pub(super) fn servers(&self) -> Vec<usize> {
        let neighbours = self.town.iter().flat_map(|town| &town.neighbours);
        let neighbours = neighbours.map(|setup| setup.servers);
        [self.setup.servers].into_iter().chain(neighbours).collect()
    }

    /// A short run without faults, in which everything is done once that is ever written (mail for
    /// elsewhere is accepted, claimed, put off, refused and reported, relayed): its disk operations
    /// are the crash points.
    pub fn script(seed: u64) -> Self {
        let accounts = accounts();
        let entropy = &mut Entropy::new(seed ^ 0x7363_7269);
        let chaos = Chaos {
            servers: vec![1],
            pause_seconds_max: 1,
            ..Chaos::default()
        };
        let mut sender = draw_sender(entropy, 1, &accounts);
        sender.door = Door::Relay;
        sender.messages = 3;
        sender.piece_bytes_max = None;
        sender.pause_seconds_max = 0;
        let mut worker = draw_worker(entropy, 0, 1, &accounts, &chaos);
        worker.steps = 24;
        worker.pause_seconds_max = 1;
        let town = Town::script();
        let mut author = town.draw_authors(entropy, 1).remove(0);
        author.messages = 2;
        author.pause_seconds_max = 0;
        let mut plan = Self {
            setup: Setup {
                config: json!({}),
                accounts,
                servers: 1,
            },
            siege: None,
            town: None,
            conditions: Conditions::default(),
            chaos,
            fault_time: Duration::from_secs(30),
            senders: vec![sender, author],
            workers: vec![worker],
            http_workers: Vec::new(),
            hostile: Vec::new(),
            password_changes: vec![5],
            crash_after: None,
        };
        plan.settle_in(town);
        let mut worker = plan.draw_http_worker(entropy, 0);
        worker.steps = 12;
        worker.pause_seconds_max = 1;
        plan.http_workers.push(worker);
        plan
    }

    /// A run in which attackers come from everywhere, and the operator changes the configuration
    /// all the time; nothing else goes wrong.
    pub fn siege(seed: u64) -> Self {
        let entropy = &mut Entropy::new(seed ^ 0x7369_6567);
        let accounts = accounts();
        let chaos = Chaos {
            servers: vec![1],
            pause_seconds_max: 60,
            ..Chaos::default()
        };
        let duration = Duration::from_secs(15 * 60);
        let latency = Duration::from_millis(1 + entropy.next_below(50));
        let link = Link {
            latency_min: latency,
            latency_max: latency,
            ..Link::default()
        };
        let mut plan = Self {
            setup: Setup {
                config: Siege::config(),
                accounts: accounts.clone(),
                servers: 1,
            },
            siege: Some(Siege {
                duration,
                victim: accounts[1].clone(),
            }),
            town: None,
            conditions: Conditions {
                link,
                ..Conditions::default()
            },
            senders: vec![
                draw_sender(entropy, 1, &accounts),
                draw_sender(entropy, 1, &accounts),
            ],
            workers: vec![draw_worker(entropy, 0, 1, &accounts, &chaos)],
            http_workers: Vec::new(),
            chaos,
            fault_time: duration,
            hostile: Vec::new(),
            password_changes: Vec::new(),
            crash_after: None,
        };
        for number in 0..2 {
            let worker = plan.draw_http_worker(entropy, number);
            plan.http_workers.push(worker);
        }
        plan
    }

    /// The same run, in which the power goes right after so many disk operations.
    #[must_use]
    pub fn with_crash_after(mut self, operations: u64) -> Self {
        self.crash_after = Some(operations);
        self
    }

    /// For people.
    pub fn describe(&self) -> String {
        format!("{self:#?}")
    }
}

fn accounts() -> Vec<AccountSetup> {
    let mut admin = AccountSetup::new("root@example.com", "wheel of fortune");
    admin.is_admin = true;
    vec![
        AccountSetup::new("alice@example.com", "wonderland"),
        AccountSetup::new("bob@example.com", "builder's mate"),
        admin,
    ]
}

pub(super) fn is_on(entropy: &mut Entropy) -> bool {
    entropy.next_below(2) == 0
}

fn draw_chaos(entropy: &mut Entropy, servers: usize) -> Chaos {
    Chaos {
        loses_streams: is_on(entropy),
        stalls_streams: is_on(entropy),
        kills: is_on(entropy),
        stops: is_on(entropy),
        loses_power: is_on(entropy),
        disk_fails: entropy.next_below(3) == 0,
        disk_runs_full: entropy.next_below(3) == 0,
        busy_databases: 0.0,
        servers: vec![servers],
        partitioned: Vec::new(),
        pause_seconds_max: 5 + entropy.next_below(120),
    }
}

/// By itself, so that it can be switched off without another seed's plan in its place.
fn draw_busy_databases(seed: u64) -> f64 {
    let entropy = &mut Entropy::new(seed ^ 0x6275_7379);
    match is_on(entropy) {
        true => entropy.next_below(300) as f64 / 1000.0,
        false => 0.0,
    }
}

fn draw_sender(entropy: &mut Entropy, servers: usize, accounts: &[AccountSetup]) -> Sender {
    let door = match entropy.next_below(4) {
        0 => Door::Submission(accounts[0].clone()),
        1 => Door::Smtps(accounts[1].clone()),
        _ => Door::Relay,
    };
    let mut recipients: Vec<String> = accounts
        .iter()
        .map(|account| account.address.clone())
        .collect();
    if let (Door::Relay, true) = (&door, is_on(entropy)) {
        recipients.push("nobody@example.com".to_owned());
        recipients.push("dave@example.net".to_owned());
    }
    Sender {
        door,
        host: HOST,
        writes_elsewhere: false,
        messages: 1 + entropy.next_below(8) as u32,
        recipients,
        servers,
        is_pipelining: is_on(entropy),
        chunk_bytes_max: match entropy.next_below(3) {
            0 => Some(1 + entropy.next_below(200_000)),
            _ => None,
        },
        piece_bytes_max: match entropy.next_below(4) {
            0 => Some(4_000 + entropy.next_below(60_000) as usize),
            _ => None,
        },
        pause_seconds_max: entropy.next_below(120),
    }
}

fn draw_worker(
    entropy: &mut Entropy,
    number: usize,
    servers: usize,
    accounts: &[AccountSetup],
    chaos: &Chaos,
) -> ImapWorker {
    let account = match entropy.next_below(4) {
        0 => &accounts[1],
        _ => &accounts[0],
    };
    ImapWorker {
        number,
        account: account.clone(),
        servers,
        steps: 4 + entropy.next_below(40) as u32,
        pause_seconds_max: entropy.next_below(60),
        is_synchronizing: is_on(entropy),
        disk_is_sound: chaos.disk_is_sound(),
    }
}

fn draw_conditions(entropy: &mut Entropy) -> Conditions {
    let latency_min = entropy.next_below(50);
    let piece_bytes_max = match entropy.next_below(4) {
        0 => 1 + entropy.next_below(64),
        1 => 1 + entropy.next_below(1500),
        _ => 16 * 1024,
    };
    let per_mille = |entropy: &mut Entropy| match is_on(entropy) {
        true => entropy.next_below(300) as u32,
        false => 0,
    };
    Conditions {
        link: Link {
            latency_min: Duration::from_millis(latency_min),
            latency_max: Duration::from_millis(latency_min + entropy.next_below(300)),
            // Many pieces of much are much work.
            piece_bytes_max: piece_bytes_max as usize,
            window_bytes: 1024 << entropy.next_below(8),
        },
        job_wait_max: Duration::from_micros(1 << entropy.next_below(20)),
        datagram_latency_max: Duration::from_millis(1 + entropy.next_below(100)),
        datagrams_lost_per_mille: per_mille(entropy),
        datagrams_doubled_per_mille: per_mille(entropy),
    }
}

fn draw_config(entropy: &mut Entropy) -> Value {
    json!({
        "smtp": {
            "max_connections": 2 + entropy.next_below(20),
            "max_recipients": 1 + entropy.next_below(20),
            "max_messages_per_connection": 1 + entropy.next_below(10),
        },
        "imap": { "max_connections": 2 + entropy.next_below(20) },
        "delivery": { "workers": 1 + entropy.next_below(4) },
    })
}

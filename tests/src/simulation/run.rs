//! One run, from its plan to the audit.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rmail_proto::Entropy;
use rmail_store::QueueFilter;

use super::{
    audit::audit,
    plan::Plan,
    scene::{Cast, HOST, Place, Scene},
    siege::SiegeFigures,
};
use crate::{AccountChange, AccountSetup, Counts, HostId, ServerIndex, World};

/// How long healing and everything that was begun may take, in virtual time.
const LIVENESS: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a stop may take: the grace of sessions, and what they began.
const STOP_MAX: Duration = Duration::from_secs(120);

/// How often the spool is looked at, until it is empty.
const SPOOL_LOOK: Duration = Duration::from_secs(10);

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Stands for everything that happened, in its order.
    pub trace_hash: u64,
    /// Lines of the trace.
    pub trace_lines: u64,
    /// How long it took, in the world.
    pub virtual_time: Duration,
    /// Messages that a server took over.
    pub acknowledged: u64,
    /// Attempts to reach recipients that peers saw.
    pub attempts: u64,
    /// Reports that senders got.
    pub reports: u64,
    /// IMAP commands that were completed.
    pub commands: u64,
    /// Answers to HTTP requests.
    pub requests: u64,
    /// Views of mailboxes that were compared: with the store, and of two protocols.
    pub views_compared: u64,
    /// Operations of the disk that change something.
    pub disk_operations: u64,
    /// Operations that the disk refused.
    pub disk_faults: u64,
    /// What came of a siege, if there was one.
    pub siege: SiegeFigures,
    /// What else happened.
    pub counts: Counts,
}

/// The run of a seed. With a path, the trace is written there.
///
/// # Panics
///
/// When something is not as it must be.
pub fn run(seed: u64, trace: Option<&Path>) -> Outcome {
    run_plan(&Plan::draw(seed), seed, trace)
}

/// A run by this plan; chance that the plan does not settle comes from the seed.
///
/// # Panics
///
/// When something is not as it must be.
pub fn run_plan(plan: &Plan, seed: u64, trace: Option<&Path>) -> Outcome {
    let mut world = World::with_host(plan.setup.clone(), seed);
    if let Some(path) = trace {
        world.trace().write_to(path);
    }
    world.set_conditions(plan.conditions);
    if let Some(town) = &plan.town {
        town.build(&mut world);
    }
    let started = world.now().at;
    if let Some(operations) = plan.crash_after {
        let disk = world.disk(HOST);
        disk.crash_after(disk.operations() + operations);
    }
    let operations_before = world.disk(HOST).operations();
    let scene = Scene::new(world);
    let mut cast = Cast::new(scene.clone(), plan.town.is_some());
    populate(&mut cast, &scene, plan, seed);
    let faults_end = started + plan.fault_time;
    let is_done = cast.play(faults_end + LIVENESS);
    assert!(is_done, "not done in time:\n{}", cast.describe());

    // Everybody is done; the spools run empty.
    let lifetime = plan
        .town
        .as_ref()
        .map_or(Duration::ZERO, |town| town.expiry);
    for host in hosts(plan) {
        cast.add(
            format!("spool of {host}"),
            wait_for_spool(scene.clone(), host),
        );
    }
    let deadline = scene.at() + lifetime + LIVENESS;
    let is_empty = cast.play(deadline);
    assert!(
        is_empty,
        "the spool is not empty in time:\n{}",
        cast.describe()
    );
    let operations = scene.world().disk(HOST).operations() - operations_before;
    audit_all(&mut cast, &scene, plan);

    cast.add(
        "stop".to_owned(),
        stop_at_last(scene.clone(), plan.servers()),
    );
    let deadline = scene.at() + STOP_MAX;
    let is_done = cast.play(deadline);
    assert!(is_done, "the servers do not stop:\n{}", cast.describe());
    check_errors(&scene, plan);

    let ledger = scene.ledger();
    let mut world = scene.world();
    Outcome {
        trace_hash: world.trace().hash(),
        trace_lines: world.trace().lines(),
        virtual_time: world.now().at.since(started),
        acknowledged: ledger.acknowledged,
        attempts: ledger.fates.attempts,
        reports: ledger.fates.reports,
        commands: ledger.commands,
        requests: ledger.requests,
        views_compared: ledger.views_compared,
        disk_operations: operations,
        disk_faults: disk_faults(&world, plan),
        siege: ledger.siege,
        counts: world.counts(),
    }
}

fn hosts(plan: &Plan) -> impl Iterator<Item = HostId> + use<> {
    (0..plan.servers().len()).map(HostId)
}

fn disk_faults(world: &World, plan: &Plan) -> u64 {
    let disks = hosts(plan).map(|host| world.disk(host));
    disks.map(|disk| disk.stats().faults).sum()
}

/// What was acknowledged is on the disks, not only in memory: the power goes, and all mail is
/// read.
fn audit_all(cast: &mut Cast, scene: &Scene, plan: &Plan) {
    // What is repeated because of this was there before.
    let interruptions: Vec<u64> = {
        let world = scene.world();
        hosts(plan).map(|host| world.interruptions(host)).collect()
    };
    let cuts = {
        let world = scene.world();
        let counts = world.counts();
        let cuts = counts.kills + counts.power_losses + counts.streams_lost + counts.stalls;
        let cuts = cuts + counts.partitions;
        cuts + disk_faults(&world, plan) + interruptions.iter().sum::<u64>()
    };
    for host in hosts(plan) {
        scene.world().lose_power(host, Duration::from_secs(1));
    }
    let accounts = plan.setup.accounts.iter();
    let mut accounts: Vec<(Place, AccountSetup)> = accounts
        .enumerate()
        .map(|(number, account)| {
            let server = Place::new(HOST, number % plan.setup.servers);
            (server, last_password(plan, account))
        })
        .collect();
    let neighbours = plan.town.iter().flat_map(|town| &town.neighbours);
    for (number, neighbour) in neighbours.enumerate() {
        let place = Place::new(HostId(number + 1), 0);
        accounts.extend(neighbour.accounts.iter().map(|it| (place, it.clone())));
    }
    for (place, account) in accounts {
        let name = format!("audit of {}", account.address);
        cast.add(name, audit_when_up(scene.clone(), place, account));
    }
    let deadline = scene.at() + LIVENESS;
    let is_done = cast.play(deadline);
    assert!(is_done, "the audit does not end:\n{}", cast.describe());
    let mut ledger = scene.ledger();
    ledger.check(cuts as i64, |HostId(host)| interruptions[host]);
}

fn populate(cast: &mut Cast, scene: &Scene, plan: &Plan, seed: u64) {
    scene.ledger().disk_fails = plan.chaos.disk_fails;
    scene.ledger().fates.is_forgetful = !plan.chaos.disk_is_sound();
    let mut entropy = Entropy::new(seed ^ 0x6361_7374);
    let mut chance = || Entropy::new(entropy.next_u64());
    for (number, sender) in plan.senders.iter().enumerate() {
        let client = sender.clone().run(scene.clone(), chance());
        cast.add(format!("sender {number}"), client);
    }
    for worker in &plan.workers {
        let client = worker.clone().run(scene.clone(), chance());
        cast.add(format!("worker {}", worker.number), client);
    }
    for (number, hostile) in plan.hostile.iter().enumerate() {
        let client = hostile.clone().run(scene.clone(), chance());
        cast.add(format!("hostile {number}"), client);
    }
    let operator = change_passwords(scene.clone(), plan.password_changes.clone());
    cast.add("operator".to_owned(), operator);
    let faults_end = scene.at() + plan.fault_time;
    let chaos = plan.chaos.clone().run(scene.clone(), chance(), faults_end);
    cast.add("chaos".to_owned(), chaos);
    if let Some(town) = &plan.town {
        let mut ledger = scene.ledger();
        town.prepare(&mut ledger.fates);
        drop(ledger);
        town.populate(cast, scene, &mut chance());
    }
    if let Some(siege) = &plan.siege {
        siege.populate(cast, scene, &mut chance());
    }
    for worker in &plan.http_workers {
        let client = worker.clone().run(scene.clone(), chance());
        cast.add(format!("HTTP worker {}", worker.number), client);
    }
}

/// An operator sets new passwords, until each is set.
async fn change_passwords(scene: Scene, pauses: Vec<u64>) {
    for (number, pause) in pauses.iter().enumerate() {
        scene.sleep(Duration::from_secs(*pause)).await;
        let change = AccountChange::SetPassword {
            address: CHANGING.to_owned(),
            password: format!("secret number {number}"),
        };
        loop {
            scene.status(format!("sets password {number}"));
            let changed = scene.world().change_account(HOST, change.clone());
            if changed.is_ok() {
                break;
            }
            scene.sleep(Duration::from_secs(5)).await;
        }
    }
}

/// Whose password changes: nobody works in this account until the audit.
const CHANGING: &str = "root@example.com";

fn last_password(plan: &Plan, account: &AccountSetup) -> AccountSetup {
    let mut account = account.clone();
    let changes = plan.password_changes.len();
    if account.address == CHANGING && changes > 0 {
        account.password = format!("secret number {}", changes - 1);
    }
    account
}

async fn wait_for_spool(scene: Scene, host: HostId) {
    let server = ServerIndex(0);
    // What was left half sent is not in the queue before somebody looks.
    scene.sleep(SPOOL_LOOK).await;
    loop {
        let store = scene.world().store(host, server);
        let queue = store.map(|store| store.queue(&QueueFilter::default(), None, 8));
        scene.status(format!("waits for the queue: {queue:?}"));
        let mut pause = SPOOL_LOOK;
        if let Some(Ok(queue)) = queue {
            if queue.is_empty() {
                return;
            }
            let now = scene.world().now().unix;
            let due = queue.iter().filter_map(|queued| queued.next_due).min();
            let seconds = due.map_or(0, |due| due.0 - now.0);
            let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            pause = pause.max(wait);
        }
        scene.sleep(pause).await;
    }
}

async fn audit_when_up(scene: Scene, place: Place, account: AccountSetup) {
    scene.status("waits for the server");
    scene
        .wait_for(|scene| place.is_up(scene).then_some(()))
        .await;
    audit(scene, place, account).await;
}

/// Servers stop when they are asked to.
async fn stop_at_last(scene: Scene, servers: Vec<usize>) {
    scene.status("waits for the servers to stop");
    let servers = servers.iter().enumerate();
    let places = servers.flat_map(|(host, servers)| {
        (0..*servers).map(move |server| Place::new(HostId(host), server))
    });
    let places: Vec<Place> = places.collect();
    for place in &places {
        scene.world().stop_server(place.host, place.server);
    }
    let is_down = |scene: &Scene| places.iter().all(|place| !place.is_up(scene));
    scene.wait_for(|scene| is_down(scene).then_some(())).await;
}

/// What an operator is told of a configuration that does not come into force.
fn is_reload(line: &str) -> bool {
    let words = [
        "the configuration is faulty and changes nothing",
        "is taken",
    ];
    words.iter().any(|words| line.contains(words))
}

/// ERROR is for what an operator must see to: here, a disk that fails.
fn check_errors(scene: &Scene, plan: &Plan) {
    let errors = scene.world().take_errors();
    let is_expected = |line: &String| {
        let disk = [
            "input/output error",
            "disk I/O error",
            "unable to open database file",
            "the disk is full",
            // Of HTTP: what failed stands in another line.
            "a request failed; see the lines before",
        ];
        disk.iter().any(|words| line.contains(words))
    };
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    for line in errors {
        let is_reload = plan.siege.is_some() && is_reload(&line);
        if !is_reload && (plan.chaos.disk_is_sound() || !is_expected(&line)) {
            *counted.entry(line).or_default() += 1;
        }
    }
    assert!(counted.is_empty(), "logged at ERROR: {counted:#?}");
}

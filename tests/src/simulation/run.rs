//! One run, from its plan to the audit.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rmail_proto::Entropy;
use rmail_store::QueueFilter;

use super::{
    audit::audit,
    plan::Plan,
    scene::{Cast, HOST, Scene},
};
use crate::{AccountChange, AccountSetup, Counts, ServerIndex, World};

/// How long healing and everything that was begun may take, in virtual time.
const LIVENESS: Duration = Duration::from_secs(12 * 60 * 60);

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
    /// IMAP commands that were completed.
    pub commands: u64,
    /// Views of mailboxes that were compared with the store.
    pub views_compared: u64,
    /// Operations of the disk that change something.
    pub disk_operations: u64,
    /// Operations that the disk refused.
    pub disk_faults: u64,
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
    let started = world.now().at;
    if let Some(operations) = plan.crash_after {
        let disk = world.disk(HOST);
        disk.crash_after(disk.operations() + operations);
    }
    let operations_before = world.disk(HOST).operations();
    let scene = Scene::new(world);
    scene.ledger().disk_fails = plan.chaos.disk_fails;
    let mut entropy = Entropy::new(seed ^ 0x6361_7374);
    let mut cast = Cast::new(scene.clone());
    let faults_end = started + plan.fault_time;
    populate(&mut cast, &scene, plan, &mut entropy);
    let chaos = plan.chaos.clone();
    let chance = Entropy::new(entropy.next_u64());
    cast.add(
        "chaos".to_owned(),
        chaos.run(scene.clone(), chance, faults_end),
    );
    let is_done = cast.play(faults_end + LIVENESS);
    assert!(is_done, "not done in time:\n{}", cast.describe());

    // Everybody is done; the spool runs empty.
    let mut cast = Cast::new(scene.clone());
    cast.add("spool".to_owned(), wait_for_spool(scene.clone()));
    let deadline = scene.at() + LIVENESS;
    let is_empty = cast.play(deadline);
    assert!(
        is_empty,
        "the spool is not empty in time:\n{}",
        cast.describe()
    );
    let operations = scene.world().disk(HOST).operations() - operations_before;

    // What was acknowledged is on the disk, not only in memory.
    scene.world().lose_power(HOST, Duration::from_secs(1));
    let mut cast = Cast::new(scene.clone());
    for (number, account) in plan.setup.accounts.iter().enumerate() {
        let account = last_password(plan, account);
        let server = ServerIndex(number % plan.setup.servers);
        let name = format!("audit of {}", account.address);
        cast.add(name, audit_when_up(scene.clone(), server, account));
    }
    cast.add(
        "stop".to_owned(),
        stop_at_last(scene.clone(), plan.setup.servers),
    );
    let is_done = cast.play(scene.at() + LIVENESS);
    assert!(is_done, "the audit does not end:\n{}", cast.describe());
    check_errors(&scene, plan);

    let ledger = scene.ledger();
    let mut world = scene.world();
    Outcome {
        trace_hash: world.trace().hash(),
        trace_lines: world.trace().lines(),
        virtual_time: world.now().at.since(started),
        acknowledged: ledger.acknowledged,
        commands: ledger.commands,
        views_compared: ledger.views_compared,
        disk_operations: operations,
        disk_faults: world.disk(HOST).stats().faults,
        counts: world.counts(),
    }
}

fn populate(cast: &mut Cast, scene: &Scene, plan: &Plan, entropy: &mut Entropy) {
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

async fn wait_for_spool(scene: Scene) {
    let server = ServerIndex(0);
    loop {
        let store = scene.world().store(HOST, server);
        let queue = store.map(|store| store.queue(&QueueFilter::default(), None, 8));
        scene.status(format!("waits for the queue: {queue:?}"));
        if let Some(Ok(queue)) = queue
            && queue.is_empty()
        {
            return;
        }
        scene.sleep(SPOOL_LOOK).await;
    }
}

async fn audit_when_up(scene: Scene, server: ServerIndex, account: AccountSetup) {
    scene.status("waits for the server");
    let is_up = |scene: &Scene| scene.world().is_up(HOST, server).then_some(());
    scene.wait_for(is_up).await;
    audit(scene, server, account).await;
}

/// Ten virtual minutes later the servers stop when they are asked to.
async fn stop_at_last(scene: Scene, servers: usize) {
    scene.sleep(Duration::from_secs(600)).await;
    scene.status("waits for the servers to stop");
    for number in 0..servers {
        scene.world().stop_server(HOST, ServerIndex(number));
    }
    let are_down = |scene: &Scene| {
        let world = scene.world();
        let mut servers = (0..servers).map(ServerIndex);
        servers
            .all(|server| !world.is_up(HOST, server))
            .then_some(())
    };
    scene.wait_for(are_down).await;
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
        ];
        disk.iter().any(|words| line.contains(words))
    };
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    for line in errors {
        if plan.chaos.disk_is_sound() || !is_expected(&line) {
            *counted.entry(line).or_default() += 1;
        }
    }
    assert!(counted.is_empty(), "logged at ERROR: {counted:#?}");
}

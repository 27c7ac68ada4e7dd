//! Runs a script with an interruption at each operation of its disk, and judges what is left.

use std::collections::{BTreeMap, BTreeSet};

use rmail_store::StoreError;
use rmail_tests::{Disk, Mount, OperationFault};

use super::{
    actor::{Actor, Done, PROBE},
    picture::{self, Part, PartPicture, Picture},
};

/// Whether a loss of power may take a step back that was acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Promise {
    Kept,
    MayBeLost,
}

pub(crate) struct Step {
    name: &'static str,
    promise: Promise,
    run: Box<dyn Fn(&mut Actor) -> Done>,
}

/// Steps of one process, which begins on a disk that others have left.
pub(crate) struct Script {
    name: &'static str,
    base: Disk,
    steps: Vec<Step>,
    /// Only each so manieth operation is interrupted.
    stride: u64,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    PowerLoss,
    Kill,
    /// A kill, and a loss of power while the next process starts.
    KillThenPowerLoss {
        /// The operation of the start after which it happens.
        start: u64,
    },
    Failure(OperationFault),
}

/// What the undisturbed run showed.
struct Reference {
    /// After the start, and after each step.
    pictures: Vec<Picture>,
    /// Operations until then.
    operations: Vec<u64>,
}

const SEED: u64 = 7;

/// More operations than a start takes.
const START_OPERATIONS: u64 = 40;

impl Script {
    /// A script on an empty disk.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::on(name, Disk::new(SEED))
    }

    pub(crate) fn on(name: &'static str, base: Disk) -> Self {
        Self {
            name,
            base,
            steps: Vec::new(),
            stride: 1,
        }
    }

    /// Does something beforehand, in a process that ends orderly.
    pub(crate) fn after(self, setup: impl FnOnce(&mut Actor)) -> Self {
        let mount = self.base.mount();
        let mut actor = Actor::start(&mount, SEED - 1).expect("it starts");
        setup(&mut actor);
        drop(actor);
        self
    }

    pub(crate) fn step(
        self,
        name: &'static str,
        run: impl Fn(&mut Actor) -> Done + 'static,
    ) -> Self {
        self.any_step(name, Promise::Kept, run)
    }

    /// A step that a loss of power may take back.
    pub(crate) fn unsynced_step(
        self,
        name: &'static str,
        run: impl Fn(&mut Actor) -> Done + 'static,
    ) -> Self {
        self.any_step(name, Promise::MayBeLost, run)
    }

    fn any_step(
        mut self,
        name: &'static str,
        promise: Promise,
        run: impl Fn(&mut Actor) -> Done + 'static,
    ) -> Self {
        self.steps.push(Step {
            name,
            promise,
            run: Box::new(run),
        });
        self
    }

    pub(crate) fn with_stride(mut self, stride: u64) -> Self {
        self.stride = stride;
        self
    }

    pub(crate) fn lose_power_at_each_point(&self) {
        self.interrupt_each_point(Interruption::PowerLoss);
    }

    pub(crate) fn kill_at_each_point(&self) {
        self.interrupt_each_point(Interruption::Kill);
    }

    /// Kills at each point of one step, and loses the power at each point of the start after it.
    pub(crate) fn kill_in_step_and_lose_power_at_the_start(&self, name: &str) {
        let reference = self.reference();
        let step = self.steps.iter().position(|step| step.name == name);
        let step = step.expect("there is such a step");
        let points = reference.operations[step] + 1..=reference.operations[step + 1];
        for at in points.clone() {
            for start in 1..=START_OPERATIONS {
                let interruption = Interruption::KillThenPowerLoss { start };
                self.interrupt(&reference, interruption, at);
            }
        }
        println!(
            "{}: {name}: {} points",
            self.name,
            points.count() as u64 * START_OPERATIONS
        );
    }

    pub(crate) fn fail_at_each_point(&self) {
        self.interrupt_each_point(Interruption::Failure(OperationFault::Failed));
    }

    /// At every second one: most of what a full disk does is done by any failure.
    pub(crate) fn run_full_at_every_second_point(mut self) {
        self.stride *= 2;
        self.interrupt_each_point(Interruption::Failure(OperationFault::Full));
    }

    fn interrupt_each_point(&self, interruption: Interruption) {
        let reference = self.reference();
        let operations = *reference.operations.last().expect("there is a start");
        let points = (1..=operations).step_by(self.stride as usize);
        for at in points.clone() {
            self.interrupt(&reference, interruption, at);
        }
        println!(
            "{}: {interruption:?} at {} of {operations} points",
            self.name,
            points.count()
        );
    }

    fn interrupt(&self, reference: &Reference, interruption: Interruption, at: u64) {
        let run = std::panic::AssertUnwindSafe(|| match interruption {
            Interruption::PowerLoss
            | Interruption::Kill
            | Interruption::KillThenPowerLoss { .. } => self.crash(reference, interruption, at),
            Interruption::Failure(fault) => self.fail(reference, fault, at),
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("{}: {interruption:?} at operation {at}", self.name);
            std::panic::resume_unwind(panic);
        }
    }

    fn reference(&self) -> Reference {
        let disk = self.base.fork(SEED);
        let mount = disk.mount();
        let mut actor = Actor::start(&mount, SEED).expect("it starts");
        let mut pictures = vec![picture::take(&actor.store, &mount)];
        let mut operations = vec![disk.operations()];
        for step in &self.steps {
            let done = (step.run)(&mut actor);
            done.unwrap_or_else(|error| panic!("{}: {error}", step.name));
            pictures.push(picture::take(&actor.store, &mount));
            operations.push(disk.operations());
        }
        picture::check_disk(&actor.store, &mount, false);
        Reference {
            pictures,
            operations,
        }
    }

    /// How many steps are acknowledged before the process is no more; `None` when it had not
    /// started.
    fn run_until_dead(&self, mount: &Mount) -> (Option<Actor>, Option<usize>) {
        let started = Actor::start(mount, SEED);
        let mut actor = match started {
            Ok(actor) => actor,
            Err(error) => {
                assert!(!mount.is_alive(), "it does not start: {error}");
                return (None, None);
            }
        };
        for (index, step) in self.steps.iter().enumerate() {
            let done = (step.run)(&mut actor);
            if !mount.is_alive() {
                return (Some(actor), Some(index));
            }
            done.unwrap_or_else(|error| panic!("{}: {error}", step.name));
        }
        (Some(actor), Some(self.steps.len()))
    }

    fn crash(&self, reference: &Reference, interruption: Interruption, at: u64) {
        let seed = match interruption {
            Interruption::KillThenPowerLoss { start } => at + (start << 32),
            Interruption::PowerLoss | Interruption::Kill | Interruption::Failure(_) => at,
        };
        let disk = self.base.fork(seed);
        let mount = disk.mount();
        let is_kill = matches!(interruption, Interruption::Kill);
        match interruption {
            Interruption::PowerLoss | Interruption::Failure(_) => disk.crash_after(at),
            Interruption::Kill | Interruption::KillThenPowerLoss { .. } => mount.kill_after(at),
        }
        let (dead, acknowledged) = self.run_until_dead(&mount);
        mount.kill();
        if let Interruption::KillThenPowerLoss { start } = interruption {
            disk.crash_after(disk.operations() + start);
            let mount = disk.mount();
            let started = Actor::start(&mount, at + 4_000);
            assert!(started.is_ok() || !mount.is_alive(), "{:?}", started.err());
        }
        if !is_kill {
            disk.lose_power();
        }
        let (offered, accepted, submitted) = match dead {
            Some(actor) => (actor.offered, actor.accepted, actor.submitted),
            None => Default::default(),
        };
        let mount = disk.mount();
        let actor = Actor::start(&mount, at + 1_000).expect("it recovers");
        let found = picture::take(&actor.store, &mount);
        let from = match is_kill {
            true => acknowledged.unwrap_or(0),
            false => 0,
        };
        self.must_be_one_of(reference, &found, from, acknowledged);
        picture::check_disk(&actor.store, &mount, !is_kill);
        let (mount, mut actor) = match is_kill {
            false => (mount, actor),
            // What was shown is durable, also what the killed process had not synced.
            true => {
                drop(actor);
                disk.lose_power();
                let mount = disk.mount();
                let actor = Actor::start(&mount, at + 3_000).expect("it recovers again");
                assert_eq!(picture::take(&actor.store, &mount), found);
                (mount, actor)
            }
        };
        let shown = &reference.pictures[..=acknowledged.unwrap_or(0)];
        let settled = go_on(&mut actor, shown, &found, &mount);
        must_be_there_once(&settled, &offered, &accepted);
        copies_must_be_of_what_was_sent(&settled, &submitted);
        // All that was done since is durable, whatever the first end left behind.
        drop(actor);
        disk.lose_power();
        let mount = disk.mount();
        let actor = Actor::start(&mount, at + 2_000).expect("it recovers again");
        let mut kept = picture::take(&actor.store, &mount);
        let mut expected = settled;
        // The spool's deliveries are known to the accounts; that they are finished may be lost.
        kept.remove(&Part::Spool);
        expected.remove(&Part::Spool);
        assert_eq!(kept, expected);
        picture::check_disk(&actor.store, &mount, true);
    }

    /// Each part is as it was after some step, from the last that is durable to the one that was
    /// interrupted.
    fn must_be_one_of(
        &self,
        reference: &Reference,
        found: &Picture,
        from: usize,
        acknowledged: Option<usize>,
    ) {
        let pictures = &reference.pictures;
        let last = acknowledged.map_or(0, |steps| (steps + 1).min(self.steps.len()));
        let parts: BTreeSet<&Part> = pictures.iter().flat_map(Picture::keys).collect();
        for part in parts {
            let changes = 1..=acknowledged.unwrap_or(0);
            let synced = changes.rev().find(|&step| {
                self.steps[step - 1].promise == Promise::Kept
                    && pictures[step].get(part) != pictures[step - 1].get(part)
            });
            let first = from.max(synced.unwrap_or(0));
            let allowed = &pictures[first..=last];
            // An account that was just being made may have been made twice.
            let is_new = acknowledged.is_none_or(|step| !pictures[step].contains_key(part));
            let plain = |picture: &Picture| {
                let shown = picture.get(part).cloned();
                match is_new {
                    true => shown.map(PartPicture::without_numbers),
                    false => shown,
                }
            };
            let is_allowed = allowed.iter().any(|picture| plain(picture) == plain(found));
            assert!(
                is_allowed,
                "{part:?} after step {acknowledged:?} is {:?}, and could be one of {:?}",
                found.get(part),
                allowed
                    .iter()
                    .map(|picture| picture.get(part))
                    .collect::<Vec<_>>()
            );
        }
        let unknown = found
            .keys()
            .find(|part| !pictures.iter().any(|p| p.contains_key(part)));
        assert_eq!(unknown, None);
    }

    fn fail(&self, reference: &Reference, fault: OperationFault, at: u64) {
        let disk = self.base.fork(at);
        let mount = disk.mount();
        disk.fail_operation(at, fault);
        let mut seed = SEED;
        let mut actor = tries(|| {
            seed += 1;
            Actor::start(&mount, seed)
        });
        for (index, step) in self.steps.iter().enumerate() {
            let mut has_failed = false;
            tries(|| {
                let done = (step.run)(&mut actor);
                if let Err(error) = &done
                    && !std::mem::replace(&mut has_failed, true)
                {
                    let now = picture::take(&actor.store, &mount);
                    let (before, after) =
                        (&reference.pictures[index], &reference.pictures[index + 1]);
                    must_be_either(step.name, error, &now, before, after);
                }
                done
            });
        }
        let settled = picture::take(&actor.store, &mount);
        let last = reference
            .pictures
            .last()
            .expect("there is one after the start");
        assert_eq!(plain(&settled), plain(last));
        let shown = [settled];
        let settled = go_on(&mut actor, &shown, &shown[0], &mount);
        must_be_there_once(&settled, &actor.offered, &actor.accepted);
        copies_must_be_of_what_was_sent(&settled, &actor.submitted);
        drop(actor);
        disk.lose_power();
        let mount = disk.mount();
        let actor = Actor::start(&mount, at + 1_000).expect("it recovers");
        let mut kept = picture::take(&actor.store, &mount);
        let mut expected = settled;
        kept.remove(&Part::Spool);
        expected.remove(&Part::Spool);
        assert_eq!(kept, expected, "what was done after the failure is durable");
        picture::check_disk(&actor.store, &mount, true);
    }
}

/// Without what differs when something was tried twice.
fn plain(picture: &Picture) -> Picture {
    let parts = picture.iter();
    let parts = parts.map(|(part, shown)| (part.clone(), shown.clone().without_numbers()));
    parts.collect()
}

/// A step that failed has done nothing, or, where it is several, the first of them.
fn must_be_either(
    name: &str,
    error: &StoreError,
    now: &Picture,
    before: &Picture,
    after: &Picture,
) {
    let (now, before, after) = (plain(now), plain(before), plain(after));
    let parts: BTreeSet<&Part> = now.keys().chain(before.keys()).collect();
    for part in parts {
        let shown = now.get(part);
        assert!(
            shown == before.get(part) || shown == after.get(part),
            "{name} failed ({error}) and left {part:?} as {shown:?}"
        );
    }
}

/// A fault happens once.
fn tries<T>(mut work: impl FnMut() -> Result<T, StoreError>) -> T {
    let first = work().or_else(|_| work());
    first.unwrap_or_else(|error| panic!("it fails twice: {error}"))
}

/// Delivers what waits, and writes to each mailbox that was found: new messages get UIDs and
/// MODSEQs, and new mailboxes a UIDVALIDITY, above all that was shown. Returns what is there then.
fn go_on(actor: &mut Actor, shown: &[Picture], found: &Picture, mount: &Mount) -> Picture {
    actor.empty_the_spool().expect("it delivers");
    let accounts = found.iter().filter_map(|(part, picture)| match part {
        Part::Account(name) => Some((name, picture)),
        Part::Directory | Part::Spool => None,
    });
    for (name, picture) in accounts.clone() {
        let mailboxes = picture.mailboxes().map(|(mailbox, _)| mailbox.as_str());
        actor.probe(name, mailboxes).expect("it saves");
    }
    let settled = picture::take(&actor.store, mount);
    for (name, _) in accounts {
        let part = Part::Account(name.clone());
        // A mailbox with another UIDVALIDITY is another one.
        let old = || {
            let pictures = shown.iter().filter_map(|picture| picture.get(&part));
            pictures.flat_map(|picture| picture.mailboxes().map(|(_, mailbox)| mailbox))
        };
        let uid_validity = old().map(|mailbox| mailbox.uid_validity).max();
        for (mailbox, now) in settled[&part].mailboxes() {
            let newest = now.messages.last().map_or(0, |message| message.uid);
            for old in old().filter(|old| old.uid_validity == now.uid_validity) {
                assert!(newest >= old.uid_next, "{mailbox}: {newest}");
                assert!(now.modseq > old.modseq, "{mailbox}: {}", now.modseq);
            }
            if mailbox == PROBE {
                assert!(Some(now.uid_validity) > uid_validity);
            }
        }
    }
    settled
}

/// Each message that was taken is in each INBOX, whole and once; one that was offered, at most.
fn must_be_there_once(picture: &Picture, offered: &BTreeSet<u32>, accepted: &BTreeSet<u32>) {
    for number in offered {
        for name in ["ann", "bob"] {
            let account = &picture[&Part::Account(name.to_owned())];
            let count = account.count("INBOX", *number);
            let is_right = count == 1 || count == 0 && !accepted.contains(number);
            assert!(is_right, "{name} has message {number} {count} times");
        }
    }
}

/// Ann has a copy of a message exactly if it was sent, and its draft exactly if not.
fn copies_must_be_of_what_was_sent(picture: &Picture, submitted: &BTreeMap<u32, Option<u32>>) {
    for (number, draft) in submitted {
        let [ann, bob] = ["ann", "bob"].map(|name| &picture[&Part::Account(name.to_owned())]);
        let copies = ann.count("Sent", *number);
        let sent = [ann, bob].map(|account| account.count("INBOX", *number));
        assert_eq!(sent, [copies; 2], "message {number} and its copies");
        if let Some(draft) = draft {
            let drafts = ann.count("Drafts", *draft);
            assert_eq!(drafts + copies, 1, "message {number} and its draft");
        }
    }
}

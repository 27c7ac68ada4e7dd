//! The simulator in the ordinary tests: seeds that failed once, a first lot of others, and the
//! promise that a seed is all there is to a run.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rmail_tests::simulation::{Outcome, Plan, run, run_plan};

/// Seeds that found something, one a line; what follows a `#` says what.
const SEEDS: &str = include_str!("../seeds.txt");

/// How many more are run.
const MORE_SEEDS: u64 = 300;

fn seeds_that_failed() -> Vec<u64> {
    let lines = SEEDS
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| line.parse().expect("a seed is a number"))
        .collect()
}

/// Runs seeds in two threads; a seed that fails is named.
fn run_all(seeds: &[u64]) {
    let next = AtomicU64::new(0);
    let failed: Vec<u64> = thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(&seed) = seeds.get(number) else {
                    return failed;
                };
                if catch_unwind(AssertUnwindSafe(|| run(seed, None))).is_err() {
                    failed.push(seed);
                }
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        let failed = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("it catches"));
        failed.collect()
    });
    let again = "cargo run --release -p rmail-tests --bin simulate -- --seeds";
    let commands: Vec<String> = failed
        .iter()
        .map(|seed| format!("{again} {seed}"))
        .collect();
    assert!(
        failed.is_empty(),
        "again, one by one:\n{}",
        commands.join("\n")
    );
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    run_all(&seeds_that_failed());
}

#[test]
fn no_promise_is_broken_whatever_goes_wrong() {
    let seeds: Vec<u64> = (0..MORE_SEEDS).collect();
    run_all(&seeds);
}

#[test]
fn same_seed_gives_the_same_trace() {
    for seed in 0..4 {
        let first = run(seed, None);
        assert!(first.trace_lines > 1_000, "nothing happens: {first:?}");
        assert_eq!(first, run(seed, None), "seed {seed}");
    }
}

#[test]
fn other_seeds_give_other_traces() {
    let hashes = [0, 1, 2].map(|seed| run(seed, None).trace_hash);
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
}

#[test]
fn power_lost_at_any_point_of_a_script_loses_nothing() {
    let whole = run_plan(&Plan::script(0), 0, None);
    assert!(whole.disk_operations > 100, "the script writes: {whole:?}");
    // Every ninth here; .ci/run takes them all.
    for operations in (1..=whole.disk_operations).step_by(9) {
        let plan = Plan::script(0).with_crash_after(operations);
        let outcome: Outcome = run_plan(&plan, 0, None);
        assert_eq!(
            outcome.counts.power_losses, 2,
            "after {operations} operations"
        );
    }
}

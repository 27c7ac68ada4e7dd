//! The open network: floods, guessers of passwords and slow clients by the thousand, while the
//! operator changes the configuration. What must hold is asserted while it goes on, in
//! `tests/src/simulation/siege/`; here is that it went on at all.

use std::time::Duration;

use rmail_tests::simulation::{Outcome, Plan, run_plan};

fn besieged(seed: u64) -> Outcome {
    run_plan(&Plan::siege(seed), seed, None)
}

#[test]
fn besieged_server_keeps_its_bounds_and_serves_others() {
    for seed in 0..4 {
        let outcome = besieged(seed);
        let siege = outcome.siege;
        println!("seed {seed}: {siege:#?}");
        assert!(siege.connections > 5_000, "nobody comes: {siege:?}");
        assert!(siege.connections_max[2] > 300, "nobody stays: {siege:?}");
        assert_eq!(siege.tracked_max, 300, "the flood is too small: {siege:?}");
        assert_eq!(siege.lockouts, 8);
        assert!(siege.kept_out.iter().all(|count| *count > 0), "{siege:?}");
        assert!(siege.reloads > 5 && siege.faulty_reloads > 0, "{siege:?}");
        assert!(siege.served > 30, "nobody is served: {siege:?}");
        assert!(siege.longest_wait < Duration::from_secs(300));
        assert!(outcome.acknowledged > 0 && outcome.requests > 0);
    }
}

#[test]
fn same_siege_gives_the_same_trace() {
    assert_eq!(besieged(7), besieged(7));
}

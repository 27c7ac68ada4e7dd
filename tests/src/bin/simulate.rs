//! Runs the simulator: seeds, crash points, one seed again with its trace.

use std::{
    any::Any,
    collections::BTreeSet,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use rmail_tests::simulation::{Outcome, Plan, run_plan};

/// Runs rmail in a simulated world with faults, and checks that no promise is broken.
///
/// A run that fails prints its seed, and the command that repeats it to the last byte.
/// RMAIL_TRACE=FILE writes what happened in a run of a single seed.
#[derive(Debug, Parser)]
#[command(name = "simulate", after_help = EXAMPLES)]
struct Options {
    /// The seeds: one (17), or a range without its end (0..300).
    #[arg(long, value_parser = parse_seeds, default_value = "0..300")]
    seeds: (u64, u64),
    /// Runs a short script of each seed once for every operation of its disk, with the power lost
    /// right after it.
    #[arg(long)]
    crash_points: bool,
    /// Only the run whose power goes after this operation.
    #[arg(long, requires = "crash_points")]
    crash_after: Option<u64>,
    /// Prints what the seeds stand for, and runs nothing.
    #[arg(long)]
    show_plan: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Threads that run seeds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const EXAMPLES: &str = "Examples:
  simulate --seeds 0..300
  RMAIL_TRACE=trace.txt simulate --seeds 17
  simulate --crash-points --seeds 0..2
  simulate --crash-points --seeds 0 --crash-after 57";

/// One run.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    crash_after: Option<u64>,
}

impl Case {
    fn command(self) -> String {
        let crash = match self.crash_after {
            Some(operations) => format!(" --crash-points --crash-after {operations}"),
            None => String::new(),
        };
        format!(
            "cargo run --release -p rmail-tests --bin simulate -- --seeds {}{crash}",
            self.seed
        )
    }

    fn run(self, trace: Option<&PathBuf>) -> Outcome {
        let plan = match self.crash_after {
            Some(operations) => Plan::script(self.seed).with_crash_after(operations),
            None => Plan::draw(self.seed),
        };
        run_plan(&plan, self.seed, trace.map(PathBuf::as_path))
    }
}

/// What all runs came to.
#[derive(Default)]
struct Sum {
    runs: u64,
    outcome: Outcome,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        let sum = &mut self.outcome;
        sum.virtual_time += outcome.virtual_time;
        sum.acknowledged += outcome.acknowledged;
        sum.commands += outcome.commands;
        sum.views_compared += outcome.views_compared;
        sum.disk_operations += outcome.disk_operations;
        sum.disk_faults += outcome.disk_faults;
        sum.counts.jobs += outcome.counts.jobs;
        sum.counts.kills += outcome.counts.kills;
        sum.counts.power_losses += outcome.counts.power_losses;
        sum.counts.streams_lost += outcome.counts.streams_lost;
        sum.counts.stalls += outcome.counts.stalls;
        sum.counts.datagram_faults += outcome.counts.datagram_faults;
        sum.trace_lines += outcome.trace_lines;
        sum.trace_hash ^= outcome.trace_hash;
    }

    fn print(&self, elapsed: Duration) {
        let Outcome { counts, .. } = self.outcome;
        let hours = self.outcome.virtual_time.as_secs_f64() / 3600.0;
        println!("runs                 {:>12}", self.runs);
        println!("virtual hours        {hours:>12.1}");
        println!("messages accepted    {:>12}", self.outcome.acknowledged);
        println!("IMAP commands        {:>12}", self.outcome.commands);
        println!("views compared       {:>12}", self.outcome.views_compared);
        println!("jobs                 {:>12}", counts.jobs);
        println!("disk operations      {:>12}", self.outcome.disk_operations);
        println!("disk faults          {:>12}", self.outcome.disk_faults);
        println!("power losses         {:>12}", counts.power_losses);
        println!("processes killed     {:>12}", counts.kills);
        println!("connections lost     {:>12}", counts.streams_lost);
        println!("connections stalled  {:>12}", counts.stalls);
        println!("datagram faults      {:>12}", counts.datagram_faults);
        println!("trace lines          {:>12}", self.outcome.trace_lines);
        println!("trace hash           {:016x}", self.outcome.trace_hash);
        eprintln!("{:.1} s", elapsed.as_secs_f64());
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (first, end) = options.seeds;
    if options.show_plan {
        for seed in first..end {
            println!("seed {seed}: {}", Plan::draw(seed).describe());
        }
        return ExitCode::SUCCESS;
    }
    let cases = match options.crash_points {
        true => crash_points(first..end, options.crash_after),
        false => (first..end)
            .map(|seed| Case {
                seed,
                crash_after: None,
            })
            .collect(),
    };
    let trace = std::env::var_os("RMAIL_TRACE").map(PathBuf::from);
    let trace = trace.filter(|_| cases.len() == 1);
    let started = Instant::now();
    // Panics are printed with their seeds, by us.
    std::panic::set_hook(Box::new(|_| {}));
    let failures = run_all(&cases, &options, trace.as_ref(), started);
    match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run_all(cases: &[Case], options: &Options, trace: Option<&PathBuf>, started: Instant) -> usize {
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    let failures = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let has_failed = !failures.lock().expect("no panic holds it").is_empty();
                    if has_failed && !options.keep_going {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| case.run(trace))) {
                        Ok(outcome) => sum.lock().expect("no panic holds it").add(&outcome),
                        Err(panic) => {
                            report(*case, &panic);
                            failures.lock().expect("no panic holds it").insert(number);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic holds it").len();
    sum.into_inner()
        .expect("no panic holds it")
        .print(started.elapsed());
    println!("failures             {failures:>12}");
    failures
}

fn report(case: Case, panic: &Box<dyn Any + Send>) {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a panic without words");
    let mut out = std::io::stdout().lock();
    let printed = writeln!(
        out,
        "FAILED: seed {}\n{text}\nagain:  {}\ntrace:  RMAIL_TRACE=trace.txt {}\n",
        case.seed,
        case.command(),
        case.command(),
    );
    printed.expect("standard output takes what is printed");
}

/// One case for each disk operation of each seed's script.
fn crash_points(seeds: std::ops::Range<u64>, only: Option<u64>) -> Vec<Case> {
    let mut cases = Vec::new();
    for seed in seeds {
        if let Some(operations) = only {
            cases.push(Case {
                seed,
                crash_after: Some(operations),
            });
            continue;
        }
        let whole = run_plan(&Plan::script(seed), seed, None);
        let points = 1..=whole.disk_operations;
        cases.extend(points.map(|operations| Case {
            seed,
            crash_after: Some(operations),
        }));
    }
    cases
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|error| format!("{text:?}: {error}"))
    };
    match text.split_once("..") {
        None => number(text).map(|seed| (seed, seed + 1)),
        Some((first, end)) => Ok((number(first)?, number(end)?)),
    }
}

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
use rmail_tests::simulation::{Figures, Outcome, Plan, run_plan};

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
    /// Has a server besieged by attackers from everywhere instead.
    #[arg(long, conflicts_with = "crash_points")]
    siege: bool,
    /// Prints what the seeds stand for, and runs nothing.
    #[arg(long)]
    show_plan: bool,
    /// Also writes the figures into this document, between its two marks.
    #[arg(long, value_name = "FILE")]
    write_figures: Option<PathBuf>,
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
  simulate --crash-points --seeds 0 --crash-after 57
  simulate --siege --seeds 0..4
  simulate --seeds 0..5300 --write-figures docs/simulation.md";

/// One run.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    crash_after: Option<u64>,
    is_siege: bool,
}

impl Case {
    fn command(self) -> String {
        let crash = match self.crash_after {
            Some(operations) => format!(" --crash-points --crash-after {operations}"),
            None if self.is_siege => " --siege".to_owned(),
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
            None if self.is_siege => Plan::siege(self.seed),
            None => Plan::draw(self.seed),
        };
        run_plan(&plan, self.seed, trace.map(PathBuf::as_path))
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
                is_siege: options.siege,
            })
            .collect(),
    };
    let trace = std::env::var_os("RMAIL_TRACE").map(PathBuf::from);
    let trace = trace.filter(|_| cases.len() == 1);
    let started = Instant::now();
    // Panics are printed with their seeds, by us.
    std::panic::set_hook(Box::new(|_| {}));
    let (figures, failures) = run_all(&cases, &options, trace.as_ref());
    print!("{figures}");
    println!("{:<24} {failures:>12}", "failures");
    eprintln!("{:.1} s", started.elapsed().as_secs_f64());
    if let Some(path) = &options.write_figures {
        let kind = match options.crash_points {
            true => "crash points",
            false => "seeds",
        };
        write_figures(path, kind, &figures, failures, started.elapsed());
    }
    match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Replaces what stands between `<!-- KIND -->` and the next `<!-- end -->`.
fn write_figures(path: &PathBuf, kind: &str, figures: &Figures, failures: usize, time: Duration) {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mark = format!("<!-- {kind} -->\n");
    let (before, rest) = text.split_once(&mark).expect("the document has the mark");
    let (_, after) = rest
        .split_once("<!-- end -->")
        .expect("the document has its end");
    let build = match cfg!(debug_assertions) {
        true => "debug",
        false => "release",
    };
    let seconds = time.as_secs();
    let figures = format!("{figures}{:<24} {failures:>12}\n", "failures");
    let block = format!("```text\n{figures}```\n\nA {build} build, {seconds} s.\n");
    let written = std::fs::write(path, format!("{before}{mark}{block}<!-- end -->{after}"));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Runs the cases; also returns how many failed.
fn run_all(cases: &[Case], options: &Options, trace: Option<&PathBuf>) -> (Figures, usize) {
    let next = AtomicU64::new(0);
    let figures = Mutex::new(Figures::default());
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
                        Ok(outcome) => {
                            if case.is_siege {
                                println!("seed {}: {:#?}", case.seed, outcome.siege);
                            }
                            figures.lock().expect("no panic holds it").add(&outcome);
                        }
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
    (figures.into_inner().expect("no panic holds it"), failures)
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
                is_siege: false,
            });
            continue;
        }
        let whole = run_plan(&Plan::script(seed), seed, None);
        let points = 1..=whole.disk_operations;
        cases.extend(points.map(|operations| Case {
            seed,
            crash_after: Some(operations),
            is_siege: false,
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

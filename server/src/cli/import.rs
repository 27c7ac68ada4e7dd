//! `user import`: many accounts from a file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rmail_proto::{Address, Secret};
use rmail_store::{DirectoryWrite, StoreError};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    console::{self, Console},
    directory::Directory,
    failure::Failure,
    user::creation,
};
use crate::limits;

/// `user import`
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// Lines of ADDRESS, white space, PASSWORD; "#" begins a comment; "-" is standard input
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An account to be made.
struct Line {
    address: Address,
    password: Secret<String>,
}

/// What an import did.
#[derive(Serialize)]
struct Summary {
    added: usize,
    /// Addresses that had an account before.
    skipped: Vec<String>,
    failed: Vec<FailedLine>,
}

#[derive(Serialize)]
struct FailedLine {
    address: String,
    reason: String,
}

/// Makes the accounts of a file. A faulty line means that none is made; accounts that there are
/// already stay as they are.
pub(super) fn run(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    args: &ImportArgs,
) -> Result<(), Failure> {
    let text = read(console, &args.file)?;
    let lines = parse(&text, directory)?;
    let short = lines
        .iter()
        .filter(|line| console::is_short(line.password.reveal()))
        .count();
    if short > 0 {
        let advised = limits::PASSWORD_CHARS_ADVISED;
        console.note(&format!(
            "warning: passwords shorter than {advised} characters: {short}"
        ));
    }
    let (lines, skipped) = without_existing(lines, directory)?;
    let mut summary = Summary {
        added: 0,
        skipped,
        failed: Vec::new(),
    };
    import(&lines, directory, &mut summary)?;
    report(console, &summary, args.json)
}

fn report(console: &mut Console<'_>, summary: &Summary, json: bool) -> Result<(), Failure> {
    if json {
        console.json(summary)?;
    } else {
        for address in &summary.skipped {
            console.line(&format!("{address} was there already and is as it was"))?;
        }
        for FailedLine { address, reason } in &summary.failed {
            console.line(&format!("{address} is not added: {reason}"))?;
        }
        console.line(&format!("accounts added: {}", summary.added))?;
    }
    match summary.failed.len() {
        0 => Ok(()),
        count => Err(Failure(format!("accounts not added: {count}"))),
    }
}

fn read(console: &mut Console<'_>, file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let bound = limits::IMPORT_BYTES + 1;
    let result = match file == Path::new("-") {
        true => console.input.take(bound).read_to_string(&mut text),
        false => File::open(file).and_then(|file| file.take(bound).read_to_string(&mut text)),
    };
    let result = result.and_then(|_| match text.len() as u64 > limits::IMPORT_BYTES {
        true => Err(io::Error::other("it is larger than 256 MiB; split it")),
        false => Ok(()),
    });
    result.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure(format!(
            "{}; the command works as the server's user: hand the lines over with \
             \"user import - < FILE\"",
            Failure::file(file, "read", &error)
        )),
        _ => Failure::file(file, "read", &error),
    })?;
    Ok(text)
}

/// All lines, or every fault that is in them.
fn parse(text: &str, directory: &Directory<'_>) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match parse_line(text, directory) {
            Ok(line) => {
                let key = line.address.to_string().to_lowercase();
                if let Some(earlier) = seen.insert(key, number) {
                    let address = &line.address;
                    faults.push(format!(
                        "line {number}: {address} is in line {earlier} already"
                    ));
                }
                lines.push(line);
            }
            Err(reason) => faults.push(format!("line {number}: {reason}")),
        }
    }
    match faults.is_empty() {
        true => Ok(lines),
        false => Err(Failure(format!(
            "nothing was imported:\n  {}",
            faults.join("\n  ")
        ))),
    }
}

fn parse_line(text: &str, directory: &Directory<'_>) -> Result<Line, String> {
    let (address, password) = match text.split_once(char::is_whitespace) {
        Some((address, password)) => (address, password.trim_start()),
        None => (text, ""),
    };
    let address = directory
        .parse_address(address)
        .map_err(|failure| failure.0)?;
    if password.is_empty() {
        return Err(format!("there is no password after {address}"));
    }
    console::check_password(password)?;
    let password = Secret::new(password.to_owned());
    Ok(Line { address, password })
}

/// Sets aside the addresses that have an account.
fn without_existing(
    lines: Vec<Line>,
    directory: &Directory<'_>,
) -> Result<(Vec<Line>, Vec<String>), Failure> {
    let mut new = Vec::with_capacity(lines.len());
    let mut existing = Vec::new();
    for line in lines {
        match directory.find(&line.address)? {
            Some(account) => existing.push(account.address.to_string()),
            None => new.push(line),
        }
    }
    Ok((new, existing))
}

/// Hashes on all cores, and writes what is ready, batch by batch.
#[expect(
    clippy::disallowed_methods,
    reason = "a command is alone in its process"
)]
fn import(lines: &[Line], directory: &Directory<'_>, summary: &mut Summary) -> Result<(), Failure> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(lines.len());
    let bar = progress_bar(lines.len());
    let next = AtomicUsize::new(0);
    // Bounded, so that hashing does not run away from writing.
    let (sender, receiver) = mpsc::sync_channel::<(usize, DirectoryWrite)>(limits::IMPORT_BATCH);
    let result = thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(line) = lines.get(index) else {
                        return;
                    };
                    let change = creation(&line.address, &line.password, false);
                    // The receiver goes when a batch can't be written; then there is no use.
                    if sender.send((index, change)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let result = write_batches(&receiver, lines, directory, &bar, summary);
        drop(receiver);
        result
    });
    bar.finish_and_clear();
    result
}

fn write_batches(
    receiver: &mpsc::Receiver<(usize, DirectoryWrite)>,
    lines: &[Line],
    directory: &Directory<'_>,
    bar: &ProgressBar,
    summary: &mut Summary,
) -> Result<(), Failure> {
    while let Ok(first) = receiver.recv() {
        let more = receiver.try_iter().take(limits::IMPORT_BATCH - 1);
        let (indices, changes): (Vec<usize>, Vec<DirectoryWrite>) =
            core::iter::once(first).chain(more).unzip();
        let results = directory.write_all(&changes)?;
        bar.inc(results.len() as u64);
        for (index, result) in indices.into_iter().zip(results) {
            let address = lines[index].address.to_string();
            match result {
                Ok(_account) => summary.added += 1,
                // Made by somebody else since it was looked for.
                Err(StoreError::AddressTaken) => summary.skipped.push(address),
                Err(error) => summary.failed.push(FailedLine {
                    address,
                    reason: error.to_string(),
                }),
            }
        }
    }
    Ok(())
}

/// On standard error, and only when that is a terminal.
fn progress_bar(count: usize) -> ProgressBar {
    let template = "{wide_bar} {pos}/{len} accounts, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    ProgressBar::new(count as u64).with_style(style)
}

//! `diagnostics`: whether the server that runs does what it should, tried as its clients do.
//!
//! Eight phases, each with a verdict:
//!
//! | phase | takes | gives |
//! |---|---|---|
//! | 1 configuration | the file | the configuration |
//! | 2 storage | 1 | an account for what follows |
//! | 3 tls | 1 | the certificate that the server must show |
//! | 4 ports | 1 | the listeners that can be used |
//! | 5 smtp | an account, a listener | messages that were sent |
//! | 6 imap | an account, a listener | |
//! | 7 api | an account, a listener | messages that were sent |
//! | 8 delivery | an account, messages that were sent | |
//!
//! | verdict | when |
//! |---|---|
//! | ok | all that was seen is as it should be |
//! | warning | something should be looked at |
//! | failed | something is not as it should be |
//! | disabled | all listeners of the protocol are off |
//! | not run | something that it takes is not there, or Ctrl-C came |
//!
//! A certificate that is read is used in later phases even when its names or dates are wrong: it
//! is compared with what the server shows, byte for byte.
//!
//! The account goes when the diagnostics are over, whatever comes before; what those that were
//! killed leave behind is removed by the next.

mod account;
mod api;
mod configuration;
mod delivery;
mod doors;
mod imap;
mod imap_client;
mod letter;
mod phase;
mod ports;
mod report;
mod smtp;
mod smtp_client;
mod storage;
mod tls;
mod trouble;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressStyle};
use rustls::pki_types::{CertificateDer, ServerName};

use self::{
    account::TestAccount,
    doors::{Doors, Protocol, Tools},
    letter::Letter,
    phase::Phase,
    report::{Absence, Findings, PhaseReport, Report, Verdict},
};
use super::{console::Console, failure::Failure};
use crate::{
    config::Config,
    outside::{client::Dialer, interrupt::Interrupt},
    tls::pinned,
};

/// Goes through all phases; true when none failed or was left out.
pub(super) fn run(console: &mut Console<'_>, path: &Path, json: bool) -> Result<bool, Failure> {
    let interrupt = Interrupt::watch();
    let interrupt =
        interrupt.map_err(|error| Failure(format!("signals can't be waited for: {error}")))?;
    let mut bench = Bench::new(path.to_owned(), interrupt.clone());
    let bar = progress_bar();
    let mut phases = Vec::with_capacity(Phase::ALL.len());
    let mut shown = Ok(());
    for phase in Phase::ALL {
        bar.set_message(phase.name());
        let report = bench.go_through(phase);
        if !json && shown.is_ok() {
            shown = bar.suspend(|| report.show(console));
        }
        phases.push(report);
        bar.inc(1);
    }
    bar.set_message("removing the account");
    let left_behind = bench.clean_up().err().map(|Failure(reason)| reason);
    bar.finish_and_clear();
    // The output may have gone, but not before everything is in order.
    shown?;
    let is_good = |report: &PhaseReport| match report.verdict {
        Verdict::Ok | Verdict::Warning | Verdict::Disabled => true,
        Verdict::Failed | Verdict::NotRun => false,
    };
    let interrupted = interrupt.has_come();
    let report = Report {
        ok: phases.iter().all(is_good) && left_behind.is_none() && !interrupted,
        configuration: path.display().to_string(),
        interrupted,
        phases,
        left_behind,
    };
    match json {
        true => console.json(&report)?,
        false => report.show_summary(console)?,
    }
    Ok(report.ok)
}

/// On standard error, and only when that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:16} {pos}/{len} {msg} …");
    let style = style.expect("the template is well formed");
    ProgressBar::new(Phase::ALL.len() as u64).with_style(style)
}

/// What the phases have given so far.
struct Bench {
    path: PathBuf,
    interrupt: Interrupt,
    config: Option<Config>,
    account: Option<TestAccount>,
    certificate: Option<CertificateDer<'static>>,
    doors: Doors,
    letters: Vec<Letter>,
}

impl Bench {
    fn new(path: PathBuf, interrupt: Interrupt) -> Self {
        Self {
            path,
            interrupt,
            config: None,
            account: None,
            certificate: None,
            doors: Doors::default(),
            letters: Vec::new(),
        }
    }

    fn go_through(&mut self, phase: Phase) -> PhaseReport {
        let interrupted = || {
            let reason = "the diagnostics were interrupted".to_owned();
            PhaseReport::absent(phase, Absence::NotRun(reason))
        };
        if self.interrupt.has_come() {
            return interrupted();
        }
        let mut findings = Findings::default();
        let report = match self.examine(phase, &mut findings) {
            Ok(()) => findings.into_report(phase),
            Err(absence) => PhaseReport::absent(phase, absence),
        };
        // What failed may have failed by the signal.
        match report.verdict == Verdict::Failed && self.interrupt.has_come() {
            true => interrupted(),
            false => report,
        }
    }

    fn examine(&mut self, phase: Phase, findings: &mut Findings) -> Result<(), Absence> {
        match phase {
            Phase::Configuration => self.config = configuration::check(&self.path, findings),
            Phase::Storage => self.account = storage::check(self.config()?, findings),
            Phase::Tls => self.certificate = tls::check(self.config()?, findings),
            Phase::Ports => {
                let (config, certificate) = (self.config()?, self.certificate.as_ref());
                self.doors = ports::check(config, &self.tools(config), certificate, findings);
            }
            Phase::Smtp => {
                let (config, account) = (self.config()?, self.account());
                let doors = self.doors.open(Protocol::Smtp)?;
                let size = config.smtp.max_message_size.get();
                let sent = smtp::check(&self.tools(config), account?, size, &doors, findings);
                self.letters.extend(sent);
            }
            Phase::Imap => {
                let (config, account) = (self.config()?, self.account());
                let doors = self.doors.open(Protocol::Imap)?;
                imap::check(&self.tools(config), account?, &doors, findings);
            }
            Phase::Api => {
                let (config, account) = (self.config()?, self.account());
                let doors = self.doors.open(Protocol::Api)?;
                let sent = api::check(&self.tools(config), config, account?, &doors, findings);
                self.letters.extend(sent);
            }
            Phase::Delivery => self.examine_delivery(findings)?,
        }
        Ok(())
    }

    fn examine_delivery(&self, findings: &mut Findings) -> Result<(), Absence> {
        let config = self.config()?;
        let smtp = self.doors.open(Protocol::Smtp);
        let api = self.doors.open(Protocol::Api);
        if let (Err(Absence::Disabled(smtp)), Err(Absence::Disabled(api))) = (&smtp, &api) {
            let reason = format!("nothing can be sent: {smtp}; {api}");
            return Err(Absence::Disabled(reason));
        }
        let account = self.account()?;
        if self.letters.is_empty() {
            let reason = "no message was sent (phases 5 and 7), so none can arrive";
            return Err(Absence::NotRun(reason.to_owned()));
        }
        let (tools, smtp) = (self.tools(config), smtp.unwrap_or_default());
        delivery::check(config, &tools, account, &self.letters, &smtp, findings);
        Ok(())
    }

    fn config(&self) -> Result<&Config, Absence> {
        let reason = || "there is no configuration without a fault (phase 1)".to_owned();
        self.config
            .as_ref()
            .ok_or_else(|| Absence::NotRun(reason()))
    }

    fn account(&self) -> Result<&TestAccount, Absence> {
        let reason = || "there is no account to try it with (phase 2)".to_owned();
        self.account
            .as_ref()
            .ok_or_else(|| Absence::NotRun(reason()))
    }

    fn tools(&self, config: &Config) -> Tools {
        let hostname = config.hostname.as_str().to_owned();
        let server_name = ServerName::try_from(hostname);
        // The certificate is compared as it is; the name only says which is wanted.
        let server_name = server_name.unwrap_or_else(|_| {
            let name = ServerName::try_from("localhost");
            name.expect("it is a host name")
        });
        Tools {
            dialer: Dialer {
                tls: Arc::new(pinned(self.certificate.clone())),
                server_name,
                interrupt: self.interrupt.clone(),
            },
            rate_limit: config.rate_limit.clone(),
        }
    }

    /// Removes what was made.
    fn clean_up(&mut self) -> Result<(), Failure> {
        match self.account.take() {
            Some(account) => account.remove(),
            None => Ok(()),
        }
    }
}

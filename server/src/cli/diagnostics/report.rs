//! What the phases found, for people and for machines.

use serde::Serialize;

use super::{phase::Phase, trouble::Trouble};
use crate::cli::{console::Console, failure::Failure};

/// How something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or is not safe.
    Failed,
    /// It is off in the configuration.
    Disabled,
    /// It was not looked at, as something that it takes was not there.
    NotRun,
}

/// Why a phase has no findings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Absence {
    /// It is off in the configuration.
    Disabled(String),
    /// Something that it takes was not there.
    NotRun(String),
}

/// One thing that was seen.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    verdict: Verdict,
    evidence: String,
    remedy: Option<String>,
}

/// What a phase sees, as it goes.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// A phase that is over.
#[derive(Debug, Serialize)]
pub(super) struct PhaseReport {
    pub(super) phase: Phase,
    pub(super) verdict: Verdict,
    /// Why it was not gone through.
    reason: Option<String>,
    findings: Vec<Finding>,
}

/// All of it: what `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether no phase failed or was left out, and nothing is left behind.
    pub(super) ok: bool,
    pub(super) configuration: String,
    pub(super) interrupted: bool,
    pub(super) phases: Vec<PhaseReport>,
    /// What of the diagnostics' own could not be removed.
    pub(super) left_behind: Option<String>,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Disabled => "disabled",
            Self::NotRun => "not run",
        }
    }
}

impl Findings {
    /// It is as it should be.
    pub(super) fn ok(&mut self, evidence: impl Into<String>) {
        self.note(Verdict::Ok, evidence.into(), None);
    }

    /// Somebody should look at it.
    pub(super) fn warn(&mut self, evidence: impl Into<String>, remedy: impl Into<String>) {
        self.note(Verdict::Warning, evidence.into(), Some(remedy.into()));
    }

    /// It is not as it should be.
    pub(super) fn fail(&mut self, evidence: impl Into<String>, remedy: impl Into<String>) {
        self.note(Verdict::Failed, evidence.into(), Some(remedy.into()));
    }

    /// The server must refuse this, and has answered so.
    pub(super) fn refusal(&mut self, what: &str, answer: &str, is_refused: bool) {
        match is_refused {
            true => self.ok(format!("{what} is refused: {answer}")),
            false => self.fail(
                format!("{what} is not refused: {answer}"),
                "see by \"rmail status\" whether this port is rmail's; if it is, stop the server: \
                 this must not be",
            ),
        }
    }

    /// What was tried could not be done.
    pub(super) fn trouble(&mut self, tried: &str, trouble: &Trouble) {
        self.fail(format!("{tried}: {trouble}"), trouble.remedy());
    }

    /// All that was found, as a phase that is over.
    pub(super) fn into_report(self, phase: Phase) -> PhaseReport {
        let verdicts = self.0.iter().map(|finding| finding.verdict);
        PhaseReport {
            phase,
            verdict: verdicts.max().unwrap_or(Verdict::Ok),
            reason: None,
            findings: self.0,
        }
    }

    fn note(&mut self, verdict: Verdict, evidence: String, remedy: Option<String>) {
        self.0.push(Finding {
            verdict,
            evidence,
            remedy,
        });
    }
}

impl PhaseReport {
    /// A phase that was not gone through.
    pub(super) fn absent(phase: Phase, absence: Absence) -> Self {
        let (verdict, reason) = match absence {
            Absence::Disabled(reason) => (Verdict::Disabled, reason),
            Absence::NotRun(reason) => (Verdict::NotRun, reason),
        };
        Self {
            phase,
            verdict,
            reason: Some(reason),
            findings: Vec::new(),
        }
    }

    /// Shows it to a person.
    pub(super) fn show(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let (number, name) = (self.phase.number(), self.phase.name());
        console.line(&format!("{number} {name:13} {}", self.verdict.word()))?;
        if let Some(reason) = &self.reason {
            console.line(&format!("    {reason}"))?;
        }
        for finding in &self.findings {
            let evidence = &finding.evidence;
            console.line(&match finding.verdict {
                Verdict::Ok => format!("    {evidence}"),
                verdict => format!("  ! {}: {evidence}", verdict.word()),
            })?;
            if let Some(remedy) = &finding.remedy {
                console.line(&format!("      remedy: {remedy}"))?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The last lines for a person.
    pub(super) fn show_summary(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        if let Some(left_behind) = &self.left_behind {
            console.line(&format!("\nLeft behind: {left_behind}"))?;
        }
        let names = |verdict| {
            let phases = self.phases.iter().filter(|it| it.verdict == verdict);
            phases.map(|it| it.phase.name()).collect::<Vec<_>>()
        };
        let mut parts = Vec::new();
        for (verdict, word) in [
            (Verdict::Failed, "failed"),
            (Verdict::Warning, "with a warning"),
            (Verdict::NotRun, "not run"),
        ] {
            let names = names(verdict);
            if !names.is_empty() {
                parts.push(format!("{word}: {}", names.join(", ")));
            }
        }
        let summary = match parts.is_empty() {
            true => "nothing is wrong".to_owned(),
            false => parts.join("; "),
        };
        let interrupted = if self.interrupted {
            "interrupted; "
        } else {
            ""
        };
        console.line(&format!("\n{interrupted}{summary}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Transcript;

    #[test]
    fn verdict_of_a_phase_is_the_worst_of_what_was_seen() {
        let mut findings = Findings::default();
        findings.ok("a");
        findings.fail("b", "do c");
        findings.warn("d", "do e");
        let report = findings.into_report(Phase::Ports);
        assert_eq!(report.verdict, Verdict::Failed);
        let transcript = Transcript::of("", |console| report.show(console));
        let expected = "4 ports         FAILED\n    a\n  ! FAILED: b\n      remedy: do c\n  \
                        ! warning: d\n      remedy: do e\n";
        assert_eq!(transcript.output, expected);
    }

    #[test]
    fn summary_names_the_phases_by_verdict() {
        let mut findings = Findings::default();
        findings.fail("b", "do c");
        let report = Report {
            ok: false,
            configuration: "config.json".to_owned(),
            interrupted: false,
            phases: vec![
                findings.into_report(Phase::Ports),
                PhaseReport::absent(Phase::Smtp, Absence::NotRun("x".to_owned())),
                Findings::default().into_report(Phase::Imap),
            ],
            left_behind: None,
        };
        let transcript = Transcript::of("", |console| report.show_summary(console));
        assert_eq!(transcript.output, "\nfailed: ports; not run: smtp\n");
    }
}

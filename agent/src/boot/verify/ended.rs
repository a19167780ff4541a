//! Tells of a verification that ended without telling anything itself: it was killed, for its memory or its
//! time, or it crashed. The service manager calls this after each end, and says which it was.

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use earmark_manifest::declaration::Gate;
use earmark_scan::{
    Report, Root,
    verify::{self, Place, Verdict},
};

use crate::{
    boot::{announce::announce, policy::Policy},
    exit::Exit,
    fleet::grants,
    status::{record, summary},
};

/// End of a service, in the words of its manager (`systemd.exec`, "Environment Variables Set").
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    /// `$SERVICE_RESULT`: `success`, `exit-code`, `signal`, `core-dump`, `timeout`, `oom-kill` and others.
    result: String,
    /// `$EXIT_CODE`: `exited`, `killed` or `dumped`; nothing if it could not be started.
    code: Option<String>,
    /// `$EXIT_STATUS`: a number, or the name of a signal without `SIG`.
    status: Option<String>,
}

/// Keeps and tells that the verification came to nothing, if it did. The verdict of the record can only become
/// `undecided` by this, whatever the variables say: who can set them gains nothing.
pub fn run(root: &Root) -> Result<ExitCode> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let end = End {
        result: variable("SERVICE_RESULT")
            .context("$SERVICE_RESULT is not set: this is for the service manager to run")?,
        code: variable("EXIT_CODE"),
        status: variable("EXIT_STATUS"),
    };
    if let Some(problem) = end.problem() {
        tell(root, &problem);
    }
    Ok(Exit::Done.into())
}

impl End {
    /// Returns why nothing was told; `None` if the verification ended with a verdict, which it told.
    fn problem(&self) -> Option<String> {
        let status = self.status.as_deref().unwrap_or_default();
        let how = match (self.code.as_deref(), status) {
            // Verdicts. 1, 2 and every signal ended it before it told one.
            (Some("exited"), "0" | "10" | "11") => return None,
            (Some("exited"), code) => format!("it ended with exit code {code}"),
            (Some(_), signal) => format!("it was ended by SIG{signal}"),
            (None, _) if self.result == "success" => return None,
            (None, _) => "it did not start".to_owned(),
        };
        let text = format!("the verification did not complete: {how} ({})", self.result);
        Some(summary::clean(&text))
    }
}

fn tell(root: &Root, problem: &str) {
    let policy = Policy::of(root);
    let mut report = Report::undecided(problem.to_owned());
    policy.complete(root, &mut report);
    // First what is certain. What comes next reads files, and might be ended as the verification was.
    keep(root, &report);
    let options = verify::Options {
        trust: None,
        floor: None,
        covered: None,
        gate: Some(Gate::Signature),
        progress: &(),
        at: Place::default(),
    };
    let named = verify::verify(root, &options).report();
    // A seal that is not believed says more than that nothing was compared with it.
    if named.verdict == Verdict::Violated {
        report = named;
        policy.complete(root, &mut report);
    } else {
        (report.image, report.manifest, report.signers) =
            (named.image, named.manifest, named.signers);
        report.on_failure = named.on_failure;
    }
    keep(root, &report);
    announce(root, &report);
    complain!("earmark-agent: {problem}");
}

fn keep(root: &Root, report: &Report) {
    if let Err(error) = record::keep(root, report, None, grants::taints(root)) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn end(result: &str, code: Option<&str>, status: Option<&str>) -> End {
        End {
            result: result.to_owned(),
            code: code.map(str::to_owned),
            status: status.map(str::to_owned),
        }
    }

    #[test]
    fn verification_end_is_a_problem_only_without_a_verdict() {
        for (result, code, status, expected) in [
            (
                "oom-kill",
                Some("killed"),
                Some("KILL"),
                "SIGKILL (oom-kill)",
            ),
            ("signal", Some("killed"), Some("SEGV"), "SIGSEGV (signal)"),
            (
                "core-dump",
                Some("dumped"),
                Some("ABRT"),
                "SIGABRT (core-dump)",
            ),
            ("timeout", Some("killed"), Some("TERM"), "SIGTERM (timeout)"),
            (
                "exit-code",
                Some("exited"),
                Some("1"),
                "exit code 1 (exit-code)",
            ),
            // As a drop-in could have it: still no verdict.
            ("success", Some("killed"), Some("KILL"), "SIGKILL (success)"),
            (
                "success",
                Some("exited"),
                Some("2"),
                "exit code 2 (success)",
            ),
            ("resources", None, None, "did not start (resources)"),
        ] {
            let problem = end(result, code, status).problem().unwrap();
            assert!(problem.ends_with(expected), "{problem}");
        }
        for status in ["0", "10", "11"] {
            for result in ["success", "exit-code"] {
                assert_eq!(end(result, Some("exited"), Some(status)).problem(), None);
            }
        }
        assert_eq!(end("success", None, None).problem(), None);
    }

    #[test]
    fn verification_that_was_killed_is_undecided_on_record() {
        let root = TestRoot::bare();
        tell(
            &root.open(),
            "the verification did not complete: it was ended by SIGKILL (oom-kill)",
        );
        let status = record::read(&root.open()).unwrap().unwrap();
        assert_eq!(status.report.verdict, Verdict::Undecided);
        let reason = status.report.reason.unwrap();
        assert!(reason.contains("SIGKILL (oom-kill)"), "{reason}");
        assert!(
            std::fs::read_to_string(root.at("/run/earmark/motd"))
                .unwrap()
                .contains("UNDECIDED")
        );
    }
}

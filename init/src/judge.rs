//! Judgement of a root by the initrd: with its own trust file and floor, before anything of the root ran.

use std::path::Path;

use earmark_manifest::{
    declaration::OnInitrdFailure, floor::Floor, trust::Trust, verify::VerifiedDeclaration,
};
use earmark_scan::{
    Doubt, Report, Root,
    cmdline::CommandLine,
    kernel, seal,
    verify::{self, Place, Verdict, Verification},
};

use crate::kernel::FirmwareVariables;

/// Trust of the initrd, which the root cannot touch.
#[derive(Debug)]
pub struct Anchor {
    /// Keys.
    pub trust: Trust,
    /// Limits that no seal may be below.
    floor: Floor,
    /// Root of the initrd itself.
    own: Root,
}

/// Consequence of a judgement.
#[derive(Debug)]
pub enum Decision {
    /// The root is the image that was signed.
    Believed(Box<Report>),
    /// It is not, and its signed declaration says to go on and to report.
    Reported(Box<Report>),
    /// It is not, or nobody can say; why.
    Refused(String),
}

impl Anchor {
    /// Reads trust file and floor of the initrd.
    pub fn read() -> Result<Self, String> {
        let own = Root::open(Path::new("/")).map_err(|error| error.to_string())?;
        let next = "next: build the initrd with 'earmark initrd build'";
        Ok(Self {
            trust: seal::read_trust(&own)
                .map_err(|error| format!("in the initrd: {error}; {next}"))?,
            floor: seal::read_floor(&own)
                .map_err(|error| format!("in the initrd: {error}; {next}"))?,
            own,
        })
    }
}

/// Judges the root. `doubts` are those of what could not be mounted in it.
pub fn judge(root: &Root, anchor: &Anchor, mut doubts: Vec<Doubt>) -> Decision {
    let options = verify::Options {
        trust: Some(&anchor.trust),
        floor: Some(&anchor.floor),
        // The declared one: no word of the command line may make it smaller.
        gate: None,
        covered: None,
        progress: &(),
        at: Place::Initrd,
    };
    let verification = verify::verify(root, &options);
    let line = {
        // Only as long as they are read: systemd mounts them for itself.
        let _variables = FirmwareVariables::mount();
        CommandLine::read(&anchor.own)
    };
    let statement = verification.manifest().map(VerifiedDeclaration::statement);
    let signed = statement.and_then(|statement| statement.boot.as_ref());
    let judgement = line.judge(signed.map(|boot| &boot.cmdline));
    doubts.extend(judgement.doubts);
    decide(&verification.with(judgement.violations, doubts))
}

fn decide(verification: &Verification) -> Decision {
    let mut report = verification.report();
    report.boot_id = kernel::boot_id();
    let reason = report.reason.clone().unwrap_or_default();
    let verify = verification
        .manifest()
        .map(|declared| &declared.declaration().verify);
    report.policy = verify.map(|verify| verify.on_failure.name().to_owned());
    let report = Box::new(report);
    match (verification.verdict(), verify) {
        (Verdict::Verified | Verdict::Partial, _) => Decision::Believed(report),
        (Verdict::Violated | Verdict::Undecided, Some(verify)) => {
            match verify.on_initrd_failure() {
                OnInitrdFailure::Report => Decision::Reported(report),
                OnInitrdFailure::Halt => Decision::Refused(reason),
            }
        }
        // A seal that is not believed has no policy that could be.
        (Verdict::Violated | Verdict::Undecided, None) => Decision::Refused(reason),
    }
}

/// One line for the console.
pub fn summary(report: &Report) -> String {
    let image = report.image.as_ref().map_or_else(
        || "unknown image".to_owned(),
        |image| format!("{} {}", image.name, image.version),
    );
    format!(
        "{image}: {}, {}, tier {}",
        report.verdict.name(),
        report.covered(),
        report.tier
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_without_a_believed_seal_is_refused_whatever_it_declares() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let options = verify::Options {
            trust: None,
            floor: None,
            gate: None,
            covered: None,
            progress: &(),
            at: Place::Initrd,
        };
        let decision = decide(&verify::verify(&root, &options));
        let Decision::Refused(reason) = decision else {
            panic!("{decision:?}")
        };
        assert!(reason.contains("trust.toml"), "{reason}");
    }
}

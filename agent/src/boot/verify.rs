//! The stage `verify`: decides, tells, and keeps what it told.

mod ended;

use std::process::ExitCode;

use anyhow::Result;
use earmark_manifest::{
    layout, path::ImagePath, statement::Architecture, verify::VerifiedDeclaration,
};
use earmark_scan::{
    Progress, Root, Violation, ViolationKind,
    cmdline::{CommandLine, Judgement},
    verify::{self, Place, Verification},
};

use crate::{
    boot::{announce::announce, generator, initrd, policy::Policy},
    cli::VerifyArgs,
    corruption,
    fleet::grants,
    host::{self, throttle::Throttle},
    lockdown, platform,
    status::{self, record},
};

/// Verifies the root. The exit code is the verdict's, whatever becomes of the record of it.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    if args.ended {
        return ended::run(&root);
    }
    let policy = Policy::of(&root);
    let verification = verify(&root, args, &policy);
    let mut report = verification.report();
    policy.complete(&root, &mut report);
    // The kernel's digest of a file is right, whatever became of its blocks. What follows from those is the matter of
    // earmark-corruption.service, and the exit code of the units of the boot leaves it to that.
    let is_corrupted = root.is_live() && corruption::add(&root, &mut report);
    // A full disk or a read-only one must not turn one verdict into another.
    let instance = args.boot.then(|| instance(&root, &policy)).flatten();
    if let Err(error) = record::keep(&root, &report, instance, grants::taints(&root)) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
    if args.boot {
        announce(&root, &report);
        // Standard output may be the console's, which gets one line.
        complain!("{}", report.to_string().trim_end());
    } else {
        status::print(&report, args.common.json)?;
    }
    if is_corrupted && !args.boot {
        return Ok(ExitCode::from(corruption::VIOLATED));
    }
    Ok(ExitCode::from(verification.exit_code()))
}

/// Returns this instance's name, as far as it can be told before there is a network. A host that does not verify
/// comes no further, and its owner has to know it by its name.
fn instance(root: &Root, policy: &Policy) -> Option<String> {
    let platform = policy.declaration()?.image.platform;
    platform::instance_name(root, platform).map(|name| name.to_string())
}

/// Before first boot is only what the boot's own verification is. A record of this boot that says that first
/// boot was come to takes that away, and nothing in it gives it back.
fn place(root: &Root, args: &VerifyArgs) -> Place {
    let is_live = root.is_live();
    let first_boot_was = || {
        let status = record::read(root).ok().flatten();
        status.is_some_and(|status| {
            status.first_boot.is_some()
                && (!is_live || host::is_this_boot(status.report.boot_id.as_deref()))
        })
    };
    if args.boot && !args.again && !first_boot_was() {
        Place::BeforeFirstBoot { is_live }
    } else if is_live {
        Place::Running
    } else {
        Place::Offline
    }
}

fn verify(root: &Root, args: &VerifyArgs, policy: &Policy) -> Verification {
    let throttle = args.rate.map(Throttle::new);
    let progress: &dyn Progress = throttle.as_ref().map_or(&(), |throttle| throttle);
    let options = verify::Options {
        trust: None,
        floor: None,
        gate: args.gate,
        covered: None,
        progress,
        at: place(root, args),
    };
    // Command line, initrd and the generator's output are of the host that runs, not of a disk that is looked at.
    if !root.is_live() {
        return verify::verify(root, &options);
    }
    let judged = initrd::Judged::of(root, policy);
    let verification = judged.verify(root, &options, args.boot && !args.again);
    let statement = policy.declared().map(VerifiedDeclaration::statement);
    let other_machine =
        statement.and_then(|statement| machine_violation(statement.image.architecture));
    let line = CommandLine::read(root);
    let signed = statement.and_then(|statement| statement.boot.as_ref());
    let Judgement {
        mut violations,
        mut doubts,
    } = line.judge(signed.map(|boot| &boot.cmdline));
    violations.extend(other_machine);
    // A seal that cannot be read says nothing of what the generator was to write: with too few descriptors, the
    // strictest policy was expected, and what was missing of it made a violation of a doubt.
    let is_unread = matches!(policy, Policy::Strict(..)) && verification.exit_code() == 11;
    if args.boot {
        if !is_unread {
            violations.extend(generator::violations(root, policy, &line));
        }
        match lockdown::cloud_init_violation(root, policy) {
            Ok(found) => violations.extend(found),
            Err(doubt) => doubts.push(doubt),
        }
    }
    verification.with(violations, doubts)
}

/// This program runs on the machine, so that it was compiled for it: a manifest for another one is not of
/// this host.
fn machine_violation(expected: Architecture) -> Option<Violation> {
    let found = Architecture::of_this_program();
    (found != Some(expected)).then(|| Violation {
        path: ImagePath::from_absolute(layout::MANIFEST.as_bytes()).unwrap_or_default(),
        kind: ViolationKind::Identity,
        expected: format!("a host of the architecture {expected}"),
        found: std::env::consts::ARCH.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_of_another_architecture_is_a_violation() {
        let own = Architecture::of_this_program().unwrap();
        let other = match own {
            Architecture::X86_64 => Architecture::Aarch64,
            Architecture::Aarch64 => Architecture::X86_64,
        };
        assert_eq!(machine_violation(own), None);
        let found = machine_violation(other).unwrap();
        assert_eq!(found.kind, ViolationKind::Identity);
        assert!(found.to_string().contains(other.name()), "{found}");
    }
}

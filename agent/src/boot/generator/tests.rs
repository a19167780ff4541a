//! Each case is an input root and the whole of what comes out of it, as a listing.

use std::{collections::BTreeMap, fs, path::Path};

use super::*;
use crate::{boot::units::UNITS, testing::TestRoot};

mod declared;

/// Files and links that every image gets.
const ALWAYS: &str = "\
default.target.wants/earmark-agent.service -> ../earmark-agent.service
earmark-agent.service = the unit
earmark-corruption.service = the unit
earmark-corruption.timer = the unit
earmark-fetch.service = the unit
earmark-fetch.timer = the unit
earmark-first-boot.service = the unit
earmark-follow.service = the unit
earmark-grants.path = the unit
earmark-grants.service = the unit
earmark-instance.service = the unit
earmark-lockdown-again.service = the unit
earmark-lockdown-again.timer = the unit
earmark-lockdown-early.service = the unit
earmark-quarantine.target = the unit
earmark-report.path = the unit
earmark-report.service = the unit
earmark-report.timer = the unit
earmark-verify.service = the unit
multi-user.target.wants/earmark-agent.service -> ../earmark-agent.service
multi-user.target.wants/earmark-ready.target -> ../earmark-ready.target
";
const REPORT: &str = "\
default.target.wants/earmark-verify.service -> ../earmark-verify.service
earmark-first-boot.service.d/50-policy.conf: [Service] SuccessExitStatus=10 11 12
earmark-lockdown.service = the unit, wanting earmark-first-boot.service
earmark-lockdown.service.d/50-policy.conf: [Service] SuccessExitStatus=11 13
earmark-lockdown-again.service.d/50-policy.conf: [Service] SuccessExitStatus=11 13
earmark-ready.target = the unit, wanting earmark-first-boot.service earmark-lockdown.service
earmark-verified.target = the unit, wanting earmark-verify.service
earmark-verify.service.d/50-policy.conf: [Service] SuccessExitStatus=10 11
sysinit.target.wants/earmark-verify.service -> ../earmark-verify.service
";
const STRICT: &str = "\
debug-shell.service -> /dev/null
default.target.requires/earmark-verify.service -> ../earmark-verify.service
earmark-ready.target = the unit
earmark-verified.target = the unit
earmark-lockdown.service = the unit
emergency.service.d/50-earmark.conf: [Unit] Requires=earmark-verify.service After=earmark-verify.service
rescue.service.d/50-earmark.conf: [Unit] Requires=earmark-verify.service After=earmark-verify.service
sysinit.target.requires/earmark-verify.service -> ../earmark-verify.service
";
const QUARANTINE: &str = "\
earmark-agent.service.d/50-policy.conf: [Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate
earmark-first-boot.service.d/50-policy.conf: [Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate
earmark-lockdown.service.d/50-policy.conf: [Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate
earmark-lockdown-again.service.d/50-policy.conf: [Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate
earmark-verify.service.d/50-policy.conf: [Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate
";
const HALT: &str = "\
earmark-agent.service.d/50-policy.conf: [Unit] OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly
earmark-first-boot.service.d/50-policy.conf: [Unit] OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly
earmark-lockdown.service.d/50-policy.conf: [Unit] OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly
earmark-lockdown-again.service.d/50-policy.conf: [Unit] OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly
earmark-verify.service.d/50-policy.conf: [Unit] FailureAction=poweroff-force OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly
";

/// A lock that is not declared is denied, and masks units.
const OPEN: &str = "
[lockdown]
remote_access = \"allow\"
packages = \"allow\"
filesystems = \"allow\"
kernel = \"allow\"
cloud_init = \"allow\"
schedules = \"allow\"
accounts = \"allow\"
imds = \"allow\"
";

/// A sealed image that denies nothing, with this in `[verify]`.
fn sealed(verify: &str) -> TestRoot {
    TestRoot::sealed(&format!("{verify}\n{OPEN}"))
}

/// Directory in which systemd would have the generator write, so that a check finds the files there.
const EARLY: &str = "/run/systemd/generator.early";

/// Runs the generator and must get exactly these lines, in any order, and the reason.
#[track_caller]
fn must_write(root: &TestRoot, expected: &[&str], reason: &str) {
    let early = root.at(EARLY);
    fs::create_dir_all(&early).unwrap();
    let (told, exit) = generate(&root.open(), &early);
    assert_eq!(exit, Exit::Done, "{told:?}");
    assert!(told[0].contains(reason), "{told:?}");
    let mut expected: Vec<String> = expected
        .iter()
        .flat_map(|part| part.lines())
        .map(str::to_owned)
        .collect();
    expected.sort();
    assert_eq!(listing(&early), expected);
    assert_eq!(check(root), [""; 0]);
}

fn check(root: &TestRoot) -> Vec<String> {
    let root = root.open();
    violations(&root, &Policy::of(&root), &CommandLine::read(&root))
        .iter()
        .map(|violation| violation.path.to_string())
        .collect()
}

fn listing(early: &Path) -> Vec<String> {
    let units: BTreeMap<_, _> = UNITS.iter().map(|unit| (unit.name, unit.text)).collect();
    let mut lines = Vec::new();
    let mut directories = vec![early.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(early).unwrap().display().to_string();
            // The tests of `early` have these.
            let is_gate = name.ends_with("/50-earmark.conf");
            if is_gate && !name.starts_with("emergency.") && !name.starts_with("rescue.") {
                continue;
            }
            if let Ok(target) = fs::read_link(&path) {
                lines.push(format!("{name} -> {}", target.display()));
            } else if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let wanting = |unit: &str| {
                    const STAGES: [&str; 3] = [
                        "earmark-verify.service",
                        "earmark-first-boot.service",
                        "earmark-lockdown.service",
                    ];
                    let is_needed = |stage: &&str| unit.contains(&format!("\nRequires={stage}\n"));
                    let stages: Vec<&str> = STAGES.into_iter().filter(is_needed).collect();
                    let wanted = stages.iter().fold(unit.to_owned(), |unit, stage| {
                        let (requires, wants) =
                            (format!("Requires={stage}"), format!("Wants={stage}"));
                        unit.replace(&requires, &wants)
                    });
                    (wanted == text).then(|| stages.join(" "))
                };
                lines.push(match units.get(&*name) {
                    Some(unit) if *unit == text => format!("{name} = the unit"),
                    Some(unit) => match wanting(unit) {
                        Some(stage) => format!("{name} = the unit, wanting {stage}"),
                        None => format!("{name} = another text"),
                    },
                    None => {
                        let settings = text.lines().filter(|line| !line.starts_with('#'));
                        format!("{name}: {}", settings.collect::<Vec<_>>().join(" "))
                    }
                });
            }
        }
    }
    lines.sort();
    lines
}

#[test]
fn generator_policy_follows_the_signed_declaration() {
    let reason = "signed earmark.toml";
    must_write(&sealed(""), &[ALWAYS, REPORT], reason);
    let quarantine = sealed("on_failure = \"quarantine\"");
    must_write(&quarantine, &[ALWAYS, STRICT, QUARANTINE], reason);
    let halt = sealed("on_failure = \"halt\"");
    must_write(&halt, &[ALWAYS, STRICT, HALT], reason);
}

/// Steps get the time that they declare, and the network where their values come from it.
#[test]
fn first_boot_unit_gets_the_timeout_and_network_that_its_steps_need() {
    const STEPS: &str = "\
[verify]
on_failure = \"quarantine\"
[tree]
state = [\"/srv/data\"]
[[first_boot]]
name = \"join\"
command = { argv = [\"/usr/lib/web/join\"], timeout = \"2h\" }
[[first_boot]]
name = \"volume\"
volume = { device = \"/dev/nvme1n1\", filesystem = \"xfs\", mount = \"/srv/data\" }
[[first_boot]]
name = \"start\"
unit = { start = [\"web.service\"] }
";
    const DROP_IN: &str = "earmark-first-boot.service.d/50-policy.conf: ";
    let policy = QUARANTINE.lines().filter(|line| !line.starts_with(DROP_IN));
    let policy = policy.collect::<Vec<_>>().join("\n");
    let isolate = "[Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate";
    let time = "[Service] TimeoutStartSec=10080s";
    let network = "[Unit] Wants=network-online.target After=network-online.target";
    for (platform, lines) in [
        ("file", format!("{isolate} {time}")),
        ("ec2", format!("{isolate} {network} {time}")),
    ] {
        let root = TestRoot::declared(&format!("platform = \"{platform}\"\n{STEPS}{OPEN}"));
        let drop_in = format!("{DROP_IN}{lines}");
        must_write(&root, &[ALWAYS, STRICT, &policy, &drop_in], "signed");
    }
    // The control: without steps an instance waits for nothing.
    let declared = "platform = \"ec2\"\n[verify]\non_failure = \"quarantine\"\n";
    let root = TestRoot::declared(&format!("{declared}{OPEN}"));
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "signed");
}

/// In the boot in which a grant opened it, and not while it is being shut.
#[test]
fn unsealed_image_boots_with_the_report_policy() {
    must_write(&TestRoot::bare(), &[ALWAYS, REPORT], "neither");
}

#[test]
fn removed_seal_file_leads_to_quarantine() {
    let part = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    for path in [
        "/usr/lib/earmark/trust.toml",
        "/usr/lib/earmark/seal/manifest.json",
        "/usr/lib/earmark/seal/earmark.toml",
    ] {
        let root = sealed("on_failure = \"report\"");
        root.remove(path);
        must_write(&root, &[ALWAYS, STRICT, QUARANTINE], &part(path));
    }
    let root = sealed("on_failure = \"report\"");
    fs::remove_dir_all(root.at("/usr/lib/earmark/seal")).unwrap();
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "manifest.json");
}

#[test]
fn foreign_or_malformed_seal_file_leads_to_quarantine() {
    let other = sealed("");
    for path in [
        "/usr/lib/earmark/trust.toml",
        "/usr/lib/earmark/seal/manifest.json",
        "/usr/lib/earmark/seal/earmark.toml",
    ] {
        let root = sealed("on_failure = \"report\"");
        let foreign = fs::read(other.at(path)).unwrap();
        root.write(path, &foreign);
        must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "cannot be believed");
        root.write(path, b"\xff{");
        must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "cannot be believed");
    }
}

#[test]
fn unit_override_or_mask_in_etc_does_not_change_generator_output() {
    let root = sealed("on_failure = \"quarantine\"");
    let text = b"[Service]\nExecStart=/bin/true\n";
    root.write("/etc/systemd/system/earmark-verify.service", text);
    root.link("/etc/systemd/system/earmark-agent.service", "/dev/null");
    root.link(
        "/etc/systemd/system/sysinit.target.wants/earmark-verify.service",
        "/dev/null",
    );
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "signed");
}

#[test]
fn mask_from_the_debug_generator_is_replaced() {
    let root = sealed("on_failure = \"quarantine\"");
    root.link(&format!("{EARLY}/earmark-verify.service"), "/dev/null");
    root.link(
        &format!("{EARLY}/sysinit.target.requires/earmark-verify.service"),
        "/dev/null",
    );
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE], "signed");
}

#[test]
fn foreign_drop_ins_of_earmark_units_are_masked() {
    let root = sealed("on_failure = \"quarantine\"");
    for path in [
        "/etc/systemd/system/earmark-verify.service.d/override.conf",
        "/etc/systemd/system/earmark-verify.service.d/50-policy.conf",
        "/etc/systemd/system/earmark-verify.service.d/README",
        "/run/systemd/system/earmark-agent.service.d/override.conf",
        "/usr/local/lib/systemd/system/earmark-.service.d/all.conf",
        "/run/systemd/system/earmark-first-.service.d/first.conf",
        "/usr/lib/systemd/system/service.d/10-timeout.conf",
        "/lib/systemd/system/target.d/x.conf",
        "/etc/systemd/system/earmark-quarantine.target.wants/sshd.service",
        "/etc/systemd/system/earmark-verify.service.requires/never.service",
        "/etc/systemd/system/earmark-ready.target.wants/web.service",
        "/etc/systemd/system/web.service.d/web.conf",
    ] {
        root.write(path, b"");
    }
    // A directory of drop-ins that is a link is followed as systemd would, within the root.
    root.link(
        "/etc/systemd/system/earmark-ready.target.d",
        "/run/systemd/system/earmark-agent.service.d",
    );
    let masked = "\
earmark-agent.service.d/10-timeout.conf -> /dev/null
earmark-agent.service.d/all.conf -> /dev/null
earmark-agent.service.d/override.conf -> /dev/null
earmark-corruption.service.d/10-timeout.conf -> /dev/null
earmark-corruption.service.d/all.conf -> /dev/null
earmark-fetch.service.d/10-timeout.conf -> /dev/null
earmark-fetch.service.d/all.conf -> /dev/null
earmark-first-boot.service.d/10-timeout.conf -> /dev/null
earmark-first-boot.service.d/all.conf -> /dev/null
earmark-first-boot.service.d/first.conf -> /dev/null
earmark-follow.service.d/10-timeout.conf -> /dev/null
earmark-follow.service.d/all.conf -> /dev/null
earmark-grants.service.d/10-timeout.conf -> /dev/null
earmark-grants.service.d/all.conf -> /dev/null
earmark-instance.service.d/10-timeout.conf -> /dev/null
earmark-instance.service.d/all.conf -> /dev/null
earmark-lockdown-again.service.d/10-timeout.conf -> /dev/null
earmark-lockdown-again.service.d/all.conf -> /dev/null
earmark-lockdown-early.service.d/10-timeout.conf -> /dev/null
earmark-lockdown-early.service.d/all.conf -> /dev/null
earmark-lockdown.service.d/10-timeout.conf -> /dev/null
earmark-lockdown.service.d/all.conf -> /dev/null
earmark-quarantine.target.d/x.conf -> /dev/null
earmark-quarantine.target.wants/sshd.service -> /dev/null
earmark-ready.target.d/override.conf -> /dev/null
earmark-ready.target.d/x.conf -> /dev/null
earmark-report.service.d/10-timeout.conf -> /dev/null
earmark-report.service.d/all.conf -> /dev/null
earmark-verified.target.d/x.conf -> /dev/null
earmark-verify.service.d/10-timeout.conf -> /dev/null
earmark-verify.service.d/all.conf -> /dev/null
earmark-verify.service.d/override.conf -> /dev/null
earmark-verify.service.requires/never.service -> /dev/null
";
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE, masked], "signed");
}

/// systemd adds the drop-ins and dependencies of a unit's other names to the unit's own.
#[test]
fn drop_ins_of_links_to_earmark_units_are_masked() {
    let host = |target: &str| {
        let root = sealed("on_failure = \"quarantine\"");
        root.link("/etc/systemd/system/x.service", target);
        root.link(
            "/run/systemd/system/a-b.service",
            "../../../etc/systemd/system/x.service",
        );
        for path in [
            "/etc/systemd/system/x.service.d/99.conf",
            "/usr/lib/systemd/system/a-b.service.d/b.conf",
            "/run/systemd/system/a-.service.d/all.conf",
            "/etc/systemd/system/x.service.requires/never.service",
        ] {
            root.write(path, b"");
        }
        root
    };
    let masked = "\
earmark-verify.service.d/99.conf -> /dev/null
earmark-verify.service.d/all.conf -> /dev/null
earmark-verify.service.d/b.conf -> /dev/null
earmark-verify.service.requires/never.service -> /dev/null
";
    let ours = host("/usr/lib/systemd/system/earmark-verify.service");
    must_write(&ours, &[ALWAYS, STRICT, QUARANTINE, masked], "signed");
    // The control: of a link to another unit nothing is.
    let another = host("/usr/lib/systemd/system/other.service");
    must_write(&another, &[ALWAYS, STRICT, QUARANTINE], "signed");
}

#[test]
fn cmdline_boot_targets_pull_in_verification() {
    let root = sealed("on_failure = \"quarantine\"");
    root.write(
        "/proc/cmdline",
        b"systemd.unit=web.target emergency single\n",
    );
    let added = "\
emergency.target.requires/earmark-verify.service -> ../earmark-verify.service
emergency.target.wants/earmark-agent.service -> ../earmark-agent.service
rescue.target.wants/earmark-agent.service -> ../earmark-agent.service
web.target.wants/earmark-agent.service -> ../earmark-agent.service
rescue.target.requires/earmark-verify.service -> ../earmark-verify.service
web.target.requires/earmark-verify.service -> ../earmark-verify.service
";
    must_write(&root, &[ALWAYS, STRICT, QUARANTINE, added], "signed");

    let root = sealed("");
    root.write("/proc/cmdline", b"systemd.unit=../x.target rescue");
    let added = "\
rescue.target.wants/earmark-agent.service -> ../earmark-agent.service
rescue.target.wants/earmark-verify.service -> ../earmark-verify.service
";
    must_write(&root, &[ALWAYS, REPORT, added], "signed");
}

#[test]
fn unwritable_generator_directory_is_reported_and_the_rest_is_written() {
    let root = sealed("on_failure = \"quarantine\"");
    root.write(&format!("{EARLY}/sysinit.target.requires"), b"a file");
    let (told, exit) = generate(&root.open(), &root.at(EARLY));
    assert_eq!(exit, Exit::Undecided);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[1].contains("sysinit.target.requires/earmark-verify.service"),
        "{told:?}"
    );
    assert!(
        root.at(&format!("{EARLY}/earmark-verify.service.d/50-policy.conf"))
            .exists()
    );
}

#[test]
fn unit_files_changed_after_the_generator_ran_are_violations() {
    let changed = |change: &dyn Fn(&TestRoot)| {
        let root = sealed("on_failure = \"quarantine\"");
        let early = root.at(EARLY);
        fs::create_dir_all(&early).unwrap();
        generate(&root.open(), &early);
        assert_eq!(check(&root), [""; 0]);
        change(&root);
        check(&root)
    };
    let verify = format!("{EARLY}/earmark-verify.service");
    assert_eq!(
        changed(&|root| root.write(&verify, b"")),
        std::slice::from_ref(&verify)
    );
    assert_eq!(
        changed(&|root| root.remove(&verify)),
        std::slice::from_ref(&verify)
    );
    let credential = format!("{EARLY}/earmark-verify.service.d/50-credential.conf");
    assert_eq!(
        changed(&|root| root.write(&credential, b"")),
        std::slice::from_ref(&credential)
    );
    assert_eq!(
        changed(&|root| root.link(&credential, "/dev/null")),
        [""; 0]
    );
    let control = "/run/systemd/system.control/earmark-verify.service.d";
    assert_eq!(
        changed(&|root| root.write(&format!("{control}/x.conf"), b"")),
        [control]
    );
    // Of another name of the unit too, and not where the name is another unit's.
    let control = "/run/systemd/system.control/x.service.d";
    let linked = |unit: &str| {
        changed(&|root| {
            root.link("/etc/systemd/system/x.service", unit);
            root.write(&format!("{control}/x.conf"), b"");
        })
    };
    let units = "/usr/lib/systemd/system";
    assert_eq!(
        linked(&format!("{units}/earmark-verify.service")),
        [control]
    );
    assert_eq!(linked(&format!("{units}/other.service")), [""; 0]);
    // Found, since the generator would mask it if it ran now.
    let late = "/run/systemd/system/earmark-verify.service.d/late.conf";
    let mask = format!("{EARLY}/earmark-verify.service.d/late.conf");
    assert_eq!(changed(&|root| root.write(late, b"")), [mask]);
    // Other software's, which does not concern us.
    let other = "/run/systemd/system/service.d/late.conf";
    assert_eq!(changed(&|root| root.write(other, b"")), [""; 0]);
}

#[test]
fn missing_generator_output_is_a_violation() {
    let root = sealed("");
    assert!(check(&root).contains(&format!("{EARLY}/earmark-verify.service")));
}

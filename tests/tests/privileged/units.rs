//! The units, judged by systemd itself: read without a complaint, as exposed as the docs say, and
//! booted in a container. What needs a kernel of its own is in `vm/boot*`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use earmark_tests::{
    container::{Host, QUARANTINED, READY, Seen},
    facts::host::{ENDED_BY_SIGNAL, VERIFICATION_INCOMPLETE},
    overlay::Overlay,
};

const UNITS: [&str; 21] = [
    "earmark-agent.service",
    "earmark-corruption.service",
    "earmark-corruption.timer",
    "earmark-fetch.service",
    "earmark-fetch.timer",
    "earmark-first-boot.service",
    "earmark-follow.service",
    "earmark-grants.path",
    "earmark-grants.service",
    "earmark-instance.service",
    "earmark-lockdown-again.service",
    "earmark-lockdown-again.timer",
    "earmark-lockdown-early.service",
    "earmark-lockdown.service",
    "earmark-quarantine.target",
    "earmark-ready.target",
    "earmark-report.path",
    "earmark-report.service",
    "earmark-report.timer",
    "earmark-verified.target",
    "earmark-verify.service",
];
/// In the critical set: the gate finds it.
const CRITICAL: &str = "usr/lib/systemd/systemd-shutdown";
/// Not in it: found in the background.
const ORDINARY: &str = "usr/share/common-licenses/BSD";

/// Everything that a boot of this root would start, as systemd itself reads it.
fn verify(image: &Overlay) -> String {
    let units = UNITS.iter().copied().chain(["default.target"]);
    // The root has no `man` to ask for the pages.
    let words = ["systemd-analyze", "verify", "--man=no"];
    let run = image.chroot(&words.into_iter().chain(units).collect::<Vec<_>>());
    let said = run.out + &run.err;
    let ours = |line: &&str| line.contains("earmark") || line.contains("cycle");
    said.split_inclusive('\n').filter(ours).collect()
}

#[test]
fn privileged_units_pass_systemd_analyze_verify() {
    // The server has cloud-init, networks and storage, which are ordered round the verification.
    for root in ["EARMARK_ROOT_SMALL", "EARMARK_ROOT_SERVER"] {
        let image = Overlay::new(root);
        image.install_agent();
        assert_eq!(verify(&image), "", "{root}");

        // The controls: a cycle and a misspelt directive are found.
        let unit = image.at("usr/lib/systemd/system/earmark-verify.service");
        let good = fs::read_to_string(&unit).unwrap();
        let cycle = good.replace("[Unit]\n", "[Unit]\nAfter=multi-user.target\n");
        fs::write(&unit, cycle).unwrap();
        assert!(
            verify(&image).contains("cycle"),
            "{root}: {}",
            verify(&image)
        );
        fs::write(&unit, good.replace("ProtectSystem=", "ProtektSystem=")).unwrap();
        assert!(
            verify(&image).contains("ProtektSystem"),
            "{root}: {}",
            verify(&image)
        );
    }
}

#[test]
fn privileged_unit_exposure_matches_the_documentation() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    image.install_agent();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/units.md");
    let docs = fs::read_to_string(docs).unwrap();
    let units = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd")).unwrap();
    let units = units.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for unit in units.filter(|name| name.ends_with(".service")) {
        let unit = &*unit;
        let bound = match unit {
            "earmark-agent.service" | "earmark-verify.service" => 2.0,
            // The network is what it is for.
            "earmark-fetch.service" | "earmark-report.service" | "earmark-instance.service" => 2.5,
            // Declared commands run in it, as root.
            "earmark-first-boot.service" => 6.0,
            // What the others do is what exposure is about: mounting, and shutting the door for modules.
            _ => 5.0,
        };
        let words = [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            unit,
        ];
        let said = image.chroot(&words).must(0).out;
        let exposure = said
            .split_once(&format!("Overall exposure level for {unit}: "))
            .and_then(|(_, rest)| rest.split(' ').next())
            .unwrap_or_else(|| panic!("{said}"));
        assert!(exposure.parse::<f64>().unwrap() <= bound, "{said}");
        let row = format!("| `{unit}` | {exposure} |");
        assert!(
            docs.contains(&row),
            "docs/units.md has no row {row}\n{said}"
        );
    }
}

#[test]
fn privileged_unmodified_image_gets_ready_under_each_policy() {
    for policy in ["report", "quarantine", "halt"] {
        let seen = Host::new(policy).boot(&format!("{READY} && verdict verified"));
        for unit in [
            "earmark-verify.service",
            "earmark-verified.target",
            "earmark-ready.target",
            "earmark-agent.service",
            "workload.service",
            "login.service",
        ] {
            assert_eq!(
                seen.state(unit),
                "active",
                "{policy}: {unit}: {}",
                seen.journal
            );
        }
        assert!(
            seen.listens() && seen.session(),
            "{policy}: {}",
            seen.journal
        );
        let verified = ["earmark-verify.service", "earmark-verified.target"];
        seen.in_order(&["local-fs.target", verified[0], "sysinit.target"]);
        seen.in_order(&[
            verified[0],
            verified[1],
            "earmark-first-boot.service",
            "earmark-lockdown.service",
            "earmark-ready.target",
            "workload.service",
        ]);
        seen.in_order(&["earmark-ready.target", "earmark-agent.service"]);
        seen.in_order(&["earmark-verify.service", "network-pre.target"]);
        seen.in_order(&["earmark-verify.service", "systemd-tmpfiles-setup.service"]);
    }
}

#[test]
fn privileged_changed_host_under_report_gets_ready_with_a_violated_verdict() {
    let host = Host::new("report");
    host.flip(CRITICAL);
    let seen = host.boot(READY);
    for unit in [
        "earmark-ready.target",
        "earmark-agent.service",
        "workload.service",
    ] {
        assert_eq!(seen.state(unit), "active", "{unit}: {}", seen.journal);
    }
    assert_eq!(seen.status["verdict"], "violated");
}

#[test]
fn privileged_verification_that_cannot_start_fails_and_triggers_the_policy() {
    // Its group is gone, so that systemd does not come to start the program.
    let without_account = |policy: &str| {
        let host = Host::new(policy);
        for file in ["etc/passwd", "etc/group"] {
            host.without_line(file, "earmark:");
        }
        // Or systemd-sysusers would make it again, before the verification.
        host.without_line("usr/lib/sysusers.d/earmark.conf", "u earmark");
        host
    };
    let seen = without_account("report").boot(READY);
    assert_eq!(seen.state("earmark-verify.service"), "failed");
    assert_eq!(seen.state("workload.service"), "active", "{}", seen.journal);
    let seen = without_account("quarantine").boot(QUARANTINED);
    assert!(
        !seen.workload_started && !seen.listens(),
        "{}",
        seen.journal
    );
}

/// Ends the first verification that it finds. Every unit of the image waits for the verdict: a generator does not.
const KILLER: &str = r#"#!/bin/sh
trap '' HUP
setsid /bin/sh -c '
    until file=$(grep -lsaxz "verif[y]" /proc/[0-9]*/cmdline | head -n 1) && [ "$file" ] &&
        kill -KILL "$(echo "$file" | cut -d / -f 3)"; do :; done
' < /dev/null > /dev/null 2>&1 &
"#;

#[test]
fn privileged_killed_boot_verification_is_undecided_and_triggers_the_policy() {
    let killed = |policy: &str| {
        Host::declared(policy, "", |image| {
            let generators = image.at("etc/systemd/system-generators");
            fs::create_dir_all(&generators).unwrap();
            let killer = generators.join("killer");
            fs::write(&killer, KILLER).unwrap();
            fs::set_permissions(&killer, fs::Permissions::from_mode(0o755)).unwrap();
        })
    };
    let must_tell = |seen: &Seen| {
        let killed = ENDED_BY_SIGNAL.of(&["KILL"]).text();
        VERIFICATION_INCOMPLETE
            .of(&["UNDECIDED", &killed])
            .must_be_in(&seen.journal);
    };
    let seen = killed("report").boot(READY);
    assert_eq!(seen.state("earmark-verify.service"), "failed");
    assert_eq!(seen.state("workload.service"), "active", "{}", seen.journal);
    must_tell(&seen);
    let seen = killed("quarantine").boot(QUARANTINED);
    assert!(!seen.workload_started, "{}", seen.journal);
    assert_eq!(seen.status["verdict"], "undecided");
    must_tell(&seen);
}

#[test]
fn privileged_changed_host_under_quarantine_starts_no_workload() {
    let host = Host::new("quarantine");
    host.flip(CRITICAL);
    quarantined(&host, false);
}

#[test]
fn privileged_late_violation_under_quarantine_stops_the_workload() {
    let host = Host::new("quarantine");
    host.flip(ORDINARY);
    quarantined(&host, true);
}

#[test]
fn privileged_agent_service_crash_does_not_trigger_the_policy() {
    let waits = "systemctl show -P SubState earmark-agent.service | grep -q auto-restart";
    for policy in ["quarantine", "halt"] {
        let crash = format!(
            "{{ {waits}; }} || {{ {READY} && verdict verified && \
             systemctl kill -s SEGV earmark-agent.service; false; }}"
        );
        let seen = Host::new(policy).boot(&crash);
        for unit in ["earmark-ready.target", "workload.service", "login.service"] {
            assert_eq!(seen.state(unit), "active", "{policy}: {}", seen.journal);
        }
    }
}

fn quarantined(host: &Host, after_ready: bool) {
    // The agent is started again once the host is isolated.
    let agent = "systemctl is-active --quiet earmark-agent.service";
    let seen = host.boot(&format!("{QUARANTINED} && {agent}"));
    assert_eq!(
        seen.state("earmark-quarantine.target"),
        "active",
        "{}",
        seen.journal
    );
    assert_eq!(
        seen.state("earmark-agent.service"),
        "active",
        "{}",
        seen.journal
    );
    assert_eq!(seen.state("systemd-journald.service"), "active");
    for unit in [
        "earmark-ready.target",
        "multi-user.target",
        "workload.service",
        "login.service",
        "listener.socket",
        "ssh.service",
    ] {
        // "failed" is what ssh.service is for want of host keys, on a host that got so far.
        assert_ne!(seen.state(unit), "active", "{unit}: {}", seen.journal);
    }
    assert!(!seen.listens() && !seen.session(), "{}", seen.journal);
    assert_eq!(seen.workload_started, after_ready, "{}", seen.journal);
    assert_eq!(seen.status["verdict"], "violated");
}

#[test]
fn privileged_changed_host_under_halt_powers_off() {
    let host = Host::new("halt");
    host.flip(CRITICAL);
    let seen = host.boot_until_off();
    assert!(!seen.workload_started, "{}", seen.journal);
}

#[test]
fn privileged_drop_in_for_the_verification_unit_has_no_effect() {
    let host = Host::new("quarantine");
    // The same before sealing, as the control: it is part of the image, and still not taken.
    host.write(
        "etc/systemd/system/earmark-verify.service.d/override.conf",
        "[Service]\nExecStart=\nExecStart=/bin/true\n",
    );
    quarantined(&host, false);
}

/// systemd adds the drop-ins of a unit's other names to the unit's own.
#[test]
fn privileged_drop_in_for_a_link_to_the_verification_unit_has_no_effect() {
    let host = Host::new("quarantine");
    std::os::unix::fs::symlink(
        "/usr/lib/systemd/system/earmark-verify.service",
        host.at("etc/systemd/system/x.service"),
    )
    .unwrap();
    host.write(
        "etc/systemd/system/x.service.d/99.conf",
        "[Service]\nExecStart=\nExecStart=/bin/true\n",
    );
    quarantined(&host, false);
}

//! A host that is not locked down as its image declares, under the service manager: what each policy does
//! about it. What root can do to one that is, is in `vm/lockdown`.

use std::{fs, os::unix::fs::symlink};

use earmark_tests::{
    NO_LOCKS,
    container::{Host, QUARANTINED, READY, Seen},
    facts::host::{IMMUTABLE_IMAGE, LOCKED_DOWN, NOT_ENFORCED, NOT_LOCKED_DOWN},
    overlay::Overlay,
};

/// Somebody undoes a lock once the host is ready, or does something else; and the timer's service looks.
fn then_looked_at(command: &str) -> impl FnOnce(&Overlay) {
    let unit = format!(
        "[Unit]\nAfter=earmark-ready.target workload.service\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c '{command}'\n\
         ExecStart=/bin/systemctl is-active earmark-lockdown-again.timer\n\
         ExecStart=/bin/systemctl start --no-block earmark-lockdown-again.service\n"
    );
    move |image| {
        let system = image.at("etc/systemd/system");
        fs::write(system.join("undo.service"), unit).unwrap();
        let wants = system.join("multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        symlink("../undo.service", wants.join("undo.service")).unwrap();
        let passwd = image.at("etc/passwd");
        let text = fs::read_to_string(&passwd).unwrap();
        let ops = "ops:x:1500:1500::/home/ops:/bin/sh\n";
        fs::write(&passwd, text + ops).unwrap();
    }
}

/// An account with a password, which is the image's own mistake.
fn with_a_password(image: &Overlay) {
    for (path, line) in [
        ("etc/passwd", "ops:x:1500:1500::/nonexistent:/bin/sh\n"),
        ("etc/shadow", "ops:$6$salt$hash:20000:0:99999:7:::\n"),
    ] {
        let path = image.at(path);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + line).unwrap();
    }
}

fn host(policy: &str, bake: impl FnOnce(&Overlay)) -> Host {
    let open = "accounts = \"allow\"";
    let locks = NO_LOCKS.replace(open, "accounts = \"deny\"");
    assert_ne!(locks, NO_LOCKS);
    // What the agent finds on a host, the signer would not have sealed.
    let waiver = "[[lint.allow]]\nrule = \"password\"\nreason = \"What this test is about.\"\n";
    Host::declared(policy, &(locks + waiver), bake)
}

#[track_caller]
fn must_say(seen: &Seen, policy: &str) {
    NOT_LOCKED_DOWN
        .of(&["accounts", policy])
        .must_be_in(&seen.journal);
    // The item by its name.
    for part in ["accounts: passwords: ", "ops"] {
        assert!(seen.journal.contains(part), "{part}: {}", seen.journal);
    }
    // Nothing of a password is anybody's business.
    assert!(!seen.journal.contains("$6$"), "{}", seen.journal);
}

#[test]
fn privileged_failed_lockdown_triggers_the_policy() {
    let report = host("report", with_a_password);
    let seen = report.boot_and_look(
        READY,
        "earmark-agent status; earmark-agent lockdown --check",
    );
    for unit in ["earmark-ready.target", "workload.service"] {
        assert_eq!(seen.state(unit), "active", "{unit}: {}", seen.journal);
    }
    must_say(&seen, "report");
    assert_eq!(seen.status["lockdown"]["is_enforced"], false);
    NOT_ENFORCED.of(&["accounts"]).must_be_in(&seen.looked);

    let quarantine = host("quarantine", with_a_password);
    for boot in 1..=2 {
        let seen = quarantine.boot(QUARANTINED);
        assert_eq!(seen.state("earmark-quarantine.target"), "active");
        for unit in ["earmark-ready.target", "workload.service", "login.service"] {
            assert_ne!(
                seen.state(unit),
                "active",
                "{boot}: {unit}: {}",
                seen.journal
            );
        }
        assert!(!seen.workload_started, "{boot}: {}", seen.journal);
        must_say(&seen, "quarantine");
    }

    let seen = host("halt", with_a_password).boot_until_off();
    assert!(!seen.workload_started, "{}", seen.journal);

    // The control: the same declaration, and nobody with a password.
    let seen = host("quarantine", |_| ()).boot(&format!("{READY} && verdict verified"));
    LOCKED_DOWN.must_be_in(&seen.journal);
    assert_eq!(seen.status["lockdown"]["is_enforced"], true);
    seen.in_order(&[
        "earmark-first-boot.service",
        "earmark-lockdown.service",
        "earmark-ready.target",
        "workload.service",
    ]);
}

#[test]
fn privileged_lock_undone_after_ready_triggers_quarantine_at_the_next_check() {
    let key = "mkdir -p /home/ops/.ssh; echo key > /home/ops/.ssh/authorized_keys";
    let undone = host("quarantine", then_looked_at(key));
    let seen = undone.boot(QUARANTINED);
    assert!(seen.workload_started, "{}", seen.journal);
    assert_eq!(seen.state("earmark-quarantine.target"), "active");
    assert_ne!(seen.state("workload.service"), "active");
    LOCKED_DOWN.must_be_in(&seen.journal);
    NOT_LOCKED_DOWN
        .of(&["accounts", "quarantine"])
        .must_be_in(&seen.journal);
    let item = "accounts: authorized keys, root's hands: ";
    assert!(seen.journal.contains(item), "{}", seen.journal);
    assert_eq!(seen.status["lockdown"]["is_enforced"], false);

    // The control: the same, and nothing that the lock is about. It is not told again, either.
    let other = "mkdir -p /home/ops/.ssh; echo key > /home/ops/.ssh/known_hosts";
    let looked = "test \"$(systemctl show -P ExecMainStartTimestampMonotonic earmark-lockdown-again.service)\" != 0";
    let ready = format!("{READY} && {looked} && verdict verified");
    let seen = host("quarantine", then_looked_at(other)).boot(&ready);
    assert_eq!(seen.state("workload.service"), "active");
    assert_eq!(LOCKED_DOWN.count(&seen.journal), 1, "{}", seen.journal);
    assert_eq!(seen.status["lockdown"]["is_enforced"], true);
}

#[test]
fn privileged_locked_package_managers_refuse_with_the_immutable_image_message() {
    let look = "for path in $PATH /sbin:/bin:/usr/sbin:/usr/bin; do export PATH=$path; \
                apt install x 2>&1; echo $?; apt-get -y update 2>&1; echo $?; done; \
                pip3 install x 2>&1; echo $?; dpkg --print-architecture; dpkg -s earmark-agent | head -n 1; \
                apt --version | cut -c 1-4; /usr/bin/apt-get --help | cut -c 1-4 | head -n 1";
    let said = |lock: &str| {
        let open = "packages = \"allow\"";
        let locks = NO_LOCKS.replace(open, &format!("packages = \"{lock}\""));
        // The control would look for a network that there is not.
        let no_sources = |image: &Overlay| fs::write(image.at("etc/apt/sources.list"), "").unwrap();
        let host = Host::declared("report", &locks, no_sources);
        host.boot_and_look(READY, look).looked
    };
    let answer = |name: &str| {
        let line = IMMUTABLE_IMAGE.of(&[name, "host 1.0"]).text();
        format!("{line}\n13\n")
    };
    let twice = (answer("apt") + &answer("apt-get")).repeat(2);
    let asked = "amd64\nPackage: earmark-agent\napt \napt \n";
    assert_eq!(said("deny"), twice + &answer("pip3") + asked);

    let open = said("allow");
    for name in ["apt", "apt-get", "pip3"] {
        IMMUTABLE_IMAGE
            .of(&[name, "host 1.0"])
            .must_not_be_in(&open);
    }
    assert!(open.contains("Unable to locate package x\n100\n"), "{open}");
    assert!(
        open.ends_with(&format!("pip3: command not found\n127\n{asked}")),
        "{open}"
    );
}

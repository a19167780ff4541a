//! Break-glass on a machine with every lock: a grant opens what it names, after a reboot again, and nothing
//! else; when its time is over all is shut.

use std::fs;

use earmark_tests::{
    boot::{Boot, Disk, QUARANTINE, Sealing, Seen, image},
    program, run,
};

/// Every lock, as it is if nothing is declared.
const LOCKED: Sealing = Sealing {
    name: "granted",
    rest: "[lockdown]\n",
    ..QUARANTINE
};
/// Product UUID in the machine's firmware, which is its instance id.
const INSTANCE: &str = "6b1f0c52-3a57-4c0e-9d56-0123456789ab";
const DEVICES: &str = "-uuid 6b1f0c52-3a57-4c0e-9d56-0123456789ab";

/// The server, a sealed place, and what the agent says of the locks.
const SHOW: &str = r#"
show() {
    step $1-ssh systemctl is-active ssh.service
    step $1-write sh -c 'touch /etc/written && rm /etc/written'
    step $1-apt systemctl is-enabled apt-daily.timer
    step $1-locks earmark-agent lockdown --check
}
looked() {
    for try in 1 2; do
        while [ "$(systemctl is-active earmark-lockdown-again.service)" = activating ]; do sleep 1; done
        systemctl start earmark-grants.service
    done
}
until_is() { for try in $(seq 300); do [ "$(systemctl is-active $2)" != "$1" ] || return 0; sleep 1; done; }
"#;

fn boot(disk: &Disk<'_>, look: &str) -> Seen {
    let boot = Boot {
        devices: DEVICES,
        look: &format!("{SHOW}{look}"),
        ..Boot::default()
    };
    disk.boot(&boot).settled()
}

#[track_caller]
fn must_be_open(seen: &Seen, when: &str) {
    let step = |name: &str| seen.step(&format!("{when}-{name}"));
    assert_eq!(step("ssh").out.trim(), "active", "{when}");
    assert_eq!(step("write").code, 0, "{when}: {}", step("write").err);
    let locks = step("locks");
    assert_eq!(locks.code, 0, "{when}: {}", locks.out);
    for lock in ["filesystems", "remote_access"] {
        let line = locks.out.lines().find(|line| line.starts_with(lock));
        assert!(
            line.is_some_and(|line| line.contains("OPEN BY A GRANT")),
            "{when}: {}",
            locks.out
        );
    }
    assert_eq!(step("apt").out.trim(), "masked-runtime", "{when}");
}

#[track_caller]
fn must_be_shut(seen: &Seen, when: &str) {
    let step = |name: &str| seen.step(&format!("{when}-{name}"));
    assert_ne!(step("ssh").out.trim(), "active", "{when}");
    assert_ne!(step("write").code, 0, "{when}");
    let locks = step("locks");
    assert_eq!(locks.code, 0, "{when}: {}", locks.out);
    assert!(!locks.out.contains("GRANT"), "{when}: {}", locks.out);
}

#[test]
fn vm_grant_opens_its_locks_across_a_reboot_and_closes_when_expired() {
    let disk = Disk::new(image(), &LOCKED, LOCKED.name);
    // The image is made with the disk, and so is the key.
    disk.change(|root| {
        let grant = root.join("srv/data/grant.json");
        fs::create_dir_all(grant.parent().unwrap()).unwrap();
        let words =
            "grant --lock remote_access --lock filesystems --for 4h --image host --instance";
        let words = words.split(' ').map(str::to_owned).chain([
            INSTANCE.to_owned(),
            "--key".to_owned(),
            image().grant_key(&LOCKED).display().to_string(),
            "--out".to_owned(),
            grant.display().to_string(),
        ]);
        run(program("earmark"), words, None).must(0);
    });

    let first = boot(
        &disk,
        "show before\ncp /srv/data/grant.json /run/earmark/grants/\nuntil_is active ssh.service\nshow granted\n",
    );
    must_be_shut(&first, "before");
    must_be_open(&first, "granted");

    let second = boot(
        &disk,
        "until_is active ssh.service\nshow again\ndate -s '+5 hours'\n\
         looked\nshow over\n\
         cp /srv/data/grant.json /run/earmark/grants/\nlooked\nshow replayed\n\
         step taints earmark-agent status\n",
    );
    must_be_open(&second, "again");
    must_be_shut(&second, "over");
    must_be_shut(&second, "replayed");
    let status = second.step("taints").out;
    assert!(status.contains("TAINTED"), "{status}");
}

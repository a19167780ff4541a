//! A real boot of a sealed Debian on aarch64, from UEFI firmware on: as it was signed, and with a bit of it changed.

use std::{fs, os::unix::fs::FileExt};

use earmark_tests::boot::{ARM_UUID, ArmHost, Seen};

const TAMPERED: &str = "etc/login.defs";
/// Units that a verified host starts, and no other one.
const WORK: [&str; 4] = [
    "console-getty.service",
    "earmark-ready.target",
    "multi-user.target",
    "workload.service",
];

fn processes(seen: &Seen) -> String {
    seen.step("processes").must(0).out + "\n"
}

#[test]
fn vm_arm64_host_boots_to_verified_and_a_changed_bit_quarantines_it() {
    let host = ArmHost::new("quarantine");
    let seen = host.boot("clean").settled();
    let status = seen.status();
    assert_eq!(
        status["verdict"], "verified",
        "{status:#}\n{}",
        seen.console
    );
    assert_eq!(status["image"]["architecture"], "aarch64");
    assert_eq!(status["gate"], "full");
    assert!(seen.violations().is_empty(), "{status:#}");
    assert_eq!(seen.step("machine").must(0).out.trim(), "aarch64");
    for unit in WORK {
        assert!(seen.is_active(unit), "{unit}: {}", seen.steps.0);
    }
    assert!(!seen.has_started("earmark-quarantine.target"));
    assert!(processes(&seen).contains("/agetty\n"), "{}", seen.steps.0);
    seen.step("screen").must(0);
    // The firmware's id of the machine reaches the kernel, the agent, and what first boot renders of it.
    let firmware = seen.step("firmware").must(0).out.to_lowercase();
    let lines: Vec<&str> = firmware.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, [ARM_UUID, "earmark"]);
    let id = seen.step("id").must(0).out;
    assert_eq!(id.trim(), format!("instance = {ARM_UUID}"));

    host.change(|root| {
        let mut options = fs::File::options();
        let file = options.read(true).write(true).open(root.join(TAMPERED));
        let file = file.unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 100).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    });
    let seen = host.boot("tampered").settled();
    let status = seen.status();
    assert_eq!(
        status["verdict"], "violated",
        "{status:#}\n{}",
        seen.console
    );
    assert_eq!(seen.violations(), [format!("content /{TAMPERED}")]);
    assert!(seen.is_active("earmark-quarantine.target"));
    for unit in WORK {
        assert!(!seen.has_started(unit), "{unit}: {}", seen.steps.0);
    }
    let processes = processes(&seen);
    for program in ["agetty", "login", "sleep"] {
        assert!(!processes.contains(&format!("/{program}\n")), "{processes}");
    }
    assert!(!seen.console.contains("login:"), "{}", seen.console);
    let said = seen.said();
    assert!(said.iter().any(|line| line.contains(TAMPERED)), "{said:?}");
    assert_eq!(seen.listening(), [""; 0]);
}

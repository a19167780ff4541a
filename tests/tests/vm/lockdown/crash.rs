//! A lockdown that is cut short: by the power, at its start and half-way, and by a signal. What is half
//! open is never told to be shut, and the next boot finishes it.

use std::fs;

use earmark_tests::boot::{Boot, Disk, REPORT, Sealing, image};

use super::{CHECK, open};

/// Under `report`, so that there is a host left to be looked at. A module is loaded when the accounts, the
/// metadata service and the file systems are shut, and before the kernel is.
const INTERRUPTED: Sealing = Sealing {
    name: "interrupted",
    rest: "[lockdown]\nkernel = { modules = [\"virtio_balloon\"] }\n",
    files: &[("usr/sbin/modprobe", MODPROBE, 0o755)],
    // It is a link to the program of many names.
    without: &["usr/sbin/modprobe"],
    ..REPORT
};
/// Loads the module, unless the disk says how this is to end. The kernel asks for others, by other words.
const MODPROBE: &str = "\
#!/bin/sh
[ \"$*\" = '-- virtio_balloon' ] || exit 1
case $(cat /srv/data/interrupt 2> /dev/null) in
    kill) kill -KILL $(systemctl show --property=MainPID --value earmark-lockdown.service) ;;
    wait) echo half-way > /dev/console; sleep 1h ;;
    *) insmod /usr/lib/modules/*/kernel/drivers/virtio/virtio_balloon.ko ;;
esac
";
/// As systemd says on the console that it starts the unit, in as many letters as fit there.
fn is_starting(line: &str) -> bool {
    line.contains("Starting") && line.contains("Lock down this host")
}

#[test]
fn vm_interrupted_lockdown_is_completed_at_the_next_boot() {
    let disk = Disk::new(image(), &INTERRUPTED, "interrupted");
    let interrupt = |how: &str| {
        disk.change(|root| fs::write(root.join("srv/data/interrupt"), how).unwrap());
    };
    let telling = Boot {
        append: "systemd.show_status=1 systemd.log_target=console",
        ..Boot::default()
    };
    let look = format!("step locks {CHECK}\nstep module grep virtio_balloon /proc/modules\n");
    let looking = Boot {
        look: &look,
        ..Boot::default()
    };

    disk.boot_until(&telling, |seen| seen.console.lines().any(is_starting));
    interrupt("wait");
    let waiting = Boot {
        limit: 120,
        until: "false",
        ..Boot::default()
    };
    let waited = disk.boot_until_said(&waiting, "half-way");
    let said = &waited.console;
    assert!(
        said.contains("PARTIAL") && !said.contains("locked down"),
        "{said}"
    );

    interrupt("kill");
    let killed = disk.boot(&looking).settled();
    killed.step("locks").must(13);
    let left = open(&killed, "locks");
    let locks: Vec<&str> = left.iter().map(|(lock, _)| lock.as_str()).collect();
    assert!(
        !locks.is_empty() && locks.iter().all(|lock| *lock == "kernel"),
        "{left:#?}"
    );
    let status = killed.status();
    assert_ne!(status["lockdown"]["is_enforced"], true, "{status:#}");
    for said in [killed.step("screen").out, killed.said().join("\n")] {
        assert!(
            !said.contains("enforced: ") && !said.contains(": locked down"),
            "{said}"
        );
    }

    interrupt("");
    let finished = disk.boot(&looking).settled();
    finished.step("locks").must(0);
    finished.step("module").must(0);
    let status = finished.status();
    assert_eq!(status["lockdown"]["is_enforced"], true, "{status:#}");
    assert_eq!(finished.violations(), [""; 0]);
}

//! Beside cloud-init, on real boots: user-data that is code for it is no code on an image with its
//! switches set, and its own work goes on.

use std::fs;

use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINE, REPORT, Sealing, Seen};

/// What `docs/first-boot.md` says to bake in.
const SWITCHES: (&str, &str, u32) = (
    "etc/cloud/cloud.cfg.d/99-earmark.cfg",
    "allow_userdata: false\nvendor_data: {enabled: false}\nvendor_data2: {enabled: false}\n",
    0o644,
);
/// The other locks are other tests'.
macro_rules! locks {
    ($cloud_init:literal) => {
        concat!(
            "[lockdown]\nremote_access = \"allow\"\npackages = \"allow\"\nfilesystems = \"allow\"\n\
             kernel = \"allow\"\nschedules = \"allow\"\naccounts = \"allow\"\nimds = \"allow\"\n\
             cloud_init = \"",
            $cloud_init,
            "\"\n"
        )
    };
}

/// Under the strictest policy, so that what cloud-init does to the host is as it was signed.
const DENIED: Sealing = Sealing {
    name: "cloud-init-denied",
    files: &[SWITCHES],
    rest: locks!("deny"),
    ..QUARANTINE
};
/// The control. What user-data does to it is a violation, too, which does not stop it.
const ALLOWED: Sealing = Sealing {
    name: "cloud-init-allowed",
    rest: locks!("allow"),
    ..REPORT
};
/// Each way in which user-data brings code, or the means to it.
const HOSTILE: &str = "\
#cloud-config
bootcmd:
  - touch /srv/data/evil-bootcmd
runcmd:
  - touch /srv/data/evil-runcmd
write_files:
  - path: /srv/data/evil-file
    content: evil
users:
  - name: evil
    sudo: ALL=(ALL) NOPASSWD:ALL
";
const META_DATA: &str = "instance-id: i-0123456789abcdef0\nlocal-hostname: from-metadata\n";
const NETWORK: &str = "\
version: 2
ethernets:
  eth0:
    addresses: [192.0.2.7/24]
";
/// By cloud-init, when it is through.
const DONE: &str = "idle && [ -e /run/cloud-init/result.json ]";
const LOOK: &str = "
step evil sh -c 'ls /srv/data; grep ^evil: /etc/passwd'
step log grep -E 'discarding user-data|Running module (growpart|resizefs|set_hostname)' /var/log/cloud-init.log
step hostname cat /proc/sys/kernel/hostname
step network grep -rh 192.0.2.7 /run/systemd/network
step size df --output=size -B1M /
";

/// A network card that keeps the name that the kernel gives it.
const CARD: &str = "-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net";
/// What the disk is made larger by, in MiB: more than what file systems keep for themselves.
const MORE: u64 = 512;

/// As large as every disk here is, in MiB.
const DISK: u64 = 960;

/// What was found on a host.
struct Found {
    evil: String,
    log: String,
    seen: Seen,
}

/// Boots a host that was started with hostile user-data.
#[track_caller]
fn boot(image: &Image, sealing: &Sealing) -> Found {
    let disk = Disk::new(image, sealing, sealing.name);
    disk.change(|root| {
        let seed = root.join("var/lib/cloud/seed/nocloud");
        fs::create_dir_all(&seed).unwrap();
        fs::write(seed.join("user-data"), HOSTILE).unwrap();
        fs::write(seed.join("meta-data"), META_DATA).unwrap();
        fs::write(seed.join("network-config"), NETWORK).unwrap();
    });
    disk.enlarge(MORE);
    let boot = Boot {
        append: "net.ifnames=0",
        devices: CARD,
        until: DONE,
        look: LOOK,
        ..Boot::default()
    };
    let seen = disk.boot(&boot).settled();
    Found {
        evil: seen.step("evil").out,
        log: seen.step("log").out,
        seen,
    }
}

#[test]
fn vm_cloud_init_takes_no_code_from_user_data_and_goes_on_with_its_work() {
    let image = Image::new(Inputs::of_root("EARMARK_ROOT_CLOUD", "images-cloud"));

    let (without, with) = std::thread::scope(|threads| {
        let without = threads.spawn(|| boot(&image, &ALLOWED));
        let with = boot(&image, &DENIED);
        (without.join().expect("the control"), with)
    });
    for evil in ["evil-bootcmd", "evil-runcmd", "evil-file", "evil:"] {
        assert!(without.evil.contains(evil), "{evil}: {}", without.evil);
    }
    assert!(!with.evil.contains("evil"), "{}", with.evil);
    assert!(with.log.contains("discarding user-data"), "{}", with.log);
    assert_eq!(with.seen.violations(), [""; 0]);
    assert!(with.seen.is_active("earmark-ready.target"));
    // And its work is done: the host's name, its network, the whole of its disk.
    for work in ["growpart", "resizefs", "set_hostname"] {
        let line = format!("Running module {work}");
        assert!(with.log.contains(&line), "{work}: {}", with.log);
    }
    let said = |name: &str| with.seen.step(name).must(0).out;
    assert_eq!(said("hostname").trim(), "from-metadata");
    assert!(said("network").contains("192.0.2.7/24"));
    let size: u64 = said("size").lines().nth(1).unwrap().trim().parse().unwrap();
    assert!(size > DISK, "{size} MiB");
}

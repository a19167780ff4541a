//! Debian 13 as it ships, in virtual machines, on EC2 as cloud-init sees it: everything verifies after each of three boots,
//! open and with every lock.

use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINE, REPORT, Sealing};

use crate::stock_host::{LETS_IN, METADATA, TIMERS};

/// With every lock.
const LOCKED: Sealing = Sealing {
    name: "stock-locked",
    profile: "debian-13",
    is_linted: true,
    rest: "[lockdown]\n",
    ..QUARANTINE
};
/// With none, for people who are let in by no account of cloud-init's.
const OPEN: Sealing = Sealing {
    name: "stock-open",
    profile: "debian-13",
    is_linted: true,
    rest: LETS_IN,
    files: &[(
        "etc/cloud/cloud.cfg.d/95-accounts.cfg",
        "users: []\n",
        0o644,
    )],
    ..REPORT
};
/// cloud-init is through.
const DONE: &str = "idle && [ -e /run/cloud-init/result.json ]";

/// The metadata service, as a unit of this boot alone.
fn prepare() -> String {
    let documents: serde_json::Map<String, serde_json::Value> = METADATA
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).into()))
        .collect();
    let documents = serde_json::Value::Object(documents);
    let program = include_str!("../../src/metadata.py");
    format!(
        "mkdir -p /run/metadata /run/systemd/system
cat > /run/metadata/serve.py <<'PYTHON'
{program}
PYTHON
cat > /run/metadata/documents.json <<'JSON'
{documents}
JSON
cat > /run/systemd/system/metadata.service <<'UNIT'
[Unit]
DefaultDependencies=no
Before=cloud-init-local.service network.target
[Service]
ExecStartPre=/usr/sbin/ip link set dev lo up
ExecStartPre=/usr/sbin/ip address add 169.254.169.254/32 dev lo
ExecStart=/usr/bin/python3 /run/metadata/serve.py /run/metadata/documents.json
UNIT
mkdir -p /run/systemd/system/cloud-init-network.service.d
printf '[Unit]\\nWants=metadata.service\\nAfter=metadata.service\\n' > /run/systemd/system/cloud-init-network.service.d/metadata.conf
"
    )
}

#[track_caller]
fn must_stay_verified(image: &Image, sealing: &Sealing, has_sshd: bool) {
    let disk = Disk::new(image, sealing, sealing.name);
    let look = format!(
        "timers() {{ {TIMERS}; }}
step timers timers
step cloud-init cloud-init status --long
step all earmark-agent verify --gate full --json
step locks earmark-agent lockdown --check
"
    );
    let prepare = prepare();
    for boot in 1..=3 {
        let seen = disk
            .boot(&Boot {
                append: "net.ifnames=0",
                prepare: &prepare,
                until: DONE,
                look: &look,
                ..Boot::default()
            })
            .settled();
        let all = seen.step("all");
        let found = all.json()["violations"].clone();
        assert_eq!(found, serde_json::json!([]), "boot {boot}");
        assert_eq!(all.code, 0, "boot {boot}: {}", all.out);
        seen.step("timers").must(0);
        let cloud_init = seen.step("cloud-init").out;
        assert!(cloud_init.contains("DataSourceEc2"), "{cloud_init}");
        let locks = seen.step("locks");
        assert_eq!(locks.code, 0, "boot {boot}: {}", locks.out);
        assert!(seen.is_active("earmark-ready.target"));
        assert_eq!(seen.is_active("ssh.service"), has_sshd, "boot {boot}");
    }
}

#[test]
fn vm_stock_debian_13_verifies_after_each_boot_with_every_lock() {
    let image = Image::new(Inputs::of_root(
        "EARMARK_ROOT_DEBIAN_13",
        "images-debian-13",
    ));
    must_stay_verified(&image, &LOCKED, false);
}

#[test]
fn vm_stock_debian_13_verifies_after_each_boot_with_open_locks() {
    let image = Image::new(Inputs::of_root(
        "EARMARK_ROOT_DEBIAN_13",
        "images-debian-13",
    ));
    must_stay_verified(&image, &OPEN, true);
}

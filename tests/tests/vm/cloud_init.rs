//! Beside cloud-init, on real boots: user-data that is code for it is no code on an image with its
//! switches set, at the first boot and at a later one, and its own work goes on under every lock.

use std::fs;

use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINE, REPORT, Sealing, Seen};

/// Switches of cloud-init that `docs/first-boot.md` says to bake in: path, text and mode.
const SWITCHES: (&str, &str, u32) = (
    "etc/cloud/cloud.cfg.d/99-earmark.cfg",
    "allow_userdata: false\nvendor_data: {enabled: false}\nvendor_data2: {enabled: false}\n",
    0o644,
);
/// And cloud-init's own modules without `ssh`, which gives root a file of keys that log nobody in.
const MODULES: (&str, &str, u32) = (
    "etc/cloud/cloud.cfg.d/95-modules.cfg",
    "cloud_init_modules: [migrator, seed_random, bootcmd, write-files, growpart, resizefs, disk_setup, \
     mounts, set_hostname, update_hostname, update_etc_hosts, ca-certs, rsyslog, users-groups]\n",
    0o644,
);

/// Under every lock and the strictest policy, so that what cloud-init does to the host is as it was signed.
const DENIED: Sealing = Sealing {
    name: "cloud-init-denied",
    files: &[SWITCHES, MODULES],
    rest: "[lockdown]\n",
    ..QUARANTINE
};
/// The control. What user-data does to it is a violation, too, which does not stop it.
const ALLOWED: Sealing = Sealing {
    name: "cloud-init-allowed",
    ..REPORT
};
/// Each way in which user-data brings code, or the means to it, in one document; `@` is the boot that it
/// is for.
const HOSTILE: &str = r#"Content-Type: multipart/mixed; boundary="part"
MIME-Version: 1.0

--part
Content-Type: text/cloud-boothook

#!/bin/sh
touch /srv/data/evil-@-boothook
--part
Content-Type: text/x-shellscript

#!/bin/sh
touch /srv/data/evil-@-script
--part
Content-Type: text/cloud-config

#cloud-config
bootcmd:
  - touch /srv/data/evil-@-bootcmd
runcmd:
  - touch /srv/data/evil-@-runcmd
write_files:
  - path: /srv/data/evil-@-file
    content: evil
users:
  - name: evil-@
    sudo: ALL=(ALL) NOPASSWD:ALL
--part--
"#;
const WAYS: [&str; 6] = [
    "evil-@-boothook",
    "evil-@-script",
    "evil-@-bootcmd",
    "evil-@-runcmd",
    "evil-@-file",
    "evil-@:",
];
const HARMLESS: &str = "#cloud-config\n{}\n";
/// On the console, when cloud-init knows the instance.
const KNOWN: &str = "running 'modules:config'";
const NETWORK: &str = "\
version: 2
ethernets:
  eth0:
    addresses: [192.0.2.7/24]
";
/// By cloud-init, when it is through.
const DONE: &str = "idle && [ -e /run/cloud-init/result.json ]";
const LOOK: &str = "
step evil sh -c 'ls /srv/data; grep ^evil /etc/passwd'
step log grep -E 'discarding user-data|Running module (growpart|resizefs|set_hostname)' /var/log/cloud-init.log
step hostname cat /proc/sys/kernel/hostname
step network grep -rh 192.0.2.7 /run/systemd/network
step size df --output=size -B1M /
step locks earmark-agent lockdown --check
";
/// Somebody's package for the system's own Python, and no index to ask.
const PIP: &str = r"
cat > /tmp/wheel.py <<PYTHON
import zipfile
about = 'evil-1.dist-info/'
with zipfile.ZipFile('/tmp/evil-1-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('evil.py', '')
    wheel.writestr(about + 'METADATA', 'Metadata-Version: 2.1\nName: evil\nVersion: 1\n')
    wheel.writestr(about + 'WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(about + 'RECORD', '')
PYTHON
step wheel python3 /tmp/wheel.py
step pip sh -c 'python3 $(echo /usr/share/python-wheels/pip-*.whl)/pip install --no-index --no-deps --no-cache-dir --break-system-packages /tmp/evil-1-py3-none-any.whl'
";

/// Upkeep of a network and a clock as long as a host runs: a lease, the same again from what is kept of it,
/// and another time. `restrict=on` leaves QEMU's DHCP.
const UPKEEP: &str = r"
lease() { dhclient -1 -4 -lf /var/lib/dhcp/eth0.leases -pf /run/dhclient.pid eth0 && ip -4 -o address show dev eth0 | grep 'inet 10.0.2.'; }
step lease lease
step renewed sh -c 'kill $(cat /run/dhclient.pid); sleep 1; grep -c 10.0.2. /var/lib/dhcp/eth0.leases'
step again lease
step clock sh -c 'date -s +1min'
";

/// A server of time, a day ahead, and the service that asks it. It keeps the time that it was told in its
/// own directory of state.
const TIME: &str = r"
cat > /tmp/time.py <<PYTHON
import socket, struct, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 123))
while True:
    asked, who = server.recvfrom(1024)
    now = struct.pack('!II', int(time.time()) + 2208988800 + 86400, 0)
    head = struct.pack('!BBbbii4s', 0x24, 1, 4, -20, 0, 0, b'TEST')
    server.sendto(head + now + asked[40:48] + now + now, who)
PYTHON
synchronized() {
  mkdir -p /run/systemd/timesyncd.conf.d
  printf '[Time]\nNTP=127.0.0.1\n' > /run/systemd/timesyncd.conf.d/test.conf
  rm -f /run/systemd/timesync/synchronized
  before=$(date +%s)
  python3 /tmp/time.py & server=$!
  systemctl restart systemd-timesyncd
  for i in $(seq 60); do [ -e /run/systemd/timesync/synchronized ] && break; sleep 1; done
  kill $server
  systemctl status --no-pager --lines=5 systemd-timesyncd
  [ $(date +%s) -gt $((before + 80000)) ] && [ $(stat -c %Y /var/lib/systemd/timesync/clock) -gt $((before + 80000)) ]
}
step time synchronized
";

/// A network card that keeps the name that the kernel gives it.
const CARD: &str = "-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net";
/// Growth of the disk, in MiB: more than what file systems keep for themselves.
const MORE: u64 = 512;

/// As large as every disk here is, in MiB.
const DISK: u64 = 960;

/// Findings on a host: output of the steps `evil` and `log`, and the boot.
struct Found {
    evil: String,
    log: String,
    host: Seen,
}

/// Starts a host with this user-data: as another instance, or what cloud-init knows already would count.
fn start(disk: &Disk, instance: &str, user_data: &str) {
    disk.change(|root| {
        let at = root.join("var/lib/cloud/seed/nocloud");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("user-data"), user_data).unwrap();
        let name = format!("instance-id: {instance}\nlocal-hostname: from-metadata\n");
        fs::write(at.join("meta-data"), name).unwrap();
        fs::write(at.join("network-config"), NETWORK).unwrap();
    });
}

fn boot(look: &str) -> Boot<'_> {
    Boot {
        append: "net.ifnames=0",
        devices: CARD,
        until: DONE,
        look,
        ..Boot::default()
    }
}

#[track_caller]
fn found(disk: &Disk, look: &str) -> Found {
    let host = disk.boot(&boot(&format!("{LOOK}{look}"))).settled();
    Found {
        evil: host.step("evil").out,
        log: host.step("log").out,
        host,
    }
}

/// The control: a host that had nothing to do with such user-data until it was started again.
#[track_caller]
fn without_a_lock(image: &Image) -> Found {
    let disk = Disk::new(image, &ALLOWED, ALLOWED.name);
    start(&disk, "i-0123456789abcdef0", HARMLESS);
    let known = disk.boot_until_said(&boot(""), KNOWN);
    assert!(!known.console.contains("evil"), "{}", known.console);
    start(&disk, "i-0fedcba9876543210", &HOSTILE.replace('@', "again"));
    found(&disk, PIP)
}

/// A host with hostile user-data at its first boot, and with another one at the next.
#[track_caller]
fn with_every_lock(image: &Image) -> [Found; 2] {
    let disk = Disk::new(image, &DENIED, DENIED.name);
    disk.enlarge(MORE);
    start(&disk, "i-0123456789abcdef0", &HOSTILE.replace('@', "first"));
    let first = found(&disk, "");
    start(&disk, "i-0fedcba9876543210", &HOSTILE.replace('@', "again"));
    [first, found(&disk, &format!("{PIP}{UPKEEP}{TIME}"))]
}

#[test]
fn vm_cloud_init_runs_no_user_data_code_and_still_configures_the_host() {
    let image = Image::new(Inputs::of_root("EARMARK_ROOT_CLOUD", "images-cloud"));

    let (without, with) = std::thread::scope(|threads| {
        let without = threads.spawn(|| without_a_lock(&image));
        let with = with_every_lock(&image);
        (without.join().expect("the control"), with)
    });
    for way in WAYS {
        let evil = way.replace('@', "again");
        assert!(without.evil.contains(&evil), "{evil}: {}", without.evil);
    }
    for found in &with {
        assert_eq!(found.evil.trim(), "workload", "{}", found.evil);
        assert!(found.log.contains("discarding user-data"), "{}", found.log);
        assert_eq!(found.host.violations(), [""; 0]);
        assert!(found.host.is_active("earmark-ready.target"));
        let locks = found.host.step("locks");
        assert_eq!(locks.code, 0, "{}", locks.out);
    }

    // And its work is done: the host's name, its network, the whole of its disk.
    let [with, again] = &with;
    for work in ["growpart", "resizefs", "set_hostname"] {
        let line = format!("Running module {work}");
        assert!(with.log.contains(&line), "{work}: {}", with.log);
    }
    let said = |name: &str| with.host.step(name).must(0).out;
    assert_eq!(said("hostname").trim(), "from-metadata");
    assert!(said("network").contains("192.0.2.7/24"));
    let size: u64 = said("size").lines().nth(1).unwrap().trim().parse().unwrap();
    assert!(size > DISK, "{size} MiB");

    for upkeep in ["lease", "renewed", "again", "clock", "time"] {
        again.host.step(upkeep).must(0);
    }

    // No package manager of a language's own, either.
    for found in [&without, again] {
        found.host.step("wheel").must(0);
    }
    without.host.step("pip").must(0);
    let pip = again.host.step("pip");
    let is_refused = ["Read-only file system", "immutable image"].map(|why| pip.out.contains(why));
    assert!(pip.code != 0 && is_refused.contains(&true), "{}", pip.out);
}

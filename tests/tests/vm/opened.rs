//! The gate `critical` covers what a boot on a kernel of its own opens before the host is ready, by that
//! kernel's own record: what a container has none of, too, such as devices, modules and a disk to check.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::MetadataExt,
    path::Path,
};

use earmark_manifest::path::ImagePath;
use earmark_tests::{
    boot::{Boot, Disk, Image, Inputs, REPORT, Sealing},
    container::CLOUD_INIT_ALONE,
};
use tempfile::NamedTempFile;

use crate::critical::uncovered;

/// Masks that stay: they keep a host from waiting for a network that there is none of, and from changing packages.
const MASKED: [&str; 3] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "systemd-networkd-wait-online.service",
];
/// A root that is checked and then mounted again for writing, as installers write it.
const FSTAB: (&str, &str, u32) = (
    "etc/fstab",
    "/dev/vda / ext4 errors=remount-ro 0 1\n",
    0o644,
);
/// Says when the host was ready, once it is.
const SAY: (&str, &str, u32) = (
    "etc/systemd/system/workload.service.d/say.conf",
    "[Service]\nExecStartPre=/bin/sh -c 'systemctl show --property=ActiveEnterTimestampMonotonic earmark-ready.target > /dev/ttyS2'\n",
    0o644,
);
const READY: &str = "ActiveEnterTimestampMonotonic=";
/// Whatever else waits for the processor, it takes the time of an event first. The root is not writable yet, as any other
/// initrd leaves it: it is checked first.
const TRACE: &str = "
chrt --fifo 1 trace /root /tracing > /dev/ttyS2 2>&1 &
until [ -e /tracing ]; do sleep 0.05; done
mount -o remount,ro /root
";
/// Run before a host of stock units is ready, and in no container.
const DEVICES: [&str; 3] = ["/usr/bin/kmod", "/usr/bin/udevadm", "/usr/sbin/e2fsck"];

/// The agent itself reads no content: what it opens would be all of the critical set.
fn stock(image: &Image, files: &'static [(&'static str, &'static str, u32)]) -> Sealing {
    let mut masks: Vec<&'static str> = Vec::new();
    for directory in ["etc/systemd/system", "etc/systemd/system-generators"] {
        let Ok(found) = fs::read_dir(image.baked().join(directory)) else {
            continue;
        };
        for entry in found.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let is_mask = fs::read_link(entry.path()).is_ok_and(|to| to == Path::new("/dev/null"));
            if is_mask && !MASKED.contains(&&*name) {
                masks.push(format!("{directory}/{name}").leak());
            }
        }
    }
    Sealing {
        name: "opened",
        gate: "signature",
        files,
        without: masks.leak(),
        ..REPORT
    }
}

/// The tracer's lines: when each file was opened first, by inode; and when the host was ready, which comes
/// among them.
fn read(log: &str) -> (Vec<(u64, u64)>, Option<u64>) {
    // Its last line may be half a line.
    let lines = log.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
    let (mut opened, mut ready) = (Vec::new(), None);
    for line in lines.map(str::trim_end) {
        if let Some(time) = line.strip_prefix(READY) {
            ready = Some(time.parse().expect("a time"));
            continue;
        }
        let (micros, inode) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{line}"));
        opened.push((number(micros), number(inode)));
    }
    (opened, ready)
}

/// Each name of each regular file, by inode.
fn names(root: &Path) -> BTreeMap<u64, Vec<ImagePath>> {
    let mut names: BTreeMap<u64, Vec<ImagePath>> = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_file() {
                let within = path.strip_prefix(root).unwrap().as_os_str();
                let name = ImagePath::from_relative(within.as_encoded_bytes()).unwrap();
                names.entry(metadata.ino()).or_default().push(name);
            }
        }
    }
    names
}

#[track_caller]
fn files_opened_before_ready_are_in_the_critical_set(
    image: &Image,
    name: &str,
    files: &'static [(&'static str, &'static str, u32)],
    programs: &[&str],
) {
    let disk = Disk::new(image, &stock(image, files), name);
    let log = NamedTempFile::new().unwrap();
    let tracer = env::current_exe().unwrap();
    let tracer = tracer.ancestors().nth(2).unwrap().join("examples/trace");
    assert!(
        tracer.is_file(),
        "'{}' is not built: run `cargo xtask test`",
        tracer.display()
    );
    let devices = format!(
        "-serial file:{} -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net",
        log.path().display()
    );
    let boot = Boot {
        append: "ro",
        devices: &devices,
        programs: &["/usr/bin/chrt", tracer.to_str().unwrap()],
        prepare: TRACE,
        only: true,
        ..Boot::default()
    };
    let said = || read(&String::from_utf8_lossy(&fs::read(log.path()).unwrap()));
    disk.boot_until(&boot, |_| {
        // Events come in order: with one after it, none from before it is missing.
        let (opened, ready) = said();
        ready.is_some_and(|ready| opened.last().is_some_and(|(micros, _)| *micros > ready))
    });

    let (opened, ready) = said();
    let before = opened.iter().filter(|(micros, _)| Some(*micros) <= ready);
    let (names, stored) = disk.change(|root| {
        let tree = fs::read(root.join("usr/lib/earmark/seal/tree.zst")).unwrap();
        (names(root), tree)
    });
    let opened: BTreeSet<ImagePath> = before
        .filter_map(|(_, inode)| names.get(inode))
        .flatten()
        .cloned()
        .collect();
    assert!(opened.len() > 300, "{name}: {}", opened.len());
    for program in DEVICES.iter().chain(programs) {
        let path = ImagePath::from_relative(&program.as_bytes()[1..]).unwrap();
        assert!(opened.contains(&path), "{name}: {program} did not run");
    }
    assert_eq!(uncovered(&stored, &opened, None), [""; 0], "{name}");

    // The controls: a rule that is not there is missed.
    for rule in [
        "/usr/bin/**",
        "/usr/lib/modules/**",
        "/usr/lib/systemd/**",
        "/usr/lib/udev/**",
        "/usr/lib/*/lib*.so*",
    ] {
        let missed = uncovered(&stored, &opened, Some(rule));
        assert!(!missed.is_empty(), "{name}: {rule}");
    }
}

#[test]
fn vm_files_that_debian_12_opens_before_ready_are_in_the_critical_set() {
    let image = Image::new(Inputs::of_root("EARMARK_ROOT_CLOUD", "images-cloud"));
    let files = &[
        FSTAB,
        SAY,
        (
            "var/lib/cloud/seed/nocloud/meta-data",
            "instance-id: i-0123456789abcdef0\n",
            0o644,
        ),
        (
            "var/lib/cloud/seed/nocloud/user-data",
            "#cloud-config\n{}\n",
            0o644,
        ),
    ];
    files_opened_before_ready_are_in_the_critical_set(
        &image,
        "opened-12",
        files,
        &["/usr/bin/cloud-init"],
    );
}

#[test]
fn vm_files_that_debian_13_opens_before_ready_are_in_the_critical_set() {
    let image = Image::new(Inputs::of_root(
        "EARMARK_ROOT_DEBIAN_13",
        "images-debian-13",
    ));
    files_opened_before_ready_are_in_the_critical_set(
        &image,
        "opened-13",
        &[FSTAB, SAY, CLOUD_INIT_ALONE],
        &[
            "/usr/bin/cloud-init",
            "/usr/sbin/apparmor_parser",
            "/usr/sbin/lvm",
        ],
    );
}

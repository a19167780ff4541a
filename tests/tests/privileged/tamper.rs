//! Changes that only root can make, each with its control.

mod doubts;
mod meanwhile;
mod mounts;

use std::{
    fs,
    os::unix::fs::{chown, lchown},
    path::Path,
};

use earmark_tests::{Bench, run};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// A root with everything that only root can put there: owners, devices, capabilities, ACLs.
pub(crate) fn unsealed() -> Bench {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
    let bench = Bench::new();
    let at = |path: &str| bench.root().join(path);
    node(&at("opt/null"), FileType::CharacterDevice, (1, 3));
    node(&at("opt/disk"), FileType::BlockDevice, (7, 0));
    node(&at("opt/pipe"), FileType::Fifo, (0, 0));
    node(&at("opt/socket"), FileType::Socket, (0, 0));
    chown(at("etc/shadow"), Some(0), Some(42)).unwrap();
    tool("setcap", &["cap_net_raw+ep", "usr/bin/web"], &bench);
    tool("setfacl", &["-m", "u:1000:r", "etc/shadow"], &bench);
    tool("setfacl", &["-d", "-m", "g:1000:rx", "etc/cron.d"], &bench);
    tool(
        "setfattr",
        &[
            "-n",
            "security.selinux",
            "-v",
            "system_u:object_r:bin_t:s0",
            "usr/bin/helper",
        ],
        &bench,
    );
    bench
}

fn node(path: &Path, file_type: FileType, (major, minor): (u32, u32)) {
    mknodat(
        CWD,
        path,
        file_type,
        Mode::from_raw_mode(0o600),
        makedev(major, minor),
    )
    .unwrap();
}

fn replace_node(path: &Path, file_type: FileType, device: (u32, u32)) {
    fs::remove_file(path).unwrap();
    node(path, file_type, device);
}

fn tool(program: &str, args: &[&str], bench: &Bench) {
    run(program, args, Some(&bench.root())).must(0);
}

pub(crate) type Tamper = fn(&Bench);

pub(crate) const CASES: &[(&str, Tamper, &str)] = &[
    (
        "owner",
        |bench| chown(bench.root().join("usr/bin/web"), Some(1000), None).unwrap(),
        "owner /usr/bin/web",
    ),
    (
        "group",
        |bench| chown(bench.root().join("etc/shadow"), None, Some(43)).unwrap(),
        "owner /etc/shadow",
    ),
    (
        "owner of a directory",
        |bench| chown(bench.root().join("etc"), Some(1000), None).unwrap(),
        "owner /etc",
    ),
    (
        "owner of a link",
        |bench| lchown(bench.root().join("bin"), Some(1000), None).unwrap(),
        "owner /bin",
    ),
    (
        "owner of a mutable file",
        |bench| chown(bench.root().join("etc/resolv.conf"), Some(1000), None).unwrap(),
        "owner /etc/resolv.conf",
    ),
    (
        "capability added",
        |bench| tool("setcap", &["cap_sys_admin+ep", "usr/lib/large"], bench),
        "xattr /usr/lib/large",
    ),
    (
        "capability raised",
        |bench| {
            tool(
                "setcap",
                &["cap_net_raw,cap_sys_admin+ep", "usr/bin/web"],
                bench,
            );
        },
        "xattr /usr/bin/web",
    ),
    (
        "capability removed",
        |bench| tool("setcap", &["-r", "usr/bin/web"], bench),
        "xattr /usr/bin/web",
    ),
    (
        "capability on a mutable file",
        |bench| tool("setcap", &["cap_net_raw+ep", "etc/resolv.conf"], bench),
        "xattr /etc/resolv.conf",
    ),
    (
        "ACL changed",
        |bench| tool("setfacl", &["-m", "u:1001:r", "etc/shadow"], bench),
        "xattr /etc/shadow",
    ),
    (
        "ACL removed",
        |bench| tool("setfacl", &["-x", "u:1000", "etc/shadow"], bench),
        "xattr /etc/shadow",
    ),
    (
        "default ACL removed",
        |bench| tool("setfacl", &["-k", "etc/cron.d"], bench),
        "xattr /etc/cron.d",
    ),
    (
        "label changed",
        |bench| {
            tool(
                "setfattr",
                &["-n", "security.selinux", "-v", "evil_t", "usr/bin/helper"],
                bench,
            );
        },
        "xattr /usr/bin/helper",
    ),
    (
        "device number",
        |bench| {
            replace_node(
                &bench.root().join("opt/null"),
                FileType::CharacterDevice,
                (1, 1),
            );
        },
        "device /opt/null",
    ),
    (
        "character device made a block device",
        |bench| {
            replace_node(
                &bench.root().join("opt/null"),
                FileType::BlockDevice,
                (1, 3),
            );
        },
        "type /opt/null",
    ),
    (
        "pipe made a socket",
        |bench| replace_node(&bench.root().join("opt/pipe"), FileType::Socket, (0, 0)),
        "type /opt/pipe",
    ),
    (
        "file made a device",
        |bench| {
            replace_node(
                &bench.root().join("usr/bin/web"),
                FileType::CharacterDevice,
                (1, 3),
            );
        },
        "type /usr/bin/web",
    ),
    (
        "seal given to another user",
        |bench| {
            chown(
                bench.root().join("usr/lib/earmark/seal/tree.zst"),
                Some(1000),
                None,
            )
            .unwrap();
        },
        "owner /usr/lib/earmark/seal/tree.zst",
    ),
];

#[test]
fn privileged_every_change_that_needs_root_is_refused_and_named() {
    let sealed = unsealed();
    sealed.seal().must(0);
    for (name, tamper, reported) in CASES {
        let bench = sealed.copy();
        bench.verify().must(0);
        tamper(&bench);
        let run = bench.verify();
        assert_eq!(run.code, 10, "{name}: {}{}", run.out, run.err);
        let violations = run.violations();
        assert!(
            violations.iter().any(|found| found == reported),
            "{name}: {violations:?}"
        );
    }
}

/// The attributes of files that no gate reads are compared all the same.
#[test]
fn privileged_metadata_is_compared_at_the_gate_critical() {
    let sealed = unsealed();
    sealed.seal().must(0);
    for (name, tamper, reported) in CASES {
        let bench = sealed.copy();
        let critical = ["verify", "--gate", "critical", "--root", "root", "--json"];
        assert_eq!(bench.agent(&critical).must(0).json()["verdict"], "partial");
        tamper(&bench);
        let violations = bench.agent(&critical).must(10).violations();
        assert!(
            violations.iter().any(|found| found == reported),
            "{name}: {violations:?}"
        );
    }
}

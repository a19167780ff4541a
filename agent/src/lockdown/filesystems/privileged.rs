//! The lock on real mounts: in namespaces of its own, so that nothing of it is ever seen outside.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use earmark_scan::Root;
use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};

use super::*;
use crate::status::model::LockState;

const INSIDE: &str = "EARMARK_TEST_INSIDE";
const NAME: &str = "lockdown::filesystems::privileged::privileged_lockdown_holds_on_real_mounts";
const DECLARED: &str = "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\n\
    state = [\"/proc\", \"/run\", \"/var/lib/web\", \"/var/log\"]\n\
    mutable = [\"/etc/resolv.conf\"]\n";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "starts itself, and no helper can"
)]
fn privileged_lockdown_holds_on_real_mounts() {
    if let Some(root) = env::var_os(INSIDE) {
        return inside(Path::new(&root));
    }
    let root = tempfile::tempdir().unwrap();
    let words = "--mount --pid --fork --mount-proc --kill-child --propagation private";
    let status = Command::new("unshare")
        .args(words.split(' '))
        .arg(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, root.path())
        .stdin(Stdio::null())
        // Its count of tests is none of ours. What fails is said on the other.
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// A small host, as its first process sees it.
fn boot(root: &Path) {
    let none = MountFlags::empty();
    mount("disk", root, "tmpfs", none, None).unwrap();
    // As systemd has it: what is mounted goes to the namespaces of services.
    mount_change(root, MountPropagationFlags::SHARED).unwrap();
    for directory in [
        "dev",
        "etc",
        "proc",
        "run",
        "usr/bin",
        "var/lib",
        "var/log/inner",
        "var/log/open",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    mount("proc", root.join("proc"), "proc", NO, None).unwrap();
    let flags = MountFlags::NOATIME;
    mount("run", root.join("run"), "tmpfs", flags, None).unwrap();
    mount("inner", root.join("var/log/inner"), "tmpfs", none, None).unwrap();
    fs::write(root.join("etc/resolv.conf"), "old").unwrap();
    for place in ["usr/bin", "run", "var/log", "var/log/inner", "var/log/open"] {
        fs::copy("/bin/busybox", root.join(place).join("busybox")).unwrap();
    }
    rustix::process::chroot(root).unwrap();
    env::set_current_dir("/").unwrap();
}

const NO: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

#[expect(
    clippy::disallowed_methods,
    reason = "whether it is run is the question"
)]
fn runs(program: &str) -> bool {
    match Command::new(program).arg("true").status() {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
        Err(error) => panic!("{program}: {error}"),
    }
}

fn is_read_only(path: &str) -> bool {
    match File::create(path) {
        Ok(_) => fs::remove_file(path).map(|()| false).unwrap(),
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => true,
        Err(error) => panic!("{path}: {error}"),
    }
}

fn mounts() -> usize {
    fs::read_to_string(MOUNTS).unwrap().lines().count()
}

fn inside(root: &Path) {
    boot(root);
    let root = Root::open(Path::new("/")).unwrap();
    let look = Look::new(&root);
    let declaration = Declaration::parse(DECLARED.as_bytes()).unwrap();
    let except = ["/var/log/open".to_owned()];
    let open = || {
        let items = probe(&look, &declaration, &except);
        let open = items.iter().filter(|item| item.state > LockState::Enforced);
        open.map(|item| item.name.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };

    // The control: without the lock all of it works.
    assert_eq!(open(), "/ /dev /etc /usr /var /run /var/log/inner");
    for place in ["/x", "/usr/x", "/etc/x", "/var/log/x"] {
        assert!(!is_read_only(place), "{place}");
    }
    for place in ["/usr/bin", "/run", "/var/log", "/var/log/inner"] {
        assert!(runs(&format!("{place}/busybox")), "{place}");
    }

    // A log that was opened before keeps being written, and a crash leaves half of the work.
    let mut log = File::create("/var/log/messages").unwrap();
    let places = Places::new(&declaration, &except).unwrap();
    let islands = places.islands(&look, Stage::Islands).unwrap();
    let begun = plan(&table(&look).unwrap(), &islands, &places, Stage::Islands);
    perform(&look, &begun[0]).unwrap();
    assert_eq!(prepare(&look, &declaration, &except), [""; 0]);
    let islands = mounts();
    assert_eq!(prepare(&look, &declaration, &except), [""; 0]);
    assert_eq!(mounts(), islands);
    assert!(!is_read_only("/usr/x"));
    assert!(!runs("/var/log/busybox") && !runs("/var/log/inner/busybox") && !runs("/run/busybox"));
    writeln!(log, "more").unwrap();

    // It holds the root open to be written, which is said; nothing else stays open for that.
    let problems = apply(&look, &declaration, &except);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("'/var/log/messages' by"),
        "{problems:?}"
    );
    assert_eq!(open(), "/ /dev /etc /usr /var");
    drop(log);
    assert_eq!(apply(&look, &declaration, &except), [""; 0]);
    assert_eq!(open(), "");
    // What else a mount has, it keeps.
    let table = fs::read_to_string(MOUNTS).unwrap();
    assert!(
        table.contains(" /run rw,nosuid,nodev,noexec,noatime "),
        "{table}"
    );
    // A mutable file can no longer be replaced, and so is an island now.
    assert_eq!(mounts(), islands + 1);
    assert_eq!(apply(&look, &declaration, &except), [""; 0]);
    assert_eq!(mounts(), islands + 1);

    for place in [
        "/x",
        "/usr/x",
        "/etc/x",
        "/var/x",
        "/var/lib/x",
        "/usr/bin/x",
    ] {
        assert!(is_read_only(place), "{place}");
    }
    let (place, errno) = ("/usr/bin/busybox", ErrorKind::ReadOnlyFilesystem);
    let changed = fs::set_permissions(place, fs::Permissions::from_mode(0o4755));
    assert_eq!(changed.unwrap_err().kind(), errno);
    assert_eq!(fs::remove_file(place).unwrap_err().kind(), errno);
    assert_eq!(fs::rename(place, "/usr/bin/x").unwrap_err().kind(), errno);
    let opened = OpenOptions::new().append(true).open(place);
    assert_eq!(opened.unwrap_err().kind(), errno);
    for place in ["/run/x", "/var/log/x", "/var/log/inner/x", "/var/lib/web/x"] {
        assert!(!is_read_only(place), "{place}");
    }
    fs::write("/etc/resolv.conf", "new").unwrap();
    assert!(fs::rename("/run/busybox", "/etc/resolv.conf").is_err());
    assert!(runs("/usr/bin/busybox"));
    assert!(runs("/var/log/open/busybox") && !is_read_only("/var/log/open/x"));
    fs::copy("/usr/bin/busybox", "/var/lib/web/busybox").unwrap();
    for place in ["/run", "/var/log", "/var/log/inner", "/var/lib/web"] {
        assert!(!runs(&format!("{place}/busybox")), "{place}");
    }

    // A grant makes what is sealed writable, and nothing that is writable can be run all the same.
    assert_eq!(super::open(&look, &declaration, &except), [""; 0]);
    for place in ["/x", "/usr/x", "/etc/x"] {
        assert!(!is_read_only(place), "{place}");
    }
    assert!(!runs("/run/busybox") && !runs("/var/lib/web/busybox"));
    assert_eq!(open(), "/ /dev /etc /usr /var");
    assert_eq!(apply(&look, &declaration, &except), [""; 0]);
    assert!(is_read_only("/usr/x"));
    assert_eq!(open(), "");

    // What root can undo is found, and shut again.
    mount_remount("/", MountFlags::BIND, c"").unwrap();
    assert!(!is_read_only("/usr/x"));
    assert_eq!(open(), "/ /dev /etc /usr /var");
    assert_eq!(apply(&look, &declaration, &except), [""; 0]);
    unmount("/var/lib/web", UnmountFlags::empty()).unwrap();
    assert!(is_read_only("/var/lib/web/x"));
    assert_eq!(apply(&look, &declaration, &except), [""; 0]);
    assert!(!is_read_only("/var/lib/web/x") && !runs("/var/lib/web/busybox"));
    fs::create_dir("/run/bin").unwrap();
    mount_bind("/usr/bin", "/run/bin").unwrap();
    mount_remount("/run/bin", MountFlags::BIND | NO, c"").unwrap();
    assert_eq!(open(), "written and run by two mounts");
}

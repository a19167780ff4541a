//! The first root of a virtual machine, in memory.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::version;
use crate::run;

/// Up to the disk. An error anywhere ends init, and with it the machine, before the last lines.
const BEGIN: &str = r#"#!/bin/busybox sh
set -eu
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
while read -r module; do insmod "/modules/$module"; done < /modules/order
tries=0
until [ -b /dev/vda ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
"#;
/// Mounts the disk on `/root`, runs `/script` and switches the machine off.
const SCRIPT: &str = r#"
mount -t ext4 /dev/vda /root
mount -t tmpfs tmpfs /root/run
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount --bind /dev /root/dev
# step NAME COMMAND...: says what the command said and how it ended, for `Console::step`.
step() {
    name=$1
    shift
    code=0
    "$@" > /out 2> /err || code=$?
    echo "=== step $name"
    sed 's/^/out: /' /out
    sed 's/^/err: /' /err
    echo "=== code $name $code"
}
. /script
umount /root/run /root/proc /root/sys /root/dev /root
sync
echo "=== done"
poweroff -f
"#;
/// Hands the machine to the root's own init, with somebody who watches it.
const BOOT: &str = include_str!("../boot/init.sh");
/// The disk, `ext4` and what fs-verity may be asked for, and the network.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "sha512_generic",
    "virtio_net",
];

/// The files of modules of the kernel that is installed in `root`, each after those that it needs.
pub fn modules(root: &Path, names: &[&str]) -> Vec<PathBuf> {
    let (version, base) = (version(root), root.display().to_string());
    let mut files = Vec::new();
    for module in names {
        let shown = run(
            "modprobe",
            ["-d", &base, "-S", &version, "--show-depends", module],
            None,
        );
        for line in shown.must(0).out.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["insmod", path] = words[..] else {
                assert_eq!(words[0], "builtin", "{line}");
                continue;
            };
            let path = PathBuf::from(path);
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    files
}

/// A small root of its own, in memory: busybox, modules, an init script and what a test adds.
#[derive(Debug)]
pub struct Initrd {
    directory: TempDir,
}

impl Initrd {
    /// For the kernel that is installed in `root`.
    pub fn new(root: &Path) -> Self {
        Self::with(root, Path::new("/bin/busybox"), "ttyS1")
    }

    /// The same, with a busybox for the machine of `root`, and the serial port that the observer talks on.
    pub(crate) fn with(root: &Path, busybox: &Path, port: &str) -> Self {
        let initrd = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        for directory in ["bin", "dev", "modules", "proc", "root", "run", "sys"] {
            fs::create_dir(initrd.at(directory)).expect("a directory");
        }
        initrd.add(busybox, "bin/busybox");
        initrd.write("port", port);
        let mut order = Vec::new();
        for path in modules(root, &MODULES) {
            let name = path.file_name().expect("a module").to_owned();
            initrd.add(&path, &format!("modules/{}", name.display()));
            order.push(name);
        }
        let order = order.join(OsStr::new("\n"));
        initrd.write("modules/order", &format!("{}\n", order.display()));
        initrd
    }

    /// Adds a file, which may be run.
    pub fn add(&self, from: &Path, to: &str) {
        fs::copy(from, self.at(to))
            .unwrap_or_else(|error| panic!("failed to copy '{}': {error}", from.display()));
    }

    /// Adds a program of this machine, with the libraries that it needs.
    pub fn program(&self, path: &str) {
        self.add(
            Path::new(path),
            &format!("bin/{}", path.rsplit('/').next().unwrap()),
        );
        for word in run("ldd", [path], None).must(0).out.split_whitespace() {
            if let Some(to) = word.strip_prefix('/') {
                fs::create_dir_all(self.at(to).parent().unwrap()).expect("a directory");
                self.add(Path::new(word), to);
            }
        }
    }

    /// Writes the archive, with the script that init runs.
    pub fn pack(&self, script: &str, to: &Path) {
        self.write("init", &format!("{BEGIN}{SCRIPT}"));
        self.write("script", script);
        self.archive(to);
    }

    /// Writes the archive for a boot of the root's own init. `prepare` runs before that, when the root
    /// is mounted on `/root`; `observe` runs beside it, within the root.
    pub fn pack_boot(&self, prepare: &str, observe: &str, to: &Path) {
        self.write("init", &format!("{BEGIN}{BOOT}"));
        self.write("prepare", prepare);
        self.write("observe", observe);
        self.archive(to);
    }

    fn archive(&self, to: &Path) {
        let pack = format!(
            "find . | cpio --create --format=newc --quiet > '{}'",
            to.display()
        );
        run("sh", ["-euc", &pack], Some(self.directory.path())).must(0);
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.at(path), content).expect("a file of the initrd");
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }
}

//! Virtual machines of Arm's architecture: UEFI firmware starts a boot loader from a disk of its own, as on Graviton.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use super::{Console, Machine, kernel};
use crate::{command, run};

/// Firmware of Debian's package `qemu-efi-aarch64`.
const FIRMWARE: &str = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
/// Boot loader of Debian's package `systemd-boot-efi`, in a root.
const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootaa64.efi";
/// The first UART, where firmware and kernel talk.
pub const CONSOLE: &str = "ttyAMA0";
/// A serial port on the bus, for the observer.
pub const PORT: &str = "ttyS0";

/// A machine to be.
#[derive(Debug)]
pub(crate) struct Arm<'a> {
    /// A raw disk, which keeps what is written: `/dev/vda`.
    pub disk: &'a Path,
    /// See [`boot_disk`].
    pub boot: &'a Path,
    /// The machine's id in its firmware.
    pub uuid: &'a str,
    /// Files that receive what the console and the observer say.
    pub logs: [&'a Path; 2],
    /// Time by which the machine must be off.
    pub deadline: Instant,
}

impl Arm<'_> {
    /// Switches it on.
    pub(crate) fn start(&self) -> Machine {
        let [console, observer] = self.logs;
        fs::File::create(observer).expect("a log");
        let log = fs::File::create(console).expect("a log");
        let drive = |id: &str, path: &Path, more: &str| {
            format!("file={},format=raw,if=none,id={id}{more}", path.display())
        };
        let mut qemu = command(OsStr::new("qemu-system-aarch64"));
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"])
            // The processor of Graviton 2, whose pointers need no authentication, which costs an emulator most.
            .args(["-M", "virt,gic-version=3", "-cpu", "neoverse-n1"])
            .args(["-accel", "tcg,thread=multi", "-m", "1024", "-smp", "1"])
            .args(["-bios", FIRMWARE, "-serial", "stdio"])
            .args(["-drive", &drive("disk", self.disk, "")])
            .args(["-device", "virtio-blk-pci,drive=disk,romfile="])
            .args(["-drive", &drive("boot", self.boot, ",readonly=on")])
            .args(["-device", "virtio-blk-pci,drive=boot,bootindex=1,romfile="])
            .args([
                "-chardev",
                &format!("file,id=observer,path={}", observer.display()),
            ])
            .args(["-device", "pci-serial,chardev=observer"])
            .args(["-uuid", self.uuid])
            .args(["-smbios", "type=1,manufacturer=Earmark,product=virt"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        Machine(
            qemu.spawn()
                .expect("qemu-system-aarch64: run `cargo xtask test`"),
        )
    }

    /// Waits a moment, until the deadline.
    #[track_caller]
    pub(crate) fn pause(&self, what: &str) {
        super::pause_until(self.deadline, what, || self.tail());
    }

    /// Returns the output of console and observer so far.
    pub(crate) fn said(&self) -> [Console; 2] {
        self.logs.map(Console::read)
    }

    /// The end of what it said.
    pub(crate) fn tail(&self) -> String {
        super::tail(self.logs[0])
    }
}

/// A disk from which firmware starts systemd-boot as `BOOTAA64.EFI`, which starts the kernel of `root`.
pub(crate) fn boot_disk(root: &Path, initrd: &Path, line: &str, to: &Path) {
    /// Size of the one partition, in MiB. It starts at 1 MiB.
    const SIZE: u64 = 126;
    let file = fs::File::create(to).expect("a disk");
    file.set_len((SIZE + 2) << 20).expect("a size");
    let entry = to.with_extension("conf");
    let text = format!("title Debian\nlinux /linux\ninitrd /initrd\noptions {line}\n");
    fs::write(&entry, text).expect("a boot entry");
    let loader = to.with_extension("loader");
    fs::write(&loader, "timeout 0\neditor no\n").expect("a configuration");
    let disk = to.display();
    let script = format!(
        "echo 'start=1MiB, size={SIZE}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B' \
             | sfdisk --quiet --label gpt '{disk}'
         mkfs.vfat --offset 2048 -F 32 '{disk}' $(({SIZE} * 1024)) > /dev/null
         export MTOOLS_SKIP_CHECK=1
         mmd -i '{disk}@@1M' ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries"
    );
    run("sh", ["-euc", &script], None).must(0);
    let volume = format!("{disk}@@1M");
    for (from, name) in [
        (root.join(LOADER), "::/EFI/BOOT/BOOTAA64.EFI"),
        (kernel(root), "::/linux"),
        (initrd.to_owned(), "::/initrd"),
        (loader, "::/loader/loader.conf"),
        (entry, "::/loader/entries/debian.conf"),
    ] {
        let words: [PathBuf; 4] = ["-i".into(), volume.clone().into(), from, name.into()];
        run("mcopy", words, None).must(0);
    }
}

//! The kernel's own file systems, and its modules.

use std::{fs::File, path::Path};

use earmark_scan::Root;
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

use crate::console::Console;

/// List of module files in the initrd, in the order in which they are loaded: one name a line.
const MODULES: &str = "/modules/order";
/// Of that list, in bytes.
const BOUND: usize = 64 * 1024;
/// `MODULE_INIT_COMPRESSED_FILE` of `finit_module(2)`: the kernel unpacks the file.
const COMPRESSED: i32 = 4;

/// Mounts what programs need of the kernel, as systemd expects to find it.
pub fn mount_own() -> Result<(), String> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let own = [
        ("proc", "/proc", quiet, None),
        ("sysfs", "/sys", quiet, None),
        ("devtmpfs", "/dev", MountFlags::NOSUID, Some(c"mode=0755")),
        (
            "tmpfs",
            "/run",
            MountFlags::NOSUID | MountFlags::NODEV,
            Some(c"mode=0755,size=20%"),
        ),
    ];
    for (kind, at, flags, data) in own {
        match mount(kind, at, kind, flags, data) {
            // The kernel mounts /dev itself where it is built to.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(format!("failed to mount {kind} on {at}: {errno}")),
        }
    }
    Ok(())
}

/// Loads the modules that the initrd has, in their order.
pub fn load_modules(console: &Console) -> Result<(), String> {
    let at = |path: &str| format!("failed to read {path} of the initrd");
    let own = Root::open(Path::new("/")).map_err(|error| error.to_string())?;
    let path = crate::mounts::image_path(MODULES)?;
    let Some(order) = own
        .read_opt(&path, BOUND)
        .map_err(|error| format!("{}: {error}", at(MODULES)))?
    else {
        return Ok(());
    };
    for name in String::from_utf8_lossy(&order).lines() {
        let path = format!("/modules/{name}");
        let file = File::open(&path).map_err(|error| format!("{}: {error}", at(&path)))?;
        let is_packed = [".xz", ".zst", ".gz"].iter().any(|end| name.ends_with(end));
        let flags = if is_packed { COMPRESSED } else { 0 };
        match rustix::system::finit_module(&file, c"", flags) {
            Ok(()) | Err(Errno::EXIST) => {}
            // A driver for a device that this machine lacks: whether the root is found is what counts.
            Err(errno) => console.say(&format!(
                "failed to load the module {name}: {errno}, ignoring"
            )),
        }
    }
    Ok(())
}

/// Variables of the firmware, mounted as long as this lives. systemd takes words from one of them as from the command line.
#[derive(Debug)]
pub struct FirmwareVariables {
    is_mounted: bool,
}

impl FirmwareVariables {
    const AT: &str = "/sys/firmware/efi/efivars";

    /// Mounts them. Where the kernel has their file system as a module, or no EFI, they stay unseen: the agent reads
    /// them again in the running system.
    pub fn mount() -> Self {
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mounted = mount("efivarfs", Self::AT, "efivarfs", flags, None);
        Self {
            is_mounted: mounted.is_ok(),
        }
    }
}

impl Drop for FirmwareVariables {
    fn drop(&mut self) {
        if self.is_mounted {
            // Still there, it is as good as systemd's own.
            let _ = unmount(Self::AT, UnmountFlags::NOFOLLOW);
        }
    }
}

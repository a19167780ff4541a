//! The ends of an initrd: the root's own init, or no power.

use std::{
    convert::Infallible, env, fs, io::Write, os::unix::process::CommandExt, path::Path,
    process::ExitCode, time::Duration,
};

use earmark_scan::{
    Report, Root,
    initrd::{DIRECTORY, Mounted, RECORD, Record},
};
use rustix::{mount::mount_move, system::RebootCommand};

use crate::{
    console::Console,
    line::Line,
    mounts::{self, ROOT},
};

/// The kernel's file systems, which go with the boot.
const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
/// Until the last line is out: a serial port is slow.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// `RAMFS_MAGIC` and `TMPFS_MAGIC`: the kernel unpacks an initrd into one of them.
const IN_MEMORY: [u64; 2] = [0x8584_58f6, 0x0102_1994];

/// Returns the exit code of a call that is none by the kernel, in an initrd.
pub fn outside_of_an_initrd() -> Option<ExitCode> {
    let is_in_memory = rustix::fs::statfs("/")
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| IN_MEMORY.contains(&kind)));
    if rustix::process::getpid().is_init() && is_in_memory {
        return None;
    }
    let is_version = env::args().nth(1).is_some_and(|word| word == "--version");
    let (text, code) = if is_version {
        (concat!("earmark-init ", env!("CARGO_PKG_VERSION"), "\n"), 0)
    } else {
        (
            "earmark-init: this is the first process of an initrd, and does nothing elsewhere; next: 'earmark initrd \
             build' makes one\n",
            2,
        )
    };
    let _ = if is_version {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
    Some(ExitCode::from(code))
}

/// Leaves the record of the verification for the running agent.
pub fn leave_record(report: Report, mounted: &[Mounted]) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("failed to write {RECORD}: {error}");
    let record = Record::new(report, mounted.to_vec());
    let bytes = serde_json::to_vec_pretty(&record).map_err(|error| wrong(&error))?;
    fs::create_dir(DIRECTORY).map_err(|error| wrong(&error))?;
    // In memory, and read only after the switch: there is no half of it that anybody could see.
    fs::write(RECORD, bytes).map_err(|error| wrong(&error))
}

/// Makes the judged root the root of everything, and runs its init.
pub fn to_root(line: &Line) -> Result<Infallible, String> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| {
        format!("failed to switch to the root: {what}: {error}")
    };
    let root = Root::open(Path::new(ROOT)).map_err(|error| error.to_string())?;
    // Memory that would stay taken as long as the host runs. What remains is a few directories.
    for path in ["/init", "/modules"] {
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    }
    for from in MOVED {
        // A link in the root must not send the kernel's file systems elsewhere.
        mounts::directory(&root, &mounts::image_path(from)?)
            .map_err(|problem| wrong(&format!("{from} of the root"), &problem))?;
        let to = format!("{ROOT}{from}");
        mount_move(from, &*to).map_err(|errno| wrong(&format!("move {from}"), &errno))?;
    }
    rustix::process::chdir(ROOT).map_err(|errno| wrong("chdir", &errno))?;
    mount_move(".", "/").map_err(|errno| wrong("move the root", &errno))?;
    rustix::process::chroot(".").map_err(|errno| wrong("chroot", &errno))?;
    rustix::process::chdir("/").map_err(|errno| wrong("chdir", &errno))?;
    #[allow(
        clippy::disallowed_methods,
        reason = "this process becomes the root's first one: nothing is started beside it"
    )]
    let error = std::process::Command::new(&line.init)
        .args(env::args_os().skip(1))
        .exec();
    Err(wrong(&format!("run {}", line.init.display()), &error))
}

/// Says why, and switches the machine off. It never starts anything in its place.
pub fn power_off(reason: &str) -> ExitCode {
    // Opened now: what failed may be that there was no /dev before.
    let console = Console::open();
    console.say(&format!("REFUSED, powering off: {reason}"));
    rustix::fs::sync();
    std::thread::sleep(LAST_WORDS);
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    // Without ACPI. The end of the first process would be a kernel panic, and `panic=` a reboot into the same.
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

//! Virtual machines: kernels with what the machine's own may lack, under software emulation.
//!
//! A machine is a disk, a kernel of Debian's, an initrd made here, and a script that its init runs.

pub(crate) mod arm64;
mod initrd;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

pub use self::initrd::{Initrd, modules};
use crate::{Run, command, run};

/// Last line on the console of a script that came to its end.
pub(crate) const DONE: &str = "=== done";
/// Quiet, since steps are said on the same line; and an end, not a wait, when the kernel panics.
pub const FAST: &str =
    "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic mitigations=off nokaslr audit=0";
/// The same without the words that take a protection away, which an image has to be signed with.
pub const PLAIN: &str = "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic";

/// The kernel that is installed in `root`.
pub fn kernel(root: &Path) -> PathBuf {
    root.join(format!("boot/vmlinuz-{}", version(root)))
}

fn version(root: &Path) -> String {
    let mut versions: Vec<String> = fs::read_dir(root.join("lib/modules"))
        .expect("a root with a kernel")
        .map(|entry| entry.expect("an entry").file_name().into_string().unwrap())
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    versions.remove(0)
}

/// An ext4 file system of `mib` MiB with the content of `root`, which allows fs-verity.
pub fn disk(root: &Path, to: &Path, mib: u64) {
    disk_with("verity", root, to, mib);
}

/// The same with these features, as `mke2fs -O` takes them.
pub fn disk_with(features: &str, root: &Path, to: &Path, mib: u64) {
    let file = fs::File::create(to).expect("a disk");
    file.set_len(mib << 20).expect("a size");
    let words = format!("-q -t ext4 -b 4096 -O {features} -d");
    let args = words.split(' ').map(OsStr::new);
    run(
        "mke2fs",
        args.chain([root.as_os_str(), to.as_os_str()]),
        None,
    )
    .must(0);
}

/// A virtual machine to be.
#[derive(Debug)]
pub struct Vm<'a> {
    /// A raw disk, which keeps what is written: `/dev/vda`.
    pub disk: &'a Path,
    /// See [`kernel`].
    pub kernel: &'a Path,
    /// See [`Initrd::pack`].
    pub initrd: &'a Path,
    /// First words of the kernel's command line: [`FAST`] or [`PLAIN`].
    pub words: &'a str,
    /// More for the kernel's command line.
    pub append: &'a str,
    /// More for QEMU.
    pub devices: &'a [String],
    /// File that receives the console and keeps it.
    pub log: &'a Path,
    /// Time by which the machine must be off.
    pub deadline: Instant,
}

/// Output of a virtual machine on a serial port.
#[derive(Debug)]
pub struct Console(pub String);

impl Vm<'_> {
    /// Boots, and waits until the script is done and the machine is off.
    #[track_caller]
    pub fn run(&self) -> Console {
        let mut machine = self.start();
        while !machine.has_ended(|| self.tail()) {
            self.pause("end");
        }
        let console = self.console();
        assert!(
            console.0.lines().any(|line| line == DONE),
            "the script did not come to its end: {}",
            self.tail()
        );
        console
    }

    /// Boots, and cuts the power at the moment when the console has the line `at`. What the guest has not written
    /// to its disk by then is lost.
    #[track_caller]
    pub fn cut(&self, at: &str) -> Console {
        let mut machine = self.start();
        while !self.console().0.lines().any(|line| line == at) {
            assert!(!machine.has_ended(|| self.tail()), "{}", self.tail());
            self.pause(at);
        }
        drop(machine);
        self.console()
    }

    /// Switches it on.
    pub(crate) fn start(&self) -> Machine {
        let log = fs::File::create(self.log).expect("a log");
        let mut qemu = command(OsStr::new("qemu-system-x86_64"));
        let drive = format!("file={},format=raw,if=none,id=disk", self.disk.display());
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"])
            // One processor: with two, QEMU 10 aborts now and then while the kernel maps devices
            // (`iotlb_to_section`), and a boot takes no less time.
            .args(["-serial", "stdio", "-m", "1024", "-smp", "1"])
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"])
            .args(["-kernel".as_ref(), self.kernel.as_os_str()])
            .args(["-initrd".as_ref(), self.initrd.as_os_str()])
            .args(["-append", &format!("{} {}", self.words, self.append)])
            .args(self.devices)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log);
        Machine(
            qemu.spawn()
                .expect("qemu-system-x86_64: run `cargo xtask test`"),
        )
    }

    /// Waits a moment, until the deadline.
    #[track_caller]
    pub(crate) fn pause(&self, what: &str) {
        pause_until(self.deadline, what, || self.tail());
    }

    pub(crate) fn console(&self) -> Console {
        Console::read(self.log)
    }

    /// The end of what it said, which is where the failure is.
    pub(crate) fn tail(&self) -> String {
        tail(self.log)
    }
}

#[track_caller]
fn pause_until(deadline: Instant, what: &str, why: impl Fn() -> String) {
    assert!(
        Instant::now() < deadline,
        "the machine took too long to {what}: {}",
        why()
    );
    sleep(Duration::from_millis(50));
}

fn tail(log: &Path) -> String {
    let console = Console::read(log).0;
    let lines: Vec<&str> = console.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    format!("'{}' ends with\n{tail}", log.display())
}

impl Console {
    /// Reads what a serial port has written to its log so far, without carriage returns.
    pub(crate) fn read(log: &Path) -> Self {
        let bytes = fs::read(log).expect("the log");
        Self(String::from_utf8_lossy(&bytes).replace('\r', ""))
    }

    /// Returns the exit code and the output of a step of the script.
    #[track_caller]
    pub fn step(&self, name: &str) -> Run {
        let (begin, end) = (format!("=== step {name}"), format!("=== code {name} "));
        let mut lines = self.0.lines().skip_while(|line| *line != begin).skip(1);
        let (mut out, mut err) = (String::new(), String::new());
        loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("no step {name}: {}", self.0));
            if let Some(code) = line.strip_prefix(&end) {
                let code = code.parse().expect("an exit code");
                return Run { code, out, err };
            }
            let (to, text) = match line.split_at_checked(5) {
                Some(("out: ", text)) => (&mut out, text),
                Some(("err: ", text)) => (&mut err, text),
                _ => panic!("step {name} was disturbed by: {line}"),
            };
            to.push_str(text);
            to.push('\n');
        }
    }
}

/// A virtual machine that is switched off when the test no longer looks at it.
#[derive(Debug)]
pub(crate) struct Machine(Child);

impl Machine {
    /// Returns whether the machine is off. Panics with the text of `why` if QEMU failed.
    #[track_caller]
    pub(crate) fn has_ended(&mut self, why: impl Fn() -> String) -> bool {
        let status = self.0.try_wait().expect("the state of QEMU");
        if let Some(status) = status {
            assert!(status.success(), "QEMU ended with {status}: {}", why());
        }
        status.is_some()
    }

    /// Does something while no instruction of it runs and nothing is written to its disks.
    #[track_caller]
    pub(crate) fn stand_still(&self, meanwhile: impl FnOnce()) {
        let signal = |name: &str| {
            let kill = format!("kill -{name} {}", self.0.id());
            run("sh", ["-c", &kill], None).must(0);
        };
        signal("STOP");
        let stands_still = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // A thread that is gone writes nothing.
            stat.rsplit(") ")
                .next()
                .is_none_or(|rest| rest.is_empty() || rest.starts_with('T'))
        };
        let tasks = format!("/proc/{}/task", self.0.id());
        while !fs::read_dir(&tasks)
            .expect("its threads")
            .flatten()
            .all(stands_still)
        {
            sleep(Duration::from_millis(1));
        }
        meanwhile();
        signal("CONT");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

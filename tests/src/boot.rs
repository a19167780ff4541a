//! Real boots: disks that are baked and sealed as a release is, and what is seen when they boot.

mod arm64;
mod image;
mod seen;
mod units;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub use self::{
    arm64::{ArmHost, UUID as ARM_UUID},
    image::{FORGED, HALT, Image, Inputs, OTHER, QUARANTINE, REPORT, Sealing, make_disk},
    seen::Seen,
};
use crate::{
    run,
    vm::{Console, DONE, FAST, Initrd, Machine, PLAIN, Vm},
};

const OBSERVE: &str = include_str!("boot/observe.sh");
/// Steps of the observer at every boot without [`Boot::only`].
const LOOK: &str = r"
step settled settle
step status cat /run/earmark/status.json
step screen earmark-agent status
step motd cat /run/earmark/motd
step os-release cat /etc/os-release
step states states
step units units earmark-first-boot.service earmark-ready.target earmark-verify.service network-pre.target ssh.service sysinit.target systemd-tmpfiles-setup.service uplink.service workload.service
step started journalctl --boot --quiet --output=json --output-fields=UNIT MESSAGE_ID=39f53479d3a045ac8e11786248231fbf MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5
step listening ss --no-header --listening --numeric --tcp --udp
step processes processes
";
/// So that the disk has it all before the power is cut.
const SYNC: &str = "
journalctl --sync
sync
";
const END: &str = "
echo
echo '=== done'
";

/// Everything that the default target asks for is there.
pub const READY: &str = "idle && systemctl is-active --quiet multi-user.target";
/// Nothing runs but what a quarantined host may run.
pub const QUARANTINED: &str = "idle && systemctl is-active --quiet earmark-quarantine.target";

/// A boot to be.
#[derive(Debug, Clone)]
pub struct Boot<'a> {
    /// First words of the kernel's command line: [`FAST`], or [`PLAIN`] for an image that does not
    /// sign those of [`FAST`].
    pub words: &'a str,
    /// More for the kernel's command line.
    pub append: &'a str,
    /// More for QEMU, split at white space.
    pub devices: &'a str,
    /// Programs of this machine that the initrd has in `/bin`, for `prepare`.
    pub programs: &'a [&'a str],
    /// The initrd of the image itself, in place of one that watches the boot: what is seen is then what the image says
    /// on the second serial port.
    pub initrd: Option<&'a Path>,
    /// Shell of the initrd, with the root on `/root` and what will be its `/run` on `/run`.
    pub prepare: &'a str,
    /// The shell condition that is waited for.
    pub until: &'a str,
    /// Longest wait for `until`, in seconds of the machine's uptime.
    pub limit: u32,
    /// More steps for the observer.
    pub look: &'a str,
    /// Nothing is looked at but that, and the disk is of no use afterwards. An emulated processor looks for
    /// as long as it boots: a test that boots many hosts says what it looks at.
    pub only: bool,
}

impl Default for Boot<'_> {
    fn default() -> Self {
        Self {
            words: FAST,
            append: "",
            devices: "",
            programs: &[],
            initrd: None,
            prepare: "",
            until: READY,
            // Only a test that fails waits so long; a machine with much else to do needs most of it.
            limit: 400,
            look: "",
            only: false,
        }
    }
}

impl Sealing {
    /// A boot of an image that is sealed so, with the words that it signs, or, if it signs none, with those that need no
    /// signature.
    pub fn plain_boot(&self) -> Boot<'static> {
        Boot {
            words: if self.cmdline.is_empty() { PLAIN } else { FAST },
            ..Boot::default()
        }
    }
}

/// A shell condition: READY, and the agent's verdict.
pub fn verdict(word: &str) -> String {
    format!("idle && grep -q '\"verdict\": \"{word}\"' /run/earmark/status.json")
}

/// The image that `cargo xtask test` hands to tests.
pub fn image() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(|| Image::new(Inputs::from_environment()));
    &IMAGE
}

/// A disk of a test's own that has booted once, as it was signed: the control of what is then done to it.
///
/// Each sealing boots once in a program of tests, and whoever asks has a copy of that disk: the same bytes, whose boot was good.
#[track_caller]
pub fn lived(sealing: &Sealing, name: &str) -> Disk<'static> {
    type Once = Arc<OnceLock<PathBuf>>;
    static LIVED: Mutex<BTreeMap<PathBuf, Once>> = Mutex::new(BTreeMap::new());
    // Kept beside what it was made of, and taken away with that.
    let path = image().disk(sealing).with_extension("lived");
    let once = {
        let mut lived = LIVED.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lived.entry(path.clone()).or_default())
    };
    // Where it fails it is kept for nobody: the next test boots it anew, and says so of itself.
    let original = once.get_or_init(|| {
        let disk = Disk::new(image(), sealing, &format!("lived-{}", sealing.name));
        disk.boot(&sealing.plain_boot()).settled().must_be_good();
        // At once: another program of tests may have its own there, and somebody who copies it.
        fs::rename(disk.path(), &path).expect("a disk");
        path
    });
    Disk::copy_of(original, image(), name)
}

/// A disk of a test's own, to boot and to tamper with.
#[derive(Debug)]
pub struct Disk<'a> {
    image: &'a Image,
    name: String,
    directory: TempDir,
    boots: Cell<u32>,
}

impl<'a> Disk<'a> {
    /// A copy of the disk of an image that is sealed so. `name` is for the logs.
    pub fn new(image: &'a Image, sealing: &Sealing, name: &str) -> Self {
        Self::copy_of(&image.disk(sealing), image, name)
    }

    /// A disk with a root of this image, which is moved.
    pub fn moved(original: &Path, image: &'a Image, name: &str) -> Self {
        let disk = Self::empty(image, name);
        fs::rename(original, disk.path()).expect("a disk");
        disk
    }

    /// A copy of a disk with a root of this image.
    pub fn copy_of(original: &Path, image: &'a Image, name: &str) -> Self {
        let disk = Self::empty(image, name);
        let copy = disk.path();
        let words = [
            "--sparse=always".as_ref(),
            original.as_os_str(),
            copy.as_os_str(),
        ];
        run("cp", words, None).must(0);
        disk
    }

    fn empty(image: &'a Image, name: &str) -> Self {
        Self {
            image,
            name: name.to_owned(),
            directory: TempDir::new().expect("a temporary directory"),
            boots: Cell::new(0),
        }
    }

    /// Boots, waits for what is looked for, looks, and cuts the power.
    #[track_caller]
    pub fn boot(&self, boot: &Boot) -> Seen {
        self.watch(boot, |seen, off, _| {
            assert!(!off, "it switched itself off: {}", seen.console);
            seen.steps.0.lines().any(|line| line == DONE)
        })
    }

    /// Boots, and waits until the machine has switched itself off.
    #[track_caller]
    pub fn boot_until_off(&self, boot: &Boot) -> Seen {
        self.watch(boot, |seen, off, _| {
            let done = seen.steps.0.lines().any(|line| line == DONE);
            assert!(!done, "it is still on: {}", seen.console);
            off
        })
    }

    /// Boots, and cuts the power as soon as the console or the observer says `marker`.
    #[track_caller]
    pub fn boot_until_said(&self, boot: &Boot, marker: &str) -> Seen {
        self.boot_until(boot, |seen| {
            seen.console.contains(marker) || seen.steps.0.contains(marker)
        })
    }

    /// Boots, and cuts the power as soon as it has said enough.
    #[track_caller]
    pub fn boot_until(&self, boot: &Boot, enough: impl Fn(&Seen) -> bool) -> Seen {
        self.boot_with(boot, |seen, _| enough(seen))
    }

    /// The same, with the machine at hand.
    #[track_caller]
    pub fn boot_with(&self, boot: &Boot, mut enough: impl FnMut(&Seen, Running) -> bool) -> Seen {
        self.watch(boot, |seen, off, running| {
            assert!(!off, "it switched itself off: {}", seen.console);
            enough(seen, running)
        })
    }

    #[track_caller]
    fn watch(&self, boot: &Boot, mut enough: impl FnMut(&Seen, bool, Running) -> bool) -> Seen {
        self.boots.set(self.boots.get() + 1);
        let logs = self.image.logs();
        let log = |what: &str| logs.join(format!("{}.{}.{what}.log", self.name, self.boots.get()));
        let initrd = self.directory.path().join("initrd");
        let (before, after) = if boot.only {
            ("step settled settle\n", "")
        } else {
            (LOOK, SYNC)
        };
        let observe = format!(
            "LIMIT={}\nsettled() {{ {}; }}\n{OBSERVE}{before}{}{after}{END}",
            boot.limit, boot.until, boot.look
        );
        if boot.initrd.is_none() {
            let packed = Initrd::new(&self.image.root());
            boot.programs.iter().for_each(|path| packed.program(path));
            packed.pack_boot(boot.prepare, &observe, &initrd);
        }
        let observed = log("observer");
        // What it said in a boot before this one is not what it says now.
        fs::File::create(&observed).expect("a log");
        let mut devices = vec!["-serial".to_owned(), format!("file:{}", observed.display())];
        devices.extend(boot.devices.split_whitespace().map(str::to_owned));
        let start = Instant::now();
        let machine = Vm {
            disk: &self.path(),
            kernel: &self.image.kernel(),
            initrd: boot.initrd.unwrap_or(&initrd),
            words: boot.words,
            append: &format!("root=/dev/vda {}", boot.append),
            devices: &devices,
            log: &log("console"),
            // The observer has to say what it saw, too, and this machine may have much else to do.
            deadline: start + 2 * Duration::from_secs(boot.limit.into()) + Duration::from_mins(1),
        };
        let mut running = machine.start();
        loop {
            let off = running.has_ended(|| machine.tail());
            let seen = Seen {
                console: machine.console().0,
                steps: Console::read(&observed),
                took: start.elapsed(),
            };
            if enough(&seen, off, Running(&running)) {
                eprintln!("boot {} {}: {:.1?}", self.name, self.boots.get(), seen.took);
                return seen;
            }
            machine.pause("come to what the test waits for");
        }
    }

    /// Changes the file system, as somebody with the disk in their hands does.
    pub fn change<T>(&self, change: impl FnOnce(&Path) -> T) -> T {
        let at = Mounted::new(&self.path(), &self.directory.path().join("mounted"));
        change(&at.0)
    }

    /// Makes it larger, as somebody does to a volume.
    pub fn enlarge(&self, mib: u64) {
        let disk = fs::File::options().write(true).open(self.path()).unwrap();
        let size = disk.metadata().unwrap().len();
        disk.set_len(size + (mib << 20)).unwrap();
    }

    /// Returns the entries of the journal on the disk that fit `matches`, oldest first.
    pub fn journal(&self, matches: &[&str]) -> Vec<Value> {
        self.change(|root| {
            let directory = format!("--directory={}", root.join("var/log/journal").display());
            let words = [&directory, "--output=json", "--all", "--quiet"];
            let said = run("journalctl", words.iter().chain(matches), None).must(0);
            let entry = |line| serde_json::from_str(line).expect("an entry of the journal");
            said.out.lines().map(entry).collect()
        })
    }

    /// Returns the path of the disk on this machine.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }
}

/// A machine that is on.
#[derive(Debug)]
pub struct Running<'a>(&'a Machine);

impl Running<'_> {
    /// Copies a disk as a power cut would leave it now: the machine stands still meanwhile, and then goes
    /// on as if nothing had been. Each pair is a disk and where its copy goes. Returns how long it took.
    #[track_caller]
    pub fn copy(&self, disks: &[(&Path, &Path)]) -> Duration {
        let start = Instant::now();
        self.0.stand_still(|| {
            for (disk, to) in disks {
                let words = ["--sparse=always".as_ref(), disk.as_os_str(), to.as_os_str()];
                run("cp", words, None).must(0);
            }
        });
        start.elapsed()
    }
}

/// A file system in a file, where it is mounted.
#[derive(Debug)]
struct Mounted(PathBuf);

impl Mounted {
    fn new(disk: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).expect("a directory");
        let words = [
            "-o".as_ref(),
            "loop".as_ref(),
            disk.as_os_str(),
            at.as_os_str(),
        ];
        run("mount", words, None).must(0);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // No assertion: a test that fails while it is mounted says why it failed, not this.
        run("umount", [&self.0], None);
    }
}

//! The whole story on a real, small Debian host: bake, seal, boot, report; tamper, be refused, be seen by its owner.
//! Each step shows its command; a step that does not behave as said ends the demo with an error.

mod fleet;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINED, Seen, make_disk, verdict};
use earmark_tests::vm::PLAIN;

use crate::roots::{self, Kind, SOURCE_DATE_EPOCH};
use crate::run::Run;
use crate::{apt, files, package, tools};

/// As `earmark verify` exits when the root is not the image that was sealed.
const NOT_VERIFIED: i32 = 10;

/// A comment of it: nothing on the host behaves differently. All of `/etc` gates the boot.
const VICTIM: &str = "etc/ssh/sshd_config";

const DECLARATION: &str = r#"# What this image is. A real one lies next to the Packer template and is reviewed like code.
[image]
name = "demo"
epoch = 1
platform = "file"

[tree]
profile = "debian-12"
state = ["/srv/data"]

[boot]
# A word more or less on the kernel's command line is another boot.
cmdline = "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic root=/dev/vda"

[verify]
gate = "critical"
on_failure = "quarantine"

[channel]
url = "file:///srv/data/demo/stable.json"

[report]
to = ["file:///srv/data/reports"]

[lockdown]
# What is not declared here is denied: logins, packages, modules, writes to what is sealed.
"#;

struct Demo {
    programs: PathBuf,
    image: Image,
    dir: PathBuf,
    step: u32,
}

/// Tells the story in `target/earmark/demo`, which is made afresh.
pub fn run() -> Result<()> {
    apt::need(
        &["busybox-static", "cpio", "e2fsprogs", "kmod"],
        "makes the disk and the initrd of a virtual machine",
    )?;
    apt::need_qemu(apt::QEMU_X86, "runs the virtual machine")?;
    let start = Instant::now();
    let mut demo = Demo::bake()?;
    demo.seal()?;
    demo.promote()?;
    demo.boot()?;
    demo.tamper()?;
    demo.boot_tampered()?;
    println!(
        "\nThe demo did what it said, in {} s. The root, the channel and the reports are in {}.",
        start.elapsed().as_secs(),
        demo.dir.display()
    );
    Ok(())
}

impl Demo {
    fn bake() -> Result<Self> {
        println!(
            "\n1. Bake: a small Debian 12 host with a kernel, sshd and a workload (its root is kept, so that \
             only the first run waits), and the agent's package. The agent is part of the image, and is \
             sealed with it."
        );
        // Compilers keep the processors busy, and a mirror the network.
        let (programs, root) = std::thread::scope(|scope| {
            let root = scope.spawn(|| roots::root(Kind::Boot));
            let programs = tools::programs();
            let root = root
                .join()
                .unwrap_or_else(|_| bail!("making the root panicked"));
            (programs, root)
        });
        let (programs, root) = (programs?, root?);
        let state = crate::state_dir()?;
        let image = Image::new(Inputs {
            root,
            packages: package::debs()?,
            programs: programs.clone(),
            cache: state.join("images"),
        });
        let dir = state.join("demo");
        files::remove_tree(&dir)?;
        files::copy(&image.baked(), &dir.join("root"))?;
        Ok(Self {
            programs,
            image,
            dir,
            step: 1,
        })
    }

    fn seal(&mut self) -> Result<()> {
        self.say(
            "Two signing keys: for releases, and for what hosts should run. In real life they stay in CI or in KMS, \
             and never enter the image.",
        );
        for name in ["release.key", "channel.key"] {
            expect(self.earmark("keygen").arg("--out").arg(self.path(name)), 0)?;
        }

        self.say("The trust file: which keys an image believes, for what.");
        let trust = self
            .earmark("trust")
            .arg("--key")
            .arg(self.path("release.pub"));
        let mut channel = self.path("channel.pub").into_os_string();
        channel.push(":channel");
        let trust = trust.arg("--key").arg(channel);
        expect(trust.arg("--out").arg(self.path("trust.toml")), 0)?;

        self.say(
            "The declaration: what this image is, and what a host does that is not this image.",
        );
        let declaration = self.path("earmark.toml");
        fs::write(&declaration, DECLARATION)
            .with_context(|| format!("failed to write \"{}\"", declaration.display()))?;
        for line in DECLARATION.lines() {
            println!("    {line}");
        }

        self.say("Seal: scan every file, sign what was found, install the seal in the root.");
        let seal = self.earmark("seal").arg("--root").arg(self.path("root"));
        let seal = seal
            .arg("--spec")
            .arg(declaration)
            .args(["--version", "1.0.0"]);
        let seal = seal.arg("--key").arg(self.path("release.key"));
        let seal = seal.arg("--trust").arg(self.path("trust.toml"));
        expect(seal.env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH), 0)?;

        self.say("What CI asks before it releases: does the image verify?");
        expect(self.verify(), 0)
    }

    fn boot(&mut self) -> Result<()> {
        self.say("Boot it: its own kernel, its own systemd, on an emulated processor.");
        let until = verdict("verified");
        let disk = self.disk("demo");
        let seen = disk.boot(&Boot {
            words: PLAIN,
            until: &until,
            look: fleet::TOLD,
            ..Boot::default()
        });
        show(&seen);
        status(&seen, 0)?;
        seen.settled().must_be_locked_down();
        println!(
            "    It is ready: the workload runs. The image brings sshd and a console, and nobody can log in."
        );
        self.collect(&disk)?;
        self.say("What its owner sees of it.");
        self.look_at_fleet(0, "1 current")
    }

    fn tamper(&mut self) -> Result<()> {
        self.say(
            "Tamper with the disk: one bit of one byte in a comment. Size, owner and mode stay.",
        );
        let victim = self.path("root").join(VICTIM);
        let file = fs::File::options().read(true).write(true).open(&victim);
        let file = file.with_context(|| format!("failed to open \"{}\"", victim.display()))?;
        let at = fs::read(&victim)?.iter().position(|byte| *byte == b'#');
        let at = u64::try_from(at.context("the file lost its comments")?)? + 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        println!(
            "    /{VICTIM}: byte {at}, {:#04x} becomes {:#04x}",
            byte[0],
            byte[0] ^ 1
        );
        file.write_all_at(&[byte[0] ^ 1], at)?;
        let said = expect_output(self.verify(), NOT_VERIFIED)?;
        if !said.contains(VICTIM) {
            bail!("the refusal does not name \"/{VICTIM}\"");
        }
        Ok(())
    }

    fn boot_tampered(&mut self) -> Result<()> {
        self.say("Boot that: the host refuses to be what it is not.");
        let disk = self.disk("demo-tampered");
        let seen = disk.boot(&Boot {
            words: PLAIN,
            until: QUARANTINED,
            look: fleet::TOLD,
            ..Boot::default()
        });
        show(&seen);
        status(&seen, NOT_VERIFIED)?;
        seen.settled().must_be_quarantined();
        println!("    It is in quarantine: no workload was started, no login, no port is open.");
        self.collect(&disk)?;
        self.say("What its owner sees now: two hosts, and which of them is not the image.");
        self.look_at_fleet(fleet::NOT_AS_IT_SHOULD_BE, "1 violated")
    }

    /// The root on a disk of its own.
    fn disk(&self, name: &str) -> Disk<'_> {
        let disk = self.path("disk");
        make_disk(&self.path("root"), &disk);
        Disk::moved(&disk, &self.image, name)
    }

    /// Everything of the root, by the keys that CI keeps.
    fn verify(&self) -> Run {
        let verify = self.earmark("verify").arg("--root");
        let verify = verify.arg(self.path("root")).arg("--trust");
        verify.arg(self.path("trust.toml"))
    }

    fn earmark(&self, command: &str) -> Run {
        Run::new(self.programs.join("earmark")).arg(command)
    }

    fn say(&mut self, text: &str) {
        self.step += 1;
        println!("\n{}. {text}", self.step);
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
}

/// Prints the agent's lines on the console.
fn show(seen: &Seen) {
    println!("    The console ({:.0} s):", seen.took.as_secs_f64());
    for line in seen.said() {
        println!("    | {line}");
    }
}

/// The screen for people, as somebody on the host sees it.
fn status(seen: &Seen, code: i32) -> Result<()> {
    println!("    The host, asked with `earmark-agent status`:");
    let screen = seen.step("screen");
    for line in screen.out.lines() {
        println!("    | {line}");
    }
    if screen.code != code {
        bail!("expected exit {code} of the screen, not {}", screen.code);
    }
    Ok(())
}

fn expect(run: Run, code: i32) -> Result<()> {
    expect_output(run, code).map(|_| ())
}

/// Shows the command and what it says; an exit code other than `code` is an error.
fn expect_output(run: Run, code: i32) -> Result<String> {
    let line = run.line();
    println!("    $ {line}");
    let finished = run.quiet().capture()?;
    let said = finished.stdout.clone() + &finished.stderr;
    for line in said.lines() {
        println!("    {line}");
    }
    println!("    (exit {})", finished.code());
    if finished.code() != code {
        bail!("expected exit {code}, not {}, of `{line}`", finished.code());
    }
    Ok(said)
}

//! The whole story on a real, small Debian root: bake, seal, verify, tamper, refuse, restore.
//! Each step shows its command; a step that does not behave as said ends the demo with an error.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::files;
use crate::roots::{self, Kind, SOURCE_DATE_EPOCH};
use crate::run::Run;
use crate::tools;

/// As `earmark-agent verify` exits when the root is not the image that was sealed.
const NOT_VERIFIED: i32 = 10;

/// PID 1: a byte of it is in the critical set, which gates the boot.
const VICTIM: &str = "usr/lib/systemd/systemd";

const DECLARATION: &str = r#"# What this image is. A real one lies next to the Packer template and is reviewed like code.
[image]
name = "demo"
epoch = 1
platform = "file"

[tree]
profile = "debian-12"

[verify]
gate = "critical"
on_failure = "quarantine"
"#;

struct Demo {
    programs: PathBuf,
    dir: PathBuf,
    step: u32,
}

/// Tells the story in `target/earmark/demo`, which is made afresh.
pub fn run() -> Result<()> {
    let dir = crate::state_dir()?.join("demo");
    let mut demo = Demo {
        programs: tools::programs()?,
        dir,
        step: 0,
    };
    demo.bake()?;
    demo.seal()?;
    demo.verify("The root as it was sealed: every gate passes.")?;
    demo.tamper_and_restore()?;
    demo.verify(
        "The byte is back. The same seal verifies again: it speaks of content, not of time.",
    )?;
    println!(
        "\nThe demo did what it said. The root is in {}.",
        demo.path("root").display()
    );
    Ok(())
}

impl Demo {
    fn bake(&mut self) -> Result<()> {
        self.say("Bake: a small Debian 12 root, as debootstrap makes it (kept, so that only the first run waits).");
        let small = roots::root(Kind::Small)?;
        files::remove_tree(&self.dir)?;
        files::copy(&small, &self.path("root"))?;
        self.say("The agent is part of the image, and is sealed with it.");
        Run::words("install -m 0755")
            .args([
                self.programs.join("earmark-agent"),
                self.path("root/usr/bin/earmark-agent"),
            ])
            .step()
    }

    fn seal(&mut self) -> Result<()> {
        self.say(
            "A signing key. In real life it stays in CI or in KMS, and never enters the image.",
        );
        expect(
            self.earmark("keygen")
                .arg("--out")
                .arg(self.path("release.key")),
            0,
        )?;

        self.say("The trust file: which keys an image believes, for what.");
        let trust = self
            .earmark("trust")
            .arg("--key")
            .arg(self.path("release.pub"));
        expect(trust.arg("--out").arg(self.path("trust.toml")), 0)?;

        self.say(
            "The declaration: what this image is, and what may change on a host that runs it.",
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

        self.say("What the sealed root says it is.");
        expect(self.earmark("inspect").arg(self.path("root")), 0)
    }

    fn verify(&mut self, why: &str) -> Result<()> {
        self.say(why);
        expect(self.agent("full"), 0)
    }

    fn tamper_and_restore(&mut self) -> Result<()> {
        let victim = self.path("root").join(VICTIM);
        let file = fs::File::options().read(true).write(true).open(&victim);
        let file = file.with_context(|| format!("failed to open \"{}\"", victim.display()))?;
        let at = file.metadata()?.len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;

        self.say("Tamper: one bit of one byte in the middle of PID 1. Size, owner and mode stay.");
        println!(
            "    {}: byte {at}, {:#04x} becomes {:#04x}",
            victim.display(),
            byte[0],
            byte[0] ^ 1
        );
        file.write_all_at(&[byte[0] ^ 1], at)?;

        self.say("The gate that a boot waits for refuses (exit 10), and names the file.");
        let said = expect_output(self.agent("critical"), NOT_VERIFIED)?;
        if !said.contains(VICTIM) {
            bail!("the refusal does not name \"/{VICTIM}\"");
        }
        self.say("So does the full verification.");
        expect(self.agent("full"), NOT_VERIFIED)?;

        self.say("Restore the byte.");
        file.write_all_at(&byte, at)?;
        Ok(())
    }

    fn earmark(&self, command: &str) -> Run {
        Run::new(self.programs.join("earmark")).arg(command)
    }

    fn agent(&self, gate: &str) -> Run {
        let agent = Run::new(self.programs.join("earmark-agent"));
        agent
            .args(["verify", "--gate", gate, "--root"])
            .arg(self.path("root"))
    }

    fn say(&mut self, text: &str) {
        self.step += 1;
        println!("\n{}. {text}", self.step);
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
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

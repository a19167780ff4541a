//! First boot on small roots: each step once, whatever a crash, a swap or a hostile value does.
//!
//! Steps that run programs have the host's own shell copied into the root; what they write goes where
//! a value says, since nothing changes its root directory here.

mod programs;
mod values;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use earmark_manifest::verify::VerifiedManifest;
use earmark_scan::{Progress, Root, rendered, seal, verify as check};
use tempfile::TempDir;

use super::{
    journal::{Journal, StepState},
    perform::{Outcome, perform},
};
use crate::status::model::FirstBootStatus;
use crate::testing::TestRoot;

const MACHINE_ID: &str = "/etc/machine-id";
const VALUES: &str = "/var/lib/earmark/values.toml";
const JOURNAL: &str = "/var/lib/earmark/first-boot.journal";

/// A root with a shell, and a directory outside it that steps write to.
struct Bench {
    root: TestRoot,
    out: TempDir,
}

impl Bench {
    /// With these scripts in `/usr/bin`, sealed with these steps.
    fn new(scripts: &[(&str, &str)], steps: &str) -> Self {
        Self::make(
            &std::env::temp_dir(),
            scripts,
            "env = {{ env }}\nhost = {{ image_name }}\n",
            steps,
        )
    }

    /// With another template.
    fn with_template(template: &str, steps: &str) -> Self {
        Self::make(&std::env::temp_dir(), &[], template, steps)
    }

    fn make(place: &Path, scripts: &[(&str, &str)], template: &str, steps: &str) -> Self {
        let (root, out) = (TestRoot::bare_in(place), TempDir::new().unwrap());
        root.write("/usr/bin/dash", &fs::read("/bin/sh").unwrap());
        root.write("/usr/bin/touch", &fs::read("/usr/bin/touch").unwrap());
        root.write("/etc/passwd", b"root:x:0:0::/:/bin/sh\n");
        root.write(MACHINE_ID, b"0123456789abcdef0123456789abcdef\n");
        root.write("/etc/app/.keep", b"");
        root.write("/usr/lib/.keep", b"");
        root.write("/var/lib/earmark/.keep", b"");
        root.link("/bin", "usr/bin");
        symlink("dash", root.at("/usr/bin/sh")).unwrap();
        for (name, text) in scripts {
            root.write(&format!("/usr/bin/{name}"), text.as_bytes());
        }
        for entry in fs::read_dir(root.at("/usr/bin")).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_symlink() {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let bench = Self { root, out };
        bench.root.write("/usr/share/app.tpl", template.as_bytes());
        let values = format!("[parameters]\nout = \"{}\"\n", bench.out.path().display());
        bench.root.write(VALUES, values.as_bytes());
        let owner = rustix::process::getuid().as_raw().to_string();
        let steps = steps.replace("OWNER", &owner);
        bench.root.seal(&format!("{DECLARATION}{steps}"));
        bench
    }

    fn open(&self) -> Root {
        self.root.open()
    }

    fn manifest(&self) -> VerifiedManifest {
        let root = self.open();
        let trust = seal::read_trust(&root).unwrap();
        earmark_manifest::verify::verify(seal::read(&root).unwrap(), &trust).unwrap()
    }

    fn try_perform(&self) -> anyhow::Result<Outcome> {
        // Whatever a step leaves behind is killed: also the step of a test that runs at the same time.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(perform(&self.open(), &self.manifest()))
    }

    fn perform(&self) -> Outcome {
        self.try_perform().unwrap()
    }

    /// Performs first boot, which must fail. Returns the step, the reason and the last lines of output.
    fn fails(&self) -> (Option<String>, String, Vec<String>) {
        match self.perform() {
            Outcome::Failed { step, reason, tail } => (step, reason, tail),
            other => panic!("{other:?}"),
        }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.out.path().join(name)
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.out(name)).unwrap_or_default()
    }

    fn journal(&self) -> Journal {
        Journal::read(&self.open()).unwrap().unwrap()
    }

    /// Returns what a full verification before first boot finds.
    fn violations(&self) -> Vec<String> {
        self.found(check::Place::BeforeFirstBoot { is_live: false })
    }

    /// Returns what a full verification finds.
    fn found(&self, at: check::Place) -> Vec<String> {
        let options = check::Options {
            trust: None,
            floor: None,
            covered: None,
            gate: Some(earmark_manifest::declaration::Gate::Full),
            progress: &() as &dyn Progress,
            at,
        };
        let report = check::verify(&self.open(), &options).report();
        let found = report.violations.iter().chain(&report.undecided);
        found
            .map(|found| format!("{} {}", found.kind, found.path))
            .collect()
    }
}

fn done(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done { steps, .. } => *steps,
        other => panic!("{other:?}"),
    }
}

const DECLARATION: &str = r#"platform = "file"
[tree]
state = [{ path = "/proc", reason = "Kernel." }, { path = "/run", reason = "Volatile." }]
[parameters.out]
type = "string"
pattern = "/[A-Za-z0-9/._-]*"
required = true
[parameters.env]
type = "string"
pattern = ".*"
default = "prod"
[parameters.token]
type = "string"
pattern = "[a-z0-9]*"
secret = true
[parameters.free]
type = "string"
multiline = true
default = "a\nb"
"#;

const RENDER: &str = r#"
[[first_boot]]
name = "render"
file = { path = "/etc/app/config", template = "/usr/share/app.tpl", mode = "0640", owner = "OWNER" }
"#;

const COUNT: (&str, &str) = ("count", "#!/bin/sh -e\necho ran \"$@\" >> \"$1\"/count\n");

fn command(name: &str, more: &str) -> String {
    format!(
        "[[first_boot]]\nname = \"{name}\"\ncommand = {{ argv = [\"/bin/{name}\", \"{{{{ out }}}}\", \"{{{{ env }}}}\"] {more} }}\n"
    )
}

#[test]
fn first_boot_runs_each_step_once_and_rendered_files_verify() {
    let bench = Bench::new(&[COUNT], &(RENDER.to_owned() + &command("count", "")));
    assert_eq!(bench.violations(), Vec::<String>::new());
    assert_eq!(done(&bench.perform()), 2);
    let file = bench.root.at("/etc/app/config");
    assert_eq!(fs::read(&file).unwrap(), b"env = prod\nhost = web\n");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    let ran = format!("ran {} prod\n", bench.out.path().display());
    assert_eq!(bench.written("count"), ran);
    assert_eq!(bench.violations(), Vec::<String>::new());
    // A second run does nothing.
    assert_eq!(done(&bench.perform()), 0);
    assert_eq!(bench.written("count"), ran);
    // What was written is held to it.
    fs::write(&file, b"env = evil\n").unwrap();
    assert_eq!(bench.violations(), ["content /etc/app/config"]);
}

#[test]
fn first_boot_after_a_crash_retries_the_started_step_only_if_declared() {
    for (interrupted, again) in [("", false), ("interrupted = \"retry\"\n", true)] {
        let steps = command("count", "") + interrupted;
        let bench = Bench::new(&[COUNT], &steps);
        assert_eq!(done(&bench.perform()), 1);
        // The power went between the record before the step and the one after it.
        let mut journal = bench.journal();
        journal.is_complete = false;
        journal.steps[0].state = StepState::Started;
        journal.write(&bench.open()).unwrap();
        if again {
            assert_eq!(done(&bench.perform()), 1);
            assert_eq!(bench.written("count").lines().count(), 2);
            assert_eq!(bench.journal().steps[0].attempts, 2);
        } else {
            let (step, reason, _) = bench.fails();
            assert_eq!(step.as_deref(), Some("count"));
            assert!(reason.contains("a crash interrupted the step"), "{reason}");
            // Nor later: a person looks.
            let (_, reason, _) = bench.fails();
            assert!(reason.contains("in an earlier boot"), "{reason}");
            assert_eq!(bench.written("count").lines().count(), 1);
        }
        // The power went after the last step, before the whole was complete.
        let mut journal = bench.journal();
        journal.is_complete = false;
        journal.steps[0].state = StepState::Done;
        journal.write(&bench.open()).unwrap();
        let before = bench.written("count");
        assert_eq!(done(&bench.perform()), 0);
        assert_eq!(bench.written("count"), before);
        assert!(bench.journal().is_complete);
    }
}

#[test]
fn half_rendered_file_after_a_power_cut_is_no_violation_before_first_boot() {
    let bench = Bench::new(&[], RENDER);
    assert_eq!(done(&bench.perform()), 1);
    // Its record says pending, and the file is there in part, under the name that it has until then.
    let manifest = bench.manifest().digest();
    let mut files = rendered::read(&bench.open(), manifest).unwrap();
    for file in files.values_mut() {
        file.pending = true;
    }
    let record = rendered::to_bytes(manifest, &files);
    bench.root.write("/var/lib/earmark/rendered.json", &record);
    bench.root.write("/etc/app/.earmark-rendering", b"env");
    bench.root.remove("/etc/app/config");
    let mut journal = bench.journal();
    journal.is_complete = false;
    journal.steps[0].state = StepState::Started;
    journal.write(&bench.open()).unwrap();
    // The file was being written for root alone when the power went.
    fs::set_permissions(
        bench.root.at("/etc/app/.earmark-rendering"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(bench.violations(), Vec::<String>::new());
    // Anybody else cannot tell, since nothing follows that would write it again.
    for at in [check::Place::Offline, check::Place::Running] {
        assert_eq!(
            bench.found(at),
            [
                "added /etc/app/.earmark-rendering",
                "undecided /etc/app/config"
            ]
        );
    }
    assert_eq!(done(&bench.perform()), 1);
    assert!(!bench.root.at("/etc/app/.earmark-rendering").exists());
    assert_eq!(bench.violations(), Vec::<String>::new());
}

#[test]
fn damaged_journal_stops_first_boot() {
    let bench = Bench::new(&[COUNT], &command("count", ""));
    assert_eq!(done(&bench.perform()), 1);
    let good = fs::read(bench.root.at(JOURNAL)).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer.push(b' ');
    for bad in [
        &b""[..],
        &good[..good.len() / 2],
        &good[..good.len() - 1],
        &flipped,
        &longer,
    ] {
        bench.root.write(JOURNAL, bad);
        let error = format!("{:#}", bench.try_perform().unwrap_err());
        assert!(error.contains(JOURNAL), "{error}");
    }
    assert_eq!(bench.written("count").lines().count(), 1);
    bench.root.write(JOURNAL, &good);
    assert_eq!(done(&bench.perform()), 0);
    // A directory in its place cannot be read either.
    bench.root.remove(JOURNAL);
    fs::create_dir(bench.root.at(JOURNAL)).unwrap();
    assert!(bench.try_perform().is_err());
}

#[test]
fn journal_of_another_instance_marks_a_clone_and_repeats_first_boot() {
    let bench = Bench::new(&[COUNT], &command("count", ""));
    assert_eq!(done(&bench.perform()), 1);
    let mut journal = bench.journal();
    journal.instance = "i-0123456789abcdef0".to_owned();
    journal.write(&bench.open()).unwrap();
    match bench.perform() {
        Outcome::Done { steps: 1, notes } => {
            assert!(
                notes
                    .iter()
                    .any(|note| note.contains("i-0123456789abcdef0")),
                "{notes:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.written("count").lines().count(), 2);
    assert_eq!(
        bench.journal().cloned_from.as_deref(),
        Some("i-0123456789abcdef0")
    );
    // It is still a clone at the next boot, and does nothing again.
    match bench.perform() {
        Outcome::Done { steps: 0, notes } => assert_eq!(notes.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn clone_without_values_leaves_the_journal_it_found() {
    let bench = Bench::new(&[COUNT], &command("count", ""));
    assert_eq!(done(&bench.perform()), 1);
    let mut journal = bench.journal();
    journal.instance = "i-0123456789abcdef0".to_owned();
    journal.write(&bench.open()).unwrap();
    let values = fs::read(bench.root.at(VALUES)).unwrap();
    bench.root.remove(VALUES);
    for _ in 0..2 {
        assert_eq!(bench.fails().0, None);
        assert_eq!(bench.journal(), journal);
    }
    bench.root.write(VALUES, &values);
    assert_eq!(done(&bench.perform()), 1);
    assert_eq!(
        bench.journal().cloned_from.as_deref(),
        Some("i-0123456789abcdef0")
    );
    let old = fs::read_to_string(bench.root.at(&format!("{JOURNAL}.old"))).unwrap();
    assert!(old.contains("i-0123456789abcdef0"), "{old}");
}

#[test]
fn changed_parameter_value_is_reported_and_not_applied() {
    let bench = Bench::new(&[COUNT], &(command("count", "") + RENDER));
    assert_eq!(done(&bench.perform()), 2);
    let out = bench.out.path().display();
    let changed = format!("[parameters]\nout = \"{out}\"\nenv = \"staging\"\ntoken = \"new\"\n");
    bench.root.write(VALUES, changed.as_bytes());
    match bench.perform() {
        Outcome::Done { steps: 0, notes } => {
            assert_eq!(notes.len(), 2, "{notes:?}");
            assert!(
                notes[0].contains("'env'") && notes[1].contains("'token'"),
                "{notes:?}"
            );
            assert!(!notes.concat().contains("staging"), "{notes:?}");
            // What 'first-boot --json' shows of it, also when the boot is over.
            let declaration = bench.manifest();
            let shown = FirstBootStatus::of(declaration.declaration(), Some(&bench.journal()));
            assert_eq!(shown.notes, notes);
        }
        other => panic!("{other:?}"),
    }
    let as_before = format!("[parameters]\nout = \"{out}\"\n");
    bench.root.write(VALUES, as_before.as_bytes());
    assert_eq!(done(&bench.perform()), 0);
    assert_eq!(bench.journal().notes, Vec::<String>::new());
    assert_eq!(bench.violations(), Vec::<String>::new());
}

//! Each rule with a root that has the finding and a control that has not; `--fix`; hostile names and links.

mod cases;
mod contradictions;
mod hostile;
mod known;
mod packaged;
mod repairs;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use earmark_tests::golden;
use tempfile::TempDir;

use super::*;
use cases::Case;

/// Something that is put into a root, or taken out of it.
#[derive(Debug, Clone, Copy)]
enum Put {
    File(&'static str, &'static str),
    Mode(&'static str, u32),
    Link(&'static str, &'static str),
    Gone(&'static str),
    /// A line of `[tree]`, and no object.
    Tree(&'static str),
    /// The profile of `[tree]`, and no object.
    Profile(&'static str),
}

use Put::{File, Gone, Link, Mode, Profile, Tree};

/// A root without any finding.
const CLEAN: &[Put] = &[
    File("etc/machine-id", ""),
    File(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\nsync:x:4:4::/:/bin/sync\n",
    ),
    File(
        "etc/shadow",
        "root:*:1::::::\nweb:!$y$j9T$x:1::::::\nsync:!:1::::::\n",
    ),
    File("etc/sudoers", "root ALL=(ALL:ALL) ALL\n# x NOPASSWD\n"),
    File(
        "etc/ssh/sshd_config",
        "#PermitRootLogin yes\nPermitRootLogin no\n",
    ),
    File("etc/ssh/ssh_config", "Host *\n"),
    File("root/.bashrc", "x\n"),
    File("home/web/.profile", "x\n"),
    File("usr/lib/systemd/systemd", "elf\n"),
    File("usr/bin/earmark-agent", "elf\n"),
    File("usr/lib/earmark/trust.toml", "x\n"),
    Link(
        "etc/systemd/system/sysinit.target.wants/earmark-verify.service",
        "/usr/lib/systemd/system/earmark-verify.service",
    ),
    Link(
        "etc/systemd/system/multi-user.target.wants/earmark-ready.target",
        "/usr/lib/systemd/system/earmark-ready.target",
    ),
    Link(
        "etc/systemd/system/multi-user.target.wants/earmark-agent.service",
        "/usr/lib/systemd/system/earmark-agent.service",
    ),
    File(
        "usr/lib/systemd/system/earmark-agent.service",
        "[Service]\nExecStart=/usr/bin/earmark-agent run\n",
    ),
    Link("etc/mtab", "../proc/self/mounts"),
    File("srv/data/x", "data\n"),
    File("var/log/wtmp", ""),
    File("var/cache/apt/archives/lock", ""),
    File("var/lib/apt/lists/lock", ""),
];

const SPEC: &str = "\
[image]
name = \"web\"
platform = \"file\"
[tree]
profile = \"debian-12\"
state = [\"/srv/data\"]
mutable = [\"/opt/mutable\"]
";

/// All of them.
fn cases() -> impl Iterator<Item = &'static Case> {
    cases::all().chain(known::CASES)
}

struct Bench(TempDir);

impl Bench {
    fn new(puts: &[Put]) -> Self {
        let bench = Self(TempDir::new().unwrap());
        bench.put(CLEAN);
        bench.put(puts);
        bench
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, puts: &[Put]) {
        let objects = puts.iter();
        for put in objects.filter(|put| !matches!(put, Tree(_) | Profile(_))) {
            let (File(path, _)
            | Mode(path, _)
            | Link(path, _)
            | Gone(path)
            | Tree(path)
            | Profile(path)) = put;
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match put {
                File(_, text) => fs::write(path, text).unwrap(),
                Mode(_, mode) => {
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
                }
                Link(_, target) => symlink(target, path).unwrap(),
                Gone(_) => fs::remove_file(path).unwrap(),
                Tree(_) | Profile(_) => {}
            }
        }
    }

    fn root(&self) -> Root {
        Root::open(Path::new(self.0.path())).unwrap()
    }

    fn lint_with(&self, spec: &str) -> Report {
        let declared = Declaration::parse(spec.as_bytes()).unwrap();
        lint(&self.root(), Some((&declared, spec.as_bytes()))).unwrap()
    }

    fn lint(&self) -> Report {
        self.lint_with(SPEC)
    }

    /// As sealing asks, in the pass that measures.
    fn gate(&self, declared: &Declaration) -> Outcome<()> {
        let (root, rules) = (self.root(), declared.rule_set().unwrap());
        let plan = Plan {
            rules: &rules,
            mounts: &[],
            replaced: &BTreeMap::new(),
            progress: &(),
        };
        let survey = Survey::walk(&root, &plan, Reach::Image).unwrap();
        let keys = Keys::default();
        survey.measure(&keys).unwrap();
        let waivers = waivers(declared, SPEC.as_bytes()).unwrap();
        gate(&survey, (declared, &rules), &waivers, keys)
    }

    fn fix(&self) -> Report {
        let declared = Declaration::parse(SPEC.as_bytes()).unwrap();
        lint_and_fix(&self.root(), Some((&declared, SPEC.as_bytes()))).unwrap()
    }
}

impl Report {
    /// Findings as `RULE PATH`.
    fn found(&self) -> Vec<String> {
        let one = |finding: &Finding| format!("{} {}", finding.rule.id, finding.path);
        self.findings.iter().map(one).collect()
    }
}

#[test]
fn clean_root_has_no_findings() {
    let report = Bench::new(&[]).lint();
    assert_eq!(report.found(), [""; 0]);
    assert_eq!((report.errors, report.warnings), (0, 0));
    assert!(report.unknown.is_empty(), "{:?}", report.unknown);
    assert_eq!(report.exit(Level::Warn), Exit::Done);
}

#[test]
fn lost_and_found_of_a_file_system_may_be_state_and_its_neighbours_may_not() {
    let found = |path: &str| {
        let more = format!("\"/srv/data\", \"{path}\"");
        let report = Bench::new(&[]).lint_with(&SPEC.replace("\"/srv/data\"", &more));
        let mut findings = report.findings.iter();
        findings.any(|one| one.rule.id == "rule-over-code" && one.path.to_string() == path)
    };
    assert!(!found("/boot/lost+found"));
    assert!(found("/boot/extra"));
}

#[test]
fn each_lint_rule_flags_its_bad_case_and_passes_its_control() {
    for rule in table::rules() {
        let mut cases = cases().filter(|case| case.rule == rule.id).peekable();
        assert!(cases.peek().is_some(), "{} has no test", rule.id);
        for case in cases {
            let of_rule = |puts: &[Put]| -> Vec<String> {
                let lines = puts.iter().filter_map(|put| match put {
                    Tree(line) => Some(format!("{line}\n")),
                    _ => None,
                });
                let profile = puts.iter().find_map(|put| match put {
                    Profile(name) => Some(*name),
                    _ => None,
                });
                let spec = SPEC.replace("debian-12", profile.unwrap_or("debian-12"));
                let spec = format!("{spec}{}", lines.collect::<String>());
                let report = Bench::new(puts).lint_with(&spec);
                let of_rule = report.findings.iter().filter(|one| one.rule.id == rule.id);
                of_rule.map(|one| one.path.to_string()).collect()
            };
            let found = of_rule(case.bad);
            assert!(
                found.iter().any(|path| path == case.at),
                "{case:?}: {found:?}"
            );
            let control = of_rule(case.good);
            assert!(control.is_empty(), "{case:?}: {control:?}");
        }
    }
}

#[test]
fn open_lock_downgrades_or_removes_finding() {
    let bench = Bench::new(&[File("etc/shadow", "root:$y$j9T$x:1::::::\n")]);
    assert_eq!(bench.lint().errors, 1);
    let open = format!("{SPEC}[lockdown]\naccounts = \"allow\"\npackages = \"allow\"\n");
    let report = bench.lint_with(&open);
    assert_eq!((report.errors, report.warnings), (0, 1));
    assert_eq!(report.exit(Level::Error), Exit::Done);
    assert_eq!(report.exit(Level::Warn), Exit::Lint);
    let link = "etc/systemd/system/timers.target.wants/apt-daily.timer";
    let bench = Bench::new(&[Link(link, "/usr/lib/systemd/system/apt-daily.timer")]);
    assert_eq!(bench.lint().warnings, 1);
    assert_eq!(bench.lint_with(&open).warnings, 0);
}

/// Every kind of line: repairs made and left, findings of both levels, a waived one, an unused waiver, an unreadable file.
#[test]
fn lint_texts_before_and_after_fix_are_golden() {
    let bench = Bench::new(&[
        File("etc/machine-id", "0123\n"),
        File("var/log/syslog.1", "x"),
        File("var/log/web/x", "x"),
        File("root/.cache/keep-1/x", "x"),
        File("var/mail/root", "x"),
        File("home/web/.netrc", "machine x login y password z\n"),
    ]);
    fs::hard_link(bench.path("etc/passwd"), bench.path("var/log/x")).unwrap();
    fs::write(bench.path("etc/hostname"), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
    let waiver = |rule: &str| format!("[[lint.allow]]\nrule = \"{rule}\"\nreason = \"Kept.\"\n");
    let data = "\"/srv/data\", \"/var/log/web\", \"/root/.cache/keep-*\"";
    let spec = SPEC.replace("\"/srv/data\"", data) + &waiver("mail") + &waiver("journal");
    let declared = Declaration::parse(spec.as_bytes()).unwrap();
    let before = bench.lint_with(&spec);
    let after = lint_and_fix(&bench.root(), Some((&declared, spec.as_bytes()))).unwrap();
    golden!("lint", format!("{before}--\n{after}"));
}

#[test]
fn findings_about_packages_name_the_tool_of_what_was_found() {
    for (puts, tool) in [
        (
            [
                File("var/cache/dnf/x-1/repodata/x", "x"),
                Link(
                    "etc/systemd/system/timers.target.wants/dnf-makecache.timer",
                    "/usr/lib/x",
                ),
            ],
            ["'dnf clean all'", "'systemctl disable dnf-makecache.timer'"],
        ),
        (
            [
                File("var/cache/apt/archives/x.deb", "x"),
                Link(
                    "etc/systemd/system/timers.target.wants/apt-daily.timer",
                    "/usr/lib/x",
                ),
            ],
            ["'apt-get clean'", "'systemctl disable apt-daily.timer'"],
        ),
    ] {
        let report = Bench::new(&puts).lint();
        let found: Vec<&str> = report
            .findings
            .iter()
            .map(|one| one.found.as_str())
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        for (found, tool) in found.iter().zip(tool) {
            assert!(found.contains(tool), "{found}: {tool}");
        }
    }
}

#[test]
fn hostname_set_by_first_boot_is_not_a_finding() {
    let bench = Bench::new(&[File("etc/hostname", "debian\n")]);
    let step = "[[first_boot]]\nname = \"name\"\nhostname = { template = \"web-1\" }\n";
    assert_eq!(bench.lint().warnings, 1);
    assert_eq!(bench.lint_with(&format!("{SPEC}{step}")).warnings, 0);
}

#[test]
fn waiver_covers_only_matching_findings_and_unused_one_is_noted() {
    let bench = Bench::new(&[File("var/log/a/x", "x"), File("var/log/b", "x")]);
    let waiver = "[[lint.allow]]\nrule = \"logs\"\npath = \"/var/log/a/**\"\nreason = \"Kept.\"\n";
    let report = bench.lint_with(&format!("{SPEC}{waiver}"));
    assert_eq!(report.found(), ["logs /var/log/b"]);
    assert_eq!(report.waived.len(), 1);
    assert_eq!(report.waived[0].reason, "Kept.");
    assert!(report.notes.is_empty());

    let all = "[[lint.allow]]\nrule = \"logs\"\nreason = \"Kept.\"\n";
    let report = bench.lint_with(&format!("{SPEC}{all}{waiver}"));
    assert_eq!((report.findings.len(), report.waived.len()), (0, 2));
    // Both match something.
    assert!(report.notes.is_empty());

    let other = waiver.replace("logs", "journal");
    let report = bench.lint_with(&format!("{SPEC}{other}"));
    assert_eq!((report.findings.len(), report.notes.len()), (2, 1));
    assert_eq!(report.exit(Level::Error), Exit::Lint);
}

#[test]
fn waiver_of_unknown_rule_is_an_error_with_a_golden_text() {
    let bench = Bench::new(&[]);
    let spec = format!("{SPEC}[[lint.allow]]\nrule = \"machine-idd\"\nreason = \"x\"\n");
    let declared = Declaration::parse(spec.as_bytes()).unwrap();
    let refused = lint(&bench.root(), Some((&declared, spec.as_bytes()))).unwrap_err();
    assert_eq!(refused.exit(), Exit::Usage);
    golden!("lint-unknown-rule", format!("{refused}\n"));
}

#[test]
fn lint_without_declaration_checks_only_the_root() {
    let bench = Bench::new(&[
        File("usr/x", "x"),
        Mode("usr/x", 0o666),
        File("var/log/x", "x"),
    ]);
    let report = lint(&bench.root(), None).unwrap();
    assert_eq!(report.found(), ["logs /var/log/x"]);
}

#[test]
fn seal_is_refused_on_lint_errors_with_a_golden_text() {
    let declared = Declaration::parse(SPEC.as_bytes()).unwrap();
    let gate = |bench: &Bench| bench.gate(&declared);
    gate(&Bench::new(&[Gone("usr/lib/earmark/trust.toml")])).unwrap();
    gate(&Bench::new(&[File("etc/hostname", "builder\n")])).unwrap();
    let unknown = Bench::new(&[]);
    fs::write(unknown.path("etc/hostname"), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
    let refused = gate(&unknown).unwrap_err();
    assert_eq!(refused.exit(), Exit::Undecided);
    let undecided = refused.to_string();
    let refused = gate(&Bench::new(&[File("etc/machine-id", "0123\n")])).unwrap_err();
    assert_eq!(refused.exit().code(), 15);
    golden!("lint-gate", format!("{undecided}\n--\n{refused}\n"));
}

#[test]
fn private_key_is_found_in_any_class_and_through_any_hard_link() {
    let bench = Bench::new(&[
        File("etc/ssl/a.key", cases::KEY),
        File("opt/mutable", cases::KEY),
        File("srv/data/a.key", cases::KEY),
        File("usr/share/doc/a/key", cases::KEY),
        File("usr/share/doc/b/key", cases::KEY),
        File("usr/zoo/none", "no key\n"),
    ]);
    // Read by its first name, where keys are only shown, and found by its second.
    let (shown, second) = (bench.path("usr/share/doc/a/key"), bench.path("usr/zoo/key"));
    fs::hard_link(shown, second).unwrap();
    let expected = [
        "/etc/ssl/a.key",
        "/opt/mutable",
        "/srv/data/a.key",
        "/usr/zoo/key",
    ];
    let report = bench.lint();
    assert_eq!(
        report.found(),
        expected.map(|path| format!("private-key {path}"))
    );

    let declared = Declaration::parse(SPEC.as_bytes()).unwrap();
    let refused = bench.gate(&declared).unwrap_err().to_string();
    let lines: Vec<&str> = refused
        .lines()
        .filter(|line| line.contains("private-key"))
        .collect();
    assert_eq!(lines.len(), expected.len(), "{refused}");
    for path in expected {
        assert!(
            refused.contains(&format!("private-key {path}: ")),
            "{refused}"
        );
    }
}

#[test]
fn declared_remote_access_suppresses_login_lockout_finding() {
    let bench = Bench::new(&[File("usr/sbin/sshd", "x\n")]);
    let is_found = |spec: &str| {
        let report = bench.lint_with(spec);
        let mut findings = report.findings.iter();
        findings.any(|found| found.rule.id == "locks-out-login")
    };
    assert!(is_found(SPEC));
    assert!(is_found(&format!("{SPEC}[lockdown]\nkernel = \"deny\"\n")));
    for declared in ["\"deny\"", "\"allow\"", "{ allow = [\"sshd\"] }"] {
        let spec = format!("{SPEC}[lockdown]\nremote_access = {declared}\n");
        assert!(!is_found(&spec), "{declared}");
    }
}

#[test]
fn declared_cmdline_suppresses_missing_cmdline_finding() {
    let bench = Bench::new(&[File("usr/lib/modules/6.1/vmlinuz", "x\n")]);
    let is_found = |spec: &str| {
        let report = bench.lint_with(spec);
        report
            .findings
            .iter()
            .any(|found| found.rule.id == "cmdline-missing")
    };
    assert!(is_found(SPEC));
    assert!(!is_found(&format!("{SPEC}[boot]\ncmdline = \"ro\"\n")));
    assert!(is_found(&format!("{SPEC}[boot]\ncmdline = \"\"\n")));
}

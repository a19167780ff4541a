//! `--fix`: what it does, what it leaves, and that it does nothing twice.

use earmark_manifest::{class::PathClass, path::ImagePath, profile::Profile};

use super::*;
use crate::lint::rules::identity;

#[test]
fn fix_repairs_every_fixable_finding_and_is_idempotent() {
    // A finding about the declaration is none of a root's.
    let is_of_root = |case: &&'static Case| {
        !case
            .bad
            .iter()
            .any(|put| matches!(put, Tree(_) | Put::Profile(_)))
    };
    for case in cases().filter(is_of_root) {
        let rule = table::find(case.rule).unwrap();
        let bench = Bench::new(case.bad);
        let report = bench.fix();
        let left: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|one| one.rule.id == rule.id)
            .collect();
        // One that a rule does not repair, of a rule that repairs others, is a missing machine id.
        let is_repaired = rule.fixable && !case.bad.iter().any(|put| matches!(put, Gone(_)));
        assert_eq!(left.is_empty(), is_repaired, "{case:?}: {left:?}");
        assert_eq!(
            !report.fixed.is_empty(),
            is_repaired,
            "{case:?}: {:?}",
            report.fixed
        );
        let again = bench.fix();
        assert!(again.fixed.is_empty(), "{case:?}: {:?}", again.fixed);
        assert_eq!(again.found(), report.found());
    }
}

/// Files that `--fix` takes away because each host makes its own are those that each profile lets a host make.
#[test]
fn profiles_accept_what_hosts_make_again_after_fix() {
    const OF_HOSTS: [&str; 4] = [
        "machine-id",
        "ssh-host-key",
        "random-seed",
        "cloud-init-state",
    ];
    let at = cases().filter(|case| OF_HOSTS.contains(&case.rule));
    // What systems that there is no profile for keep there.
    let others = ["var/lib/urandom/random-seed", "var/lib/random-seed"];
    let seeds = identity::RANDOM_SEEDS.iter();
    let seeds = seeds.filter(|seed| !others.contains(*seed));
    let paths: Vec<String> = at
        .map(|case| case.at.to_owned())
        .chain(seeds.map(|seed| format!("/{seed}")))
        .collect();
    for profile in Profile::all() {
        let spec = SPEC.replace("debian-12", profile.name());
        let declared = Declaration::parse(spec.as_bytes()).unwrap();
        let rules = declared.rule_set().unwrap();
        for path in &paths {
            let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
            let mut above = std::iter::successors(Some(path.clone()), ImagePath::parent);
            assert!(
                above.any(|path| rules.class_of(&path) != PathClass::Sealed),
                "{}: {path}",
                profile.name()
            );
        }
    }
}

#[test]
fn fix_empties_required_files_and_preserves_their_modes() {
    let bench = Bench::new(&[
        File("etc/machine-id", "0123\n"),
        Mode("etc/machine-id", 0o444),
        File("var/log/syslog", "x"),
        Mode("var/log/syslog", 0o640),
        File("var/log/syslog.1", "x"),
        File("var/lib/apt/lists/partial/x", "x"),
        File("var/cache/apt/archives/x.deb", "x"),
    ]);
    let report = bench.fix();
    assert_eq!(report.found(), [""; 0]);
    for (path, mode) in [("etc/machine-id", 0o444), ("var/log/syslog", 0o640)] {
        let metadata = fs::metadata(bench.path(path)).unwrap();
        assert_eq!(
            (metadata.len(), metadata.permissions().mode() & 0o777),
            (0, mode)
        );
    }
    assert!(!bench.path("var/log/syslog.1").exists());
    for path in [
        "var/lib/apt/lists/lock",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/lock",
    ] {
        assert!(bench.path(path).exists(), "{path}");
    }
}

#[test]
fn fix_leaves_waived_and_declared_data_untouched() {
    let bench = Bench::new(&[
        File("var/log/web/x", "x"),
        File("tmp/x", "x"),
        File("tmp/y", "x"),
    ]);
    let spec = format!(
        "{SPEC}[[lint.allow]]\nrule = \"temporary-file\"\npath = \"/tmp/x\"\nreason = \"Kept.\"\n"
    );
    let spec = spec.replace("\"/srv/data\"", "\"/srv/data\", \"/var/log/web\"");
    let declared = Declaration::parse(spec.as_bytes()).unwrap();
    let report = lint_and_fix(&bench.root(), Some((&declared, spec.as_bytes()))).unwrap();
    assert_eq!(report.found(), ["logs /var/log/web/x"]);
    assert!(bench.path("tmp/x").exists() && !bench.path("tmp/y").exists());
    assert_eq!(fs::read(bench.path("var/log/web/x")).unwrap(), b"x");
}

#[test]
fn fix_does_not_remove_declared_data_within_a_flagged_directory() {
    let bench = Bench::new(&[File("tmp/a/data/x", "x"), File("root/.cache/keep-1/x", "x")]);
    let data = "\"/srv/data\", \"/root/.cache/keep-*\"";
    let spec = SPEC.replace("\"/srv/data\"", data);
    let declared = Declaration::parse(spec.as_bytes()).unwrap();
    let report = lint_and_fix(&bench.root(), Some((&declared, spec.as_bytes()))).unwrap();
    assert_eq!(report.found(), ["tool-cache /root/.cache"]);
    assert!(bench.path("root/.cache/keep-1/x").exists() && !bench.path("tmp/a").exists());
}

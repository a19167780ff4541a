//! Lint's tables and the profiles' against each other: whoever does what lint asks must not be violated for it.

use earmark_manifest::{
    class::{PathClass, Pattern, RuleKind, RuleSet},
    path::ImagePath,
    profile::Profile,
};

use super::*;
use crate::{learn::never, lint::table::known as table_of_known};

fn rules_of(profile: Profile) -> RuleSet {
    let spec = SPEC.replace("debian-12", profile.name());
    let declared = Declaration::parse(spec.as_bytes()).unwrap();
    declared.rule_set().unwrap()
}

/// Class of a path, or `state` beneath a path of that.
fn class(rules: &RuleSet, path: &str) -> PathClass {
    let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
    let mut above = std::iter::successors(path.parent(), ImagePath::parent);
    if above.any(|path| rules.class_of(&path) == PathClass::State) {
        return PathClass::State;
    }
    rules.class_of(&path)
}

/// A path that is `mutable` without `appears` must be in the image, and lint asks for it not to be.
#[test]
fn no_profile_requires_what_lint_calls_an_identity_or_a_secret() {
    for profile in Profile::all() {
        let rules = rules_of(profile);
        for row in table_of_known::all() {
            for path in row.paths {
                let path = format!("/{}", super::known::example(path));
                let class = class(&rules, &path);
                assert_ne!(
                    class,
                    PathClass::Mutable,
                    "{}: {path} of {}",
                    profile.name(),
                    row.owner
                );
            }
        }
    }
}

/// A path that `--fix` removed and a host makes again may appear, or was no host's to make.
#[test]
fn no_profile_requires_what_fix_removes() {
    let mut removed = 0;
    for case in cases().filter(|case| table::find(case.rule).unwrap().fixable) {
        let bench = Bench::new(case.bad);
        let is_there = || fs::symlink_metadata(bench.path(&case.at[1..])).is_ok();
        let was_there = is_there();
        bench.fix();
        if !was_there || is_there() {
            continue;
        }
        removed += 1;
        for profile in Profile::all() {
            let class = class(&rules_of(profile), case.at);
            assert_ne!(class, PathClass::Mutable, "{}: {case:?}", profile.name());
        }
    }
    assert!(removed >= 10, "{removed}");
}

/// A path that a profile lets a host write is no error, as it is before the first boot: it is not there.
#[test]
fn root_without_what_a_profile_lets_appear_has_no_error() {
    for profile in Profile::all() {
        let spec = SPEC.replace("debian-12", profile.name());
        let report = Bench::new(&[]).lint_with(&spec);
        assert_eq!(report.errors, 0, "{}: {:?}", profile.name(), report.found());
    }
}

/// Rules of profiles over code, each for a reason that its profile gives. A rule that joins them is one to think about.
const OVER_CODE: &[&str] = &[
    "/boot/efi/loader/random-seed",
    "/boot/grub/grubenv",
    "/boot/grub2/grubenv",
    "/boot/loader/random-seed",
    "/efi/loader/random-seed",
    "/snap/*/*",
    "/usr/lib/sysimage/libdnf5/transaction_history.sqlite-shm",
    "/usr/lib/sysimage/libdnf5/transaction_history.sqlite-wal",
    "/usr/lib/sysimage/rpm/.rpm.lock",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite-shm",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
];

#[test]
fn profiles_free_no_place_of_code_but_those_named_here() {
    let mut over_code = std::collections::BTreeSet::new();
    for profile in Profile::all() {
        for rule in profile.rules().unwrap() {
            let RuleKind::Class(class) = rule.rule.kind else {
                continue;
            };
            // One that seals again what a wider one frees.
            if class == PathClass::Sealed {
                continue;
            }
            let pattern: &Pattern = &rule.rule.pattern;
            if let Some((_, true)) = never::is_freed_by(pattern, class == PathClass::State) {
                over_code.insert(pattern.to_string());
            }
        }
    }
    let found: Vec<&str> = over_code.iter().map(String::as_str).collect();
    assert_eq!(found, OVER_CODE);
}

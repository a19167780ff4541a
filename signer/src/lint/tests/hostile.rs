//! Names and objects that were made to mislead.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use rustix::fs::{CWD, FileType, Mode as Bits, mknodat};

use super::*;

const HOSTILE: &[u8] = b"var/log/\n\x1b[31merror machine-id x \"\xff";

#[test]
fn hostile_name_injects_no_line_or_terminal_escape() {
    let bench = Bench::new(&[File("var/log/x", "")]);
    fs::write(bench.0.path().join(OsStr::from_bytes(HOSTILE)), "x").unwrap();
    fs::write(bench.path("etc/hostname"), "a\x1b[2J\u{202e}b\n").unwrap();
    let report = bench.lint();
    assert_eq!((report.errors, report.warnings), (1, 1));
    let json = String::from_utf8(output::json_bytes(&report).unwrap()).unwrap();
    let sarif = serde_json::to_string(&sarif(&report)).unwrap();
    for said in [report.to_string(), json, sarif.clone()] {
        assert!(!said.contains(['\x1b', '\u{202e}']), "{said}");
        assert!(!said.contains("\nerror machine-id"), "{said}");
    }
    assert!(
        sarif.contains("var/log/%0A%1B%5B31merror%20machine-id%20x"),
        "{sarif}"
    );
    assert!(sarif.contains("%FF"));
}

#[test]
fn links_are_removed_and_never_followed() {
    let outside = TempDir::new().unwrap();
    let kept = outside.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    let bench = Bench::new(&[File("var/crash/x", "x"), File("tmp/a/b", "x")]);
    symlink(outside.path(), bench.path("tmp/out")).unwrap();
    symlink(outside.path(), bench.path("tmp/a/out")).unwrap();
    symlink(&kept, bench.path("var/log/syslog")).unwrap();
    symlink(&kept, bench.path("root/.netrc")).unwrap();
    symlink(outside.path(), bench.path("var/lib/dhcp")).unwrap();
    let report = bench.fix();
    // The temporary directory of this test is what the profile has as `state`.
    assert_eq!(report.found(), ["link-out-of-seal /root/.netrc"]);
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
    assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
    assert!(bench.path("var/log/syslog").exists());
}

#[test]
fn directory_symlink_out_of_root_is_not_entered() {
    let outside = TempDir::new().unwrap();
    fs::create_dir(outside.path().join("log")).unwrap();
    fs::write(outside.path().join("log/x"), "x").unwrap();
    let bench = Bench::new(&[]);
    fs::remove_dir_all(bench.path("var")).unwrap();
    symlink(outside.path(), bench.path("var")).unwrap();
    let report = bench.fix();
    assert!(report.fixed.is_empty(), "{:?}", report.fixed);
    assert_eq!(fs::read(outside.path().join("log/x")).unwrap(), b"x");
}

#[test]
fn lint_fix_does_not_empty_hard_linked_file() {
    let bench = Bench::new(&[]);
    fs::hard_link(bench.path("etc/passwd"), bench.path("var/log/x")).unwrap();
    let report = bench.fix();
    assert_eq!(report.found(), ["logs /var/log/x"]);
    assert!(!fs::read(bench.path("etc/passwd")).unwrap().is_empty());
}

#[test]
fn lint_never_opens_pipes() {
    let bench = Bench::new(&[]);
    for path in [
        "etc/hostname",
        "root/.netrc",
        "root/.npmrc",
        "var/log/pipe",
        "etc/sudoers.d/x",
    ] {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Bits::from_raw_mode(0o600), 0).unwrap();
    }
    // It would wait for a writer for ever.
    let report = bench.fix();
    assert_eq!(report.found(), [""; 0]);
    assert!(report.unknown.is_empty(), "{:?}", report.unknown);
}

#[test]
fn oversized_file_is_unknown_not_clean() {
    let bench = Bench::new(&[]);
    fs::write(bench.path("etc/hostname"), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
    let report = bench.lint();
    assert_eq!(report.findings.len(), 0);
    assert_eq!(report.unknown.len(), 1);
    assert_eq!(report.exit(Level::Error), Exit::Undecided);
}

#[test]
fn sarif_log_has_required_rules_locations_and_suppressions() {
    let waiver = "[[lint.allow]]\nrule = \"mail\"\nreason = \"Kept.\"\n";
    let bench = Bench::new(&[File("etc/machine-id", "0123\n"), File("var/mail/root", "x")]);
    let log = sarif(&bench.lint_with(&format!("{SPEC}{waiver}")));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), table::rules().count());
    for rule in rules {
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["error", "warning"].contains(&level));
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(!rule[text]["text"].as_str().unwrap().is_empty());
        }
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let at = &result["locations"][0]["physicalLocation"]["artifactLocation"];
        assert!(!at["uri"].as_str().unwrap().starts_with('/'));
        let base = at["uriBaseId"].as_str().unwrap();
        assert!(run["originalUriBaseIds"].get(base).is_some());
    }
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "etc/machine-id"
    );
    assert!(results[0].get("suppressions").is_none());
    assert_eq!(results[1]["suppressions"][0]["justification"], "Kept.");
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
}

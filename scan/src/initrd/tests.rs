use std::fs;

use super::*;

const MANIFEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn report() -> Report {
    let mut report = Report::undecided("x".to_owned());
    report.verdict = Verdict::Violated;
    report.manifest = Some(MANIFEST.to_owned());
    report.gate = Some("critical".to_owned());
    report.boot_id = kernel::boot_id();
    report.violations = vec![Finding {
        path: r"/etc/a\x0ab".to_owned(),
        kind: "content".to_owned(),
        expected: "x".to_owned(),
        found: "y".to_owned(),
    }];
    report.undecided = Vec::new();
    report
}

/// A root with this record, of which the tests' user is root.
fn root_with(bytes: &[u8]) -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("run/earmark-initrd");
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("record.json"), bytes).unwrap();
    let root = Root::open(directory.path()).unwrap();
    (directory, root)
}

fn bytes(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).unwrap()
}

#[test]
fn record_gives_back_what_the_initrd_found() {
    let mounts = vec![Mounted {
        path: "/boot".to_owned(),
        device: "259:2".to_owned(),
    }];
    let covered = Covered::of(&Record::new(report(), mounts)).unwrap();
    assert_eq!(covered.manifest.to_string(), MANIFEST);
    assert_eq!(covered.gate, Gate::Critical);
    assert_eq!(covered.violations[0].path.as_bytes(), b"etc/a\nb");
    assert_eq!(covered.violations[0].kind, ViolationKind::Content);
    assert_eq!(covered.mounts[0].0.as_bytes(), b"boot");
    for kind in ViolationKind::ALL {
        assert_eq!(ViolationKind::from_name(kind.name()), Some(kind));
    }
}

#[test]
fn record_without_manifest_gate_or_known_finding_covers_nothing() {
    let spoil: [fn(&mut Report); 4] = [
        |report| report.manifest = None,
        |report| report.gate = Some("all".to_owned()),
        |report| report.violations[0].kind = "odd".to_owned(),
        |report| report.violations[0].path = "etc".to_owned(),
    ];
    assert!(Covered::of(&Record::new(report(), Vec::new())).is_some());
    for spoil in spoil {
        let mut report = report();
        spoil(&mut report);
        assert_eq!(Covered::of(&Record::new(report, Vec::new())), None);
    }
}

#[test]
fn privileged_record_of_another_boot_or_user_is_a_doubt() {
    let good = Record::new(report(), Vec::new());
    let (directory, root) = root_with(&bytes(&good));
    assert!(covered(&root).unwrap().is_some());
    fs::remove_dir_all(directory.path().join("run")).unwrap();
    assert_eq!(covered(&root), Ok(None));

    let mut other = good.clone();
    other.report.boot_id = Some("00000000-0000-0000-0000-000000000000".to_owned());
    let mut newer = good.clone();
    newer.schema = 2;
    for bad in [bytes(&other), bytes(&newer), b"{}".to_vec(), Vec::new()] {
        assert!(covered(&root_with(&bad).1).is_err());
    }
    for path in ["run/earmark-initrd", "run/earmark-initrd/record.json"] {
        let (directory, root) = root_with(&bytes(&good));
        std::os::unix::fs::chown(directory.path().join(path), Some(998), None).unwrap();
        assert!(covered(&root).is_err(), "{path}");
    }
}

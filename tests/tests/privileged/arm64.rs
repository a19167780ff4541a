//! The programs for aarch64 beside those for x86-64: the same packages, the same seals, the same findings.

use std::{fs, os::unix::fs::FileExt, path::Path};

use earmark_tests::{
    Bench, NO_LOCKS, Run,
    emulated::{self, Aarch64},
    overlay::{self, Overlay},
    program, run,
};
use serde_json::Value;

use crate::{packages::linked, tamper};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// `e_machine` of the two architectures.
const MACHINES: [(&str, u8); 2] = [("x86_64", 62), ("aarch64", 183)];
const SEAL: &str = "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml --json";
const TREE: &str = "usr/lib/earmark/seal/tree.zst";

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Gives a root a first process for the machine.
fn boots_on(bench: &Bench, machine: u8) {
    fs::create_dir_all(bench.root().join("usr/lib/systemd")).unwrap();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    elf.extend([machine, 0, 1, 0, 0, 0]);
    bench.write("usr/lib/systemd/systemd", &elf);
}

/// Findings of a verification, without time, boot and duration.
fn found(run: &Run) -> (i32, Value) {
    let mut report = run.json();
    for field in ["time", "boot_id"] {
        report.as_object_mut().unwrap().remove(field);
    }
    let counts = report["counts"].as_object_mut().unwrap();
    assert!(counts.remove("milliseconds").is_some(), "{report:#}");
    (run.code, report)
}

/// Returns what all four programs find, which must be the same for the two of a kind.
#[track_caller]
fn verified(aarch64: &Aarch64, bench: &Bench, root: &Path, what: &str) -> [(i32, Value); 2] {
    let root = root.to_str().unwrap();
    let agent = ["verify", "--gate", "full", "--root", root, "--json"];
    let signer = [
        "verify",
        "--full",
        "--root",
        root,
        "--trust",
        "trust.toml",
        "--json",
    ];
    let agents = [bench.agent(&agent), aarch64.agent(bench, &agent)];
    let signers = [bench.earmark(&signer), aarch64.earmark(bench, &signer)];
    [agents, signers].map(|[x86, arm]| {
        let same = found(&x86);
        assert_eq!(found(&arm), same, "{what}: {}", arm.err);
        same
    })
}

/// Type and machine of an ELF file.
fn elf(program: &Path) -> (u8, u8) {
    let header = fs::read(program).unwrap();
    assert_eq!(header[..5], *b"\x7fELF\x02", "{}", program.display());
    (header[16], header[18])
}

/// Path, mode and owners of what a `.deb` has.
fn contents(deb: &Path) -> Vec<String> {
    let listed = run("dpkg-deb", ["--contents".as_ref(), deb.as_os_str()], None);
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [&words[..2], &words[5..]].concat().join(" ")
    };
    listed.must(0).out.lines().map(entry).collect()
}

#[test]
fn privileged_arm64_packages_are_named_for_their_architecture_and_hold_the_same_files() {
    assert_eq!(
        emulated::packages(),
        [
            format!("earmark-{VERSION}-1.aarch64.rpm"),
            format!("earmark-agent-{VERSION}-1.aarch64.rpm"),
            format!("earmark-agent_{VERSION}_arm64.deb"),
            format!("earmark_{VERSION}_arm64.deb"),
        ]
    );
    for prefix in ["earmark_", "earmark-agent_"] {
        let debs = [
            (overlay::package(prefix, ".deb"), "amd64"),
            (emulated::package(prefix, ".deb"), "arm64"),
        ];
        for (deb, architecture) in &debs {
            let words = ["--field".as_ref(), deb.as_os_str(), "Architecture".as_ref()];
            let field = run("dpkg-deb", words, None).must(0).out;
            assert_eq!(field.trim(), *architecture, "{}", deb.display());
        }
        let [x86, arm] = debs.map(|(deb, _)| contents(&deb));
        assert_eq!(arm, x86);
    }
    for prefix in [
        format!("earmark-{VERSION}"),
        format!("earmark-agent-{VERSION}"),
    ] {
        for (rpm, architecture) in [
            (overlay::package(&prefix, ".rpm"), "x86_64"),
            (emulated::package(&prefix, ".rpm"), "aarch64"),
        ] {
            let words = ["-qp", "--queryformat", "%{ARCH}"].map(AsRef::as_ref);
            let said = run("rpm", words.into_iter().chain([rpm.as_os_str()]), None);
            assert_eq!(said.must(0).out, architecture, "{}", rpm.display());
        }
    }
}

/// Each is loaded at another address each time, as the kernel chooses.
#[test]
fn privileged_arm64_programs_are_position_independent_and_the_agent_is_static() {
    /// A program or library that may lie at any address.
    const DYN: u8 = 3;
    let aarch64 = Aarch64::new();
    for name in ["earmark", "earmark-agent"] {
        assert_eq!(elf(&aarch64.path(name)), (DYN, 183), "{name}");
        assert_eq!(elf(&program(name)), (DYN, 62), "{name}");
        // A library has no such flag.
        let words = ["--wide".as_ref(), "--dynamic".as_ref()];
        for path in [aarch64.path(name), program(name)] {
            let words = words.into_iter().chain([path.as_os_str()]);
            let dynamic = run("readelf", words, None).must(0).out;
            let flags = dynamic.lines().find(|line| line.contains("(FLAGS_1)"));
            assert!(
                flags.is_some_and(|line| line.ends_with(" PIE")),
                "{dynamic}"
            );
        }
    }
    assert_eq!(linked(&aarch64.path("earmark-agent")), [""; 0]);
    // The control: the signer asks for a loader and the C library.
    let asks = linked(&aarch64.path("earmark")).join("\n");
    assert!(
        asks.contains("INTERP") && asks.contains("[libc.so.6]"),
        "{asks}"
    );
}

#[test]
fn privileged_signers_of_both_architectures_seal_for_the_roots_machine_alike() {
    let aarch64 = Aarch64::new();
    let sealed = |bench: &Bench, run: Run| {
        let said = run.must(0).json();
        (
            said["architecture"].clone(),
            fs::read(bench.root().join(TREE)).unwrap(),
        )
    };
    for (name, machine) in MACHINES {
        let bench = Bench::new();
        boots_on(&bench, machine);
        let by_x86 = sealed(&bench, bench.earmark(&words(SEAL)));
        assert_eq!(by_x86.0, name);
        let [agents, signers] = verified(&aarch64, &bench, Path::new("root"), name);
        assert_eq!((agents.0, signers.0), (0, 0), "{agents:?} {signers:?}");
        // Sealed again, by the other one: the same tree, whatever the signer runs on.
        assert_eq!(
            sealed(&bench, aarch64.earmark(&bench, &words(SEAL))),
            by_x86
        );
        let [agents, signers] = verified(&aarch64, &bench, Path::new("root"), name);
        assert_eq!((agents.0, signers.0), (0, 0), "{agents:?} {signers:?}");
        assert_eq!(signers.1["image"]["architecture"], name);

        for (other, _) in MACHINES.iter().filter(|(other, _)| *other != name) {
            let wrong = [&words(SEAL)[..], &["--architecture", other]].concat();
            let refused = [bench.earmark(&wrong), aarch64.earmark(&bench, &wrong)];
            let [x86, arm] = refused.map(|run| run.must(2).err);
            assert!(x86.contains(name) && x86 == arm, "{x86}{arm}");
        }
    }
    // Without a first process, each takes its own, and warns.
    let bench = Bench::new();
    for (run, name) in [
        (bench.earmark(&words(SEAL)), "x86_64"),
        (aarch64.earmark(&bench, &words(SEAL)), "aarch64"),
    ] {
        let run = run.must(0);
        assert!(run.err.contains("--architecture"), "{}", run.err);
        assert_eq!(run.json()["architecture"], name);
    }
}

#[test]
fn privileged_programs_of_both_architectures_find_the_same_changes() {
    let aarch64 = Aarch64::new();
    let sealed = tamper::unsealed();
    boots_on(&sealed, 183);
    sealed.earmark(&words(SEAL)).must(0);
    let [agents, signers] = verified(&aarch64, &sealed, Path::new("root"), "untouched");
    assert_eq!((agents.0, signers.0), (0, 0), "{agents:?} {signers:?}");
    for (what, change, reported) in tamper::CASES {
        let bench = sealed.copy();
        change(&bench);
        for (code, report) in verified(&aarch64, &bench, Path::new("root"), what) {
            let violations = report["violations"].as_array().unwrap();
            let is_reported = violations.iter().any(|one| {
                let path = one["path"].as_str().unwrap();
                format!("{} {path}", one["kind"].as_str().unwrap()) == *reported
            });
            assert!(code == 10 && is_reported, "{what}: {report:#}");
        }
    }
}

/// Thousands of files of every size, hashed in pairs by either kind of instructions.
#[test]
fn privileged_arm64_programs_verify_a_debian_root_as_those_of_x86_do() {
    let (aarch64, bench) = (Aarch64::new(), Bench::new());
    let overlay = Overlay::new("EARMARK_ROOT_SMALL");
    let root = overlay.root();
    let spec = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nprofile = \"debian-12\"\n{NO_LOCKS}"
    );
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    let path = root.to_str().unwrap();
    bench.earmark(&["lint", "--fix", "--root", path]);
    let seal = SEAL.replace("--root root", &format!("--root {path}"));
    let arm = aarch64.earmark(&bench, &words(&seal)).must(0).json();
    let tree = fs::read(root.join(TREE)).unwrap();
    let x86 = bench.earmark(&words(&seal)).must(0).json();
    assert_eq!(arm["architecture"], "x86_64");
    assert_eq!(arm["architecture"], x86["architecture"]);
    assert!(tree == fs::read(root.join(TREE)).unwrap(), "two trees");

    let [agents, signers] = verified(&aarch64, &bench, &root, "untouched");
    assert_eq!((agents.0, signers.0), (0, 0), "{agents:?} {signers:?}");
    let entries = signers.1["counts"]["entries"].as_u64();
    assert!(entries > Some(5000), "{signers:?}");

    for spoilt in ["usr/share/common-licenses/GPL-3", "usr/lib/os-release"] {
        let mut options = fs::File::options();
        let file = options.read(true).write(true).open(root.join(spoilt));
        let file = file.unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 100).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    }
    fs::write(root.join("usr/bin/more"), "more").unwrap();
    for (code, report) in verified(&aarch64, &bench, &root, "tampered") {
        assert_eq!(code, 10);
        let count = report["violations"].as_array().unwrap().len();
        assert_eq!(count, 3, "{report:#}");
    }
}

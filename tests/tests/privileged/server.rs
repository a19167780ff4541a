//! A real Debian server root: sealed, verified, exercised as a host would, and read by others' tools.

use std::{collections::BTreeMap, fs, path::PathBuf};

use earmark_manifest::{entry::Node, tree};
use earmark_tests::{Bench, Run, run};

const SPEC: &str = "\
[image]
name = \"server\"
platform = \"file\"
[tree]
profile = \"debian-12\"
[[lint.allow]]
rule = \"private-key\"
reason = \"That of the package ssl-cert, and those of manuals.\"
";

/// A copy of the server root, sealed beside a bench's keys.
struct Server {
    bench: Bench,
}

impl Server {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root: run `cargo xtask test`"
        );
        let from = std::env::var("EARMARK_ROOT_SERVER")
            .expect("EARMARK_ROOT_SERVER: run `cargo xtask test`");
        let bench = Bench::new();
        fs::remove_dir_all(bench.root()).unwrap();
        run(
            "cp",
            [
                "-a",
                "--reflink=auto",
                &from,
                bench.root().to_str().unwrap(),
            ],
            None,
        )
        .must(0);
        fs::write(bench.path("earmark.toml"), SPEC).unwrap();
        Self { bench }
    }

    fn verify(&self) -> Run {
        self.bench.verify()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.bench.root().join(path)
    }

    fn in_root(&self, script: &str) -> Run {
        run("sh", ["-c", script], Some(&self.bench.root()))
    }
}

/// One test, because the root is large: each part works on what the one before it left.
#[test]
fn privileged_real_server_root_seals_verifies_and_detects_tampering() {
    let server = Server::new();
    let bench = &server.bench;
    bench.seal().must(0);
    let report = server.verify().must(0).json();
    assert_eq!(report["verdict"], "verified");
    let (entries, bytes) = (
        report["counts"]["entries"].as_u64().unwrap(),
        report["counts"]["bytes_read"].as_u64().unwrap(),
    );
    println!("{entries} entries, {bytes} bytes");
    assert!(entries >= 60_000, "{entries} entries are no server");
    assert!(bytes >= 2 << 30, "{bytes} bytes are no server");
    let critical = bench
        .agent(&["verify", "--gate", "critical", "--root", "root", "--json"])
        .must(0)
        .json();
    assert_eq!(critical["verdict"], "partial");
    assert!(critical["counts"]["files_read"].as_u64().unwrap() > 100);

    let stored = fs::read(server.at("usr/lib/earmark/seal/tree.zst")).unwrap();
    let per_entry = stored.len() as u64 / entries;
    println!("{per_entry} bytes an entry");
    assert!(per_entry <= 90);

    every_fsverity_digest_is_that_of_fsverity_utils(&server, &stored);
    the_exports_are_accepted_and_refuse_a_change(&server);
    sealing_again_gives_the_same_bytes(&server, &stored);
    tampering_is_found_in_a_real_root(&server);
    a_host_that_lived_has_no_violation(&server);
}

fn every_fsverity_digest_is_that_of_fsverity_utils(server: &Server, stored: &[u8]) {
    let script = "find . -xdev -type f -print0 | xargs -0 -n 500 fsverity digest --hash-alg=sha256 --block-size=4096";
    let listed = server.in_root(script).must(0).out;
    let theirs: BTreeMap<&str, &str> = listed
        .lines()
        .map(|line| line.split_once(' ').expect("a digest and a path"))
        .map(|(digest, path)| (path.strip_prefix("./").unwrap(), digest))
        .collect();
    let mut compared = 0;
    for entry in tree::read(stored).unwrap() {
        let entry = entry.unwrap();
        let Node::Regular(Some(content)) = entry.node else {
            continue;
        };
        // The signer stamped it, and it is the one file whose bytes it had in hand beforehand.
        let path = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
        assert_eq!(
            theirs.get(&*path),
            Some(&&*content.verity.to_string()),
            "{path}"
        );
        compared += 1;
    }
    println!("{compared} fs-verity digests");
    assert!(compared >= 50_000);
}

fn the_exports_are_accepted_and_refuse_a_change(server: &Server) {
    let bench = &server.bench;
    for (format, script) in [
        ("sha256sums", "sha256sum --quiet --strict -c ../sha256sums"),
        ("mtree", "mtree -f ../mtree -p ."),
    ] {
        bench
            .earmark(&["export", "root", "--format", format, "--out", format])
            .must(0);
        let accepted = server.in_root(script);
        assert_eq!(
            accepted.code,
            0,
            "{format}: {}{}",
            tail(&accepted.out),
            tail(&accepted.err)
        );
        flip(server, "usr/bin/env", || {
            let refused = server.in_root(script);
            assert_ne!(refused.code, 0, "{format}");
            assert!(
                format!("{}{}", refused.out, refused.err).contains("usr/bin/env"),
                "{format}: {}",
                tail(&refused.out)
            );
        });
    }
    let trust = bench
        .earmark(&["export", "root", "--format", "fapolicyd"])
        .must(0)
        .out;
    assert!(
        trust.lines().any(|line| line.starts_with("/usr/bin/env ")),
        "{}",
        tail(&trust)
    );
}

fn sealing_again_gives_the_same_bytes(server: &Server, stored: &[u8]) {
    let manifest = fs::read(server.at("usr/lib/earmark/seal/manifest.json")).unwrap();
    server.bench.seal().must(0);
    assert!(fs::read(server.at("usr/lib/earmark/seal/tree.zst")).unwrap() == stored);
    assert!(fs::read(server.at("usr/lib/earmark/seal/manifest.json")).unwrap() == manifest);
}

fn tampering_is_found_in_a_real_root(server: &Server) {
    flip(server, "usr/bin/env", || {
        assert_eq!(
            server.verify().must(10).violations(),
            ["content /usr/bin/env"]
        );
    });
    for added in [
        "etc/systemd/system/evil.service",
        "etc/cron.d/evil",
        "etc/ld.so.preload",
        "etc/sudoers.d/evil",
        "etc/profile.d/evil.sh",
        "usr/local/bin/ls",
        "etc/ssh/sshd_config.d/evil.conf",
        "root/.ssh/authorized_keys",
        "usr/lib/python3/dist-packages/evil.pth",
    ] {
        let path = server.at(added);
        let parent = path.parent().unwrap();
        let made = (!parent.exists()).then(|| fs::create_dir(parent).unwrap());
        fs::write(&path, "evil").unwrap();
        let critical = server
            .bench
            .agent(&["verify", "--gate", "critical", "--root", "root", "--json"]);
        fs::remove_file(&path).unwrap();
        if made.is_some() {
            fs::remove_dir(parent).unwrap();
        }
        let violations = critical.must(10).violations();
        assert!(
            violations.contains(&format!("added /{added}")),
            "{violations:?}"
        );
    }
    server.verify().must(0);
}

/// Boots it, and runs every package's post-installation step: what changes by itself is classed.
fn a_host_that_lived_has_no_violation(server: &Server) {
    let xtask = std::env::var("EARMARK_XTASK").expect("EARMARK_XTASK: run `cargo xtask test`");
    let exercise = run(
        xtask,
        [
            "exercise",
            "--in-place",
            server.bench.root().to_str().unwrap(),
        ],
        None,
    );
    assert_eq!(
        exercise.code,
        0,
        "{}{}",
        tail(&exercise.out),
        tail(&exercise.err)
    );
    assert!(
        server.at("etc/ssh/ssh_host_ed25519_key").exists() || server.at("var/log/journal").exists(),
        "it was not booted"
    );
    let run = server.verify();
    assert_eq!(run.code, 0, "{}", run.out);
}

/// Changes one byte for as long as `check` takes, and asserts that the root verifies without it.
fn flip(server: &Server, path: &str, check: impl FnOnce()) {
    let path = server.at(path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    check();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    server.verify().must(0);
}

fn tail(text: &str) -> &str {
    text.get(text.len().saturating_sub(3000)..).unwrap_or(text)
}

/// Checks the output for people of `inspect` and `diff` on a real image.
#[test]
fn privileged_diff_names_changed_packages_and_inspect_summarizes_the_seal() {
    let small =
        std::env::var("EARMARK_ROOT_SMALL").expect("EARMARK_ROOT_SMALL: run `cargo xtask test`");
    let bench = Bench::new();
    let spec = SPEC.replace("server", "small");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    let seal = |root: &str, version: &str| {
        let args = [
            "seal",
            "--root",
            root,
            "--spec",
            "earmark.toml",
            "--version",
            version,
            "--key",
            "release.key",
            "--trust",
            "trust.toml",
        ];
        bench.earmark(&args).must(0);
    };
    for name in ["old", "new"] {
        run(
            "cp",
            [
                "-a",
                "--reflink=auto",
                &small,
                bench.path(name).to_str().unwrap(),
            ],
            None,
        )
        .must(0);
    }
    seal("old", "1.0");
    let new = bench.path("new");
    fs::write(new.join("usr/bin/ssh"), "another").unwrap();
    fs::write(new.join("usr/local/bin/added"), "added").unwrap();
    fs::remove_file(new.join("usr/bin/tac")).unwrap();
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    let spec = format!(
        "{spec}[verify]\non_failure = \"halt\"\n[[first_boot]]\nname = \"join\"\ncommand = {{ argv = [\"/usr/bin/true\"] }}\n"
    );
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    seal("new", "1.1");
    for format in ["text", "json", "markdown"] {
        let diff = bench
            .earmark(&["diff", "old", "new", "--format", format])
            .must(0)
            .out;
        for word in [
            "openssh-client",
            "coreutils",
            "usr/bin/ssh",
            "usr/bin/tac",
            "usr/local/bin/added",
            "join",
            "halt",
            "1.1",
        ] {
            assert!(diff.contains(word), "{format} lacks {word}: {diff}");
        }
    }
    assert!(bench.earmark(&["diff", "old", "old"]).must(0).out.len() < 2000);
    let inspect = bench.earmark(&["inspect", "new"]).must(0).out;
    for word in [
        "small",
        "1.1",
        "x86_64",
        "join",
        "halt",
        "passwd",
        "remote_access",
    ] {
        assert!(inspect.contains(word), "inspect lacks {word}: {inspect}");
    }
}

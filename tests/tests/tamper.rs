//! Each way of changing a sealed root is found, named and refused; and each has its control.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use earmark_tests::{Bench, Run};

/// A change, what it must be reported as, and where.
struct Case {
    name: &'static str,
    tamper: Change,
    reported: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "one byte changed, size and times restored",
        tamper: |bench| {
            let path = bench.root().join("usr/lib/large");
            let times = fs::metadata(&path).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.write_at(b"x", 299_999).unwrap();
            let times = fs::FileTimes::new()
                .set_modified(times.modified().unwrap())
                .set_accessed(times.accessed().unwrap());
            file.set_times(times).unwrap();
        },
        reported: "content /usr/lib/large",
    },
    Case {
        name: "a byte more",
        tamper: |bench| bench.write("usr/bin/web", b"#!/bin/true\n\n"),
        reported: "size /usr/bin/web",
    },
    Case {
        name: "an empty file filled",
        tamper: |bench| bench.write("usr/lib/empty", b"x"),
        reported: "size /usr/lib/empty",
    },
    Case {
        name: "mode widened",
        tamper: |bench| bench.chmod("etc/shadow", 0o644),
        reported: "mode /etc/shadow",
    },
    Case {
        name: "mode narrowed",
        tamper: |bench| bench.chmod("usr/bin/web", 0o700),
        reported: "mode /usr/bin/web",
    },
    Case {
        name: "set-id bit",
        tamper: |bench| bench.chmod("usr/bin/web", 0o4755),
        reported: "mode /usr/bin/web",
    },
    Case {
        name: "mode of a directory",
        tamper: |bench| bench.chmod("etc/cron.d", 0o777),
        reported: "mode /etc/cron.d",
    },
    Case {
        name: "mode of the root directory",
        tamper: |bench| bench.chmod("", 0o777),
        reported: "mode /",
    },
    Case {
        name: "added unit",
        tamper: |bench| bench.write("etc/systemd/system/evil.service", b"[Service]\n"),
        reported: "added /etc/systemd/system/evil.service",
    },
    Case {
        name: "added drop-in",
        tamper: |bench| {
            fs::create_dir(bench.root().join("etc/systemd/system/web.service.d")).unwrap();
            bench.write("etc/systemd/system/web.service.d/evil.conf", b"[Service]\n");
        },
        reported: "added /etc/systemd/system/web.service.d/evil.conf",
    },
    Case {
        name: "added cron entry",
        tamper: |bench| bench.write("etc/cron.d/evil", b"* * * * * root true\n"),
        reported: "added /etc/cron.d/evil",
    },
    Case {
        name: "added ld.so.preload",
        tamper: |bench| bench.write("etc/ld.so.preload", b"/evil.so\n"),
        reported: "added /etc/ld.so.preload",
    },
    Case {
        name: "added empty directory",
        tamper: |bench| fs::create_dir(bench.root().join("opt/evil")).unwrap(),
        reported: "added /opt/evil",
    },
    Case {
        name: "added file beside the seal",
        tamper: |bench| bench.write("usr/lib/earmark/seal/evil", b""),
        reported: "added /usr/lib/earmark/seal/evil",
    },
    Case {
        name: "name that differs by case",
        tamper: |bench| bench.write("usr/bin/WEB", b"#!/bin/true\n"),
        reported: "added /usr/bin/WEB",
    },
    Case {
        name: "name that differs by normalisation",
        tamper: |bench| bench.write("usr/bin/we\u{301}b", b"#!/bin/true\n"),
        reported: r"added /usr/bin/we\xcc\x81b",
    },
    Case {
        name: "removed file",
        tamper: |bench| fs::remove_file(bench.root().join("usr/bin/web")).unwrap(),
        reported: "missing /usr/bin/web",
    },
    Case {
        name: "removed file with a hostile name",
        tamper: |bench| fs::remove_file(bench.root().join("usr/lib/\n\x1b[31mred\\ name")).unwrap(),
        reported: r"missing /usr/lib/\x0a\x1b[31mred\x5c\x20name",
    },
    Case {
        name: "removed directory",
        tamper: |bench| fs::remove_dir(bench.root().join("etc/cron.d")).unwrap(),
        reported: "missing /etc/cron.d",
    },
    Case {
        name: "file replaced by a link to a copy of it",
        tamper: |bench| {
            let (path, copy) = (
                bench.root().join("usr/bin/web"),
                bench.root().join("var/lib/web"),
            );
            fs::rename(&path, copy).unwrap();
            symlink("/var/lib/web", path).unwrap();
        },
        reported: "type /usr/bin/web",
    },
    Case {
        name: "file replaced by a directory",
        tamper: |bench| {
            replace(&bench.root().join("usr/bin/web"), |path| {
                fs::create_dir(path).unwrap();
            });
        },
        reported: "type /usr/bin/web",
    },
    Case {
        name: "file replaced by a pipe, which must not be opened",
        tamper: |bench| replace(&bench.root().join("usr/bin/web"), make_fifo),
        reported: "type /usr/bin/web",
    },
    Case {
        name: "link retargeted",
        tamper: |bench| {
            replace(&bench.root().join("bin"), |path| {
                symlink("usr/bin/", path).unwrap();
            });
        },
        reported: "target /bin",
    },
    Case {
        name: "hard link swapped for a copy",
        tamper: |bench| {
            replace(&bench.root().join("usr/bin/helper-2"), |path| {
                fs::write(path, "helper\n").unwrap();
            });
        },
        reported: "hard-link /usr/bin/helper",
    },
    Case {
        name: "hard link from state onto a sealed file",
        tamper: |bench| {
            fs::hard_link(
                bench.root().join("usr/bin/web"),
                bench.root().join("var/lib/web"),
            )
            .unwrap();
        },
        reported: "hard-link /usr/bin/web",
    },
    Case {
        name: "mutable path made a hard link onto a sealed file",
        tamper: |bench| {
            let sealed = bench.root().join("etc/passwd");
            replace(&bench.root().join("etc/resolv.conf"), |path| {
                fs::hard_link(sealed, path).unwrap();
            });
        },
        reported: "hard-link /etc/passwd",
    },
    Case {
        name: "sealed directory replaced by a link to a copy outside",
        tamper: |bench| {
            let (path, outside) = (bench.root().join("usr/share/web"), bench.path("outside"));
            fs::rename(&path, &outside).unwrap();
            symlink(outside, path).unwrap();
        },
        reported: "type /usr/share/web",
    },
    Case {
        name: "state directory replaced by a link",
        tamper: |bench| {
            fs::rename(bench.root().join("var/lib"), bench.root().join("run/lib")).unwrap();
            symlink("/run/lib", bench.root().join("var/lib")).unwrap();
        },
        reported: "type /var/lib",
    },
    Case {
        name: "undeclared state made a link",
        tamper: |bench| {
            fs::create_dir(bench.root().join("srv")).unwrap();
            symlink("/etc", bench.root().join("srv/data")).unwrap();
        },
        reported: "type /srv/data",
    },
    Case {
        name: "mutable file made wider",
        tamper: |bench| bench.chmod("etc/resolv.conf", 0o666),
        reported: "mode /etc/resolv.conf",
    },
    Case {
        name: "mutable file made a link",
        tamper: |bench| {
            replace(&bench.root().join("etc/resolv.conf"), |path| {
                symlink("/run/x", path).unwrap();
            });
        },
        reported: "type /etc/resolv.conf",
    },
    Case {
        name: "generated path made a directory",
        tamper: |bench| fs::create_dir(bench.root().join("etc/ssh/ssh_host_rsa_key")).unwrap(),
        reported: "type /etc/ssh/ssh_host_rsa_key",
    },
    Case {
        name: "generated path that others may write",
        tamper: |bench| {
            bench.write("etc/ssh/ssh_host_rsa_key", b"key");
            bench.chmod("etc/ssh/ssh_host_rsa_key", 0o666);
        },
        reported: "mode /etc/ssh/ssh_host_rsa_key",
    },
    Case {
        name: "rendered path that no step wrote",
        tamper: |bench| bench.write("etc/web/config.toml", b"evil"),
        reported: "added /etc/web/config.toml",
    },
    Case {
        name: "trust file that others may write",
        tamper: |bench| bench.chmod("usr/lib/earmark/trust.toml", 0o666),
        reported: "mode /usr/lib/earmark/trust.toml",
    },
];

type Change = fn(&Bench);

/// What a running host may do, and what makes no difference.
const HARMLESS: &[(&str, Change)] = &[
    ("nothing", |_| {}),
    ("a sparse file with the same content", |bench| {
        let path = bench.root().join("usr/lib/zeros");
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
    }),
    ("mutable content", |bench| {
        bench.write("etc/resolv.conf", b"nameserver 203.0.113.9\n");
    }),
    ("mutable mode narrowed", |bench| {
        bench.chmod("etc/resolv.conf", 0o600);
    }),
    ("mutable link retargeted", |bench| {
        replace(&bench.root().join("etc/alternatives/editor"), |path| {
            symlink("/usr/bin/helper", path).unwrap();
        });
    }),
    ("generated file", |bench| {
        bench.write("etc/ssh/ssh_host_rsa_key", b"key");
        bench.chmod("etc/ssh/ssh_host_rsa_key", 0o600);
    }),
    ("state", |bench| {
        bench.write("var/lib/anything", b"x");
        bench.chmod("var/lib/anything", 0o777);
        fs::create_dir_all(bench.root().join("run/deep/er")).unwrap();
    }),
    ("state gone", |bench| {
        fs::remove_dir(bench.root().join("var/lib")).unwrap();
    }),
    ("times", |bench| {
        let file = fs::File::options()
            .write(true)
            .open(bench.root().join("usr/bin/web"))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
            .unwrap();
    }),
];

#[test]
fn every_change_of_the_tree_is_refused_and_named() {
    let sealed = Bench::sealed();
    for case in CASES {
        let bench = sealed.copy();
        bench.verify().must(0);
        (case.tamper)(&bench);
        let run = bench.verify();
        assert_eq!(run.code, 10, "{}: {}{}", case.name, run.out, run.err);
        assert_eq!(run.json()["verdict"], "violated", "{}", case.name);
        let violations = run.violations();
        assert!(
            violations.iter().any(|found| found == case.reported),
            "{}: {violations:?}",
            case.name
        );
        // What CI sees offline is what the host sees.
        assert_eq!(
            bench
                .earmark(&["verify", "--root", "root", "--trust", "trust.toml"])
                .code,
            10,
            "{}",
            case.name
        );
    }
}

#[test]
fn what_a_host_may_do_is_no_violation() {
    let unsealed = Bench::new();
    unsealed.write("usr/lib/zeros", &vec![0; 1 << 20]);
    unsealed.seal().must(0);
    for (name, change) in HARMLESS {
        let bench = unsealed.copy();
        change(&bench);
        let run = bench.verify();
        assert_eq!(run.code, 0, "{name}: {}{}", run.out, run.err);
        assert_eq!(run.json()["verdict"], "verified", "{name}");
    }
}

/// Verifies as the agent does at boot, before first boot.
fn violations_at_boot(bench: &Bench) -> (i32, Vec<String>) {
    let run = bench.agent(&["verify", "--boot", "--gate", "full", "--root", "root"]);
    let status = fs::read(bench.root().join("run/earmark/status.json")).unwrap();
    let kept = Run {
        out: String::from_utf8(status).unwrap(),
        ..run
    };
    (kept.code, kept.violations())
}

#[test]
fn a_rendered_file_is_held_to_what_its_step_wrote() {
    let bench = Bench::sealed();
    let manifest = bench.verify().must(0).json()["manifest"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.write("etc/web/config.toml", b"environment = prod\n");
    bench.chmod("etc/web/config.toml", 0o640);
    let digest = "sha256:3c88ba3f0b3b0ab6e1f5f2bfa8ce0a0a6b1b1f9d1d0e6b5e0c7fe1a2e7c0ffee";
    let record = |manifest: &str, digest: &str| {
        format!(
            r#"{{"schema":2,"manifest":"{manifest}","files":[{{"path":"/etc/web/config.toml","sha256":"{digest}"}}]}}"#
        )
    };
    fs::create_dir(bench.root().join("var/lib/earmark")).unwrap();
    bench.write(
        "var/lib/earmark/rendered.json",
        record(&manifest, digest).as_bytes(),
    );
    let wrong = bench.verify().must(10);
    assert_eq!(wrong.violations(), ["content /etc/web/config.toml"]);
    let found = wrong.json()["violations"][0]["found"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.write(
        "var/lib/earmark/rendered.json",
        record(&manifest, &found).as_bytes(),
    );
    let good = bench.verify().must(0);
    assert_eq!(good.json()["counts"]["files_on_host_word"], 1);
    let shown = bench
        .earmark(&["verify", "--root", "root", "--trust", "trust.toml"])
        .must(0);
    assert!(
        shown.out.contains("1 file stands on the host's own word"),
        "{}",
        shown.out
    );
    // Owner and mode are signed, whatever a record says.
    bench.chmod("etc/web/config.toml", 0o644);
    assert_eq!(
        bench.verify().must(10).violations(),
        ["mode /etc/web/config.toml"]
    );
    bench.chmod("etc/web/config.toml", 0o640);
    // A file that a step wrote does not go away by itself, and its step leaves nothing beside it.
    let file = bench.root().join("etc/web/config.toml");
    fs::rename(&file, bench.root().join("etc/web/.earmark-rendering")).unwrap();
    let both = [
        "added /etc/web/.earmark-rendering",
        "missing /etc/web/config.toml",
    ];
    assert_eq!(bench.verify().must(10).violations(), both);
    assert_eq!(
        violations_at_boot(&bench),
        (10, both.map(str::to_owned).to_vec())
    );
    // Until it is known to be written, a power cut may have left any of that. Only the boot's own verification
    // knows that first boot follows; for anybody else the file is in doubt.
    let pending = record(&manifest, &found).replace("}]", ",\"pending\":true}]");
    bench.write("var/lib/earmark/rendered.json", pending.as_bytes());
    assert_eq!(violations_at_boot(&bench), (0, vec![]));
    assert_eq!(
        bench.verify().must(10).violations(),
        ["added /etc/web/.earmark-rendering"]
    );
    fs::rename(bench.root().join("etc/web/.earmark-rendering"), &file).unwrap();
    assert_eq!(violations_at_boot(&bench), (0, vec![]));
    let doubted = bench.verify().must(11);
    let doubt = &doubted.json()["undecided"][0];
    assert_eq!(doubt["path"], "/etc/web/config.toml");
    assert!(
        doubt["found"].to_string().contains("interrupted"),
        "{doubt}"
    );
    bench.write("etc/web/.earmark-other", b"");
    let other = "added /etc/web/.earmark-other".to_owned();
    assert_eq!(violations_at_boot(&bench), (10, vec![other]));
    fs::remove_file(bench.root().join("etc/web/.earmark-other")).unwrap();
    // A record of another manifest is none; one that does not parse is a doubt.
    bench.write(
        "var/lib/earmark/rendered.json",
        record(digest, &found).as_bytes(),
    );
    assert_eq!(
        bench.verify().must(10).violations(),
        ["added /etc/web/config.toml"]
    );
    for unusable in ["{", r#"{"schema":3,"manifest":"","files":[]}"#] {
        bench.write("var/lib/earmark/rendered.json", unusable.as_bytes());
        bench.verify().must(11);
    }
    fs::remove_file(bench.root().join("etc/web/config.toml")).unwrap();
    bench.verify().must(11);
}

#[test]
fn rules_say_what_a_path_may_be_and_no_more() {
    let bench = Bench::new();
    let owner = fs::metadata(bench.root()).unwrap();
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    let rules = format!(
        r#"mutable = [
            {{ path = "/etc/resolv.conf", type = ["file", "link"], reason = "Some hosts have a link." }},
            {{ path = "/etc/alternatives/editor", type = ["link", "file"], reason = "Some have a file." }},
            "/etc/web/*.dat",
            "/etc/web/both",
        ]
        generated = [
            {{ path = "/etc/ssh/ssh_host_*_key", owner = "root", group = "{}", mode = "0640", reason = "Keys." }},
            {{ path = "/opt/made", type = ["directory", "link"], mode = "0700", reason = "Made at boot." }},
            "/opt/made/file",
            "/etc/web/both",
        ]"#,
        owner.gid()
    );
    let (before, after) = spec.split_once("mutable = ").unwrap();
    let (_, after) = after
        .split_once("generated = [\"/etc/ssh/ssh_host_*_key\"]")
        .unwrap();
    fs::write(
        bench.path("earmark.toml"),
        format!("{before}{rules}{after}"),
    )
    .unwrap();
    bench.write("etc/web/a.dat", b"a");
    bench.seal().must(0);
    bench.verify().must(0);
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "file became a link",
            |bench| {
                replace(&bench.root().join("etc/resolv.conf"), |path| {
                    symlink("/run/x", path).unwrap();
                });
            },
            &[],
        ),
        (
            "link became a file",
            |bench| {
                replace(&bench.root().join("etc/alternatives/editor"), |path| {
                    fs::write(path, "x").unwrap();
                });
                bench.chmod("etc/alternatives/editor", 0o644);
            },
            &[],
        ),
        (
            "link became a program",
            |bench| {
                replace(&bench.root().join("etc/alternatives/editor"), |path| {
                    fs::write(path, "x").unwrap();
                });
                bench.chmod("etc/alternatives/editor", 0o755);
            },
            &["mode /etc/alternatives/editor"],
        ),
        (
            "file became a directory",
            |bench| {
                replace(&bench.root().join("etc/resolv.conf"), |path| {
                    fs::create_dir(path).unwrap();
                });
            },
            &["type /etc/resolv.conf"],
        ),
        (
            "content of what a glob names",
            |bench| bench.write("etc/web/a.dat", b"b"),
            &[],
        ),
        (
            "new file of that glob",
            |bench| bench.write("etc/web/b.dat", b"b"),
            &["added /etc/web/b.dat"],
        ),
        (
            "what a glob names is gone",
            |bench| {
                fs::remove_file(bench.root().join("etc/web/a.dat")).unwrap();
            },
            &["missing /etc/web/a.dat"],
        ),
        (
            "new file of both classes",
            |bench| {
                bench.write("etc/web/both", b"x");
                bench.chmod("etc/web/both", 0o644);
            },
            &[],
        ),
        (
            "key within its mode",
            |bench| {
                bench.write("etc/ssh/ssh_host_rsa_key", b"key");
                bench.chmod("etc/ssh/ssh_host_rsa_key", 0o640);
            },
            &[],
        ),
        (
            "key beyond its mode",
            |bench| {
                bench.write("etc/ssh/ssh_host_rsa_key", b"key");
                bench.chmod("etc/ssh/ssh_host_rsa_key", 0o644);
            },
            &["mode /etc/ssh/ssh_host_rsa_key"],
        ),
        (
            "directory that may appear, with a file",
            |bench| {
                fs::create_dir(bench.root().join("opt/made")).unwrap();
                bench.chmod("opt/made", 0o700);
                bench.write("opt/made/file", b"x");
                bench.chmod("opt/made/file", 0o644);
            },
            &[],
        ),
        (
            "directory that is wider, with another file",
            |bench| {
                fs::create_dir(bench.root().join("opt/made")).unwrap();
                bench.chmod("opt/made", 0o755);
                bench.write("opt/made/other", b"x");
            },
            &["mode /opt/made", "added /opt/made/other"],
        ),
        (
            "file in the place of a directory that may appear",
            |bench| {
                bench.write("opt/made", b"x");
            },
            &["type /opt/made"],
        ),
    ];
    for (name, change, expected) in cases {
        let bench = bench.copy();
        change(&bench);
        let run = bench.verify();
        assert_eq!(run.violations(), *expected, "{name}: {}", run.out);
        assert_eq!(run.code, if expected.is_empty() { 0 } else { 10 }, "{name}");
    }
}

#[test]
fn rules_that_free_earmarks_own_files_or_do_nothing_are_not_sealed() {
    let bench = Bench::new();
    bench.copy().seal().must(0);
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    for (rule, why) in [
        ("/usr/bin/**", "would let go of '/usr/bin/earmark*'"),
        (
            "/usr/lib/earmark/**",
            "would let go of '/usr/lib/earmark/**'",
        ),
        ("/etc/systemd/**", "would let go of"),
        (
            "/etc/absent.conf",
            "has no effect: the image has no such path",
        ),
        (
            "/etc/resolv.conf",
            "has no effect: 'mutable /etc/resolv.conf', which comes later",
        ),
        ("/etc/cron.d/*.conf", "rule-over-code"),
    ] {
        let with = spec.replacen("mutable = [", &format!("mutable = [\"{rule}\", "), 1);
        fs::write(bench.path("earmark.toml"), with).unwrap();
        bench.write("etc/cron.d/a.conf", b"x");
        let refused = bench.seal();
        assert_ne!(refused.code, 0, "{rule}");
        assert!(refused.err.contains(why), "{rule}: {}", refused.err);
    }
    // An account that the image does not have.
    let with = spec.replacen("owner = \"root\"", "owner = \"nobody-here\"", 1);
    fs::write(bench.path("earmark.toml"), with).unwrap();
    let refused = bench.seal().must(2);
    let place = "there is no 'nobody-here' in /etc/passwd";
    assert!(
        refused.err.contains(place) && refused.err.contains("line "),
        "{}",
        refused.err
    );
}

/// The gate must not stop at the first name of a file that has several.
#[test]
fn a_critical_name_is_read_though_another_name_comes_first() {
    let bench = Bench::new();
    let root = bench.root();
    bench.write("bar", b"configuration\n");
    fs::hard_link(root.join("bar"), root.join("etc/critical")).unwrap();
    fs::hard_link(root.join("bar"), root.join("etc/critical-2")).unwrap();
    bench.seal().must(0);
    let critical = ["verify", "--gate", "critical", "--root", "root", "--json"];
    bench.agent(&critical).must(0);
    bench.write("bar", b"configuratiom\n");
    let violations = bench.agent(&critical).must(10).violations();
    assert_eq!(violations, ["content /etc/critical"]);
}

#[test]
fn hostile_names_never_reach_a_terminal() {
    let bench = Bench::sealed();
    bench.write("etc/\x1b]0;evil\x07\nverdict    VERIFIED", b"");
    for run in [
        bench.agent(&["verify", "--root", "root"]),
        bench.earmark(&["verify", "--root", "root", "--own-trust"]),
    ] {
        let run = run.must(10);
        let shown = format!("{}{}", run.out, run.err);
        assert!(!shown.contains(['\x1b', '\x07']), "{shown:?}");
        assert!(!shown.contains("\nverdict"), "{shown}");
    }
}

fn replace(path: &Path, with: impl FnOnce(&Path)) {
    if path.symlink_metadata().unwrap().is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
    with(path);
}

fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o755), 0).unwrap();
}

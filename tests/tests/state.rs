//! Lies in the host's own state, which whoever was root once can write: none makes a verdict better than the honest
//! state, or none, would.
//!
//! A new file of the state gets a line in `layout::STATE_FILES`, and is then tried here with each of [`FORMS`].

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use earmark_manifest::{crypto, layout};
use earmark_tests::{
    Bench, Run,
    facts::host::{NEXT_STEP, OTHERS_MAY_WRITE},
    run,
};
use serde_json::{Value, json};

const RENDERED: &str = "etc/web/config.toml";
const RECORD: &str = "var/lib/earmark/rendered.json";
const TEXT: &[u8] = b"environment = prod\n";

/// A sealed root after its first boot, with an honest record of the file that its step wrote.
fn booted() -> Bench {
    let bench = Bench::sealed();
    fs::create_dir(bench.root().join("var/lib/earmark")).unwrap();
    bench.chmod("var/lib/earmark", 0o711);
    bench.write(RENDERED, TEXT);
    bench.chmod(RENDERED, 0o640);
    record(&bench, &[(&format!("/{RENDERED}"), TEXT, false)]);
    bench
}

/// The digest of the manifest that a root is sealed with.
fn manifest(bench: &Bench) -> String {
    bench.verify().json()["manifest"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Writes a record of rendered files as the agent does.
fn record(bench: &Bench, files: &[(&str, &[u8], bool)]) {
    write_record(bench, 2, &manifest(bench), files, &json!({}));
}

fn write_record(
    bench: &Bench,
    schema: u64,
    manifest: &str,
    files: &[(&str, &[u8], bool)],
    more: &Value,
) {
    let files = files.iter().map(|(path, content, pending)| {
        let mut file = json!({
            "path": path, "sha256": crypto::sha256(content).to_string(), "pending": pending
        });
        let more = more.as_object().unwrap().clone();
        file.as_object_mut().unwrap().extend(more);
        file
    });
    let record = json!({
        "schema": schema, "manifest": manifest, "files": files.collect::<Vec<_>>()
    });
    bench.write(RECORD, record.to_string().as_bytes());
    bench.chmod(RECORD, 0o600);
}

/// Verdicts, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Violated,
    Undecided,
    Partial,
    Verified,
}

impl Rank {
    fn of(report: &Value) -> Self {
        match report["verdict"].as_str().unwrap() {
            "violated" => Self::Violated,
            "undecided" => Self::Undecided,
            "partial" => Self::Partial,
            "verified" => Self::Verified,
            other => panic!("{other}"),
        }
    }
}

/// Verdicts of everybody who verifies: the agent, the agent at boot, and the signer on another host; and the
/// files that each of them says to stand on the host's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    agent: Rank,
    boot: Rank,
    offline: Rank,
    on_host_word: [u64; 3],
}

impl Seen {
    fn of(bench: &Bench) -> Self {
        let runs = [
            bench.verify(),
            bench.verify_at_boot(),
            bench.verify_offline(),
        ];
        let reports = runs.each_ref().map(Run::json);
        let on_host_word = reports.each_ref().map(|report| {
            let count = report["counts"]["files_on_host_word"].as_u64();
            count.unwrap()
        });
        let ranks = reports.each_ref().map(Rank::of);
        for (run, rank) in runs.iter().zip(ranks) {
            let expected = match rank {
                Rank::Violated => 10,
                Rank::Undecided => 11,
                Rank::Partial | Rank::Verified => 0,
            };
            assert_eq!(run.code, expected, "{}{}", run.out, run.err);
        }
        let [agent, boot, offline] = ranks;
        Self {
            agent,
            boot,
            offline,
            on_host_word,
        }
    }

    /// The better of two, each for itself.
    fn or(self, other: Self) -> Self {
        Self {
            agent: self.agent.max(other.agent),
            boot: self.boot.max(other.boot),
            offline: self.offline.max(other.offline),
            on_host_word: self.on_host_word,
        }
    }

    fn is_better_than(self, best: Self) -> bool {
        self.agent > best.agent || self.boot > best.boot || self.offline > best.offline
    }
}

/// A change of the root that a lie in the record could try to cover.
struct Tamper {
    name: &'static str,
    change: fn(&Bench),
    /// Only content of a rendered file differs, of which the host's own word is all there is.
    is_content: bool,
}

const SHELL: &[u8] = b"#!/bin/sh\n";

const fn tamper(name: &'static str, change: fn(&Bench)) -> Tamper {
    Tamper {
        name,
        change,
        is_content: false,
    }
}

const TAMPERS: &[Tamper] = &[
    tamper("set-uid program under the temporary name", |bench| {
        bench.write("usr/bin/.earmark-rendering", SHELL);
        bench.chmod("usr/bin/.earmark-rendering", 0o4755);
    }),
    tamper("temporary name in another directory", |bench| {
        bench.write("etc/systemd/system/.earmark-rendering", SHELL);
        bench.chmod("etc/systemd/system/.earmark-rendering", 0o600);
    }),
    tamper(
        "set-uid program under the temporary name beside the file",
        |bench| {
            bench.write("etc/web/.earmark-rendering", SHELL);
            bench.chmod("etc/web/.earmark-rendering", 0o4755);
        },
    ),
    tamper("temporary name with two names beside the file", |bench| {
        bench.write("etc/web/.earmark-rendering", SHELL);
        bench.chmod("etc/web/.earmark-rendering", 0o600);
        let at = |path: &str| bench.root().join(path);
        fs::hard_link(at("etc/web/.earmark-rendering"), at("var/lib/other")).unwrap();
    }),
    tamper(
        "huge file under the temporary name beside the file",
        |bench| {
            bench.write("etc/web/.earmark-rendering", b"");
            bench.chmod("etc/web/.earmark-rendering", 0o600);
            let path = bench.root().join("etc/web/.earmark-rendering");
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(5 * 1024 * 1024).unwrap();
        },
    ),
    tamper(
        "directory under the temporary name beside the file",
        |bench| {
            fs::create_dir(bench.root().join("etc/web/.earmark-rendering")).unwrap();
        },
    ),
    tamper("link under the temporary name beside the file", |bench| {
        symlink(
            "/etc/shadow",
            bench.root().join("etc/web/.earmark-rendering"),
        )
        .unwrap();
    }),
    tamper("rendered file made set-uid", |bench| {
        bench.chmod(RENDERED, 0o6777);
    }),
    tamper("rendered file made writable by others", |bench| {
        bench.chmod(RENDERED, 0o666);
    }),
    tamper("rendered file made a link", |bench| {
        fs::remove_file(bench.root().join(RENDERED)).unwrap();
        symlink("/etc/shadow", bench.root().join(RENDERED)).unwrap();
    }),
    tamper("added program", |bench| bench.write("usr/bin/evil", SHELL)),
    tamper("changed program", |bench| {
        bench.write("usr/bin/web", b"#!/bin/evil\n");
    }),
    Tamper {
        name: "other content of the rendered file",
        change: |bench| bench.write(RENDERED, b"environment = evil\n"),
        is_content: true,
    },
];

/// Paths that a record could name.
const PATHS: &[&str] = &[
    "/etc/web/config.toml",
    "/etc/web/.earmark-rendering",
    "/usr/bin/web",
    "/usr/bin/evil",
    "/usr/bin/x",
    "/etc/systemd/system/x",
    "/etc/ssh/ssh_host_x_key",
    "/var/lib/x",
    "/etc/../etc/web/config.toml",
];

#[test]
fn forged_rendered_record_never_silently_improves_a_verdict() {
    let honest = booted();
    let control = Seen::of(&honest);
    let all = (control.agent, control.boot, control.offline);
    assert_eq!(all, (Rank::Verified, Rank::Verified, Rank::Verified));
    assert_eq!(control.on_host_word, [1; 3]);
    let ours = manifest(&honest);
    for tamper in TAMPERS {
        let bench = honest.copy();
        (tamper.change)(&bench);
        let honest = Seen::of(&bench);
        let record = bench.root().join(RECORD);
        let kept = fs::read(&record).unwrap();
        fs::remove_file(&record).unwrap();
        let best = honest.or(Seen::of(&bench));
        fs::write(&record, kept).unwrap();
        assert!(best.offline < Rank::Verified, "{}: {best:?}", tamper.name);
        let owner = fs::metadata(bench.root()).unwrap();
        let powers = json!({ "mode": 0o6777, "uid": owner.uid(), "gid": owner.gid() });
        for path in PATHS {
            let at = bench.root().join(&path[1..]);
            let content = fs::read(at).unwrap_or_default();
            for pending in [false, true] {
                for (schema, more) in [(2, json!({})), (1, powers.clone()), (2, powers.clone())] {
                    let files = [(*path, content.as_slice(), pending)];
                    write_record(&bench, schema, &ours, &files, &more);
                    let seen = Seen::of(&bench);
                    let lie = format!("{}: {path} {pending} {schema} {more}", tamper.name);
                    if tamper.is_content {
                        // The one thing that a record can say, and each result tells that it did. One that
                        // cannot be used says nothing: then the file is undecided.
                        let ranks = [seen.agent, seen.boot, seen.offline];
                        for (rank, files) in ranks.into_iter().zip(seen.on_host_word) {
                            assert!(rank <= Rank::Undecided || files == 1, "{lie}: {seen:?}");
                        }
                        continue;
                    }
                    assert!(
                        !seen.is_better_than(best),
                        "{lie}: {seen:?}, and {best:?} at best"
                    );
                }
            }
        }
    }
}

/// A name, and a way to spoil a file of the state.
type Form = (&'static str, fn(&Path));

const FORMS: &[Form] = &[
    ("absent", |path| drop(fs::remove_file(path))),
    ("empty", |path| fs::write(path, b"").unwrap()),
    ("no text", |path| fs::write(path, [0xff; 64]).unwrap()),
    ("half of it", |path| {
        let bytes = fs::read(path).unwrap_or_default();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("another format", |path| {
        let bytes = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace("\"schema\":2", "\"schema\":9");
        fs::write(path, text.replacen("-1 ", "-9 ", 1)).unwrap();
    }),
    ("nested too deep", |path| {
        fs::write(path, "[".repeat(100_000)).unwrap();
    }),
    ("huge", |path| {
        fs::write(path, b"").unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1 << 40).unwrap();
    }),
    ("writable by others", |path| {
        make(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }),
    ("with a second name", |path| {
        make(path);
        fs::hard_link(path, path.with_extension("second")).unwrap();
    }),
    ("a directory", |path| {
        drop(fs::remove_file(path));
        fs::create_dir(path).unwrap();
    }),
    ("a link to what is endless", |path| {
        drop(fs::remove_file(path));
        symlink("/dev/zero", path).unwrap();
    }),
    ("a pipe that nobody writes to", |path| {
        drop(fs::remove_file(path));
        run("mkfifo", [path], None).must(0);
    }),
];

fn make(path: &Path) {
    if !path.exists() {
        fs::write(path, b"").unwrap();
    }
}

#[test]
fn malformed_state_file_never_improves_a_verdict() {
    let honest = booted();
    fs::create_dir_all(honest.root().join("run/earmark")).unwrap();
    let mut files: Vec<String> = layout::STATE_FILES
        .iter()
        .map(|name| format!("var/lib/earmark/{name}"))
        .collect();
    files.extend(
        ["opened.json", "instance.json", "motd", "refused"]
            .map(|name| format!("run/earmark/{name}")),
    );
    // Of a root that is as it was signed, and of one that is not.
    for tampered in [false, true] {
        for file in &files {
            for (name, form) in FORMS {
                let bench = honest.copy();
                if tampered {
                    bench.write("usr/bin/evil", SHELL);
                }
                let best = Seen::of(&bench);
                form(&bench.root().join(file));
                let seen = Seen::of(&bench);
                assert!(
                    !seen.is_better_than(best),
                    "{file} {name}: {seen:?}, {best:?}"
                );
                assert!(!tampered || seen.offline == Rank::Violated, "{file} {name}");
                if matches!(
                    *name,
                    "writable by others" | "a directory" | "a pipe that nobody writes to"
                ) && file.starts_with("var/lib")
                    && !tampered
                {
                    let doubted = (seen.agent, seen.boot, seen.offline);
                    assert!(doubted.0 <= Rank::Undecided, "{file} {name}: {seen:?}");
                    assert!(doubted.1 <= Rank::Undecided, "{file} {name}: {seen:?}");
                }
            }
        }
    }
}

#[test]
fn forged_status_is_replaced_by_the_next_verification() {
    let bench = booted();
    bench.write("usr/bin/evil", SHELL);
    bench.verify().must(10);
    let path = bench.root().join("run/earmark/status.json");
    let kept = fs::read_to_string(&path).unwrap();
    let forged = kept.replace("\"violated\"", "\"verified\"");
    assert_ne!(kept, forged);
    fs::write(&path, &forged).unwrap();
    for gate in ["signature", "critical", "full"] {
        let again = ["verify", "--boot", "--gate", gate, "--root", "root"];
        let code = bench.agent(&again).code;
        let shown = bench.agent(&["status", "--json", "--root", "root"]);
        assert_eq!(shown.code, code, "{gate}");
        assert_eq!(shown.json()["gate"], gate);
        fs::write(&path, &forged).unwrap();
    }
}

#[test]
fn state_directory_writable_by_others_is_undecided() {
    let bench = booted();
    bench.verify().must(0);
    for mode in [0o777, 0o731, 0o713] {
        bench.chmod("var/lib/earmark", mode);
        let run = bench.verify().must(11);
        let found = run.json()["undecided"][0]["found"].to_string();
        OTHERS_MAY_WRITE.must_be_in(&found);
        NEXT_STEP.must_be_in(&found);
    }
    bench.chmod("var/lib/earmark", 0o711);
    bench.verify().must(0);
}

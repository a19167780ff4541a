//! Rules of a declaration: what each admits, and which are refused.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use earmark_tests::{Bench, golden, golden::told};

use crate::{Change, replace};

#[test]
fn rules_with_types_modes_and_globs_admit_nothing_else() {
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
fn rules_over_earmarks_own_files_or_without_effect_are_refused_with_golden_texts() {
    let bench = Bench::new();
    bench.copy().seal().must(0);
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    let mut texts = String::new();
    for rule in [
        "/usr/bin/**",
        "/usr/lib/earmark/**",
        "/etc/systemd/**",
        "/etc/absent.conf",
        "/etc/resolv.conf",
        "/etc/cron.d/*.conf",
    ] {
        let with = spec.replacen("mutable = [", &format!("mutable = [\"{rule}\", "), 1);
        fs::write(bench.path("earmark.toml"), with).unwrap();
        bench.write("etc/cron.d/a.conf", b"x");
        let refused = bench.seal();
        assert_ne!(refused.code, 0, "{rule}");
        texts += &told(&format!("seal, with {rule} mutable"), &refused);
    }
    // An account that the image does not have.
    let with = spec.replacen("owner = \"root\"", "owner = \"nobody-here\"", 1);
    fs::write(bench.path("earmark.toml"), with).unwrap();
    texts += &told("seal, with an unknown owner", &bench.seal().must(2));
    golden!("rules", texts);
}

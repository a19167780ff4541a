//! Each way in which one file of an image has another one run.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use earmark_manifest::{class::RuleSet, declaration::Declaration};
use earmark_scan::{Root, measure};
use tempfile::TempDir;

use super::*;

/// A root with these files; a text that begins with `->` makes a link.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let at = root.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match text.strip_prefix("->") {
            Some(target) => symlink(target, at).unwrap(),
            None => fs::write(at, text).unwrap(),
        }
    }
    root
}

/// The rules of a root, with what follows from it.
fn rules(root: &Path) -> RuleSet {
    with(root, |_, derived| derived)
}

/// The rules of a root, with those that are made of what follows from it.
fn with(root: &Path, make: impl FnOnce(&Measured<'_>, Vec<Rule>) -> Vec<Rule>) -> RuleSet {
    let declared = Declaration::parse(b"[image]\nname = \"web\"\nplatform = \"file\"\n").unwrap();
    let rules = declared.rule_set().unwrap();
    let plan = measure::Plan {
        rules: &rules,
        mounts: &[],
        replaced: &BTreeMap::new(),
        progress: &(),
    };
    let root = Root::open(root).unwrap();
    let entries = measure::measure(&root, &plan).unwrap();
    let measured = Measured::new(&root, &rules, &entries);
    let added = make(&measured, derive(&measured));
    rules.clone().with(added).unwrap()
}

#[track_caller]
fn must_be(rules: &RuleSet, critical: &[&str], others: &[&str]) {
    let is = |path: &&str| rules.is_critical(&ImagePath::from_relative(path.as_bytes()).unwrap());
    for path in critical {
        assert!(is(path), "{path}");
    }
    for path in others {
        assert!(!is(path), "{path}");
    }
}

#[test]
fn program_of_a_unit_is_critical_with_its_modules_and_data() {
    let root = root(&[
        (
            "usr/lib/systemd/system/web.service",
            "[Service]\nExecStartPre=-/opt/web/pre --x\nExecStart=@/srv/start web\n",
        ),
        ("opt/web/pre", ""),
        ("opt/web/plugins/a.so", ""),
        ("opt/other/run", ""),
        ("srv/start", "->/srv/real/start"),
        (
            "srv/real/start",
            "#!/srv/shell -e\nexec /srv/helper \"$1\"\n",
        ),
        ("srv/shell", ""),
        ("srv/helper", ""),
        ("srv/other", ""),
    ]);
    must_be(
        &rules(root.path()),
        &[
            "opt/web/pre",
            "opt/web/plugins/a.so",
            "srv/real/start",
            "srv/shell",
            "srv/helper",
        ],
        &["opt/other/run", "srv/other", "srv/start"],
    );
}

#[test]
fn whole_image_is_critical_if_that_reads_at_most_a_quarter_more() {
    let (more, most) = ("x".repeat(25), "x".repeat(26));
    let program = "x".repeat(100);
    let files = |other| [("usr/bin/a", &*program), ("srv/data/b", other)];
    let whole = |other| with(root(&files(other)).path(), whole_where_cheap);
    must_be(&whole(&more), &["usr/bin/a", "srv/data/b"], &[]);
    must_be(&whole(&most), &["usr/bin/a"], &["srv/data/b"]);
    // Files that are not sealed are not read, and a file beside the directories counts.
    let rest = [
        ("top", "x"),
        ("etc/machine-id", &*program),
        ("usr/bin/a", &*program),
    ];
    must_be(
        &with(root(&rest).path(), whole_where_cheap),
        &["top", "usr/bin/a"],
        &["srv/data/b"],
    );
}

#[test]
fn directory_that_no_pattern_can_name_leaves_the_critical_set_as_it_is() {
    let program = "x".repeat(100);
    let root = root(&[("usr/bin/a", &*program), ("s*v/b", "x")]);
    must_be(
        &with(root.path(), whole_where_cheap),
        &["usr/bin/a"],
        &["s*v/b"],
    );
}

#[test]
fn helpers_of_a_command_are_critical_even_if_unreferenced() {
    let root = root(&[
        ("usr/sbin/dhcpcd", "\x7fELF"),
        ("usr/lib/dhcpcd/dhcpcd-run-hooks", ""),
        ("usr/lib/dhcpcd/dhcpcd-hooks/30-hostname", ""),
        ("usr/libexec/dhcpcd/x", ""),
        ("usr/share/dhcpcd/hooks/15-timezone", ""),
        ("usr/lib/other/x", ""),
        // Not one command's own.
        ("usr/bin/gcc", ""),
        ("usr/lib/gcc/cc1", ""),
    ]);
    must_be(
        &rules(root.path()),
        &[
            "usr/lib/dhcpcd/dhcpcd-run-hooks",
            "usr/lib/dhcpcd/dhcpcd-hooks/30-hostname",
            "usr/libexec/dhcpcd/x",
        ],
        &[
            "usr/share/dhcpcd/hooks/15-timezone",
            "usr/lib/other/x",
            "usr/lib/gcc/cc1",
        ],
    );
}

#[test]
fn helper_of_udev_or_modprobe_is_critical() {
    let root = root(&[
        (
            "usr/lib/udev/rules.d/9.rules",
            "ACTION==\"add\", PROGRAM=\"/srv/a %k\", RUN+=\"/srv/b\"\n",
        ),
        (
            "etc/modprobe.d/x.conf",
            "install floppy /srv/c --quiet\n# /srv/d\n",
        ),
        ("srv/a", ""),
        ("srv/b", ""),
        ("srv/c", ""),
        ("srv/d", ""),
    ]);
    must_be(
        &rules(root.path()),
        &["srv/a", "srv/b", "srv/c"],
        &["srv/d"],
    );
}

#[test]
fn imports_of_a_python_service_are_critical_and_other_packages_are_not() {
    let packages = "usr/lib/python3/dist-packages";
    let files = [
        (
            "etc/systemd/system/x.service".to_owned(),
            "[Service]\nExecStart=/usr/bin/x\n",
        ),
        (
            "usr/bin/x".to_owned(),
            "#!/usr/bin/env python3\nfrom one.main import run\n",
        ),
        ("usr/bin/python3".to_owned(), ""),
        ("usr/lib/python3.11/os.py".to_owned(), ""),
        ("usr/lib/python3.11/json/decoder.py".to_owned(), ""),
        (
            format!("{packages}/one/__init__.py"),
            "import os, two as second\n",
        ),
        (
            format!("{packages}/one/main.py"),
            "def f():\n    import three.x\n",
        ),
        (format!("{packages}/two.py"), ""),
        (format!("{packages}/three.cpython-311.so"), ""),
        (format!("{packages}/four/__init__.py"), ""),
        (format!("{packages}/one-1.egg-info/PKG-INFO"), ""),
        (
            format!("{packages}/five-1.egg-info/entry_points.txt"),
            "[console_scripts]\nx = five.main:main\ny = four.main:main\n",
        ),
        (format!("{packages}/five/main.py"), ""),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, *text)).collect();
    let root = root(&files);
    let at = |name: &str| format!("{packages}/{name}");
    let critical = [
        "five/main.py",
        "one/main.py",
        "two.py",
        "three.cpython-311.so",
        "one-1.egg-info/PKG-INFO",
    ]
    .map(at);
    let mut critical: Vec<&str> = critical.iter().map(String::as_str).collect();
    critical.push("usr/lib/python3.11/json/decoder.py");
    must_be(&rules(root.path()), &critical, &[&at("four/__init__.py")]);
}

/// This test itself is a program with an interpreter and libraries.
#[test]
fn libraries_and_loader_of_a_program_are_critical() {
    let root = root(&[
        (
            "etc/systemd/system/x.service",
            "[Service]\nExecStart=/srv/x\n",
        ),
        ("etc/ld.so.conf.d/own.conf", "/srv/lib\n"),
        ("srv/lib/libc.so.6", ""),
        ("srv/lib/libother.so", ""),
    ]);
    let test = std::env::current_exe().unwrap();
    fs::copy(&test, root.path().join("srv/x")).unwrap();
    let loaded = elf::read(&fs::File::open(&test).unwrap()).unwrap();
    assert!(loaded.needed.contains(&b"libc.so.6".to_vec()), "{loaded:?}");
    let interpreter = String::from_utf8(loaded.interpreter.unwrap()).unwrap();
    let at = root.path().join(interpreter.trim_start_matches('/'));
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(&at, "").unwrap();
    must_be(
        &rules(root.path()),
        &[
            "srv/x",
            "srv/lib/libc.so.6",
            interpreter.trim_start_matches('/'),
        ],
        &["srv/lib/libother.so"],
    );
}

#[test]
fn elf_reader_survives_damage_and_ignores_non_elf() {
    let whole = fs::read(std::env::current_exe().unwrap()).unwrap();
    let directory = TempDir::new().unwrap();
    let at = directory.path().join("x");
    for length in [0, 4, 63, 64, 100, 1000, 4096] {
        fs::write(&at, &whole[..length]).unwrap();
        let _ = elf::read(&fs::File::open(&at).unwrap());
    }
    for byte in 16..1024 {
        let mut changed = whole[..64 * 1024].to_vec();
        changed[byte] ^= 0xff;
        fs::write(&at, &changed).unwrap();
        let _ = elf::read(&fs::File::open(&at).unwrap());
    }
    fs::write(&at, b"no program").unwrap();
    assert_eq!(elf::read(&fs::File::open(&at).unwrap()), None);
}

#[test]
fn critical_files_above_the_rule_limit_collapse_to_directories() {
    let paths: Vec<ImagePath> = (0..RULES + 10)
        .map(|n| {
            let directory = if n < 20 { "a" } else { "b" };
            ImagePath::from_relative(format!("opt/{directory}/{n}").as_bytes()).unwrap()
        })
        .collect();
    let files: Vec<&ImagePath> = paths.iter().collect();
    let patterns = compact(&files);
    assert_eq!(patterns.len(), 21);
    for path in &paths {
        assert!(
            patterns.iter().any(|pattern| pattern.matches(path)),
            "{path}"
        );
    }
}

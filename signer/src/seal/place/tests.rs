use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use super::*;

/// Returns what a person would compare: kind and mode, owner, and content of everything.
fn snapshot(directory: &Path) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(path) = queue.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if metadata.is_dir() {
            queue.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if metadata.is_file() {
            content = fs::read(&path).unwrap();
        }
        let name = path.strip_prefix(directory).unwrap().display().to_string();
        seen.insert(name, (metadata.mode(), metadata.uid(), content));
    }
    seen
}

fn us() -> Ownership {
    Ownership {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

fn seal(what: &str) -> SealBytes {
    SealBytes {
        envelope: format!("{what} envelope").into_bytes(),
        declaration: format!("{what} declaration").into_bytes(),
        tree: format!("{what} tree").into_bytes(),
    }
}

fn root_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("usr/lib")).unwrap();
    let os_release = directory.path().join("usr/lib/os-release");
    fs::write(&os_release, "NAME=x\n").unwrap();
    fs::set_permissions(&os_release, fs::Permissions::from_mode(0o640)).unwrap();
    directory
}

/// Places `what`, and lets the `fail`th step fail. Says how many steps there were.
fn run(directory: &Path, what: &str, fail: usize) -> (Outcome<()>, usize) {
    let root = Root::open(directory).unwrap();
    let stamp = Stamp {
        path: ImagePath::from_absolute(b"/usr/lib/os-release").unwrap(),
        content: format!("NAME={what}\n").into_bytes(),
        changes: true,
    };
    let placement = Placement {
        seal: &seal(what),
        trust: what.as_bytes(),
        floor: what.as_bytes(),
        stamp: Some(&stamp),
    };
    let steps = Cell::new(0);
    let checkpoint = |step: &str| {
        steps.set(steps.get() + 1);
        if steps.get() == fail {
            return Err(io::Error::other(format!("injected: {step}")));
        }
        Ok(())
    };
    let result = place_as(&root, &placement, us(), &checkpoint);
    (result, steps.get())
}

#[test]
fn seal_is_placed_with_expected_modes_and_no_leftovers() {
    let directory = root_directory();
    for what in ["first", "second", "second"] {
        run(directory.path(), what, 0).0.unwrap();
        let after = snapshot(directory.path());
        let expected = [
            ("usr/lib/earmark", 0o40755),
            ("usr/lib/earmark/floor.toml", 0o100_644),
            ("usr/lib/earmark/seal", 0o40755),
            ("usr/lib/earmark/seal/earmark.toml", 0o100_644),
            ("usr/lib/earmark/seal/manifest.json", 0o100_644),
            ("usr/lib/earmark/seal/tree.zst", 0o100_644),
            ("usr/lib/earmark/trust.toml", 0o100_644),
            ("usr/lib/os-release", 0o100_640),
        ];
        // The modes of those above depend on who runs the test.
        let found: Vec<(&str, u32)> = after
            .iter()
            .skip(3)
            .map(|(name, (mode, _, _))| (name.as_str(), *mode))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(
            after["usr/lib/os-release"].2,
            format!("NAME={what}\n").as_bytes()
        );
        assert_eq!(
            after["usr/lib/earmark/seal/tree.zst"].2,
            format!("{what} tree").as_bytes()
        );
    }
}

#[test]
fn a_failure_at_any_step_leaves_the_root_as_it_was() {
    for sealed_before in [false, true] {
        let mut broken = 0;
        for fail in 1.. {
            let directory = root_directory();
            if sealed_before {
                run(directory.path(), "old", 0).0.unwrap();
                let earmark = directory.path().join("usr/lib/earmark");
                fs::set_permissions(earmark, fs::Permissions::from_mode(0o700)).unwrap();
            }
            let before = snapshot(directory.path());
            let (result, steps) = run(directory.path(), "new", fail);
            let Err(error) = result else {
                assert!(steps < fail);
                break;
            };
            let error = error.to_string();
            assert!(error.contains("injected"), "{error}");
            // Past the point of no return the new state is whole, and the error says so.
            if error.contains("everything is in place") {
                let seal = directory.path().join("usr/lib/earmark/seal/tree.zst");
                assert_eq!(fs::read(seal).unwrap(), b"new tree");
                run(directory.path(), "new", 0).0.unwrap();
                assert!(
                    !snapshot(directory.path())
                        .keys()
                        .any(|name| name.contains(".earmark-new"))
                );
            } else {
                broken += 1;
                assert_eq!(snapshot(directory.path()), before, "{error}");
            }
        }
        assert!(broken >= 12, "only {broken} steps were broken");
    }
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let directory = root_directory();
    let lib = directory.path().join("usr/lib");
    fs::create_dir_all(lib.join("earmark/.earmark-new.seal")).unwrap();
    fs::write(lib.join("earmark/.earmark-new.seal/tree.zst"), "half").unwrap();
    fs::write(lib.join("earmark/.earmark-new.trust.toml"), "half").unwrap();
    fs::write(lib.join(".earmark-new.os-release"), "half").unwrap();
    for (name, _) in snapshot(directory.path()) {
        if name.contains(".earmark-new") {
            let path = ImagePath::from_relative(name.as_bytes()).unwrap();
            assert_eq!(leftover(&path), Some(Leftover::Cleared), "{name}");
        }
    }
    run(directory.path(), "new", 0).0.unwrap();
    assert!(
        !snapshot(directory.path())
            .keys()
            .any(|name| name.contains(".earmark-new"))
    );
}

#[test]
fn install_refuses_links_and_foreign_files() {
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = |prepare: &dyn Fn(&Path)| {
        let directory = root_directory();
        prepare(directory.path());
        let before = snapshot(directory.path());
        let error = run(directory.path(), "new", 0).0.unwrap_err();
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        assert_eq!(snapshot(directory.path()), before);
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    };
    refused(&|root| symlink(elsewhere.path(), root.join("usr/lib/earmark")).unwrap());
    refused(&|root| {
        fs::create_dir(root.join("usr/lib/earmark")).unwrap();
        symlink(elsewhere.path(), root.join("usr/lib/earmark/seal")).unwrap();
    });
    refused(&|root| {
        fs::create_dir(root.join("usr/lib/earmark")).unwrap();
        symlink("/etc/passwd", root.join("usr/lib/earmark/trust.toml")).unwrap();
    });
    refused(&|root| {
        fs::rename(root.join("usr"), root.join("really-usr")).unwrap();
        symlink("really-usr", root.join("usr")).unwrap();
    });
    refused(&|root| {
        fs::create_dir_all(root.join("usr/lib/earmark/seal")).unwrap();
        fs::write(root.join("usr/lib/earmark/seal/notes"), "mine").unwrap();
    });
}

#[test]
fn install_is_refused_while_another_run_holds_the_lock() {
    let directory = root_directory();
    let lib = fs::File::open(directory.path().join("usr/lib")).unwrap();
    rustix::fs::flock(&lib, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = snapshot(directory.path());
    let error = run(directory.path(), "new", 0).0.unwrap_err().to_string();
    assert!(error.contains("another earmark is running"), "{error}");
    assert_eq!(snapshot(directory.path()), before);
}

/// Everything that any run may have staged is removed by every run: also an os-release by one that stages none.
#[test]
fn leftovers_are_cleared_even_if_the_run_does_not_stage_them() {
    let directory = root_directory();
    run(directory.path(), "first", 0).0.unwrap();
    fs::create_dir(directory.path().join("etc")).unwrap();
    let clean = snapshot(directory.path());
    for (place, name) in STAGED {
        let leftover = directory.path().join(place.trim_start_matches('/'));
        fs::write(leftover.join(temporary_name(name)), "half").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let placement = Placement {
            seal: &seal("first"),
            trust: b"first",
            floor: b"first",
            stamp: None,
        };
        place_as(&root, &placement, us(), &|_| Ok(())).unwrap();
        assert_eq!(snapshot(directory.path()), clean, "{place} {name}");
    }
    // Names that only look like it are not Earmark's to remove.
    let other = directory.path().join("usr/lib/.earmark-new.other");
    fs::write(&other, "mine").unwrap();
    run(directory.path(), "first", 0).0.unwrap();
    assert!(other.exists());
    for (path, expected) in [
        ("/usr/lib/.earmark-new.other", Some(Leftover::Stray)),
        ("/etc/x/.earmark-new.trust.toml.12-0", Some(Leftover::Stray)),
        ("/usr/lib/.earmark-new.os-release", Some(Leftover::Cleared)),
        ("/usr/lib/earmark-new.os-release", None),
    ] {
        let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
        assert_eq!(leftover(&path), expected, "{path}");
    }
}

/// Whatever a run stages, in every state that a kill can leave: the next run knows the name.
#[test]
fn every_staged_name_is_recognized_as_a_cleared_leftover() {
    let directory = root_directory();
    let stamp = Stamp {
        path: ImagePath::from_absolute(b"/usr/lib/os-release").unwrap(),
        content: b"NAME=new\n".to_vec(),
        changes: true,
    };
    let seal = seal("new");
    let placement = Placement {
        seal: &seal,
        trust: b"new",
        floor: b"new",
        stamp: Some(&stamp),
    };
    let waiting = Cell::new(0);
    for _ in 0..2 {
        let root = Root::open(directory.path()).unwrap();
        let checkpoint = |step: &str| {
            for name in snapshot(directory.path()).keys() {
                if !name.contains(TEMPORARY) {
                    continue;
                }
                waiting.set(waiting.get() + 1);
                let path = ImagePath::from_relative(name.as_bytes()).unwrap();
                assert_eq!(leftover(&path), Some(Leftover::Cleared), "{step}: {name}");
            }
            Ok(())
        };
        place_as(&root, &placement, us(), &checkpoint).unwrap();
    }
    assert!(waiting.get() > 20);
}

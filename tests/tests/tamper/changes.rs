//! Each change of the tree that a host may not make, and what a host may do.

use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use earmark_tests::Bench;

use crate::{Change, replace};

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

/// Changes that a running host may make, and changes that make no difference.
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
        assert_eq!(bench.verify_offline().code, 10, "{}", case.name);
    }
}

#[test]
fn permitted_host_changes_are_no_violation() {
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

fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o755), 0).unwrap();
}

/// Holes are not read: what takes their place is found all the same, and so is what lies between them.
#[test]
fn sparse_file_is_compared_by_its_data_and_its_holes() {
    const SIZE: u64 = 64 << 20;
    let bench = Bench::new();
    let path = bench.root().join("usr/share/sparse.img");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let make = |pieces: &[(u64, &[u8])], size: u64| {
        let _ = fs::remove_file(&path);
        let file = fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in pieces {
            file.write_all_at(bytes, *at).unwrap();
        }
    };
    let data: &[u8] = &[7; 5000];
    let sealed: [(u64, &[u8]); 3] = [(0, b"head"), (20 << 20, data), (SIZE - 4, b"tail")];
    make(&sealed, SIZE);
    bench.seal().must(0);
    bench.verify().must(0);
    // The same bytes, with fewer holes.
    let mut whole = vec![0; usize::try_from(SIZE).unwrap()];
    for (at, bytes) in sealed {
        let at = usize::try_from(at).unwrap();
        whole[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fs::write(&path, &whole).unwrap();
    bench.verify().must(0);
    let content = ["content /usr/share/sparse.img"];
    for (at, byte) in [
        (1, 0_u8),
        (9 << 20, 1),
        ((20 << 20) + 4999, 8),
        (SIZE - 1, b'x'),
    ] {
        make(&sealed, SIZE);
        bench.verify().must(0);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[byte], at).unwrap();
        assert_eq!(bench.verify().must(10).violations(), content, "{at}");
    }
    // Data that became a hole.
    make(&[sealed[0], sealed[2]], SIZE);
    assert_eq!(bench.verify().must(10).violations(), content);
}

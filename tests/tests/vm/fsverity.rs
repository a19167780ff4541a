//! On a kernel that has fs-verity: its measurement is believed where there is one, and only there.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use earmark_manifest::{entry::Node, tree};
use earmark_tests::{
    Bench, Run, prepared_root, program, run,
    vm::{self, Console, Initrd, PLAIN, Vm},
};

const SPEC: &str = "\
[image]
name = \"small\"
platform = \"file\"
[tree]
profile = \"debian-12\"
";

/// Gets fs-verity, and a spoilt block on the disk.
const SPOILT: &str = "usr/lib/x86_64-linux-gnu/libcrypto.so.3";
/// Gets a spoilt block without fs-verity.
const SPOILT_PLAIN: &str = "usr/bin/tail";
/// Gets other bytes, and fs-verity for those.
const REPLACED: &str = "usr/bin/sort";
/// Gets fs-verity by an algorithm that the seal has no digest of.
const SHA512: &str = "usr/bin/stat";
/// The block that is spoilt.
const BLOCK: u64 = 3;

/// A verification as at boot, inside the root, by the agent on its `/run`.
const AGENT: &str = r#"
cp /bin/earmark-agent /root/run/
verify() {
    step "$1" chroot /root /run/earmark-agent verify --gate full --json
}
"#;

/// First boot: controls, fs-verity on everything large, and on bytes that are not the image's.
const ENABLE: &str = r#"
verify before
large=$(find /root/usr -xdev -type f -links 1 -size +512k ! -path '*/earmark/*')
for file in $large /root/usr/bin/env /root/usr/lib/systemd/systemd; do fsverity enable "$file"; done
step measured fsverity measure $large /root/usr/bin/env /root/usr/lib/systemd/systemd
fsverity enable --hash-alg=sha512 /root/SHA512
step sha512 fsverity measure /root/SHA512
verify enabled

cp -p /root/REPLACED /root/run/good
tr '\000' '\001' < /root/run/good > /root/run/evil
cat /root/run/evil > /root/REPLACED
step plain-evil sha256sum /root/REPLACED
verify replaced-plain
fsverity enable /root/REPLACED
step evil fsverity measure /root/REPLACED
step readable cmp /root/run/evil /root/REPLACED
verify replaced

cp -p /root/run/good /root/REPLACED.new
mv /root/REPLACED.new /root/REPLACED
verify restored
fsverity enable /root/REPLACED
"#;

/// Second boot, of the disk with two spoilt blocks.
const READ: &str = r#"
step still fsverity measure /root/SPOILT /root/REPLACED
step spoilt sh -c "cat /root/SPOILT > /dev/null"
step spoilt-plain sha256sum /root/PLAIN
verify spoilt-both
cat /good > /root/PLAIN
verify spoilt-verity
step spoilt-again sh -c "cat /root/SPOILT > /dev/null"
"#;

/// A sealed Debian root, and what it takes to boot it.
struct Host {
    bench: Bench,
    kernel: PathBuf,
    initrd: Initrd,
    deadline: Instant,
}

impl Host {
    fn new() -> Self {
        let bench = Bench::of_root("EARMARK_ROOT_SMALL");
        fs::write(bench.path("earmark.toml"), SPEC).unwrap();
        bench.seal().must(0);
        vm::disk(&bench.root(), &bench.path("disk"), 512);

        let server = prepared_root("EARMARK_ROOT_SERVER");
        let initrd = Initrd::new(&server);
        initrd.add(&program("earmark-agent"), "bin/earmark-agent");
        initrd.program("/usr/bin/fsverity");
        initrd.add(&bench.root().join(SPOILT_PLAIN), "good");
        Self {
            bench,
            kernel: vm::kernel(&server),
            initrd,
            deadline: Instant::now() + Duration::from_mins(3),
        }
    }

    fn boot(&self, name: &str, script: &str) -> Console {
        let script = format!("{AGENT}{script}")
            .replace("SHA512", SHA512)
            .replace("REPLACED", REPLACED)
            .replace("SPOILT", SPOILT)
            .replace("PLAIN", SPOILT_PLAIN);
        let initrd = self.bench.path("initrd");
        self.initrd.pack(&script, &initrd);
        let start = Instant::now();
        let machine = Vm {
            disk: &self.bench.path("disk"),
            kernel: &self.kernel,
            initrd: &initrd,
            // The image signs no line.
            words: PLAIN,
            append: "",
            devices: &[],
            log: &Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vm_fsverity.{name}.log")),
            deadline: self.deadline,
        };
        let console = machine.run();
        println!("boot {name}: {:.1?}", start.elapsed());
        console
    }

    /// The fs-verity digests that were signed, by path.
    fn signed(&self) -> BTreeMap<String, String> {
        let stored = fs::read(self.bench.root().join("usr/lib/earmark/seal/tree.zst")).unwrap();
        let mut signed = BTreeMap::new();
        for entry in tree::read(&stored[..]).unwrap() {
            let entry = entry.unwrap();
            if let Node::Regular(Some(content)) = entry.node {
                let path = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
                signed.insert(path, content.verity.to_string());
            }
        }
        signed
    }

    /// Changes one byte of a file behind the back of its file system.
    fn spoil(&self, path: &str) {
        let disk = self.bench.path("disk");
        let request = format!("bmap /{path} {BLOCK}");
        let block = run("debugfs", ["-R", &request, disk.to_str().unwrap()], None).must(0);
        let block: u64 = block.out.trim().parse().expect("a block");
        assert_ne!(block, 0, "{path} has a hole");
        let original = fs::read(self.bench.root().join(path)).unwrap();
        let at = usize::try_from(BLOCK * 4096).unwrap();
        let mut found = vec![0; 4096];
        let disk = fs::File::options()
            .read(true)
            .write(true)
            .open(disk)
            .unwrap();
        disk.read_exact_at(&mut found, block * 4096).unwrap();
        assert!(found == original[at..at + 4096], "{path} is not there");
        disk.write_all_at(&[found[100] ^ 1], block * 4096 + 100)
            .unwrap();
    }
}

#[test]
fn vm_fsverity_measurement_replaces_reading_the_file() {
    let host = Host::new();
    let console = host.boot("enable", ENABLE);

    let before = console.step("before").must(0);
    must_verify(&before);
    assert_eq!(before.json()["counts"]["files_enforced"], 0);

    // What the kernel enforces is what was signed, for each file.
    let signed = host.signed();
    let measured = measured(&console.step("measured").must(0));
    println!("{} files with fs-verity", measured.len());
    assert!(measured.len() > 25, "{measured:?}");
    for path in [SPOILT, "usr/bin/env", "usr/lib/systemd/systemd"] {
        assert!(measured.contains_key(path), "{measured:?}");
    }
    for path in [SPOILT_PLAIN, REPLACED, SHA512] {
        assert!(!measured.contains_key(path), "{measured:?}");
    }
    for (path, digest) in &measured {
        assert_eq!(signed.get(path), Some(digest), "{path}");
    }
    let sha512 = console.step("sha512").must(0).out;
    assert!(sha512.starts_with("sha512:"), "{sha512}");
    let enabled = console.step("enabled").must(0);
    must_verify(&enabled);
    // They are counted apart: nobody read them, and another host would have to.
    let counts = [&before, &enabled].map(|run| run.json()["counts"].clone());
    let [read, read_less] = counts
        .clone()
        .map(|counts| counts["files_read"].as_u64().unwrap());
    let enforced = u64::try_from(measured.len()).unwrap();
    assert_eq!(counts[1]["files_enforced"], enforced, "{}", counts[1]);
    assert_eq!(read - read_less, enforced, "{counts:?}");

    // Other bytes of the same size are found by reading; with fs-verity, by the kernel's digest.
    let digest = console.step("plain-evil").must(0).out;
    let digest = digest.split(' ').next().unwrap();
    must_differ(
        &console.step("replaced-plain"),
        REPLACED,
        &format!("sha256:{digest}"),
    );
    let evil = self::measured(&console.step("evil").must(0))
        .remove(REPLACED)
        .unwrap();
    console.step("readable").must(0);
    must_differ(
        &console.step("replaced"),
        REPLACED,
        &format!("fs-verity digest {evil}"),
    );
    must_verify(&console.step("restored").must(0));

    // The proof that a file with fs-verity is not read: it cannot be.
    host.spoil(SPOILT);
    host.spoil(SPOILT_PLAIN);
    let console = host.boot("read", READ);
    let still = self::measured(&console.step("still").must(0));
    for path in [SPOILT, REPLACED] {
        assert_eq!(still.get(path), signed.get(path), "{path}");
    }
    must_be_refused(&console.step("spoilt"));
    let digest = console.step("spoilt-plain").must(0).out;
    let digest = digest.split(' ').next().unwrap();
    must_differ(
        &console.step("spoilt-both"),
        SPOILT_PLAIN,
        &format!("sha256:{digest}"),
    );
    must_verify(&console.step("spoilt-verity").must(0));
    must_be_refused(&console.step("spoilt-again"));
}

/// Digests by path within the root, as `fsverity measure` says them.
fn measured(run: &Run) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (digest, path) = line.split_once(' ').expect("a digest and a path");
        let path = path.strip_prefix("/root/").expect("a path of the root");
        (path.to_owned(), digest.to_owned())
    };
    run.out.lines().map(line).collect()
}

#[track_caller]
fn must_verify(run: &Run) {
    let report = run.json();
    assert_eq!(report["verdict"], "verified", "{}", run.out);
    assert!(run.violations().is_empty(), "{}", run.out);
    let counts = &report["counts"];
    println!("verified: {counts}");
    assert!(counts["files_read"].as_u64().unwrap() > 3_000, "{counts}");
}

#[track_caller]
fn must_differ(run: &Run, path: &str, found: &str) {
    assert_eq!(run.code, 10, "{}\n{}", run.out, run.err);
    assert_eq!(run.violations(), [format!("content /{path}")]);
    let report = run.json();
    assert_eq!(report["violations"][0]["found"], found);
    assert_eq!(report["counts"]["undecided"], 0);
}

/// The kernel gives its bytes to nobody.
#[track_caller]
fn must_be_refused(run: &Run) {
    assert_ne!(run.code, 0, "it was read");
    assert!(run.err.contains("Input/output error"), "{}", run.err);
}

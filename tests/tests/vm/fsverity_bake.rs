//! `earmark install --verity` in a guest, on a disk whose file system was made without the feature: cut off, killed,
//! out of room, in the way of others, and done.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use earmark_manifest::{class::PathClass, entry::Node, fsverity::ENFORCED_ABOVE, tree};
use earmark_tests::{
    Bench, Run,
    facts::signer::{ENABLE_VERITY, MAKE_ROOM, VERITY_FAILED},
    prepared_root, program, run,
    vm::{self, Console, Initrd, PLAIN, Vm},
};
use serde_json::Value;

const SPEC: &str = "\
[image]
name = \"small\"
platform = \"file\"
[tree]
profile = \"debian-12\"
[boot]
verity = true
[verify]
gate = \"full\"
";

/// Mostly a hole, and long: a run can be stopped while the kernel reads it.
const HOLES: &str = "opt/holes";
/// Two names of one file.
const LINKED: [&str; 2] = ["opt/linked", "opt/linked-too"];
/// Is held open for writing.
const BUSY: &str = "usr/bin/sort";
/// Is immutable.
const FIXED: &str = "usr/bin/tail";
/// Gets a spoilt block.
const SPOILT: &str = "usr/lib/x86_64-linux-gnu/libcrypto.so.3";

const BEGIN: &str = r#"
export PATH=/bin:/sbin:/usr/sbin:/usr/bin
mkdir /root/run/out
cp /bin/earmark /root/run/signer
cp /bin/earmark-agent /root/run/
cp /bin/out.* /trust.toml /root/run/
for file in /root/run/out.*; do mv "$file" "/root/run/out/${file##*/out.}"; done
install() {
    step "$1" chroot /root /run/signer install /run/out --root / --trust /run/trust.toml --live --json ${2-}
}
verify() {
    step "$1" chroot /root /run/earmark-agent verify --gate full --json
}
cold() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
    verify "$1"
}
# Begins a run that enables it, and comes back when the kernel reads the file that takes long.
begin() {
    chroot /root /run/signer install /run/out --root / --trust /run/trust.toml --live --verity > /began 2>&1 &
    run=$!
    until ls -l "/proc/$run/fd" | grep -q HOLES; do sleep 0.05; done
}
attributes() {
    step "$1" chroot /root lsattr -d /HOLES /LINK_A /BUSY /FIXED
}
room() { step "$1" df -k /root; }
"#;

/// First boot: sealed, read whole, and cut off in the middle of enabling.
const CUT: &str = r#"
step feature sh -c "chroot /root dumpe2fs -h /dev/vda | grep features"
install plain
cold before-cold
verify before-warm
room room-before
begin
sleep 0.3
# Of a run that nothing of is on the disk, nothing would be left either way.
sync
echo "=== cut"
sleep 1000
"#;

/// Second boot.
const REST: &str = r#"
attributes after-cut
verify after-cut-verified

begin
sleep 0.3
kill -9 $run
wait $run || true
attributes after-kill

dd if=/dev/zero of=/root/var/tmp/filler bs=64k 2> /dev/null || true
size=$(stat -c %s /root/var/tmp/filler)
truncate -s $((size - 3000000)) /root/var/tmp/filler
install full --verity
rm /root/var/tmp/filler

exec 9<> /root/BUSY
chroot /root chattr +i /FIXED
install busy --verity
exec 9>&-
chroot /root chattr -i /FIXED
attributes after-busy
install done --verity
room room-after
install again --verity
attributes after-done

cold after-cold
verify after-warm
step write sh -c "echo x >> /root/BUSY"
step truncate sh -c ": > /root/BUSY"
step linked sh -c "echo x >> /root/LINK_B"

block=$(chroot /root debugfs -R "bmap /SPOILT 3" /dev/vda 2> /dev/null)
printf '\377\376' | dd of=/dev/vda bs=1 seek=$((block * 4096 + 100)) conv=notrunc 2> /dev/null
sync
echo 3 > /proc/sys/vm/drop_caches
step rotten sh -c "cat /root/SPOILT > /dev/null"
step log sh -c "dmesg | grep fs-verity"
verify rotten-verified
look() { step "$1" chroot /root /run/earmark-agent run --corruption; }
echo "<3>fs-verity (vda, inode $(stat -c %i /root/BUSY)): FILE CORRUPTED! index=3" > /dev/kmsg
look found
look found-again
step record sh -c "cat /root/run/earmark/status.json; echo"
verify rotten-told
"#;

struct Host {
    bench: Bench,
    kernel: PathBuf,
    initrd: Initrd,
    deadline: Instant,
}

impl Host {
    fn new() -> Self {
        let bench = Bench::of_root("EARMARK_ROOT_SMALL");
        let copy = bench.root();
        let mut holes = fs::File::create(copy.join(HOLES)).unwrap();
        holes.seek(SeekFrom::Start(512 << 20)).unwrap();
        holes.write_all(b"the end of it").unwrap();
        bench.write(LINKED[0], &vec![b'l'; 20_000]);
        fs::hard_link(copy.join(LINKED[0]), copy.join(LINKED[1])).unwrap();
        fs::write(bench.path("earmark.toml"), SPEC).unwrap();
        bench.measure().must(0);
        bench.command("sign OUT --key release.key").must(0);
        vm::disk_with("^verity", &copy, &bench.path("disk"), 384);

        let server = prepared_root("EARMARK_ROOT_SERVER");
        let initrd = Initrd::new(&server);
        for name in ["earmark", "earmark-agent"] {
            let stripped = bench.path(name);
            let to = ["-o".as_ref(), stripped.as_os_str()];
            run("strip", [program(name).as_os_str(), to[0], to[1]], None).must(0);
            initrd.add(&stripped, &format!("bin/{name}"));
        }
        for name in [
            "statement.json",
            "earmark.toml",
            "tree.zst",
            "manifest.json",
        ] {
            initrd.add(&bench.path("OUT").join(name), &format!("bin/out.{name}"));
        }
        initrd.add(&bench.path("trust.toml"), "trust.toml");
        Self {
            bench,
            kernel: vm::kernel(&server),
            initrd,
            deadline: Instant::now() + Duration::from_mins(6),
        }
    }

    fn boot(&self, name: &str, script: &str, boot: impl Fn(&Vm<'_>) -> Console) -> Console {
        let script = format!("{BEGIN}{script}")
            .replace("HOLES", HOLES)
            .replace("LINK_A", LINKED[0])
            .replace("LINK_B", LINKED[1])
            .replace("BUSY", BUSY)
            .replace("FIXED", FIXED)
            .replace("SPOILT", SPOILT);
        let initrd = self.bench.path("initrd");
        self.initrd.pack(&script, &initrd);
        let start = Instant::now();
        let console = boot(&Vm {
            disk: &self.bench.path("disk"),
            kernel: &self.kernel,
            initrd: &initrd,
            words: PLAIN,
            append: "",
            devices: &[],
            log: &Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("vm_fsverity_bake.{name}.log")),
            deadline: self.deadline,
        });
        println!("boot {name}: {:.1?}", start.elapsed());
        console
    }

    /// Names of the signed tree that are to be enforced, inodes of those, and names that are too small.
    fn signed(&self) -> (u64, u64, u64) {
        let stored = fs::read(self.bench.path("OUT").join("tree.zst")).unwrap();
        let (mut names, mut more_names, mut small) = (0, 0, 0);
        let mut groups = std::collections::BTreeSet::new();
        for entry in tree::read(&stored[..]).unwrap() {
            let entry = entry.unwrap();
            let (Node::Regular(Some(content)), PathClass::Sealed) = (entry.node, entry.class)
            else {
                continue;
            };
            if content.size <= ENFORCED_ABOVE {
                small += 1;
                continue;
            }
            names += 1;
            more_names += content
                .links
                .map_or(0, |group| u64::from(!groups.insert(group)));
        }
        (names, names - more_names, small)
    }
}

#[test]
fn vm_fsverity_is_enabled_on_the_whole_root_by_install() {
    let host = Host::new();
    let (names, files, small) = host.signed();
    println!("{names} names, {files} files, {small} small");
    assert!(names > 1000 && files < names && small > 1000);

    let console = host.boot("cut", CUT, |machine| machine.cut("=== cut"));
    let feature = console.step("feature").must(0).out;
    assert!(!feature.contains("verity"), "{feature}");
    let plain = console.step("plain").must(0);
    ENABLE_VERITY.must_be_in(&plain.err);
    assert!(plain.json().get("verity").is_none(), "{}", plain.out);
    let before = ["before-cold", "before-warm"].map(|step| counts(&console.step(step)));
    for counts in &before {
        assert_eq!(number(counts, "files_enforced"), 0);
        // Said, and no violation.
        assert_eq!(number(counts, "files_unenforced"), files);
    }

    let console_after = host.boot("rest", REST, |machine| machine.run());
    let attributes = |step: &str| attributes(&console_after.step(step).must(0));
    // The power failed while the kernel read it: the file is as it was, and nothing of it is left.
    assert_eq!(attributes("after-cut"), [false; 4]);
    let cut = counts(&console_after.step("after-cut-verified"));
    println!("enforced after the cut: {}", cut["files_enforced"]);
    assert!(
        (1..files).contains(&number(&cut, "files_enforced")),
        "{cut}"
    );
    // The files before it are enforced already, and the file that the run was killed in is not.
    assert_eq!(attributes("after-kill"), [false; 4]);

    let full = console_after.step("full").must(11);
    assert!(full.err.contains("No space left on device"), "{}", full.err);
    MAKE_ROOM.must_be_in(&full.err);
    VERITY_FAILED.of(&["/"]).must_be_in(&full.err);

    let busy = console_after.step("busy").must(11);
    for text in [
        "fs-verity is not enabled on 2 files:",
        &format!("'/{BUSY}': it is open for writing"),
        &format!("'/{FIXED}': it is immutable"),
        "next: see to these, and run this again",
    ] {
        assert!(busy.err.contains(text), "{text}: {}", busy.err);
    }
    assert_eq!(attributes("after-busy"), [true, true, false, false]);

    let done = console_after.step("done").must(0).json()["verity"].clone();
    println!("done: {done}");
    let again = console_after.step("again").must(0).json()["verity"].clone();
    println!("again: {again}");
    assert_eq!(number(&done, "enabled"), 2, "{done}");
    assert_eq!(number(&done, "already"), files - 2, "{done}");
    for run in [&done, &again] {
        assert_eq!(number(run, "small"), small);
        assert_eq!(number(run, "elsewhere"), 0);
        assert_eq!(run["features"], Value::Array(Vec::new()));
    }
    assert_eq!(number(&again, "enabled"), 0, "{again}");
    assert_eq!(number(&again, "already"), files, "{again}");
    assert_eq!(attributes("after-done"), [true; 4]);

    let after = ["after-cold", "after-warm"].map(|step| counts(&console_after.step(step)));
    for (step, (before, after)) in ["cold", "warm"].iter().zip(before.iter().zip(&after)) {
        assert_eq!(number(after, "files_enforced"), files, "{after}");
        assert_eq!(number(after, "files_unenforced"), 0, "{after}");
        let [read, left] = [before, after].map(|counts| number(counts, "bytes_read"));
        // What is left are the files of a block at most.
        assert!(left * 20 < read, "{before}\n{after}");
        println!("{step}: {before}\n      {after}");
    }
    for (console, step) in [(&console, "room-before"), (&console_after, "room-after")] {
        println!("{step}: {}", console.step(step).must(0).out);
    }
    for step in ["write", "truncate", "linked"] {
        let run = console_after.step(step);
        assert_ne!(run.code, 0, "{step}");
        assert!(run.err.contains("Operation not permitted"), "{}", run.err);
    }

    must_be_found_corrupted(&console_after);

    // Another host believes no kernel, and reads.
    run(
        "e2fsck",
        ["-fn".as_ref(), host.bench.path("disk").as_os_str()],
        None,
    )
    .must(0);
    let offline = host
        .bench
        .command("verify --image disk --trust trust.toml --json");
    assert_eq!(offline.code, 10, "{}\n{}", offline.out, offline.err);
    assert_eq!(offline.violations(), [format!("content /{SPOILT}")]);
}

/// A block that changed beneath is refused to who reads it, and the file is named.
#[track_caller]
fn must_be_found_corrupted(console: &Console) {
    // The kernel gives the bytes to nobody, and says so, while its digest is the signed one.
    let rotten = console.step("rotten");
    assert_ne!(rotten.code, 0);
    assert!(rotten.err.contains("Input/output error"), "{}", rotten.err);
    let log = console.step("log").must(0).out;
    println!("{log}");
    assert!(log.contains("FILE CORRUPTED"), "{log}");
    counts(&console.step("rotten-verified"));
    // The look for such messages names the file, once, and believes nobody but the kernel.
    let found = console.step("found").must(10);
    assert!(
        found.err.contains(&format!("/{SPOILT}: a corrupted block")),
        "{}",
        found.err
    );
    assert!(!found.err.contains(BUSY), "{}", found.err);
    console.step("found-again").must(0);
    for step in ["record", "rotten-told"] {
        let told = console.step(step);
        assert_eq!(told.violations(), [format!("content /{SPOILT}")], "{step}");
        assert_eq!(told.json()["verdict"], "violated", "{step}");
    }
    console.step("rotten-told").must(10);
}

/// Counts of a verification that found nothing wrong.
#[track_caller]
fn counts(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}\n{}", run.out, run.err);
    let report = run.json();
    assert_eq!(report["verdict"], "verified", "{}", run.out);
    report["counts"].clone()
}

#[track_caller]
fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("{name}: {of}"))
}

/// Returns which of the files have fs-verity.
fn attributes(run: &Run) -> [bool; 4] {
    let lines: Vec<bool> = run
        .out
        .lines()
        .map(|line| line.split(' ').next().unwrap().contains('V'))
        .collect();
    lines.try_into().expect("four files")
}

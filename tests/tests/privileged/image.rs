//! `earmark verify --image`: the finished disk, as it lies in its file.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use earmark_tests::{
    Bench, Run, SPEC,
    facts::{
        Fact,
        host::{NEXT_STEP, VERIFIED},
        image::{
            BACKING_FILE, CONTRADICTS_ITS_NAME, DETACH_IT, IMAGE_NOT_OPENED, NAME_IT_BY_UUID,
            NEITHER_FILE_NOR_DEVICE, NO_PARTITION, NO_ROOT, NO_SUCH_PARTITION, NOTHING_THERE,
            PARTITION, PLACE_A_SEAL, SEVERAL_ROOTS, TRUNCATED, UNCLEAN, UNCLEAR_FILE_SYSTEM,
            WRITABLE_DEVICE,
        },
    },
    run,
};

mod account;
mod layouts;
mod memory;
mod owners;
mod reader;

const SECTOR: u64 = 512;
const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const DATA: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const EFI: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// A part of a disk to be: its type, its size in MiB, and the file system in it.
struct Part<'a> {
    kind: &'a str,
    mib: u64,
    content: Option<(&'a str, &'a Path)>,
}

const fn part<'a>(kind: &'a str, mib: u64, content: Option<(&'a str, &'a Path)>) -> Part<'a> {
    Part { kind, mib, content }
}

/// Writes a disk with a GPT.
fn disk(to: &Path, parts: &[Part]) {
    let file = fs::File::create(to).unwrap();
    let end = parts.iter().map(|part| part.mib).sum::<u64>() + 2;
    file.set_len(end << 20).unwrap();
    let (mut table, mut at) = ("label: gpt\n".to_owned(), 1 << 20);
    for part in parts {
        let (start, size) = (at / SECTOR, (part.mib << 20) / SECTOR);
        table.push_str(&format!("start={start}, size={size}, type={}\n", part.kind));
        at += part.mib << 20;
    }
    let script = to.with_extension("table");
    fs::write(&script, table).unwrap();
    shell(&format!(
        "sfdisk --quiet '{}' < '{}'",
        to.display(),
        script.display()
    ));
    at = 1 << 20;
    for part in parts {
        if let Some((kind, root)) = part.content {
            let one = to.with_extension("part");
            fs::File::create(&one)
                .unwrap()
                .set_len(part.mib << 20)
                .unwrap();
            file_system(kind, root, &one);
            let mib = at >> 20;
            shell(&format!(
                "dd if='{}' of='{}' bs=1M seek={mib} conv=notrunc,sparse status=none",
                one.display(),
                to.display()
            ));
        }
        at += part.mib << 20;
    }
}

fn file_system(kind: &str, root: &Path, image: &Path) {
    let (root, to) = (root.display(), image.display());
    if kind == "ext4" {
        return shell(&format!("mke2fs -q -t ext4 -d '{root}' '{to}'"));
    }
    shell(&format!(
        "mkfs.xfs -q '{to}' && mkdir '{to}.at' && mount -o loop '{to}' '{to}.at' && \
         cp -a '{root}/.' '{to}.at/' && umount '{to}.at' && rmdir '{to}.at'"
    ));
    nothing_is_left(image);
}

fn shell(script: &str) {
    run("sh", ["-euc", script], None).must(0);
}

/// The first partition that [`disk`] makes begins here.
const FIRST: u64 = 1 << 20;

fn sealed() -> Bench {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
    let bench = Bench::new();
    fs::write(bench.path("earmark.toml"), spec("")).unwrap();
    bench.seal().must(0);
    bench
}

/// The bench's declaration, for a root that mke2fs makes a file system of.
fn spec(tree: &str) -> String {
    let state = "state = [\"/lost+found\", \"/boot/lost+found\", ";
    SPEC.replace("[tree]\n", &format!("[tree]\n{tree}"))
        .replace("state = [", state)
}

fn verify(bench: &Bench, image: &Path, more: &[&str]) -> Run {
    let image = image.display().to_string();
    let words = [
        "verify",
        "--image",
        &image,
        "--full",
        "--trust",
        "trust.toml",
        "--json",
    ];
    let verified = bench.earmark(&[&words, more].concat());
    nothing_is_left(Path::new(&image));
    verified
}

/// No loop device of the image, no directory that it was mounted on. The kernel lets a device go a moment
/// after its last user.
fn nothing_is_left(image: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let devices = run(
            "losetup",
            ["--list", "--noheadings", "--output=BACK-FILE"],
            None,
        )
        .out;
        if !devices.contains(&image.display().to_string()) {
            break;
        }
        assert!(Instant::now() < deadline, "{devices}");
        sleep(Duration::from_millis(20));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(".earmark-"), "{mounts}");
}

fn qcow2(raw: &Path) -> PathBuf {
    let to = raw.with_extension("qcow2");
    let words = ["convert", "-f", "raw", "-O", "qcow2", "-c"].map(OsStr::new);
    let files = [raw.as_os_str(), to.as_os_str()];
    run("qemu-img", words.into_iter().chain(files), None).must(0);
    to
}

#[track_caller]
fn says(run: &Run, code: i32, facts: &[Fact<'_>]) {
    assert_eq!(run.code, code, "{}\n{}", run.out, run.err);
    for fact in facts {
        fact.must_be_in(&run.err);
    }
}

#[test]
fn privileged_disk_image_verifies_like_its_root_and_is_not_written() {
    let bench = sealed();
    let (good, bad) = (bench.path("good.raw"), bench.path("bad.raw"));
    let parts = |root: &Path, to: &Path| {
        disk(
            to,
            &[part(EFI, 1, None), part(ROOT, 32, Some(("ext4", root)))],
        );
    };
    parts(&bench.root(), &good);
    let before = fs::read(&good).unwrap();
    let other = bench.copy();
    other.write("usr/bin/web", b"#!/bin/fals\n");
    parts(&other.root(), &bad);
    for (good, bad) in [(good.clone(), bad.clone()), (qcow2(&good), qcow2(&bad))] {
        let verified = verify(&bench, &good, &[]).must(0);
        assert_eq!(verified.json()["verdict"], "verified");
        let root = "partition 2 (ext4)";
        assert!(verified.err.contains(root), "{}", verified.err);
        let violated = verify(&bench, &bad, &[]).must(10);
        assert_eq!(violated.violations(), ["content /usr/bin/web"]);
    }
    // A block device, as a volume of a snapshot is one.
    let words = [
        "--find",
        "--show",
        "--read-only",
        &good.display().to_string(),
    ];
    let device = PathBuf::from(run("losetup", words, None).must(0).out.trim());
    let verified = verify(&bench, &device, &[]);
    run(
        "losetup",
        [OsStr::new("--detach"), device.as_os_str()],
        None,
    )
    .must(0);
    assert_eq!(verified.must(0).json()["verdict"], "verified");
    // For people, too; and nothing of the disk was written.
    let image = good.display().to_string();
    let told = bench
        .earmark(&["verify", "--image", &image, "--own-trust"])
        .must(0);
    VERIFIED.must_be_in(&told.out);
    assert!(
        fs::read(&good).unwrap() == before,
        "the image was written to"
    );
}

#[test]
fn privileged_boot_file_system_is_located_by_fstab_or_refused_as_ambiguous() {
    let bench = sealed();
    fs::write(bench.path("earmark.toml"), spec("mounts = [\"/boot\"]\n")).unwrap();
    fs::create_dir(bench.root().join("boot")).unwrap();
    bench.write("etc/fstab", b"LABEL=BOOT /boot ext4 defaults 0 2\n");
    let (boot, one) = (bench.path("boot"), bench.path("boot.part"));
    fs::create_dir(&boot).unwrap();
    fs::write(boot.join("vmlinuz"), "a kernel").unwrap();
    // Sealed as a builder sees it, with both mounted.
    let make = |kernel: &str| {
        fs::write(boot.join("vmlinuz"), kernel).unwrap();
        fs::File::create(&one).unwrap().set_len(8 << 20).unwrap();
        let (from, to) = (boot.display(), one.display());
        shell(&format!("mke2fs -q -t ext4 -L BOOT -d '{from}' '{to}'"));
    };
    let put = |image: &Path| {
        disk(
            image,
            &[
                part(DATA, 32, Some(("ext4", &bench.root()))),
                part(DATA, 8, None),
            ],
        );
        let bytes = fs::read(&one).unwrap();
        let image = fs::File::options().write(true).open(image).unwrap();
        image.write_all_at(&bytes, FIRST + (32 << 20)).unwrap();
    };
    make("a kernel");
    let at = bench.root().join("boot").display().to_string();
    shell(&format!("mount -o loop,ro '{}' '{at}'", one.display()));
    let sealed = bench.seal();
    shell(&format!("umount '{at}'"));
    sealed.must(0);
    let image = bench.path("disk.raw");
    put(&image);
    let verified = verify(&bench, &image, &[]).must(0);
    let boot = "partition 2 (ext4) at '/boot'";
    assert!(verified.err.contains(boot), "{}", verified.err);
    make("another!");
    put(&image);
    let violated = verify(&bench, &image, &[]).must(10);
    assert_eq!(violated.violations(), ["content /boot/vmlinuz"]);
    // Which partition it is must be clear.
    bench.write("etc/fstab", b"/dev/xvda2 /boot ext4 defaults 0 2\n");
    put(&image);
    says(
        &verify(&bench, &image, &[]),
        11,
        &[UNCLEAR_FILE_SYSTEM.of(&["/boot"]), NAME_IT_BY_UUID],
    );
}

#[test]
fn privileged_ambiguous_root_partition_must_be_named() {
    let bench = sealed();
    let root = bench.root();
    let image = bench.path("disk.raw");
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    let other = |root| part(DATA, 32, Some(("ext4", root)));
    // By its seal, where the table does not say it.
    disk(&image, &[other(&empty), other(&root)]);
    let ignoring = |number: u32| format!("partition-{number}");
    let verified = |number: u32, ignored: u32, code: i32| {
        let number = number.to_string();
        let words = ["--partition", &number, "--ignore", &ignoring(ignored)];
        verify(&bench, &image, &words).must(code)
    };
    verify(&bench, &image, &["--ignore", "partition-1"]).must(0);
    says(&verify(&bench, &image, &["--partition", "1"]), 11, &[]);
    says(
        &verify(&bench, &image, &["--partition", "3"]),
        2,
        &[NO_SUCH_PARTITION.of(&["3"]), PARTITION.of(&["2"])],
    );
    // Which of two a machine boots is not for us to guess.
    let tampered = bench.copy();
    tampered.write("usr/bin/web", b"#!/bin/fals\n");
    let tampered = tampered.root();
    disk(&image, &[other(&tampered), other(&root)]);
    let facts = [
        SEVERAL_ROOTS.of(&["partition 1", "partition 2"]),
        NEXT_STEP.of(&["--partition"]),
    ];
    says(&verify(&bench, &image, &[]), 11, &facts);
    verified(2, 1, 0);
    verified(1, 2, 10);
    // What may be booted instead is not said to be verified.
    verify(&bench, &image, &["--partition", "2"]).must(11);
    // None, of those that there are, and none at all.
    disk(&image, &[other(&empty), part(DATA, 1, None)]);
    says(&verify(&bench, &image, &[]), 11, &[NO_ROOT, PLACE_A_SEAL]);
    disk(&image, &[]);
    says(&verify(&bench, &image, &[]), 11, &[NO_PARTITION]);
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    says(&verify(&bench, &image, &[]), 11, &[NOTHING_THERE]);
    // A whole disk that is one file system, as some machines have it.
    file_system("ext4", &root, &grown(&image));
    verify(&bench, &image, &[]).must(0);
}

fn grown(image: &Path) -> PathBuf {
    fs::File::create(image).unwrap().set_len(32 << 20).unwrap();
    image.to_owned()
}

#[test]
fn privileged_mounted_or_unclean_file_system_is_refused() {
    let bench = sealed();
    for kind in ["ext4", "xfs"] {
        let image = bench.path(&format!("{kind}.raw"));
        let mib = if kind == "xfs" { 320 } else { 32 };
        disk(&image, &[part(ROOT, mib, Some((kind, &bench.root())))]);
        verify(&bench, &image, &[]).must(0);
        // A copy of the disk while it is mounted is what a power cut leaves.
        let (at, copy) = (bench.path("at"), bench.path(&format!("{kind}-copy.raw")));
        fs::create_dir_all(&at).unwrap();
        let size = mib << 20;
        shell(&format!(
            "mount -o loop,offset={FIRST},sizelimit={size} '{image}' '{at}'
             mkdir '{at}/opt/new' && sync && sleep 0.2 && cp --sparse=always '{image}' '{copy}'",
            image = image.display(),
            at = at.display(),
            copy = copy.display()
        ));
        let image_name = image.display().to_string();
        let attached = bench.earmark(&["verify", "--image", &image_name, "--own-trust"]);
        shell(&format!("umount '{}'", at.display()));
        says(&attached, 11, &[WRITABLE_DEVICE, DETACH_IT]);
        says(
            &verify(&bench, &copy, &[]),
            11,
            &[PARTITION.of(&["1", kind]), UNCLEAN],
        );
        // Unmounted, it is read, and has what was written.
        let violated = verify(&bench, &image, &[]).must(10);
        assert_eq!(violated.violations(), ["added /opt/new"]);
    }
}

#[test]
fn privileged_truncated_misnamed_or_backed_disk_image_is_refused() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    disk(&image, &[part(ROOT, 32, Some(("ext4", &bench.root())))]);
    let whole = qcow2(&image);
    // A file of this host's in the place of the image's own content.
    let backed = bench.path("backed.qcow2");
    let words = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"].map(OsStr::new);
    let files = [image.as_os_str(), backed.as_os_str()];
    run("qemu-img", words.into_iter().chain(files), None).must(0);
    says(&verify(&bench, &backed, &[]), 11, &[BACKING_FILE]);
    // A name that says another format.
    let renamed = bench.path("renamed.raw");
    fs::rename(&whole, &renamed).unwrap();
    says(&verify(&bench, &renamed, &[]), 11, &[CONTRADICTS_ITS_NAME]);
    fs::rename(&renamed, &whole).unwrap();
    verify(&bench, &whole, &[]).must(0);
    // Cut short: both, by little and by much, and a file system without a table.
    let plain = bench.path("plain.raw");
    file_system("ext4", &bench.root(), &grown(&plain));
    let uncompressed = bench.path("uncompressed.qcow2");
    let words = ["convert", "-f", "raw", "-O", "qcow2"].map(OsStr::new);
    let files = [image.as_os_str(), uncompressed.as_os_str()];
    run("qemu-img", words.into_iter().chain(files), None).must(0);
    for image in [&image, &whole, &uncompressed, &plain] {
        verify(&bench, image, &[]).must(0);
        for cut in [512, 128 << 10, 4 << 20] {
            let file = fs::File::options().write(true).open(image).unwrap();
            let size = file.metadata().unwrap().len();
            file.set_len(size.saturating_sub(cut).max(size / 2))
                .unwrap();
            says(&verify(&bench, image, &[]), 11, &[TRUNCATED]);
        }
    }
    says(
        &verify(&bench, Path::new("/dev/null"), &[]),
        2,
        &[NEITHER_FILE_NOR_DEVICE],
    );
    says(
        &verify(&bench, &bench.path("none.raw"), &[]),
        11,
        // The kernel's words.
        &[IMAGE_NOT_OPENED.of(&["No such file"])],
    );
}

#[test]
fn privileged_killed_image_verification_leaves_no_loop_device_or_mount() {
    let bench = sealed();
    bench.write("usr/lib/large", &vec![7; 24 << 20]);
    bench.seal().must(0);
    let image = bench.path("disk.raw");
    disk(&image, &[part(ROOT, 64, Some(("ext4", &bench.root())))]);
    let program = earmark_tests::program("earmark");
    for signal in ["TERM", "KILL", "INT"] {
        for milliseconds in [20, 60, 120] {
            let image = image.display();
            let script = format!(
                "'{}' verify --full --image '{image}' > /dev/null 2>&1 & \
                 sleep {}; kill -{signal} $! || true; wait $! || true",
                program.display(),
                f64::from(milliseconds) / 1000.0
            );
            run("bash", ["-c", &script], None).must(0);
        }
        nothing_is_left(&image);
    }
}

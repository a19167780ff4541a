//! Every byte of a disk is accounted for.

use std::{fs, os::unix::fs::FileExt, path::Path};

use earmark_tests::{
    Run,
    facts::{
        host::NEXT_STEP,
        image::{BOOT_EITHER, DIFFERS, PARTITION, SAME_LABEL, SAME_UUID},
    },
};
use serde_json::Value;

use super::{DATA, EFI, FIRST, ROOT, disk, file_system, part, says, sealed, shell, spec, verify};

const BIOS: &str = "21686148-6449-6E6F-744E-656564454649";
const MIB: u64 = 1 << 20;
/// Offsets of the partitions of [`layout`], in bytes.
const ESP: u64 = FIRST + MIB;
const AT_ROOT: u64 = ESP + 2 * MIB;
const BEHIND: u64 = AT_ROOT + 32 * MIB;

fn layout(to: &Path, root: &Path) {
    disk(
        to,
        &[
            part(BIOS, 1, None),
            part(EFI, 2, None),
            part(ROOT, 32, Some(("ext4", root))),
            part(DATA, 1, None),
        ],
    );
}

fn write(image: &Path, at: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(image).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Returns the first range that can be named so on the command line.
#[track_caller]
fn range(run: &Run, region: &str) -> Value {
    let json = run.json();
    let mut ranges = json["disk"]["ranges"].as_array().unwrap().iter();
    let named = |range: &&Value| {
        let regions = range["regions"].as_array().unwrap();
        regions.iter().any(|own| own == region)
    };
    let found = ranges.find(named);
    found
        .unwrap_or_else(|| panic!("no '{region}' in {}", run.out))
        .clone()
}

#[track_caller]
fn status(run: &Run, region: &str) -> String {
    range(run, region)["status"].as_str().unwrap().to_owned()
}

#[track_caller]
fn digest(run: &Run, region: &str) -> String {
    range(run, region)["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn privileged_each_byte_of_a_disk_is_in_one_range() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    layout(&image, &bench.root());
    let verified = verify(&bench, &image, &[]).must(0);
    let json = verified.json();
    assert_eq!(json["verdict"], "verified");
    assert_eq!(json["disk"]["complete"], true);
    let mut at = 0;
    for range in json["disk"]["ranges"].as_array().unwrap() {
        assert_eq!(range["start"].as_u64(), Some(at), "{range}");
        at += range["size"].as_u64().unwrap();
    }
    assert_eq!(at, fs::metadata(&image).unwrap().len());
    for region in [
        "boot-code",
        "bios-boot",
        "esp",
        "boot-sector",
        "partition-4",
        "gap",
    ] {
        assert_eq!(status(&verified, region), "empty", "{region}");
    }
    assert_eq!(range(&verified, "boot-sector")["partition"], 3);
    // No name has these ignored: the tables, and what was compared with the tree.
    let ranges = json["disk"]["ranges"].as_array().unwrap();
    let has = |partition: Value, status: &str| {
        let is = |range: &Value| range["partition"] == partition && range["status"] == status;
        ranges.iter().any(is)
    };
    assert!(has(3.into(), "verified"), "{}", verified.out);
    assert!(has(Value::Null, "read"), "{}", verified.out);
}

#[test]
fn privileged_disk_with_unaccounted_bytes_is_partial_until_ignored_or_expected() {
    let bench = sealed();
    let (good, image) = (bench.path("good.raw"), bench.path("disk.raw"));
    layout(&good, &bench.root());
    let end = fs::metadata(&good).unwrap().len();
    for (at, region) in [
        (0, "boot-code"),
        (439, "boot-code"),
        (FIRST - 1, "gap"),
        (FIRST, "bios-boot"),
        (FIRST + MIB - 1, "bios-boot"),
        (ESP + 4096, "esp"),
        (AT_ROOT, "boot-sector"),
        (AT_ROOT + 1023, "boot-sector"),
        (BEHIND + 5, "partition-4"),
        (BEHIND + MIB, "gap"),
        (end - 34 * 512, "gap"),
    ] {
        fs::copy(&good, &image).unwrap();
        verify(&bench, &image, &[]).must(0);
        write(&image, at, &[0xeb]);
        let open = verify(&bench, &image, &[]).must(11);
        let json = open.json();
        assert_eq!(json["verdict"], "partial", "{region}");
        // The reason names the range that has the byte, in the words of its own description.
        let ranges = json["disk"]["ranges"].as_array().unwrap();
        let has = |range: &&Value| {
            let [start, size] = ["start", "size"].map(|key| range[key].as_u64().unwrap());
            (start..start + size).contains(&at)
        };
        let range = ranges.iter().find(has).unwrap();
        assert_eq!(range["regions"], serde_json::json!([region]));
        let what = range["what"].as_str().unwrap();
        assert!(
            json["reason"].as_str().unwrap().contains(what),
            "{}",
            open.out
        );
        assert_eq!(json["disk"]["complete"], false);
        // Another region's name does not help; its own does, and so does its digest.
        let other = if region == "slack" { "gap" } else { "slack" };
        verify(&bench, &image, &["--ignore", other]).must(11);
        let ignored = verify(&bench, &image, &["--ignore", region]).must(0);
        assert_eq!(ignored.json()["verdict"], "verified");
        if region == "gap" {
            continue;
        }
        let expected = format!("{region}={}", digest(&open, region));
        let matching = verify(&bench, &image, &["--expect", &expected]).must(0);
        assert_eq!(status(&matching, region), "matches");
        write(&image, at, &[0xec]);
        let differs = verify(&bench, &image, &["--expect", &expected]).must(10);
        assert_eq!(differs.json()["verdict"], "violated");
        assert_eq!(status(&differs, region), "differs");
    }
}

#[test]
fn privileged_number_does_not_ignore_a_partition_that_a_machine_boots_from() {
    const XBOOTLDR: &str = "BC13C2FF-59E6-4262-A352-B275FD6F7172";
    let bench = sealed();
    let image = bench.path("disk.raw");
    for (kind, is_ignored, instead) in [
        (DATA, true, ""),
        (EFI, false, "'esp'"),
        (BIOS, false, "'bios-boot'"),
        (XBOOTLDR, false, "[tree] mounts"),
    ] {
        disk(
            &image,
            &[
                part(ROOT, 32, Some(("ext4", &bench.root()))),
                part(kind, 1, None),
            ],
        );
        write(&image, FIRST + 32 * MIB, b"anything");
        let code = if is_ignored { 0 } else { 11 };
        let run = verify(&bench, &image, &["--ignore", "partition-2"]).must(code);
        let ranges = run.json()["disk"]["ranges"].clone();
        let mut ranges = ranges.as_array().unwrap().iter();
        let second = ranges.find(|range| range["partition"] == 2).unwrap();
        let reason = second["reason"].as_str().unwrap();
        assert!(reason.contains(instead), "{kind}: {reason}");
    }
}

#[test]
fn privileged_disk_with_nonzero_partition_slack_is_not_verified() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    let one = bench.path("one");
    disk(&image, &[part(ROOT, 32, None)]);
    fs::File::create(&one).unwrap().set_len(24 << 20).unwrap();
    file_system("ext4", &bench.root(), &one);
    write(&image, FIRST, &fs::read(&one).unwrap());
    verify(&bench, &image, &[]).must(0);
    write(&image, FIRST + (24 << 20), &[1]);
    let open = verify(&bench, &image, &[]).must(11);
    assert_eq!(status(&open, "slack"), "not-looked-at");
    verify(&bench, &image, &["--ignore", "slack"]).must(0);
    // The name of the partition does not reach into what is verified.
    verify(&bench, &image, &["--ignore", "partition-1"]).must(11);
}

#[test]
fn privileged_signed_disk_region_rules_override_the_command_line() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    let seal = |disk: &str| {
        fs::write(bench.path("earmark.toml"), format!("{}\n{disk}", spec(""))).unwrap();
        bench.seal().must(0);
        layout(&image, &bench.root());
        write(&image, FIRST, b"GRUB");
        write(&image, ESP, b"shim");
    };
    seal("");
    let open = verify(&bench, &image, &["--ignore", "esp"]).must(11);
    let grub = digest(&open, "bios-boot");
    let ignored = "[[disk.ignore]]\nregion = \"esp\"\nreason = \"no host has EFI\"\n";
    seal(&format!(
        "{ignored}[[disk.expect]]\nregion = \"bios-boot\"\nsha256 = \"{grub}\"\n"
    ));
    let verified = verify(&bench, &image, &[]).must(0);
    assert_eq!(status(&verified, "bios-boot"), "matches");
    assert_eq!(status(&verified, "esp"), "ignored");
    // The declaration's own reason.
    let reason = range(&verified, "esp")["reason"].to_string();
    assert!(reason.ends_with("no host has EFI\""), "{reason}");
    // Signed: the command line does not open it, and an overwritten one is a violation.
    write(&image, FIRST, b"EVIL");
    for more in [&[][..], &["--ignore", "bios-boot"]] {
        let violated = verify(&bench, &image, more).must(10);
        assert_eq!(status(&violated, "bios-boot"), "differs");
    }
    let told = bench.earmark(&[
        "verify",
        "--image",
        &image.display().to_string(),
        "--trust",
        "trust.toml",
        "--full",
    ]);
    DIFFERS.must_be_in(&told.must(10).out);
    // A declaration that is not believed has no say.
    write(&image, FIRST, b"GRUB");
    let other = bench.path("other.toml");
    bench.earmark(&["keygen", "--out", "other.key"]).must(0);
    bench
        .earmark(&[
            "trust",
            "--key",
            "other.pub",
            "--out",
            &other.display().to_string(),
        ])
        .must(0);
    let words = [
        "verify",
        "--image",
        &image.display().to_string(),
        "--full",
        "--json",
        "--trust",
        "other.toml",
    ];
    let refused = bench.earmark(&words).must(10);
    assert_eq!(status(&refused, "esp"), "not-looked-at");
    // A region that the disk does not have was not compared.
    seal(&format!(
        "{ignored}[[disk.expect]]\nregion = \"partition-9\"\nsha256 = \"{grub}\"\n"
    ));
    let missing = verify(&bench, &image, &["--ignore", "bios-boot"]).must(10);
    // It is in no range of the disk: an own one tells it.
    let json = missing.json();
    let mut ranges = json["disk"]["ranges"].as_array().unwrap().iter();
    let absent = ranges.find(|range| range["what"].as_str().unwrap().contains("partition-9"));
    assert_eq!(absent.unwrap()["status"], "differs");
}

#[test]
fn privileged_duplicate_file_system_label_or_uuid_is_refused() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    let root = bench.root();
    let make = || {
        disk(
            &image,
            &[part(ROOT, 32, Some(("ext4", &root))), part(DATA, 32, None)],
        );
        shell(&format!(
            "e2label '{0}?offset={FIRST}' root",
            image.display()
        ));
    };
    let put = |script: &str| {
        let one = bench.path("one");
        fs::File::create(&one).unwrap().set_len(32 << 20).unwrap();
        shell(&script.replace("ONE", &one.display().to_string()));
        write(&image, FIRST + (32 << 20), &fs::read(&one).unwrap());
    };
    make();
    put("mke2fs -q -t ext4 -L other ONE");
    verify(&bench, &image, &["--ignore", "partition-2"]).must(0);
    put("mke2fs -q -t ext4 -L root ONE");
    says(
        &verify(&bench, &image, &["--ignore", "partition-2"]),
        11,
        &[SAME_LABEL, BOOT_EITHER],
    );
    let uuid = format!(
        "$(dumpe2fs -h '{0}?offset={FIRST}' 2>/dev/null | sed -n 's/^Filesystem UUID: *//p')",
        image.display()
    );
    put(&format!("mke2fs -q -t ext4 -U \"{uuid}\" ONE"));
    says(
        &verify(&bench, &image, &["--ignore", "partition-2"]),
        11,
        &[SAME_UUID, BOOT_EITHER],
    );
}

#[test]
fn privileged_unsupported_root_volume_is_named_in_the_error() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    disk(&image, &[part(DATA, 8, None)]);
    write(&image, FIRST + 512, b"LABELONE");
    write(&image, FIRST + 536, b"LVM2 001");
    says(
        &verify(&bench, &image, &[]),
        11,
        &[PARTITION.of(&["1", "LVM"]), NEXT_STEP.of(&["--root"])],
    );
    disk(&image, &[part(DATA, 8, None)]);
    write(&image, FIRST + 65600, b"_BHRfS_M");
    says(
        &verify(&bench, &image, &["--partition", "1"]),
        11,
        &[PARTITION.of(&["1", "btrfs"]), NEXT_STEP.of(&["--root"])],
    );
}

//! The template in `packer/`, run to its end: a disk that boots to `verified`, an AMI, and a bake that fails.

use std::{collections::BTreeMap, ffi::OsStr, path::Path, time::Instant};

use earmark_tests::{
    boot::{Boot, Disk, image, verdict},
    packer::{Bake, Ec2, let_in},
    program, run,
    vm::Initrd,
};
use serde_json::Value;

/// A file that is sealed, and that a step changes too late.
const CHANGED: &str = "/etc/ssh/moduli";

/// A disk that boots, has no Earmark, and lets Packer in: what somebody starts from.
fn base(bake: &Bake, name: &str) -> Disk<'static> {
    let disk = Disk::copy_of(&image().plain_disk(), image(), name);
    disk.change(|root| let_in(root, &bake.authorized_key()));
    disk
}

/// Starts Packer on the disk, with QEMU.
fn qemu(bake: &Bake, disk: &Disk, name: &str) -> earmark_tests::Run {
    let initrd = bake.path("initrd");
    // The observer has nothing to observe.
    Initrd::new(&image().root()).pack_boot("", ": > /run/observer; sleep infinity", &initrd);
    let log = |what: &str| {
        let log = image().logs().join(format!("{name}.{what}.log"));
        format!("file:{}", log.display())
    };
    let append =
        "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off nokaslr audit=0 root=/dev/vda rw";
    let kernel = image().kernel();
    let arguments = [
        ["-kernel", &kernel.display().to_string()],
        ["-initrd", &initrd.display().to_string()],
        ["-append", append],
        ["-cpu", "max"],
        ["-serial", &log("console")],
        ["-serial", &log("second")],
    ];
    let list = serde_json::to_string(&arguments).unwrap();
    bake.packer(
        "build",
        "qemu",
        &[
            ("qemu_disk", &disk.path().display().to_string()),
            ("qemu_disk_checksum", "none"),
            ("qemu_format", "raw"),
            ("qemu_accelerator", "tcg"),
            ("qemu_args", &list),
            ("qemu_ssh_key", &bake.path("ssh").display().to_string()),
        ],
    )
}

#[test]
fn vm_packer_makes_a_disk_that_boots_to_verified() {
    let bake = Bake::new();
    let start = Instant::now();
    let built = qemu(&bake, &base(&bake, "packer-base"), "packer");
    assert_eq!(built.code, 0, "{}\n{}", built.out, built.err);
    eprintln!("packer build, qemu: {:.1?}", start.elapsed());
    let data = &bake.manifest()["custom_data"];
    assert_eq!(data["image"], "web", "{data}");
    assert_eq!(data["version"], "2026.11.23");
    assert_eq!(data["epoch"], "4");
    let digest = data["manifest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let made = bake.path("build/disk/web-2026.11.23.raw");
    // The key stayed here; what is looked for with it is there.
    let has = |name: &str| {
        let text = std::fs::read_to_string(bake.path(name)).unwrap();
        let body = text.lines().nth(1).unwrap();
        let words = ["--text", "--quiet", "--fixed-strings", "--regexp", body];
        let words = words.map(OsStr::new).into_iter().chain([made.as_os_str()]);
        run("grep", words, None).code == 0
    };
    assert!(has("release.pub") && !has("release.key"));
    let disk = Disk::copy_of(&made, image(), "packer-made");
    disk.change(|root| {
        assert!(!root.join("root/.ssh/authorized_keys").exists());
        assert!(!root.join("tmp/earmark").exists());
    });
    let seen = disk.boot(&Boot {
        until: &verdict("verified"),
        ..Boot::default()
    });
    let status = seen.settled().status();
    assert_eq!(status["verdict"], "verified", "{status}");
    assert_eq!(status["image"]["version"], "2026.11.23");
    assert_eq!(status["manifest"], digest);
}

#[test]
fn vm_packer_names_a_sealed_file_that_a_later_step_changed() {
    let bake = Bake::new();
    bake.add_after_measure(&format!("echo >> {CHANGED}"));
    let start = Instant::now();
    let built = qemu(&bake, &base(&bake, "packer-late"), "packer-changed");
    assert_ne!(built.code, 0, "{}\n{}", built.out, built.err);
    eprintln!("packer build, qemu, changed: {:.1?}", start.elapsed());
    let said = format!("{}\n{}", built.out, built.err);
    assert!(said.contains("verify.sh"), "{said}");
    assert!(said.contains(&format!("{CHANGED}: size")), "{said}");
    assert!(!bake.path("build/packer-manifest.json").exists());
    assert!(
        !bake.path("build/disk").exists(),
        "a disk that did not verify was kept"
    );
}

#[test]
fn vm_packer_ami_is_tagged_with_image_version_and_manifest() {
    let (bake, ec2) = (Bake::new(), Ec2::start());
    let port = free_port();
    // Packer talks to an EC2 of this machine's, and what that calls an instance is a virtual machine here.
    bake.add_to_source(
        "amazon-ebs",
        &format!(
            r#"  custom_endpoint_ec2 = "{}"
  access_key = "x"
  secret_key = "x"
  skip_region_validation = true
  skip_metadata_api_check = true
  ssh_host = "127.0.0.1"
  ssh_port = {port}
  ssh_keypair_name = "of-this-test"
  ssh_private_key_file = "{}""#,
            ec2.url,
            bake.path("ssh").display()
        ),
    );
    let disk = base(&bake, "packer-ami");
    let network = format!(
        "-netdev user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22 -device virtio-net-pci,netdev=net,romfile="
    );
    let boot = Boot {
        devices: &network,
        append: "rw",
        ..Boot::default()
    };
    let mut built = None;
    let start = Instant::now();
    disk.boot_with(&boot, |_, _| {
        let from = [
            ("region", "eu-west-1"),
            ("source_ami_name", "amzn2-ami-hvm-2.0.*-x86_64-ebs"),
            ("source_ami_owner", "137112412989"),
        ];
        built = Some(bake.packer_with("build", "amazon-ebs", &from, &ec2.environment()));
        true
    });
    let built = built.unwrap();
    assert_eq!(built.code, 0, "{}\n{}", built.out, built.err);
    eprintln!("packer build, amazon-ebs: {:.1?}", start.elapsed());
    let manifest = bake.manifest();
    let artifact = manifest["artifact_id"].as_str().unwrap();
    let ami = artifact.strip_prefix("eu-west-1:").unwrap();
    let images = ec2
        .aws(&format!(
            "ec2 describe-images --region eu-west-1 --output json --image-ids {ami}"
        ))
        .must(0)
        .json();
    let tags = tags(&images["Images"][0]["Tags"]);
    assert_eq!(tags["earmark:image"], "web");
    assert_eq!(tags["earmark:version"], "2026.11.23");
    assert_eq!(
        tags["earmark:manifest"],
        manifest["custom_data"]["manifest"].as_str().unwrap()
    );
    promote(&bake, ami);
}

/// Promotes Packer's record of the build as CI does, and checks that the channel then names the AMI.
fn promote(bake: &Bake, ami: &str) {
    let earmark = |words: &str| {
        let words = format!("channel {words}");
        run(program("earmark"), words.split(' '), Some(&bake.path(""))).must(0)
    };
    earmark("init stable.json --image web --key channel.key --trust trust.toml");
    let promote = "promote stable.json --packer build/packer-manifest.json --seal build/out";
    earmark(&format!("{promote} --key channel.key --trust trust.toml"));
    earmark("verify stable.json --trust trust.toml");
    let shown = earmark("show stable.json --json").out;
    assert!(
        shown.contains(ami) && shown.contains("2026.11.23"),
        "{shown}"
    );
}

fn tags(list: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let list = list.as_array().expect("tags");
    list.iter()
        .map(|tag| (text(&tag["Key"]), text(&tag["Value"])))
        .collect()
}

/// One that nobody listens on right now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn vm_packer_templates_validate_and_scripts_pass_shellcheck() {
    let bake = Bake::new();
    for source in ["amazon-ebs", "amazon-ebssurrogate", "qemu"] {
        let disk = bake.path("disk.raw").display().to_string();
        std::fs::write(&disk, "").unwrap();
        let more = [("qemu_disk", disk.as_str()), ("qemu_disk_checksum", "none")];
        let read = bake.packer("validate", source, &more);
        assert_eq!(read.code, 0, "{source}: {}\n{}", read.out, read.err);
    }
    let packer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer");
    let format = ["fmt", "-check", "-diff"].map(OsStr::new);
    run(
        "packer",
        format.into_iter().chain([packer.as_os_str()]),
        None,
    )
    .must(0);
    let scripts = packer.join("scripts");
    run("sh", ["-euc", "shellcheck ./*.sh"], Some(&scripts)).must(0);
}

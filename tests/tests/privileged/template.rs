//! The steps of the template in `packer/`, without Packer: on a root that is put together on a volume, and
//! against a guest that lies.

use std::{ffi::OsStr, fs, path::Path};

use earmark_tests::{
    Bench, NO_LOCKS, Run, SPEC,
    facts::signer::{ANOTHER_CAME_BACK, ANOTHER_DECLARATION, DISK_ELSEWHERE},
    overlay::{Overlay, package},
    program, run, run_with, words,
};

/// Files that a root built by hand has: path and text.
const TRACES: [(&str, &str); 4] = [
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA packer\n"),
    ("root/.bash_history", "mysql -psecret\n"),
    ("etc/ssh/ssh_host_ed25519_key", "not a key\n"),
];
/// A sealed file.
const SEALED: &str = "/etc/debian_version";

/// Runs a step, as Packer does, with its variables alone.
fn step(name: &str, variables: &[(&str, &Path)], version: &str) -> Run {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../packer/scripts/{name}.sh"));
    let texts: Vec<String> = variables
        .iter()
        .map(|(_, path)| path.display().to_string())
        .collect();
    let mut environment: Vec<(&str, &str)> = variables
        .iter()
        .zip(&texts)
        .map(|((name, _), text)| (*name, text.as_str()))
        .collect();
    environment.extend([("EARMARK_NAME", "web"), ("EARMARK_VERSION", version)]);
    run_with(
        "sh",
        ["-eu".as_ref(), script.as_os_str()],
        None,
        &environment,
    )
}

/// Signs what a guest measured, which lies in `build/out`.
fn sign(bench: &Bench, version: &str) -> Run {
    let variables = [
        ("EARMARK", program("earmark")),
        ("EARMARK_WORK", bench.path("build")),
        ("EARMARK_SPEC", bench.path("earmark.toml")),
        ("EARMARK_KEYS", bench.path("release.key")),
    ];
    let variables: Vec<(&str, &Path)> = variables
        .iter()
        .map(|(name, path)| (*name, path.as_path()))
        .collect();
    step("sign", &variables, version)
}

/// Builds the initrd, or an empty file, as the release machine does.
fn build_initrd(bench: &Bench, wanted: &str) -> Run {
    let variables = [
        ("EARMARK", program("earmark")),
        ("EARMARK_WORK", bench.path("build")),
        ("EARMARK_AGENT", package("earmark-agent_", ".deb")),
        ("EARMARK_TRUST", bench.path("trust.toml")),
        ("EARMARK_SPEC", bench.path("earmark.toml")),
        ("EARMARK_INITRD", wanted.into()),
    ];
    let variables: Vec<(&str, &Path)> = variables
        .iter()
        .map(|(name, path)| (*name, path.as_path()))
        .collect();
    step("build-initrd", &variables, "1.0")
}

#[test]
fn privileged_packer_scripts_seal_and_verify_an_unbooted_root() {
    let (overlay, bench) = (Overlay::new("EARMARK_ROOT_SMALL"), Bench::new());
    let spec = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nprofile = \"debian-12\"\n\
         [boot]\ninitrd = \"earmark-init\"\n{NO_LOCKS}"
    );
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    let guest = overlay.beside("guest");
    fs::create_dir_all(guest.join("out")).unwrap();
    let bring = |from: &Path, to: &str| {
        fs::copy(from, guest.join(to)).unwrap();
    };
    bring(&program("earmark"), "earmark");
    bring(&package("earmark-agent_", ".deb"), "agent-package");
    bring(&bench.path("earmark.toml"), "earmark.toml");
    bring(&bench.path("trust.toml"), "trust.toml");
    for (path, text) in TRACES {
        let path = overlay.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = overlay.root();
    let in_guest = |name: &str| {
        let variables = [("EARMARK_ROOT", root.as_path()), ("EARMARK_DIR", &guest)];
        step(name, &variables, "1.0")
    };
    build_initrd(&bench, "false").must(0);
    bring(&bench.path("build/initrd.img"), "initrd.img");
    in_guest("install-agent").must(0);
    // Not asked for, it is empty, and nothing is replaced.
    in_guest("place-initrd").must(0);
    build_initrd(&bench, "true").must(0);
    bring(&bench.path("build/initrd.img"), "initrd.img");
    in_guest("place-initrd").must(1);
    let initrd = overlay.at("boot/initrd.img-6.1.0");
    fs::write(&initrd, "of initramfs-tools").unwrap();
    for name in ["place-initrd", "clean", "lint", "measure"] {
        in_guest(name).must(0);
    }
    assert_eq!(
        fs::read(&initrd).unwrap(),
        fs::read(guest.join("initrd.img")).unwrap()
    );
    assert!(overlay.at("/usr/bin/earmark-agent").exists());
    for (path, _) in TRACES {
        let left = fs::read_to_string(overlay.at(path)).unwrap_or_default();
        assert_eq!(left, "", "{path}");
    }
    assert!(overlay.at("etc/machine-id").exists());
    let out = bench.path("build/out");
    fs::create_dir_all(&out).unwrap();
    for name in ["statement.json", "earmark.toml", "tree.zst"] {
        fs::copy(guest.join("out").join(name), out.join(name)).unwrap();
    }
    sign(&bench, "1.0").must(0);
    bring(&out.join("manifest.json"), "out/manifest.json");
    // An initrd that was exchanged after it was measured would power each host off: the bake is told.
    fs::write(&initrd, "of initramfs-tools").unwrap();
    in_guest("install").must(10);
    fs::write(&initrd, fs::read(guest.join("initrd.img")).unwrap()).unwrap();
    in_guest("install").must(0);
    // What changed is named, and everything stays for a look at it.
    let was = fs::read(overlay.at(SEALED)).unwrap();
    fs::write(overlay.at(SEALED), [&was[..], b"\n"].concat()).unwrap();
    let violated = in_guest("verify").must(10);
    assert!(
        violated.out.contains(&format!("{SEALED}: size")),
        "{}",
        violated.out
    );
    fs::write(overlay.at(SEALED), was).unwrap();
    in_guest("verify").must(0);
    // The volume is free, and nothing is left of what was brought.
    assert!(!guest.exists() && !overlay.at("etc").exists());
}

#[test]
fn privileged_packer_sign_script_refuses_a_mismatched_guest_measurement() {
    let bench = Bench::new();
    fs::create_dir(bench.path("build")).unwrap();
    let measure = |spec: &str, version: &str| {
        let measure =
            format!("measure --root root --out build/out --spec {spec} --version {version}");
        bench.earmark(&words(&measure)).must(0);
    };
    let signed = || bench.path("build/out/manifest.json").exists();
    measure("earmark.toml", "1.0");
    let done = sign(&bench, "1.0").must(0);
    assert!(done.out.contains("web 1.0"), "{}", done.out);
    assert!(signed());
    // Another version than was asked for: what was signed before is gone, too.
    let refused = sign(&bench, "1.1");
    assert_ne!(refused.code, 0);
    ANOTHER_CAME_BACK
        .of(&["web 1.0", "web 1.1"])
        .must_be_in(&refused.err);
    assert!(!signed());
    // A declaration that nobody here has reviewed.
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    fs::write(bench.path("other.toml"), spec.replace("/srv/data", "/opt")).unwrap();
    measure("other.toml", "1.0");
    let refused = sign(&bench, "1.0");
    assert_ne!(refused.code, 0);
    ANOTHER_DECLARATION.must_be_in(&refused.err);
    assert!(!signed());
}

#[test]
fn privileged_packer_verify_disk_script_refuses_a_disk_changed_after_sealing() {
    let bench = Bench::new();
    let spec = SPEC.replace("state = [", "state = [\"/lost+found\", ");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench.seal().must(0);
    let disk = bench.path("web-1.0.raw");
    let check = |builder: &str| {
        // As Packer leaves it: one that QEMU made is here.
        let variables = [
            ("EARMARK", program("earmark")),
            ("EARMARK_DISK", disk.clone()),
            ("EARMARK_TRUST", bench.path("trust.toml")),
            ("PACKER_BUILDER_TYPE", builder.into()),
        ];
        let variables: Vec<(&str, &Path)> = variables
            .iter()
            .map(|(name, path)| (*name, path.as_path()))
            .collect();
        step("verify-disk", &variables, "1.0")
    };
    let make = || {
        fs::File::create(&disk).unwrap().set_len(32 << 20).unwrap();
        let words = ["-q", "-t", "ext4", "-d"].map(OsStr::new);
        let root = bench.root();
        let paths = [root.as_os_str(), disk.as_os_str()];
        run("mke2fs", words.into_iter().chain(paths), None).must(0);
    };
    make();
    check("qemu").must(0);
    bench.write("usr/bin/web", b"#!/bin/fals\n");
    make();
    let violated = check("qemu").must(10);
    assert!(
        violated.out.contains("/usr/bin/web: content"),
        "{}",
        violated.out
    );
    DISK_ELSEWHERE
        .of(&["amazon-ebs"])
        .must_be_in(&check("amazon-ebs").must(0).out);
}

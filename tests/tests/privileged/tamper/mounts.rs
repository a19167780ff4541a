//! Mounts over a sealed root, and in it.

use std::fs;

use earmark_tests::{facts::signer::MOUNTED_HERE, run};

use super::unsealed;

#[test]
fn privileged_mount_over_a_sealed_path_is_a_violation() {
    let bench = unsealed();
    bench.seal().must(0);
    let root = bench.root().display().to_string();
    let (etc, passwd) = (format!("{root}/etc"), format!("{root}/etc/passwd"));
    let overlay =
        format!("lowerdir={root}/usr/share,upperdir={root}/run/upper,workdir={root}/run/work");
    for directory in ["run/upper", "run/work", "run/etc"] {
        fs::create_dir(bench.root().join(directory)).unwrap();
    }
    run(
        "cp",
        ["-a", &format!("{etc}/."), &format!("{root}/run/etc")],
        None,
    )
    .must(0);
    for (name, mount, target, reported) in [
        (
            "bind",
            vec!["--bind", &*format!("{root}/run/etc"), &etc],
            "etc",
            "mount /etc",
        ),
        (
            "bind of itself",
            vec!["--bind", &*etc, &etc],
            "etc",
            "mount /etc",
        ),
        (
            "bind of a file",
            vec!["--bind", &*format!("{root}/run/etc/passwd"), &passwd],
            "etc/passwd",
            "mount /etc/passwd",
        ),
        (
            "overlay",
            vec![
                "-t",
                "overlay",
                "overlay",
                "-o",
                &overlay,
                &*format!("{root}/usr/share"),
            ],
            "usr/share",
            "mount /usr/share",
        ),
        (
            "tmpfs",
            vec!["-t", "tmpfs", "tmpfs", &*format!("{root}/etc/cron.d")],
            "etc/cron.d",
            "mount /etc/cron.d",
        ),
    ] {
        bench.verify().must(0);
        run("mount", &mount, None).must(0);
        let run_with_mount = bench.verify();
        run("umount", [bench.root().join(target)], None).must(0);
        assert_eq!(run_with_mount.code, 10, "{name}: {}", run_with_mount.out);
        assert!(
            run_with_mount
                .violations()
                .iter()
                .any(|found| found == reported),
            "{name}: {}",
            run_with_mount.out
        );
    }
    // Where a host may mount, it may.
    run(
        "mount",
        ["-t", "tmpfs", "tmpfs", &format!("{root}/var/lib")],
        None,
    )
    .must(0);
    let over_state = bench.verify();
    run("umount", [format!("{root}/var/lib")], None).must(0);
    over_state.must(0);
}

#[test]
fn privileged_another_file_system_is_crossed_into_only_when_declared() {
    let bench = unsealed();
    let boot = bench.root().join("boot");
    fs::create_dir(&boot).unwrap();
    run(
        "mount",
        ["-t", "tmpfs", "tmpfs", boot.to_str().unwrap()],
        None,
    )
    .must(0);
    fs::write(boot.join("vmlinuz"), "kernel").unwrap();
    let undeclared = bench.seal();
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    fs::write(
        bench.path("earmark.toml"),
        spec.replace("[tree]", "[tree]\nmounts = [\"/boot\"]"),
    )
    .unwrap();
    let declared = bench.seal();
    let verified = bench.verify();
    fs::write(boot.join("vmlinuz"), "evil!!").unwrap();
    let tampered = bench.verify();
    run("umount", [&boot], None).must(0);
    assert_ne!(undeclared.code, 0);
    MOUNTED_HERE.must_be_in(&undeclared.err);
    declared.must(0);
    verified.must(0);
    assert_eq!(tampered.must(10).violations(), ["content /boot/vmlinuz"]);
}

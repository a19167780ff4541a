//! `--verity` on roots that cannot do it: refused before anything is written, with what was found and what to do.

use std::{fs, path::Path};

use earmark_tests::{Bench, run};

/// A bench whose root is on a file system of its own.
struct Mounted(Bench);

impl Mounted {
    /// Made by `mkfs`, which is given the name of an image of `mib` MiB; a tmpfs without it.
    fn new(mkfs: Option<&str>, mib: u64) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root: run `cargo xtask test`"
        );
        let bench = Bench::new();
        let (root, real, image) = (bench.root(), bench.path("real"), bench.path("image"));
        fs::rename(&root, &real).unwrap();
        fs::create_dir(&root).unwrap();
        let mount = if let Some(mkfs) = mkfs {
            fs::File::create(&image)
                .unwrap()
                .set_len(mib << 20)
                .unwrap();
            run(
                "sh",
                ["-euc", &format!("{mkfs} '{}'", image.display())],
                None,
            )
            .must(0);
            format!("mount -o loop '{}' '{}'", image.display(), root.display())
        } else {
            format!("mount -t tmpfs tmpfs '{}'", root.display())
        };
        run("sh", ["-euc", &mount], None).must(0);
        let mounted = Self(bench);
        let from = format!("{}/.", real.display());
        run("cp", ["-a".as_ref(), Path::new(&from), &root], None).must(0);
        mounted
    }

    /// Refused with exit code 2 and these words, and nothing was placed.
    #[track_caller]
    fn must_be_refused(&self, words: &[&str]) {
        let bench = &self.0;
        let seal = "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml --verity";
        let refused = bench.command(seal).must(2);
        for word in words {
            assert!(refused.err.contains(word), "{word}: {}", refused.err);
        }
        assert!(refused.err.contains("next: "), "{}", refused.err);
        assert!(
            !bench.root().join("usr/lib/earmark").exists(),
            "{}",
            refused.err
        );
    }

    fn remount(&self, option: &str) {
        let words = ["-o".as_ref(), Path::new(option), &self.0.root()];
        run("mount", words, None).must(0);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", [self.0.root()], None);
    }
}

#[test]
fn privileged_verity_is_refused_on_file_systems_without_it_and_the_root_is_untouched() {
    for (mkfs, mib, words) in [
        (
            Some("mkfs.xfs -q"),
            320,
            ["'/' is XFS", "expected ext4 or btrfs"],
        ),
        (None, 0, ["'/' is tmpfs", "expected ext4 or btrfs"]),
        (
            Some("mkfs.ext4 -q -b 1024 -O ^has_journal"),
            64,
            ["blocks of 1024 bytes, expected 4096", "kernels before 6.3"],
        ),
    ] {
        let mounted = Mounted::new(mkfs, mib);
        mounted.must_be_refused(&words);
        // The control: without it, the same root is sealed.
        mounted.0.seal().must(0);
        mounted.0.verify().must(0);
    }
}

#[test]
fn privileged_verity_is_refused_for_an_image_whose_kernel_has_none() {
    let mounted = Mounted::new(Some("mkfs.ext4 -q -b 4096"), 64);
    let config = mounted.0.root().join("boot/config-5.4.0");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "CONFIG_EXT4_FS=y\n# CONFIG_FS_VERITY is not set\n").unwrap();
    mounted.must_be_refused(&["kernel of '/boot/config-5.4.0' has no CONFIG_FS_VERITY=y"]);
    fs::write(&config, "CONFIG_EXT4_FS=y\nCONFIG_FS_VERITY=y\n").unwrap();
    // The running one decides next. Only in the virtual machines of the other tests it is known to have it.
    if Path::new("/sys/fs/ext4/features/verity").exists() {
        let seal = "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml --verity";
        let sealed = mounted.0.command(&format!("{seal} --json")).must(0).json();
        assert_eq!(sealed["verity"]["enabled"], 1, "{sealed}");
    } else {
        mounted.must_be_refused(&["the running kernel has no fs-verity (CONFIG_FS_VERITY)"]);
    }
}

#[test]
fn privileged_verity_is_refused_on_a_read_only_root() {
    let mounted = Mounted::new(Some("mkfs.ext4 -q -b 4096"), 64);
    mounted.remount("remount,ro");
    mounted.must_be_refused(&["'/' is mounted read-only"]);
    mounted.remount("remount,rw");
    mounted.0.seal().must(0);
}

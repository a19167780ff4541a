//! Kernels of an image, by the configurations that are beside them.

use anyhow::Context;
use earmark_manifest::path::ImagePath;
use earmark_scan::{Root, ScanError};
use rustix::io::Errno;

use crate::exit::{Exit, Exits, Outcome};

/// A kernel's configuration has 300 KiB.
const BOUND: usize = 4 << 20;

/// Paths of the kernel configurations that say that their kernel has no fs-verity. A kernel without one is not told.
pub fn without_fsverity(root: &Root) -> Outcome<Vec<ImagePath>> {
    let mut found = Vec::new();
    for path in configurations(root)? {
        let text = root
            .read_opt(&path, BOUND)
            .or_else(no_file)
            .exits(Exit::Undecided)?;
        let has = |text: &[u8]| {
            text.split(|byte| *byte == b'\n')
                .any(|line| line == b"CONFIG_FS_VERITY=y")
        };
        if text.is_some_and(|text| !has(&text)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// `/boot/config-VERSION` (Debian, Ubuntu, Amazon Linux), and `/usr/lib/modules/VERSION/config` (Fedora's relatives).
fn configurations(root: &Root) -> Outcome<Vec<ImagePath>> {
    let mut paths = Vec::new();
    let mut add = |directory: &str, prefix: &[u8], suffix: &[u8]| -> Outcome<()> {
        let listed = root
            .list(directory)
            .with_context(|| format!("failed to list '/{directory}'"))
            .exits(Exit::Undecided)?;
        for listed in listed.unwrap_or_default() {
            if listed.name.starts_with(prefix) {
                let path = [b"/", directory.as_bytes(), b"/", &listed.name, suffix].concat();
                paths.extend(ImagePath::from_absolute(&path));
            }
        }
        Ok(())
    };
    add("boot", b"config-", b"")?;
    add("usr/lib/modules", b"", b"/config")?;
    Ok(paths)
}

/// A link or a directory of that name says nothing of a kernel.
fn no_file(error: ScanError) -> Result<Option<Vec<u8>>, ScanError> {
    let errno = error.cause.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        // Not the kernel's: what was found is not a regular file.
        None if !error.is_over_bound() => Ok(None),
        Some(Errno::LOOP | Errno::NOTDIR) => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn kernel_without_fsverity_is_found_by_its_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let of = || -> Vec<String> {
            let found = without_fsverity(&root).unwrap();
            found.iter().map(ToString::to_string).collect()
        };
        assert!(of().is_empty());
        let put = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("boot/config-6.1.0", "CONFIG_A=y\nCONFIG_FS_VERITY=y\n");
        put("usr/lib/modules/6.1.0/modules.dep", "");
        put("usr/lib/modules/6.1.0/config", "CONFIG_FS_VERITY=y\n");
        assert!(of().is_empty());
        put("boot/config-5.10.0", "# CONFIG_FS_VERITY is not set\n");
        put("usr/lib/modules/5.14.0/config", "#CONFIG_FS_VERITY=y\n");
        std::os::unix::fs::symlink("/nowhere", directory.path().join("boot/config-link")).unwrap();
        assert_eq!(
            of(),
            ["/boot/config-5.10.0", "/usr/lib/modules/5.14.0/config"]
        );
    }
}

//! Words of the kernel command line that name the root, and the program that it boots with.
//!
//! They are used before they are judged, since the signed line lies on the root. Whatever they name is then judged as a
//! whole: another root, another option or another `init=` than was signed is refused before anything of it runs.

use std::{path::PathBuf, time::Duration};

use earmark_manifest::cmdline;

/// Boots longer than a slow disk takes to appear. In seconds.
const WAIT: u64 = 30;

/// Words of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Value of `root=`.
    pub root: String,
    /// Value of `rootfstype=`, if there is one.
    pub kind: Option<String>,
    /// Value of `rootflags=`, or nothing.
    pub flags: String,
    /// True if the root is to be writable when its own init starts: `rw`, after the last `ro`.
    pub is_writable: bool,
    /// Program of the root that is run.
    pub init: PathBuf,
    /// Longest wait for a disk: `rootdelay=` in seconds, at least [`WAIT`].
    pub wait: Duration,
}

impl Line {
    /// Reads the words of this boot.
    pub fn read() -> Result<Self, String> {
        let line = std::fs::read("/proc/cmdline")
            .map_err(|error| format!("failed to read the kernel command line: {error}"))?;
        Self::parse(&line)
    }

    fn parse(line: &[u8]) -> Result<Self, String> {
        let words = cmdline::words(line);
        let words: Vec<&str> = words
            .take_while(|word| *word != b"--")
            .filter_map(|word| std::str::from_utf8(word).ok())
            .collect();
        // The last one counts, as for the kernel.
        let last = |name: &str| words.iter().rev().find_map(|word| word.strip_prefix(name));
        let root = last("root=").ok_or(
            "the kernel command line names no root=; next: declare it in [boot] cmdline, and boot with it",
        )?;
        let init = last("init=").unwrap_or("/sbin/init");
        if !init.starts_with('/') {
            return Err(format!(
                "init={init} on the kernel command line is no absolute path"
            ));
        }
        let delay = last("rootdelay=").and_then(|seconds| seconds.parse().ok());
        Ok(Self {
            root: root.to_owned(),
            kind: last("rootfstype=").map(str::to_owned),
            flags: last("rootflags=").unwrap_or_default().to_owned(),
            is_writable: words
                .iter()
                .rev()
                .find(|word| matches!(**word, "ro" | "rw"))
                == Some(&"rw"),
            init: PathBuf::from(init),
            wait: Duration::from_secs(delay.unwrap_or(WAIT).clamp(WAIT, 600)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_names_root_flags_and_init_by_their_last_word() {
        let line = b"BOOT_IMAGE=/vmlinuz root=/dev/a ro root=UUID=1 rootflags=noatime rootdelay=90 init=/bin/x -- root=/dev/b\n";
        let line = Line::parse(line).unwrap();
        assert_eq!((&*line.root, &*line.flags), ("UUID=1", "noatime"));
        assert!(!line.is_writable);
        assert!(Line::parse(b"root=/dev/a ro rw").unwrap().is_writable);
        assert_eq!(
            (line.init, line.wait.as_secs()),
            (PathBuf::from("/bin/x"), 90)
        );
        let plain = Line::parse(b"root=/dev/vda rootfstype=xfs").unwrap();
        assert_eq!(plain.init, PathBuf::from("/sbin/init"));
        assert_eq!(
            (plain.kind.as_deref(), plain.wait.as_secs()),
            (Some("xfs"), 30)
        );
    }

    #[test]
    fn line_without_root_or_with_relative_init_is_refused() {
        assert!(Line::parse(b"ro quiet").unwrap_err().contains("root="));
        assert!(
            Line::parse(b"root=/dev/a init=sh")
                .unwrap_err()
                .contains("init=sh")
        );
    }
}

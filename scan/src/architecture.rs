//! The machine that a root is for, read from the program of its first process.
//!
//! Protects against a label: a manifest that names another architecture than the image has.

use std::io::Read;

use earmark_manifest::{path::ImagePath, statement::Architecture};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{
    Root, ScanError,
    source::{self, Source},
};

/// Where the kernel and initrds look for the first process. A link is followed, beneath the root; the first of
/// them that leads to an ELF program counts.
pub const FIRST_PROCESS: [&str; 3] = [
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
];

/// The machine of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The path that leads to the program.
    pub path: &'static str,
    /// The architecture, or `e_machine` of one that the format has no name for.
    pub architecture: Result<Architecture, u16>,
}

impl Machine {
    /// The path, for a violation.
    pub fn place(&self) -> ImagePath {
        ImagePath::from_absolute(self.path.as_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.architecture {
            Ok(architecture) => f.write_str(architecture.name()),
            Err(machine) => write!(f, "ELF machine {machine}"),
        }
    }
}

/// Reads the machine of `root`; nothing if no path of [`FIRST_PROCESS`] leads to an ELF program.
pub fn read(root: &Root) -> Result<Option<Machine>, ScanError> {
    for path in FIRST_PROCESS {
        if let Some(architecture) = machine(root, path)? {
            return Ok(Some(Machine { path, architecture }));
        }
    }
    Ok(None)
}

fn machine(root: &Root, path: &str) -> Result<Option<Result<Architecture, u16>>, ScanError> {
    let failed = |what, cause: std::io::Error| ScanError {
        what,
        place: path.to_owned(),
        cause,
    };
    if let Some(source) = root.source() {
        return of_source(source, path).map_err(|cause| failed("read", cause));
    }
    let open = |flags| {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            root.as_fd(),
            path.trim_start_matches('/'),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    };
    let is_regular = |file: &std::os::fd::OwnedFd| {
        rustix::fs::fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
    };
    // Looked at before it is opened: opening a device or a pipe of a hostile root can do something.
    let seen = match open(OFlags::PATH) {
        Ok(seen) => seen,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed("open", errno.into())),
    };
    if !is_regular(&seen).map_err(|errno| failed("look at", errno.into()))? {
        return Ok(None);
    }
    let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        .map_err(|errno| failed("open", errno.into()))?;
    if !is_regular(&file).map_err(|errno| failed("look at", errno.into()))? {
        return Ok(None);
    }
    let mut header = Vec::new();
    std::fs::File::from(file)
        .take(HEADER)
        .read_to_end(&mut header)
        .map_err(|cause| failed("read", cause))?;
    Ok(parse(&header))
}

/// The same of a file system that this program reads itself. Links are not followed: where `/lib` is one, the program
/// has a path without.
fn of_source(
    source: &dyn Source,
    path: &str,
) -> std::io::Result<Option<Result<Architecture, u16>>> {
    let Ok(path) = ImagePath::from_absolute(path.as_bytes()) else {
        return Ok(None);
    };
    let node = match source::find(source, &path) {
        Ok(node) => node,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !source.look(node)?.kind().is_file() {
        return Ok(None);
    }
    let mut header = [0; 20];
    let mut filled = 0_usize;
    while let Some(free) = header.get_mut(filled..).filter(|free| !free.is_empty()) {
        let at = u64::try_from(filled).unwrap_or(u64::MAX);
        match source.read_at(node, at, free)? {
            0 => return Ok(None),
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(parse(&header))
}

/// Of an ELF header, as far as `e_machine`.
const HEADER: u64 = 20;

fn parse(header: &[u8]) -> Option<Result<Architecture, u16>> {
    let header: &[u8; 20] = header.try_into().ok()?;
    let [0x7f, b'E', b'L', b'F', class, data, .., low, high] = header else {
        return None;
    };
    let machine = match data {
        1 => u16::from_le_bytes([*low, *high]),
        _ => u16::from_be_bytes([*low, *high]),
    };
    Some(match (class, data, machine) {
        (2, 1, 62) => Ok(Architecture::X86_64),
        (2, 1, 183) => Ok(Architecture::Aarch64),
        _ => Err(machine),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn elf(class: u8, data: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0];
        bytes.extend([0; 8]);
        bytes.extend([3, 0]);
        bytes.extend(machine);
        bytes.extend([0; 44]);
        bytes
    }

    fn put(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn machine_is_that_of_the_program_behind_links_beneath_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(read(&root).unwrap(), None);
        put(
            directory.path(),
            "usr/lib/systemd/systemd",
            &elf(2, 1, [183, 0]),
        );
        let found = read(&root).unwrap().unwrap();
        assert_eq!(found.architecture, Ok(Architecture::Aarch64));
        assert_eq!(found.path, FIRST_PROCESS[1]);
        // Absolute links are the root's own, as they are once it runs.
        fs::create_dir_all(directory.path().join("usr/sbin")).unwrap();
        symlink("usr/sbin", directory.path().join("sbin")).unwrap();
        symlink(
            "/usr/lib/systemd/systemd",
            directory.path().join("usr/sbin/init"),
        )
        .unwrap();
        let found = read(&root).unwrap().unwrap();
        assert_eq!(
            (found.path, found.to_string().as_str()),
            ("/sbin/init", "aarch64")
        );
        // A script is no program of a machine; what comes next counts.
        fs::remove_file(directory.path().join("usr/sbin/init")).unwrap();
        put(
            directory.path(),
            "usr/sbin/init",
            b"#!/bin/sh\nexec /usr/lib/systemd/systemd\n",
        );
        assert_eq!(read(&root).unwrap().unwrap().path, FIRST_PROCESS[1]);
        put(directory.path(), "usr/sbin/init", &elf(2, 1, [62, 0]));
        assert_eq!(
            read(&root).unwrap().unwrap().architecture,
            Ok(Architecture::X86_64)
        );
    }

    #[test]
    fn other_machines_and_other_files_are_told_apart() {
        for (bytes, expected) in [
            (elf(2, 1, [62, 0]), Some(Ok(Architecture::X86_64))),
            (elf(2, 1, [183, 0]), Some(Ok(Architecture::Aarch64))),
            (elf(1, 1, [3, 0]), Some(Err(3))),
            (elf(1, 1, [62, 0]), Some(Err(62))),
            (elf(2, 2, [0, 62]), Some(Err(62))),
            (elf(2, 1, [243, 0]), Some(Err(243))),
            (b"#!/bin/sh\nexec something else\n".to_vec(), None),
            (b"\x7fELF".to_vec(), None),
            (Vec::new(), None),
        ] {
            let header: Vec<u8> = bytes.iter().copied().take(20).collect();
            assert_eq!(parse(&header), expected);
        }
    }

    #[test]
    fn pipes_and_links_that_lead_nowhere_are_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        fs::create_dir(directory.path().join("sbin")).unwrap();
        let init = directory.path().join("sbin/init");
        symlink("init", &init).unwrap();
        assert_eq!(read(&root).unwrap(), None);
        fs::remove_file(&init).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &init, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read(&root).unwrap(), None);
    }
}

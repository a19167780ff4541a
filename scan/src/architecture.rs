//! The machine that a root is for, read from the program of its first process.
//!
//! Protects against a label: a manifest that names another architecture than the image has.

use std::io::Read;

use earmark_manifest::{path::ImagePath, statement::Architecture};
use rustix::{
    fs::{FileType, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{
    Root, ScanError, links,
    source::{self, Source},
};

/// Paths at which the kernel and initrds look for the first process. A link is followed, beneath the root; the first of
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
        // Links lead where they will once the root runs: an absolute one to the root's own files, not to this host's.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        crate::openat2(
            root.as_fd(),
            path.trim_start_matches('/'),
            flags | OFlags::CLOEXEC,
            resolve,
        )
    };
    let is_regular = |file: &std::os::fd::OwnedFd| {
        rustix::fs::fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
    };
    // Looked at before it is opened: opening a device or a pipe of a hostile root can do something.
    let seen = match open(OFlags::PATH) {
        Ok(seen) => seen,
        // The kernel and initrds go on to the next path as well; any other error is a doubt.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed("open", errno.into())),
    };
    if !is_regular(&seen).map_err(|errno| failed("look at", errno.into()))? {
        return Ok(None);
    }
    // The path is resolved again: a pipe that took the program's place must not be waited for.
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

/// Reads the machine from a file system that this program reads itself.
fn of_source(
    source: &dyn Source,
    path: &str,
) -> std::io::Result<Option<Result<Architecture, u16>>> {
    let Ok(path) = ImagePath::from_absolute(path.as_bytes()) else {
        return Ok(None);
    };
    let link_at = |at: &ImagePath| -> std::io::Result<Option<Box<[u8]>>> {
        let Some(node) = source::find_opt(source, at)? else {
            return Ok(None);
        };
        if !source.look(node)?.kind().is_symlink() {
            return Ok(None);
        }
        source.target(node).map(|target| Some(target.into()))
    };
    // A loop leads to no program, as for the kernel.
    let Some(path) = links::follow(&path, link_at)? else {
        return Ok(None);
    };
    let Some(node) = source::find_opt(source, &path)? else {
        return Ok(None);
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
        // Whatever else it says can only become an unknown machine below.
        _ => u16::from_be_bytes([*low, *high]),
    };
    Some(match (class, data, machine) {
        // Class 2 is 64 bits: x32 and ILP32 have these machine numbers with class 1, and another ABI.
        (2, 1, 62) => Ok(Architecture::X86_64),
        (2, 1, 183) => Ok(Architecture::Aarch64),
        _ => Err(machine),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, io, os::unix::fs::symlink, path::Path};

    use super::*;
    use crate::source::{Metadata, NodeId};

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
    fn root_architecture_is_read_from_init_behind_links() {
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

    /// Files of a disk by inode; the root is 0.
    #[derive(Debug)]
    struct Disk(Vec<On>);

    #[derive(Debug)]
    enum On {
        Directory(Vec<(&'static str, u64)>),
        Link(&'static str),
        File(Vec<u8>),
    }

    impl Disk {
        fn at(&self, node: NodeId) -> &On {
            &self.0[usize::try_from(node.inode).unwrap()]
        }
    }

    impl Source for Disk {
        fn root(&self) -> NodeId {
            NodeId {
                volume: 0,
                inode: 0,
            }
        }
        fn look(&self, node: NodeId) -> io::Result<Metadata> {
            let (mode, size) = match self.at(node) {
                On::Directory(_) => (0o40_755, 0),
                On::Link(target) => (0o120_777, target.len()),
                On::File(bytes) => (0o100_755, bytes.len()),
            };
            Ok(Metadata {
                mode,
                uid: 0,
                gid: 0,
                links: 1,
                size: size.try_into().unwrap(),
                rdev: (0, 0),
            })
        }
        fn list(&self, directory: NodeId, _: usize) -> io::Result<Vec<(Box<[u8]>, NodeId)>> {
            let On::Directory(names) = self.at(directory) else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            let node = |inode: u64| NodeId { volume: 0, inode };
            let names = names.iter();
            Ok(names
                .map(|(name, inode)| (name.as_bytes().into(), node(*inode)))
                .collect())
        }
        fn target(&self, link: NodeId) -> io::Result<Vec<u8>> {
            match self.at(link) {
                On::Link(target) => Ok(target.as_bytes().to_vec()),
                On::Directory(_) | On::File(_) => Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        fn xattrs(&self, _: NodeId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
            Ok(Vec::new())
        }
        fn read_at(&self, file: NodeId, offset: u64, into: &mut [u8]) -> io::Result<usize> {
            let On::File(bytes) = self.at(file) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let rest = &bytes[usize::try_from(offset).unwrap()..];
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    #[test]
    fn disk_image_architecture_is_read_from_init_behind_links() {
        // An image without systemd: '/sbin' and 'init' are links, the second one from the root.
        let read_disk = |init| {
            let disk = Disk(vec![
                On::Directory(vec![("sbin", 1), ("usr", 2)]),
                On::Link("usr/sbin"),
                On::Directory(vec![("sbin", 3), ("bin", 4)]),
                On::Directory(vec![("init", 5)]),
                On::Directory(vec![("busybox", 6)]),
                On::Link(init),
                On::File(elf(2, 1, [183, 0])),
            ]);
            let root = Root::of_source(Box::new(disk), Path::new("disk.raw")).unwrap();
            read(&root).unwrap()
        };
        for init in [
            "/usr/bin/busybox",
            "../bin/busybox",
            "../../../usr/bin/busybox",
        ] {
            let found = read_disk(init).unwrap();
            assert_eq!(found.path, "/sbin/init", "{init}");
            assert_eq!(found.architecture, Ok(Architecture::Aarch64), "{init}");
        }
        for nowhere in ["init", "/usr/bin/none", "/usr/bin/busybox/x", "/usr"] {
            assert_eq!(read_disk(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn elf_header_parser_distinguishes_machines_and_non_elf_files() {
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
    fn init_that_is_a_fifo_or_link_loop_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        fs::create_dir(directory.path().join("sbin")).unwrap();
        let init = directory.path().join("sbin/init");
        symlink("init", &init).unwrap();
        assert_eq!(read(&root).unwrap(), None);
        fs::remove_file(&init).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &init,
            FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(read(&root).unwrap(), None);
    }
}

//! [`Executable`]: a program of the image that was opened, found to be the signed one, and is run
//! from that same descriptor.
//!
//! Protects against a program that is swapped, or replaced by a link, between the check and the
//! run. Does not protect against somebody who writes into the open file itself, as root, in between;
//! nor does it read the libraries that the program loads, which the boot's verification answers for.

use std::{
    fs::File,
    io::{Read, Seek},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use earmark_manifest::{crypto::Sha256, entry::Owner, path::ImagePath};
use earmark_scan::program::{self, Format};
use rustix::fs::StatVfsMountFlags;

use super::{Failure, SealedImage};

/// A program of the image, ready to be run.
#[derive(Debug)]
pub struct Executable {
    /// As it was asked for. A program of many names goes by it (`modprobe` is a link to `kmod`).
    called: ImagePath,
    path: ImagePath,
    file: File,
    /// Interpreter, if it is a script.
    interpreter: Option<Interpreter>,
}

#[derive(Debug)]
struct Interpreter {
    program: Box<Executable>,
    argument: Option<String>,
}

impl Executable {
    /// Opens `path` beneath the root and compares it with the signed tree, and its interpreter, too.
    pub fn open(image: SealedImage<'_>, path: &ImagePath) -> Result<Self, Failure> {
        let executable = Self::open_one(image, path)?;
        let (interpreter, argument) = match executable.format()? {
            Format::Elf => return Ok(executable),
            Format::Script {
                interpreter,
                argument,
            } => (interpreter, argument),
        };
        let interpreter = Self::interpreter(image, path, &interpreter, argument)?;
        // The kernel would follow the next `#!` line itself, to a file that is compared with nothing.
        if matches!(interpreter.program.format()?, Format::Script { .. }) {
            return Err(format!(
                "'{path}' is run by '{}', which is a script, too",
                interpreter.program.path
            )
            .into());
        }
        Ok(Self {
            interpreter: Some(interpreter),
            ..executable
        })
    }

    /// Returns its path, without links.
    pub fn path(&self) -> &ImagePath {
        &self.path
    }

    /// The path that starts it, and the arguments that go before its own. The path names a descriptor
    /// of this process, which the new one still has when the kernel opens it.
    pub fn invocation(&self) -> (String, String, Vec<String>) {
        let name = format!("/{}", String::from_utf8_lossy(self.called.as_bytes()));
        let Some(interpreter) = &self.interpreter else {
            return (by_descriptor(&self.file), name, Vec::new());
        };
        let mut arguments: Vec<String> = interpreter.argument.iter().cloned().collect();
        arguments.push(by_descriptor(&self.file));
        let (path, name, _) = interpreter.program.invocation();
        (path, name, arguments)
    }

    /// The descriptor that the new process must inherit: a script's, which its interpreter opens.
    pub fn inherited(&self) -> Option<BorrowedFd<'_>> {
        self.interpreter.as_ref().map(|_| self.file.as_fd())
    }

    fn open_one(image: SealedImage<'_>, path: &ImagePath) -> Result<Self, Failure> {
        let called = path.clone();
        let (path, sealed) = image.sealed.find(path)?;
        // The signed mode. That the mode on the disk is the same is looked at below, on the open descriptor.
        if sealed.owner.mode & 0o111 == 0 {
            let mode = sealed.owner.mode;
            return Err(format!("'{path}' is not executable: mode {mode:04o}").into());
        }
        // One descriptor for owner, mount, digest and start: a path could lead to another file at each use.
        let (mut file, size) = image
            .root
            .open_regular(&path)
            .map_err(|error| error.to_string())?;
        has_owner(&file, &path, sealed.owner)?;
        // The kernel would refuse a program there, but not a script, which its interpreter only reads.
        let mount = rustix::fs::fstatvfs(&file)
            .map_err(|errno| format!("failed to look at the mount of '{path}': {errno}"))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(format!("'{path}' was not run: it is on a mount with noexec").into());
        }
        let mut hasher = Sha256::new();
        // Not a byte more than was signed is read, however long the file is by now.
        let most = sealed.size.saturating_add(1);
        let mut buffer = vec![0; 128 * 1024];
        let mut reader = (&mut file).take(most);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("failed to read '{path}': {error}").into()),
            }
        }
        if size != sealed.size || hasher.finish() != sealed.sha256 {
            return Err(format!("'{path}' is not the file that was signed: it was not run").into());
        }
        Ok(Self {
            called,
            path,
            file,
            interpreter: None,
        })
    }

    /// Reads the format of the open file, from its beginning.
    fn format(&self) -> Result<Format, Failure> {
        let fail = |problem: &str| Failure::from(format!("'{}': {problem}", self.path));
        let mut start = Vec::new();
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.take(program::START).read_to_end(&mut start))
            .and_then(|_| file.rewind())
            .map_err(|error| fail(&format!("failed to read its first line: {error}")))?;
        Format::of(&start).map_err(fail)
    }

    fn interpreter(
        image: SealedImage<'_>,
        script: &ImagePath,
        program: &str,
        argument: Option<String>,
    ) -> Result<Interpreter, Failure> {
        let fail = |problem: String| Failure::from(format!("'{script}': {problem}"));
        let named = |text: &str| {
            ImagePath::from_absolute(text.as_bytes())
                .map_err(|error| fail(format!("its interpreter: {error}")))
        };
        // `env` would search its path itself and start what comes first on it, which nobody has compared.
        let is_env = program.ends_with("/env");
        if !is_env {
            let program = Self::open_one(image, &named(program)?)?;
            return Ok(Interpreter {
                program: Box::new(program),
                argument,
            });
        }
        let name = program::named_by_env(argument.as_deref())
            .map_err(|problem| fail(problem.to_owned()))?;
        for directory in program::ENV_PATH {
            let path = named(&format!("{directory}/{name}"))?;
            // The signed tree is asked, not the disk: an added file in an earlier directory would come first.
            if image.sealed.find(&path).is_ok() {
                let program = Box::new(Self::open_one(image, &path)?);
                return Ok(Interpreter {
                    program,
                    argument: None,
                });
            }
        }
        Err(fail(format!(
            "no sealed program of the image is named '{name}'"
        )))
    }
}

/// Refuses a file whose owner or mode is not the signed one. The kernel would look at the mode of a program, but not
/// of a script, which its interpreter only reads.
fn has_owner(file: &File, path: &ImagePath, signed: Owner) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(file)
        .map_err(|errno| format!("failed to look at the owner of '{path}': {errno}"))?;
    let found = Owner {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    };
    if found == signed {
        return Ok(());
    }
    let words = |owner: Owner| format!("mode {:04o} of {}:{}", owner.mode, owner.uid, owner.gid);
    Err(format!(
        "'{path}' has {}, and {} was signed: it was not run",
        words(found),
        words(signed)
    )
    .into())
}

fn by_descriptor(file: &File) -> String {
    // The kernel resolves this to the open file itself: a rename or a link at the path has no effect.
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

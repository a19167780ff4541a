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
use rustix::fs::StatVfsMountFlags;

use super::steps::{Context, StepFailure};

/// The kernel reads no more of a script's first line.
const SHEBANG: usize = 255;
const ELF: &[u8] = b"\x7fELF";
/// Where `env` in a script's first line looks for the program.
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A program of the image, ready to be run.
#[derive(Debug)]
pub struct Executable {
    /// As it was asked for. A program of many names goes by it (`modprobe` is a link to `kmod`).
    called: ImagePath,
    path: ImagePath,
    file: File,
    /// What runs it, if it is a script.
    interpreter: Option<Interpreter>,
}

/// How an executable file begins.
enum Head {
    Program,
    /// The interpreter and its argument.
    Script(String, Option<String>),
}

#[derive(Debug)]
struct Interpreter {
    program: Box<Executable>,
    argument: Option<String>,
}

impl Executable {
    /// Opens `path` beneath the root and compares it with the signed tree, and its interpreter, too.
    pub fn open(context: &Context<'_>, path: &ImagePath) -> Result<Self, StepFailure> {
        let executable = Self::open_one(context, path)?;
        let (interpreter, argument) = match executable.head()? {
            Head::Program => return Ok(executable),
            Head::Script(interpreter, argument) => (interpreter, argument),
        };
        let interpreter = Self::interpreter(context, path, &interpreter, argument)?;
        if matches!(interpreter.program.head()?, Head::Script(..)) {
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

    /// Where it lies, without links.
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

    fn open_one(context: &Context<'_>, path: &ImagePath) -> Result<Self, StepFailure> {
        let called = path.clone();
        let (path, sealed) = context.sealed.find(path)?;
        if sealed.owner.mode & 0o111 == 0 {
            let mode = sealed.owner.mode;
            return Err(format!("'{path}' may not be run: its mode is {mode:04o}").into());
        }
        let (mut file, size) = context
            .root
            .open_regular(&path)
            .map_err(|error| error.to_string())?;
        has_owner(&file, &path, sealed.owner)?;
        // The kernel would refuse a program there, but not a script, which its interpreter only reads.
        let mount = rustix::fs::fstatvfs(&file)
            .map_err(|errno| format!("failed to look at the mount of '{path}': {errno}"))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(format!("'{path}' is on a mount with noexec: it was not run").into());
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

    /// What runs it. A file that is neither is nothing that the kernel runs, and the C library's `execvp` would hand it
    /// to a `/bin/sh` that nobody compared.
    fn head(&self) -> Result<Head, StepFailure> {
        let fail = |problem: &str| StepFailure::from(format!("'{}': {problem}", self.path));
        let mut head = Vec::new();
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.take(256).read_to_end(&mut head))
            .and_then(|_| file.rewind())
            .map_err(|error| fail(&format!("failed to read its first line: {error}")))?;
        if head.starts_with(ELF) {
            return Ok(Head::Program);
        }
        let Some(rest) = head.strip_prefix(b"#!") else {
            return Err(fail("it is neither a program (ELF) nor a script (#!)"));
        };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.len() >= SHEBANG.saturating_sub(2) {
            return Err(fail("its first line is too long"));
        }
        let line = std::str::from_utf8(line).map_err(|_| fail("its first line is not UTF-8"))?;
        let line = line.trim();
        let (program, argument) = line
            .split_once([' ', '\t'])
            .map_or((line, None), |(program, rest)| (program, Some(rest.trim())));
        Ok(Head::Script(
            program.to_owned(),
            argument.map(str::to_owned),
        ))
    }

    fn interpreter(
        context: &Context<'_>,
        script: &ImagePath,
        program: &str,
        argument: Option<String>,
    ) -> Result<Interpreter, StepFailure> {
        let fail = |problem: String| StepFailure::from(format!("'{script}': {problem}"));
        let named = |text: &str| {
            ImagePath::from_absolute(text.as_bytes())
                .map_err(|error| fail(format!("its interpreter: {error}")))
        };
        let is_env = program.ends_with("/env");
        if !is_env {
            let program = Self::open_one(context, &named(program)?)?;
            return Ok(Interpreter {
                program: Box::new(program),
                argument,
            });
        }
        // `env` would look for it in directories whose files nobody compared.
        let name = argument.unwrap_or_default();
        let plain =
            !name.is_empty() && !name.contains(['/', ' ', '\t', '=']) && !name.starts_with('-');
        if !plain {
            return Err(fail("expected '#!/usr/bin/env' with one name".to_owned()));
        }
        for directory in PATH {
            let path = named(&format!("{directory}/{name}"))?;
            if context.sealed.find(&path).is_ok() {
                let program = Box::new(Self::open_one(context, &path)?);
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
fn has_owner(file: &File, path: &ImagePath, signed: Owner) -> Result<(), StepFailure> {
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
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

//! The one place that starts another program: no shell, no inherited environment, bounded output, a
//! deadline, and a status that counts.

use std::{
    ffi::OsStr,
    io::{self, Read},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use earmark_scan::threads;

use crate::exit::{Exit, Exits, Failure, Outcome};

/// A program that may be started.
#[derive(Debug, Clone, Copy)]
pub enum Program {
    /// Unpacks packages of Debian's.
    DpkgDeb,
    /// Mounts a file system of an image's.
    Mount,
    /// Unpacks disks that are not raw.
    QemuImg,
    /// Reads rpm databases, whose formats are rpm's own.
    Rpm,
    /// Turns a feature of a mounted ext4 on, whose superblock has a checksum.
    Tune2fs,
    /// For the tests of this file.
    #[cfg(test)]
    Shell,
    /// One that nobody has.
    #[cfg(test)]
    Missing,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::DpkgDeb => "dpkg-deb",
            Self::Mount => "mount",
            Self::QemuImg => "qemu-img",
            Self::Rpm => "rpm",
            Self::Tune2fs => "tune2fs",
            #[cfg(test)]
            Self::Shell => "sh",
            #[cfg(test)]
            Self::Missing => "earmark-has-no-such-program",
        }
    }
}

impl Program {
    /// The package that has it, by the names of Debian and of Fedora's relatives.
    const fn package(self) -> &'static str {
        match self {
            Self::DpkgDeb => "dpkg",
            Self::Mount => "mount (Debian, Ubuntu) or util-linux",
            Self::QemuImg => "qemu-utils (Debian, Ubuntu) or qemu-img",
            Self::Rpm => "rpm",
            Self::Tune2fs => "e2fsprogs",
            #[cfg(test)]
            Self::Shell | Self::Missing => self.name(),
        }
    }
}

/// Standard error is for a message; what is longer is cut.
const STDERR: u64 = 4096;

/// Runs `program` to its end and returns what it wrote. Nothing, if it is not installed.
pub fn output(
    program: Program,
    arguments: &[&OsStr],
    bound: u64,
    timeout: Duration,
) -> anyhow::Result<Option<Vec<u8>>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the helper that the lint asks for"
    )]
    let mut command = Command::new(program.name());
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        child => child.with_context(|| format!("failed to start {}", program.name()))?,
    };
    let readers = (|| {
        let stdout = child.stdout.take().map(|pipe| read(pipe, bound + 1));
        let stderr = child.stderr.take().map(|pipe| read(pipe, STDERR));
        Ok::<_, io::Error>((stdout.transpose()?, stderr.transpose()?))
    })();
    let (stdout, stderr) = match readers {
        Ok(readers) => readers,
        // Nobody reads what it says: it would wait for that without end.
        Err(error) => {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error).with_context(|| {
                format!("failed to start a thread that reads {}", program.name())
            });
        }
    };
    let status = wait(&mut child, timeout);
    let collect = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let status = status.with_context(|| format!("failed to wait for {}", program.name()))?;
    // First: a program whose pipe was closed on it does not end well either.
    if u64::try_from(stdout.len()).unwrap_or(u64::MAX) > bound {
        bail!("{} wrote more than {bound} bytes", program.name());
    }
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!(
            "{} failed ({status}): {}",
            program.name(),
            said.trim().escape_debug()
        );
    }
    Ok(Some(stdout))
}

/// Runs `program` to its end and returns what it wrote. It must be there, and what it is asked must work:
/// nothing can be said without its answer.
pub fn need(
    program: Program,
    arguments: &[&OsStr],
    bound: u64,
    timeout: Duration,
) -> Outcome<Vec<u8>> {
    output(program, arguments, bound, timeout)
        .exits(Exit::Undecided)?
        .ok_or_else(|| {
            Failure::new(
                Exit::Undecided,
                format!("{} is not installed", program.name()),
            )
            .next(format!("install the package {}", program.package()))
        })
}

/// Reads at most `bound` bytes. Dropping the pipe then ends a program that writes on.
fn read(pipe: impl Read + Send + 'static, bound: u64) -> io::Result<thread::JoinHandle<Vec<u8>>> {
    threads::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what there is; the status says the rest.
        let _ = pipe.take(bound).read_to_end(&mut bytes);
        bytes
    })
}

fn wait(child: &mut Child, timeout: Duration) -> io::Result<std::process::ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("timed out after {} s", timeout.as_secs()),
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<String, String> {
        let arguments = [OsStr::new("-c"), OsStr::new(script)];
        match output(Program::Shell, &arguments, 1000, Duration::from_millis(500)) {
            Ok(bytes) => Ok(String::from_utf8(bytes.unwrap()).unwrap()),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    #[test]
    fn command_failure_is_reported_and_output_and_time_are_bounded() {
        assert_eq!(shell("echo $LC_ALL $HOME").unwrap(), "C\n");
        let failed = shell("echo why >&2; exit 3").unwrap_err();
        assert!(
            failed.contains("exit status: 3") && failed.contains("why"),
            "{failed}"
        );
        let endless = shell("exec yes").unwrap_err();
        assert!(endless.contains("more than 1000 bytes"), "{endless}");
        let slow = shell("exec sleep 30").unwrap_err();
        assert!(slow.contains("timed out after"), "{slow}");
        let missing = output(Program::Missing, &[], 1, Duration::from_secs(1));
        assert!(missing.unwrap().is_none());
        let needed = need(Program::Missing, &[], 1, Duration::from_secs(1)).unwrap_err();
        assert!(
            needed.to_string().contains("install the package"),
            "{needed}"
        );
    }
}

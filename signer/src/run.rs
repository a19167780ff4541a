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

/// A program that may be started.
#[derive(Debug, Clone, Copy)]
pub enum Program {
    /// Reads rpm databases, whose formats are rpm's own.
    Rpm,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
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
    let stdout = child.stdout.take().map(|pipe| read(pipe, bound + 1));
    let stderr = child.stderr.take().map(|pipe| read(pipe, STDERR));
    let status = wait(&mut child, timeout);
    let collect = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let status = status.with_context(|| format!("failed to wait for {}", program.name()))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!(
            "{} failed ({status}): {}",
            program.name(),
            said.trim().escape_debug()
        );
    }
    if u64::try_from(stdout.len()).unwrap_or(u64::MAX) > bound {
        bail!("{} wrote more than {bound} bytes", program.name());
    }
    Ok(Some(stdout))
}

/// Reads at most `bound` bytes. Dropping the pipe then ends a program that writes on.
fn read(pipe: impl Read + Send + 'static, bound: u64) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
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
                format!("not done after {} s", timeout.as_secs()),
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

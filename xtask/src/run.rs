//! The one helper that starts processes: it echoes what it starts, checks the status and says what failed.
//!
//! Every command line is printed to stderr, so that a person can repeat by hand what a task did.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A process to be: program, arguments, additions to the environment, directory.
#[derive(Debug, Clone)]
pub struct Run {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    echo: bool,
}

/// Exit status and output of a process. Standard error went to the person, unless it was captured.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The exit code; a process that a signal ended counts as 128, as a shell would say.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(128)
    }
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: vec![("LC_ALL".into(), "C.UTF-8".into())],
            dir: None,
            echo: true,
        }
    }

    /// `words` split at white space; for command lines without quoting.
    pub fn words(words: &str) -> Self {
        let mut parts = words.split_whitespace();
        Self::new(parts.next().unwrap_or_default()).args(parts)
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// For questions asked of the machine, which nobody needs to see.
    pub fn quiet(mut self) -> Self {
        self.echo = false;
        self
    }

    /// Runs to the end, the output going to the person; an exit code other than 0 is an error.
    pub fn step(self) -> Result<()> {
        let line = self.line();
        let status = self.status()?;
        if !status.success() {
            bail!("`{line}` failed: {status}");
        }
        Ok(())
    }

    /// Runs to the end, the output going to the person, standard output to stderr: the standard
    /// output of a task is its result.
    pub fn status(self) -> Result<ExitStatus> {
        let line = self.line();
        self.command(Stdio::from(std::io::stderr()), Stdio::inherit())
            .status()
            .with_context(|| format!("failed to start `{line}`"))
    }

    /// Starts, and goes on; what it says goes to a file.
    pub fn beside(self, log: &Path) -> Result<Child> {
        let line = self.line();
        let open = || -> std::io::Result<(File, File)> {
            if let Some(dir) = log.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let file = File::create(log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().with_context(|| format!("failed to make \"{}\"", log.display()))?;
        self.command(Stdio::from(out), Stdio::from(err))
            .spawn()
            .with_context(|| format!("failed to start `{line}`"))
    }

    /// Runs to the end and returns standard output; an exit code other than 0 is an error.
    pub fn output(self) -> Result<String> {
        let line = self.line();
        let finished = self.finish()?;
        if !finished.status.success() {
            bail!("`{line}` failed: {}", finished.status);
        }
        Ok(finished.stdout)
    }

    /// Runs to the end and returns standard output and the status, whatever it is.
    pub fn finish(self) -> Result<Finished> {
        self.collect(Stdio::inherit())
    }

    /// As `finish`, with standard error captured too.
    pub fn capture(self) -> Result<Finished> {
        self.collect(Stdio::piped())
    }

    /// Runs to the end, shows standard output line by line as it comes, and returns it with the
    /// status, whatever it is.
    pub fn tee(self) -> Result<Finished> {
        let line = self.line();
        let mut child = self
            .command(Stdio::piped(), Stdio::inherit())
            .spawn()
            .with_context(|| format!("failed to start `{line}`"))?;
        let mut stdout = String::new();
        if let Some(pipe) = child.stdout.take() {
            for text in BufReader::new(pipe).lines() {
                let text = text.with_context(|| format!("failed to read from `{line}`"))?;
                eprintln!("{text}");
                stdout.push_str(&text);
                stdout.push('\n');
            }
        }
        let status = child
            .wait()
            .with_context(|| format!("failed to wait for `{line}`"))?;
        Ok(Finished {
            status,
            stdout,
            stderr: String::new(),
        })
    }

    /// The command line, quoted where a shell would need it.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in self.env.iter().filter(|(name, _)| name != "LC_ALL") {
            let _ = write!(line, "{}={} ", name.display(), quoted(value));
        }
        let words: Vec<String> = std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| quoted(word))
            .collect();
        line + &words.join(" ")
    }

    fn collect(self, stderr: Stdio) -> Result<Finished> {
        let line = self.line();
        let output = self
            .command(Stdio::piped(), stderr)
            .output()
            .with_context(|| format!("failed to start `{line}`"))?;
        Ok(Finished {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one helper that starts processes"
    )]
    fn command(self, stdout: Stdio, stderr: Stdio) -> Command {
        if self.echo {
            eprintln!("    $ {}", self.line());
        }
        let mut command = Command::new(&self.program);
        // What cargo says of this program is not so of what it starts. ring is compiled again whenever
        // one of these is another, and with it everything of ours.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&*name);
            }
        }
        command
            .args(&self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        command
    }
}

/// Returns whether this process runs as root: whether `/proc/self` belongs to uid 0.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_command_line_is_quoted_for_a_shell() {
        let run = Run::new("printf").args(["%s\\n", "it's"]).env("A", "b c");
        assert_eq!(run.line(), r"A='b c' printf '%s\n' 'it'\''s'");
    }

    #[test]
    fn failed_command_error_names_the_command() {
        let error = Run::words("sh -c false").quiet().step().unwrap_err();
        assert!(
            error.to_string().contains("`sh -c false` failed"),
            "{error}"
        );
    }

    #[test]
    fn command_output_is_returned() {
        assert_eq!(Run::words("echo a").quiet().output().unwrap(), "a\n");
    }
}

//! [`Format`] of executable files, told from their first bytes as the kernel does: ELF, or a script and its
//! interpreter.
//!
//! The signer asks when an image is sealed and the agent before it runs a program: what the one accepts, the other
//! must run.

/// Bytes that decide the format: the kernel reads no more of a script's first line (`BINPRM_BUF_SIZE`).
pub const START: u64 = 256;
/// Directories in which the program that `env` names in a script's first line is looked for. `env` itself would look
/// in directories whose files nobody compared.
pub const ENV_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Characters of a first line that are enough to be cut by the kernel, without `#!` and the line's end.
const LONGEST: usize = 253;

/// Format of an executable file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A program that the kernel loads.
    Elf,
    /// A script.
    Script {
        /// Path of its interpreter, as it is spelled.
        interpreter: String,
        /// All words behind it, as one argument.
        argument: Option<String>,
    },
}

impl Format {
    /// Tells the format of a file that begins with `start`.
    ///
    /// # Errors
    ///
    /// If the kernel would not run it. The C library's `execvp` would hand such a file to a `/bin/sh` that nobody
    /// compared.
    pub fn of(start: &[u8]) -> Result<Self, &'static str> {
        if start.starts_with(b"\x7fELF") {
            return Ok(Self::Elf);
        }
        let Some(rest) = start.strip_prefix(b"#!") else {
            return Err("it is neither a program (ELF) nor a script (#!)");
        };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // The kernel cuts a longer line, and may run it with a part of its argument: not what was compared.
        if line.len() >= LONGEST {
            return Err("its first line is too long");
        }
        let line = std::str::from_utf8(line).map_err(|_| "its first line is not UTF-8")?;
        let line = line.trim();
        let (interpreter, argument) = line
            .split_once([' ', '\t'])
            .map_or((line, None), |(program, rest)| (program, Some(rest.trim())));
        Ok(Self::Script {
            interpreter: interpreter.to_owned(),
            argument: argument.map(str::to_owned),
        })
    }
}

/// The name of the program that `#!/usr/bin/env ARGUMENT` runs.
///
/// # Errors
///
/// If it is not one name: `env` would take options, or set variables.
pub fn named_by_env(argument: Option<&str>) -> Result<&str, &'static str> {
    let name = argument.unwrap_or_default();
    let is_plain =
        !name.is_empty() && !name.contains(['/', ' ', '\t', '=']) && !name.starts_with('-');
    if is_plain {
        Ok(name)
    } else {
        Err("expected '#!/usr/bin/env' with one name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shebang_is_parsed_as_the_kernel_does() {
        let script = |interpreter: &str, argument: Option<&str>| {
            Ok(Format::Script {
                interpreter: interpreter.to_owned(),
                argument: argument.map(str::to_owned),
            })
        };
        let of = |start: &str| Format::of(start.as_bytes());
        assert_eq!(of("\x7fELF"), Ok(Format::Elf));
        assert_eq!(of("#!/bin/sh\nx"), script("/bin/sh", None));
        assert_eq!(of("#! /bin/sh -eu \n"), script("/bin/sh", Some("-eu")));
        let env = script("/usr/bin/env", Some("python3"));
        assert_eq!(of("#!/usr/bin/env python3"), env);
        let longest = format!("#!/{}\n", "x".repeat(251));
        assert!(of(&longest).is_ok());
        for bad in [
            "",
            "echo\n",
            " #!/bin/sh\n",
            &format!("#!/{}\n", "x".repeat(252)),
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(Format::of(b"#!/bin/\xff\n").is_err());
    }

    #[test]
    fn env_shebang_accepts_only_one_program_name() {
        assert_eq!(named_by_env(Some("sh")), Ok("sh"));
        for bad in [
            None,
            Some(""),
            Some("-S sh"),
            Some("A=b"),
            Some("a b"),
            Some("bin/sh"),
        ] {
            assert!(named_by_env(bad).is_err(), "{bad:?}");
        }
    }
}

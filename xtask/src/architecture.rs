//! The architectures that Earmark is packaged for, by the names that compilers and package managers have for them.

use anyhow::{Result, bail};
use clap::ValueEnum;

/// An architecture of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// Debian's `amd64`
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    /// Debian's `arm64`, such as Graviton
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Architecture {
    /// Returns the architecture of this machine.
    pub fn own() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            other => bail!("this machine is {other}; expected x86_64 or aarch64"),
        }
    }

    /// The name that Rust, rpm and `uname -m` have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The name that Debian has for it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Beginning of the names of GNU's tools for it.
    pub fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// The machine in the header of its programs, as `readelf` names it.
    pub fn elf(self) -> &'static str {
        match self {
            Self::X86_64 => "Advanced Micro Devices X86-64",
            Self::Aarch64 => "AArch64",
        }
    }

    /// The target triple that programs are built for.
    pub fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architecture_is_named_by_rusts_and_debians_word() {
        for (word, expected) in [
            ("x86_64", Architecture::X86_64),
            ("amd64", Architecture::X86_64),
            ("aarch64", Architecture::Aarch64),
            ("arm64", Architecture::Aarch64),
        ] {
            assert_eq!(Architecture::from_str(word, false), Ok(expected), "{word}");
        }
        assert!(Architecture::from_str("riscv64", false).is_err());
    }

    #[test]
    fn architecture_of_this_machine_is_known() {
        assert_eq!(Architecture::own().unwrap().name(), std::env::consts::ARCH);
    }
}

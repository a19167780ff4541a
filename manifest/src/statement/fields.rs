//! Fields of a statement that have one spelling each: architecture, build text, version.

use serde::Serialize;

/// A machine architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit x86.
    X86_64,
}

/// A line of a build record: 1 to 256 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildText(String);

/// The version of an agent: three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentVersion {
    /// Changes when formats break.
    pub major: u32,
    /// Changes with features.
    pub minor: u32,
    /// Changes with mends.
    pub patch: u32,
}

/// Text that is not what its field holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct TextError(&'static str);

impl Architecture {
    /// As `uname -m` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The architecture that this program was compiled for, if it is one of the known ones.
    pub const fn of_this_program() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Architecture {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "aarch64" => Ok(Self::Aarch64),
            "x86_64" => Ok(Self::X86_64),
            _ => Err(TextError("x86_64 or aarch64")),
        }
    }
}

impl BuildText {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for BuildText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        // CI fills these from branches and jobs that others name: no line break or escape code may come through.
        let good =
            (1..=256).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError("1 to 256 printable ASCII characters"))
        }
    }
}

impl std::fmt::Display for BuildText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl AgentVersion {
    /// The version of this program.
    ///
    /// # Errors
    ///
    /// If the version of this crate is not three numbers.
    pub fn of_this_program() -> Result<Self, TextError> {
        env!("CARGO_PKG_VERSION").parse()
    }
}

impl std::fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl std::str::FromStr for AgentVersion {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const EXPECTED: TextError = TextError("a version such as 0.1.0");
        let number = |part: Option<&str>| {
            // `u32::from_str` also takes `+1` and `01`: a version would have more than one spelling.
            let part = part
                .filter(|part| *part == "0" || !part.starts_with(['0', '+']))
                .ok_or(EXPECTED)?;
            part.parse().map_err(|_| EXPECTED)
        };
        let mut parts = text.split('.');
        let version = Self {
            major: number(parts.next())?,
            minor: number(parts.next())?,
            patch: number(parts.next())?,
        };
        if parts.next().is_some() {
            Err(EXPECTED)
        } else {
            Ok(version)
        }
    }
}

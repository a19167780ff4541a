//! Findings of a verification: violations, which are decided, and doubts, which are not.

use std::fmt;

use earmark_manifest::path::ImagePath;
use serde::Serialize;

/// One way in which a root is not the image that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Path that it is about, escaped.
    #[serde(serialize_with = "as_text")]
    pub path: ImagePath,
    /// Kind of violation.
    pub kind: ViolationKind,
    /// Signed value, escaped.
    pub expected: String,
    /// Value that was found, escaped.
    pub found: String,
}

/// Kinds of violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// It is not in the tree, and no rule lets it appear.
    Added,
    /// A word on the kernel's command line takes away or weakens what the image does at boot.
    Cmdline,
    /// Its bytes are others.
    Content,
    /// Its device number is another.
    Device,
    /// It shares its inode with other names than were signed.
    HardLink,
    /// The host says that it is another image.
    Identity,
    /// This boot did not go through the initrd that the image declares, or through one for another image.
    Initrd,
    /// It is in the tree, and not there.
    Missing,
    /// Its permission bits are others, or wider.
    Mode,
    /// Something is mounted over it.
    Mount,
    /// Its user or group is another.
    Owner,
    /// The service manager is not set up to carry out what the image declares.
    Policy,
    /// Its size is another.
    Size,
    /// It links to somewhere else.
    Target,
    /// It is another kind of object.
    Type,
    /// A security attribute is another: capability, ACL or label.
    Xattr,
}

/// Something that could not be decided. A root with a doubt is never verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// Path that it is about, escaped.
    #[serde(serialize_with = "as_text")]
    pub path: ImagePath,
    /// Operation that failed, and its cause.
    pub problem: String,
}

impl Doubt {
    pub(crate) fn new(path: &ImagePath, what: &str, cause: impl fmt::Display) -> Self {
        Self {
            path: path.clone(),
            problem: format!("failed to {what}: {cause}"),
        }
    }
}

impl ViolationKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 16] = [
        Self::Added,
        Self::Cmdline,
        Self::Content,
        Self::Device,
        Self::HardLink,
        Self::Identity,
        Self::Initrd,
        Self::Missing,
        Self::Mode,
        Self::Mount,
        Self::Owner,
        Self::Policy,
        Self::Size,
        Self::Target,
        Self::Type,
        Self::Xattr,
    ];

    /// Reads a kind as reports spell it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Cmdline => "cmdline",
            Self::Content => "content",
            Self::Device => "device",
            Self::HardLink => "hard-link",
            Self::Identity => "identity",
            Self::Initrd => "initrd",
            Self::Missing => "missing",
            Self::Mode => "mode",
            Self::Mount => "mount",
            Self::Owner => "owner",
            Self::Policy => "policy",
            Self::Size => "size",
            Self::Target => "target",
            Self::Type => "type",
            Self::Xattr => "xattr",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            kind,
            expected,
            found,
        } = self;
        write!(
            f,
            "{path}: {}: expected {expected}, found {found}",
            kind.name()
        )
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

fn as_text<S: serde::Serializer>(path: &ImagePath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

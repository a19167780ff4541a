//! Corrupted files of this boot, in `/run/earmark-corruption`: root's alone, since what is in it is not told again.

use anyhow::Result;
use earmark_manifest::{
    escape::{self, Escaped},
    path::ImagePath,
};
use earmark_scan::{Root, Violation, ViolationKind};
use serde::{Deserialize, Serialize};

use super::log::Corrupted;
use crate::host::state::StateDirectory;

const NAME: &str = "corrupted.json";
const PATH: &str = "/run/earmark-corruption/corrupted.json";
/// A thousand files, each with a long path.
const BOUND: usize = 8 * 1024 * 1024;

/// A corrupted file, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) at: Corrupted,
    /// Path of the sealed file, escaped; nothing for another file of that disk, or of another disk.
    pub(super) path: Option<String>,
}

impl Kept {
    pub(super) fn line(&self) -> String {
        let path = self.path.as_deref().unwrap_or("a file that is not sealed");
        format!("{path}: {}", self.found())
    }

    fn found(&self) -> String {
        let device = Escaped(self.at.device.as_bytes());
        format!(
            "a corrupted block, which the kernel refuses to read (fs-verity, {device}, inode {})",
            self.at.inode
        )
    }

    /// Nothing for a file that is not sealed.
    pub(super) fn violation(&self) -> Option<Violation> {
        let path = escape::decode(self.path.as_deref()?.as_bytes()).ok()?;
        Some(Violation {
            path: ImagePath::from_absolute(&path).ok()?,
            kind: ViolationKind::Content,
            expected: "the signed content in each block".to_owned(),
            found: self.found(),
        })
    }
}

/// Reads the list. One that cannot be read is empty: the next look finds it all again.
pub(super) fn read(root: &Root) -> Vec<Kept> {
    let read = || {
        let path = ImagePath::from_absolute(PATH.as_bytes()).ok()?;
        let bytes = root.read_opt(&path, BOUND).ok()??;
        serde_json::from_slice(&bytes).ok()
    };
    read().unwrap_or_default()
}

pub(super) fn write(root: &Root, kept: &[Kept]) -> Result<()> {
    let bytes = serde_json::to_vec(kept)?;
    StateDirectory::open_corruption(root)?.replace(NAME, &bytes)
}

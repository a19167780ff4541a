//! Reads the seal and the trust file of a root.

use earmark_manifest::{
    layout, limits,
    path::ImagePath,
    trust::{Trust, TrustError},
    verify::SealBytes,
};

use crate::{Root, ScanError};

/// Why there is nothing to verify with: each is a doubt, not a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A file is missing or cannot be read.
    #[error("{0}")]
    Read(#[from] ScanError),
    /// The trust file is there, and not one.
    #[error("failed to use the trust file '{place}': {cause}")]
    Trust {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        cause: TrustError,
    },
}

/// Reads the three files of a root's seal, each once.
pub fn read(root: &Root) -> Result<SealBytes, SealError> {
    Ok(SealBytes {
        envelope: read_file(root, layout::MANIFEST, limits::ENVELOPE)?,
        declaration: read_file(root, layout::DECLARATION, limits::DECLARATION)?,
        tree: read_file(root, layout::TREE, limits::TREE_STORED)?,
    })
}

/// Reads the parts of a root's seal that say what the image is and wants: the envelope and the
/// declaration, and not the tree, which is large.
pub fn read_declared(root: &Root) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    Ok((
        read_file(root, layout::MANIFEST, limits::ENVELOPE)?,
        read_file(root, layout::DECLARATION, limits::DECLARATION)?,
    ))
}

/// Reads and parses a root's own trust file.
pub fn read_trust(root: &Root) -> Result<Trust, SealError> {
    let bytes = read_file(root, layout::TRUST, limits::TRUST)?;
    Trust::parse(&bytes).map_err(|cause| SealError::Trust {
        place: layout::TRUST.to_owned(),
        cause,
    })
}

fn read_file(root: &Root, path: &str, bound: usize) -> Result<Vec<u8>, ScanError> {
    let absolute = ImagePath::from_absolute(path.as_bytes());
    let path = absolute.map_err(|error| ScanError {
        what: "open",
        place: path.to_owned(),
        cause: std::io::Error::other(error),
    })?;
    root.read(&path, bound)
}

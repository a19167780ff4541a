//! Reads the seal and the trust file of a root.

use earmark_manifest::{
    crypto::Sha256,
    digest::Sha256Digest,
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

impl SealError {
    /// Whether a file is there and larger than any seal's: that is decided, and no doubt.
    pub fn is_over_bound(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_over_bound())
    }
}

/// Reads the three files of a root's seal, each once.
pub fn read(root: &Root) -> Result<SealBytes, SealError> {
    let (envelope, declaration) = read_declared(root)?;
    Ok(SealBytes {
        envelope,
        declaration,
        tree: read_tree(root)?,
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

/// Reads the tree of a root's seal, still packed.
pub(crate) fn read_tree(root: &Root) -> Result<Vec<u8>, SealError> {
    Ok(read_file(root, layout::TREE, limits::TREE_STORED)?)
}

/// The digest of the tree of a root's seal. It is not kept: to fault in a buffer as large as it
/// takes longer than to hash it.
pub(crate) fn hash_tree(root: &Root) -> Result<Sha256Digest, SealError> {
    let mut hasher = Sha256::new();
    root.read_in_pieces(&at(layout::TREE)?, limits::TREE_STORED, |bytes| {
        hasher.update(bytes);
    })?;
    Ok(hasher.finish())
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
    root.read(&at(path)?, bound)
}

fn at(path: &str) -> Result<ImagePath, ScanError> {
    ImagePath::from_absolute(path.as_bytes()).map_err(|error| ScanError {
        what: "open",
        place: path.to_owned(),
        cause: std::io::Error::other(error),
    })
}

//! Reads the seal and the trust file of a root.
//!
//! None of it is believed before its signature was checked, and until then none of it may cost much: what is
//! larger than it could be is refused by its size, and a tree is opened only once the envelope was believed.

mod tree;

use earmark_manifest::{
    crypto::Sha256,
    digest::Sha256Digest,
    envelope::EnvelopeError,
    floor::{Floor, FloorError},
    layout, limits,
    path::ImagePath,
    trust::{Trust, TrustError},
    verify::{self, Refusal, SealBytes, VerifiedManifest},
};

pub(crate) use tree::{Trouble, believe_tree};

use crate::{Root, ScanError};

/// The cause that there is nothing to verify with. Each is a doubt but the last, which is a verdict.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file is missing or cannot be read.
    #[error("{0}")]
    Read(#[from] ScanError),
    /// The floor is there and does not parse.
    #[error(
        "failed to use the floor '{place}': {cause}; next: replace the host, or install its seal again"
    )]
    Floor {
        /// Its path in the root.
        place: String,
        /// The fault in it.
        cause: FloorError,
    },
    /// The trust file is there, and not one.
    #[error("failed to use the trust file '{place}': {cause}")]
    Trust {
        /// Its path in the root.
        place: String,
        /// Fault in it.
        cause: TrustError,
    },
    /// The seal is there, and not believed.
    #[error("the seal is not believed: {0}")]
    Refused(Refusal),
}

impl SealError {
    /// Returns whether this is a verdict: a seal that is there, and is not believed. Every other error is a doubt.
    pub fn is_decided(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Read(_) | Self::Floor { .. } | Self::Trust { .. } => false,
        }
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

/// Reads a root's seal and verifies it against `trust`, the envelope first.
pub fn verified(root: &Root, trust: &Trust) -> Result<VerifiedManifest, SealError> {
    let (envelope, declaration) = read_declared(root)?;
    let declared = verify::verify_declaration(&envelope, &declaration, trust);
    believe_tree(root, declared.map_err(SealError::Refused)?).map(|(manifest, _)| manifest)
}

/// Reads the parts of a root's seal that say what the image is and wants: the envelope and the
/// declaration, and not the tree, which is large.
pub fn read_declared(root: &Root) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let envelope = read_file(root, layout::MANIFEST, limits::ENVELOPE, |found| {
        Refusal::Envelope(EnvelopeError::Long {
            what: "the envelope",
            found,
            most: limits::ENVELOPE,
        })
    })?;
    // No declaration of that size was ever signed.
    let declaration = read_file(root, layout::DECLARATION, limits::DECLARATION, |_| {
        Refusal::DeclarationDigest
    })?;
    Ok((envelope, declaration))
}

/// Reads the tree of a root's seal, still packed.
fn read_tree(root: &Root) -> Result<Vec<u8>, SealError> {
    read_file(root, layout::TREE, limits::TREE_STORED, |_| {
        Refusal::TreeDigest
    })
}

/// The digest of the tree of a root's seal. It is not kept: to fault in a buffer as large as it
/// takes longer than to hash it.
pub(crate) fn hash_tree(root: &Root) -> Result<Sha256Digest, SealError> {
    let path = at(layout::TREE)?;
    let mut hasher = Sha256::new();
    let read = root.read_in_pieces(&path, limits::TREE_STORED, |bytes| hasher.update(bytes));
    read.map_err(|error| refused_if_long(root, &path, error, |_| Refusal::TreeDigest))?;
    Ok(hasher.finish())
}

/// Reads and parses a root's own trust file.
pub fn read_trust(root: &Root) -> Result<Trust, SealError> {
    // Missing, malformed or too long is a doubt and no refusal: without keys, no signature was looked at.
    let bytes = root.read(&at(layout::TRUST)?, limits::TRUST)?;
    Trust::parse(&bytes).map_err(|cause| SealError::Trust {
        place: layout::TRUST.to_owned(),
        cause,
    })
}

/// Reads and parses a root's floor. A sealed root has one: 'seal' and 'install' place it.
pub fn read_floor(root: &Root) -> Result<Floor, SealError> {
    // Absent is an error and no lowest floor: to remove the file must not let an older seal pass.
    let bytes = root.read(&at(layout::FLOOR)?, limits::FLOOR)?;
    Floor::parse(&bytes).map_err(|cause| SealError::Floor {
        place: layout::FLOOR.to_owned(),
        cause,
    })
}

/// Reads a file of the seal, of which one of more than `bound` bytes is none.
fn read_file(
    root: &Root,
    path: &str,
    bound: usize,
    refusal: impl FnOnce(usize) -> Refusal,
) -> Result<Vec<u8>, SealError> {
    let path = at(path)?;
    root.read(&path, bound)
        .map_err(|error| refused_if_long(root, &path, error, refusal))
}

/// Makes a refusal of the error that a file is longer than any seal's, with its size; every other one stays a doubt.
fn refused_if_long(
    root: &Root,
    path: &ImagePath,
    error: ScanError,
    refusal: impl FnOnce(usize) -> Refusal,
) -> SealError {
    if !error.is_over_bound() {
        return SealError::Read(error);
    }
    // For the message alone: the file may have changed by now, and is refused all the same.
    let size = root.size_of_regular(path).ok();
    let size = size.and_then(|size| usize::try_from(size).ok());
    SealError::Refused(refusal(size.unwrap_or(usize::MAX)))
}

fn at(path: &str) -> Result<ImagePath, ScanError> {
    ImagePath::from_absolute(path.as_bytes()).map_err(|error| ScanError {
        what: "open",
        place: path.to_owned(),
        cause: std::io::Error::other(error),
    })
}

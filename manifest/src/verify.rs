//! The only way to a [`VerifiedManifest`].
//!
//! Protects against: a manifest, declaration or tree that was not made by enough of the trusted
//! keys, or that belongs to another image, purpose or version. Does not protect against somebody
//! who can replace the trust file and the program that reads it (tier T0; `docs/threat-model.md`).

use crate::{
    crypto,
    declaration::{Declaration, DeclarationError, OnFailure},
    digest::{ManifestDigest, Sha256Digest},
    envelope::{Envelope, EnvelopeError, KeyId},
    floor::{BelowFloor, Floor},
    json::JsonError,
    limits,
    name::ImageName,
    statement::{AgentVersion, Statement},
    tree::{self, TreeError, TreeReader},
    trust::{Purpose, Trust},
};

/// The three files of a seal, as they were read: each once, and nothing believed yet.
#[derive(Debug, Clone)]
pub struct SealBytes {
    /// `manifest.json`.
    pub envelope: Vec<u8>,
    /// `earmark.toml`.
    pub declaration: Vec<u8>,
    /// `tree.zst`.
    pub tree: Vec<u8>,
}

/// A manifest that enough trusted keys signed, with the declaration and the tree that it speaks of.
/// Later stages take a reference to this, so that none can run before verification.
#[derive(Debug)]
pub struct VerifiedManifest {
    declared: VerifiedDeclaration,
    tree: Stored,
}

/// The stored bytes of a tree that are not kept in memory, to be read once or several times.
///
/// Whoever implements it keeps the promise that a tree in memory keeps by itself: each byte that it gives
/// was checked, before it is given, to be one of those whose digest it was handed over with.
pub trait TreeSource: std::fmt::Debug + Send + Sync {
    /// The bytes, from their beginning. One that is no longer what it was is an error.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read, or are no longer those that were checked.
    fn open(&self) -> std::io::Result<Box<dyn std::io::BufRead + Send + '_>>;
}

/// Stored bytes of a tree, in memory or elsewhere.
#[derive(Debug)]
enum Stored {
    Held(Vec<u8>),
    Elsewhere(Box<dyn TreeSource>),
}

/// A manifest that enough trusted keys signed, with the declaration alone: what can be known without
/// reading the tree, which takes milliseconds. It says what the image is and what its owner wants, and
/// nothing of the root that it was found in.
#[derive(Debug)]
pub struct VerifiedDeclaration {
    statement: Statement,
    digest: ManifestDigest,
    signers: Vec<KeyId>,
    declaration: Declaration,
}

/// Reason for which a seal is refused. Each of these is a decision, never a doubt: what could not be read
/// does not get here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// This program is too old to know what the manifest says.
    #[error("the manifest needs agent {needed} or later, and this is {found}")]
    AgentTooOld {
        /// From the manifest.
        needed: AgentVersion,
        /// This program's.
        found: AgentVersion,
    },
    /// The declaration is the signed one, and still not one that this version reads.
    #[error("earmark.toml: {0}")]
    Declaration(Box<DeclarationError>),
    /// The declaration is not the signed one.
    #[error("earmark.toml is not the one that was signed")]
    DeclarationDigest,
    /// Statement and declaration name different images, epochs or command lines.
    #[error("the manifest and earmark.toml disagree on the image's {0}")]
    Disagree(&'static str),
    /// See [`EnvelopeError`].
    #[error("manifest.json: {0}")]
    Envelope(EnvelopeError),
    /// A good seal that is older or weaker than this image's own: somebody put it in.
    #[error("{0}: another seal was put in the place of the image's own; next: replace the host")]
    Floor(Box<BelowFloor>),
    /// A good manifest, of an image that this trust file is not for.
    #[error("the manifest is of the image '{found}', and the trust file is for '{expected}'")]
    Image {
        /// From the trust file.
        expected: ImageName,
        /// From the manifest.
        found: ImageName,
    },
    /// Too few distinct trusted keys with the purpose `image` signed.
    #[error("{signed} of {threshold} needed signatures by trusted keys with the purpose 'image'")]
    Signatures {
        /// Distinct keys that did.
        signed: usize,
        /// Distinct keys that must sign.
        threshold: usize,
    },
    /// Signed, but not a statement that this version reads.
    #[error("manifest.json, payload: {0}")]
    Statement(JsonError),
    /// The tree is not the signed one.
    #[error("tree.zst is not the one that was signed")]
    TreeDigest,
}

/// Verifies a seal against a trust file.
///
/// The order matters: signatures first, over the bytes; then those same bytes are parsed; then the
/// other two files are checked by their digests, and only then parsed. The tree stays packed until
/// [`VerifiedManifest::tree`] is asked for.
///
/// # Errors
///
/// [`Refusal`], the first that applies in the order above. Each is a decision about the bytes, never a doubt.
pub fn verify(seal: SealBytes, trust: &Trust) -> Result<VerifiedManifest, Refusal> {
    let SealBytes {
        envelope,
        declaration,
        tree,
    } = seal;
    verify_declaration(&envelope, &declaration, trust)?.with_tree(tree)
}

/// Verifies `manifest.json` and `earmark.toml` against a trust file, as [`verify`] does.
///
/// # Errors
///
/// [`Refusal`], as [`verify`]; never [`Refusal::TreeDigest`].
pub fn verify_declaration(
    envelope: &[u8],
    declaration: &[u8],
    trust: &Trust,
) -> Result<VerifiedDeclaration, Refusal> {
    let envelope = Envelope::parse(envelope).map_err(Refusal::Envelope)?;
    let signers = signers(&envelope, trust, Purpose::Image).map_err(|few| Refusal::Signatures {
        signed: few.signed,
        threshold: few.threshold,
    })?;
    let payload = envelope.unverified_payload();
    let statement = Statement::parse(payload).map_err(Refusal::Statement)?;
    // A version of this program that does not parse counts as the oldest, which refuses rather than accepts.
    let found = AgentVersion::of_this_program().unwrap_or(AgentVersion {
        major: 0,
        minor: 0,
        patch: 0,
    });
    // Only for manifests that this version can parse: one with a field that is new was refused above.
    if statement.minimum_agent > found {
        return Err(Refusal::AgentTooOld {
            needed: statement.minimum_agent,
            found,
        });
    }
    // One key may sign many images: without this, the seal of another is left to the floor and the tree to refuse.
    if let Some(expected) = trust
        .image()
        .filter(|expected| **expected != statement.image.name)
    {
        return Err(Refusal::Image {
            expected: expected.clone(),
            found: statement.image.name,
        });
    }
    // Over the bytes and before the parser: TOML from whoever writes the disk never reaches it.
    if crypto::sha256(declaration) != statement.declaration {
        return Err(Refusal::DeclarationDigest);
    }
    let declaration =
        Declaration::parse(declaration).map_err(|error| Refusal::Declaration(Box::new(error)))?;
    // Both are signed, and a host acts on both: a mistake of the signer must not make them two images.
    if declaration.image.name != statement.image.name {
        return Err(Refusal::Disagree("name"));
    }
    if declaration.image.epoch != statement.image.epoch {
        return Err(Refusal::Disagree("epoch"));
    }
    // What was not declared may have been recorded; what was declared is what people reviewed.
    let signed = statement.boot.as_ref().map(|boot| &boot.cmdline);
    if declaration.boot.cmdline.is_some() && declaration.boot.cmdline.as_ref() != signed {
        return Err(Refusal::Disagree("command line"));
    }
    let digest = ManifestDigest::of_payload(payload);
    Ok(VerifiedDeclaration {
        statement,
        digest,
        signers,
        declaration,
    })
}

impl VerifiedManifest {
    /// Returns the signed statement.
    pub fn statement(&self) -> &Statement {
        self.declared.statement()
    }

    /// The manifest's identity.
    pub fn digest(&self) -> ManifestDigest {
        self.declared.digest()
    }

    /// The trusted keys that signed.
    pub fn signers(&self) -> &[KeyId] {
        self.declared.signers()
    }

    /// The declaration.
    pub fn declaration(&self) -> &Declaration {
        self.declared.declaration()
    }

    /// See [`VerifiedDeclaration::refuse_below`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Floor`].
    pub fn refuse_below(&self, floor: &Floor) -> Result<(), Refusal> {
        self.declared.refuse_below(floor)
    }

    /// All but the tree, whose memory is given back.
    pub fn without_tree(self) -> VerifiedDeclaration {
        self.declared
    }

    /// The tree, unpacked entry by entry. An error here is a signed tree that this version cannot
    /// read, which makes the root not verified.
    ///
    /// # Errors
    ///
    /// [`TreeError`], here and from each entry.
    pub fn tree(&self) -> Result<TreeReader<impl std::io::BufRead + Send + '_>, TreeError> {
        let stored: Box<dyn std::io::BufRead + Send + '_> = match &self.tree {
            Stored::Held(bytes) => {
                tree::must_be_one_frame(bytes)?;
                Box::new(bytes.as_slice())
            }
            // That it is one frame is checked while it is unpacked (`OneFrame`): there are never all bytes at once.
            Stored::Elsewhere(source) => source.open().map_err(TreeError::of_storage)?,
        };
        tree::unpack(stored)?.expecting(self.declared.statement.summary)
    }
}

impl VerifiedDeclaration {
    /// Returns the signed statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The manifest's identity.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// The trusted keys that signed.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// The declaration.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Refuses a seal that is below the floor of the image that it was found in.
    ///
    /// # Errors
    ///
    /// [`Refusal::Floor`], with the first part that is below.
    pub fn refuse_below(&self, floor: &Floor) -> Result<(), Refusal> {
        floor
            .check(&self.statement, &self.declaration)
            .map_err(|below| Refusal::Floor(Box::new(below)))
    }

    /// The same, with the stricter of its own policy and `least`, and with locks shut that the floor wants
    /// shut: for a host that has to do something about a seal that it refuses.
    #[must_use]
    pub fn raised_to(mut self, least: OnFailure, floor: Option<&Floor>) -> Self {
        let verify = &mut self.declaration.verify;
        // `max`, since the seal that is refused may also be the stricter one.
        verify.on_failure = verify.on_failure.max(least);
        if let Some(floor) = floor {
            verify.on_failure = verify.on_failure.max(floor.policy);
        }
        // A declaration that is refused does not get away with a milder reaction to this either.
        verify.on_corruption = verify.on_corruption.map(|own| own.max(verify.on_failure));
        if let Some(floor) = floor {
            for name in floor.open(&self.declaration) {
                self.declaration.lockdown.shut(name);
            }
        }
        self
    }

    /// Takes `tree.zst`, if it is the signed one.
    ///
    /// # Errors
    ///
    /// [`Refusal::TreeDigest`] for another tree, and for one of more than [`limits::TREE_STORED`] bytes.
    pub fn with_tree(self, tree: Vec<u8>) -> Result<VerifiedManifest, Refusal> {
        // By its length alone: no reader takes a longer one, so that to hash it would only cost time.
        if tree.len() > limits::TREE_STORED {
            return Err(Refusal::TreeDigest);
        }
        self.refuse_other_tree(crypto::sha256(&tree))?;
        Ok(VerifiedManifest {
            declared: self,
            tree: Stored::Held(tree),
        })
    }

    /// Takes a `tree.zst` that is too large to be held, if `digest`, that of all bytes of `source`, is
    /// the signed one.
    ///
    /// # Errors
    ///
    /// [`Refusal::TreeDigest`] for another digest.
    pub fn with_tree_elsewhere(
        self,
        digest: Sha256Digest,
        source: Box<dyn TreeSource>,
    ) -> Result<VerifiedManifest, Refusal> {
        self.refuse_other_tree(digest)?;
        Ok(VerifiedManifest {
            declared: self,
            tree: Stored::Elsewhere(source),
        })
    }

    /// Refuses a `tree.zst` of another digest than the signed one: for those who do not look into it
    /// and need not keep it.
    ///
    /// # Errors
    ///
    /// [`Refusal::TreeDigest`] for another digest.
    pub fn refuse_other_tree(&self, digest: Sha256Digest) -> Result<(), Refusal> {
        if digest == self.statement.tree {
            Ok(())
        } else {
            Err(Refusal::TreeDigest)
        }
    }
}

/// Fewer distinct trusted keys signed than must.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooFew {
    pub(crate) signed: usize,
    pub(crate) threshold: usize,
}

/// The distinct trusted keys with `purpose` that signed, if they are enough.
///
/// Counted by key, not by signature or keyid: one key that signs twice counts once, and keyids are
/// hints that anybody can write.
pub(crate) fn signers(
    envelope: &Envelope,
    trust: &Trust,
    purpose: Purpose,
) -> Result<Vec<KeyId>, TooFew> {
    let message = envelope.signed_message();
    let signers: Vec<KeyId> = trust
        .keys_for(purpose)
        .filter(|key| envelope.is_signed_by(key.key(), &message))
        .map(crate::trust::TrustedKey::id)
        .collect();
    // No key with the purpose leaves nothing to count, whatever the threshold.
    if signers.len() < trust.threshold().max(1) {
        return Err(TooFew {
            signed: signers.len(),
            threshold: trust.threshold(),
        });
    }
    Ok(signers)
}

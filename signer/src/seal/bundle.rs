//! Bundle, which is carried from `measure` to `sign` to `install`: a directory of three files, then four.
//!
//! An [`UnsignedBundle`] says what a root is; only signing makes a [`SignedBundle`] of it, and only
//! that can be placed into a root.

use std::{fs, io, path::Path};

use anyhow::{Context, anyhow};
use earmark_manifest::{
    crypto,
    declaration::Declaration,
    digest::ManifestDigest,
    envelope::Envelope,
    layout::{DECLARATION_NAME, MANIFEST_NAME, TREE_NAME},
    limits,
    statement::Statement,
    tree::{self, TreeSummary},
    trust::Trust,
    verify::{self, SealBytes, VerifiedManifest},
};

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{
        files::{self, TemporaryDirectory},
        output::quote,
    },
    keys::{self, SigningKey},
};

/// The payload that is to be signed, byte for byte.
pub const STATEMENT_NAME: &str = "statement.json";

/// Every file of a bundle. What a killed run left of any is removed by the next that writes one.
const NAMES: [&str; 4] = [STATEMENT_NAME, DECLARATION_NAME, TREE_NAME, MANIFEST_NAME];

/// A measured root, not signed yet.
#[derive(Debug)]
pub struct UnsignedBundle {
    statement: Statement,
    payload: Vec<u8>,
    declaration: Vec<u8>,
    tree: Vec<u8>,
}

/// A signed manifest, with the files that it speaks of.
#[derive(Debug)]
pub struct SignedBundle {
    /// The envelope round the statement.
    pub envelope: Envelope,
    declaration: Vec<u8>,
    tree: Vec<u8>,
}

impl UnsignedBundle {
    /// Of these parts, which must belong together.
    pub fn new(statement: Statement, declaration: Vec<u8>, tree: Vec<u8>) -> Outcome<Self> {
        let payload = statement
            .to_payload()
            .context("failed to write the statement")
            .exits(Exit::Usage)?;
        let bundle = Self {
            statement,
            payload,
            declaration,
            tree,
        };
        Ok(bundle)
    }

    /// Reads what `measure` wrote, and checks all of it: it may come from a machine that the key
    /// never sees, and a signature says that it is so.
    pub fn read(directory: &Path) -> Outcome<Self> {
        let read = |name, bound| files::need_in(directory, name, bound, "measurement");
        let payload = read(STATEMENT_NAME, limits::PAYLOAD)
            .or_next(|| "earmark measure writes it".to_owned())?;
        let statement = Statement::parse(&payload)
            .with_context(|| format!("failed to parse {}", quote(&directory.join(STATEMENT_NAME))))
            .exits(Exit::Usage)?;
        let bundle = Self {
            statement,
            payload,
            declaration: read(DECLARATION_NAME, limits::DECLARATION)?,
            tree: read(TREE_NAME, limits::TREE_STORED)?,
        };
        bundle.check().map_err(|failure| {
            failure.next(format!(
                "measure again: {} is not what one run of 'earmark measure' wrote",
                quote(directory)
            ))
        })?;
        Ok(bundle)
    }

    /// Returns the statement that is to be signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The digest that identifies the image, whoever signs it.
    pub fn digest(&self) -> ManifestDigest {
        ManifestDigest::of_payload(&self.payload)
    }

    /// Refuses what an agent would refuse, and a tree whose rules are not the declaration's.
    ///
    /// Protects against a guest that was measured with rules which nobody reviewed: the declaration
    /// is what people read, the tree is what the agent believes.
    fn check(&self) -> Outcome<()> {
        let Statement {
            tree,
            declaration,
            image,
            summary,
            boot,
            ..
        } = &self.statement;
        let refuse = |why: &str| Err(Failure::new(Exit::NotVerified, format!("refused: {why}")));
        if crypto::sha256(&self.declaration) != *declaration {
            return refuse("earmark.toml does not match statement.json");
        }
        if crypto::sha256(&self.tree) != *tree {
            return refuse("tree.zst does not match statement.json");
        }
        let declared = Declaration::parse(&self.declaration)
            .context("earmark.toml")
            .exits(Exit::Usage)?;
        if declared.image.name != image.name || declared.image.epoch != image.epoch {
            return refuse("statement.json and earmark.toml disagree on the image's name or epoch");
        }
        let signed = boot.as_ref().map(|boot| &boot.cmdline);
        if declared.boot.cmdline.is_some() && declared.boot.cmdline.as_ref() != signed {
            return refuse("statement.json and earmark.toml disagree on the image's command line");
        }
        let mut reader = tree::read(&self.tree)
            .context("tree.zst")
            .exits(Exit::NotVerified)?;
        if !declared.is_resolved_as(reader.rules()) {
            return refuse(
                "the class rules of tree.zst are not those of earmark.toml (another version of \
                 earmark may have measured it)",
            );
        }
        let rules = reader.rules().clone();
        for entry in &mut reader {
            let entry = entry.context("tree.zst").exits(Exit::NotVerified)?;
            let class = rules.class_when_sealed(&entry.path);
            if entry.class != class {
                return refuse(&format!(
                    "tree.zst has {} as {}, which earmark.toml makes {class}",
                    entry.path, entry.class
                ));
            }
        }
        let found: TreeSummary = reader.summary();
        if found != *summary {
            return refuse("tree.zst does not have the entries and bytes of statement.json");
        }
        Ok(())
    }

    /// Writes the three files. An existing directory gets them one by one, each whole; a
    /// `manifest.json` of another statement in it is removed.
    pub fn write(&self, directory: &Path) -> Outcome<()> {
        let writing = || format!("failed to write {}", quote(directory));
        let contents = [
            (TREE_NAME, &self.tree),
            (DECLARATION_NAME, &self.declaration),
            (STATEMENT_NAME, &self.payload),
        ];
        files::remove_leftover_directories(files::parent(directory));
        if directory.is_dir() {
            files::remove_leftovers_of(directory, &NAMES);
            self.remove_stale_manifest(directory)?;
            for (name, bytes) in contents {
                files::replace(&directory.join(name), bytes)?;
            }
            return Ok(());
        }
        let parent = files::parent(directory);
        let temporary = TemporaryDirectory::new_in(parent).or_else(|error| {
            use io::ErrorKind as Kind;
            let elsewhere = matches!(
                error.kind(),
                Kind::NotFound | Kind::NotADirectory | Kind::PermissionDenied
            );
            let exit = files::unwritable(&error);
            let failed = Err(error).with_context(writing).exits(exit);
            if elsewhere {
                let next = || format!("{} must be a directory that can be written", quote(parent));
                return failed.or_next(next);
            }
            failed
        })?;
        let fill = || -> io::Result<()> {
            for (name, bytes) in contents {
                files::create_new(&temporary.path().join(name), 0o644, bytes)?;
            }
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(temporary.path(), open)?;
            files::sync_directory(temporary.path())?;
            fs::rename(temporary.path(), directory)?;
            files::sync_directory(parent)
        };
        let filled = fill();
        let exit = filled
            .as_ref()
            .err()
            .map_or(Exit::Internal, files::unwritable);
        filled.with_context(writing).exits(exit)
    }

    fn remove_stale_manifest(&self, directory: &Path) -> Outcome<()> {
        let path = directory.join(MANIFEST_NAME);
        let Some(bytes) = files::read_in(directory, MANIFEST_NAME, limits::ENVELOPE, "manifest")?
        else {
            return Ok(());
        };
        let signs_this = Envelope::parse(&bytes)
            .is_ok_and(|envelope| envelope.unverified_payload() == self.payload);
        if signs_this {
            return Ok(());
        }
        let removed = fs::remove_file(&path)
            .with_context(|| format!("failed to remove the old {}", quote(&path)));
        Ok(removed?)
    }

    /// Signs with all of `keys`, keeping the signatures of `earlier`.
    pub fn sign(self, earlier: Option<Envelope>, keys: &[SigningKey]) -> Outcome<SignedBundle> {
        if let Some(earlier) = &earlier
            && earlier.unverified_payload() != self.payload
        {
            return Err(Failure::new(
                Exit::NotVerified,
                "refused: the existing manifest.json signs another statement",
            )
            .next("remove it, or measure again"));
        }
        let envelope = keys::sign(earlier, self.payload, keys)?;
        if envelope.signature_count() > limits::SIGNATURES {
            return Err(Failure::new(
                Exit::Usage,
                format!("more than {} signatures", limits::SIGNATURES),
            ));
        }
        Ok(SignedBundle {
            envelope,
            declaration: self.declaration,
            tree: self.tree,
        })
    }
}

impl SignedBundle {
    /// Reads what `sign` left.
    pub fn read(directory: &Path) -> Outcome<Self> {
        let envelope = read_envelope(directory)?
            .ok_or_else(|| anyhow!("no manifest.json in {}", quote(directory)))
            .exits(Exit::Undecided)
            .or_next(|| format!("earmark sign {} --key release.key", quote(directory)))?;
        let read = |name, bound| files::need_in(directory, name, bound, "signed bundle");
        Ok(Self {
            envelope,
            declaration: read(DECLARATION_NAME, limits::DECLARATION)?,
            tree: read(TREE_NAME, limits::TREE_STORED)?,
        })
    }

    /// Writes `manifest.json`; the other files are there.
    pub fn write_manifest(&self, directory: &Path) -> Outcome<()> {
        files::remove_leftovers_of(directory, &NAMES);
        files::replace(&directory.join(MANIFEST_NAME), &self.envelope.to_json())
    }

    /// The files of the seal.
    pub fn seal(&self) -> SealBytes {
        SealBytes {
            envelope: self.envelope.to_json(),
            declaration: self.declaration.clone(),
            tree: self.tree.clone(),
        }
    }

    /// Verifies it as the agent would.
    pub fn verify(&self, trust: &Trust) -> Outcome<VerifiedManifest> {
        verify::verify(self.seal(), trust)
            .context("refused by the trust file")
            .exits(Exit::NotVerified)
            .or_next(|| {
                "sign with keys of the trust file that have the purpose 'image', as many as its \
                 threshold says"
                    .to_owned()
            })
    }
}

/// The envelope in a bundle, if it was signed before.
pub fn read_envelope(directory: &Path) -> Outcome<Option<Envelope>> {
    let path = directory.join(MANIFEST_NAME);
    let Some(bytes) = files::read_in(directory, MANIFEST_NAME, limits::ENVELOPE, "manifest")?
    else {
        return Ok(None);
    };
    let envelope = Envelope::parse(&bytes)
        .with_context(|| format!("failed to parse {}", quote(&path)))
        .exits(Exit::NotVerified)?;
    Ok(Some(envelope))
}

#[cfg(test)]
mod tests;

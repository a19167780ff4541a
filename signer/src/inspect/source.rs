//! Source that `inspect`, `diff` and `export` are pointed at: a sealed root, the directory of a seal or
//! bundle, a `manifest.json`, or a `tree.zst`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use earmark_manifest::{
    class::RuleSet,
    crypto,
    declaration::Declaration,
    digest::{ManifestDigest, Sha256Digest},
    entry::Entry,
    envelope::Envelope,
    layout::{self, DECLARATION_NAME, MANIFEST_NAME, TREE_NAME},
    limits,
    path::ImagePath,
    statement::Statement,
    tree::{self, TreeSummary},
    verify::SealBytes,
};
use earmark_scan::{Root, seal};
use serde::Serialize;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{files, output::quote},
    seal::bundle::STATEMENT_NAME,
};

/// Kind of object that a path turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A root with a seal.
    Root,
    /// A directory with the files of a seal, or of a bundle.
    Seal,
    /// `manifest.json` alone.
    Manifest,
    /// `tree.zst` alone.
    Tree,
}

/// Content that was read. Nothing in it is verified but that its parts belong together.
#[derive(Debug)]
pub struct Source {
    /// As it was named.
    pub path: PathBuf,
    /// Kind of the source.
    pub kind: Kind,
    /// The root, if it is one.
    pub root: Option<Root>,
    /// The envelope; none in a bundle that is not signed yet.
    pub envelope: Option<Envelope>,
    /// The statement, and the digest of the payload that it came from.
    pub manifest: Option<(Statement, ManifestDigest)>,
    /// The declaration, and its bytes.
    pub declaration: Option<(Declaration, Vec<u8>)>,
    /// The stored tree.
    pub stored_tree: Option<Vec<u8>>,
}

/// A tree in memory.
#[derive(Debug)]
pub struct Tree {
    /// The class rules.
    pub rules: RuleSet,
    /// The entries in their order.
    pub entries: Vec<Entry>,
    /// In numbers.
    pub summary: TreeSummary,
}

impl Source {
    /// Reads what is at `path`.
    pub fn open(path: &Path) -> Outcome<Self> {
        let metadata = std::fs::metadata(path)
            .with_context(|| format!("failed to open {}", quote(path)))
            .exits(Exit::Undecided)?;
        if !metadata.is_dir() {
            return Self::file(path);
        }
        let sealed = path.join(layout::SEAL_DIR.trim_start_matches('/'));
        let bundle = path.join(TREE_NAME).symlink_metadata().is_ok();
        if bundle && sealed.symlink_metadata().is_err() {
            Self::directory(path)
        } else {
            Self::root(path)
        }
    }

    /// The tree, unpacked.
    pub fn tree(&self) -> Outcome<Tree> {
        let reading = || format!("failed to read the tree of {}", quote(&self.path));
        let stored = self
            .stored_tree
            .as_ref()
            .ok_or_else(|| anyhow!("no tree: a manifest.json names a tree but has none"))
            .with_context(reading)
            .exits(Exit::Usage)
            .or_next(|| "name the directory that it is in".to_owned())?;
        let mut reader = tree::read(stored)
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        let mut entries = Vec::new();
        for entry in &mut reader {
            entries.push(entry.with_context(reading).exits(Exit::NotVerified)?);
        }
        Ok(Tree {
            rules: reader.rules().clone(),
            entries,
            summary: reader.summary(),
        })
    }

    /// The three files of the seal, if this has all of them.
    pub fn seal(&self) -> Option<SealBytes> {
        Some(SealBytes {
            envelope: self.envelope.as_ref()?.to_json(),
            declaration: self.declaration.as_ref()?.1.clone(),
            tree: self.stored_tree.clone()?,
        })
    }

    fn root(path: &Path) -> Outcome<Self> {
        let root = Root::open(path).exits(Exit::Undecided)?;
        let seal = seal::read(&root);
        let exit = match &seal {
            // It is there, and no seal.
            Err(error) if error.is_decided() => Exit::NotVerified,
            _ => Exit::Undecided,
        };
        let seal = seal
            .with_context(|| format!("failed to read the seal of {}", quote(path)))
            .exits(exit)
            .or_next(|| {
                format!(
                    "expected a root sealed in {}, a directory with {TREE_NAME}, a {MANIFEST_NAME} \
                     or a {TREE_NAME}",
                    layout::SEAL_DIR
                )
            })?;
        let mut source = Self::of_parts(
            path,
            Kind::Root,
            Some(&seal.envelope),
            None,
            seal.declaration,
            seal.tree,
        )?;
        source.root = Some(root);
        Ok(source)
    }

    fn directory(path: &Path) -> Outcome<Self> {
        let read = |name, bound| files::read_in(path, name, bound, "seal");
        let need = |name, bound| files::need_in(path, name, bound, "seal");
        let envelope = read(MANIFEST_NAME, limits::ENVELOPE)?;
        let statement = match envelope {
            Some(_) => None,
            None => Some(need(STATEMENT_NAME, limits::PAYLOAD)?),
        };
        let declaration = need(DECLARATION_NAME, limits::DECLARATION)?;
        let tree = need(TREE_NAME, limits::TREE_STORED)?;
        Self::of_parts(
            path,
            Kind::Seal,
            envelope.as_deref(),
            statement.as_deref(),
            declaration,
            tree,
        )
    }

    fn file(path: &Path) -> Outcome<Self> {
        const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
        let bytes = files::read(path, limits::TREE_STORED, "file")?;
        let mut source = Self::empty(path, Kind::Tree);
        if bytes.starts_with(ZSTD) {
            source.stored_tree = Some(bytes);
            return Ok(source);
        }
        source.kind = Kind::Manifest;
        source
            .take_manifest(Some(&bytes), None)
            .map_err(|failure| {
                failure.next(format!("expected a {MANIFEST_NAME} or a {TREE_NAME}"))
            })?;
        Ok(source)
    }

    fn empty(path: &Path, kind: Kind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            root: None,
            envelope: None,
            manifest: None,
            declaration: None,
            stored_tree: None,
        }
    }

    /// Parts that must belong together: the digests say so.
    fn of_parts(
        path: &Path,
        kind: Kind,
        envelope: Option<&[u8]>,
        statement: Option<&[u8]>,
        declaration: Vec<u8>,
        tree: Vec<u8>,
    ) -> Outcome<Self> {
        let mut source = Self::empty(path, kind);
        let statement = source.take_manifest(envelope, statement)?;
        let same = |name: &str, bytes: &[u8], digest: Sha256Digest| {
            if crypto::sha256(bytes) == digest {
                return Ok(());
            }
            Err(Failure::new(
                Exit::NotVerified,
                format!("{name} in {} does not match the manifest", quote(path)),
            ))
        };
        same(DECLARATION_NAME, &declaration, statement.declaration)?;
        same(TREE_NAME, &tree, statement.tree)?;
        let declared = Declaration::parse(&declaration)
            .with_context(|| format!("failed to parse {DECLARATION_NAME} in {}", quote(path)))
            .exits(Exit::NotVerified)?;
        source.declaration = Some((declared, declaration));
        source.stored_tree = Some(tree);
        Ok(source)
    }

    fn take_manifest(
        &mut self,
        envelope: Option<&[u8]>,
        statement: Option<&[u8]>,
    ) -> Outcome<Statement> {
        let reading = || format!("failed to parse the manifest of {}", quote(&self.path));
        let envelope = envelope
            .map(Envelope::parse)
            .transpose()
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        let payload = envelope
            .as_ref()
            .map(Envelope::unverified_payload)
            .or(statement)
            .unwrap_or_default();
        let statement = Statement::parse(payload)
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        self.manifest = Some((statement.clone(), ManifestDigest::of_payload(payload)));
        self.envelope = envelope;
        Ok(statement)
    }
}

/// A path of Earmark's own layout.
pub fn layout_path(path: &str) -> ImagePath {
    ImagePath::from_absolute(path.as_bytes()).unwrap_or_default()
}

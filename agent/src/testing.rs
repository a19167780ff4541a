//! Helpers that the tests beside the code share: small roots, sealed with a key that is made for them.

pub mod lies;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use earmark_manifest::{
    crypto::{self, Algorithm, PrivateKey},
    declaration::Declaration,
    envelope::Envelope,
    floor::Floor,
    layout,
    statement::{BuildRecord, ImageIdentity, Statement},
    tree::{self, Tree, TreeSummary},
    trust::{Purpose, Trust, TrustedKey, public_pem},
};
use earmark_scan::{Root, measure};
use tempfile::TempDir;

/// A temporary root.
pub struct TestRoot(TempDir);

impl TestRoot {
    /// With nothing but a kernel's command line.
    pub fn bare() -> Self {
        Self::bare_in(&std::env::temp_dir())
    }

    /// The same on the file system of this directory.
    pub fn bare_in(directory: &Path) -> Self {
        let root = Self(TempDir::new_in(directory).unwrap());
        root.write("/proc/cmdline", b"root=/dev/vda1 ro quiet\n");
        root.write("/run/.keep", b"");
        root.write("/sys/fs/cgroup/cgroup.controllers", b"cpu\n");
        root
    }

    /// With a trust file and a seal whose declaration has this in `[verify]`. Its tree is no tree.
    pub fn sealed(verify: &str) -> Self {
        Self::declared(&format!("platform = \"file\"\n[verify]\n{verify}\n"))
    }

    /// With a trust file and a seal whose declaration goes on like this after its name. Its tree is no
    /// tree.
    pub fn declared(rest: &str) -> Self {
        let root = Self::bare();
        let tree = Tree {
            stored: Vec::new(),
            digest: crypto::sha256(b""),
            summary: TreeSummary {
                entries: 1,
                bytes: 0,
            },
        };
        root.put_seal(&format!("[image]\nname = \"web\"\n{rest}"), &tree);
        root
    }

    /// Seals what is in it now, with a declaration that goes on like this after its name.
    pub fn seal(&self, rest: &str) {
        let declaration = format!("[image]\nname = \"web\"\n{rest}");
        let declared = Declaration::parse(declaration.as_bytes()).unwrap();
        let accounts = earmark_scan::accounts::read(&self.open()).unwrap();
        let rules = declared.resolve_rules(&accounts).unwrap();
        let plan = measure::Plan {
            rules: &rules,
            mounts: &[],
            replaced: &BTreeMap::new(),
            progress: &(),
        };
        let entries = measure::measure(&self.open(), &plan).unwrap();
        let tree = tree::write(&rules, &entries).unwrap();
        self.put_seal(&declaration, &tree);
    }

    fn put_seal(&self, declaration: &str, tree: &Tree) {
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        let pem = public_pem(&key.public().unwrap());
        let trusted = TrustedKey::from_pem(pem.as_bytes(), [Purpose::Image].into()).unwrap();
        let trust = Trust::new(None, 1, vec![trusted]).unwrap();
        let statement = Statement {
            tree: tree.digest,
            declaration: crypto::sha256(declaration.as_bytes()),
            image: ImageIdentity {
                name: "web".parse().unwrap(),
                version: "1.2.3".parse().unwrap(),
                epoch: 0,
                architecture: "x86_64".parse().unwrap(),
            },
            build: BuildRecord::default(),
            parent: None,
            summary: tree.summary,
            boot: None,
            minimum_agent: "0.1.0".parse().unwrap(),
        };
        let envelope = Envelope::sign(statement.to_payload().unwrap(), &key).unwrap();
        let declared = Declaration::parse(declaration.as_bytes()).unwrap();
        let floor = Floor::of(&statement, &declared, 0).to_toml().unwrap();
        self.write(layout::FLOOR, floor.as_bytes());
        self.write(layout::TRUST, trust.to_toml().as_bytes());
        self.write(layout::MANIFEST, &envelope.to_json());
        self.write(layout::DECLARATION, declaration.as_bytes());
        self.write(layout::TREE, &tree.stored);
    }

    /// As what the agent opens.
    pub fn open(&self) -> Root {
        Root::open(self.0.path()).unwrap()
    }

    /// A path in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, path: &str, content: &[u8]) {
        self.make_parent(path);
        fs::write(self.at(path), content).unwrap();
    }

    /// Makes a link and the directories above it.
    pub fn link(&self, path: &str, to: &str) {
        self.make_parent(path);
        symlink(to, self.at(path)).unwrap();
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.at(path)).unwrap();
    }

    fn make_parent(&self, path: &str) {
        let parent = self.at(path).parent().map(Path::to_owned).unwrap();
        fs::create_dir_all(parent).unwrap();
    }
}

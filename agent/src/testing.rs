//! What the tests beside the code share: small roots, sealed with a key that is made for them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use earmark_manifest::{
    crypto::{self, Algorithm, PrivateKey},
    envelope::Envelope,
    layout,
    statement::{BuildRecord, ImageIdentity, Statement},
    tree::TreeSummary,
    trust::{Purpose, Trust, TrustedKey, public_pem},
};
use earmark_scan::Root;
use tempfile::TempDir;

/// A temporary root.
pub struct TestRoot(TempDir);

impl TestRoot {
    /// With nothing but a kernel's command line.
    pub fn bare() -> Self {
        let root = Self(TempDir::new().unwrap());
        root.write("/proc/cmdline", b"root=/dev/vda1 ro quiet\n");
        root.write("/run/.keep", b"");
        root
    }

    /// With a trust file and a seal whose declaration has this in `[verify]`. Its tree is no tree.
    pub fn sealed(verify: &str) -> Self {
        let root = Self::bare();
        let declaration =
            format!("[image]\nname = \"web\"\nplatform = \"file\"\n[verify]\n{verify}\n");
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        let pem = public_pem(&key.public().unwrap());
        let trusted = TrustedKey::from_pem(pem.as_bytes(), [Purpose::Image].into()).unwrap();
        let trust = Trust::new(None, 1, vec![trusted]).unwrap();
        let statement = Statement {
            tree: crypto::sha256(b""),
            declaration: crypto::sha256(declaration.as_bytes()),
            image: ImageIdentity {
                name: "web".parse().unwrap(),
                version: "1.2.3".parse().unwrap(),
                epoch: 0,
                architecture: "x86_64".parse().unwrap(),
            },
            build: BuildRecord::default(),
            parent: None,
            summary: TreeSummary {
                entries: 1,
                bytes: 0,
            },
            minimum_agent: "0.1.0".parse().unwrap(),
        };
        let envelope = Envelope::sign(statement.to_payload().unwrap(), &key).unwrap();
        root.write(layout::TRUST, trust.to_toml().as_bytes());
        root.write(layout::MANIFEST, &envelope.to_json());
        root.write(layout::DECLARATION, declaration.as_bytes());
        root.write(layout::TREE, b"");
        root
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

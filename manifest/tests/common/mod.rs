//! Helpers that the tests of the format share: fixture keys, a good seal, and vectors.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod recipe;
pub mod vector;

use std::{fs, path::PathBuf};

use earmark_manifest::{
    crypto::PrivateKey,
    digest::ManifestDigest,
    statement::Statement,
    tree::TreeSummary,
    trust::{self, PemKeyError, TrustedKey},
};

/// The declaration of the good seal.
pub const DECLARATION: &str = "\
[image]
name = \"web\"
epoch = 3
platform = \"file\"

[tree]
mutable = [\"/etc/motd\"]
state = [\"/var/lib\"]

[boot]
cmdline = \"root=UUID=* ro console=ttyS0,115200 ?quiet\"
";

/// The text of the good seal's tree: each type and class that a small image has.
pub const TREE: &str = "\
earmark-tree 1
rules 12
state /run/earmark
state /var/lib/earmark
mutable /etc/motd
state /var/lib
critical /etc/**
seal /usr/lib/earmark
seal /usr/lib/earmark/seal
seal /usr/lib/earmark/seal/manifest.json
seal /usr/lib/earmark/seal/earmark.toml
seal /usr/lib/earmark/seal/tree.zst
seal /usr/lib/earmark/trust.toml
seal /usr/lib/earmark/floor.toml
entries 7
. d sealed 755 0 0 - - - -
etc d sealed 755 0 0 - - - -
etc/hello\\x20world f sealed 644 0 0 6 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 9c76eecc7b76fcb46199cb27b90cf59a660e10575bb0412128905129d5b1c2aa -
etc/motd f mutable 644 0 0 - - - -
etc/mtab l sealed 777 0 0 - ../proc/self/mounts - -
var d sealed 755 0 0 - - - -
var/lib d state - - - - - - -
";

/// A file of `manifest/tests`.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// The bytes of a file of `manifest/tests`.
pub fn bytes(path: &str) -> Vec<u8> {
    let path = file(path);
    fs::read(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

/// A fixture's private key.
pub fn private(name: &str) -> PrivateKey {
    let pem = bytes(&format!("keys/INSECURE-TEST-{name}.pem"));
    let (label, der) = trust::decode_pem(&pem).unwrap();
    assert_eq!(label, "PRIVATE KEY");
    PrivateKey::from_pkcs8(&der).unwrap()
}

/// A fixture's public key, trusted for these purposes.
pub fn trusted(name: &str, purposes: &[&str]) -> Result<TrustedKey, PemKeyError> {
    let pem = bytes(&format!("keys/INSECURE-TEST-{name}.pub.pem"));
    let purposes = purposes
        .iter()
        .map(|purpose| purpose.parse().unwrap())
        .collect();
    TrustedKey::from_pem(&pem, purposes)
}

/// The text as `tree.zst`.
pub fn compress(text: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(text, 1).unwrap()
}

/// The statement about this tree and declaration.
pub fn statement(tree: &[u8], declaration: &[u8]) -> Statement {
    Statement {
        tree: earmark_manifest::crypto::sha256(tree),
        declaration: earmark_manifest::crypto::sha256(declaration),
        image: earmark_manifest::statement::ImageIdentity {
            name: "web".parse().unwrap(),
            version: "1.2.3".parse().unwrap(),
            epoch: 3,
            architecture: "x86_64".parse().unwrap(),
        },
        build: earmark_manifest::statement::BuildRecord {
            revision: Some("4f2a9c1".parse().unwrap()),
            builder: None,
            time: Some(1_790_000_000),
        },
        parent: Some(ManifestDigest::of_payload(b"the base image's payload")),
        summary: TreeSummary {
            entries: 7,
            bytes: 6,
        },
        boot: Some(earmark_manifest::statement::BootRecord {
            cmdline: "root=UUID=* ro console=ttyS0,115200 ?quiet"
                .parse()
                .unwrap(),
        }),
        minimum_agent: "0.1.0".parse().unwrap(),
    }
}

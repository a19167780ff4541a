//! The seal of version 1 that is kept for ever, and that today's writer still makes.

mod common;

use common::{
    DECLARATION, TREE, bytes, private,
    recipe::{good, verify_whole},
    statement, trusted,
};
use earmark_manifest::{
    digest::ManifestDigest,
    entry::Entry,
    envelope::Envelope,
    statement::Statement,
    tree,
    trust::Trust,
    verify::{SealBytes, verify},
};

fn golden() -> (SealBytes, Trust) {
    let seal = SealBytes {
        envelope: bytes("golden/v1/manifest.json"),
        declaration: bytes("golden/v1/earmark.toml"),
        tree: bytes("golden/v1/tree.zst"),
    };
    (seal, Trust::parse(&bytes("golden/v1/trust.toml")).unwrap())
}

#[test]
fn golden_v1_seal_verifies() {
    let (seal, trust) = golden();
    let verified = verify(seal.clone(), &trust).unwrap();
    let (_, expected) = good();
    assert_eq!(verified.signers(), [expected.keys()[0].id()]);
    assert_eq!(
        verified.statement(),
        &statement(&seal.tree, &seal.declaration)
    );
    verify_whole(seal, &trust).unwrap();
}

/// Checks that today's signer writes, from the same image, no signed byte that differs.
#[test]
fn golden_v1_seal_is_reproduced_by_the_current_writer() {
    let (seal, trust) = golden();
    assert_eq!(seal.declaration, DECLARATION.as_bytes());
    let text = zstd::bulk::decompress(&seal.tree, 1 << 20).unwrap();
    assert_eq!(text, TREE.as_bytes());

    let reader = tree::read(&seal.tree).unwrap();
    let rules = reader.rules().clone();
    let entries: Vec<Entry> = reader.collect::<Result<_, _>>().unwrap();
    let written = tree::write(&rules, &entries).unwrap();
    assert_eq!(
        zstd::bulk::decompress(&written.stored, 1 << 20).unwrap(),
        text
    );

    let payload = statement(&seal.tree, &seal.declaration)
        .to_payload()
        .unwrap();
    let envelope = Envelope::sign(payload, &private("image-a")).unwrap();
    assert_eq!(envelope.to_json(), seal.envelope);
    let trusted = trusted("image-a", &["image"]).unwrap();
    let written = Trust::new(Some("web".parse().unwrap()), 1, vec![trusted]).unwrap();
    assert_eq!(written.to_toml().as_bytes(), bytes("golden/v1/trust.toml"));
    assert_eq!(written, trust);
}

/// `earmark inspect` and every report name an image by this.
#[test]
fn manifest_digest_covers_only_the_payload() {
    let (mut seal, trust) = golden();
    let digest = verify(seal.clone(), &trust).unwrap().digest();
    let mut envelope = Envelope::parse(&seal.envelope).unwrap();
    let payload = envelope.unverified_payload().to_vec();
    assert_eq!(digest, ManifestDigest::of_payload(&payload));
    envelope.add_signature(&private("image-b")).unwrap();
    seal.envelope = envelope.to_json();
    assert_eq!(verify(seal, &trust).unwrap().digest(), digest);
    Statement::parse(&payload).unwrap();
}

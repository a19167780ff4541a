//! `docs/manifest-format.md` against the implementation: every example, and the table of limits.

mod common;

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use common::{bytes, private, recipe::verify_whole, trusted, vector::unhex};
use earmark_manifest::{
    channel::verify_channel,
    class::OWN,
    crypto::{PublicKey, Sha256, sha256},
    envelope::{Envelope, PAYLOAD_TYPE, pae},
    floor::Floor,
    fsverity::VerityHasher,
    grant::verify_grant,
    limits,
    report::Report,
    trust::Trust,
    verify::{SealBytes, verify},
};

fn document() -> String {
    String::from_utf8(bytes("../../docs/manifest-format.md")).unwrap()
}

/// The blocks that start with three backticks and `… example=NAME`, by name, without the newline at
/// the end.
fn examples(document: &str) -> BTreeMap<&str, &str> {
    let mut examples = BTreeMap::new();
    for block in document.split("\n```").skip(1).step_by(2) {
        let (info, body) = block.split_once('\n').unwrap();
        if let Some((_, name)) = info.split_once("example=") {
            assert!(examples.insert(name, body).is_none(), "{name} twice");
        }
    }
    examples
}

fn with_newline(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

#[test]
fn format_document_examples_match_the_implementation() {
    let document = document();
    let mut examples = examples(&document);
    let mut example = |name: &str| {
        examples
            .remove(name)
            .unwrap_or_else(|| panic!("no example {name}"))
    };
    let says = |text: &str| assert!(document.contains(text), "not said: {text}");

    // The seal verifies as it stands in the document, and is the one that is kept.
    let seal = SealBytes {
        envelope: with_newline(example("manifest")),
        declaration: with_newline(example("declaration")),
        tree: unhex(example("stored")),
    };
    let trust = with_newline(example("trust"));
    for (name, bytes_here) in [
        ("manifest.json", &seal.envelope),
        ("earmark.toml", &seal.declaration),
        ("tree.zst", &seal.tree),
        ("trust.toml", &trust),
    ] {
        assert_eq!(*bytes_here, bytes(&format!("golden/v1/{name}")), "{name}");
    }
    let trust = Trust::parse(&trust).unwrap();
    verify_whole(seal.clone(), &trust).unwrap();
    says(&format!(
        "is the manifest digest,\n`{}`",
        verify(seal.clone(), &trust).unwrap().digest()
    ));
    says(&format!("the stored bytes, `{}`", sha256(&seal.tree)));
    says(&format!("The declaration, `{}`", sha256(&seal.declaration)));

    let verified = verify(seal.clone(), &trust).unwrap();
    let floor = Floor::of(verified.statement(), verified.declaration(), 0);
    assert_eq!(floor.to_toml().unwrap().trim_end(), example("floor"));
    verified.refuse_below(&floor).unwrap();

    // Its parts, one from the other.
    let tree = zstd::bulk::decompress(&seal.tree, 1 << 20).unwrap();
    assert_eq!(tree, with_newline(example("tree")));
    let envelope = Envelope::parse(&seal.envelope).unwrap();
    let payload = example("payload");
    assert_eq!(envelope.unverified_payload(), payload.as_bytes());
    let message = pae(PAYLOAD_TYPE, payload.as_bytes());
    assert_eq!(message, example("pae").as_bytes());
    let key = private("image-a");
    let signature = key.sign(&message).unwrap();
    says(&format!("(`{}`)", BASE64.encode(signature)));
    says(&format!("its keyid, `{}`", trust.keys()[0].id()));

    // The file that it speaks of.
    let content = b"hello\n";
    let (mut plain, mut verity) = (Sha256::new(), VerityHasher::new());
    plain.update(content);
    verity.update(content);
    let (plain, verity) = (plain.finish().hex(), verity.finish().hex());
    assert_eq!(
        example("digests"),
        format!("sha256 {plain}\nverity {verity}")
    );
    assert!(example_line(&tree, "etc/hello\\x20world").contains(&format!(" 6 {plain} {verity} ")));

    let own: Vec<&str> = example("own").lines().collect();
    assert_eq!(own, OWN);
    for y in example("small-order").lines() {
        let key: [u8; 32] = unhex(y).try_into().unwrap();
        PublicKey::ed25519(key).unwrap_err();
    }
    // A grant, which is no part of the seal.
    let envelope = with_newline(example("grant"));
    let key = trusted("grant", &["grant"]).unwrap();
    let trust = Trust::new(None, 1, vec![key]).unwrap();
    let verified = verify_grant(&envelope, &trust).unwrap();
    let payload = example("grant-payload");
    assert_eq!(verified.grant().to_payload().unwrap(), payload.as_bytes());
    let binding = sha256(b"web i-0123456789abcdef0\n").hex();
    assert!(payload.contains(&format!("\"sha256\":\"{binding}\"")));
    let signed = Envelope::sign(payload.as_bytes().to_vec(), &private("grant")).unwrap();
    assert_eq!(signed.to_json(), envelope);

    // And a channel.
    let envelope = with_newline(example("channel"));
    let key = trusted("channel", &["channel"]).unwrap();
    let trust = Trust::new(None, 1, vec![key]).unwrap();
    let verified = verify_channel(&envelope, &trust).unwrap();
    let payload = example("channel-payload");
    assert_eq!(verified.channel().to_payload().unwrap(), payload.as_bytes());
    let binding = sha256(b"web stable\n").hex();
    assert!(payload.contains(&format!("\"sha256\":\"{binding}\"")));
    let signed = Envelope::sign(payload.as_bytes().to_vec(), &private("channel")).unwrap();
    assert_eq!(signed.to_json(), envelope);

    // What a host says of itself.
    let line = with_newline(example("report"));
    let report = Report::parse(&line).unwrap();
    assert_eq!(report.clone().to_line().unwrap(), line);
    says(&format!("`{}`", report.name()));

    assert!(examples.is_empty(), "not checked: {examples:?}");
}

fn example_line(tree: &[u8], path: &str) -> String {
    let tree = std::str::from_utf8(tree).unwrap();
    let line = tree
        .lines()
        .find(|line| line.split(' ').next() == Some(path));
    line.unwrap().to_owned()
}

#[test]
fn format_document_limits_table_matches_the_source() {
    let limits: BTreeMap<&str, u64> = [
        ("PAYLOAD", limits::PAYLOAD),
        ("ENVELOPE", limits::ENVELOPE),
        ("SIGNATURES", limits::SIGNATURES),
        ("TRUST_KEYS", limits::TRUST_KEYS),
        ("TRUST", limits::TRUST),
        ("DECLARATION", limits::DECLARATION),
        ("TREE_STORED", limits::TREE_STORED),
        ("TREE_LINE", limits::TREE_LINE),
        ("RULES", limits::RULES),
        ("PATH", limits::PATH),
        ("NAME", limits::NAME),
        ("XATTR", limits::XATTR),
        ("CHANNEL_PAYLOAD", limits::CHANNEL_PAYLOAD),
        ("CHANNEL", limits::CHANNEL),
        ("RELEASES", limits::RELEASES),
        ("REGIONS", limits::REGIONS),
        ("REPORT", limits::REPORT),
        ("DISK_REGIONS", limits::DISK_REGIONS),
        ("STEPS", limits::STEPS),
        ("PARAMETERS", limits::PARAMETERS),
        ("WAIVERS", limits::WAIVERS),
        ("CMDLINE", limits::CMDLINE),
        ("FLOOR", limits::FLOOR),
        ("CMDLINE_WORDS", limits::CMDLINE_WORDS),
        ("TEMPLATE", limits::TEMPLATE),
    ]
    .map(|(name, bound)| (name, u64::try_from(bound).unwrap()))
    .into_iter()
    .chain([
        ("GRANT_SECONDS", limits::GRANT_SECONDS),
        ("CHANNEL_SECONDS", limits::CHANNEL_SECONDS),
        ("TREE_TEXT", limits::TREE_TEXT),
        ("ENTRIES", limits::ENTRIES),
        ("TREE_WINDOW_LOG", limits::TREE_WINDOW_LOG.into()),
    ])
    .collect();
    let source = String::from_utf8(bytes("../src/limits.rs")).unwrap();
    assert_eq!(limits.len(), source.matches("pub const ").count());

    let document = document();
    let section = document.split("## 8. Limits").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: BTreeMap<&str, u64> = section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            Some((name, cells.next()?.replace(',', "").parse().unwrap()))
        })
        .collect();
    assert_eq!(rows, limits);
}

#[test]
fn format_document_recorded_words_table_matches_the_source() {
    let document = document();
    for row in earmark_manifest::cmdline::PER_DISK {
        let line = format!("| `{}` | `{}` | {} |\n", row.begins, row.signed, row.why);
        assert!(document.contains(&line), "not said: {line}");
    }
    let rows = document.split("| begins | recorded as |").nth(1).unwrap();
    let rows = rows.split("\n\n").next().unwrap().lines().count();
    assert_eq!(rows, 2 + earmark_manifest::cmdline::PER_DISK.len());
}

//! Checks of Earmark's output with tools of other projects.

use std::{fs, os::unix::fs::PermissionsExt};

use earmark_tests::{Bench, run, run_with};

fn python() -> String {
    std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`")
}

const DSSE: &str = r#"
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
from in_toto_attestation.v1.statement import Statement
import google.protobuf.json_format as json_format
import in_toto_attestation.v1.statement_pb2 as pb

document = json.load(open(sys.argv[1]))
threshold = int(sys.argv[2])
keys = []
for path in sys.argv[3:]:
    keyid, pem = path.split("=")
    keys.append(SSlibKey.from_crypto(load_pem_public_key(open(pem, "rb").read()), keyid=keyid))
envelope = Envelope.from_dict(document)
accepted = envelope.verify(keys, threshold)
statement = Statement.copy_from_pb(json_format.Parse(envelope.payload, pb.Statement()))
statement.validate()
print("accepted", len(accepted), statement.pb.predicate_type)
"#;

#[test]
fn privileged_stock_dsse_verifier_accepts_the_envelope_and_refuses_tampering() {
    let bench = Bench::sealed();
    bench
        .earmark(&["keygen", "--out", "second.key", "--algorithm", "p256"])
        .must(0);
    bench.measure().must(0);
    bench
        .earmark(&["sign", "OUT", "--key", "release.key", "--key", "second.key"])
        .must(0);
    let manifest = bench.path("OUT/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keyids: Vec<&str> = envelope["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["keyid"].as_str().unwrap())
        .collect();
    let verify = || {
        let (first, second) = (
            format!("{}=release.pub", keyids[0]),
            format!("{}=second.pub", keyids[1]),
        );
        run(
            python(),
            ["-c", DSSE, "OUT/manifest.json", "2", &first, &second],
            Some(&bench.path("")),
        )
    };
    assert_eq!(
        verify().must(0).out,
        "accepted 2 urn:earmark:image-manifest:v1\n"
    );
    let payload = envelope["payload"].as_str().unwrap();
    let at = payload.len() / 2;
    let other = if &payload[at..=at] == "A" { "B" } else { "A" };
    let changed = format!("{}{other}{}", &payload[..at], &payload[at + 1..]);
    fs::write(&manifest, text.replace(payload, &changed)).unwrap();
    assert_ne!(verify().code, 0);
}

#[test]
fn privileged_openssl_accepts_both_signatures_and_refuses_a_changed_message() {
    let bench = Bench::sealed();
    bench
        .earmark(&["keygen", "--out", "second.key", "--algorithm", "p256"])
        .must(0);
    bench.measure().must(0);
    bench
        .earmark(&["sign", "OUT", "--key", "release.key", "--key", "second.key"])
        .must(0);
    let split = r#"
import base64, json
envelope = json.load(open("OUT/manifest.json"))
payload = base64.b64decode(envelope["payload"])
kind = envelope["payloadType"].encode()
open("pae", "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
for number, signature in enumerate(envelope["signatures"]):
    open("sig%d" % number, "wb").write(base64.b64decode(signature["sig"]))
"#;
    run(python(), ["-c", split], Some(&bench.path(""))).must(0);
    let openssl = |args: &[&str]| run("openssl", args, Some(&bench.path(""))).code;
    let ed25519 = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "release.pub",
        "-in",
        "pae",
        "-sigfile",
        "sig0",
    ];
    let p256 = [
        "dgst",
        "-sha256",
        "-verify",
        "second.pub",
        "-signature",
        "sig1",
        "pae",
    ];
    assert_eq!((openssl(&ed25519), openssl(&p256)), (0, 0));
    let mut message = fs::read(bench.path("pae")).unwrap();
    *message.last_mut().unwrap() ^= 1;
    fs::write(bench.path("pae"), message).unwrap();
    assert_ne!(openssl(&ed25519), 0);
    assert_ne!(openssl(&p256), 0);
}

#[test]
fn privileged_keys_interoperate_between_openssl_and_earmark() {
    let bench = Bench::new();
    let openssl = |args: &[&str]| run("openssl", args, Some(&bench.path("")));
    for (algorithm, options) in [
        ("ed25519", &["-algorithm", "ed25519"][..]),
        (
            "p256",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ),
    ] {
        // OpenSSL's key signs here.
        openssl(&[&["genpkey", "-out", "theirs.key"], options].concat()).must(0);
        openssl(&["pkey", "-in", "theirs.key", "-pubout", "-out", "theirs.pub"]).must(0);
        let _ = fs::remove_file(bench.path("theirs.toml"));
        bench
            .earmark(&["trust", "--key", "theirs.pub", "--out", "theirs.toml"])
            .must(0);
        bench
            .earmark(&[
                "seal",
                "--architecture",
                std::env::consts::ARCH,
                "--root",
                "root",
                "--spec",
                "earmark.toml",
                "--version",
                "1.0",
                "--key",
                "theirs.key",
                "--trust",
                "theirs.toml",
            ])
            .must(0);
        bench.verify().must(0);
        // Our key is read, and has the public half that we wrote.
        let ours = format!("ours-{algorithm}.key");
        bench
            .earmark(&["keygen", "--out", &ours, "--algorithm", algorithm])
            .must(0);
        let mode = fs::metadata(bench.path(&ours))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        let public = openssl(&["pkey", "-in", &ours, "-pubout"]).must(0).out;
        assert_eq!(
            public,
            fs::read_to_string(bench.path(&format!("ours-{algorithm}.pub"))).unwrap()
        );
        bench.earmark(&["keygen", "--out", &ours]);
        assert_eq!(
            openssl(&["pkey", "-in", &ours, "-pubout"]).must(0).out,
            public,
            "a key is never overwritten"
        );
    }
}

/// Names that need escaping in every one of the formats.
#[test]
fn privileged_exports_with_hostile_names_are_checked_by_sha256sum_and_mtree() {
    let bench = Bench::sealed();
    for (format, check) in [
        (
            "sha256sums",
            &[
                "sh",
                "-c",
                "cd root && sha256sum --quiet --strict -c ../sha256sums",
            ][..],
        ),
        ("mtree", &["mtree", "-f", "mtree", "-p", "root"]),
    ] {
        bench
            .earmark(&["export", "root", "--format", format, "--out", format])
            .must(0);
        let verify = |bench: &Bench| run(check[0], &check[1..], Some(&bench.path("")));
        verify(&bench).must(0);
        let tampered = bench.copy();
        let name = "usr/lib/\n\x1b[31mred\\ name";
        tampered.write(name, b"hostile nome\n");
        let refused = verify(&tampered);
        assert_ne!(refused.code, 0, "{format}: {}{}", refused.out, refused.err);
    }
    let added = bench.copy();
    added.write("etc/cron.d/evil", b"x");
    // mtree names what is extra, and exits with 0.
    let compared = run(
        "mtree",
        ["-f", "mtree", "-p", "root"],
        Some(&added.path("")),
    );
    assert!(
        compared.out.contains("extra: etc/cron.d/evil"),
        "{}",
        compared.out
    );
}

/// The second implementation was written from the format's document alone.
#[test]
fn privileged_reference_reader_agrees_on_tampered_seals_and_floors() {
    let reference = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/reference/earmark_reference.py"
    );
    let bench = Bench::sealed();
    let verify = |bench: &Bench| {
        let args = [
            reference,
            "root/usr/lib/earmark/seal",
            "root/usr/lib/earmark/trust.toml",
            "root/usr/lib/earmark/floor.toml",
        ];
        run_with(python(), args, Some(&bench.path("")), &[])
    };
    verify(&bench).must(0);
    for (path, at) in [
        ("manifest.json", 60),
        ("earmark.toml", 5),
        ("tree.zst", 100),
    ] {
        let tampered = bench.copy();
        let file = tampered.root().join("usr/lib/earmark/seal").join(path);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let refused = verify(&tampered);
        assert_ne!(refused.code, 0, "{path}: {}", refused.out);
        tampered.verify().must(10);
    }
    let floor = fs::read_to_string(bench.root().join("usr/lib/earmark/floor.toml")).unwrap();
    for (from, to) in [
        ("epoch = 3", "epoch = 4"),
        ("\"report\"", "\"halt\""),
        ("\"web\"", "\"db\""),
    ] {
        let raised = bench.copy();
        raised.write(
            "usr/lib/earmark/floor.toml",
            floor.replace(from, to).as_bytes(),
        );
        verify(&raised).must(10);
        raised.verify().must(10);
    }
}

//! Keys that are not a plain file, made and used by others' tools.

use std::{fs, path::Path};

use earmark_tests::{Bench, Run, program, run};

const PASSPHRASE: &str = "correct horse battery staple";

fn openssl(bench: &Bench, args: &[&str]) -> Run {
    run("openssl", args, Some(&bench.path("")))
}

/// Measures the root into `OUT`, once.
fn measured() -> Bench {
    let bench = Bench::new();
    bench
        .earmark(&[
            "measure",
            "--root",
            "root",
            "--spec",
            "earmark.toml",
            "--version",
            "1.0",
            "--out",
            "OUT",
        ])
        .must(0);
    fs::write(bench.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    fs::write(bench.path("wrong"), "incorrect horse\n").unwrap();
    bench
}

/// Signs with the key, anew, and verifies it with a trust file of its own for `public`.
fn sign(bench: &Bench, public: &str, key: &[&str]) -> Run {
    for old in ["OUT/manifest.json", "key.toml"] {
        let _ = fs::remove_file(bench.path(old));
    }
    let signed = bench.earmark(&[&["sign", "OUT", "--key"], key].concat());
    if signed.code == 0 {
        bench
            .earmark(&["trust", "--key", public, "--out", "key.toml"])
            .must(0);
        let install = ["install", "OUT", "--root", "root", "--trust", "key.toml"];
        bench.earmark(&install).must(0);
        bench.verify().must(0);
    }
    signed
}

/// Key, and the options that make it.
const ALGORITHMS: [(&str, &[&str]); 2] = [
    ("ed25519", &["-algorithm", "ed25519"]),
    (
        "p256",
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ),
];

#[test]
fn privileged_an_encrypted_key_of_openssl_signs_with_its_passphrase_alone() {
    let bench = measured();
    for (algorithm, options) in ALGORITHMS {
        openssl(
            &bench,
            &[&["genpkey", "-out", "plain.key"], options].concat(),
        )
        .must(0);
        openssl(
            &bench,
            &["pkey", "-in", "plain.key", "-pubout", "-out", "theirs.pub"],
        )
        .must(0);
        for kdf in [
            &["-scrypt"][..],
            &[
                "-v2",
                "aes-256-cbc",
                "-v2prf",
                "hmacWithSHA256",
                "-iter",
                "600000",
            ],
            &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        ] {
            let convert = ["pkcs8", "-topk8", "-in", "plain.key", "-out", "theirs.key"];
            let passphrase = ["-passout", "file:passphrase"];
            openssl(&bench, &[&convert[..], &passphrase, kdf].concat()).must(0);
            let file = fs::read_to_string(bench.path("theirs.key")).unwrap();
            assert!(file.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
            let key = ["theirs.key", "--passphrase-file", "passphrase"];
            sign(&bench, "theirs.pub", &key).must(0);
            let wrong = ["theirs.key", "--passphrase-file", "wrong"];
            let refused = sign(&bench, "theirs.pub", &wrong).must(2);
            assert!(
                refused.err.contains("the passphrase is wrong"),
                "{algorithm} {kdf:?}: {}",
                refused.err
            );
            assert!(!refused.err.contains("horse"), "{}", refused.err);
        }
        // What is broken is refused, with what mends it.
        let broken = ["pkcs8", "-topk8", "-in", "plain.key", "-out", "theirs.key"];
        let des = ["-passout", "file:passphrase", "-v2", "des3"];
        openssl(&bench, &[&broken[..], &des].concat()).must(0);
        let key = ["theirs.key", "--passphrase-file", "passphrase"];
        let refused = sign(&bench, "theirs.pub", &key).must(2);
        assert!(
            refused.err.contains("openssl pkcs8 -topk8"),
            "{}",
            refused.err
        );
    }
}

#[test]
fn privileged_openssl_reads_an_encrypted_key_of_ours() {
    let bench = measured();
    for (algorithm, _) in ALGORITHMS {
        let key = format!("{algorithm}.key");
        let keygen = ["keygen", "--out", &key, "--algorithm", algorithm];
        let refused = bench.earmark(&[&keygen[..], &["--passphrase-file", "passphrase"]].concat());
        assert!(refused.must(2).err.contains("--encrypt"));
        let encrypt = ["--encrypt", "--passphrase-file", "passphrase"];
        bench.earmark(&[&keygen[..], &encrypt].concat()).must(0);
        let read = ["pkey", "-in", &key, "-pubout", "-passin"];
        let public = openssl(&bench, &[&read[..], &["file:passphrase"]].concat()).must(0);
        let ours = format!("{algorithm}.pub");
        assert_eq!(public.out, fs::read_to_string(bench.path(&ours)).unwrap());
        assert_ne!(
            openssl(&bench, &[&read[..], &["file:wrong"]].concat()).code,
            0
        );
        sign(&bench, &ours, &[&key, "--passphrase-file", "passphrase"]).must(0);
        let half = ["public", "--key", &key, "--passphrase-file", "passphrase"];
        assert_eq!(bench.earmark(&half).must(0).out, public.out);
    }
}

/// In a shell, where a descriptor can be opened, and without a terminal.
fn shell(bench: &Bench, script: &str) -> Run {
    let earmark = program("earmark");
    let earmark = earmark.to_str().unwrap();
    let args = ["--wait", "bash", "-c", script, earmark];
    run("setsid", args, Some(&bench.path("")))
}

#[test]
fn privileged_a_passphrase_comes_from_a_descriptor_or_a_terminal_and_from_nowhere_else() {
    let bench = measured();
    shell(
        &bench,
        "$0 keygen --out a.key --encrypt --passphrase-fd 7 7< passphrase",
    )
    .must(0);
    for good in [
        "$0 public --key a.key --passphrase-fd 7 7< passphrase",
        "cat passphrase | $0 public --key a.key --passphrase-fd 0",
        "$0 public --key a.key --passphrase-file <(cat passphrase)",
    ] {
        let public = shell(&bench, good).must(0).out;
        assert_eq!(public, fs::read_to_string(bench.path("a.pub")).unwrap());
    }
    for (bad, code, says) in [
        // Standard input is not asked, and no variable is read.
        ("$0 public --key a.key < passphrase", 2, "no terminal"),
        ("$0 keygen --out b.key --encrypt", 2, "no terminal"),
        (
            "$0 public --key a.key --passphrase-fd 9",
            11,
            "descriptor 9",
        ),
        (
            "$0 public --key a.key --passphrase-file /dev/null",
            2,
            "empty",
        ),
        (
            "$0 public --key a.key --passphrase-file wrong --passphrase-fd 0",
            2,
            "cannot be used with",
        ),
    ] {
        let refused = shell(&bench, bad).must(code);
        assert!(refused.err.contains(says), "{bad}: {}", refused.err);
    }
    assert!(!bench.path("b.key").exists());
    let python = std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/terminal.py");
    let earmark = program("earmark");
    let typed = |passphrase: &str| {
        let args = [
            script.to_str().unwrap(),
            passphrase,
            earmark.to_str().unwrap(),
        ];
        let command = ["public", "--key", "a.key"];
        run(
            &python,
            [&args[..], &command].concat(),
            Some(&bench.path("")),
        )
    };
    let right = typed(PASSPHRASE).must(0);
    assert!(
        right.out.contains("Passphrase of 'a.key': "),
        "{}",
        right.out
    );
    assert!(right.out.contains("BEGIN PUBLIC KEY"), "{}", right.out);
    assert!(
        !right.out.contains("horse"),
        "it is not shown: {}",
        right.out
    );
    assert!(typed("mule").must(2).out.contains("passphrase is wrong"));
}

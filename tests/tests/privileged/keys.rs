//! Keys that are not a plain file, made and used by others' tools.

use std::{fs, path::Path};

use earmark_tests::{
    Bench, Run,
    facts::{
        Fact,
        signer::{
            AMBIGUOUS, ASKS_FOR_PASSPHRASE, CONVERT_BY_OPENSSL, DESCRIPTOR, EMPTY_PASSPHRASE,
            ERROR, MODULE_NOT_LOADED, NO_SUCH_OBJECT, NO_TERMINAL, OTHER_ALGORITHM,
            SECRET_OF_ANOTHER, SECRET_OF_OTHERS, SECRET_REPLACEABLE, TOKENS_FOUND,
            WRONG_PASSPHRASE, WRONG_PIN,
        },
    },
    program, run, run_with,
};

const PASSPHRASE: &str = "correct horse battery staple";

fn openssl(bench: &Bench, args: &[&str]) -> Run {
    run("openssl", args, Some(&bench.path("")))
}

/// Measures the root into `OUT`, once.
fn measured() -> Bench {
    let bench = Bench::new();
    bench.measure().must(0);
    secret(&bench, "passphrase", &format!("{PASSPHRASE}\n"));
    secret(&bench, "wrong", "incorrect horse\n");
    bench
}

/// Writes a file that only its owner may read.
fn secret(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.path(name), text).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(bench.path(name), own).unwrap();
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
fn privileged_openssl_encrypted_key_signs_only_with_its_passphrase() {
    let bench = measured();
    for (_, options) in ALGORITHMS {
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
            WRONG_PASSPHRASE.must_be_in(&refused.err);
            assert!(!refused.err.contains("horse"), "{}", refused.err);
        }
        // What is broken is refused, with what mends it.
        let broken = ["pkcs8", "-topk8", "-in", "plain.key", "-out", "theirs.key"];
        let des = ["-passout", "file:passphrase", "-v2", "des3"];
        openssl(&bench, &[&broken[..], &des].concat()).must(0);
        let key = ["theirs.key", "--passphrase-file", "passphrase"];
        let refused = sign(&bench, "theirs.pub", &key).must(2);
        CONVERT_BY_OPENSSL.must_be_in(&refused.err);
    }
}

#[test]
fn privileged_openssl_reads_keys_encrypted_by_keygen() {
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
fn privileged_passphrase_is_read_only_from_file_fd_or_terminal() {
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
        ("$0 public --key a.key < passphrase", 2, NO_TERMINAL),
        ("$0 keygen --out b.key --encrypt", 2, NO_TERMINAL),
        (
            "$0 public --key a.key --passphrase-fd 9",
            11,
            DESCRIPTOR.of(&["9"]),
        ),
        (
            "$0 public --key a.key --passphrase-file /dev/null",
            2,
            EMPTY_PASSPHRASE,
        ),
        (
            "$0 public --key a.key --passphrase-file wrong --passphrase-fd 0",
            2,
            // The line of a usage error: the rest of it is the library's.
            ERROR.of(&["--passphrase-file", "--passphrase-fd"]),
        ),
    ] {
        let refused = shell(&bench, bad).must(code);
        says.must_be_in(&refused.err);
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
    ASKS_FOR_PASSPHRASE
        .of(&["'a.key': "])
        .must_be_in(&right.out);
    assert!(right.out.contains("BEGIN PUBLIC KEY"), "{}", right.out);
    assert!(
        !right.out.contains("horse"),
        "it is not shown: {}",
        right.out
    );
    WRONG_PASSPHRASE.must_be_in(&typed("mule").must(2).out);
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token `release` in a directory of the test's, its PIN in the file `pin`.
struct Token<'a> {
    bench: &'a Bench,
    configuration: String,
}

impl<'a> Token<'a> {
    fn new(bench: &'a Bench) -> Self {
        let tokens = bench.path("tokens");
        fs::create_dir(&tokens).unwrap();
        let configuration = bench.path("softhsm2.conf").display().to_string();
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(&configuration, text).unwrap();
        let token = Self {
            bench,
            configuration,
        };
        token.set_up("release");
        secret(bench, "pin", "1234\n");
        secret(bench, "wrong", "4321\n");
        token
    }

    fn set_up(&self, label: &str) {
        let words = format!("--init-token --free --label {label} --pin 1234 --so-pin 5678");
        self.run("softhsm2-util", &words).must(0);
    }

    fn run(&self, program: &str, words: &str) -> Run {
        let environment = [("SOFTHSM2_CONF", self.configuration.as_str())];
        let directory = self.bench.path("");
        run_with(program, words.split(' '), Some(&directory), &environment)
    }

    fn earmark(&self, args: &[&str]) -> Run {
        let environment = [("SOFTHSM2_CONF", self.configuration.as_str())];
        run_with(
            program("earmark"),
            args,
            Some(&self.bench.path("")),
            &environment,
        )
    }

    fn make_key(&self, kind: &str, id: &str, label: &str) {
        let words = format!(
            "--module {MODULE} --token-label release --login --pin 1234 --keypairgen --key-type {kind} \
             --id {id} --label {label}"
        );
        self.run("pkcs11-tool", &words).must(0);
    }

    fn uri(&self, path: &str, pin: &str) -> String {
        let pin = self.bench.path(pin);
        format!(
            "pkcs11:{path}?module-path={MODULE}&pin-source=file:{}",
            pin.display()
        )
    }
}

#[test]
fn privileged_pkcs11_token_keys_sign_a_manifest_that_verifies() {
    let bench = measured();
    let token = Token::new(&bench);
    token.make_key("EC:prime256v1", "01", "p256");
    token.make_key("EC:edwards25519", "02", "ed25519");
    let keys = [
        "token=release;object=p256",
        "token=release;id=%02;type=private",
    ];
    let keys = keys.map(|path| token.uri(path, "pin"));
    for (key, public, algorithm) in [
        (&keys[0], "first.pub", "p256"),
        (&keys[1], "second.pub", "ed25519"),
    ] {
        let half = token.earmark(&["public", "--key", key, "--out", public, "--json"]);
        assert_eq!(half.must(0).json()["algorithm"], algorithm);
        // OpenSC reads the same public key out of the token.
        let label = if algorithm == "p256" { "01" } else { "02" };
        let words = format!(
            "--module {MODULE} --token-label release --read-object --type pubkey --id {label} -o theirs.der"
        );
        token.run("pkcs11-tool", &words).must(0);
        if algorithm == "p256" {
            let read = ["pkey", "-pubin", "-inform", "DER", "-in", "theirs.der"];
            let theirs = openssl(&bench, &read).must(0).out;
            assert_eq!(theirs, fs::read_to_string(bench.path(public)).unwrap());
        }
    }
    // Two keys of one module and one token, in one run; what they signed is believed by the agent.
    token
        .earmark(&["sign", "OUT", "--key", &keys[0], "--key", &keys[1]])
        .must(0);
    let trust = [
        "trust",
        "--key",
        "first.pub",
        "--key",
        "second.pub",
        "--threshold",
        "2",
    ];
    bench
        .earmark(&[&trust[..], &["--out", "key.toml"]].concat())
        .must(0);
    let install = ["install", "OUT", "--root", "root", "--trust", "key.toml"];
    bench.earmark(&install).must(0);
    bench.verify().must(0);
}

#[test]
fn privileged_ambiguous_pkcs11_uri_is_refused_and_the_pin_is_not_printed() {
    let bench = measured();
    let token = Token::new(&bench);
    token.set_up("other");
    token.make_key("EC:prime256v1", "01", "one");
    token.make_key("EC:prime256v1", "02", "twin");
    token.make_key("EC:prime256v1", "03", "twin");
    token.make_key("EC:secp384r1", "04", "large");
    token.make_key("RSA:2048", "05", "rsa");
    let public = |key: &str| token.earmark(&["public", "--key", key]);
    public(&token.uri("token=release;object=one", "pin")).must(0);
    for (path, pin, code, says) in [
        (
            "token=release;object=one",
            "wrong",
            2,
            WRONG_PIN.of(&["release"]),
        ),
        (
            "token=release;object=one",
            "missing",
            11,
            ERROR.of(&["missing"]),
        ),
        ("object=one", "pin", 2, AMBIGUOUS.of(&["2 tokens"])),
        ("token=nobody;object=one", "pin", 11, TOKENS_FOUND),
        (
            "token=release;object=none",
            "pin",
            11,
            NO_SUCH_OBJECT.of(&["private key"]),
        ),
        (
            "token=release;object=twin",
            "pin",
            2,
            AMBIGUOUS.of(&["2 objects"]),
        ),
        ("token=release;object=large", "pin", 2, ERROR.of(&["P-256"])),
        ("token=release;object=rsa", "pin", 2, OTHER_ALGORITHM),
    ] {
        let refused = public(&token.uri(path, pin)).must(code);
        says.must_be_in(&refused.err);
        assert!(!refused.err.contains("4321"), "{}", refused.err);
    }
    // Without a file the PIN comes as a passphrase does.
    let asked = format!("pkcs11:token=release;object=one?module-path={MODULE}");
    token
        .earmark(&["public", "--key", &asked, "--passphrase-file", "pin"])
        .must(0);
    let missing = public("pkcs11:object=x?module-path=/nonexistent.so");
    MODULE_NOT_LOADED.must_be_in(&missing.must(11).err);
    let shown = public(&format!("{asked}&pin-value=1234")).must(2);
    assert!(shown.err.contains("pin-source"), "{}", shown.err);
}

/// Every kind of reference that names a file with a secret in it.
#[test]
fn privileged_secret_file_accessible_to_others_is_refused() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let bench = measured();
    let token = Token::new(&bench);
    token.make_key("EC:prime256v1", "01", "one");
    let encrypt = "keygen --out enc.key --encrypt --passphrase-file passphrase";
    token
        .earmark(&encrypt.split(' ').collect::<Vec<_>>())
        .must(0);
    let device = format!(
        "public --key {}",
        token.uri("token=release;object=one", "pin")
    );
    let with_passphrase = "public --key enc.key --passphrase-file passphrase";
    let chmod = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (file, command) in [
        ("release.key", "public --key release.key"),
        ("enc.key", with_passphrase),
        ("passphrase", with_passphrase),
        ("pin", &device),
    ] {
        let path = bench.path(file);
        let words: Vec<&str> = command.split(' ').collect();
        let public = token.earmark(&words).must(0).out;
        let refused = |fact: Fact<'_>| {
            let refused = token.earmark(&words).must(2);
            fact.must_be_in(&refused.err);
            for part in [file, "chmod 0600"] {
                assert!(refused.err.contains(part), "{part}: {}", refused.err);
            }
            assert!(!refused.out.contains("PUBLIC KEY"), "{}", refused.out);
        };
        for mode in [0o644, 0o640, 0o660, 0o602] {
            chmod(&path, mode);
            refused(SECRET_OF_OTHERS.of(&[&format!("{mode:04o}")]));
        }
        chmod(&path, 0o600);
        chown(&path, Some(61_187), None).unwrap();
        refused(SECRET_OF_ANOTHER.of(&["61187"]));
        chown(&path, Some(0), None).unwrap();
        // The same file in a directory where anybody could put another.
        let (all, away) = (bench.path("all"), bench.path("away"));
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&all).unwrap();
        fs::copy(&away, all.join(file)).unwrap();
        std::os::unix::fs::symlink(all.join(file), &path).unwrap();
        for (mode, owner, good) in [
            (0o755, 0, true),
            (0o777, 0, false),
            (0o1777, 0, true),
            (0o1777, 61_187, false),
        ] {
            chown(&all, Some(owner), None).unwrap();
            chmod(&all, mode);
            if good {
                assert_eq!(token.earmark(&words).must(0).out, public);
            } else {
                refused(SECRET_REPLACEABLE.of(&[&format!("{mode:04o}"), "lies beneath"]));
            }
        }
        fs::remove_dir_all(&all).unwrap();
        fs::rename(&away, &path).unwrap();
        assert_eq!(token.earmark(&words).must(0).out, public);
    }
}

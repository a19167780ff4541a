//! Files that first-boot steps write: held to the record of them, which cannot give what is signed.

use std::fs;

use earmark_tests::{
    Bench,
    facts::{host::INTERRUPTED, signer::HOSTS_OWN_WORD},
};

#[test]
fn rendered_file_must_match_the_digest_that_its_step_recorded() {
    let bench = Bench::sealed();
    let manifest = bench.verify().must(0).json()["manifest"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.write("etc/web/config.toml", b"environment = prod\n");
    bench.chmod("etc/web/config.toml", 0o640);
    let digest = "sha256:3c88ba3f0b3b0ab6e1f5f2bfa8ce0a0a6b1b1f9d1d0e6b5e0c7fe1a2e7c0ffee";
    let record = |manifest: &str, digest: &str| {
        format!(
            r#"{{"schema":2,"manifest":"{manifest}","files":[{{"path":"/etc/web/config.toml","sha256":"{digest}"}}]}}"#
        )
    };
    fs::create_dir(bench.root().join("var/lib/earmark")).unwrap();
    bench.write(
        "var/lib/earmark/rendered.json",
        record(&manifest, digest).as_bytes(),
    );
    let wrong = bench.verify().must(10);
    assert_eq!(wrong.violations(), ["content /etc/web/config.toml"]);
    let found = wrong.json()["violations"][0]["found"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.write(
        "var/lib/earmark/rendered.json",
        record(&manifest, &found).as_bytes(),
    );
    let good = bench.verify().must(0);
    assert_eq!(good.json()["counts"]["files_on_host_word"], 1);
    let shown = bench
        .command("verify --root root --trust trust.toml")
        .must(0);
    HOSTS_OWN_WORD.of(&["1 file"]).must_be_in(&shown.out);
    // Owner and mode are signed, whatever a record says.
    bench.chmod("etc/web/config.toml", 0o644);
    assert_eq!(
        bench.verify().must(10).violations(),
        ["mode /etc/web/config.toml"]
    );
    bench.chmod("etc/web/config.toml", 0o640);
    // A file that a step wrote does not go away by itself, and its step leaves nothing beside it.
    let file = bench.root().join("etc/web/config.toml");
    fs::rename(&file, bench.root().join("etc/web/.earmark-rendering")).unwrap();
    let both = [
        "added /etc/web/.earmark-rendering",
        "missing /etc/web/config.toml",
    ];
    assert_eq!(bench.verify().must(10).violations(), both);
    assert_eq!(bench.verify_at_boot().must(10).violations(), both);
    // Until it is known to be written, a power cut may have left any of that. Only the boot's own verification
    // knows that first boot follows; for anybody else the file is in doubt.
    let pending = record(&manifest, &found).replace("}]", ",\"pending\":true}]");
    bench.write("var/lib/earmark/rendered.json", pending.as_bytes());
    assert_eq!(bench.verify_at_boot().must(0).violations(), [""; 0]);
    assert_eq!(
        bench.verify().must(10).violations(),
        ["added /etc/web/.earmark-rendering"]
    );
    fs::rename(bench.root().join("etc/web/.earmark-rendering"), &file).unwrap();
    assert_eq!(bench.verify_at_boot().must(0).violations(), [""; 0]);
    let doubted = bench.verify().must(11);
    let doubt = &doubted.json()["undecided"][0];
    assert_eq!(doubt["path"], "/etc/web/config.toml");
    INTERRUPTED.must_be_in(&doubt["found"].to_string());
    bench.write("etc/web/.earmark-other", b"");
    assert_eq!(
        bench.verify_at_boot().must(10).violations(),
        ["added /etc/web/.earmark-other"]
    );
    fs::remove_file(bench.root().join("etc/web/.earmark-other")).unwrap();
    // A record of another manifest is none; one that does not parse is a doubt.
    bench.write(
        "var/lib/earmark/rendered.json",
        record(digest, &found).as_bytes(),
    );
    assert_eq!(
        bench.verify().must(10).violations(),
        ["added /etc/web/config.toml"]
    );
    for unusable in ["{", r#"{"schema":3,"manifest":"","files":[]}"#] {
        bench.write("var/lib/earmark/rendered.json", unusable.as_bytes());
        bench.verify().must(11);
    }
    fs::remove_file(bench.root().join("etc/web/config.toml")).unwrap();
    bench.verify().must(11);
}

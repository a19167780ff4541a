//! Templates of first boot, which seal and measure read: what a host could not render, or would render from text that
//! can be anything, seals nothing. Each has its control.

use std::fs;

use earmark_tests::{Bench, SPEC};

const TEMPLATE: &str = "usr/share/web/config.toml.j2";
const TEXT: &str = "\n[parameters.motto]\ntype = \"string\"\n";

/// A root with this template, and a declaration that goes on like this.
fn bench(template: &[u8], more: &str) -> Bench {
    let bench = Bench::new();
    bench.write(TEMPLATE, template);
    fs::write(bench.path("earmark.toml"), format!("{SPEC}{more}")).expect("a declaration");
    bench
}

#[test]
fn template_with_unescaped_text_or_invalid_syntax_is_not_sealed() {
    for (template, more, says) in [
        (
            "a = \"{{ motto }}\"\n",
            TEXT,
            "'motto' can be any text and would go into a file",
        ),
        (
            "{{ motto | toml }}{{ motto }}",
            TEXT,
            "'motto' can be any text",
        ),
        ("a = {{ moto | toml }}\n", TEXT, "'moto' is not declared"),
        ("a = {{ motto | yaml }}\n", TEXT, "unknown filter 'yaml'"),
        ("a = {{ motto\n", TEXT, "'{{' without '}}'"),
    ] {
        let bench = bench(template.as_bytes(), more);
        for refused in [bench.seal().must(2), bench.measure().must(2)] {
            assert!(refused.err.contains(says), "{}", refused.err);
            // The line of the step.
            assert!(refused.err.contains("line 15, column 1"), "{}", refused.err);
            assert!(
                refused.err.contains("/usr/share/web/config.toml.j2"),
                "{}",
                refused.err
            );
        }
        assert!(
            !bench
                .root()
                .join("usr/lib/earmark/seal/manifest.json")
                .exists()
        );
    }
    for (template, more) in [
        ("a = {{ motto | toml }}\n", TEXT.to_owned()),
        (
            "a = \"{{ motto }}\"\n",
            format!("{TEXT}pattern = \"[a-z]*\"\n"),
        ),
        ("a = \"{{ image_name }}\"\n", String::new()),
    ] {
        bench(template.as_bytes(), &more).seal().must(0);
    }
}

#[test]
fn missing_unsealed_non_utf8_or_oversized_template_is_refused() {
    let missing = bench(b"", "");
    fs::remove_file(missing.root().join(TEMPLATE)).expect("a template");
    let mutable = bench(b"a\n", "");
    let spec = SPEC.replace(
        "mutable = [",
        "mutable = [\"/usr/share/web/config.toml.j2\", ",
    );
    let waived =
        "\n[[lint.allow]]\nrule = \"rule-over-code\"\nreason = \"not what is tried here\"\n";
    fs::write(mutable.path("earmark.toml"), spec + waived).expect("a declaration");
    let directory = bench(b"", "");
    fs::remove_file(directory.root().join(TEMPLATE)).expect("a template");
    fs::create_dir(directory.root().join(TEMPLATE)).expect("a directory");
    for (bench, says) in [
        (missing, "is not a sealed file of the image"),
        (mutable, "is not a sealed file of the image"),
        (directory, "is not a sealed file of the image"),
        (bench(b"a = \"\xff\"\n", ""), "it is not UTF-8"),
        (
            bench(&vec![b'a'; 1024 * 1024 + 1], ""),
            "at most 1048576 are accepted",
        ),
    ] {
        let refused = bench.seal();
        assert!(
            refused.code == 2 && refused.err.contains(says),
            "{}",
            refused.err
        );
    }
    bench(&vec![b'a'; 1024 * 1024], "").seal().must(0);
}

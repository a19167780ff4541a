//! Templates of first boot, which seal and measure read: what a host could not render, or would render from text that
//! can be anything, seals nothing. Each has its control.

use std::fs;

use earmark_tests::{Bench, SPEC, golden, golden::told};

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
fn template_with_unescaped_text_or_invalid_syntax_is_refused_with_a_golden_text() {
    let mut texts = String::new();
    for template in [
        "a = \"{{ motto }}\"\n",
        "{{ motto | toml }}{{ motto }}",
        "a = {{ moto | toml }}\n",
        "a = {{ motto | yaml }}\n",
        "a = {{ motto\n",
    ] {
        let bench = bench(template.as_bytes(), TEXT);
        let refused = bench.seal().must(2);
        assert_eq!(bench.measure().must(2).err, refused.err);
        texts += &told("seal", &refused);
        assert!(
            !bench
                .root()
                .join("usr/lib/earmark/seal/manifest.json")
                .exists()
        );
    }
    golden!("templates", texts);
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
fn missing_unsealed_non_utf8_or_oversized_template_is_refused_with_a_golden_text() {
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
    let other = bench(b"a = \"\xff\"\n", "");
    let large = bench(&vec![b'a'; 1024 * 1024 + 1], "");
    let refused = [missing, mutable, directory, other, large];
    let texts = refused.map(|bench| told("seal", &bench.seal().must(2)));
    golden!("template-files", texts.concat());
    bench(&vec![b'a'; 1024 * 1024], "").seal().must(0);
}

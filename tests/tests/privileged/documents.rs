//! The documents in `packer/` that people copy: a workflow, a buildspec, a component of EC2 Image Builder.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use earmark_tests::{Run, run};
use tempfile::TempDir;

const WORKFLOW: &str = "ci/github-actions.yml";
const BUILDSPEC: &str = "ci/buildspec.yml";
const COMPONENT: &str = "image-builder/earmark.yml";

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packer")
        .join(name)
}

/// A program of the Python environment.
fn python(program: &str, words: &str, paths: &[&Path]) -> Run {
    let python =
        std::env::var_os("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
    let program = Path::new(&python).with_file_name(program);
    let words = words.split_whitespace().map(OsStr::new);
    run(
        program,
        words.chain(paths.iter().map(|path| path.as_os_str())),
        None,
    )
}

/// Checks a document against its schema: one of ours, or one that comes with the program.
fn schema(name: &str, path: &Path) -> Run {
    let program = "check-jsonschema";
    let own = match name {
        WORKFLOW => return python(program, "--builtin-schema vendor.github-workflows", &[path]),
        BUILDSPEC => document("ci/buildspec.schema.json"),
        _ => document("image-builder/awstoe.schema.json"),
    };
    python(program, "--check-metaschema", &[&own]).must(0);
    python(program, "--schemafile", &[&own, path])
}

/// A copy with something else in it.
fn changed(directory: &TempDir, name: &str, from: &str, to: &str) -> PathBuf {
    let text = fs::read_to_string(document(name)).unwrap();
    assert!(text.contains(from), "'{from}' in {name}");
    let path = directory.path().join("changed.yml");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    path
}

#[test]
fn privileged_ci_documents_match_their_schemas() {
    let directory = TempDir::new().unwrap();
    for (name, from, to) in [
        (WORKFLOW, "runs-on:", "run-on:"),
        (BUILDSPEC, "  build:\n", "  biuld:\n"),
        (BUILDSPEC, "on-failure: ABORT", "on-failure: STOP"),
        (COMPONENT, "action: ExecuteBash", "action: ExecuteBsh"),
        (COMPONENT, "          commands:\n", "          command:\n"),
        (COMPONENT, "- name: validate", "- name: check"),
        (COMPONENT, "destination:", "target:"),
    ] {
        schema(name, &document(name)).must(0);
        schema(name, &changed(&directory, name, from, to)).must(1);
    }
    let component = fs::read_to_string(document(COMPONENT)).unwrap();
    for phase in ["build", "validate", "test"] {
        assert!(
            component.contains(&format!("  - name: {phase}\n")),
            "{phase}"
        );
    }
}

#[test]
fn privileged_workflow_passes_zizmor_and_template_injection_is_detected() {
    let zizmor = "--offline --no-progress --no-config --persona=pedantic";
    python("zizmor", zizmor, &[&document(WORKFLOW)]).must(0);
    let directory = TempDir::new().unwrap();
    let injected = changed(
        &directory,
        WORKFLOW,
        "\"image_version=$VERSION\"",
        "\"image_version=${{ inputs.version }}\"",
    );
    let found = python("zizmor", zizmor, &[&injected]);
    assert!(
        found.code > 10 && found.out.contains("template-injection"),
        "{}{}",
        found.out,
        found.err
    );
}

#[test]
fn privileged_shell_in_ci_documents_passes_shellcheck() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands.py");
    let documents = [WORKFLOW, BUILDSPEC, COMPONENT].map(document);
    let paths: Vec<&Path> = [&script]
        .into_iter()
        .chain(&documents)
        .map(PathBuf::as_path)
        .collect();
    let shell = python("python3", "", &paths).must(0).out;
    let directory = TempDir::new().unwrap();
    let check = |shell: &str| {
        let path = directory.path().join("commands.sh");
        fs::write(&path, shell).unwrap();
        run("shellcheck", [&path], None)
    };
    check(&shell).must(0);
    check(&format!("{shell}\nrm $1\n")).must(1);
}

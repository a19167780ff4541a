//! The check of `earmark-manifest` as a library of others: without profiles, and as the package that it would be.

use std::fs;

use anyhow::{Context, Result, bail};

use super::steps::counted;
use crate::tools;

/// Files that a reader of the package needs beside the sources and the profiles.
const NEEDED: [&str; 8] = [
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
    "examples/verify.rs",
    "tests/golden/v1/manifest.json",
    "tests/vectors.rs",
];

/// Lints and tests the crate without its default features, and lists the files of its package.
pub fn check() -> Result<String> {
    let lints = "clippy --package earmark-manifest --no-default-features --all-targets --locked --quiet -- -D warnings";
    tools::cargo(lints).step()?;
    let tests = "test --package earmark-manifest --no-default-features --locked --quiet";
    let tests = tools::cargo(tests).args(["--test", "without_profiles", "--test", "golden"]);
    let counts = counted(tests.args(["--example", "verify"]))?;
    minimum_is_the_pinned_version()?;
    let listed = tools::cargo("package --package earmark-manifest --list --allow-dirty --locked");
    let listed = listed.quiet().output()?;
    let listed: Vec<&str> = listed.lines().collect();
    let absent = absent(&listed)?;
    if !absent.is_empty() {
        bail!(
            "the package of earmark-manifest lacks {}; next: name them in `include` of manifest/Cargo.toml",
            absent.join(", ")
        );
    }
    Ok(format!("{counts}; {} files in the package", listed.len()))
}

/// Files that the package needs and does not have.
fn absent(listed: &[&str]) -> Result<Vec<String>> {
    let manifest = crate::workspace()?.join("manifest");
    let mut needed: Vec<String> = NEEDED.iter().map(|name| (*name).to_owned()).collect();
    for directory in ["profiles", "tests/vectors"] {
        let entries = fs::read_dir(manifest.join(directory));
        let entries = entries.with_context(|| format!("failed to list manifest/{directory}"))?;
        for entry in entries {
            needed.push(format!("{directory}/{}", entry?.file_name().display()));
        }
    }
    // Vectors lie in directories, of which a package lists the files.
    let is_there = |needed: &String| {
        let beneath = format!("{needed}/");
        listed
            .iter()
            .any(|file| file == needed || file.starts_with(&beneath))
    };
    needed.retain(|needed| !is_there(needed));
    Ok(needed)
}

/// Refuses a stated minimum that no build of ours proves: the toolchain is pinned to it.
fn minimum_is_the_pinned_version() -> Result<()> {
    let root = crate::workspace()?;
    let value = |file: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(root.join(file))
            .with_context(|| format!("failed to read {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let value = line.with_context(|| format!("{file} has no line '{key}'"))?;
        Ok(value.trim_matches('"').to_owned())
    };
    let minimum = value("Cargo.toml", "rust-version = ")?;
    let pinned = value("rust-toolchain.toml", "channel = ")?;
    if pinned != format!("{minimum}.0") {
        bail!(
            "rust-version is {minimum}, and rust-toolchain.toml pins {pinned}: expected {minimum}.0, or nothing tests the minimum"
        );
    }
    let readme = fs::read_to_string(root.join("manifest/README.md"))?;
    if !readme.contains(&format!("**Rust:** {minimum} or later")) {
        bail!(
            "manifest/README.md does not say '**Rust:** {minimum} or later', the rust-version of Cargo.toml"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_without_a_profile_is_named_and_a_whole_one_is_not() {
        let mut whole: Vec<&str> = NEEDED.to_vec();
        let all = absent(&whole).unwrap();
        let files: Vec<String> = all.iter().map(|name| format!("{name}/x")).collect();
        whole.extend(all.iter().map(String::as_str));
        whole.extend(files.iter().map(String::as_str));
        assert!(absent(&whole).unwrap().is_empty());
        whole.retain(|name| !name.starts_with("profiles/debian-12.toml"));
        assert_eq!(absent(&whole).unwrap(), ["profiles/debian-12.toml"]);
        assert!(all.iter().any(|name| name.starts_with("tests/vectors/")));
    }

    #[test]
    fn stated_minimum_of_rust_is_the_pinned_version() {
        minimum_is_the_pinned_version().unwrap();
    }
}

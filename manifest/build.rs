//! Lists the profiles in `profiles/`, so that a new one is one file, and takes out what is for people: every agent has the
//! rules in it.

use std::{env, fs, path::Path};

fn main() {
    let directory =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo says it")).join("profiles");
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut names: Vec<String> = fs::read_dir(&directory)
        .expect("the directory of profiles")
        .map(|entry| entry.expect("a profile").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_str()
                .expect("UTF-8")
                .to_owned()
        })
        .collect();
    names.sort_unstable();
    let mut text = format!(
        "const NAMES: &[&str] = &{names:?};\n#[cfg(feature = \"profiles\")]\nconst FILES: &[(&str, &str)] = &[\n"
    );
    for name in &names {
        let file = directory.join(format!("{name}.toml"));
        let whole = fs::read_to_string(file).expect("a profile");
        text += &format!("({name:?}, {:?}),\n", rules(&whole));
    }
    text += "];\n";
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo says it")).join("profiles.rs");
    fs::write(out, text).expect("the list of profiles");
}

/// A profile without its comments and the reasons and sources of its rules, which stand on lines of their own.
fn rules(profile: &str) -> String {
    let is_for_people = |line: &str| {
        line.is_empty()
            || ["#", "reason = ", "source = "]
                .iter()
                .any(|start| line.starts_with(start))
    };
    let lines = profile.lines().filter(|line| !is_for_people(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

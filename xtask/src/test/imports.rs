//! The check of circles of imports: `ARCHITECTURE.md` says how large one may be.
//!
//! It reads `use` statements as `rustfmt` leaves them, not whole Rust: re-exports, tests and paths in the text do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const CRATES: [&str; 5] = ["manifest", "scan", "signer", "agent", "init"];
/// Files that may import each other: a parent and two parts.
const MOST: usize = 3;

/// Modules of a crate by path, such as `lockdown::kernel`, each with those that it imports.
#[derive(Debug, Default)]
struct Imports {
    texts: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    fn of(texts: BTreeMap<String, String>) -> Self {
        let mut imports = Self {
            texts,
            edges: BTreeMap::new(),
        };
        let edges = imports.texts.iter().map(|(module, text)| {
            let paths = uses(text).into_iter();
            let found = paths.filter_map(|path| imports.find(&absolute(module, &path)?));
            (module.clone(), found.filter(|it| it != module).collect())
        });
        imports.edges = edges.collect();
        imports
    }

    /// The longest beginning of a path that is a module.
    fn find(&self, path: &str) -> Option<String> {
        let mut path = path;
        while !self.texts.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    }

    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let (mut open, mut seen) = (vec![from], BTreeSet::new());
        while let Some(module) = open.pop() {
            for next in self.edges.get(module).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen
    }

    /// Modules that reach each other.
    fn circles(&self) -> BTreeSet<Vec<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .edges
            .keys()
            .map(|module| (module.as_str(), self.reached(module)))
            .collect();
        let circle = |module: &&str| -> Vec<&str> {
            let there = &reached[*module];
            let back = there.iter().filter(|it| reached[**it].contains(module));
            back.copied().collect()
        };
        let circles = reached.keys().map(circle);
        circles.filter(|circle| circle.len() > 1).collect()
    }
}

/// Every path that a text imports for itself.
fn uses(text: &str) -> Vec<String> {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let mut found = Vec::new();
    let mut statement: Option<String> = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        if statement.is_none() && line.trim_start().starts_with("use ") {
            statement = Some(String::new());
        }
        if let Some(whole) = &mut statement {
            whole.push_str(line.trim());
            if line.trim_end().ends_with(';') {
                let tree = whole.trim_start_matches("use ").trim_end_matches(';');
                expand("", tree, &mut found);
                statement = None;
            }
        }
    }
    found
}

/// Takes `a::{b, c::{d}}` apart.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        found.push(format!("{prefix}{path}"));
        return;
    };
    let (prefix, body) = (format!("{prefix}{head}"), rest.trim_end_matches(' '));
    let body = body.strip_suffix('}').unwrap_or(body);
    let (mut depth, mut begin) = (0_usize, 0);
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                expand(&prefix, &body[begin..at], found);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !body[begin..].trim().is_empty() {
        expand(&prefix, &body[begin..], found);
    }
}

/// A path from the crate's top; `None` for one of another crate.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    if let Some(path) = path.strip_prefix("self::") {
        return Some(format!("{module}::{path}"));
    }
    let (mut base, mut path) = (module, path.strip_prefix("super::")?);
    loop {
        base = base.rsplit_once("::").map_or("", |(above, _)| above);
        match path.strip_prefix("super::") {
            Some(rest) => path = rest,
            None if base.is_empty() => return Some(path.to_owned()),
            None => return Some(format!("{base}::{path}")),
        }
    }
}

fn read(root: &Path, directory: &Path, texts: &mut BTreeMap<String, String>) -> Result<()> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("failed to list \"{}\"", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
        let module = name.display().to_string().replace('/', "::");
        // `main.rs` and `lib.rs` only wire, and tests look at everything.
        let is_left_out = |part: &str| ["main", "lib", "tests", "testing"].contains(&part);
        if module.split("::").any(is_left_out) {
            continue;
        }
        if path.is_dir() {
            read(root, &path, texts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read \"{}\"", path.display()))?;
            texts.insert(module, text);
        }
    }
    Ok(())
}

/// Looks for circles in all crates that ship.
///
/// # Errors
///
/// If one has more than [`MOST`] files, or files of two stages.
pub fn check() -> Result<String> {
    let mut largest = 0;
    for name in CRATES {
        let source = crate::workspace()?.join(name).join("src");
        let mut texts = BTreeMap::new();
        read(&source, &source, &mut texts)?;
        let imports = Imports::of(texts);
        if imports.edges.values().all(BTreeSet::is_empty) {
            bail!("no imports found in \"{}\"", source.display());
        }
        for circle in imports.circles() {
            let stage = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
            let stages: BTreeSet<String> = circle.iter().map(|module| stage(module)).collect();
            // The files of a crate that has no folders for stages are all at the top.
            let is_across = stages.len() > 1 && circle.iter().any(|module| module.contains("::"));
            if circle.len() > MOST || is_across {
                bail!(
                    "circle of imports in {name}: {}; at most {MOST} files of one stage may import each other",
                    circle.join(", ")
                );
            }
            largest = largest.max(circle.len());
        }
    }
    Ok(format!("no circle of more than {largest} files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Imports {
        let texts = files.iter();
        Imports::of(
            texts
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn circle_of_imports_is_found_through_every_form_of_path() {
        let files = [
            ("a", "use self::b::X;\n"),
            ("a::b", "use crate::{\n    c::{self, Y},\n    e,\n};\n"),
            ("c", "pub use crate::d::Z;\nuse super::d::Z as W;\n"),
            ("d", "use crate::a; // a comment\nuse std::fmt;\n"),
            ("e", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n"),
        ];
        let found = imports(&files);
        assert_eq!(found.circles(), [vec!["a", "a::b", "c", "d"]].into());
        // The control: without the arrow that closes it.
        let mut files = files;
        files[3].1 = "pub use crate::a;\n";
        assert_eq!(imports(&files).circles(), BTreeSet::new());
    }
}

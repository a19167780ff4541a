//! A trust file for fapolicyd (`/etc/fapolicyd/trust.d/`): path, size and SHA-256 of what may run.

use earmark_manifest::{
    class::PathClass,
    entry::{Entry, Node},
};

use super::Exported;
use crate::{inspect::source::Tree, io::output};

pub(super) fn export(tree: &Tree) -> Exported {
    let (mut bytes, mut skipped) = (Vec::new(), 0u64);
    for entry in &tree.entries {
        let (PathClass::Sealed, Node::Regular(Some(content))) = (entry.class, &entry.node) else {
            continue;
        };
        if !may_run(entry) {
            continue;
        }
        let path = entry.path.as_bytes();
        // Fields are a space apart, and versions differ in how they take a name that has one. A line
        // that is misread would trust something else.
        let plain = path
            .iter()
            .all(|byte| matches!(byte, 0x21..=0x7e) && !b"\\%\"'".contains(byte));
        if !plain {
            skipped += 1;
            continue;
        }
        bytes.push(b'/');
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(format!(" {} {}\n", content.size, content.sha256.hex()).as_bytes());
    }
    let mut notes = Vec::new();
    if skipped > 0 {
        notes.push(format!(
            "{} left out: fapolicyd's format cannot express their names",
            output::count(skipped, "file was", "files were")
        ));
    }
    Exported { bytes, notes }
}

/// Returns whether an entry may run: it has an execute bit, or is a library, which needs none to be loaded.
fn may_run(entry: &Entry) -> bool {
    if entry.owner.is_some_and(|owner| owner.mode & 0o111 != 0) {
        return true;
    }
    let path = entry.path.as_bytes();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let in_lib = path
        .split(|byte| *byte == b'/')
        .any(|component| component.starts_with(b"lib"));
    let object = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
    in_lib && object
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, tree, with_mode};
    use super::*;

    #[test]
    fn fapolicyd_lists_programs_and_libraries_and_skips_names_with_spaces() {
        let exported = export(&tree(vec![
            with_mode(file(b"usr/bin/a b"), 0o755),
            file(b"usr/lib/libx.so.1"),
            file(b"usr/share/doc.so.txt"),
            file(b"usr/share/text"),
            with_mode(file(b"usr/zbin"), 0o100),
        ]));
        let text = String::from_utf8(exported.bytes).unwrap();
        let paths: Vec<&str> = text
            .lines()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(paths, ["/usr/lib/libx.so.1", "/usr/zbin"]);
        assert!(text.lines().all(|line| line.split(' ').count() == 3));
        assert_eq!(exported.notes.len(), 1);
    }
}

//! `sha256sum --check`, of GNU coreutils: the content of sealed regular files.
//!
//! It sees no mode, owner, link or added file. Source of the escaping: "Output of md5sum" in the
//! coreutils manual.

use earmark_manifest::{
    class::PathClass,
    entry::{Entry, Node},
};

use super::Exported;
use crate::inspect::source::Tree;

pub(super) fn export(tree: &Tree) -> Exported {
    let mut bytes = Vec::new();
    for entry in &tree.entries {
        push(&mut bytes, entry);
    }
    Exported {
        bytes,
        notes: Vec::new(),
    }
}

fn push(bytes: &mut Vec<u8>, entry: &Entry) {
    let (PathClass::Sealed, Node::Regular(Some(content))) = (entry.class, &entry.node) else {
        return;
    };
    let path = entry.path.as_bytes();
    // A backslash before the digest says that the name is escaped.
    if path
        .iter()
        .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
    {
        bytes.push(b'\\');
    }
    bytes.extend_from_slice(content.sha256.hex().as_bytes());
    bytes.extend_from_slice(b"  ");
    for byte in path {
        match byte {
            b'\\' => bytes.extend_from_slice(b"\\\\"),
            b'\n' => bytes.extend_from_slice(b"\\n"),
            b'\r' => bytes.extend_from_slice(b"\\r"),
            other => bytes.push(*other),
        }
    }
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, tree};
    use super::*;

    #[test]
    fn names_are_escaped_as_coreutils_does() {
        let names: [&[u8]; 6] = [b"a b", b"b\\c", b"c\nd", b"d\re", b"e\xff", b"-f"];
        let tree = tree(names.iter().map(|name| file(name)).collect());
        let exported = export(&tree).bytes;
        let lines: Vec<&[u8]> = exported.split(|byte| *byte == b'\n').collect();
        let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        for (line, (escaped, name)) in lines.iter().zip([
            ("", &b"-f"[..]),
            ("", b"a b"),
            ("\\", b"b\\\\c"),
            ("\\", b"c\\nd"),
            ("\\", b"d\\re"),
            ("", b"e\xff"),
        ]) {
            let expected = [escaped.as_bytes(), digest.as_bytes(), b"  ", name].concat();
            assert_eq!(*line, expected);
        }
        assert_eq!(lines.len(), 7);
    }
}

//! A specification for `NetBSD`'s mtree (Debian's `mtree-netbsd`): `mtree -f SPEC -p ROOT`.
//!
//! It sees type, mode, owner, size, content, target and device, and names what was added. It sees no
//! extended attributes and no hard-link groups, and exits with 0 when all it found was added files.

use std::collections::BTreeMap;

use earmark_manifest::{
    class::{PathClass, Rule, RuleKind},
    entry::{Device, Entry, Node},
    escape, layout,
    path::ImagePath,
};

use super::Exported;
use crate::{inspect::source::Tree, io::output};

/// Lines by the raw bytes of their path, in whose order each directory comes before what is in it.
type Lines = BTreeMap<Vec<u8>, String>;

pub(super) fn export(tree: &Tree) -> Exported {
    let mut lines: Lines = tree
        .entries
        .iter()
        .map(|entry| (entry.path.as_bytes().to_vec(), entry_line(entry)))
        .collect();
    push_own(&mut lines);
    let mut unsaid = 0u64;
    for rule in tree.rules.rules() {
        if !push_rule(&mut lines, rule, tree) {
            unsaid += 1;
        }
    }
    let mut text = String::from("#mtree\n# Made by earmark. Check with: mtree -f THIS -p ROOT\n");
    for line in lines.values() {
        text.push_str(line);
        text.push('\n');
    }
    let mut notes = Vec::new();
    if unsaid > 0 {
        notes.push(format!(
            "{} of what may appear cannot be said to mtree: it will call such files extra",
            output::count(unsaid, "rule", "rules")
        ));
    }
    Exported {
        bytes: text.into_bytes(),
        notes,
    }
}

fn entry_line(entry: &Entry) -> String {
    let mut line = path_word(&entry.path);
    line.push_str(" type=");
    line.push_str(type_word(&entry.node));
    if let Some(owner) = &entry.owner {
        line.push_str(&format!(
            " mode={:04o} uid={} gid={}",
            owner.mode, owner.uid, owner.gid
        ));
    }
    match (&entry.node, entry.class) {
        // The host's own: whatever is beneath.
        (Node::Directory, PathClass::State) => line.push_str(" ignore"),
        // A first-boot step writes another content.
        (Node::Regular(Some(content)), PathClass::Sealed) => {
            line.push_str(&format!(
                " size={} sha256={}",
                content.size,
                content.sha256.hex()
            ));
        }
        (Node::Symlink(Some(target)), _) => {
            line.push_str(" link=");
            push_vis(&mut line, target);
        }
        (Node::CharDevice(Some(device)) | Node::BlockDevice(Some(device)), _) => {
            let Device { major, minor } = device;
            line.push_str(&format!(" device=native,{major},{minor}"));
        }
        // What was not recorded of a node, and nodes of which nothing else is.
        (
            Node::Regular(_)
            | Node::Directory
            | Node::Symlink(None)
            | Node::CharDevice(None)
            | Node::BlockDevice(None)
            | Node::Fifo
            | Node::Socket,
            _,
        ) => {}
    }
    line
}

/// Earmark's own files have no entry, since the tree is one of them.
fn push_own(lines: &mut Lines) {
    for (path, kind, mode) in [
        (layout::EARMARK_DIR, "dir", 0o755),
        (layout::SEAL_DIR, "dir", 0o755),
        (layout::MANIFEST, "file", 0o644),
        (layout::DECLARATION, "file", 0o644),
        (layout::TREE, "file", 0o644),
        (layout::TRUST, "file", 0o644),
        (layout::FLOOR, "file", 0o644),
    ] {
        let path = crate::inspect::source::layout_path(path);
        let parent = path.parent().unwrap_or_default();
        if lines.contains_key(parent.as_bytes()) {
            let word = path_word(&path);
            let line = format!("{word} type={kind} mode={mode:04o} uid=0 gid=0 optional");
            lines.insert(path.as_bytes().to_vec(), line);
        }
    }
}

/// Adds what a rule allows on a host although the image does not have it. Returns false, if mtree cannot say it.
fn push_rule(lines: &mut Lines, rule: &Rule, tree: &Tree) -> bool {
    let keywords = match rule.kind {
        RuleKind::Class(PathClass::State) => "type=dir ignore optional",
        RuleKind::Class(PathClass::Generated) if rule.attributes.types.is_some() => return false,
        RuleKind::Class(PathClass::Generated | PathClass::Rendered) => "type=file optional",
        RuleKind::Class(PathClass::Sealed | PathClass::Mutable | PathClass::Seal)
        | RuleKind::Critical => return true,
    };
    let text = rule.pattern.to_string();
    let Ok(bytes) = escape::decode(text.as_bytes()) else {
        return false;
    };
    let bytes = bytes.strip_prefix(b"/").unwrap_or(&bytes);
    if bytes.ends_with(b"/**") {
        return false;
    }
    let (parent, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
        None => (&b""[..], bytes),
    };
    // Beneath what is not there, or is not walked, there is nothing to say.
    let walked = |path: &[u8]| {
        lines
            .get(path)
            .is_some_and(|line| !line.contains(" ignore"))
    };
    let wild = |part: &[u8]| part.iter().any(|byte| matches!(byte, b'*' | b'?'));
    if wild(parent) {
        return false;
    }
    if !walked(parent) {
        return true;
    }
    if !wild(name) {
        let mut word = String::from("./");
        push_vis(&mut word, bytes);
        lines
            .entry(bytes.to_vec())
            .or_insert_with(|| format!("{word} {keywords}"));
        return true;
    }
    // mtree gives a file to the first name that matches it: a pattern over files that the image has
    // would take them from their own lines. To fnmatch, brackets are magic, and to a rule they are not.
    let taken = tree
        .entries
        .iter()
        .any(|entry| rule.pattern.matches(&entry.path));
    if taken || name.iter().any(|byte| matches!(byte, b'[' | b']' | b'\\')) {
        return false;
    }
    let mut word = String::from("./");
    push_vis(&mut word, parent);
    word.push('/');
    for byte in name {
        match byte {
            b'*' | b'?' => word.push(char::from(*byte)),
            other => push_vis(&mut word, &[*other]),
        }
    }
    lines.insert(bytes.to_vec(), format!("{word} {keywords}"));
    true
}

/// `.` for the root, and `./` before all else: a name with a slash in it is a path from the root,
/// whatever line came before.
fn path_word(path: &ImagePath) -> String {
    let mut word = String::from(".");
    if !path.is_root() {
        word.push('/');
        push_vis(&mut word, path.as_bytes());
    }
    word
}

/// vis(3) in octal for all that is not plainly itself: spaces and `#` end a word, and wildcards that
/// are escaped are none.
fn push_vis(word: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/._-+,:@".contains(byte) {
            word.push(char::from(*byte));
        } else {
            word.push_str(&format!("\\{byte:03o}"));
        }
    }
}

const fn type_word(node: &Node) -> &'static str {
    match node {
        Node::Regular(_) => "file",
        Node::Directory => "dir",
        Node::Symlink(_) => "link",
        Node::CharDevice(_) => "char",
        Node::BlockDevice(_) => "block",
        Node::Fifo => "fifo",
        Node::Socket => "socket",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{directory, file, rule, tree_with};
    use super::*;

    fn spec(entries: Vec<Entry>, rules: &[&str]) -> (Vec<String>, usize) {
        let rules = rules.iter().map(|text| rule(text)).collect();
        let exported = export(&tree_with(entries, rules));
        let text = String::from_utf8(exported.bytes).unwrap();
        let lines = text.lines().skip(2).map(str::to_owned).collect();
        (lines, exported.notes.len())
    }

    #[test]
    fn mtree_escapes_special_bytes_in_names() {
        let (lines, _) = spec(vec![file(b"a b#\n*[\xff\\")], &[]);
        assert_eq!(
            lines[1],
            "./a\\040b\\043\\012\\052\\133\\377\\134 type=file mode=0644 uid=0 gid=0 size=1 \
             sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        );
    }

    #[test]
    fn mtree_marks_generated_and_state_paths_optional() {
        let entries = vec![
            directory(b"etc"),
            file(b"etc/x1"),
            directory(b"usr"),
            directory(b"usr/lib"),
        ];
        let (lines, notes) = spec(
            entries,
            &[
                "generated /etc/host_*_key",
                "generated /etc/x?",
                "mutable /etc/resolv.conf",
                "generated /etc/adjtime",
                "state /srv",
                "generated /missing/x",
            ],
        );
        let has = |line: &str| lines.iter().any(|known| known == line);
        assert!(has("./etc/host_*_key type=file optional"), "{lines:?}");
        assert!(has("./etc/adjtime type=file optional"), "{lines:?}");
        // What is mutable is there, or missing.
        assert!(!lines.iter().any(|line| line.contains("resolv")));
        assert!(has("./srv type=dir ignore optional"), "{lines:?}");
        assert!(has(
            "./usr/lib/earmark/seal/tree.zst type=file mode=0644 uid=0 gid=0 optional"
        ));
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("missing") || line.contains("x?"))
        );
        assert_eq!(notes, 1, "the pattern over a file that is there");
        let position = |start: &str| {
            lines
                .iter()
                .position(|line| line.starts_with(start))
                .unwrap()
        };
        assert!(position("./usr/lib/earmark ") < position("./usr/lib/earmark/seal "));
    }
}

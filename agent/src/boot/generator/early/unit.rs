//! Text of unit files as far as ordering goes, read as systemd reads it: what it ignores is ignored here,
//! since a line that only one of the two takes is an order that only one of the two knows.

/// The ordering of one unit, its drop-ins included.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about files, of which none excludes another"
)]
pub(super) struct Unit {
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) without_defaults: bool,
    /// A mount of a file system that is not on this machine.
    pub(super) is_remote: bool,
    /// Described by a file of its own, and not by drop-ins alone.
    pub(super) has_file: bool,
    /// Started in an initrd alone, by a condition that nothing else can make true.
    pub(super) is_of_initrd: bool,
}

/// Files that an initrd has, and no root.
const OF_INITRD: [&str; 2] = ["/etc/initrd-release", "/usr/lib/initrd-release"];

impl Unit {
    /// Adds what a file says of the unit `name`. Ordering adds up: an empty `Before=` takes nothing back.
    pub(super) fn take(&mut self, name: &str, text: &[u8]) {
        let mut section = String::new();
        for line in lines(text) {
            if let Some(header) = line.strip_prefix('[') {
                header
                    .strip_suffix(']')
                    .unwrap_or(header)
                    .clone_into(&mut section);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            match (&*section, key) {
                ("Unit", "Before") => self.before.extend(names(name, value)),
                ("Unit", "After") => self.after.extend(names(name, value)),
                ("Unit", "DefaultDependencies") => {
                    // A word that is no boolean is ignored: what an earlier line said goes on.
                    self.without_defaults = match boolean(value) {
                        Some(defaults) => !defaults,
                        None => self.without_defaults,
                    };
                }
                // Neither `!` nor `|`, which would let other conditions decide. An empty value takes all of them back.
                ("Unit", "ConditionPathExists" | "AssertPathExists") => {
                    self.is_of_initrd = match value {
                        "" => false,
                        value => self.is_of_initrd || OF_INITRD.contains(&value),
                    };
                }
                ("Mount", "Options") => {
                    self.is_remote |= value.split(',').any(|option| option == "_netdev");
                }
                ("Mount", "Type") => {
                    const REMOTE: [&str; 7] =
                        ["afs", "ceph", "cifs", "glusterfs", "nfs", "nfs4", "smb3"];
                    self.is_remote |= REMOTE.contains(&value);
                }
                _ => {}
            }
        }
    }
}

/// Splits a file into its lines, without comments and blanks. One that ends with an odd number of backslashes
/// goes on in the next, also across a comment; one that is no UTF-8 is left out, and takes nothing with it.
fn lines(text: &[u8]) -> Vec<String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut whole, mut lines) = (Vec::new(), Vec::new());
    // A carriage return and a NUL byte end a line, too.
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        let line = line.trim_ascii_start();
        if line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        whole.extend_from_slice(line);
        let backslashes = whole.iter().rev().take_while(|byte| **byte == b'\\');
        if backslashes.count() % 2 == 1 {
            whole.pop();
            whole.push(b' ');
            continue;
        }
        lines.push(std::mem::take(&mut whole));
    }
    lines.push(whole);
    let lines = lines
        .into_iter()
        .filter_map(|line| String::from_utf8(line).ok());
    let lines = lines.map(|line| line.trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Reads systemd's words for yes and no, in any case.
fn boolean(value: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    match () {
        () if is(&["1", "yes", "y", "true", "t", "on"]) => Some(true),
        () if is(&["0", "no", "n", "false", "f", "off"]) => Some(false),
        () => None,
    }
}

/// Splits a value into names of units. Quotes keep blanks in a word, which is no name then.
fn names(unit: &str, value: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in value.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter.is_ascii_whitespace() => words.push(String::new()),
            _ => {
                if let Some(word) = words.last_mut() {
                    word.push(letter);
                }
            }
        }
    }
    // systemd refuses a value whose quote stays open, with what came before it already taken.
    if quote.is_some() {
        words.pop();
    }
    let named = words.iter().filter_map(|word| expand(unit, word));
    named
        .filter(|word| !word.is_empty() && !word.contains(char::is_whitespace))
        .collect()
}

/// Puts the specifiers in that are parts of the unit's own name. One of a template or of the machine is known
/// only once a unit is loaded: `None`.
fn expand(unit: &str, word: &str) -> Option<String> {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let (prefix, is_template) = match stem.split_once('@') {
        Some((prefix, _)) => (prefix, true),
        None => (stem, false),
    };
    let mut parts = word.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        let mut letters = part.chars();
        match letters.next() {
            // Two of them stand for one.
            None => {
                whole.push('%');
                whole.push_str(parts.next()?);
                continue;
            }
            Some('n') if !is_template => whole.push_str(unit),
            Some('N') if !is_template => whole.push_str(stem),
            Some('p') => whole.push_str(prefix),
            Some('j') => whole.push_str(prefix.rsplit('-').next().unwrap_or(prefix)),
            Some('i') if !is_template => {}
            Some(_) => return None,
        }
        whole.push_str(letters.as_str());
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, text: &[u8]) -> Unit {
        let mut unit = Unit::default();
        unit.take(name, text);
        unit
    }

    #[test]
    fn line_is_read_as_systemd_reads_it() {
        for (text, before) in [
            (&b"[Unit]\nBefore=a.target"[..], &["a.target"][..]),
            (b"\xef\xbb\xbf[Unit]\rBefore=a.target\0", &["a.target"]),
            (b"  [Unit]  \n  Before = a.target  ", &["a.target"]),
            (
                b"[Unit]\nBefore=a.target \\\n# b\n; c\n  d.target",
                &["a.target", "d.target"],
            ),
            // Two backslashes, or a blank behind one, do not go on.
            (b"[Unit]\nBefore=a\\\\\nAfter=x", &["a\\\\"]),
            (b"[Unit]\nX=a\\ \nBefore=a.target", &["a.target"]),
            (b"[Unit]\nX=a\\\nBefore=a.target", &[]),
            // What is no UTF-8 is ignored, and so is what is in a section of another name.
            (
                b"[Unit]\nBefore=\xff a.target\nBefore=b.target",
                &["b.target"],
            ),
            (b"[Unit]]\nBefore=a.target", &[]),
            (b"[unit]\nBefore=a.target", &[]),
            (b"[Unit]\nBefore=a.target\nBefore=", &["a.target"]),
        ] {
            let name = String::from_utf8_lossy(text);
            assert_eq!(unit("u.service", text).before, before, "{name}");
        }
    }

    #[test]
    fn word_that_is_no_boolean_leaves_default_dependencies_as_they_were() {
        for (text, without) in [
            ("DefaultDependencies=No", true),
            ("DefaultDependencies=0\nDefaultDependencies=zz", true),
            ("DefaultDependencies=off\nDefaultDependencies=", true),
            ("DefaultDependencies=no\nDefaultDependencies=ON", false),
            ("DefaultDependencies=zz", false),
        ] {
            let text = format!("[Unit]\n{text}\n");
            let unit = unit("u.service", text.as_bytes());
            assert_eq!(unit.without_defaults, without, "{text}");
        }
    }

    #[test]
    fn unit_of_an_initrd_is_told_by_its_plain_condition() {
        for (text, is_of_initrd) in [
            ("ConditionPathExists=/etc/initrd-release", true),
            ("AssertPathExists=/usr/lib/initrd-release", true),
            (
                "ConditionPathExists=/usr/lib/initrd-release\nConditionPathExists=|/a",
                true,
            ),
            ("ConditionPathExists=!/etc/initrd-release", false),
            ("ConditionPathExists=|/etc/initrd-release", false),
            (
                "ConditionPathExists=/etc/initrd-release\nConditionPathExists=",
                false,
            ),
            ("ConditionPathExists=/etc/os-release", false),
            ("", false),
        ] {
            let unit = unit("u.service", format!("[Unit]\n{text}\n").as_bytes());
            assert_eq!(unit.is_of_initrd, is_of_initrd, "{text}");
        }
    }

    #[test]
    fn name_is_unquoted_and_has_its_specifiers_expanded() {
        for (name, value, names) in [
            (
                "a-b.service",
                "%p.target %N.mount",
                &["a-b.target", "a-b.mount"][..],
            ),
            (
                "a-b.service",
                "%n %j.target x%i.socket",
                &["a-b.service", "b.target", "x.socket"],
            ),
            ("a@.service", "%p.target %i.target %n", &["a.target"]),
            ("a.service", "%H.target a%%n.target", &["a%n.target"]),
            (
                "a.service",
                "\"b.target\" 'c.target' d\"e\".target",
                &["b.target", "c.target", "de.target"],
            ),
            ("a.service", "\"b.target c.target\" d.target", &["d.target"]),
            ("a.service", "b.target \"c.target", &["b.target"]),
        ] {
            assert_eq!(super::names(name, value), names, "{value}");
        }
    }
}

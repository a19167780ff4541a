//! Interpreters that are registered with `binfmt_misc`: for any program that anybody starts whose first bytes or whose
//! name are as root said, the kernel starts another one, with the rights of the file if the registration says so.

use std::fmt::Write;

use earmark_manifest::class::RuleSet;

use super::{
    super::{
        cause::Probe,
        item::{Item, Seen, Strength, Unseen},
        look::{Look, few},
    },
    programs::sealed_files,
};

const LIST: &str = "/proc/sys/fs/binfmt_misc";
const FILE_SYSTEMS: &str = "/proc/filesystems";
/// Of the list, what is no registration.
const OWN: [&str; 2] = ["register", "status"];
const CONFIGURED: [&str; 3] = [
    "/usr/lib/binfmt.d",
    "/usr/local/lib/binfmt.d",
    "/etc/binfmt.d",
];

/// A registration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    interpreter: String,
    flags: Vec<char>,
    /// Pattern of the programs that it is for, as the kernel lists it: an extension, or offset, magic and mask.
    matches: String,
}

/// The item, and the names of registrations that are to be removed.
pub(super) fn probe(look: &Look<'_>, rules: &RuleSet) -> (Item, Vec<String>) {
    let (seen, removed) = match others(look, rules) {
        Ok(None) => (
            Seen::Absent("the kernel has no binfmt_misc".to_owned()),
            Vec::new(),
        ),
        Ok(Some(others)) if others.is_empty() => {
            let found = "none but those of sealed binfmt.d".to_owned();
            (Seen::Shut(Strength::Reversible, found), Vec::new())
        }
        Ok(Some(others)) => {
            let text = |entry: &Entry| format!("{} by {}", entry.name, entry.interpreter);
            let found = few(&others.iter().map(text).collect::<Vec<_>>());
            let names = others.into_iter().map(|entry| entry.name);
            (Seen::Open(found), names.collect())
        }
        // Without the word of the sealed files nothing is removed: a registration of the image's own would go, too.
        Err(unseen) => (Seen::from(unseen), Vec::new()),
    };
    let desired = "as sealed binfmt.d has them";
    let item = Item::new(
        Probe::Binfmt,
        "interpreters of binfmt_misc",
        desired,
        LIST,
        seen,
    );
    let paths = removed.into_iter().map(|name| format!("{LIST}/{name}"));
    (item, paths.collect())
}

/// The registrations that no sealed file asks for; nothing, if the kernel has no such list.
fn others(look: &Look<'_>, rules: &RuleSet) -> Result<Option<Vec<Entry>>, Unseen> {
    let systems = look.text(FILE_SYSTEMS)?.unwrap_or_default();
    let is_there = systems
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "binfmt_misc");
    if !is_there {
        return Ok(None);
    }
    // Where systemd mounts it for whoever looks, this is such a look: what is registered stays so while nothing is
    // mounted.
    let names = look.list(LIST.trim_start_matches('/'))?.unwrap_or_default();
    let mut configured = Vec::new();
    for file in sealed_files(look, rules, &CONFIGURED)? {
        let text = look.text_through_links(&file)?.unwrap_or_default();
        configured.extend(text.lines().filter_map(|line| asked(line.trim())));
    }
    let mut others = Vec::new();
    for (name, _) in names {
        if OWN.contains(&&*name) {
            continue;
        }
        let Some(text) = look.text(&format!("{LIST}/{name}"))? else {
            // Root may name one by bytes that are no text, which are not found under what they are shown as.
            if name.contains(char::REPLACEMENT_CHARACTER) {
                others.push(registered(name, ""));
            }
            continue;
        };
        let entry = registered(name, &text);
        if !configured.contains(&entry) {
            others.push(entry);
        }
    }
    Ok(Some(others))
}

/// A registration, as the kernel shows it.
fn registered(name: String, text: &str) -> Entry {
    let mut entry = Entry {
        name,
        interpreter: String::new(),
        flags: Vec::new(),
        matches: String::new(),
    };
    for line in text.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            // A disabled one counts: root enables it by one write.
            ("enabled" | "disabled", _) => {}
            ("interpreter", path) => path.clone_into(&mut entry.interpreter),
            ("flags:", flags) => entry.flags = sorted(flags),
            _ => {
                // Also a line of a newer kernel: what is not understood equals no sealed registration.
                let _ = writeln!(entry.matches, "{line}");
            }
        }
    }
    entry
}

/// A registration, as a line of `binfmt.d` asks for it.
fn asked(line: &str) -> Option<Entry> {
    // The first character is the delimiter, whichever it is; systemd-binfmt takes these two for comments.
    let mark = line.chars().next().filter(|mark| !"#;".contains(*mark))?;
    let fields: Vec<&str> = line.split(mark).skip(1).collect();
    let [name, kind, offset, magic, bits, interpreter, rest @ ..] = &*fields else {
        return None;
    };
    let mut matches = String::new();
    if *kind == "E" {
        let _ = writeln!(matches, "extension .{magic}");
    } else {
        let offset = if offset.is_empty() { "0" } else { offset };
        let _ = writeln!(matches, "offset {offset}");
        let _ = writeln!(matches, "magic {}", hexadecimal(magic));
        if !bits.is_empty() {
            let _ = writeln!(matches, "mask {}", hexadecimal(bits));
        }
    }
    Some(Entry {
        name: (*name).to_owned(),
        interpreter: (*interpreter).to_owned(),
        flags: sorted(rest.first().copied().unwrap_or_default()),
        matches,
    })
}

/// Flags without order. The kernel shows that the rights of the file are taken (`C`) with the opened file that this
/// needs (`O`).
fn sorted(flags: &str) -> Vec<char> {
    let mut flags: Vec<char> = flags.trim().chars().collect();
    if flags.contains(&'C') {
        flags.push('O');
    }
    flags.sort_unstable();
    flags.dedup();
    flags
}

/// Bytes of which some are written as `\x` and two digits, as the kernel shows them.
fn hexadecimal(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(byte) = rest.chars().next() {
        let digits = rest.strip_prefix("\\x").and_then(|rest| rest.get(..2));
        let escaped = digits.filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(digits) = escaped {
            shown.push_str(&digits.to_ascii_lowercase());
            rest = rest.get(4..).unwrap_or_default();
        } else {
            let mut buffer = [0; 4];
            for byte in byte.encode_utf8(&mut buffer).bytes() {
                let _ = write!(shown, "{byte:02x}");
            }
            rest = rest.get(byte.len_utf8()..).unwrap_or_default();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use earmark_manifest::declaration::Declaration;

    use super::*;
    use crate::{status::model::LockState, testing::TestRoot};

    const ASKED: &str = "# Python\n:python3.11:M::\\xa7\\x0d\\x0d\\x0a::/usr/bin/python3.11:\n\
        :jar:E::jar::/usr/bin/jexec:\n:qemu:M:0:\\x7fELF\\x02:\\xff\\xff\\xff\\xff\\x00:/usr/bin/qemu:OCF\n";
    const REGISTERED: [(&str, &str); 3] = [
        (
            "python3.11",
            "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n",
        ),
        (
            "jar",
            "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n",
        ),
        (
            "qemu",
            "enabled\ninterpreter /usr/bin/qemu\nflags: OCF\noffset 0\nmagic 7f454c4602\nmask ffffffff00\n",
        ),
    ];

    fn host(asked: &str, registered: &[(&str, &str)]) -> TestRoot {
        let root = TestRoot::bare();
        root.write(FILE_SYSTEMS, b"nodev\tproc\nnodev\tbinfmt_misc\n\text4\n");
        root.write("/usr/lib/binfmt.d/all.conf", asked.as_bytes());
        root.write(&format!("{LIST}/register"), b"");
        root.write(&format!("{LIST}/status"), b"enabled\n");
        for (name, text) in registered {
            root.write(&format!("{LIST}/{name}"), text.as_bytes());
        }
        root
    }

    fn seen(root: &TestRoot, rest: &str) -> (LockState, Vec<String>) {
        let text = format!("[image]\nname = \"web\"\nplatform = \"file\"\n{rest}");
        let rules = Declaration::parse(text.as_bytes())
            .unwrap()
            .rule_set()
            .unwrap();
        let root = root.open();
        let (item, removed) = probe(&Look::new(&root), &rules);
        (item.state, removed)
    }

    #[test]
    fn binfmt_registration_without_matching_sealed_configuration_is_open() {
        let shut = (LockState::Enforced, Vec::<String>::new());
        assert_eq!(seen(&host(ASKED, &REGISTERED), ""), shut);
        assert_eq!(seen(&host(ASKED, &[]), ""), shut);
        for (name, text) in REGISTERED {
            let open = (LockState::NotEnforced, vec![format!("{LIST}/{name}")]);
            // Nobody asked for it, or for another interpreter, flags, or programs.
            assert_eq!(seen(&host("", &[(name, text)]), ""), open);
            for (from, to) in [
                ("/usr/bin/", "/tmp/"),
                ("flags: ", "flags: P"),
                ("magic ", "magic 00"),
                (".jar", ".sh"),
            ] {
                let other = text.replacen(from, to, 1);
                if other != text {
                    assert_eq!(seen(&host(ASKED, &[(name, &other)]), ""), open, "{other}");
                }
            }
            // Asked for in a directory that is nobody's word; and the control.
            let root = host("", &[(name, text)]);
            root.write("/etc/binfmt.d/all.conf", ASKED.as_bytes());
            let state = "[tree]\nstate = [\"/etc/binfmt.d\"]\n";
            assert_eq!(seen(&root, state), open);
            assert_eq!(seen(&root, ""), shut);
        }
    }

    #[test]
    fn kernel_without_binfmt_misc_is_not_applicable() {
        let root = host(ASKED, &REGISTERED);
        root.write(FILE_SYSTEMS, b"\text4\n");
        assert_eq!(seen(&root, "").0, LockState::NotApplicable);
    }
}

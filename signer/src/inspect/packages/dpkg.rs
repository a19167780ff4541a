//! dpkg's database: `status`, and a list of files for each package. Source: deb822(5) and
//! dpkg-query(1); the lists are lines of absolute paths.

use std::collections::HashMap;

use earmark_manifest::path::ImagePath;
use earmark_scan::{Root, ScanError};

use super::{Aliases, Packages};
use crate::{
    exit::{Exit, Exits, Outcome},
    inspect::source::layout_path,
    io::{beneath, output::plain},
};

const STATUS: &str = "/var/lib/dpkg/status";
const INFO: &str = "/var/lib/dpkg/info";
const STATUS_BOUND: usize = 64 * 1024 * 1024;
const LIST_BOUND: usize = 32 * 1024 * 1024;
const PACKAGES: usize = 100_000;
/// Lists that could not be read are named up to this many.
const NOTES: usize = 3;

/// Reads it; nothing, if there is none.
pub(super) fn read(
    root: &Root,
    aliases: &Aliases,
    notes: &mut Vec<String>,
) -> Outcome<Option<Packages>> {
    let status = layout_path(STATUS);
    if beneath::stat(root, &status)
        .exits(Exit::Undecided)?
        .is_none()
    {
        return Ok(None);
    }
    let status = root.read(&status, STATUS_BOUND).exits(Exit::Undecided)?;
    let stanzas = parse_status(&status);
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for stanza in &stanzas {
        *counts.entry(&stanza.name).or_default() += 1;
    }
    let mut packages = Packages::default();
    let mut unlisted = 0u32;
    for stanza in &stanzas {
        let with_architecture = format!("{}:{}", stanza.name, stanza.architecture);
        let several = counts
            .get(stanza.name.as_str())
            .is_some_and(|count| *count > 1);
        let shown = if several {
            &with_architecture
        } else {
            &stanza.name
        };
        let number = packages.add(shown.clone(), &stanza.version);
        let mut listed = false;
        for name in [&stanza.name, &with_architecture] {
            let Ok(path) = layout_path(INFO).join(format!("{name}.list").as_bytes()) else {
                continue;
            };
            match claim_list(root, &path, number, aliases, &mut packages) {
                Ok(there) => listed |= there,
                Err(error) if notes.len() < NOTES => notes.push(error.to_string()),
                Err(_) => {}
            }
        }
        unlisted += u32::from(!listed);
    }
    if unlisted > 0 {
        notes.push(format!("{unlisted} packages have no list of files"));
    }
    Ok(Some(packages))
}

/// Claims the paths of one list; says whether there is such a list.
fn claim_list(
    root: &Root,
    path: &ImagePath,
    package: u32,
    aliases: &Aliases,
    packages: &mut Packages,
) -> Result<bool, ScanError> {
    let Some(list) = root.read_opt(path, LIST_BOUND)? else {
        return Ok(false);
    };
    for line in list.split(|byte| *byte == b'\n') {
        if !packages.claim(line, package, aliases) {
            break;
        }
    }
    Ok(true)
}

#[derive(Debug, PartialEq, Eq)]
struct Stanza {
    name: String,
    version: String,
    architecture: String,
}

/// The installed packages. What is not a stanza of a package with a name that dpkg accepts is left
/// out: a name becomes part of a path, and is shown.
fn parse_status(bytes: &[u8]) -> Vec<Stanza> {
    let text = String::from_utf8_lossy(bytes);
    let mut stanzas = Vec::new();
    let mut fields: HashMap<&str, &str> = HashMap::new();
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            if stanzas.len() < PACKAGES {
                stanzas.extend(stanza(&fields));
            }
            fields.clear();
        } else if let Some((name, value)) = line.split_once(':')
            && !line.starts_with([' ', '\t'])
        {
            fields.entry(name).or_insert(value.trim());
        }
    }
    stanzas
}

fn stanza(fields: &HashMap<&str, &str>) -> Option<Stanza> {
    let name = *fields.get("Package")?;
    let good_word = |word: &str| {
        (1..=128).contains(&word.len())
            && word.starts_with(|first: char| first.is_ascii_alphanumeric())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    };
    let architecture = fields.get("Architecture").copied().unwrap_or("all");
    let state = fields.get("Status")?.split(' ').nth(2)?;
    let installed = !matches!(state, "not-installed" | "config-files");
    if !installed || !good_word(name) || !good_word(architecture) {
        return None;
    }
    Some(Stanza {
        name: name.to_owned(),
        version: plain(fields.get("Version")?),
        architecture: architecture.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS_FILE: &str = "\
Package: coreutils
Status: install ok installed
Architecture: amd64
Version: 9.1-1
Description: x
 Package: not-this
 .
 Status: nor this

Package: libc6
Status: hold ok installed
Architecture: amd64
Version: 2.36

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36

Package: gone
Status: deinstall ok config-files
Version: 1

Package: ../../etc/passwd
Status: install ok installed
Version: 1

Package: \u{1b}[2J
Status: install ok installed
Version: 1

Package: evil-version
Status: install ok installed
Version: 1\u{1b}[2J
nonsense without a colon
Status: deinstall ok config-files
";

    #[test]
    fn dpkg_status_yields_only_installed_packages_with_valid_names() {
        let stanzas = parse_status(STATUS_FILE.as_bytes());
        let shown: Vec<(&str, &str, &str)> = stanzas
            .iter()
            .map(|stanza| {
                (
                    stanza.name.as_str(),
                    stanza.version.as_str(),
                    stanza.architecture.as_str(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("coreutils", "9.1-1", "amd64"),
                ("libc6", "2.36", "amd64"),
                ("libc6", "2.36", "i386"),
                ("evil-version", "1\\u{1b}[2J", "all"),
            ]
        );
        for hostile in [
            &b"\xff\xfe\n\n\0"[..],
            b":",
            b":\n:",
            b"Package:",
            &[b'\n'; 10_000],
        ] {
            assert_eq!(parse_status(hostile), []);
        }
    }

    #[test]
    fn dpkg_database_is_read_within_root_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let info = directory.path().join("var/lib/dpkg/info");
        std::fs::create_dir_all(&info).unwrap();
        std::fs::write(directory.path().join("var/lib/dpkg/status"), STATUS_FILE).unwrap();
        std::fs::write(
            info.join("coreutils.list"),
            b"/.\n/bin\n/bin/ls\n\xff\n/etc/../x\n",
        )
        .unwrap();
        std::fs::write(info.join("libc6:amd64.list"), "/lib/libc.so.6\n").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let mut notes = Vec::new();
        let read_all = |notes: &mut Vec<String>| read(&root, &Aliases::default(), notes);
        let packages = read_all(&mut notes).unwrap().unwrap();
        let owner = |path: &str| packages.owner(&layout_path(path)).map(str::to_owned);
        assert_eq!(owner("/bin/ls").as_deref(), Some("coreutils"));
        assert_eq!(owner("/lib/libc.so.6").as_deref(), Some("libc6:amd64"));
        assert_eq!(notes, ["2 packages have no list of files"]);
        // A link in the way leads nowhere.
        std::fs::remove_file(info.join("coreutils.list")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", info.join("coreutils.list")).unwrap();
        let packages = read_all(&mut notes).unwrap().unwrap();
        assert_eq!(packages.owner(&layout_path("/root")), None);
        assert!(
            notes.iter().any(|note| note.contains("coreutils.list")),
            "{notes:?}"
        );
    }
}

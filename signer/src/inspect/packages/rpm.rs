//! rpm's database, read by rpm itself, on a copy.
//!
//! The copy is made because rpm, run as root, creates lock and journal files beside the database that
//! it reads, which would change the image; and `rpm --root` would run in the image.

use std::{ffi::OsStr, time::Duration};

use anyhow::Context;
use earmark_manifest::path::ImagePath;
use earmark_scan::Root;

use super::{Aliases, Packages};
use crate::{
    exit::{Exit, Exits, Outcome},
    inspect::source::layout_path,
    io::{
        beneath,
        files::{self, TemporaryDirectory},
        output::plain,
        run::{self, Program},
    },
};

const PLACES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// The files of rpm's three kinds of database.
const FILES: [&str; 5] = [
    "rpmdb.sqlite",
    "rpmdb.sqlite-wal",
    "Packages.db",
    "Index.db",
    "Packages",
];
const FILE_BOUND: usize = 1024 * 1024 * 1024;
const OUTPUT_BOUND: u64 = 1024 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_mins(2);
/// A line for each package, then one for each of its files. A file name with a newline in it can make
/// a line of its own: it would name a wrong package in a report, and nothing else.
const FORMAT: &str = "P %{NAME} %{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH}\\n[F %{FILENAMES}\\n]";

/// A line for each file: the digest of its content, in the algorithm that its length tells, and its path.
const DIGESTS: &str = "[%{FILEDIGESTS} %{FILENAMES}\\n]";

/// Reads it; nothing, if there is none or no rpm to read it.
pub(super) fn read(
    root: &Root,
    aliases: &Aliases,
    notes: &mut Vec<String>,
) -> Outcome<Option<Packages>> {
    let answer = ask(root, FORMAT, notes)?;
    Ok(answer.map(|output| parse(&output, aliases)))
}

/// The digests that it has of files, one line each; nothing, if there is none or no rpm to read it.
pub(super) fn digests(root: &Root, notes: &mut Vec<String>) -> Outcome<Option<Vec<u8>>> {
    ask(root, DIGESTS, notes)
}

fn ask(root: &Root, format: &str, notes: &mut Vec<String>) -> Outcome<Option<Vec<u8>>> {
    for place in PLACES {
        let place = layout_path(place);
        let mut present = Vec::new();
        for name in FILES {
            let path = place
                .join(name.as_bytes())
                .context("a path of this program")?;
            let there = beneath::stat(root, &path).exits(Exit::Undecided)?.is_some();
            if there {
                present.push((name, path));
            }
        }
        if !present.is_empty() {
            return query(root, &present, format, notes);
        }
    }
    Ok(None)
}

fn query(
    root: &Root,
    present: &[(&str, ImagePath)],
    format: &str,
    notes: &mut Vec<String>,
) -> Outcome<Option<Vec<u8>>> {
    let copying = "failed to copy the rpm database";
    let copy = TemporaryDirectory::new_in(&std::env::temp_dir()).context(copying)?;
    for (name, path) in present {
        let bytes = root.read(path, FILE_BOUND).exits(Exit::Undecided)?;
        files::create_new(&copy.path().join(name), 0o600, &bytes).context(copying)?;
    }
    let path = std::path::absolute(copy.path()).context(copying)?;
    let arguments = [
        OsStr::new("--dbpath"),
        path.as_os_str(),
        OsStr::new("-qa"),
        OsStr::new("--queryformat"),
        OsStr::new(format),
    ];
    match run::output(Program::Rpm, &arguments, OUTPUT_BOUND, TIMEOUT) {
        Ok(Some(output)) => Ok(Some(output)),
        Ok(None) => {
            notes.push("the root has an rpm database, and rpm is not installed here".to_owned());
            Ok(None)
        }
        Err(error) => {
            notes.push(format!("the rpm database was not read: {error:#}"));
            Ok(None)
        }
    }
}

fn parse(output: &[u8], aliases: &Aliases) -> Packages {
    let mut packages = Packages::default();
    let mut current = None;
    for line in output.split(|byte| *byte == b'\n') {
        if let Some(path) = line.strip_prefix(b"F ") {
            if let Some(package) = current
                && !packages.claim(path, package, aliases)
            {
                break;
            }
        } else if let Some(package) = line.strip_prefix(b"P ") {
            let text = String::from_utf8_lossy(package);
            let mut words = text.split(' ');
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                let version = version.trim_start_matches("(none):");
                current = Some(packages.add(plain(name), &plain(version)));
            }
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpm_output_is_parsed_and_malformed_lines_are_ignored() {
        let answer =
            b"F /stray\nP bash (none):5.2-1.amzn2023 x86_64\nF /usr/bin/bash\nF /etc/skel\n\
                       P kernel 1:6.1-1 x86_64\nP kernel 1:6.2-1 x86_64\nF relative\nP\nP \xff\n\n";
        let packages = parse(answer, &Aliases::default());
        assert_eq!(packages.versions()["bash"], "5.2-1.amzn2023");
        assert_eq!(packages.versions()["kernel"], "1:6.1-1, 1:6.2-1");
        assert_eq!(packages.versions().len(), 2);
        assert_eq!(packages.owner(&layout_path("/usr/bin/bash")), Some("bash"));
        assert_eq!(packages.owner(&layout_path("/stray")), None);
    }
}

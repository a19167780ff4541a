//! Content that a package brought, unchanged: it is published with the package, so that it is no secret of the image's.
//!
//! dpkg records MD5 sums in `info/*.md5sums`, and those of configuration in `status`; rpm records digests in its
//! database. What a maintainer script made when the package was installed, such as a key, is in neither, and stays a
//! finding. The databases are the image's own: this protects nobody from the image's builder, whom lint trusts, and who
//! can waive a finding anyway.

mod md5;

use std::collections::{BTreeMap, BTreeSet};

use earmark_manifest::{crypto, digest::encode_hex, path::ImagePath};

use super::{
    finding::Draft,
    image::{Image, Seen},
    table::Rule,
};
use crate::inspect::packages::Packages;

/// Rules about what a file has in it, by which content that a package brought is no error. What every host must have for
/// itself, such as SSH host keys, is an error whoever brought it.
pub const RULES: &[&str] = &[
    "agent-identity",
    "agent-secret",
    "authorized-keys",
    "cloud-credentials",
    "crash-dump",
    "environment-secret",
    "logs",
    "private-key",
    "registry-token",
    "repository-credentials",
    "shell-history",
    "stored-password",
    "storage-name",
    "tool-history",
];

/// Larger files than this are taken for none of a package's.
const CONTENT: usize = 16 * 1024 * 1024;
const LIST: usize = 32 * 1024 * 1024;
const STATUS: usize = 64 * 1024 * 1024;

/// A finding before it is one, and its rule.
type Found = (&'static Rule, Draft);

/// Digests in hexadecimal by path; a path may be several packages'.
type Digests = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// Drops findings on unchanged content of packages beneath `/usr`, where packages alone write, and lowers those
/// elsewhere to warnings: a package may be the owner's own.
pub fn sort_out(image: &Image<'_>, found: Vec<Found>) -> Vec<Found> {
    let wanted: BTreeSet<&ImagePath> = found
        .iter()
        .filter(|(rule, _)| RULES.contains(&rule.id))
        .map(|(_, draft)| &draft.path)
        .collect();
    let digests = if wanted.is_empty() {
        Digests::new()
    } else {
        recorded(image, &wanted)
    };
    let brought: BTreeSet<ImagePath> = wanted
        .into_iter()
        .filter(|path| is_unchanged(image, path, &digests))
        .cloned()
        .collect();
    let mut left = Vec::new();
    for (rule, mut draft) in found {
        if RULES.contains(&rule.id) && brought.contains(&draft.path) {
            if is_of_packages_alone(&draft.path) {
                continue;
            }
            draft.found.push_str("; it is unchanged from its package");
            draft.warns = true;
            draft.repair = None;
        }
        left.push((rule, draft));
    }
    left
}

fn is_of_packages_alone(path: &ImagePath) -> bool {
    let path = path.as_bytes();
    path.starts_with(b"usr/") && !path.starts_with(b"usr/local/")
}

fn is_unchanged(image: &Image<'_>, path: &ImagePath, digests: &Digests) -> bool {
    let Some(recorded) = digests.get(path.as_bytes()) else {
        return false;
    };
    let file = image.get(path.as_bytes());
    let Some(content) = file
        .filter(|file| file.has_content())
        .and_then(|file| image.root.read(file.path, CONTENT).ok())
    else {
        return false;
    };
    let md5 = encode_hex(&md5::digest(&content)).into_bytes();
    let sha256 = crypto::sha256(&content).hex().into_bytes();
    // Of 32 and 64 digits: one of another algorithm is equal to neither.
    recorded
        .iter()
        .any(|digest| *digest == md5 || *digest == sha256)
}

/// Reads the digests that the databases of the image record of these paths.
fn recorded(image: &Image<'_>, wanted: &BTreeSet<&ImagePath>) -> Digests {
    let mut digests = Digests::new();
    let mut add = |path: &[u8], digest: &[u8]| {
        let resolved = resolve(image, path);
        let is_wanted =
            ImagePath::from_relative(&resolved).is_ok_and(|path| wanted.contains(&path));
        if is_wanted {
            let digest = digest.to_ascii_lowercase();
            digests.entry(resolved).or_default().push(digest);
        }
    };
    let lists = image
        .children("var/lib/dpkg/info")
        // Images without a package manager keep one file a package, and the sums beside it.
        .chain(image.children("var/lib/dpkg/status.d"))
        .filter(|file| file.name().ends_with(b".md5sums"));
    for list in lists {
        lines_of(image, Some(list), LIST, |line| {
            // md5sum(1): the digest, two spaces, and the path without its first slash.
            if let Some((digest, path)) = split(line) {
                add(path, digest);
            }
        });
    }
    let mut is_of_conffiles = false;
    lines_of(image, image.get("var/lib/dpkg/status"), STATUS, |line| {
        // deb822(5): continued lines start with a space.
        let continued = line.strip_prefix(b" ");
        is_of_conffiles = match continued {
            Some(_) => is_of_conffiles,
            None => line.starts_with(b"Conffiles:"),
        };
        if let Some((path, rest)) = continued.filter(|_| is_of_conffiles).and_then(split) {
            let digest = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            add(path.strip_prefix(b"/").unwrap_or(path), digest);
        }
    });
    let mut notes = Vec::new();
    match Packages::rpm_digests(image.root, &mut notes) {
        Ok(lines) => {
            let lines = lines.unwrap_or_default();
            for (digest, path) in lines.split(|byte| *byte == b'\n').filter_map(split) {
                add(path.strip_prefix(b"/").unwrap_or(path), digest);
            }
        }
        Err(error) => image.doubt(error.to_string()),
    }
    for note in notes {
        image.note(format!("{note}: its files are taken for the image's own"));
    }
    digests
}

fn lines_of(image: &Image<'_>, file: Option<&Seen<'_>>, bound: usize, mut each: impl FnMut(&[u8])) {
    let bytes = file.and_then(|file| image.read(file, bound));
    for line in bytes.unwrap_or_default().split(|byte| *byte == b'\n') {
        each(line);
    }
}

/// The first word of a line, and what follows the spaces after it.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let (word, rest) = line.split_at(at);
    (!word.is_empty()).then(|| (word, rest.trim_ascii_start()))
}

/// The path where a merged `/usr` has it: databases name `/lib/x` what lies at `/usr/lib/x`.
fn resolve(image: &Image<'_>, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let target = image.get(top).and_then(|link| link.target);
    match (target, path.get(top.len()..)) {
        (Some(target), Some(rest)) if !rest.is_empty() => {
            [target.strip_prefix(b"/").unwrap_or(target), rest].concat()
        }
        _ => path.to_vec(),
    }
}

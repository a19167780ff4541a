//! A bundle of evidence: what changed on a host, for people who write a profile and have no such host.
//!
//! Protects against a file that is sent to others and has a secret in it. It is made of names, numbers and words of a
//! list: nothing that a file of the host holds is copied, but for the fields below of os-release, the file systems of
//! fstab and the versions of packages. Paths go through [`Scrub`].

use std::collections::BTreeMap;

use earmark_manifest::{
    declaration::Lock,
    path::ImagePath,
    profile::{Evidence, Profile},
    verify::VerifiedManifest,
};
use earmark_scan::Root;
use rustix::fs::FileType;
use serde::Serialize;

use super::{Lesson, change::Now, scrub::Scrub};
use crate::{
    exit::Outcome,
    inspect::{packages::Packages, source::Tree},
    io::output::plain,
};

/// Fields of os-release that say which distribution it is. Others may have the name of an image or of a company.
const OS_FIELDS: [&str; 7] = [
    "ID",
    "ID_LIKE",
    "VERSION_ID",
    "VERSION_CODENAME",
    "PLATFORM_ID",
    "VARIANT_ID",
    "SUPPORT_END",
];
/// Ids below it are the distribution's: accounts above may be of people.
const FIRST_PERSON: u32 = 1000;
const TEXT: usize = 1024 * 1024;

/// The document.
#[derive(Debug, Serialize)]
pub struct Bundle {
    /// Kind of the document, for who receives it.
    kind: &'static str,
    earmark: &'static str,
    architecture: &'static str,
    profile: Option<&'static str>,
    /// True, if hosts of the profile's distribution were booted for it.
    profile_is_booted: bool,
    /// Locks that the image leaves open.
    open_locks: Vec<&'static str>,
    os_release: BTreeMap<&'static str, String>,
    /// Version of systemd, if a package of that name is there.
    systemd: Option<String>,
    selinux: Option<String>,
    /// Place and type of each file system in fstab.
    mounts: Vec<(String, String)>,
    changes: Vec<Shown>,
    /// Number of objects that could not be looked at.
    unknown: usize,
    /// Versions by package.
    packages: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// One change that no class of the image allows.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Shown {
    path: String,
    /// In which ways it is not as it was signed.
    kinds: Vec<&'static str>,
    /// The class that `learn` proposes, or why none.
    verdict: String,
    #[serde(flatten)]
    now: Option<Object>,
    package: Option<String>,
    /// Changes that read the same.
    count: usize,
}

/// An object as it is now.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Object {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Octal.
    mode: String,
    owner: String,
    group: String,
    size: u64,
}

impl Bundle {
    /// Of what was learned from `root`, whose tree was `tree` when it was sealed.
    pub fn of(
        root: &Root,
        manifest: &VerifiedManifest,
        tree: &Tree,
        lesson: &Lesson,
    ) -> Outcome<Self> {
        let text = |path: &str| {
            let path = ImagePath::from_absolute(path.as_bytes()).unwrap_or_default();
            let bytes = root.read_opt(&path, TEXT).ok().flatten();
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        let scrub = Scrub::new(&text("/etc/machine-id"), &text("/etc/hostname"));
        let (packages, mut notes) = Packages::read(root, tree)?;
        // A note may have the path of a file that could not be read.
        notes = notes.iter().map(|note| scrub.path(note)).collect();
        let packages = packages.unwrap_or_default();
        let (users, groups) = (ids(&text("/etc/passwd")), ids(&text("/etc/group")));
        let declaration = manifest.declaration();
        let profile = declaration.tree.profile;
        let open = declaration.lockdown.locks().into_iter();
        let mut bundle = Self {
            kind: "earmark-learn-bundle",
            earmark: env!("CARGO_PKG_VERSION"),
            architecture: manifest.statement().image.architecture.name(),
            profile: profile.map(Profile::name),
            profile_is_booted: profile
                .is_some_and(|profile| matches!(profile.evidence(), Ok(Evidence::Booted))),
            open_locks: open
                .filter(|(_, lock)| *lock == Lock::Allow)
                .map(|(name, _)| name.name())
                .collect(),
            os_release: os_release(&[text("/etc/os-release"), text("/usr/lib/os-release")]),
            systemd: packages.versions().get("systemd").cloned(),
            selinux: setting(&text("/etc/selinux/config"), "SELINUX"),
            mounts: mounts(&text("/etc/fstab"), &scrub),
            changes: Vec::new(),
            unknown: lesson.unknown.len(),
            packages: packages.versions().clone(),
            notes,
        };
        for one in &lesson.observed {
            let shown = Shown {
                path: scrub.path(&one.path.to_string()),
                kinds: one.kinds.clone(),
                verdict: scrubbed(&scrub, &lesson.verdict(&one.path.to_string())),
                now: one.now.as_ref().map(|now| Object::of(now, &users, &groups)),
                package: packages.owner(&one.path).map(str::to_owned),
                count: 1,
            };
            bundle.add(shown);
        }
        Ok(bundle)
    }

    /// Number of changes in it.
    pub fn changes(&self) -> usize {
        self.changes.iter().map(|one| one.count).sum()
    }

    /// Paths of one directory of a person's read the same; sizes and modes in it are a person's, too.
    fn add(&mut self, mut shown: Shown) {
        if shown.path.ends_with("/*") {
            shown.now = None;
            shown.package = None;
        }
        let alike = self.changes.iter_mut().rev().find(|one| {
            (&one.path, &one.kinds, &one.verdict, &one.now)
                == (&shown.path, &shown.kinds, &shown.verdict, &shown.now)
        });
        match alike {
            Some(one) => one.count += 1,
            None => self.changes.push(shown),
        }
    }
}

impl Object {
    fn of(now: &Now, users: &BTreeMap<u32, String>, groups: &BTreeMap<u32, String>) -> Self {
        let name = |names: &BTreeMap<u32, String>, id: u32| match names.get(&id) {
            Some(name) if id < FIRST_PERSON => name.clone(),
            _ => id.to_string(),
        };
        Self {
            kind: match now.kind {
                FileType::RegularFile => "file",
                FileType::Directory => "directory",
                FileType::Symlink => "link",
                FileType::Fifo => "fifo",
                FileType::Socket => "socket",
                FileType::CharacterDevice => "character device",
                FileType::BlockDevice => "block device",
                FileType::Unknown => "unknown",
            },
            mode: format!("{:04o}", now.mode),
            owner: name(users, now.owner.0),
            group: name(groups, now.owner.1),
            size: now.size,
        }
    }
}

/// A reason in which another path may stand.
fn scrubbed(scrub: &Scrub, text: &str) -> String {
    let words = text.split(' ').map(|word| {
        if word.starts_with('/') {
            scrub.path(word)
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Names by id, of lines as in passwd and group.
fn ids(text: &str) -> BTreeMap<u32, String> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, plain(name)))
    };
    text.lines().filter_map(line).collect()
}

/// The value of a setting in a file of `KEY=VALUE`.
fn setting(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(name, _)| name.trim() == key)?;
    Some(plain(value.trim().trim_matches(['"', '\''])))
}

/// The fields of the first of these files that is one.
fn os_release(texts: &[String]) -> BTreeMap<&'static str, String> {
    let Some(text) = texts.iter().find(|text| text.contains('=')) else {
        return BTreeMap::new();
    };
    let fields = OS_FIELDS.iter();
    fields
        .filter_map(|key| Some((*key, setting(text, key)?)))
        .collect()
}

/// Place and type of each line of fstab. Devices and options may have names of this host.
fn mounts(text: &str, scrub: &Scrub) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim);
    let line = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        Some((scrub.path(&plain(fields.next()?)), plain(fields.next()?)))
    };
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(line)
        .collect()
}

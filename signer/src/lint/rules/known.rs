//! Rules about what programs are known to leave in an image, by the table of that.

use earmark_manifest::{class::PathClass, path::ImagePath};

use super::{Image, Sink, values};
use crate::lint::{
    finding::Draft,
    image::Seen,
    table::known::{self, Holds, Known},
};

/// State files of some programs are larger than configuration; what is larger than this is a doubt.
const LARGEST: usize = 16 * 1024 * 1024;

/// The key that systemd makes once a host to encrypt credentials with.
pub fn host_secret(image: &Image<'_>, sink: &mut Sink) {
    find("host-secret", image, sink);
}

/// Names by which storage knows a host.
pub fn storage_names(image: &Image<'_>, sink: &mut Sink) {
    find("storage-name", image, sink);
}

/// Credentials of clouds and clusters.
pub fn cloud_credentials(image: &Image<'_>, sink: &mut Sink) {
    find("cloud-credentials", image, sink);
}

/// Tokens for registries of packages and containers.
pub fn registry_tokens(image: &Image<'_>, sink: &mut Sink) {
    find("registry-token", image, sink);
}

/// Passwords that tools keep to send them themselves, and files that open volumes.
pub fn stored_passwords(image: &Image<'_>, sink: &mut Sink) {
    find("stored-password", image, sink);
    volume_keys(image, sink);
}

/// Ids, keys and enrolments of one machine.
pub fn agent_identities(image: &Image<'_>, sink: &mut Sink) {
    find("agent-identity", image, sink);
}

/// Secrets of agents.
pub fn agent_secrets(image: &Image<'_>, sink: &mut Sink) {
    find("agent-secret", image, sink);
}

/// Passwords of package repositories.
pub fn repository_credentials(image: &Image<'_>, sink: &mut Sink) {
    find("repository-credentials", image, sink);
}

/// Adds what the rows of a rule find, each file once.
fn find(rule: &str, image: &Image<'_>, sink: &mut Sink) {
    for row in known::all().filter(|row| row.rule == rule) {
        let files = row.paths.iter().flat_map(|path| image.matching(path));
        for file in files.filter(|file| file.has_content()) {
            let is_said = sink.iter().any(|draft| draft.path == *file.path);
            if is_said {
                continue;
            }
            if let Some(place) = place(image, file, row.holds) {
                sink.push(draft(image, file, row, &place));
            }
        }
    }
}

fn draft(image: &Image<'_>, file: &Seen<'_>, row: &Known, place: &str) -> Draft {
    let mut found = format!("has {}{place}", row.what);
    if !row.fix.is_empty() {
        found.push_str(": ");
        found.push_str(row.fix);
    }
    // Without it, removing the file as asked would end in a violation on each host.
    if row.remade && image.declared.is_some() && image.class_of(file.path) == PathClass::Sealed {
        found.push_str("; the program makes its own: declare the path in [tree]");
    }
    let draft = Draft::new(file.path, found).warns_if(row.warns);
    if row.removed { draft.removed() } else { draft }
}

/// Describes the place of what counts in a file, in words that follow what it is; never the value. `None` if nothing counts.
fn place(image: &Image<'_>, file: &Seen<'_>, holds: Holds) -> Option<String> {
    if holds == Holds::Content {
        return Some(String::new());
    }
    let bytes = image.read(file, LARGEST)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = |number: usize| format!(" (line {number})");
    let named = |(key, number): (&str, usize)| format!(" ('{key}' in line {number})");
    match holds {
        Holds::Content => None,
        Holds::Lines => values::first_line(&text).map(|_| String::new()),
        Holds::Keys(keys) => values::key(&text, keys)
            .map(named)
            .or_else(|| values::userinfo(&text).map(line)),
        Holds::Words(words) => values::word(&text, words).map(named),
        Holds::Marks(marks) => marks
            .iter()
            .any(|mark| text.contains(mark))
            .then(String::new),
        Holds::Userinfo => values::userinfo(&text).map(line),
        Holds::Account => {
            let is_one = |line: &str| line.contains("://") && line.contains('@');
            text.lines().any(is_one).then(String::new)
        }
    }
}

/// Key files that `/etc/crypttab` names, in the image itself (crypttab(5): the third field).
fn volume_keys(image: &Image<'_>, sink: &mut Sink) {
    let table = image.text("etc/crypttab").unwrap_or_default();
    for line in table
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let key = line.split_whitespace().nth(2).unwrap_or_default();
        // A device is no file, and `path:device` is on another file system.
        let Ok(path) = ImagePath::from_absolute(key.as_bytes()) else {
            continue;
        };
        let file = image.get(path.as_bytes());
        if let Some(file) = file.filter(|file| file.has_content()) {
            let found = "has the key of a volume that /etc/crypttab names";
            sink.push(Draft::new(file.path, found));
        }
    }
}

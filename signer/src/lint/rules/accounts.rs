//! Rules about who may log in, and as what.

use std::collections::BTreeSet;

use earmark_manifest::declaration::LockName;

use super::{Image, Sink, path};
use crate::{io::output::plain, lint::finding::Draft};

/// Passwords that open an account.
pub fn passwords(image: &Image<'_>, sink: &mut Sink) {
    let allowed = image.allows(LockName::Accounts);
    for file in ["/etc/passwd", "/etc/shadow"] {
        let text = image.text(file.trim_start_matches('/')).unwrap_or_default();
        for line in text.lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(password)) = (fields.next(), fields.next()) else {
                continue;
            };
            let found = match password {
                "" => "has no password: nobody is asked for one",
                "x" if file == "/etc/passwd" => continue,
                locked if locked.starts_with(['!', '*']) || locked == "x" => continue,
                _ => "has a password, the same on every host",
            };
            let found = format!("account '{}' {found}", plain(name));
            sink.push(Draft::new(&path(file), found).warns_if(allowed));
        }
    }
}

/// Accounts that are root by another name.
pub fn second_root(image: &Image<'_>, sink: &mut Sink) {
    let text = image.text("etc/passwd").unwrap_or_default();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        // Whatever is zero to a program that reads a number: `00`, too.
        let is_root = fields.nth(1).is_some_and(|uid| uid.parse::<u32>() == Ok(0));
        if is_root && (name != "root" || !seen.insert(name)) {
            let found = format!("account '{}' is root by another name", plain(name));
            sink.push(Draft::new(&path("/etc/passwd"), found));
        }
    }
}

/// Finds sudoers that let somebody become root without a password.
pub fn sudoers(image: &Image<'_>, sink: &mut Sink) {
    let directory = image.children("etc/sudoers.d");
    for file in image.get("etc/sudoers").into_iter().chain(directory) {
        let text = image.text_of(file).unwrap_or_default();
        let is_rule = |line: &&str| !line.starts_with('#') && line.contains("NOPASSWD");
        if let Some(line) = text.lines().map(str::trim).find(is_rule) {
            let shown: String = line.chars().take(120).collect();
            sink.push(Draft::new(file.path, format!("says '{}'", plain(&shown))));
        }
    }
}

/// Finds an sshd that takes root with a password.
pub fn root_over_ssh(image: &Image<'_>, sink: &mut Sink) {
    let more = image.children("etc/ssh/sshd_config.d");
    let more = more.filter(|file| file.name().ends_with(b".conf"));
    for file in image.get("etc/ssh/sshd_config").into_iter().chain(more) {
        let text = image.text_of(file).unwrap_or_default().to_ascii_lowercase();
        let says_yes = |line: &str| {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            words.next() == Some("permitrootlogin")
                && words
                    .next()
                    .is_some_and(|value| value.trim_matches('"') == "yes")
        };
        if text.lines().any(says_yes) {
            sink.push(Draft::new(file.path, "says 'PermitRootLogin yes'"));
        }
    }
}

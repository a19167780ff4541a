//! Rules about weak declarations: ways from what is free to change into what is sealed.

use earmark_manifest::{
    class::{PathClass, RuleKind},
    path::ImagePath,
};

use super::{Image, Sink};
use crate::{
    learn::never,
    lint::{finding::Draft, image::Seen},
};

/// Directories of the running kernel's own, where nothing is baked.
const RUNTIME: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

fn is_runtime(path: &ImagePath) -> bool {
    RUNTIME
        .iter()
        .any(|runtime| path.is_beneath(&super::path(runtime)))
}

/// Returns whether objects of this class may change on a running host.
pub fn is_free(class: PathClass) -> bool {
    matches!(
        class,
        PathClass::State | PathClass::Mutable | PathClass::Generated
    )
}

/// `state` over programs.
pub fn executable_state(image: &Image<'_>, sink: &mut Sink) {
    const CODE: [&str; 13] = [
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/lib64",
        "/usr/libexec",
        "/usr/local",
        "/opt",
        "/boot",
        "/etc",
    ];
    if image.declared.is_none() {
        return;
    }
    let is_top = |seen: &&Seen<'_>| {
        seen.class == PathClass::State && !seen.is_beneath_state && !is_runtime(seen.path)
    };
    for seen in image.all().iter().filter(is_top) {
        let is_code = |file: &&Seen<'_>| file.has_content() && file.mode & 0o111 != 0;
        let mut programs = image.beneath(seen.path.as_bytes()).filter(is_code);
        let first = programs.next().or_else(|| Some(seen).filter(is_code));
        let is_place = CODE
            .iter()
            .any(|place| seen.path.is_beneath(&super::path(place)));
        if let Some(first) = first {
            let count = crate::io::output::count(programs.count() + 1, "program", "programs");
            let found = format!("is state, and has {count} in it, such as {}", first.path);
            sink.push(Draft::new(seen.path, found));
        } else if is_place && seen.is_directory() {
            sink.push(Draft::new(
                seen.path,
                "is state, among directories of programs",
            ));
        }
    }
}

/// Rules of the declaration that free programs, and what decides what is started or who gets in.
pub fn freed_code(image: &Image<'_>, sink: &mut Sink) {
    let Some((declared, _)) = image.declared else {
        return;
    };
    for rule in declared.own_rules() {
        let RuleKind::Class(class) = rule.rule.kind else {
            continue;
        };
        let pattern = &rule.rule.pattern;
        // mke2fs makes it on every ext4, for root alone; fsck puts there what has lost its name.
        let is_lost_and_found =
            class == PathClass::State && pattern.to_string().ends_with("/lost+found");
        if !is_free(class) || is_lost_and_found {
            continue;
        }
        if let Some((why, is_error)) = never::is_freed_by(pattern, class == PathClass::State) {
            // The finding is where the rule is about: a waiver names the rule's own pattern.
            let at = ImagePath::from_absolute(pattern.to_string().as_bytes()).unwrap_or_default();
            let draft = Draft::new(&at, format!("is freed by a rule '{class}': {why}"));
            sink.push(draft.warns_if(!is_error));
        }
    }
}

/// Sealed objects that any account may change.
pub fn world_writable(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() {
        return;
    }
    for seen in image
        .all()
        .iter()
        .filter(|seen| seen.class == PathClass::Sealed)
    {
        let is_of_kind = seen.is_file() || seen.is_directory();
        if is_of_kind && seen.mode & 0o002 != 0 {
            // A sticky bit keeps others' files from being removed, and not new ones from being made.
            let found = format!(
                "is sealed, and anybody may write to it: mode {:04o}",
                seen.mode
            );
            sink.push(Draft::new(seen.path, found));
        }
    }
}

/// Set-id programs whose content is not compared.
pub fn set_id(image: &Image<'_>, sink: &mut Sink) {
    let is_set_id = |seen: &&Seen<'_>| seen.is_file() && seen.mode & 0o6000 != 0;
    for seen in image.all().iter().filter(is_set_id) {
        if is_free(seen.class) {
            let found = format!("has mode {:04o}, and is of class {}", seen.mode, seen.class);
            sink.push(Draft::new(seen.path, found));
        }
    }
}

/// Sealed links that lead to what is not.
pub fn links(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() {
        return;
    }
    for seen in image
        .all()
        .iter()
        .filter(|seen| seen.class == PathClass::Sealed)
    {
        let Some(target) = seen.target.and_then(|target| resolve(seen.path, target)) else {
            continue;
        };
        let there = image.get(target.as_bytes()).map(|seen| seen.class);
        let class = there.unwrap_or_else(|| image.class_of(&target));
        if is_free(class) && !is_runtime(&target) {
            let found = format!("is sealed, and leads to {target}, which is of class {class}");
            sink.push(Draft::new(seen.path, found));
        }
    }
}

/// Returns the path that a link leads to, by its text alone: a link on the way is looked at by itself.
fn resolve(link: &ImagePath, target: &[u8]) -> Option<ImagePath> {
    let is_absolute = target.starts_with(b"/");
    let mut at = if is_absolute {
        ImagePath::root()
    } else {
        link.parent()?
    };
    for name in target.split(|byte| *byte == b'/') {
        at = match name {
            b"" | b"." => at,
            b".." => at.parent().unwrap_or_default(),
            name => at.join(name).ok()?,
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_target_resolution_stays_within_root() {
        let link = super::super::path("/usr/lib/x");
        for (target, expected) in [
            ("/var/lib/x", "/var/lib/x"),
            ("../bin/./y", "/usr/bin/y"),
            ("../../../../../etc", "/etc"),
            ("/", "/"),
        ] {
            assert_eq!(
                resolve(&link, target.as_bytes()).unwrap().to_string(),
                expected
            );
        }
    }
}

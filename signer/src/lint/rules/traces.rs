//! Rules about traces that the build left behind.

use super::{Image, Sink, sum};
use crate::lint::{finding::Draft, image::Seen};

/// Logs of the builder.
pub fn logs(image: &Image<'_>, sink: &mut Sink) {
    let logs = image.beneath("var/log").filter(|file| {
        file.has_content() && !file.path.as_bytes().starts_with(b"var/log/journal/")
    });
    for file in logs {
        let draft = Draft::new(file.path, "is a log of the builder's");
        // A service that is to write to it may need the file itself; none needs an old one.
        let draft = if is_rotated(file.name()) {
            draft.removed()
        } else {
            draft.emptied()
        };
        // On a running host the next line is written while this one is removed.
        sink.push(draft.warns_if(image.live));
    }
}

fn is_rotated(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
    matches!(last, b"gz" | b"xz" | b"bz2" | b"zst" | b"old") || is_number
}

/// The journal of the builder.
pub fn journal(image: &Image<'_>, sink: &mut Sink) {
    for directory in image.children("var/log/journal") {
        let draft = Draft::new(directory.path, "is a journal of the builder's");
        sink.push(draft.removed().warns_if(image.live));
    }
}

/// Memory of programs that crashed.
pub fn crashes(image: &Image<'_>, sink: &mut Sink) {
    let directories = [
        "var/crash",
        "var/lib/systemd/coredump",
        "var/lib/systemd/pstore",
        "var/spool/abrt",
    ];
    let kept = directories
        .into_iter()
        .flat_map(|path| image.children(path));
    let is_core = |name: &[u8]| {
        name == b"core"
            || name
                .strip_prefix(b"core.")
                .is_some_and(|pid| pid.iter().all(u8::is_ascii_digit))
    };
    // A core dump in the root itself, or in a home, is what a crashed service or tool leaves.
    let in_root = image
        .all()
        .iter()
        .filter(|seen| !seen.path.as_bytes().contains(&b'/'));
    let in_homes = image
        .homes()
        .iter()
        .flat_map(|home| image.children(home.as_bytes()));
    let cores = in_root
        .chain(in_homes)
        .filter(|seen| seen.has_content() && is_core(seen.name()));
    for seen in kept.chain(cores) {
        sink.push(Draft::new(seen.path, "is what a crashed program left").removed());
    }
}

/// Packer's own files.
pub fn packer(image: &Image<'_>, sink: &mut Sink) {
    for directory in ["tmp", "var/tmp", "root"].into_iter().map(str::to_owned) {
        for seen in image.children(&directory).filter(|seen| is_packer(seen)) {
            let draft = Draft::new(seen.path, "was left by Packer");
            // It may be the very script that runs.
            sink.push(draft.removed().kept_if(image.live));
        }
    }
}

fn is_packer(seen: &Seen<'_>) -> bool {
    let name = seen.name();
    let is_script = name.starts_with(b"script_") && name.ends_with(b".sh");
    is_script || name.starts_with(b"packer-") || name.starts_with(b"packer_")
}

/// All else in the directories for temporary files.
pub fn temporary(image: &Image<'_>, sink: &mut Sink) {
    for directory in ["tmp", "var/tmp"] {
        for seen in image.children(directory).filter(|seen| !is_packer(seen)) {
            let draft = Draft::new(seen.path, "is temporary");
            // On a running host it may be in use: what was measured, or the declaration itself.
            sink.push(draft.removed().kept_if(image.live));
        }
    }
}

/// Mail that was delivered on the builder.
pub fn mail(image: &Image<'_>, sink: &mut Sink) {
    let spools = ["var/mail", "var/spool/mail"].into_iter();
    for file in spools
        .flat_map(|path| image.beneath(path))
        .filter(|file| file.has_content())
    {
        sink.push(Draft::new(file.path, "has mail in it").emptied());
    }
}

/// Memory of the builder that was written to disk.
pub fn swap(image: &Image<'_>, sink: &mut Sink) {
    for path in [
        "swapfile",
        "swap.img",
        "swap",
        "var/swap",
        "var/swapfile",
        "var/swap.img",
        "hiberfil.sys",
    ] {
        if let Some(file) = image.get(path).filter(|file| file.has_content()) {
            let size = crate::io::output::size(file.size);
            sink.push(Draft::new(file.path, format!("is a swap file of {size}")));
        }
    }
}

/// Caches of tools in home directories.
pub fn tool_caches(image: &Image<'_>, sink: &mut Sink) {
    for cache in image.in_homes(&[
        ".cache",
        ".npm/_cacache",
        ".cargo/registry",
        ".bundle/cache",
    ]) {
        let files: Vec<&Seen<'_>> = image.beneath(cache.path.as_bytes()).collect();
        if files.iter().any(|file| file.has_content()) {
            sink.push(Draft::new(cache.path, sum(&files)).removed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_logs_are_distinguished_from_active_logs() {
        for name in [
            "syslog.1",
            "dpkg.log.2.gz",
            "x.zst",
            "y.old",
            "messages-1.xz",
        ] {
            assert!(is_rotated(name.as_bytes()), "{name}");
        }
        for name in ["syslog", "dpkg.log", "lastlog", "wtmp", "log.x1"] {
            assert!(!is_rotated(name.as_bytes()), "{name}");
        }
    }
}

//! Rules about what something of the image, or an account, would do on each host by itself to what was sealed and shut:
//! found before the image is sealed.

use std::{io::Read, os::unix::fs::MetadataExt};

use earmark_manifest::{
    class::PathClass,
    declaration::{Action, LockName},
    path::ImagePath,
};

use super::{Image, Sink, path};
use crate::lint::{finding::Draft, image::Seen};

/// The mark by which `SELinux` labels every file anew at the next boot.
pub fn relabel(image: &Image<'_>, sink: &mut Sink) {
    for name in [".autorelabel", "etc/selinux/.autorelabel"] {
        if let Some(mark) = image.get(name) {
            let found = "has the first boot label every file anew, and is removed by it";
            sink.push(Draft::new(mark.path, found).removed());
        }
    }
}

/// Bytecode that Python takes for older or newer than its source.
pub fn stale_bytecode(image: &Image<'_>, sink: &mut Sink) {
    let is_bytecode = |seen: &&Seen<'_>| {
        seen.class == PathClass::Sealed && seen.is_file() && seen.name().ends_with(b".pyc")
    };
    let mut stale = image
        .all()
        .iter()
        .filter(is_bytecode)
        .filter(|seen| is_stale(image, seen) == Some(true));
    let Some(first) = stale.next() else {
        return;
    };
    let others = match stale.count() {
        0 => String::new(),
        others => format!(" (and {others} more .pyc files)"),
    };
    let found = format!(
        "is not of the time and size of its source{others}: the first Python that root starts writes it anew"
    );
    sink.push(Draft::new(first.path, found));
}

/// Compares the head of a `.pyc` with its source (PEP 552): four bytes each of magic, flags, time and size. `None` if
/// there is nothing to compare: it goes by a hash, or has no source.
fn is_stale(image: &Image<'_>, bytecode: &Seen<'_>) -> Option<bool> {
    let source = image.get(source(bytecode.path.as_bytes())?)?;
    let mut head = [0_u8; 16];
    let (mut file, _) = image.root.open_regular(bytecode.path).ok()?;
    file.read_exact(&mut head).ok()?;
    let [_, flags, time, size] = [0, 4, 8, 12].map(|at| {
        let word = head[at..].first_chunk::<4>();
        word.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    });
    if flags != 0 {
        return None;
    }
    let (source, length) = image.root.open_regular(source.path).ok()?;
    // Python keeps the low 32 bits of either.
    let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).ok();
    let modified = low(source.metadata().ok()?.mtime().cast_unsigned())?;
    Some((time, size) != (modified, low(length)?))
}

/// `a/m.py` of `a/__pycache__/m.cpython-311.pyc`, and of `a/__pycache__/m.cpython-311.opt-1.pyc`.
fn source(bytecode: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytecode).ok()?;
    let (directory, name) = text.rsplit_once("/__pycache__/")?;
    let module = name.split('.').next()?;
    Some(format!("{directory}/{module}.py").into_bytes())
}

/// snapd, where nothing keeps it from writing.
pub fn snapd(image: &Image<'_>, sink: &mut Sink) {
    const RECORD: &str = "/var/lib/snapd/state.json";
    let is_there = image.get("usr/lib/snapd/snapd").is_some();
    let is_masked = |unit: &str| {
        let mask = image.get(format!("etc/systemd/system/{unit}"));
        mask.is_some_and(|mask| mask.target == Some(b"/dev/null".as_slice()))
    };
    let is_kept = is_masked("snapd.service") && is_masked("snapd.socket");
    let at = path(RECORD);
    let is_sealed = image.class_of(&at) == PathClass::Sealed;
    if image.declared.is_some()
        && is_there
        && image.allows(LockName::Packages)
        && !is_kept
        && is_sealed
    {
        sink.push(Draft::new(
            &at,
            "is sealed, and snapd writes it at each start",
        ));
    }
}

/// Places of root's own mounts beneath directories that somebody else may rename, and the mounts with them.
pub fn movable_mounts(image: &Image<'_>, sink: &mut Sink) {
    let Some((declared, _)) = image.declared else {
        return;
    };
    let volumes = declared
        .first_boot
        .iter()
        .filter_map(|step| match &step.action {
            Action::Volume { mount, .. } => Some(mount.clone()),
            Action::Command { .. }
            | Action::File { .. }
            | Action::Hostname { .. }
            | Action::Unit { .. } => None,
        });
    let mut shut = declared.lockdown.shut_locks();
    let writable = shut.remove(&LockName::Filesystems).unwrap_or_default();
    let writable = writable
        .into_iter()
        .filter_map(|text| ImagePath::from_absolute(text.as_bytes()).ok());
    // Root is whoever owns the root directory: that of a test is one, too.
    let owner = image.get("").map_or(0, |root| root.owner.0);
    for at in volumes.chain(writable) {
        let mut above = std::iter::successors(at.parent(), ImagePath::parent);
        let theirs = above.find_map(|path| {
            let seen = image.get(path.as_bytes())?;
            // In a sticky directory only the owner of a name renames it.
            let is_shared = seen.mode & 0o022 != 0 && seen.mode & 0o1000 == 0;
            (seen.owner.0 != owner || is_shared).then(|| seen.path.clone())
        });
        if let Some(theirs) = theirs {
            let found = format!("is mounted, and {theirs} above it is not root's alone");
            sink.push(Draft::new(&at, found));
        }
    }
}

/// Directories that a service needs which `remote_access` leaves open.
pub fn exception_state(image: &Image<'_>, sink: &mut Sink) {
    /// Source: the agent's own documentation of its files, and its packages.
    const NEEDS: [(&str, &str); 1] = [("amazon-ssm-agent", "/var/lib/amazon/ssm")];
    let Some((declared, _)) = image.declared else {
        return;
    };
    let shut = declared.lockdown.shut_locks();
    let except = shut.get(&LockName::RemoteAccess);
    for (word, directory) in NEEDS {
        let at = path(directory);
        let is_allowed = except.is_some_and(|except| except.iter().any(|it| it == word));
        if is_allowed && image.class_of(&at.join(b"ipc").unwrap_or(at.clone())) == PathClass::Sealed
        {
            let found = format!(
                "is sealed, and {word}, which [lockdown] remote_access leaves open, writes there"
            );
            sink.push(Draft::new(&at, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_of_bytecode_is_the_module_beside_its_cache() {
        for (bytecode, expected) in [
            (
                "usr/lib/m/__pycache__/a.cpython-311.pyc",
                Some("usr/lib/m/a.py"),
            ),
            (
                "usr/lib/m/__pycache__/a.cpython-311.opt-1.pyc",
                Some("usr/lib/m/a.py"),
            ),
            ("usr/lib/m/a.pyc", None),
        ] {
            let found = source(bytecode.as_bytes()).map(|path| String::from_utf8(path).unwrap());
            assert_eq!(found.as_deref(), expected, "{bytecode}");
        }
    }
}

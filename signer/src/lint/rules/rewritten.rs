//! Rules about what something of the image, or an account, would do on each host by itself to what was sealed and shut:
//! found before the image is sealed.

use std::{io::Read, os::unix::fs::MetadataExt};

use earmark_manifest::{
    class::PathClass,
    declaration::{Action, LockName},
    path::ImagePath,
};
use earmark_scan::cloud_init;

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

/// A key of cloud-init's configuration, and what cloud-init writes by it.
struct Writes {
    key: &'static str,
    /// Distribution, as os-release names it, on which alone it is written; any, if empty.
    only: &'static str,
    /// Value that is written by without a word about it.
    default: &'static str,
    /// Values with which nothing is written.
    off: &'static [&'static str],
    path: &'static str,
    stop: &'static str,
}

/// Source: the modules `cc_update_etc_hosts`, `cc_apt_configure`, `cc_ssh` and `cc_users_groups` of cloud-init 22.4, 25.1
/// and 26.1, and `10_aws_dnfvars.cfg` of Amazon Linux 2023. Host name, network and host keys are in the profiles.
const WRITES: [Writes; 6] = [
    Writes {
        key: "manage_etc_hosts",
        only: "",
        default: "false",
        off: &["false", "False", "no", "off"],
        path: "/etc/hosts",
        stop: "manage_etc_hosts: false",
    },
    Writes {
        key: "generate_mirrorlists",
        only: "",
        default: "false",
        off: &["false", "False", "no", "off"],
        path: "/etc/apt/mirrors",
        stop: "apt: {generate_mirrorlists: false}",
    },
    Writes {
        key: "allow_public_ssh_keys",
        only: "",
        default: "true",
        off: &["false", "False", "no", "off"],
        path: "/root/.ssh/authorized_keys",
        stop: "allow_public_ssh_keys: false",
    },
    Writes {
        key: "users",
        only: "",
        default: "[]",
        off: &["[]"],
        path: "/etc/passwd",
        stop: "users: []",
    },
    // The mirror of the region that the host is in.
    Writes {
        key: "preserve_sources_list",
        only: "ubuntu",
        default: "false",
        off: &["true", "True", "yes", "on"],
        path: "/etc/apt/sources.list",
        stop: "apt: {preserve_sources_list: true}",
    },
    // The region and the domain of the repositories.
    Writes {
        key: "write_metadata",
        only: "amzn",
        default: "[]",
        off: &["[]"],
        path: "/etc/dnf/vars/awsregion",
        stop: "write_metadata: []",
    },
];
const CLOUD: &str = "etc/cloud/cloud.cfg";
const CLOUD_DIRECTORY: &str = "etc/cloud/cloud.cfg.d";

/// Sealed files that cloud-init writes, by its configuration in the image.
pub fn cloud_init_writes(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() || !matches!(cloud_init::is_present(image.root), Ok(true)) {
        return;
    }
    let configured = image.children(CLOUD_DIRECTORY);
    let configured = configured.filter(|file| file.name().ends_with(b".cfg"));
    let files = image.get(CLOUD).into_iter().chain(configured);
    let texts: Vec<String> = files.filter_map(|file| image.text_of(file)).collect();
    let distribution = distribution(image);
    let rows = WRITES.iter();
    for row in rows.filter(|row| row.only.is_empty() || row.only == distribution) {
        let at = written(image, row.path);
        let values = texts.iter().flat_map(|text| values(text, row.key));
        // cloud-init merges the files in the order of their names: the last one counts.
        let value = values.last().unwrap_or(row.default);
        if row.off.contains(&value) || image.class_of(&at) != PathClass::Sealed {
            continue;
        }
        let found = format!(
            "is sealed, and cloud-init writes it ('{}'); '{}' in a file of {CLOUD_DIRECTORY} stops that",
            row.key, row.stop
        );
        sink.push(Draft::new(&at, found));
    }
}

/// The path that a row is about: Ubuntu's sources are in a file of their own since 24.04.
fn written(image: &Image<'_>, row: &str) -> ImagePath {
    const SOURCES: &str = "/etc/apt/sources.list.d/ubuntu.sources";
    let is_newer = row == "/etc/apt/sources.list" && image.get(&SOURCES[1..]).is_some();
    path(if is_newer { SOURCES } else { row })
}

/// The id of the distribution, as its os-release has it; empty, if there is none.
fn distribution(image: &Image<'_>) -> String {
    let places = ["etc/os-release", "usr/lib/os-release"];
    let text = places.iter().find_map(|place| image.text(place));
    let text = text.unwrap_or_default();
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("ID="));
    let id = ids.next().unwrap_or_default();
    id.trim_matches(['"', '\'']).to_owned()
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

/// The values of a key, read as lines and not as YAML: for the image's own maker, who could only mislead himself.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let value = line.trim_start().strip_prefix(key)?.strip_prefix(':')?;
        let value = value.split(" #").next().unwrap_or(value);
        Some(value.trim())
    })
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

    #[test]
    fn value_of_a_key_is_read_at_any_depth_without_its_comment() {
        let text = "# users: x\nusers:\n - default\napt:\n  generate_mirrorlists: true # why\n";
        assert_eq!(values(text, "users").collect::<Vec<_>>(), [""]);
        assert_eq!(values(text, "generate_mirrorlists").last(), Some("true"));
        assert_eq!(values(text, "apt").last(), Some(""));
        assert_eq!(values(text, "manage_etc_hosts").last(), None);
    }
}

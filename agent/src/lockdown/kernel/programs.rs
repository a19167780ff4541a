//! Programs that the kernel itself starts, as root and outside of every container: whoever names one has it run at
//! the next crash, device or unknown socket. Each has to be what the image's signed files say, what a kernel has by
//! default, or nothing.

use std::collections::BTreeMap;

use earmark_manifest::{
    class::{PathClass, RuleSet},
    path::ImagePath,
};

use rustix::fs::FileType;

use super::{
    super::{
        cause::{Cause, Probe},
        item::{Item, Seen, Strength, Unseen},
        look::{Look, few},
    },
    Found,
};

/// A file that names a program.
struct Knob {
    path: &'static str,
    /// Values that a kernel has by default, on the systems that there are profiles for. An empty value is always right.
    usual: &'static [&'static str],
    /// Value that is written over any other. An empty line removes the program.
    write: &'static str,
}

const NOTHING: &str = "\n";
const KNOBS: &[Knob] = &[
    Knob {
        path: "/proc/sys/kernel/modprobe",
        usual: &["/sbin/modprobe", "/usr/sbin/modprobe"],
        write: "/sbin/modprobe",
    },
    Knob {
        path: CORE_PATTERN,
        usual: &["core", "/dev/null"],
        write: "core",
    },
    // Both are for each event of a device; udev is what is used instead.
    Knob {
        path: "/proc/sys/kernel/hotplug",
        usual: &[],
        write: NOTHING,
    },
    Knob {
        path: "/sys/kernel/uevent_helper",
        usual: &[],
        write: NOTHING,
    },
    Knob {
        path: "/proc/sys/kernel/poweroff_cmd",
        usual: &["/sbin/poweroff", "/usr/sbin/poweroff"],
        write: "/sbin/poweroff",
    },
    Knob {
        path: "/sys/module/nfsd/parameters/cltrack_prog",
        usual: &["/sbin/nfsdcltrack", "/usr/sbin/nfsdcltrack"],
        write: "/sbin/nfsdcltrack",
    },
    Knob {
        path: "/sys/module/nfs/parameters/cache_getent",
        usual: &["/sbin/nfs_cache_getent", "/usr/sbin/nfs_cache_getent"],
        write: "/sbin/nfs_cache_getent",
    },
    Knob {
        path: "/sys/module/drbd/parameters/usermode_helper",
        usual: &["/sbin/drbdadm", "/usr/sbin/drbdadm", "drbdadm", "disabled"],
        write: "disabled",
    },
    Knob {
        path: "/sys/fs/ocfs2/hb_ctl_path",
        usual: &["/sbin/ocfs2_hb_ctl", "/usr/sbin/ocfs2_hb_ctl"],
        write: "/sbin/ocfs2_hb_ctl",
    },
];
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// Programs that take a core dump and do nothing else with what they are told, and which set themselves up: the
/// pattern of systemd's is in `sysctl.d` as well, those of Ubuntu's and Red Hat's are not.
const HANDLERS: [&str; 9] = [
    "/lib/systemd/systemd-coredump",
    "/usr/lib/systemd/systemd-coredump",
    "/usr/share/apport/apport",
    "/usr/libexec/abrt-hook-ccpp",
    "/bin/false",
    "/usr/bin/false",
    "/bin/true",
    "/usr/bin/true",
    "/usr/libexec/systemd-coredump",
];
/// Control groups of the first version run a program when one becomes empty.
const GROUPS: &str = "/sys/fs/cgroup";
/// Hierarchies of control groups that exist, wherever they are mounted: `NUMBER:CONTROLLERS:PATH`.
const HIERARCHIES: &str = "/proc/1/cgroup";
const AGENTS: [&str; 2] = [
    "/lib/systemd/systemd-cgroups-agent",
    "/usr/lib/systemd/systemd-cgroups-agent",
];
/// Directories in which an image sets such a value.
const SYSCTL: [&str; 3] = [
    "/usr/lib/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/etc/sysctl.d",
];
const SYSCTL_FILE: &str = "/etc/sysctl.conf";

/// An item for each file that names a program, and what is to be written where it is not as it should be.
pub(super) fn probe(
    look: &Look<'_>,
    rules: &RuleSet,
) -> Vec<(Item, Option<(String, &'static str)>)> {
    let mut items: Vec<_> = KNOBS
        .iter()
        .map(|knob| {
            let seen = see(look, rules, knob);
            made(knob.path, right(knob), seen, knob.write)
        })
        .collect();
    match hierarchies(look) {
        Ok(names) => items.extend(
            names
                .iter()
                .filter_map(|(name, is_certain)| release_agent(look, name, *is_certain)),
        ),
        // Whatever is in there was not looked at.
        Err(unseen) => {
            items.push(made(
                GROUPS,
                AGENTS.join(" or "),
                Seen::from(unseen),
                NOTHING,
            ));
        }
    }
    items
}

/// The directories of hierarchies of the first version: those in systemd's place, and, as certain, those that the
/// kernel names.
fn hierarchies(look: &Look<'_>) -> Result<BTreeMap<String, bool>, Unseen> {
    let listed = look.list(GROUPS.trim_start_matches('/'))?;
    // A hierarchy is a directory here; the unified one has its own files, which lead nowhere.
    let listed = listed.unwrap_or_default().into_iter();
    let listed = listed.filter(|(_, kind)| *kind == FileType::Directory);
    let mut names: BTreeMap<String, bool> = listed.map(|(name, _)| (name, false)).collect();
    let lines = look.text(HIERARCHIES)?.unwrap_or_default();
    let kernels = lines.lines().filter_map(|line| line.split(':').nth(1));
    let kernels = kernels.filter(|controllers| !controllers.is_empty());
    names.extend(kernels.map(|name| (name.trim_start_matches("name=").to_owned(), true)));
    Ok(names)
}

/// The program of one hierarchy; nothing for a group of the unified one, which has none.
fn release_agent(
    look: &Look<'_>,
    name: &str,
    is_certain: bool,
) -> Option<(Item, Option<(String, &'static str)>)> {
    let path = format!("{GROUPS}/{name}/release_agent");
    let seen = match look.text(&path) {
        Ok(None) if !is_certain => return None,
        // Root mounts one wherever it likes, and its program runs all the same.
        Ok(None) => Seen::from(Unseen::from(format!(
            "the hierarchy '{name}' is not mounted beneath '{GROUPS}', where its program could be seen"
        ))),
        Ok(Some(agent)) if agent.is_empty() || AGENTS.contains(&&*agent) => shut(agent),
        Ok(Some(agent)) => open(&agent),
        Err(unseen) => Seen::from(unseen),
    };
    Some(made(&path, AGENTS.join(" or "), seen, NOTHING))
}

fn made(
    path: &str,
    desired: String,
    seen: Seen,
    write: &'static str,
) -> (Item, Option<(String, &'static str)>) {
    // What could not be looked at is not overwritten: it may be as a sealed file has it.
    let write = matches!(seen, Seen::Open(_)).then(|| (path.to_owned(), write));
    let name = path
        .strip_prefix("/proc/sys/")
        .map(|name| name.replace('/', "."));
    let name = name.unwrap_or_else(|| path.to_owned());
    (
        Item::new(Probe::KernelProgram, name, desired, path, seen),
        write,
    )
}

fn right(knob: &Knob) -> String {
    let nothing = ["nothing"].into_iter();
    let mut words: Vec<&str> = knob.usual.iter().copied().chain(nothing).collect();
    if knob.path.starts_with("/proc/sys/") {
        words.push("as sealed sysctl.d has it");
    }
    words.join(", ")
}

fn see(look: &Look<'_>, rules: &RuleSet, knob: &Knob) -> Seen {
    let value = match super::text_of(look, knob.path) {
        Ok(Found::Value(value)) => value,
        Ok(Found::Nothing) => return Seen::Absent("this kernel does not have it".to_owned()),
        Err(unseen) => return Seen::from(unseen),
    };
    let is_usual = value.is_empty() || knob.usual.contains(&&*value);
    let is_right = is_usual || knob.path == CORE_PATTERN && is_good_pattern(look, rules, &value);
    if is_right {
        return shut(value);
    }
    match configured(look, rules, knob.path) {
        Ok(values) if values.contains(&value) => shut(value),
        Ok(_) => open(&value),
        Err(unseen) => Seen::from(unseen),
    }
}

fn shut(value: String) -> Seen {
    let value = if value.is_empty() {
        "nothing".to_owned()
    } else {
        few(&[value])
    };
    Seen::Shut(Strength::Reversible, value)
}

fn open(value: &str) -> Seen {
    Seen::Open(few(&[value.to_owned()]))
}

/// A file in the directory of who crashes, or in a place that is written anyway; or a known program that is sealed.
fn is_good_pattern(look: &Look<'_>, rules: &RuleSet, pattern: &str) -> bool {
    if let Some(command) = pattern.strip_prefix('|') {
        let program = command.split_ascii_whitespace().next().unwrap_or_default();
        return HANDLERS.contains(&program) && is_sealed_program(look, rules, program);
    }
    // A socket that takes the dump (Linux 6.16).
    if pattern.starts_with('@') || pattern.contains("..") {
        return false;
    }
    if !pattern.contains('/') {
        return true;
    }
    // Only up to the first `%`: the process that crashes chooses what replaces it (`%e` is its name).
    let literal = pattern.split('%').next().unwrap_or_default();
    let directory = literal.rsplit_once('/').map(|(directory, _)| directory);
    let path = directory.and_then(|path| ImagePath::from_absolute(path.as_bytes()).ok());
    // A dump is bytes of the process that crashed: it may lie only where the image expects such.
    path.is_some_and(|path| is_state(rules, &path))
}

/// Returns whether a program is in the sealed tree: nobody but root may write it, and a verification reads its content.
fn is_sealed_program(look: &Look<'_>, rules: &RuleSet, program: &str) -> bool {
    let Ok(Some(reached)) = look.reach(program) else {
        return false;
    };
    let is_roots = reached.kind.is_file() && reached.hands == Cause::Root;
    is_roots && is_sealed(rules, &reached.path)
}

/// Returns whether a file's text is signed: its path, and, where that is a link, what it leads to.
fn is_sealed_text(look: &Look<'_>, rules: &RuleSet, path: &str) -> Result<bool, Unseen> {
    if !is_sealed(rules, path) {
        return Ok(false);
    }
    // The signed link says where it leads, and not what is there: into state, it could be anything.
    match look.reach(path) {
        Ok(reached) => {
            Ok(reached.is_some_and(|it| it.kind.is_file() && is_sealed(rules, &it.path)))
        }
        Err(missed) => Err(missed.why),
    }
}

/// Returns whether a verification compares a path with the signed tree.
fn is_sealed(rules: &RuleSet, path: &str) -> bool {
    ImagePath::from_absolute(path.as_bytes())
        .is_ok_and(|path| rules.class_of(&path) == PathClass::Sealed && !is_state(rules, &path))
}

fn is_state(rules: &RuleSet, path: &ImagePath) -> bool {
    let mut above = std::iter::successors(Some(path.clone()), ImagePath::parent);
    above.any(|path| rules.class_of(&path) == PathClass::State)
}

/// The values that sealed files of `sysctl` give to a setting. Which of them wins is not asked: each is signed.
fn configured(look: &Look<'_>, rules: &RuleSet, path: &str) -> Result<Vec<String>, Unseen> {
    let Some(name) = path.strip_prefix("/proc/sys/") else {
        return Ok(Vec::new());
    };
    let name = name.replace('/', ".");
    let mut values = Vec::new();
    for file in sealed_files(look, rules, &SYSCTL)?
        .into_iter()
        .chain([SYSCTL_FILE.to_owned()])
    {
        if !is_sealed_text(look, rules, &file)? {
            continue;
        }
        let text = look.text_through_links(&file)?.unwrap_or_default();
        for line in text.lines() {
            // A `-` in front has sysctl ignore errors, and is no part of the name (sysctl.d(5)).
            let line = line.trim().trim_start_matches('-');
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if key.trim().replace('/', ".") == name {
                values.push(value.trim().to_owned());
            }
        }
    }
    Ok(values)
}

/// The sealed files for a program's configuration that lie in directories.
pub(super) fn sealed_files(
    look: &Look<'_>,
    rules: &RuleSet,
    directories: &[&str],
) -> Result<Vec<String>, Unseen> {
    let mut files = Vec::new();
    for directory in directories {
        let names = look.list(directory.trim_start_matches('/'))?;
        for (name, _) in names.unwrap_or_default() {
            let path = format!("{directory}/{name}");
            let is_read = name
                .rsplit_once('.')
                .is_some_and(|(_, kind)| kind == "conf");
            if is_read && is_sealed_text(look, rules, &path)? {
                files.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;

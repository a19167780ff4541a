//! The lock `kernel`: no code comes into the kernel, and what would help to get it there is off.
//!
//! Four switches stick: once set, the kernel refuses root, too, until it is booted again. The others
//! root can set back; then the next look finds it. Not here, because workloads of many images need it:
//! user namespaces, `io_uring`. Against a bug in the kernel none of it is a proof.
//!
//! Values are only ever made stricter, never looser than an image or a distribution has them.

mod binfmt;
mod programs;
mod settings;

use earmark_manifest::{class::RuleSet, path::ImagePath};
use earmark_scan::Root;
use rustix::{
    fs::{OFlags, ResolveFlags},
    io::Errno,
};

use self::settings::{MODULES_DISABLED, SETTINGS, Setting};
use super::{
    actions::{LockActions, Target},
    cause::Probe,
    item::{Item, Seen, Strength, Unseen},
    look::Look,
    remote_access,
};
use crate::exec::live;

/// No grant opens it: what the kernel refuses it refuses until the next boot.
pub(super) const LOCK: LockActions = LockActions {
    units: None,
    prepare: None,
    shut: Some(shut),
    open: None,
    probe: |target| match target.declaration.rule_set() {
        Ok(rules) => probe(target.look, &rules, target.except),
        // The declaration was verified, and its rules are a part of it.
        // Should they fail all the same, a lock without items is unknown, never shut.
        Err(_) => Vec::new(),
    },
};

/// There wherever settings can be read at all.
const ANY_SETTING: &str = "/proc/sys/kernel/osrelease";
const SECURITY: &str = "/sys/kernel/security";
/// There wherever `securityfs` is mounted.
const MODULES_OF_SECURITY: &str = "/sys/kernel/security/lsm";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// Not `confidentiality`: root on this host reads every secret of it anyway, and what watches a fleet
/// by BPF or perf would see nothing any more.
const INTEGRITY: &str = "integrity";

/// The settings as they are. `modules` were to be loaded before the door shut; `rules` say which files are signed.
fn probe(look: &Look<'_>, rules: &RuleSet, modules: &[String]) -> Vec<Item> {
    let allowed = modules.iter().map(|name| allowed_module(look, name));
    let programs = programs::probe(look, rules).into_iter();
    SETTINGS
        .iter()
        .map(|setting| setting_item(look, setting))
        .chain([lockdown_item(look)])
        .chain(programs.map(|(item, _)| item))
        .chain([binfmt::probe(look, rules).0])
        .chain(allowed)
        .collect()
}

fn shut(target: &Target<'_>) -> Vec<String> {
    // `sock_diag` for TCP may be a module, loaded at the first question: after `modules_disabled` it never is.
    remote_access::warm_up();
    let root = target.look.root();
    let load = |modules: &[&str]| live::load_modules(root, modules);
    match target.declaration.rule_set() {
        Ok(rules) => apply(root, &rules, target.except, &load),
        Err(error) => vec![error.to_string()],
    }
}

/// Shuts what is open. Modules that are to be there are loaded first, by `load`, and the door for them
/// is shut last. Returns what went wrong; the rest is shut all the same. A second run finds nothing to do.
fn apply(
    root: &Root,
    rules: &RuleSet,
    modules: &[String],
    load: &dyn Fn(&[&str]) -> Vec<String>,
) -> Vec<String> {
    let look = Look::new(root);
    // What loads modules is put right before any is loaded.
    let mut problems = put_right(&look, rules);
    let plan = plan(&look, modules);
    problems.extend(plan.problems);
    // One that could not be loaded leaves no door open: the image has another problem then.
    problems.extend(load(&plan.load));
    for (path, value) in plan.write {
        if let Err(problem) = write(root, path, &value) {
            problems.push(problem);
        }
    }
    problems
}

/// Takes away the programs that the kernel would start and that nothing signed names.
fn put_right(look: &Look<'_>, rules: &RuleSet) -> Vec<String> {
    let programs = programs::probe(look, rules).into_iter();
    let written = programs.filter_map(|(_, write)| write);
    let removed = binfmt::probe(look, rules).1.into_iter();
    // -1 removes a registration. 0 would only disable it, until the next write of 1.
    let all = written.chain(removed.map(|path| (path, "-1")));
    all.filter_map(|(path, value)| write(look.root(), &path, value).err())
        .collect()
}

/// Modules to load and settings to write, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan<'a> {
    load: Vec<&'a str>,
    write: Vec<(&'static str, String)>,
    problems: Vec<String>,
}

fn plan<'a>(look: &Look<'_>, modules: &'a [String]) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut last = None;
    for setting in SETTINGS {
        match found(look, setting) {
            Ok(Found::Value(found)) => {
                let write = setting.right.stricter_than(found);
                let write = write.map(|value| (setting.path, value.to_string()));
                if setting.path == MODULES_DISABLED {
                    // Written after all else: the run after one that was cut short can still load modules.
                    last = write;
                } else {
                    plan.write.extend(write);
                }
            }
            Ok(Found::Nothing) => {}
            Err(unseen) => plan.problems.push(unseen.into()),
        }
    }
    match lockdown(look) {
        // Only from `none`: an image that boots with `confidentiality` keeps it, and the kernel lowers no level.
        Ok(Lockdown::Level(level)) if level == "none" => {
            plan.write.push((LOCKDOWN, INTEGRITY.to_owned()));
        }
        Ok(Lockdown::Level(_) | Lockdown::Nothing) => {}
        Err(unseen) => plan.problems.push(unseen.into()),
    }
    // Once the door is shut nothing can be loaded, and what is built in is not among the modules.
    if last.is_some() {
        let names = modules.iter().map(String::as_str);
        plan.load = names.filter(|name| !is_loaded(look, name)).collect();
    }
    plan.write.extend(last);
    plan
}

/// Value of a setting, if the kernel has the setting.
enum Found<T> {
    Value(T),
    /// This kernel does not have it.
    Nothing,
}

fn found(look: &Look<'_>, setting: &Setting) -> Result<Found<i64>, Unseen> {
    match text_of(look, setting.path)? {
        Found::Value(text) => match text.parse() {
            Ok(value) => Ok(Found::Value(value)),
            Err(_) => Err(format!("'{}' holds no number", setting.path).into()),
        },
        Found::Nothing => Ok(Found::Nothing),
    }
}

fn text_of(look: &Look<'_>, path: &str) -> Result<Found<String>, Unseen> {
    match look.text(path)? {
        Some(text) => Ok(Found::Value(text)),
        // Told apart from a /proc that is missing or covered, in which every setting would seem not to exist.
        None if look.exists(ANY_SETTING)? => Ok(Found::Nothing),
        None => Err("no settings in '/proc/sys'".into()),
    }
}

fn setting_item(look: &Look<'_>, setting: &Setting) -> Item {
    let seen = match found(look, setting) {
        Ok(Found::Value(value)) if setting.right.accepts(value) => {
            // A right value need not stick: `unprivileged_bpf_disabled` holds at 1, and root can set 2 back.
            let strength = if setting.sticks_at == Some(value) {
                Strength::UntilReboot
            } else {
                Strength::Reversible
            };
            Seen::Shut(strength, value.to_string())
        }
        Ok(Found::Value(value)) => Seen::Open(value.to_string()),
        Ok(Found::Nothing) => Seen::Absent("this kernel does not have it".to_owned()),
        Err(unseen) => Seen::from(unseen),
    };
    Item::new(
        Probe::KernelSetting,
        setting.name(),
        setting.right.to_string(),
        setting.path,
        seen,
    )
}

/// The kernel's own lockdown.
enum Lockdown {
    Level(String),
    /// This kernel does not have it, or was booted without it.
    Nothing,
}

fn lockdown(look: &Look<'_>) -> Result<Lockdown, Unseen> {
    let Some(text) = look.text(LOCKDOWN)? else {
        // securityfs has `lsm` with CONFIG_SECURITY: beside it a missing `lockdown` is a kernel without that lock.
        if look.exists(MODULES_OF_SECURITY)? || !look.exists(SECURITY)? {
            return Ok(Lockdown::Nothing);
        }
        return Err(format!("nothing is mounted on '{SECURITY}'").into());
    };
    // The file is there, and takes a level, also in a kernel that was booted without this module: nothing asks for
    // the level then. Only a boot changes that, and the words of a boot are judged by themselves.
    let active = look.text(MODULES_OF_SECURITY)?;
    if active.is_some_and(|active| !active.split(',').any(|name| name == "lockdown")) {
        return Ok(Lockdown::Nothing);
    }
    // All levels, with the one that holds in brackets.
    let level = text
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match level {
        Some(level) => Ok(Lockdown::Level(level.to_owned())),
        None => Err(format!("'{LOCKDOWN}' names no level").into()),
    }
}

fn lockdown_item(look: &Look<'_>) -> Item {
    let seen = match lockdown(look) {
        // It can be raised, and never lowered.
        Ok(Lockdown::Level(level)) if [INTEGRITY, "confidentiality"].contains(&&*level) => {
            Seen::Shut(Strength::UntilReboot, level)
        }
        Ok(Lockdown::Level(level)) => Seen::Open(level),
        Ok(Lockdown::Nothing) => {
            Seen::Absent("not among the security modules of this kernel's boot".to_owned())
        }
        Err(unseen) => Seen::from(unseen),
    };
    let desired = "integrity or confidentiality";
    Item::new(
        Probe::KernelLockdown,
        "kernel lockdown",
        desired,
        LOCKDOWN,
        seen,
    )
}

fn allowed_module(look: &Look<'_>, name: &str) -> Item {
    let found = if is_loaded(look, name) {
        "allowed by the declaration, loaded"
    } else {
        "allowed by the declaration, not among the loaded modules"
    };
    let seen = Seen::Absent(found.to_owned());
    let name = format!("module {name}");
    Item::new(Probe::LeftOpen, name, "loaded before", "/sys/module", seen)
}

fn is_loaded(look: &Look<'_>, name: &str) -> bool {
    // In the kernel a dash and an underscore are the same.
    let path = format!("/sys/module/{}", name.replace('-', "_"));
    // In doubt not loaded: to load a module that is there changes nothing.
    look.exists(&path).unwrap_or(false)
}

/// Writes a value at once, as the kernel wants it, to a file that is there. No link is followed: what is
/// written goes to the kernel, or nowhere.
fn write(root: &Root, path: &str, value: &str) -> Result<(), String> {
    let failed = |errno: Errno| format!("failed to write '{value}' to '{path}': {errno}");
    // Without the slash in front: beneath a descriptor, openat2 refuses an absolute path with EXDEV.
    let place = ImagePath::from_absolute(path.as_bytes());
    let place = place.map_err(|error| format!("'{path}': {error}"))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // No O_CREAT: a missing setting is an error, not a new file in whatever covers /proc.
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file =
        earmark_scan::openat2(root.as_fd(), place.as_bytes(), flags, resolve).map_err(failed)?;
    // A short write is not continued: /proc/sys takes a number in one write at offset 0 (`sysctl_writes_strict`).
    match rustix::io::write(&file, value.as_bytes()).map_err(failed)? {
        written if written == value.len() => Ok(()),
        written => Err(format!(
            "failed to write '{value}' to '{path}': {written} bytes were taken"
        )),
    }
}

#[cfg(test)]
mod tests;

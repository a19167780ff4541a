//! The table of words that matter, each with its reason.

/// A word, or words that begin alike, and what they do.
struct Rule {
    key: Key,
    /// Values with which it does no harm.
    harmless: &'static [&'static str],
    /// What it does, after "a word that".
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Key {
    /// The key as a whole.
    Is(&'static str),
    /// The word as a whole: with a value it is another, such as dracut's `rd.emergency=poweroff`.
    Bare(&'static str),
    /// What it begins with.
    Begins(&'static str),
}

use Key::{Bare, Begins, Is};

const fn rule(key: Key, why: &'static str) -> Rule {
    Rule {
        key,
        harmless: &[],
        why,
    }
}

const fn unless(key: Key, harmless: &'static [&'static str], why: &'static str) -> Rule {
    Rule { key, harmless, why }
}

/// As systemd reads "no".
const NO: &[&str] = &["0", "no", "n", "false", "f", "off"];
/// As systemd reads "yes"; without a value it is yes, too.
const YES: &[&str] = &["", "1", "yes", "y", "true", "t", "on"];
/// The usual names of systemd, by links of the image itself.
const SYSTEMD: &[&str] = &[
    "/sbin/init",
    "/usr/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
];
/// What a boot without the word comes to, too.
const DEFAULT_TARGETS: &[&str] = &["default.target", "graphical.target", "multi-user.target"];

/// A `-` and a `_` in a key are the same, as they are to the kernel and to systemd; here it is `_`.
/// Words for the initrd (`rd.`) are judged by what they are without that prefix.
const RULES: &[Rule] = &[
    unless(
        Is("init"),
        SYSTEMD,
        "starts another first process than systemd",
    ),
    unless(
        Is("rdinit"),
        &["/init"],
        "starts another first process in the initrd",
    ),
    rule(Is("break"), "stops in the initrd for a shell"),
    rule(Is("rdbreak"), "stops in the initrd for a shell"),
    rule(Bare("emergency"), "asks for a shell instead of the system"),
    rule(Bare("_b"), "asks for a shell instead of the system"),
    rule(Bare("rescue"), "asks for a shell instead of the system"),
    rule(Bare("single"), "asks for a shell instead of the system"),
    rule(Bare("_s"), "asks for a shell instead of the system"),
    rule(Bare("s"), "asks for a shell instead of the system"),
    rule(Bare("S"), "asks for a shell instead of the system"),
    rule(Bare("1"), "asks for a shell instead of the system"),
    unless(
        Is("systemd.unit"),
        DEFAULT_TARGETS,
        "starts another unit than the image's default",
    ),
    unless(
        Is("__unit"),
        DEFAULT_TARGETS,
        "starts another unit than the image's default",
    ),
    rule(
        Is("systemd.mask"),
        "keeps a unit of the image from starting",
    ),
    rule(
        Is("systemd.wants"),
        "starts a unit that the image does not start",
    ),
    rule(
        Begins("systemd.run"),
        "runs a command that is not the image's",
    ),
    unless(
        Is("systemd.debug_shell"),
        NO,
        "opens a shell without a login",
    ),
    unless(
        Is("systemd.crash_shell"),
        NO,
        "opens a shell without a login",
    ),
    unless(
        Is("systemd.confirm_spawn"),
        NO,
        "lets somebody at the console skip services",
    ),
    unless(
        Is("systemd.service_watchdogs"),
        YES,
        "turns the watchdogs of services off",
    ),
    rule(
        Is("systemd.setenv"),
        "changes the environment of every service",
    ),
    rule(
        Begins("systemd.set_credential"),
        "hands credentials to services, which can add units, accounts and keys",
    ),
    rule(
        Is("systemd.early_core_pattern"),
        "names a program that the kernel runs when one crashes",
    ),
    rule(
        Begins("cc:"),
        "configures cloud-init, which then runs what it says",
    ),
    rule(
        Is("cloud_config_url"),
        "names a configuration for cloud-init, which then runs what it says",
    ),
    rule(Begins("SYSTEMD_"), "changes the environment of systemd"),
    rule(Begins("LD_"), "changes what the loader does for systemd"),
    rule(
        Begins("GLIBC_TUNABLES"),
        "changes what the C library does for systemd",
    ),
];

/// What a word does that it should not.
pub(super) fn judge(word: &str) -> Option<&'static str> {
    let (key, value) = parts(word);
    let matches = |rule: &&Rule| match rule.key {
        Is(name) => key == name,
        Bare(name) => key == name && !word.contains('='),
        Begins(start) => key.starts_with(start),
    };
    RULES
        .iter()
        .filter(matches)
        .find(|rule| !rule.harmless.contains(&value))
        .map(|rule| rule.why)
}

/// The unit that a word asks the boot to start, if it does.
pub(super) fn target(word: &str) -> Option<String> {
    // The initrd's choice is over by the time that this runs.
    if word.starts_with("rd.") {
        return None;
    }
    let (key, value) = parts(word);
    let unit = match &*key {
        "systemd.unit" | "__unit" => value,
        _ if word.contains('=') => return None,
        "emergency" | "_b" => "emergency.target",
        "rescue" | "single" | "_s" | "s" | "S" | "1" => "rescue.target",
        _ => return None,
    };
    is_unit_name(unit).then(|| unit.to_owned())
}

fn parts(word: &str) -> (String, &str) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let key = key.strip_prefix("rd.").unwrap_or(key);
    (key.replace('-', "_"), value)
}

/// The name becomes a directory's, so that nothing but a unit's name will do.
fn is_unit_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let suffixes = [
        ".target", ".service", ".socket", ".mount", ".path", ".timer", ".slice", ".swap",
    ];
    name.len() <= 200
        && name.bytes().all(is_good)
        && !name.starts_with('.')
        && suffixes.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_that_bypasses_or_weakens_is_found() {
        for word in [
            "init=/bin/sh",
            "init=/lib/systemd/systemd-evil",
            "init",
            "rdinit=/bin/sh",
            "rd.break",
            "rd.break=pre-mount",
            "break=bottom",
            "emergency",
            "rescue",
            "rd.rescue",
            "single",
            "s",
            "S",
            "1",
            "-b",
            "-s",
            "--unit=rescue.target",
            "systemd.unit=sshd.service",
            "rd.systemd.unit=rescue.target",
            "systemd.mask=earmark-verify.service",
            "rd.systemd.mask=x",
            "systemd.wants=debug-shell.service",
            "systemd.run=\"/bin/sh -c x\"",
            "systemd.run-success-action=none",
            "systemd.debug-shell",
            "systemd.debug_shell=1",
            "systemd.debug_shell=ttyS0",
            "systemd.crash_shell=yes",
            "systemd.confirm-spawn=/dev/console",
            "systemd.service_watchdogs=no",
            "systemd.setenv=LD_PRELOAD=/x.so",
            "systemd.set_credential=passwd.hashed-password.root:x",
            "systemd.set_credential_binary=a:b",
            "cc:",
            "cc:{bootcmd:",
            "cloud-config-url=http://192.0.2.1/x",
            "SYSTEMD_UNIT_PATH=/var/lib/x",
            "SYSTEMD_SULOGIN_FORCE=1",
            "LD_PRELOAD=/var/lib/x.so",
            "GLIBC_TUNABLES=glibc.malloc.check=3",
        ] {
            assert!(judge(word).is_some(), "{word}");
        }
    }

    #[test]
    fn the_usual_words_are_left_alone() {
        for word in [
            "BOOT_IMAGE=/boot/vmlinuz",
            "root=UUID=0",
            "ro",
            "rw",
            "quiet",
            "console=ttyS0,115200",
            "init=/sbin/init",
            "init=/usr/lib/systemd/systemd",
            "systemd.unit=multi-user.target",
            "systemd.debug_shell=no",
            "systemd.service_watchdogs",
            "systemd.service_watchdogs=1",
            "systemd.show_status=0",
            "systemd.unified_cgroup_hierarchy=1",
            "rd.luks=0",
            "net.ifnames=0",
            "ds=nocloud",
            "nvme_core.io_timeout=4294967295",
            "selinux=1",
            "initrd=/boot/initrd",
            "3",
            "2",
            "ld_x",
            "rd.emergency=poweroff",
            "rd.shell=0",
            "security=selinux",
            "numa_cma=1:64M",
            "crashkernel=1G-4G:192M",
            "earlyprintk=ttyS0,115200",
            "panic=-1",
            "initcall_debug",
            "breakpoint",
        ] {
            assert_eq!(judge(word), None, "{word}");
        }
    }

    #[test]
    fn what_a_boot_is_asked_to_start_is_a_unit_by_its_name_only() {
        assert_eq!(target("systemd.unit=a.target").unwrap(), "a.target");
        assert_eq!(
            target("--unit=getty@tty1.service").unwrap(),
            "getty@tty1.service"
        );
        assert_eq!(target("-b").unwrap(), "emergency.target");
        assert_eq!(target("S").unwrap(), "rescue.target");
        for word in [
            "systemd.unit=",
            "systemd.unit=../../evil.target",
            "systemd.unit=evil",
            "systemd.unit=.target",
            "rd.systemd.unit=a.target",
            "emergency=poweroff",
            "quiet",
        ] {
            assert_eq!(target(word), None, "{word}");
        }
    }
}

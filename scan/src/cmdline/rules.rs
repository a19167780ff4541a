//! Judges a word by the tables of those that matter and of those that are harmless.

use super::{
    harmful::{Key, RULES, Rule, Values},
    known::{BARE, KNOWN},
};

/// Returns the harm that a word does, if any.
pub(super) fn judge(word: &str) -> Option<&'static str> {
    let (key, value) = parts(word);
    let matches = |rule: &&Rule| match rule.key {
        Key::Is(name) => key == name,
        Key::Bare(name) => key == name && !word.contains('='),
        Key::Begins(start) => key.starts_with(start),
    };
    let harms = |rule: &&Rule| match rule.values {
        Values::Harmless(values) => !values.contains(&value),
        Values::Harmful(values) => {
            value.split(',').any(|part| values.contains(&part)) || values.contains(&value)
        }
    };
    let why = RULES
        .iter()
        .filter(matches)
        .find(harms)
        .map(|rule| rule.why);
    why.or_else(|| by_value(&key, value))
}

/// Returns the harm of a word whose value decides, if any.
fn by_value(key: &str, value: &str) -> Option<&'static str> {
    let is_local = |value: &str| {
        let begins = [
            "UUID=",
            "PARTUUID=",
            "LABEL=",
            "PARTLABEL=",
            "/dev/",
            "block:",
        ];
        // The kernel's and dracut's names for a root on NFS or SMB, on a network block device and in memory look
        // like disks.
        begins.iter().any(|begin| value.starts_with(begin))
            && !["/dev/nfs", "/dev/cifs", "/dev/nbd", "/dev/ram"]
                .iter()
                .any(|other| value.trim_start_matches("block:").starts_with(other))
    };
    match key {
        "root" if !is_local(value) => Some("mounts the root from another source than a disk"),
        "boot" if value != "local" && !is_local(value) => {
            Some("mounts the root from another source than its disk")
        }
        // `ds=nocloud;s=http://…`; a name alone is one of cloud-init's own sources.
        "ds" if !value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            Some("points cloud-init at another data source")
        }
        _ if is_option(key) => {
            Some("hands the first process an option that the image does not give it")
        }
        _ => None,
    }
}

/// Options of systemd as the first process that only say what is logged and shown.
const OPTIONS: [&str; 7] = [
    // Judged by its value, in the table of harm.
    "__unit",
    "__log_color",
    "__log_level",
    "__log_location",
    "__log_target",
    "__log_time",
    "__show_status",
];

/// Tells whether a key is an option of the first process, which `getopt` also takes in part (`--uni`) and,
/// as letters, in one word (`-bs`). Hyphens alone end the kernel's own words.
fn is_option(key: &str) -> bool {
    key.starts_with('_') && !key.bytes().all(|byte| byte == b'_') && !OPTIONS.contains(&key)
}

/// Tells whether `getopt` takes a key for `--unit`: by its beginning, since no other option of systemd
/// begins so.
fn is_unit_option(key: &str) -> bool {
    key.len() > 2 && "__unit".starts_with(key)
}

/// Returns the harm that a line does, wherever in a word it says so, if any.
pub(super) fn judge_line(line: &str) -> Option<&'static str> {
    // cloud-init looks for `cc:` in the line, not for a word, and takes all that follows.
    let mut places = line.match_indices("cc:").map(|(at, _)| at);
    // A set: the same root twice is one root to every reader.
    let roots = line
        .split_ascii_whitespace()
        .filter(|word| word.starts_with("root="))
        .collect::<std::collections::BTreeSet<_>>();
    if places.any(|at| !is_in_hardware_address(line, at)) {
        Some("configures cloud-init, which then runs what it says")
    } else if roots.len() > 1 {
        Some("names a second root: readers differ in which root they use")
    } else {
        None
    }
}

/// Returns whether `cc:` at this place is a byte of an Ethernet address, as in `BOOTIF=` and `ifname=`.
fn is_in_hardware_address(line: &str, at: usize) -> bool {
    let is_address = |start: usize| {
        let text = line
            .get(start..start.saturating_add(17))
            .unwrap_or_default();
        let ends = line.get(start.saturating_add(17)..).is_some_and(|rest| {
            !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == ':')
        });
        ends && text.split(':').count() == 6
            && text
                .split(':')
                .all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    (0..5_usize).any(|byte| {
        at.checked_sub(byte.saturating_mul(3))
            .is_some_and(is_address)
    })
}

/// Returns whether this table knows a word: with a rule, or as harmless.
pub(super) fn is_known(word: &str) -> bool {
    let (key, _) = parts(word);
    if !word.contains('=') {
        // The kernel ends its own words with hyphens.
        let is_end = !word.is_empty() && word.bytes().all(|byte| byte == b'-');
        let is_bare = RULES.iter().any(|rule| match rule.key {
            Key::Bare(name) => key == name,
            Key::Is(_) | Key::Begins(_) => false,
        });
        if is_end || is_bare || BARE.contains(&&*key) {
            return true;
        }
    }
    let has_rule = RULES.iter().any(|rule| match rule.key {
        Key::Is(name) => key == name,
        Key::Bare(_) => false,
        Key::Begins(start) => key.starts_with(start),
    });
    let is_harmless = KNOWN
        .iter()
        .any(|known| key == *known || known.ends_with(['.', '_']) && key.starts_with(known));
    has_rule || is_harmless || OPTIONS.contains(&&*key)
}

/// The unit that a word asks the boot to start, if it does.
pub(super) fn target(word: &str) -> Option<String> {
    // The initrd's choice is over by the time that this runs.
    if word.starts_with("rd.") {
        return None;
    }
    let (key, value) = parts(word);
    let unit = match &*key {
        "systemd.unit" => value,
        key if is_unit_option(key) => value,
        _ if word.contains('=') => return None,
        "emergency" | "_b" => "emergency.target",
        "rescue" | "single" | "_s" | "s" | "S" | "1" => "rescue.target",
        _ => return None,
    };
    is_unit_name(unit).then(|| unit.to_owned())
}

/// The units that the first process' arguments name in words of their own, each after a `--unit`. systemd takes the last.
pub(super) fn targets_of_arguments(arguments: &[String]) -> impl Iterator<Item = &String> {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let is_named = |word: &str| !word.contains('=') && is_unit_option(&parts(word).0);
    let named = pairs.filter(move |(word, _)| is_named(word));
    named
        .map(|(_, unit)| unit)
        .filter(|unit| is_unit_name(unit))
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
    // A file name has at most 255 bytes, and `.requires` is added to this one.
    name.len() <= 200
        && name.bytes().all(is_good)
        && !name.starts_with('.')
        && suffixes.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmdline_words_that_bypass_or_weaken_are_found() {
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
            "container=lxc",
            "PATH=/var/lib/x",
            "PYTHONPATH=/var/lib/x",
            "sysctl.kernel.modprobe=/var/lib/x",
            "sysctl.kernel/core_pattern=|/var/lib/x",
            "selinux=0",
            "enforcing=0",
            "apparmor=0",
            "security=none",
            "lsm=landlock",
            "lockdown=none",
            "module.sig_enforce=0",
            "ima_appraise=log",
            "audit=0",
            "initcall_blacklist=selinux_init",
            "mitigations=off",
            "spectre_v2=off",
            "l1tf=off",
            "pti=off",
            "arm64.nopauth",
            "arm64.nobti",
            "ssbd=force-off",
            "rodata=off",
            "nokaslr",
            "kgdboc=ttyS0",
            "firmware_class.path=/var/lib/x",
            "systemd.volatile",
            "systemd.volatile=overlay",
            "systemd.import_credentials=yes",
            "systemd.machine_id=0123",
            "systemd.mount-extra=/dev/vdb:/usr",
            "systemd.ssh_listen=vsock::22",
            "systemd.pull=tar,machine:x:http://192.0.2.1/x",
            "rd.systemd.pull=raw:x:http://192.0.2.1/x",
            "fstab=no",
            "mount.usr=/dev/vdb",
            "rd.cmdline=ask",
            "rd.shell",
            "rd.live.image",
            "root=live:http://192.0.2.1/x",
            "root=/dev/nfs",
            "root=/dev/cifs",
            "root=block:/dev/nbd0",
            "boot=live",
            "overlayroot=tmpfs",
            "resume=/dev/vdb",
            "modules-load=x",
            "rd.driver.pre=x",
            "dm-mod.create=x",
            "ds=nocloud-net;s=http://192.0.2.1/",
            "ci.ds=NoCloud",
            "cloud-init=disabled",
            "network-config=e30=",
            "url=http://192.0.2.1/x",
        ] {
            assert!(judge(word).is_some(), "{word}");
        }
    }

    #[test]
    fn options_and_bare_words_that_bypass_or_weaken_are_found() {
        for word in [
            "-bs",
            "--unit=rescue.target",
            "--uni=rescue.target",
            "--unit",
            "--u",
            "--crash-shell",
            "--default-standard-output=tty",
            "recovery",
            "norandmaps",
            "dis_ucode_ldr",
            "rd.systemd.break",
            "systemd.factory_reset",
            "rd.overlay",
        ] {
            assert!(judge(word).is_some(), "{word}");
        }
    }

    #[test]
    fn usual_cmdline_words_are_accepted() {
        for word in [
            "BOOT_IMAGE=/boot/vmlinuz",
            "root=UUID=0",
            "ro",
            "rw",
            "--",
            "---",
            "--log-level=debug",
            "--unit=multi-user.target",
            "root=block:/dev/vda1",
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
            "console=ttyAMA0,115200",
            "earlycon=pl011,mmio32,0x9000000",
            "panic=-1",
            "initcall_debug",
            "breakpoint",
            "apparmor=1",
            "mitigations=auto,nosmt",
            "root=PARTUUID=01-02",
            "rd.shell=0",
            "lockdown=integrity",
            "net.ifnames=0",
            "earlyprintk=ttyS0,115200",
            "consoleblank=0",
        ] {
            assert_eq!(judge(word), None, "{word}");
            assert!(
                is_known(word) || !word.contains('=') || word == "ld_x",
                "{word}"
            );
        }
    }

    #[test]
    fn cmdline_word_with_a_value_outside_the_tables_is_unknown() {
        for word in [
            "foo=bar",
            "new.module_parameter=1",
            "x=init=/evil",
            "HOME=/x",
        ] {
            assert_eq!((judge(word), is_known(word)), (None, false), "{word}");
        }
        for word in ["foo", "norndmaps", "systemd.brk"] {
            assert_eq!((judge(word), is_known(word)), (None, false), "{word}");
        }
        for word in ["ro", "quiet", "nosplash", "3", "rd.debug", "console"] {
            assert!(is_known(word), "{word}");
        }
    }

    #[test]
    fn configuration_for_cloud_init_is_found_anywhere_in_a_line() {
        for line in ["ro xcc:{}", "ro x=\"cc: {runcmd: [x]}\" end_cc", "a:cc:{}"] {
            assert!(judge_line(line).is_some(), "{line}");
        }
        for line in [
            "ro BOOTIF=01-aa-bb-cc-dd-ee-ff",
            "ro ifname=eth0:00:11:cc:22:33:44 quiet",
            "ifname=eth0:cc:11:22:33:44:55",
        ] {
            assert_eq!(judge_line(line), None, "{line}");
        }
        assert!(judge_line("ifname=eth0:00:11:cc:22:33:44:cc:{").is_some());
    }

    #[test]
    fn cmdline_with_a_second_different_root_is_found() {
        assert!(judge_line("root=/dev/vda ro root=/dev/vdb").is_some());
        assert_eq!(judge_line("root=/dev/vda ro root=/dev/vda"), None);
    }

    #[test]
    fn cmdline_boot_target_must_be_a_valid_unit_name() {
        assert_eq!(target("systemd.unit=a.target").unwrap(), "a.target");
        assert_eq!(
            target("--unit=getty@tty1.service").unwrap(),
            "getty@tty1.service"
        );
        assert_eq!(target("-b").unwrap(), "emergency.target");
        assert_eq!(target("S").unwrap(), "rescue.target");
        assert_eq!(target("--uni=a.target").unwrap(), "a.target");
        let arguments = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        for (words, units) in [
            (&["splash", "--uni", "a.target"][..], &["a.target"][..]),
            (&["--unit", "a.target", "b.target"], &["a.target"]),
            (
                &["--unit", "a.target", "--u", "b.target"],
                &["a.target", "b.target"],
            ),
            (&["--unit=a.target", "b.target"], &[]),
            (&["--unit"], &[]),
            (&["--unit", "../a.target"], &[]),
        ] {
            let words = arguments(words);
            let found: Vec<&String> = targets_of_arguments(&words).collect();
            assert_eq!(found, units, "{words:?}");
        }
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

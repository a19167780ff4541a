//! The table of words that matter, each with its reason.

/// A word, or words that begin alike, and what they do.
struct Rule {
    key: Key,
    /// Values with which it does no harm, or with which alone it does.
    values: Values,
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

#[derive(Clone, Copy)]
enum Values {
    /// Harm with every value but these.
    Harmless(&'static [&'static str]),
    /// Harm with these values, or any part of one that a comma ends, and no other.
    Harmful(&'static [&'static str]),
}

use Key::{Bare, Begins, Is};

const fn rule(key: Key, why: &'static str) -> Rule {
    Rule {
        key,
        values: Values::Harmless(&[]),
        why,
    }
}

const fn unless(key: Key, harmless: &'static [&'static str], why: &'static str) -> Rule {
    Rule {
        key,
        values: Values::Harmless(harmless),
        why,
    }
}

const fn when(key: Key, harmful: &'static [&'static str], why: &'static str) -> Rule {
    Rule {
        key,
        values: Values::Harmful(harmful),
        why,
    }
}

const ENVIRONMENT: &str = "changes the environment of systemd";
const MITIGATION: &str = "turns a protection against faults of processors off";

/// As systemd reads "no".
const NO: &[&str] = &["0", "no", "n", "false", "f", "off"];
/// As systemd reads "yes"; without a value it is yes, too.
const YES: &[&str] = &["", "1", "yes", "y", "true", "t", "on"];
/// As the kernel reads "yes".
const ON: &[&str] = &["1", "y", "Y", "yes", "on", "true", ""];
/// As the kernel reads "no".
const OFF: &[&str] = &["0", "n", "N", "no", "off", "never", "prctl,off", "false"];
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
    rule(
        Is("url"),
        "names a configuration for cloud-init, which then runs what it says",
    ),
    rule(Begins("ci."), "points cloud-init at another data source"),
    rule(
        Is("network_config"),
        "configures the network through cloud-init",
    ),
    unless(
        Is("cloud_init"),
        &["enabled"],
        "turns cloud-init off, and what the image does with it",
    ),
    rule(
        Is("container"),
        "has the service manager believe that it is in a container",
    ),
    // The kernel hands a word that it does not know to the first process, as its environment.
    rule(Begins("SYSTEMD_"), ENVIRONMENT),
    rule(Is("PATH"), ENVIRONMENT),
    rule(Is("IFS"), ENVIRONMENT),
    rule(Is("ENV"), ENVIRONMENT),
    rule(Is("BASH_ENV"), ENVIRONMENT),
    rule(Begins("PYTHON"), ENVIRONMENT),
    rule(Begins("PERL5"), ENVIRONMENT),
    rule(Begins("LD_"), "changes what the loader does for systemd"),
    rule(
        Begins("GLIBC_TUNABLES"),
        "changes what the C library does for systemd",
    ),
    // systemd.
    unless(
        Is("systemd.volatile"),
        NO,
        "puts the host's state, or the whole root, into memory",
    ),
    unless(
        Is("systemd.import_credentials"),
        NO,
        "takes credentials from the firmware and the boot loader",
    ),
    rule(
        Is("systemd.machine_id"),
        "gives the host another machine id",
    ),
    rule(Is("systemd.hostname"), "gives the host another name"),
    rule(
        Is("systemd.random_seed"),
        "hands the host a random seed that others know",
    ),
    rule(Begins("systemd.clock"), "sets the clock"),
    rule(
        Begins("systemd.condition"),
        "has units start, or not, as if the host were in another state",
    ),
    rule(
        Is("systemd.mount_extra"),
        "mounts what the image does not mount",
    ),
    rule(
        Is("systemd.swap_extra"),
        "adds a swap area that the image does not have",
    ),
    unless(Is("systemd.ssh_auto"), NO, "opens a way in by SSH"),
    rule(Is("systemd.ssh_listen"), "opens a way in by SSH"),
    rule(Begins("systemd.pull"), "downloads an image at boot"),
    unless(Is("fstab"), YES, "mounts nothing of what the image mounts"),
    rule(Begins("mount.usr"), "takes /usr from elsewhere"),
    // The initrd.
    rule(Is("cmdline"), "asks for more words at the console"),
    unless(
        Is("shell"),
        NO,
        "opens a shell in the initrd if something fails",
    ),
    rule(
        Begins("live."),
        "takes the root from another place than its disk",
    ),
    rule(Is("nfsroot"), "takes the root from the network"),
    rule(Is("netroot"), "takes the root from the network"),
    rule(
        Is("loop"),
        "takes the root from a file of another file system",
    ),
    unless(
        Is("overlayroot"),
        &["", "disabled"],
        "puts an overlay over the root",
    ),
    rule(
        Is("dm_mod.create"),
        "makes a device that the image does not have",
    ),
    rule(
        Is("driver.pre"),
        "loads modules that the image does not load",
    ),
    rule(
        Is("driver.post"),
        "loads modules that the image does not load",
    ),
    rule(
        Begins("modules_load"),
        "loads modules that the image does not load",
    ),
    unless(
        Is("resume"),
        &["", "none"],
        "goes on with memory from a disk, in which nothing was verified",
    ),
    // The kernel.
    rule(
        Begins("sysctl."),
        "changes a setting of the kernel before anything is verified",
    ),
    unless(Is("selinux"), ON, "turns SELinux off"),
    unless(Is("enforcing"), ON, "has SELinux report only"),
    unless(Is("autorelabel"), NO, "labels every file anew"),
    unless(Is("apparmor"), ON, "turns AppArmor off"),
    unless(
        Is("security"),
        &["apparmor", "selinux"],
        "chooses another security module",
    ),
    rule(Is("lsm"), "chooses the security modules"),
    unless(
        Is("lockdown"),
        &["integrity", "confidentiality"],
        "takes the kernel's lockdown away",
    ),
    unless(
        Is("module.sig_enforce"),
        ON,
        "lets modules load that nobody signed",
    ),
    unless(
        Is("ima_appraise"),
        &["enforce"],
        "keeps IMA from refusing files",
    ),
    rule(Is("evm"), "has EVM sign whatever is there"),
    unless(Is("audit"), ON, "turns auditing off"),
    rule(
        Is("initcall_blacklist"),
        "keeps a part of the kernel from starting",
    ),
    rule(
        Is("firmware_class.path"),
        "takes firmware from another directory",
    ),
    unless(
        Is("iomem"),
        &["strict"],
        "opens the memory of devices to programs",
    ),
    rule(Begins("kgdb"), "opens a debugger of the kernel"),
    rule(Is("kdb"), "opens a debugger of the kernel"),
    rule(Is("sysrq_always_enabled"), "lets a console end processes"),
    unless(Is("mitigations"), &["auto", "auto,nosmt"], MITIGATION),
    rule(Begins("nospec"), MITIGATION),
    rule(Is("nopti"), MITIGATION),
    rule(Is("nosmep"), MITIGATION),
    rule(Is("nosmap"), MITIGATION),
    when(Is("pti"), OFF, MITIGATION),
    when(Is("kpti"), OFF, MITIGATION),
    when(Begins("spec"), OFF, MITIGATION),
    when(Is("l1tf"), OFF, MITIGATION),
    when(Is("mds"), OFF, MITIGATION),
    when(Is("tsx_async_abort"), OFF, MITIGATION),
    when(Is("retbleed"), OFF, MITIGATION),
    when(Is("srbds"), OFF, MITIGATION),
    when(Is("mmio_stale_data"), OFF, MITIGATION),
    when(Is("gather_data_sampling"), OFF, MITIGATION),
    rule(
        Is("nokaslr"),
        "has the kernel lie where everybody expects it",
    ),
    when(Is("noexec"), OFF, "lets data be executed"),
    when(
        Is("randomize_kstack_offset"),
        OFF,
        "takes a protection of the kernel away",
    ),
    when(
        Is("init_on_alloc"),
        OFF,
        "takes a protection of the kernel away",
    ),
    unless(
        Is("vsyscall"),
        &["none", "xonly"],
        "maps old system calls into every process",
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

/// What some words do is in their value.
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
        begins.iter().any(|begin| value.starts_with(begin))
            && !["/dev/nfs", "/dev/nbd", "/dev/ram"]
                .iter()
                .any(|other| value.starts_with(other))
    };
    match key {
        "root" if !is_local(value) => Some("takes the root from another place than a disk"),
        "boot" if value != "local" && !is_local(value) => {
            Some("takes the root from another place than its disk")
        }
        // `ds=nocloud;s=http://…`; a name alone is one of cloud-init's own sources.
        "ds" if !value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            Some("points cloud-init at another data source")
        }
        _ => None,
    }
}

/// What a line does that it should not, wherever in a word it says so.
pub(super) fn judge_line(line: &str) -> Option<&'static str> {
    // cloud-init looks for `cc:` in the line, not for a word, and takes all that follows.
    let mut places = line.match_indices("cc:").map(|(at, _)| at);
    let roots = line
        .split_ascii_whitespace()
        .filter(|word| word.starts_with("root="))
        .collect::<std::collections::BTreeSet<_>>();
    if places.any(|at| !is_in_hardware_address(line, at)) {
        Some("configures cloud-init, which then runs what it says")
    } else if roots.len() > 1 {
        Some("names a second root: readers differ in which one they take")
    } else {
        None
    }
}

/// Whether `cc:` at this place is a byte of an Ethernet address, as in `BOOTIF=` and `ifname=`.
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

/// Words with a value that do no harm, by what their keys begin with if they end in a dot or an
/// underscore, and as a whole otherwise: what GRUB, Debian, Ubuntu, Amazon Linux and RHEL put on the
/// lines of their cloud images, and settings of devices, of time and of what is shown.
const KNOWN: &[&str] = &[
    "BOOT_IMAGE",
    "BOOTIF",
    "initrd",
    "root",
    "boot",
    "ds",
    "rootfstype",
    "rootdelay",
    "rootwait",
    "console",
    "consoleblank",
    "earlyprintk",
    "earlycon",
    "loglevel",
    "log_buf_len",
    "printk.",
    "ignore_loglevel",
    "fbcon",
    "video",
    "vga",
    "vt.",
    "plymouth.",
    "splash",
    "quiet",
    "debug",
    "net.ifnames",
    "net.naming_scheme",
    "biosdevname",
    "ipv6.disable",
    "ipv6.disable_ipv6",
    "nvme_core.",
    "nvme.",
    "scsi_mod.",
    "libata.",
    "virtio_",
    "ena.",
    "ixgbevf.",
    "xen_blkfront.",
    "xen_netfront.",
    "xen_nopvspin",
    "usbcore.",
    "i8042.",
    "atkbd.",
    "psmouse.",
    "hid.",
    "raid",
    "crashkernel",
    "panic",
    "panic_on_warn",
    "oops",
    "hung_task_panic",
    "softlockup_panic",
    "watchdog",
    "watchdog_thresh",
    "nmi_watchdog",
    "reboot",
    "tsc",
    "clocksource",
    "hpet",
    "lpj",
    "elevator",
    "transparent_hugepage",
    "hugepages",
    "hugepagesz",
    "default_hugepagesz",
    "hugetlb_cma",
    "numa_cma",
    "numa_balancing",
    "cma",
    "swiotlb",
    "memhp_default_state",
    "movable_node",
    "pci",
    "pcie_aspm",
    "pcie_ports",
    "intel_idle.max_cstate",
    "processor.max_cstate",
    "intel_pstate",
    "amd_pstate",
    "cpufreq.default_governor",
    "idle",
    "cpuidle.governor",
    "maxcpus",
    "nr_cpus",
    "possible_cpus",
    "isolcpus",
    "nohz",
    "nohz_full",
    "rcu_nocbs",
    "rcupdate.",
    "rcutree.",
    "irqaffinity",
    "skew_tick",
    "preempt",
    "random.trust_cpu",
    "random.trust_bootloader",
    "rng_core.default_quality",
    "fips",
    "cgroup_enable",
    "cgroup_disable",
    "cgroup_memory",
    "swapaccount",
    "psi",
    "zswap.enabled",
    "fsck.mode",
    "fsck.repair",
    "hibernate",
    "resume_offset",
    "noresume",
    "locale.",
    "vconsole.",
    "udev.",
    "luks",
    "luks.uuid",
    "lvm",
    "lvm.lv",
    "lvm.vg",
    "md",
    "md.uuid",
    "dm",
    "auto",
    "timeout",
    "retry",
    "emergency",
    "debug",
    "memdebug",
    "systemd.show_status",
    "systemd.status_unit_format",
    "systemd.log_",
    "systemd.unified_cgroup_hierarchy",
    "systemd.legacy_systemd_cgroup_controller",
    "systemd.default_device_timeout_sec",
    "systemd.watchdog_sec",
    "systemd.watchdog_pre_sec",
    "systemd.crash_reboot",
    "systemd.crash_chvt",
    "systemd.crash_action",
    "systemd.dump_core",
    "systemd.getty_auto",
    "systemd.gpt_auto",
    "systemd.firstboot",
    "systemd.tty.",
    "systemd.journald.forward_to_console",
    "systemd.journald.max_level_console",
    "systemd.battery_check",
];

/// Whether a word is one that this table knows: with a rule, or as harmless. One without a value is:
/// it switches on what the kernel has, and what could be bad has a rule.
pub(super) fn is_known(word: &str) -> bool {
    if !word.contains('=') {
        return true;
    }
    let (key, _) = parts(word);
    let has_rule = RULES.iter().any(|rule| match rule.key {
        Is(name) => key == name,
        Bare(_) => false,
        Begins(start) => key.starts_with(start),
    });
    let is_harmless = KNOWN
        .iter()
        .any(|known| key == *known || known.ends_with(['.', '_']) && key.starts_with(known));
    has_rule || is_harmless
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
    fn a_word_with_a_value_that_no_table_has_is_not_known() {
        for word in [
            "foo=bar",
            "new.module_parameter=1",
            "x=init=/evil",
            "HOME=/x",
        ] {
            assert_eq!((judge(word), is_known(word)), (None, false), "{word}");
        }
        assert!(is_known("foo"));
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
    fn a_second_root_is_found() {
        assert!(judge_line("root=/dev/vda ro root=/dev/vdb").is_some());
        assert_eq!(judge_line("root=/dev/vda ro root=/dev/vda"), None);
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

//! The words that take away or weaken what an image does at boot, each with its reason.

/// A word, or words that begin alike, and what they do.
pub(super) struct Rule {
    pub key: Key,
    /// Values with which it does no harm, or with which alone it does.
    pub values: Values,
    /// Harm that it does, worded to follow "a word that".
    pub why: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Key {
    /// The key as a whole.
    Is(&'static str),
    /// The word as a whole: with a value it is another, such as dracut's `rd.emergency=poweroff`.
    Bare(&'static str),
    /// The beginning of the key.
    Begins(&'static str),
}

#[derive(Clone, Copy)]
pub(super) enum Values {
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
/// Targets that a boot without the word comes to, too.
const DEFAULT_TARGETS: &[&str] = &["default.target", "graphical.target", "multi-user.target"];

/// A `-` and a `_` in a key are the same, as they are to the kernel and to systemd; here it is `_`.
/// Words for the initrd (`rd.`) are judged by what they are without that prefix.
pub(super) const RULES: &[Rule] = &[
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
    // systemd takes sysvinit's words, too: -b, -s, s, S, single, and the runlevel 1.
    rule(Bare("emergency"), "asks for a shell instead of the system"),
    rule(Bare("_b"), "asks for a shell instead of the system"),
    rule(Bare("rescue"), "asks for a shell instead of the system"),
    rule(Bare("single"), "asks for a shell instead of the system"),
    rule(Bare("_s"), "asks for a shell instead of the system"),
    rule(Bare("s"), "asks for a shell instead of the system"),
    rule(Bare("S"), "asks for a shell instead of the system"),
    rule(Bare("1"), "asks for a shell instead of the system"),
    // Ubuntu's friendly-recovery has a generator that makes it the default target.
    rule(Bare("recovery"), "asks for a shell instead of the system"),
    rule(Is("systemd.break"), "stops the boot for a shell"),
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
    unless(
        Is("systemd.factory_reset"),
        NO,
        "takes the host's data away",
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
    unless(Is("overlay"), NO, "puts an overlay over the root"),
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
    rule(Is("dis_ucode_ldr"), MITIGATION),
    rule(Is("nopku"), MITIGATION),
    rule(
        Is("norandmaps"),
        "has programs lie where everybody expects them",
    ),
    rule(Is("no_hash_pointers"), "shows where the kernel lies"),
    rule(Is("nosmep"), MITIGATION),
    rule(Is("nosmap"), MITIGATION),
    when(Is("pti"), OFF, MITIGATION),
    when(Is("kpti"), OFF, MITIGATION),
    // spectre_v2, spec_store_bypass_disable, spec_rstack_overflow, and those that newer kernels add.
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

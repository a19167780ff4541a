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
const MITIGATION: &str = "turns off a mitigation of processor vulnerabilities";

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
    rule(
        Is("break"),
        "stops the boot in the initrd and opens a shell",
    ),
    rule(
        Is("rdbreak"),
        "stops the boot in the initrd and opens a shell",
    ),
    // systemd takes sysvinit's words, too: -b, -s, s, S, single, and the runlevel 1.
    rule(Bare("emergency"), "starts a shell instead of the system"),
    rule(Bare("_b"), "starts a shell instead of the system"),
    rule(Bare("rescue"), "starts a shell instead of the system"),
    rule(Bare("single"), "starts a shell instead of the system"),
    rule(Bare("_s"), "starts a shell instead of the system"),
    rule(Bare("s"), "starts a shell instead of the system"),
    rule(Bare("S"), "starts a shell instead of the system"),
    rule(Bare("1"), "starts a shell instead of the system"),
    // Ubuntu's friendly-recovery has a generator that makes it the default target.
    rule(Bare("recovery"), "starts a shell instead of the system"),
    rule(Is("systemd.break"), "stops the boot and opens a shell"),
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
        "lets a person at the console skip services",
    ),
    unless(
        Is("systemd.service_watchdogs"),
        YES,
        "turns off the watchdogs of services",
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
        "turns off cloud-init, and what the image does with it",
    ),
    rule(
        Is("container"),
        "makes the service manager assume that it runs in a container",
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
    unless(Is("systemd.factory_reset"), NO, "removes the host's data"),
    rule(Is("systemd.hostname"), "gives the host another name"),
    rule(
        Is("systemd.random_seed"),
        "gives the host a random seed that others know",
    ),
    rule(Begins("systemd.clock"), "sets the clock"),
    rule(
        Begins("systemd.condition"),
        "overrides conditions, so that other units start",
    ),
    rule(
        Is("systemd.mount_extra"),
        "mounts what the image does not mount",
    ),
    rule(
        Is("systemd.swap_extra"),
        "adds a swap area that the image does not have",
    ),
    unless(Is("systemd.ssh_auto"), NO, "opens SSH access"),
    rule(Is("systemd.ssh_listen"), "opens SSH access"),
    rule(Begins("systemd.pull"), "downloads an image at boot"),
    unless(Is("fstab"), YES, "turns off the mounts of the image"),
    rule(Begins("mount.usr"), "mounts /usr from another source"),
    // The initrd.
    rule(Is("cmdline"), "asks for more arguments at the console"),
    unless(
        Is("shell"),
        NO,
        "opens a shell in the initrd if something fails",
    ),
    rule(
        Begins("live."),
        "mounts the root from another source than its disk",
    ),
    rule(Is("nfsroot"), "mounts the root from the network"),
    rule(Is("netroot"), "mounts the root from the network"),
    rule(
        Is("loop"),
        "mounts the root from a file of another file system",
    ),
    unless(
        Is("overlayroot"),
        &["", "disabled"],
        "puts an overlay over the root",
    ),
    unless(Is("overlay"), NO, "puts an overlay over the root"),
    rule(
        Is("dm_mod.create"),
        "creates a device that the image does not have",
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
        "resumes memory from a disk, which was not verified",
    ),
    // The kernel.
    rule(
        Begins("sysctl."),
        "changes a setting of the kernel before anything is verified",
    ),
    unless(Is("selinux"), ON, "turns off SELinux"),
    unless(Is("enforcing"), ON, "makes SELinux permissive"),
    unless(Is("autorelabel"), NO, "relabels every file"),
    unless(Is("apparmor"), ON, "turns off AppArmor"),
    unless(
        Is("security"),
        &["apparmor", "selinux"],
        "chooses another security module",
    ),
    rule(Is("lsm"), "chooses the security modules"),
    unless(
        Is("lockdown"),
        &["integrity", "confidentiality"],
        "turns off the kernel's lockdown",
    ),
    unless(Is("module.sig_enforce"), ON, "allows unsigned modules"),
    unless(
        Is("ima_appraise"),
        &["enforce"],
        "stops IMA from refusing files",
    ),
    rule(Is("evm"), "makes EVM sign files without verification"),
    unless(Is("audit"), ON, "turns off auditing"),
    rule(
        Is("initcall_blacklist"),
        "keeps a part of the kernel from starting",
    ),
    rule(
        Is("firmware_class.path"),
        "loads firmware from another directory",
    ),
    unless(
        Is("iomem"),
        &["strict"],
        "gives programs access to the memory of devices",
    ),
    rule(Begins("kgdb"), "opens a kernel debugger"),
    rule(Is("kdb"), "opens a kernel debugger"),
    rule(Is("sysrq_always_enabled"), "lets a console kill processes"),
    unless(Is("mitigations"), &["auto", "auto,nosmt"], MITIGATION),
    rule(Begins("nospec"), MITIGATION),
    rule(Is("nopti"), MITIGATION),
    rule(Is("dis_ucode_ldr"), MITIGATION),
    rule(Is("nopku"), MITIGATION),
    rule(
        Is("norandmaps"),
        "turns off address randomization of programs",
    ),
    rule(Is("no_hash_pointers"), "reveals addresses of the kernel"),
    rule(Is("nosmep"), MITIGATION),
    rule(Is("nosmap"), MITIGATION),
    when(Is("pti"), OFF, MITIGATION),
    when(Is("kpti"), OFF, MITIGATION),
    // arm64's: nobti, nogcs, nomte, nopauth, and those that newer kernels add (kernel-parameters.txt).
    rule(Begins("arm64.no"), MITIGATION),
    when(Is("ssbd"), &["force-off"], MITIGATION),
    when(Is("rodata"), OFF, "leaves the kernel's code writable"),
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
        "turns off address randomization of the kernel",
    ),
    when(Is("noexec"), OFF, "lets data be executed"),
    when(
        Is("randomize_kstack_offset"),
        OFF,
        "turns off a protection of the kernel",
    ),
    when(
        Is("init_on_alloc"),
        OFF,
        "turns off a protection of the kernel",
    ),
    unless(
        Is("vsyscall"),
        &["none", "xonly"],
        "maps legacy system calls into every process",
    ),
];

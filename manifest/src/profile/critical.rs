//! Critical paths that every image has, whatever follows from its own content.

use super::{Owners, ProfileError, ReasonedRule};
use crate::{
    class::{Pattern, Rule, RuleKind},
    layout,
};

/// Directories and files that the gate `critical` always verifies before a boot goes on: what runs
/// before, or as, the agent, and what runs or configures before a workload may start. Each pattern with
/// its reason. What follows from the image itself is added when it is measured
/// (docs/adr/0015-derived-critical-set.md).
const CRITICAL: &[(&str, &str)] = &[
    ("/boot/**", "kernel, initrd and boot loader"),
    ("/efi/**", "boot loader and unified kernel images"),
    ("/etc/**", "configuration, unit directories and accounts"),
    (
        "/usr/lib/modules/**",
        "the kernel, where distributions keep it there, its modules and their index",
    ),
    (
        "/lib/modules/**",
        "the same, where /lib is no link to /usr/lib",
    ),
    ("/usr/lib/firmware/**", "what drivers load into devices"),
    (
        "/usr/bin/**",
        "programs: scripts and udev start them by name",
    ),
    ("/usr/sbin/**", "programs, PID 1 among them"),
    ("/bin/**", "the same, where /bin is no link to /usr/bin"),
    ("/sbin/**", "the same, where /sbin is no link to /usr/sbin"),
    (
        "/usr/local/bin/**",
        "programs that come first on the search path",
    ),
    (
        "/usr/local/sbin/**",
        "programs that come first on the search path",
    ),
    (
        "/usr/lib/systemd/**",
        "PID 1, its helpers, units, generators and presets",
    ),
    (
        "/lib/systemd/**",
        "the same, where /lib is no link to /usr/lib",
    ),
    ("/usr/local/lib/systemd/**", "units and generators"),
    (
        "/usr/lib/*/lib*.so*",
        "shared libraries, modules of NSS, the loader",
    ),
    ("/usr/lib/*/ld-linux*", "the dynamic loader"),
    ("/usr/lib/lib*.so*", "shared libraries"),
    ("/usr/lib*/ld-linux*", "the dynamic loader"),
    ("/usr/lib64/lib*.so*", "shared libraries"),
    (
        "/usr/local/lib/lib*.so*",
        "shared libraries that come first",
    ),
    ("/lib/*/lib*.so*", "shared libraries, where /lib is no link"),
    (
        "/lib/*/ld-linux*",
        "the dynamic loader, where /lib is no link",
    ),
    (
        "/lib64/lib*.so*",
        "shared libraries, where /lib64 is no link",
    ),
    ("/lib64/ld-linux*", "the dynamic loader"),
    ("/usr/lib/*/systemd/**", "the private libraries of PID 1"),
    ("/usr/lib64/systemd/**", "the private libraries of PID 1"),
    ("/usr/lib/*/security/**", "modules of PAM"),
    ("/usr/lib64/security/**", "modules of PAM"),
    ("/usr/lib/security/**", "modules of PAM"),
    ("/usr/lib/pam.d/**", "configuration of PAM"),
    (
        "/usr/lib/*/gconv/**",
        "modules of the C library for character sets",
    ),
    (
        "/usr/lib64/gconv/**",
        "modules of the C library for character sets",
    ),
    ("/usr/lib/*/ossl-modules/**", "modules of OpenSSL"),
    ("/usr/lib/*/engines-3/**", "modules of OpenSSL"),
    (
        "/usr/lib/*/device-mapper/**",
        "modules of the device mapper's daemon",
    ),
    ("/usr/lib/*/cryptsetup/**", "modules that unlock volumes"),
    ("/usr/lib/*/krb5/**", "modules of Kerberos"),
    ("/usr/lib/*/sasl2/**", "modules of SASL"),
    ("/usr/lib/*/xtables/**", "modules of packet filters"),
    (
        "/usr/lib/locale/**",
        "locales, which each program that has one maps",
    ),
    ("/usr/share/locale/locale.alias", "names of locales"),
    (
        "/usr/share/zoneinfo/**",
        "time zones, which the service manager reads",
    ),
    (
        "/usr/lib/udev/**",
        "rules of udev and their programs, the hardware database",
    ),
    (
        "/lib/udev/**",
        "the same, where /lib is no link to /usr/lib",
    ),
    (
        "/usr/lib/modprobe.d/**",
        "options, aliases and commands of kernel modules",
    ),
    (
        "/lib/modprobe.d/**",
        "the same, where /lib is no link to /usr/lib",
    ),
    (
        "/usr/lib/modules-load.d/**",
        "kernel modules that are loaded at boot",
    ),
    (
        "/usr/lib/depmod.d/**",
        "the order in which kernel modules are found",
    ),
    (
        "/usr/lib/tmpfiles.d/**",
        "files that are made, changed and removed at boot",
    ),
    ("/usr/lib/sysusers.d/**", "accounts that are made at boot"),
    ("/usr/lib/sysctl.d/**", "settings of the kernel"),
    (
        "/usr/lib/binfmt.d/**",
        "interpreters that the kernel starts",
    ),
    (
        "/usr/lib/environment.d/**",
        "the environment of user services",
    ),
    ("/usr/lib/credstore/**", "credentials of services"),
    ("/usr/lib/kernel/**", "what makes boot entries"),
    (
        "/usr/lib/NetworkManager/**",
        "connections, and scripts that these start",
    ),
    ("/usr/lib/netplan/**", "the network, and what generates it"),
    ("/usr/libexec/netplan/**", "what generates the network"),
    (
        "/usr/share/iproute2/**",
        "names of tables and groups of routes",
    ),
    (
        "/usr/lib/iproute2/**",
        "names of tables and groups of routes",
    ),
    ("/usr/share/netplan/**", "what generates the network"),
    ("/usr/lib/dracut/**", "what goes into an initrd"),
    ("/usr/share/initramfs-tools/**", "what goes into an initrd"),
    (
        "/usr/share/dbus-1/**",
        "who may call what, and which services calls start",
    ),
    ("/usr/share/polkit-1/**", "who may do what"),
    ("/usr/share/terminfo/**", "what programs write to a console"),
    ("/usr/lib/terminfo/**", "what programs write to a console"),
    (
        "/usr/share/misc/**",
        "names of devices, for udev and the console",
    ),
    ("/usr/share/apparmor/**", "what confined programs may do"),
    ("/usr/share/selinux/**", "what labelled programs may do"),
    ("/usr/share/crypto-policies/**", "what TLS accepts"),
    (
        "/usr/lib/ssl/**",
        "where OpenSSL looks for keys of authorities",
    ),
    (
        "/usr/share/ca-certificates/**",
        "authorities whose word TLS takes",
    ),
    ("/usr/lib/os-release", "which image this claims to be"),
    (layout::EARMARK_DIR, "the agent's files"),
    ("/usr/lib/earmark/**", "the agent's files"),
];

/// The [`CRITICAL`] patterns as rules.
pub(crate) fn critical_rules() -> Result<Vec<ReasonedRule>, ProfileError> {
    let fail = |problem| ProfileError {
        profile: "critical",
        problem,
    };
    let rules = CRITICAL.iter().map(|(path, reason)| {
        let pattern =
            Pattern::parse(path.as_bytes()).map_err(|error| fail(format!("'{path}': {error}")))?;
        Ok(ReasonedRule {
            rule: Rule::new(RuleKind::Critical, pattern),
            reason: (*reason).to_owned(),
            owners: Owners::default(),
            at: 0,
        })
    });
    rules.collect()
}

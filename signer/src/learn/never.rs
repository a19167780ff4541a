//! Paths that are never proposed, whatever changed in them: possible code, and what decides who gets in.
//!
//! Protects against a person who pastes what a tool prints. The table errs to the side of too much: what it has and
//! should change after all, somebody can class by hand.

use earmark_manifest::{class::Pattern, path::ImagePath};

const PROGRAMS: &str =
    "programs, libraries and what they trust belong to the image: bake the change";
const BOOT: &str = "it decides what boots: bake the change";
const STARTS: &str = "it decides what is started: bake the change";
const ACCOUNTS: &str = "it decides who may log in, and as what";
const LOADED: &str = "it decides what each program or the kernel loads: bake the change";
const BELIEVED: &str = "it decides whom the host believes: bake the change";
const CODE: &str = "by its name it is a unit or code: bake the change";
const REACHED: &str = "it decides what reaches the host: bake the change";
const OWN: &str = "it is Earmark's own";

const PLACES: &[(&str, &str)] = &[
    ("/usr/**", PROGRAMS),
    ("/bin/**", PROGRAMS),
    ("/sbin/**", PROGRAMS),
    ("/lib/**", PROGRAMS),
    ("/lib32/**", PROGRAMS),
    ("/lib64/**", PROGRAMS),
    ("/libx32/**", PROGRAMS),
    ("/boot/**", BOOT),
    ("/efi/**", BOOT),
    ("/etc/default/grub*", BOOT),
    ("/etc/default/grub.d/**", BOOT),
    ("/etc/grub.d/**", BOOT),
    ("/etc/kernel/**", BOOT),
    ("/etc/dracut*", BOOT),
    ("/etc/dracut.conf.d/**", BOOT),
    ("/etc/initramfs-tools/**", BOOT),
    ("/etc/fstab", BOOT),
    ("/etc/crypttab", BOOT),
    ("/etc/systemd/**", STARTS),
    ("/etc/init.d/**", STARTS),
    ("/etc/inittab", STARTS),
    // EnvironmentFile= of most units of the RPM family.
    ("/etc/sysconfig/**", STARTS),
    ("/etc/tuned/**", STARTS),
    // Its macros run commands.
    ("/etc/rpm/**", STARTS),
    // Snaps: what is mounted and started, and the commands of snapd's own record.
    ("/snap/**", STARTS),
    ("/var/lib/snapd/**", STARTS),
    ("/etc/kdump*", BOOT),
    ("/etc/kdump/**", BOOT),
    ("/var/lib/kdump/**", BOOT),
    ("/.autorelabel", LOADED),
    ("/etc/rc*", STARTS),
    ("/etc/rc*/**", STARTS),
    ("/etc/cron*", STARTS),
    ("/etc/cron*/**", STARTS),
    ("/etc/anacrontab", STARTS),
    ("/etc/at.*", STARTS),
    ("/var/spool/cron/**", STARTS),
    ("/var/spool/at/**", STARTS),
    ("/etc/udev/**", STARTS),
    ("/etc/tmpfiles.d/**", STARTS),
    ("/etc/binfmt.d/**", STARTS),
    ("/etc/dbus-1/**", STARTS),
    ("/etc/xdg/**", STARTS),
    ("/etc/logrotate*", STARTS),
    ("/etc/logrotate.d/**", STARTS),
    ("/etc/network/**", STARTS),
    ("/etc/NetworkManager/dispatcher.d/**", STARTS),
    ("/etc/networkd-dispatcher/**", STARTS),
    ("/etc/dhcp/**", STARTS),
    ("/etc/ppp/**", STARTS),
    ("/etc/update-motd.d/**", STARTS),
    ("/etc/cloud/**", STARTS),
    ("/etc/request-key*", STARTS),
    ("/etc/request-key.d/**", STARTS),
    ("/etc/credstore*/**", STARTS),
    ("/etc/repart.d/**", STARTS),
    ("/etc/extensions/**", STARTS),
    ("/var/lib/extensions/**", STARTS),
    ("/var/lib/confexts/**", STARTS),
    ("/var/lib/portables/**", STARTS),
    ("/etc/lvm/**", STARTS),
    ("/etc/mdadm*", STARTS),
    ("/etc/mdadm/**", STARTS),
    ("/etc/multipath.conf", STARTS),
    ("/etc/multipath/conf.d/**", STARTS),
    ("/etc/needrestart/**", STARTS),
    ("/etc/acpi/**", STARTS),
    ("/etc/docker/**", STARTS),
    ("/etc/containerd/**", STARTS),
    ("/etc/containers/**", STARTS),
    ("/etc/cni/**", STARTS),
    ("/etc/kubernetes/manifests/**", STARTS),
    ("/etc/nftables*", REACHED),
    ("/etc/iptables/**", REACHED),
    ("/etc/ufw/**", REACHED),
    ("/etc/firewalld/**", REACHED),
    ("/etc/profile", STARTS),
    ("/etc/profile.d/**", STARTS),
    ("/etc/*bashrc", STARTS),
    ("/etc/zsh*", STARTS),
    ("/etc/zsh/**", STARTS),
    ("/etc/ssh/sshrc", STARTS),
    ("/etc/environment", STARTS),
    ("/etc/environment.d/**", STARTS),
    ("/etc/alternatives/**", STARTS),
    ("/etc/passwd*", ACCOUNTS),
    ("/etc/shadow*", ACCOUNTS),
    ("/etc/group*", ACCOUNTS),
    ("/etc/gshadow*", ACCOUNTS),
    ("/etc/sysusers.d/**", ACCOUNTS),
    ("/etc/subuid*", ACCOUNTS),
    ("/etc/subgid*", ACCOUNTS),
    ("/etc/sudo*", ACCOUNTS),
    ("/etc/sudoers.d/**", ACCOUNTS),
    ("/etc/doas*", ACCOUNTS),
    ("/etc/doas.d/**", ACCOUNTS),
    ("/etc/pam.*", ACCOUNTS),
    ("/etc/pam.d/**", ACCOUNTS),
    ("/etc/security/**", ACCOUNTS),
    ("/etc/polkit-1/**", ACCOUNTS),
    ("/etc/login*", ACCOUNTS),
    ("/etc/nsswitch.conf", ACCOUNTS),
    ("/etc/shells", ACCOUNTS),
    ("/etc/securetty", ACCOUNTS),
    ("/etc/hosts.allow", ACCOUNTS),
    ("/etc/hosts.deny", ACCOUNTS),
    ("/etc/ssh/sshd_config", ACCOUNTS),
    ("/etc/ssh/sshd_config.d/**", ACCOUNTS),
    ("/etc/authselect/**", ACCOUNTS),
    ("/var/lib/authselect/**", ACCOUNTS),
    ("/etc/sssd/**", ACCOUNTS),
    // Its caches say who is who; its krb5.include.d names modules.
    ("/var/lib/sss/**", ACCOUNTS),
    ("/etc/krb5*", ACCOUNTS),
    ("/etc/ld.so.preload", LOADED),
    ("/etc/ld.so.conf", LOADED),
    ("/etc/ld.so.conf.d/**", LOADED),
    ("/etc/modprobe.d/**", LOADED),
    ("/etc/modules*", LOADED),
    ("/etc/modules-load.d/**", LOADED),
    ("/etc/sysctl*", LOADED),
    ("/etc/sysctl.d/**", LOADED),
    ("/etc/selinux/**", LOADED),
    ("/var/lib/selinux/**", LOADED),
    ("/etc/apparmor*", LOADED),
    ("/etc/apparmor.d/**", LOADED),
    ("/etc/ssl/**", BELIEVED),
    ("/etc/pki/**", BELIEVED),
    ("/etc/ca-certificates*", BELIEVED),
    ("/etc/ca-certificates/**", BELIEVED),
    ("/etc/apt/**", BELIEVED),
    ("/etc/yum*", BELIEVED),
    ("/etc/yum.repos.d/**", BELIEVED),
    ("/etc/dnf/**", BELIEVED),
    ("/etc/crypto-policies/**", BELIEVED),
    ("/etc/rhsm/**", BELIEVED),
    ("/etc/earmark/**", OWN),
];

/// Names that let somebody in wherever they are, as whole components.
const NAMES: &[&[u8]] = &[
    b".ssh",
    b"authorized_keys",
    b"authorized_keys2",
    b"authorized_keys.d",
    b".bashrc",
    b".bash_profile",
    b".profile",
    b".zshrc",
    b".rhosts",
    b".shosts",
];

/// Names that end like this are units, or code that an interpreter reads without an executable bit or `#!`.
const ENDINGS: &[&str] = &[
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".target",
    ".desktop",
    ".rules",
    ".sh",
    ".py",
    ".pyc",
    ".pth",
    ".pl",
    ".pm",
    ".rb",
    ".js",
    ".mjs",
    ".lua",
    ".php",
    ".jar",
    ".class",
    ".war",
    ".wasm",
    ".so",
    ".ko",
    ".efi",
];

/// The table, with its patterns parsed.
#[derive(Debug)]
pub struct Never(Vec<(Pattern, &'static str)>);

impl Never {
    /// All of it.
    pub fn new() -> Self {
        let parsed = PLACES
            .iter()
            .map(|(place, why)| Some((Pattern::parse(place.as_bytes()).ok()?, *why)));
        Self(parsed.flatten().collect())
    }

    /// Returns why nothing is proposed for this path; none, if it may be.
    pub fn why(&self, path: &ImagePath) -> Option<&'static str> {
        let mut names = path.as_bytes().split(|byte| *byte == b'/');
        if names.any(|name| NAMES.contains(&name)) {
            return Some(ACCOUNTS);
        }
        let is_code = |ending: &&str| path.as_bytes().ends_with(ending.as_bytes());
        if ENDINGS.iter().any(is_code) {
            return Some(CODE);
        }
        let found = self.0.iter().find(|(place, _)| place.matches(path));
        found.map(|(_, why)| *why)
    }
}

/// Returns why a rule that frees such paths, `state` also all beneath them, is a hole, if it is one. The flag is
/// true, if that is an error and no warning: `state`, a glob, or a path of programs or of what boots.
pub fn is_freed_by(pattern: &Pattern, is_state: bool) -> Option<(&'static str, bool)> {
    // All of /var/lib is data by its name (FHS): a rule over it is no word on the few directories with code in it.
    let is_data = pattern.to_string() == "/var/lib";
    let meets = |place: &Pattern| {
        pattern.may_meet(place)
            || is_state
                && (place.may_lie_beneath(pattern) && !is_data || pattern.may_lie_beneath(place))
    };
    let never = Never::new();
    let is_wide = is_state || pattern.is_glob();
    let text = pattern.to_string();
    let mut names = text.as_bytes().split(|byte| *byte == b'/');
    if names.any(|name| NAMES.contains(&name)) {
        return Some((ACCOUNTS, is_wide));
    }
    let (_, why) = never.0.iter().find(|(place, _)| meets(place))?;
    Some((why, is_wide || [PROGRAMS, BOOT].contains(why)))
}

#[cfg(test)]
mod tests {
    use earmark_manifest::{
        class::{PathClass, RuleKind},
        profile::Profile,
    };

    use super::*;

    /// Data by its format, at a place of code: no other rule of a profile may be at such a place.
    const DATA: [&str; 12] = [
        "/root/.ssh",
        "/boot/grub/grubenv",
        "/boot/grub2/grubenv",
        "/boot/loader/random-seed",
        "/boot/efi/loader/random-seed",
        "/efi/loader/random-seed",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite-shm",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
        "/usr/lib/sysimage/rpm/.rpm.lock",
        "/usr/lib/sysimage/libdnf5/transaction_history.sqlite-shm",
        "/usr/lib/sysimage/libdnf5/transaction_history.sqlite-wal",
        // Where snaps are mounted, and not what is: rules behind it take the links back.
        "/snap/*/*",
    ];

    #[test]
    fn no_profile_frees_a_place_of_code_or_access() {
        for profile in Profile::all() {
            for rule in profile.rules().unwrap() {
                let RuleKind::Class(class) = rule.rule.kind else {
                    continue;
                };
                let pattern = &rule.rule.pattern;
                let is_data = DATA.contains(&pattern.to_string().as_str());
                if class == PathClass::Sealed || is_data {
                    continue;
                }
                let why = is_freed_by(pattern, class == PathClass::State);
                assert_eq!(why, None, "{} {class} {pattern}", profile.name());
            }
        }
        // The control: what a profile had, and must not have.
        for pattern in ["/var/lib/snapd", "/snap", "/var/lib/sss"] {
            let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
            assert!(is_freed_by(&pattern, true).is_some(), "{pattern}");
        }
    }

    #[test]
    fn code_and_access_paths_are_never_proposed() {
        let never = Never::new();
        // A pattern that does not parse would be a hole.
        assert_eq!(never.0.len(), PLACES.len());
        let why = |path: &str| never.why(&ImagePath::from_absolute(path.as_bytes()).unwrap());
        for path in [
            "/usr/share/x",
            "/boot/grub/grub.cfg",
            "/etc/systemd/system/x.service",
            "/etc/systemd/system/multi-user.target.wants/x.service",
            "/etc/rc.local",
            "/etc/rc2.d/S01x",
            "/etc/cron.d/x",
            "/etc/crontab",
            "/etc/passwd",
            "/etc/passwd-",
            "/etc/shadow",
            "/etc/sudoers",
            "/etc/sudoers.d/x",
            "/etc/pam.d/login",
            "/etc/ssh/sshd_config",
            "/etc/ld.so.preload",
            "/etc/profile.d/x.sh",
            "/etc/bash.bashrc",
            "/srv/web/.ssh/config",
            "/opt/web/authorized_keys",
            "/etc/ssh/authorized_keys.d/root",
            "/opt/web/plugin.py",
            "/home/web/.config/systemd/user/x.service",
            "/var/spool/cron/root",
            "/etc/zsh/zshenv",
            "/etc/sysusers.d/x.conf",
            "/etc/request-key.d/x.conf",
            "/etc/credstore.encrypted/x",
            "/var/lib/extensions/x/usr/bin/sh",
            "/etc/docker/daemon.json",
            "/etc/kubernetes/manifests/x.yaml",
            "/etc/nftables.conf",
            "/etc/sysconfig/sshd",
            "/etc/dnf/vars/awsdomain",
            "/etc/crypto-policies/config",
            "/etc/authselect/system-auth",
            "/var/lib/selinux/targeted/active/x",
            "/.autorelabel",
            "/snap/x/current",
            "/var/lib/snapd/state.json",
            "/var/lib/snapd/snaps/x.snap",
            "/var/lib/sss/pubconf/krb5.include.d/x",
        ] {
            assert!(why(path).is_some(), "{path}");
        }
        let freed =
            |pattern: &str| is_freed_by(&Pattern::parse(pattern.as_bytes()).unwrap(), false);
        assert_eq!(freed("/root/.ssh/authorized_keys"), Some((ACCOUNTS, false)));
        assert_eq!(freed("/home/*/.bashrc"), Some((ACCOUNTS, true)));
        assert_eq!(freed("/root/notes"), None);
        for path in [
            "/etc/motd",
            "/etc/resolv.conf",
            "/opt/web/cache",
            "/srv/x",
            "/etc/ssh/moduli",
        ] {
            assert_eq!(why(path), None, "{path}");
        }
    }
}

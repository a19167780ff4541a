//! Paths that are never proposed, whatever changed in them: possible code, and what decides who gets in.
//!
//! Protects against a person who pastes what a tool prints. The table errs to the side of too much: what it has and
//! should change after all, somebody can class by hand.

mod kinds;
mod places;

use earmark_manifest::{class::Pattern, path::ImagePath};

use places::{ACCOUNTS, BOOT, PLACES, PROGRAMS};

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
        let found = self.0.iter().find(|(place, _)| place.matches(path));
        found.map(|(_, why)| *why).or_else(|| kinds::why(path))
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
    if kinds::is_access(pattern.to_string().as_bytes()) {
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
            // Of any program that starts what it is told.
            "/opt/web/cache",
            "/usr/local/etc/x",
            "/etc/monit/monitrc",
            "/etc/monitrc",
            "/etc/supervisor/conf.d/x",
            "/etc/snmp/snmpd.conf",
            "/etc/nagios/nrpe.cfg",
            "/etc/zabbix/zabbix_agentd.d/x",
            "/etc/rsyslog.d/x",
            "/etc/fail2ban/action.d/x",
            "/etc/aliases",
            "/etc/dpkg/dpkg.cfg.d/x",
            "/etc/rpm/macros",
            "/etc/default/x",
            "/etc/sysconfig/x",
            "/etc/gitconfig",
            "/etc/ansible/facts.d/x",
            "/etc/openvpn/client/x",
            "/etc/wireguard/wg0",
            "/etc/letsencrypt/renewal/x",
            "/etc/libvirt/hooks/qemu",
            "/etc/inetd.conf",
            "/etc/crio/x",
            "/etc/acme/acme.conf",
            "/var/lib/dkms/x/source/x",
            "/var/lib/dpkg/info/x.postinst",
            "/var/lib/rancher/k3s/server/manifests/x.yaml",
            "/var/spool/incron/root",
            "/root/.vimrc",
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
            "/var/opt/web/cache",
            "/srv/x",
            "/etc/ssh/moduli",
        ] {
            assert_eq!(why(path), None, "{path}");
        }
    }
}

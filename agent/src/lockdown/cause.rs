//! The one table of everything that a look at the locks looks at, with who can bring it about.
//!
//! A policy of the image (quarantine, power-off) follows only from an item whose cause is root. What an
//! account, any local process or the network can bring about is told and never leads there: whoever could
//! otherwise open a socket could switch a fleet off. `docs/lockdown.md` shows this table, and a test compares
//! the two.

#[cfg(test)]
use earmark_manifest::declaration::LockName;
use serde::{Deserialize, Serialize};

/// The least privilege that can bring an item about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    // The order counts: of two causes, `max` is the one that takes less privilege.
    /// User id 0, or a capability over the host: whoever changed the host.
    Root,
    /// A named account, in what is its own: its home, its login.
    Account,
    /// Any local process, such as a web server's.
    Anybody,
    /// Somebody who only sends packets to this host.
    Network,
}

impl Cause {
    /// Returns whether the policy of the image follows from an item that is open or unknown.
    pub const fn leads_to_policy(self) -> bool {
        match self {
            Self::Root => true,
            // A web server's process that listens at port 2222 would otherwise switch off every host that runs it.
            Self::Account | Self::Anybody | Self::Network => false,
        }
    }

    /// The name in tables and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Account => "account",
            Self::Anybody => "anybody",
            Self::Network => "network",
        }
    }

    /// Returns, in words, the consequence of an item that is open or unknown.
    pub const fn consequence(self) -> &'static str {
        if self.leads_to_policy() {
            "policy"
        } else {
            "told, no policy"
        }
    }
}

macro_rules! probes {
    ($($name:ident [$($lock:ident),*] $item:literal, $looked:literal, $cause:ident, $why:literal;)+) => {
        /// A kind of item: a row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Probe { $($name),+ }

        impl Probe {
            /// The least privilege that can bring an item of this kind about.
            pub const fn cause(self) -> Cause {
                match self { $(Self::$name => Cause::$cause),+ }
            }
        }

        /// Every row of the table.
        #[cfg(test)]
        const TABLE: &[Row] = &[$(Row {
            probe: Probe::$name,
            locks: &[$(LockName::$lock),*],
            item: $item,
            looked_at: $looked,
            why: $why,
        }),+];
    };
}

/// A row of the table, for people.
#[cfg(test)]
struct Row {
    probe: Probe,
    /// The locks that have such items; none for all.
    locks: &'static [LockName],
    item: &'static str,
    looked_at: &'static str,
    why: &'static str,
}

probes! {
    Unit [RemoteAccess, Packages, Schedules]
        "a unit that is to be masked",
        "unit files; control groups of the system's service manager", Root,
        "unit files are root's, and so are the names of control groups outside of those that were handed to a user";
    LeftOpen [RemoteAccess, Filesystems, Kernel]
        "an exception of the declaration",
        "the declaration", Root,
        "signed; never open";
    ConnectProgram [RemoteAccess]
        "keys by ec2-instance-connect",
        "the program that brings keys", Root,
        "beneath `/usr` and `/opt`";
    PortsOfRoot [RemoteAccess]
        "TCP ports, listened at by root",
        "sock_diag: listening sockets, user id 0", Root,
        "the kernel reports the user id outside of user namespaces, and a socket cannot be given to root";
    PortsOfOthers [RemoteAccess]
        "TCP ports, listened at by others",
        "sock_diag: listening sockets, other user ids", Anybody,
        "port 2222 needs no privilege";
    Commands [Packages]
        "commands of package managers",
        "links in `/usr/sbin`, or where that is a link, in `/usr/local/bin`; sudo's search path", Root,
        "root's directories, root's file";
    CrontabsOfRoot [Schedules]
        "crontabs of root",
        "spools of cron, incron, fcron", Root,
        "a table of root's name: `crontab` and `incrontab` write one for root alone";
    CrontabsOfOthers [Schedules]
        "crontabs of others",
        "spools of cron, incron, fcron", Anybody,
        "`crontab` is set-gid: any account, such as a service's";
    JobsOfRoot [Schedules]
        "at jobs of root",
        "spools of at", Root,
        "a job owned by root";
    JobsOfOthers [Schedules]
        "at jobs of others",
        "spools of at", Anybody,
        "`at` is set-uid: any account, such as a service's";
    LingeringRoot [Schedules]
        "lingering root",
        "`/var/lib/systemd/linger`", Root,
        "logind lets nobody else do it for root";
    LingeringOthers [Schedules]
        "lingering users",
        "`/var/lib/systemd/linger`", Account,
        "`loginctl enable-linger` is allowed to each user for themselves";
    Timers [Schedules]
        "timers made at run time",
        "the service manager's directories for such units", Root,
        "root's directories; the service manager asks polkit, which lets root alone";
    Passwords [Accounts]
        "passwords",
        "`/etc/passwd`, `/etc/shadow`", Root,
        "root's files; `passwd` asks for the old password, and there is none";
    UserIds [Accounts]
        "accounts with user id 0",
        "`/etc/passwd`", Root,
        "root's file";
    KeysOfRoot [Accounts]
        "authorized keys, in root's hands",
        "two names in `~/.ssh` of each account", Root,
        "the file and every directory on the way to it are owned by root and writable for nobody else";
    KeysOfAccounts [Accounts]
        "authorized keys, in an account's hands",
        "the same", Account,
        "the file, or a directory on the way to it, is an account's or writable for a group";
    KeysOfAnybody [Accounts]
        "authorized keys, in anybody's hands",
        "the same", Anybody,
        "a directory on the way is writable for all";
    HomesElsewhere [Accounts]
        "homes that are not looked into",
        "the type of the file system, by mount id", Anybody,
        "FUSE, network or automounted: who serves it could hold the look for ever";
    SshdKeys [Accounts]
        "where sshd looks for keys",
        "`/etc/ssh/sshd_config` and what it includes", Root,
        "root's files";
    RoutingRule [Imds]
        "a rule for the metadata service's address",
        "rtnetlink: routing rules", Root,
        "they take `CAP_NET_ADMIN` over the host's network";
    KernelSetting [Kernel]
        "a setting of the kernel",
        "`/proc/sys`", Root,
        "root's files, also for user namespaces";
    KernelLockdown [Kernel]
        "kernel lockdown",
        "`/sys/kernel/security/lockdown`", Root,
        "root's file; it can be raised alone";
    KernelProgram [Kernel]
        "a program that the kernel starts",
        "`kernel.modprobe`, `kernel.core_pattern`, `kernel.hotplug`, `uevent_helper` and the like", Root,
        "root's files; the kernel starts these as root, outside of every container";
    Binfmt [Kernel]
        "interpreters of binfmt_misc",
        "`/proc/sys/fs/binfmt_misc`", Root,
        "registering is root's; a user namespace has a list of its own (Linux 6.7)";
    UserData [CloudInit]
        "user-data",
        "`/etc/cloud`", Root,
        "root's files";
    SealedMount [Filesystems]
        "a sealed path",
        "mounts of PID 1", Root,
        "mounting in the host's namespace takes `CAP_SYS_ADMIN`";
    WritableMount [Filesystems]
        "a mount that is written",
        "mounts of PID 1", Root,
        "likewise";
    CrossingMounts [Filesystems]
        "written and run by two mounts",
        "mounts of PID 1", Root,
        "bind mounts take `CAP_SYS_ADMIN`";
    MountTable [Filesystems]
        "the table of mounts",
        "mounts of PID 1", Root,
        "it cannot be read or understood, but for lines of FUSE";
    MountByAnybody [Filesystems]
        "a mount that a user made",
        "mounts of PID 1: FUSE of another user than root, `user` in `/etc/fstab`, automounts", Anybody,
        "`fusermount` and `mount` are set-uid, and whoever looks at an automount makes it";
    MountAtLogin [Filesystems]
        "the runtime directory of a user",
        "mounts of PID 1: `/run/user/*`", Account,
        "logind mounts it when an account logs in, without `noexec`";
    MountMoved [Filesystems]
        "a mount beneath a directory of an account's",
        "owner and mode of the directories above the mount point", Account,
        "who may write a directory renames what is in it, and root's mounts go along";
    MountsFit [Filesystems]
        "more mounts than fit",
        "mounts of PID 1, up to 8,192", Anybody,
        "users mount FUSE, and requests to a container runtime mount as well; sealed paths are still looked at";
    GroupsFit [RemoteAccess, Packages, Schedules]
        "more control groups than fit",
        "control groups, up to 65,536", Network,
        "a connection or a request can have a unit of its own";
    ListenersFit [RemoteAccess]
        "more listening sockets than fit",
        "sock_diag, for ten seconds", Anybody,
        "a process may listen at many addresses; of root's, what was found until then counts";
    SpoolFit [Schedules]
        "more files in a spool than fit",
        "names in a spool, up to 65,536", Anybody,
        "`at` takes any number of jobs";
    Shortage []
        "any item, for want of memory, descriptors or time",
        "`ENOMEM`, `ENOBUFS`, `EMFILE`, `ENFILE`, `EAGAIN`, `EINTR`, `ETIMEDOUT`", Anybody,
        "any process can use up what all share";
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- the table of probes: begin -->\n";
    const END: &str = "<!-- the table of probes: end -->";

    fn table() -> String {
        let mut text = "| lock | item | looked at | who can | what follows | because |\n\
                        |---|---|---|---|---|---|\n"
            .to_owned();
        for row in TABLE {
            let names = row.locks.iter().map(|lock| format!("`{}`", lock.name()));
            let names = names.collect::<Vec<_>>().join(", ");
            let cause = row.probe.cause();
            text.push_str(&format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                if names.is_empty() { "all" } else { &names },
                row.item,
                row.looked_at,
                cause.name(),
                cause.consequence(),
                row.why,
            ));
        }
        text
    }

    #[test]
    fn lockdown_document_matches_the_table_of_probes() {
        let document = include_str!("../../../docs/lockdown.md");
        let (_, rest) = document.split_once(BEGIN).expect("the table's begin");
        let (shown, _) = rest.split_once(END).expect("the table's end");
        let expected = table();
        assert!(shown == expected, "docs/lockdown.md needs:\n{expected}");
    }

    #[test]
    fn probe_table_covers_every_lock_and_only_root_leads_to_a_policy() {
        for (name, _) in earmark_manifest::declaration::Lockdown::default().locks() {
            let mut rows = TABLE.iter().filter(|row| row.locks.contains(&name));
            assert!(rows.any(|row| row.probe.cause() == Cause::Root), "{name:?}");
        }
        let causes = [Cause::Root, Cause::Account, Cause::Anybody, Cause::Network];
        let leading = causes.iter().filter(|cause| cause.leads_to_policy());
        assert_eq!(leading.collect::<Vec<_>>(), [&Cause::Root]);
        assert!(TABLE.iter().all(|row| !row.why.is_empty()));
    }
}

//! The settings of the kernel, each with what is right on a server and why.

use std::fmt;

/// One number in `/proc/sys`.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its file.
    pub path: &'static str,
    /// Values that are right.
    pub right: Right,
    /// The value that the kernel lets nobody change until it is booted again.
    pub sticks_at: Option<i64>,
}

/// Values of a setting that are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// This one or a larger one.
    AtLeast(i64),
    /// This one alone.
    Only(i64),
    /// The first is written; the second is as it should be, too.
    Either(i64, i64),
}

pub(super) const MODULES_DISABLED: &str = "/proc/sys/kernel/modules_disabled";

/// All of them.
pub(super) const SETTINGS: &[Setting] = &[
    // Who loads a module is the kernel.
    sticky(MODULES_DISABLED, Right::AtLeast(1), 1),
    // Another kernel would have none of these locks.
    sticky("/proc/sys/kernel/kexec_load_disabled", Right::AtLeast(1), 1),
    // 2: only who has CAP_SYS_PTRACE may attach. Nobody debugs as an ordinary user on a server, and the
    // holes in ptrace itself (CVE-2019-13272) are shut, too, which 1 leaves to children. Not 3, which
    // sticks and takes pidfd_getfd and crash handlers from root's container runtimes and workloads.
    sticky("/proc/sys/kernel/yama/ptrace_scope", Right::AtLeast(2), 3),
    // Most bugs of the BPF verifier were for those who may load a program at all. 2 is off as well, but
    // can be set back; 1 sticks.
    sticky(
        "/proc/sys/kernel/unprivileged_bpf_disabled",
        Right::Either(1, 2),
        1,
    ),
    // What BPF compiles is blinded, so that no program can plant instructions by its constants. 1 is
    // for programs of ordinary users, and 2, for all, costs packet filters a tenth of their speed.
    plain("/proc/sys/net/core/bpf_jit_harden", Right::AtLeast(1)),
    // Holding a fault open in user space makes races in the kernel easy to win.
    plain("/proc/sys/vm/unprivileged_userfaultfd", Right::Only(0)),
    // Addresses in the kernel's log, and those in /proc, tell an exploit where to go. 2 hides them from
    // root's programs as well.
    plain("/proc/sys/kernel/dmesg_restrict", Right::AtLeast(1)),
    plain("/proc/sys/kernel/kptr_restrict", Right::AtLeast(2)),
    // 1 leaves out the heap (brk).
    plain("/proc/sys/kernel/randomize_va_space", Right::AtLeast(2)),
    // 3 is "not at all, for ordinary users" where a distribution knows it, and 2 elsewhere.
    plain("/proc/sys/kernel/perf_event_paranoid", Right::AtLeast(3)),
    // From a serial console nobody shall kill, remount or restart by a key.
    plain("/proc/sys/kernel/sysrq", Right::Only(0)),
    // A user could load a line discipline's module, or type into another's terminal.
    plain("/proc/sys/dev/tty/ldisc_autoload", Right::Only(0)),
    plain("/proc/sys/dev/tty/legacy_tiocsti", Right::Only(0)),
    // Links and files that somebody planted in a directory for all, such as /tmp. 2 covers directories
    // that a group may write, too.
    plain("/proc/sys/fs/protected_hardlinks", Right::AtLeast(1)),
    plain("/proc/sys/fs/protected_symlinks", Right::AtLeast(1)),
    plain("/proc/sys/fs/protected_fifos", Right::AtLeast(2)),
    plain("/proc/sys/fs/protected_regular", Right::AtLeast(2)),
    // The memory of a program that had root's rights does not become a file.
    plain("/proc/sys/fs/suid_dumpable", Right::Only(0)),
];

const fn plain(path: &'static str, right: Right) -> Setting {
    Setting {
        path,
        right,
        sticks_at: None,
    }
}

const fn sticky(path: &'static str, right: Right, at: i64) -> Setting {
    Setting {
        path,
        right,
        sticks_at: Some(at),
    }
}

impl Setting {
    /// As `sysctl` spells it.
    pub fn name(&self) -> String {
        let name = self.path.strip_prefix("/proc/sys/").unwrap_or(self.path);
        name.replace('/', ".")
    }
}

impl Right {
    /// Returns whether a value is right.
    pub fn accepts(self, found: i64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::Only(one) => found == one,
            Self::Either(best, other) => found == best || found == other,
        }
    }

    /// Returns the value to write over `found`; `None` if there is nothing stricter.
    pub fn stricter_than(self, found: i64) -> Option<i64> {
        match self {
            Self::AtLeast(least) => (found < least).then_some(least),
            // Also over the other right value: of the two only the first sticks.
            Self::Only(best) | Self::Either(best, _) => (found != best).then_some(best),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "{least} or more"),
            Self::Only(one) => write!(f, "{one}"),
            Self::Either(best, other) => write!(f, "{best} or {other}"),
        }
    }
}

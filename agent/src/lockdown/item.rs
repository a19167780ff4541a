//! Measured items of a lock, and the lock that its items make.

use earmark_manifest::declaration::{Lock, LockName};
use rustix::io::Errno;
use serde::Serialize;

use super::cause::{Cause, Probe};
use crate::status::model::{DeclaredLock, LockState};

/// Strength of the enforcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The kernel refuses root, too, as long as this boot lasts.
    UntilReboot,
    /// Root can undo it; then it is found at the next look.
    Reversible,
}

/// One thing that a lock shuts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Such as `kernel.kexec_load_disabled` or `ssh.service`.
    pub name: String,
    /// Measured state.
    pub state: LockState,
    /// Strength of the enforcement; `None` unless the item is enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// Value that is right, such as `1` or `masked`.
    pub desired: String,
    /// Value that was found, or why it could not be looked at.
    pub found: String,
    /// Source of the measurement, such as `/proc/sys/kernel/kexec_load_disabled`.
    pub probe: String,
    /// The least privilege that can bring about what was found, if that is open or unknown.
    pub cause: Cause,
}

/// Observation of an item by a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Shut, and how strongly.
    Shut(Strength, String),
    /// Open.
    Open(String),
    /// There is no such thing here.
    Absent(String),
    /// It could not be looked at, and why.
    Hidden(String),
    /// It could not be looked at, or not to its end, because of this, and why.
    Unfit(Probe, String),
}

/// The reason why something could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// Whoever can bring the item about can bring this about, too.
    Hidden(String),
    /// There is too much of it, or too little to look with: this row says who can bring that about.
    Unfit(Probe, String),
}

impl Unseen {
    /// The error of a system call. A shortage of what all processes share is nobody's doing in particular.
    pub fn errno(errno: Errno, text: String) -> Self {
        // Any process can cause these (forks, open files up to `fs.file-max`): as root's they would halt a host.
        let is_shortage = [
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::MFILE,
            Errno::NFILE,
            Errno::AGAIN,
            Errno::INTR,
            Errno::TIMEDOUT,
            // More names in a directory than are listed: scopes of logins lie among the units.
            Errno::OVERFLOW,
        ]
        .contains(&errno);
        if is_shortage {
            Self::Unfit(Probe::Shortage, text)
        } else {
            Self::Hidden(text)
        }
    }

    /// The same for an error that knows what it is about.
    pub fn io(error: &std::io::Error, text: String) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::errno(errno, text),
            // Without a number it is a refusal of this program (no regular file, too large), not a shortage.
            None => Self::Hidden(text),
        }
    }

    /// The reason in words.
    pub fn text(&self) -> &str {
        match self {
            Self::Hidden(text) | Self::Unfit(_, text) => text,
        }
    }
}

impl From<String> for Unseen {
    fn from(text: String) -> Self {
        // The strict default: an unsorted reason has the cause of the item itself, which mostly is root.
        Self::Hidden(text)
    }
}

impl From<&str> for Unseen {
    fn from(text: &str) -> Self {
        Self::Hidden(text.to_owned())
    }
}

/// For whoever only wants to say what went wrong.
impl From<Unseen> for String {
    fn from(unseen: Unseen) -> Self {
        unseen.text().to_owned()
    }
}

impl From<Unseen> for Seen {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Hidden(text) => Self::Hidden(text),
            Unseen::Unfit(probe, text) => Self::Unfit(probe, text),
        }
    }
}

impl Item {
    /// Creates an item of a row of the table with the observed value.
    pub fn new(
        row: Probe,
        name: impl Into<String>,
        desired: impl Into<String>,
        probe: impl Into<String>,
        seen: Seen,
    ) -> Self {
        let (state, strength, found, row) = match seen {
            Seen::Shut(strength, found) => (LockState::Enforced, Some(strength), found, row),
            Seen::Open(found) => (LockState::NotEnforced, None, found, row),
            Seen::Absent(found) => (LockState::NotApplicable, None, found, row),
            Seen::Hidden(found) => (LockState::Unknown, None, found, row),
            // The row of the shortage replaces the item's own: a spool that others fill is not root's doing.
            Seen::Unfit(row, found) => (LockState::Unknown, None, found, row),
        };
        Self {
            name: name.into(),
            state,
            strength,
            desired: desired.into(),
            found,
            probe: probe.into(),
            cause: row.cause(),
        }
    }

    /// Returns whether the item is open or unknown, and the policy of the image follows from that.
    pub fn leads_to_policy(&self) -> bool {
        !self.state.is_shut() && self.cause.leads_to_policy()
    }
}

/// A lock, as it is declared and as it was found.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Its name.
    pub lock: &'static str,
    /// Declared state.
    pub declared: DeclaredLock,
    /// Exceptions that stay open although the lock is denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// That of its weakest item, unless a grant opens it.
    pub state: LockState,
    /// Until when a grant opens it, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_until: Option<u64>,
    /// Items of the lock.
    pub items: Vec<Item>,
}

impl Measured {
    /// A lock with these items. Without any there is nothing that could be said of it.
    pub fn new(name: LockName, lock: Lock, items: Vec<Item>, granted: Option<u64>) -> Self {
        // A lock that the image leaves open needs no grant, and nothing of it ends with one.
        let granted_until = granted.filter(|_| matches!(lock, Lock::Deny { .. }));
        let state = match granted_until {
            Some(_) => Some(LockState::Granted),
            // `LockState` is ordered for this: unknown outweighs enforced, and open outweighs unknown.
            None => items.iter().map(|item| item.state).max(),
        };
        let (declared, except) = match lock {
            Lock::Allow => (DeclaredLock::Allow, Vec::new()),
            Lock::Deny { except } => (DeclaredLock::Deny, except),
        };
        Self {
            lock: name.name(),
            declared,
            except,
            // No item is no proof: a probe that finds nothing to look at must not read as shut.
            state: state.unwrap_or(LockState::Unknown),
            granted_until,
            items,
        }
    }

    /// Returns whether the policy of the image follows from the lock: it is to be shut, no grant opens it, and an
    /// item that takes root to bring about is open or unknown, or there is nothing to look at.
    pub fn leads_to_policy(&self) -> bool {
        let is_open = self.is_open();
        is_open && (self.items.is_empty() || self.items.iter().any(Item::leads_to_policy))
    }

    /// Returns whether the lock is to be shut, is not, and no grant opens it, whoever brought that about.
    pub fn is_open(&self) -> bool {
        self.is_denied() && !self.state.is_shut() && self.state != LockState::Granted
    }

    /// Returns whether the lock is to be shut.
    pub fn is_denied(&self) -> bool {
        self.declared == DeclaredLock::Deny
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(seen: Vec<Seen>) -> LockState {
        let items = seen
            .into_iter()
            .map(|seen| Item::new(Probe::UserIds, "a", "b", "c", seen));
        Measured::new(LockName::Kernel, Lock::default(), items.collect(), None).state
    }

    #[test]
    fn lock_state_is_that_of_its_weakest_item_and_unknown_without_items() {
        let shut = || Seen::Shut(Strength::Reversible, String::new());
        let open = || Seen::Open(String::new());
        let absent = || Seen::Absent(String::new());
        let hidden = || Seen::Hidden(String::new());
        assert_eq!(lock(vec![]), LockState::Unknown);
        assert_eq!(lock(vec![absent()]), LockState::NotApplicable);
        assert_eq!(lock(vec![absent(), shut()]), LockState::Enforced);
        assert_eq!(lock(vec![shut(), hidden(), absent()]), LockState::Unknown);
        assert_eq!(lock(vec![shut(), open(), hidden()]), LockState::NotEnforced);
    }

    #[test]
    fn granted_lock_is_not_enforced_and_allowed_lock_ignores_grants() {
        let measured = |lock, granted| {
            let shut = Seen::Shut(Strength::Reversible, String::new());
            let items = vec![Item::new(Probe::UserIds, "a", "b", "c", shut)];
            Measured::new(LockName::Imds, lock, items, granted)
        };
        let granted = measured(Lock::default(), Some(7));
        assert_eq!(granted.state, LockState::Granted);
        assert_eq!(granted.granted_until, Some(7));
        assert!(!granted.state.is_shut());
        assert_eq!(measured(Lock::default(), None).state, LockState::Enforced);
        assert_eq!(measured(Lock::Allow, Some(7)).state, LockState::Enforced);
    }

    #[test]
    fn open_item_leads_to_a_policy_only_if_its_cause_is_root() {
        let measured = |rows: &[Probe], seen: fn() -> Seen| {
            let item = |row: &Probe| Item::new(*row, "a", "b", "c", seen());
            let items = rows.iter().map(item).collect();
            Measured::new(LockName::Accounts, Lock::default(), items, None)
        };
        for seen in
            [|| Seen::Open(String::new()), || Seen::Hidden(String::new())] as [fn() -> Seen; 2]
        {
            for told in [
                Probe::KeysOfAccounts,
                Probe::PortsOfOthers,
                Probe::GroupsFit,
            ] {
                let lock = measured(&[told], seen);
                assert!(lock.is_open() && !lock.leads_to_policy(), "{told:?}");
                let lock = measured(&[told, Probe::KeysOfRoot], seen);
                assert!(lock.leads_to_policy(), "{told:?}");
            }
        }
        // What did not fit is as its own row says, whatever item it was to be.
        let crowd = measured(&[Probe::KeysOfRoot], || {
            Seen::Unfit(Probe::Shortage, String::new())
        });
        assert_eq!(crowd.items[0].cause, Cause::Anybody);
        assert!(crowd.is_open() && !crowd.leads_to_policy());
        // A lock of which nothing is known leads there, as ever.
        assert!(measured(&[], || Seen::Open(String::new())).leads_to_policy());
    }
}

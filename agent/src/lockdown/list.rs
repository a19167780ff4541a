//! The list of locks: one row each, which its file gives. A lock without a row does not compile.

use earmark_manifest::declaration::{Declaration, LockName};

use super::{
    accounts, cloud_init, filesystems, imds, item::Item, kernel, look::Look, packages,
    remote_access, schedules,
};

/// Input of what a lock does: the host, and what was declared.
pub(super) struct Target<'a> {
    pub look: &'a Look<'a>,
    pub declaration: &'a Declaration,
    /// The exceptions of the lock.
    pub except: &'a [String],
}

/// Something that is done about a lock. Returns what went wrong; a second run finds nothing left to do.
pub(super) type Action = fn(&Target<'_>) -> Vec<String>;

/// Names of units, by the exceptions of the lock.
pub(super) type Units = fn(&[String]) -> Vec<&'static str>;

/// What a lock does, each part in its own file. Who can bring its items about says the table of causes.
pub(super) struct LockActions {
    /// The units that are masked while it is shut. A grant starts those that the image enables, and its end stops them.
    pub units: Option<Units>,
    /// The part that is done before the rest of the boot opens files.
    pub prepare: Option<Action>,
    pub shut: Option<Action>,
    /// What a grant takes back of it.
    pub open: Option<Action>,
    /// Its items, measured, also of one that is allowed: whoever reads the table wants to know.
    pub probe: fn(&Target<'_>) -> Vec<Item>,
}

/// The row of a lock.
pub(super) const fn actions(lock: LockName) -> &'static LockActions {
    match lock {
        LockName::Accounts => &accounts::LOCK,
        LockName::CloudInit => &cloud_init::LOCK,
        LockName::Filesystems => &filesystems::LOCK,
        LockName::Imds => &imds::LOCK,
        LockName::Kernel => &kernel::LOCK,
        LockName::Packages => &packages::LOCK,
        LockName::RemoteAccess => &remote_access::LOCK,
        LockName::Schedules => &schedules::LOCK,
    }
}

/// The order in which locks are shut: the kernel's door is the last, since what comes before may need a module.
pub(super) fn in_order() -> [LockName; LockName::ALL.len()] {
    let mut names = LockName::ALL;
    names.sort_by_key(|name| *name == LockName::Kernel);
    names
}

#[cfg(test)]
mod tests {
    use earmark_manifest::grant::GrantedLock;

    use super::*;

    #[test]
    fn lock_that_a_grant_opens_has_units_or_something_to_take_back() {
        for lock in GrantedLock::ALL {
            let row = actions(lock.lock());
            assert!(row.units.is_some() != row.open.is_some(), "{lock}");
            assert!(row.units.is_some() != row.shut.is_some(), "{lock}");
        }
        assert_eq!(in_order().last(), Some(&LockName::Kernel));
    }
}

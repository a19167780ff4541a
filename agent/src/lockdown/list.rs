//! The list of locks: one row each, which its file gives. A lock without a row does not compile.

use earmark_manifest::declaration::LockName;

use super::{
    accounts, actions::LockActions, cloud_init, filesystems, imds, kernel, packages, remote_access,
    schedules,
};

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

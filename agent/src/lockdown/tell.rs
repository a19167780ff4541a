//! Outcome of the lockdown: for the console, the journal, the record, and the service manager.

use earmark_scan::Root;

use super::item::{Item, Measured};
use crate::{
    boot::policy::Policy,
    exit::Exit,
    fleet::grants,
    host::{self, console, journal},
    platform,
    status::{
        model::{DeclaredLock, LockStatus, LockdownStatus},
        record,
        root_record::{self, RootRecord},
        summary::clean,
    },
};

/// Of what is open, on the console.
const SHOWN: usize = 5;

/// 13 if a lock that is denied is not enforced, and it takes root to bring that about.
pub(super) fn exit_of(measured: &[Measured]) -> Exit {
    if measured.iter().any(Measured::leads_to_policy) {
        Exit::Lockdown
    } else {
        Exit::Done
    }
}

/// Says what could not be brought about: the probes find it, too, but not why.
pub(super) fn problems(problems: &[String]) -> Exit {
    for problem in problems {
        complain!("earmark-agent: {}", clean(problem));
    }
    if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Lockdown
    }
}

/// Tells everybody, and keeps the record.
pub(super) fn tell(root: &Root, policy: &Policy, measured: &[Measured]) {
    let state = LockdownStatus::of(measured);
    // A host that has no lock to speak of says nothing.
    if measured.iter().any(Measured::is_denied) {
        say(root, policy, &state);
    }
    // Last: a run that was cut short leaves the record of another boot or none, never one that says more than was seen.
    keep(root, policy, state);
}

/// Tells of what has changed since it was last told in this boot; the record has when it was looked at.
pub(super) fn tell_change(root: &Root, policy: &Policy, measured: &[Measured]) {
    let state = LockdownStatus::of(measured);
    // Root's own record: the background service writes the other, and could keep a change from being told.
    let told = RootRecord::read(root).and_then(|known| known.lockdown);
    // Anybody may change how a lock that is left open is found to be, and as often as they like: that is no news.
    let denied = |state: &LockdownStatus| {
        let locks = state.locks.iter();
        let locks = locks.filter(|lock| lock.declared == DeclaredLock::Deny);
        locks.cloned().collect::<Vec<_>>()
    };
    if told.is_none_or(|told| denied(&told) != denied(&state)) {
        say(root, policy, &state);
    }
    keep(root, policy, state);
}

fn say(root: &Root, policy: &Policy, state: &LockdownStatus) {
    let image = record::image(root);
    let open: Vec<String> = state
        .locks
        .iter()
        .flat_map(|lock| lock.open.clone())
        .collect();
    let told: Vec<&String> = state.locks.iter().flat_map(|lock| &lock.told).collect();
    let line = if state.is_enforced {
        let granted = state.locks.iter().filter_map(|lock| {
            let until = host::utc(lock.granted_until?);
            Some(format!(", but for {}: granted until {until}", lock.lock))
        });
        let names = state.locks.iter().filter(|lock| !lock.told.is_empty());
        let names: Vec<&str> = names.map(|lock| lock.lock.as_str()).collect();
        let told = if names.is_empty() {
            String::new()
        } else {
            format!("; open, and no policy follows: {}", names.join(", "))
        };
        format!("{image}: locked down{}{told}", granted.collect::<String>())
    } else {
        let names = state.locks.iter().filter(|lock| !lock.open.is_empty());
        let names: Vec<&str> = names.map(|lock| lock.lock.as_str()).collect();
        format!(
            "{image}: NOT LOCKED DOWN: {} (policy {})",
            names.join(", "),
            policy.on_failure().name()
        )
    };
    console::say(&clean(&line));
    // What leads to the policy comes first: nobody else's doing pushes it off the console.
    let shown = open.iter().chain(told.iter().copied());
    for problem in shown.clone().take(SHOWN) {
        console::say(&clean(&format!("  {problem}")));
    }
    for problem in shown {
        complain!("earmark-agent: {}", clean(problem));
    }
    if let Err(error) = journal::say_lockdown(state.is_enforced, &clean(&line), &open) {
        complain!("earmark-agent: failed to write to the journal: {error}, ignoring");
    }
}

fn keep(root: &Root, policy: &Policy, state: LockdownStatus) {
    let platform = policy.declaration().map(|declared| declared.image.platform);
    let instance = platform.and_then(|platform| platform::instance_name(root, platform));
    let instance = instance.map(|name| name.to_string());
    // Apart from the other record, which the background service can spoil: grants are decided by this one.
    if let Err(error) = root_record::keep_lockdown(root, state.clone()) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
    if let Err(error) = record::keep_lockdown(root, state, instance, grants::taints(root)) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
}

impl LockdownStatus {
    fn of(measured: &[Measured]) -> Self {
        let locks = measured.iter().map(|lock| LockStatus {
            lock: lock.lock.to_owned(),
            declared: lock.declared,
            state: lock.state,
            granted_until: lock.granted_until,
            open: open_items(lock),
            told: told_items(lock),
        });
        Self {
            // Not `every item is shut`: any process that listens at port 2222 would then close the host to its grants.
            is_enforced: !measured.iter().any(Measured::leads_to_policy),
            time: host::time(),
            locks: locks.collect(),
        }
    }
}

fn open_items(lock: &Measured) -> Vec<String> {
    if !lock.leads_to_policy() {
        return Vec::new();
    }
    let open = lock.items.iter().filter(|item| item.leads_to_policy());
    let mut open: Vec<String> = open.map(|item| text(lock, item)).collect();
    // A lock of which nothing is known is open, too.
    if open.is_empty() {
        open.push(format!("{}: no item was found to check", lock.lock));
    }
    open
}

fn told_items(lock: &Measured) -> Vec<String> {
    if !lock.is_open() {
        return Vec::new();
    }
    let is_told = |item: &&Item| !item.state.is_shut() && !item.cause.leads_to_policy();
    let told = lock.items.iter().filter(is_told);
    let told = told.map(|item| {
        let cause = item.cause;
        let (name, consequence) = (cause.name(), cause.consequence());
        format!("{} ({name} can cause it: {consequence})", text(lock, item))
    });
    told.collect()
}

fn text(lock: &Measured, item: &Item) -> String {
    format!("{}: {}: {}", lock.lock, item.name, item.found)
}

#[cfg(test)]
mod tests {
    use earmark_manifest::declaration::{Lock, LockName};

    use super::*;
    use crate::lockdown::{
        cause::Probe,
        item::{Seen, Strength},
    };

    fn measured(lock: Lock, seen: Vec<Seen>) -> Measured {
        let items = seen.into_iter();
        let items = items.map(|seen| Item::new(Probe::KernelSetting, "a", "b", "c", seen));
        Measured::new(LockName::Kernel, lock, items.collect(), None)
    }

    #[test]
    fn denied_lock_that_is_open_or_unknown_is_not_enforced_and_sets_the_exit_code() {
        let shut = || Seen::Shut(Strength::Reversible, "1".to_owned());
        let open = || Seen::Open("0".to_owned());
        let hidden = || Seen::Hidden("no".to_owned());
        for (lock, seen, found) in [
            (Lock::default(), vec![shut()], vec![]),
            (Lock::default(), vec![Seen::Absent(String::new())], vec![]),
            (Lock::Allow, vec![open()], vec![]),
            (Lock::default(), vec![shut(), open()], vec!["kernel: a: 0"]),
            (
                Lock::default(),
                vec![shut(), hidden()],
                vec!["kernel: a: no"],
            ),
            (
                Lock::default(),
                vec![],
                vec!["kernel: no item was found to check"],
            ),
        ] {
            let measured = [measured(lock, seen)];
            let state = LockdownStatus::of(&measured);
            assert_eq!(state.locks[0].open, found);
            assert_eq!(state.is_enforced, found.is_empty());
            assert!(!state.locks[0].is_only_told());
            let exit = if found.is_empty() {
                Exit::Done
            } else {
                Exit::Lockdown
            };
            assert_eq!(exit_of(&measured), exit);
        }
    }

    #[test]
    fn open_item_of_a_cause_other_than_root_is_reported_without_exit_code() {
        let open = |row| Item::new(row, "a", "b", "c", Seen::Open("0".to_owned()));
        let measured = |items| Measured::new(LockName::RemoteAccess, Lock::default(), items, None);
        let told = "remote_access: a: 0 (anybody can cause it: told, no policy)";
        let others = [measured(vec![open(Probe::PortsOfOthers)])];
        assert_eq!(exit_of(&others), Exit::Done);
        let state = LockdownStatus::of(&others);
        assert!(state.is_enforced && state.locks[0].is_only_told());
        assert_eq!(
            state.locks[0].state,
            crate::status::model::LockState::NotEnforced
        );
        assert_eq!(
            (&*state.locks[0].open, &*state.locks[0].told),
            (&[][..], &[told.to_owned()][..])
        );

        let both = [measured(vec![
            open(Probe::PortsOfOthers),
            open(Probe::PortsOfRoot),
        ])];
        assert_eq!(exit_of(&both), Exit::Lockdown);
        let state = LockdownStatus::of(&both);
        assert!(!state.is_enforced && !state.locks[0].is_only_told());
        assert_eq!(state.locks[0].open, ["remote_access: a: 0"]);
        assert_eq!(state.locks[0].told, [told]);
    }
}

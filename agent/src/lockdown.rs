//! The stage `lockdown`: shuts the ways in which this host could be changed, as the signed declaration
//! has them, and measures whether they are shut.
//!
//! Data flows one way: signed declaration -> locks -> what is brought about -> probes -> items -> table,
//! record, exit code. A lock is as it was measured afterwards, never as it was meant: what could not be
//! looked at is `unknown`, and unknown is not enforced. What the service manager must never start is
//! masked by the generator, before anything starts.

mod accounts;
mod actions;
mod again;
mod cause;
mod cloud_init;
mod filesystems;
mod granted;
mod imds;
mod item;
mod kernel;
mod list;
mod look;
mod netlink;
mod packages;
mod remote_access;
mod schedules;
mod show;
mod tell;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::Result;
use earmark_manifest::declaration::{Declaration, Lock, LockName};
use earmark_scan::Root;

use self::{
    actions::{Action, Target},
    item::Measured,
    look::Look,
};
pub use self::{cloud_init::violation as cloud_init_violation, packages::answer};
use crate::{boot::policy::Policy, cli::LockdownArgs, exit::Exit, fleet::grants};

/// Brings the locks about, or only looks. The exit code is 13 if one that is denied is not enforced.
pub fn run(args: &LockdownArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    // An image on a mounted disk has no mounts or sockets of its own: this host's would be measured in its place.
    if !root.is_live() {
        complain!("earmark-agent: locks can be checked only on the running host: remove --root");
        return Ok(Exit::Usage.into());
    }
    // The policy of a running host follows from the timer's 11: a seal that cannot be read for a moment is read twice.
    let policy = if args.again {
        again::policy(&root)
    } else {
        Policy::of(&root)
    };
    if matches!(policy, Policy::Unsealed) {
        complain!("earmark-agent: the image is not sealed: it has no locks");
        return Ok(Exit::Done.into());
    }
    let Some(declared) = policy.declared() else {
        complain!("earmark-agent: no locks: {}", policy.reason());
        // Without a believed declaration nobody knows which locks are denied: 0 would say that all of them are shut.
        return Ok(Exit::Undecided.into());
    };
    let declaration = declared.declaration();
    if args.early {
        return Ok(tell::problems(&prepare(&root, declaration)).into());
    }
    if args.again {
        return Ok(again::run(&root, &policy, declared).into());
    }
    if args.grants {
        return Ok(granted::run(&root, &policy, declared)?.into());
    }
    // Opened in this boot alone: after a reboot each lock is shut first, and earmark-grants.service opens it again.
    let granted = grants::opened_now(&root, declared);
    if !args.check {
        let is_shut = |name| !granted.contains_key(&name);
        // No exit code follows from a call that failed: what it was to shut may be shut already. The look decides.
        tell::problems(&apply(&root, declaration, is_shut));
    }
    // A look of its own: what was there before has no part in it.
    let measured = measure(&Look::new(&root), declaration, &granted);
    // The journal of a boot gets what is open, not the whole table.
    if args.check || args.common.json {
        show::print(&measured, args.common.json)?;
    }
    if !args.check {
        tell::tell(&root, &policy, &measured);
    }
    Ok(tell::exit_of(&measured).into())
}

/// The units that the service manager is not to start, but for those of the locks in `open`.
pub fn masks(policy: &Policy, open: &BTreeSet<LockName>) -> Vec<&'static str> {
    // Not the declaration alone: a broken seal would unmask sshd. Then the floor says what is shut.
    let mut shut = policy.shut();
    shut.retain(|name, _| !open.contains(name));
    let masks = shut
        .iter()
        .filter_map(|(name, except)| Some(list::actions(*name).units?(except)));
    masks.flatten().collect()
}

/// Returns whether a part of the lockdown is to be done before the rest of the boot.
pub fn has_early_part(declaration: &Declaration) -> bool {
    let mut shut = declaration.lockdown.shut_locks().into_keys();
    shut.any(|name| list::actions(name).prepare.is_some())
}

/// Returns whether a lock is denied, so that there is something to look at again.
pub fn denies_anything(declaration: &Declaration) -> bool {
    let locks = declaration.lockdown.locks();
    locks
        .iter()
        .any(|(_, lock)| matches!(lock, Lock::Deny { .. }))
}

/// The exceptions of a lock that is denied.
fn denied(declaration: &Declaration, name: LockName) -> Option<Vec<String>> {
    declaration.lockdown.shut_locks().remove(&name)
}

/// Does what has to be done before the rest of the boot opens files. Returns the problems.
fn prepare(root: &Root, declaration: &Declaration) -> Vec<String> {
    act(root, declaration, |name| list::actions(name).prepare)
}

/// Brings about what is the agent's to bring about.
fn apply(
    root: &Root,
    declaration: &Declaration,
    is_meant: impl Fn(LockName) -> bool,
) -> Vec<String> {
    act(root, declaration, |name| {
        list::actions(name).shut.filter(|_| is_meant(name))
    })
}

/// Does something about each lock that is denied, and goes on after what fails, so that the rest is shut all the same.
fn act(
    root: &Root,
    declaration: &Declaration,
    action: impl Fn(LockName) -> Option<Action>,
) -> Vec<String> {
    let look = Look::new(root);
    let act = |name| {
        let (action, except) = (action(name)?, denied(declaration, name)?);
        Some(action(&Target {
            look: &look,
            declaration,
            except: &except,
        }))
    };
    list::in_order()
        .into_iter()
        .filter_map(act)
        .flatten()
        .collect()
}

/// Looks at each lock of a declaration, in the order in which they are declared.
/// `granted` are those that are open by a grant, and until when.
fn measure(
    look: &Look<'_>,
    declaration: &Declaration,
    granted: &BTreeMap<LockName, u64>,
) -> Vec<Measured> {
    let locks = declaration.lockdown.locks();
    locks
        .into_iter()
        .map(|(name, lock)| {
            let except = match &lock {
                Lock::Allow => &[],
                Lock::Deny { except } => except.as_slice(),
            };
            let target = Target {
                look,
                declaration,
                except,
            };
            let items = (list::actions(name).probe)(&target);
            Measured::new(name, lock, items, granted.get(&name).copied())
        })
        .collect()
}

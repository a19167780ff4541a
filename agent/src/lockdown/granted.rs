//! Opens what grants open, and shuts it when they are over.
//!
//! A lock that is to be opened is put on record first, then opened, then measured; it leaves the record when
//! it was found to be shut, so that a run that was cut short is finished by the next. A lock that stays
//! open after its time is found by the look at the locks, and the policy of the image follows from it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use earmark_manifest::{
    declaration::{Declaration, LockName, OnFailure},
    grant::GrantedLock,
    verify::VerifiedDeclaration,
};
use earmark_scan::{Root, verify::Verdict};

use super::{
    actions::Target,
    apply, denied,
    list::actions,
    look::Look,
    measure, tell,
    units::{self, Units},
};
use crate::{
    boot::{announce, policy::Policy},
    exit::Exit,
    fleet::grants::{self, Event, Opened, Progress},
    status::{record, root_record::RootRecord},
};

/// Takes what was brought to this host, opens and shuts what follows, and tells.
pub fn run(root: &Root, policy: &Policy, declared: &VerifiedDeclaration) -> Result<Exit> {
    let _turn = grants::turn(root)?;
    let declaration = declared.declaration();
    let mut opened = Opened::read(root);
    let before = opened.clone();
    let mut now = match why_shut(root, policy) {
        None => grants::look(root, declared, &mut opened),
        // What is brought to such a host is left where it is.
        Some(why) => {
            if !opened.unsettled().is_empty() {
                complain!("earmark-agent: no lock is open: {why}");
            }
            grants::Now::default()
        }
    };
    // Where the image leaves the lock open there is nothing to open, and nothing to shut when the time is over.
    now.open
        .retain(|lock, _| denied(declaration, lock.lock()).is_some());
    opened.want(&now.open.keys().copied().collect());
    // On record before anything is opened: a run that is killed in between leaves a lock that the next one shuts.
    if opened != before {
        opened.write(root)?;
    }
    let image = record::image(root);
    if opened.is_settled() && now.events.is_empty() {
        return Ok(Exit::Done);
    }

    let mut problems = carry_out(root, declaration, &mut opened);
    // Once a boot: this runs every minute, and what could not be done cannot be done again, mostly.
    problems.retain(|problem| opened.is_unheard_of(problem));
    let granted = now.open.iter().map(|(lock, until)| (lock.lock(), *until));
    let granted: BTreeMap<LockName, u64> = granted.collect();
    let measured = measure(&Look::new(root), declaration, &granted);
    // Off the record only by measurement: that no call failed does not say that the lock is shut.
    for lock in opened.at(Progress::Shutting) {
        let is_shut = |name: LockName| {
            let mut measured = measured.iter();
            measured.any(|measured| measured.lock == name.name() && measured.state.is_shut())
        };
        if is_shut(lock.lock()) {
            opened.is_shut(lock);
        }
    }
    opened.write(root)?;
    let problems = problems.into_iter().map(Event::Problem);
    now.events.extend(problems);
    grants::tell(&image, &now.events);
    tell::tell_change(root, policy, &measured);
    if let Ok(Some(status)) = record::read(root) {
        announce::message_of_the_day(root, &status.report);
    }
    Ok(tell::exit_of(&measured))
}

/// Returns the reason why nothing may be open on this host, if there is one: it was not locked down in this boot,
/// or the image lets nothing run on it. A grant is for rescuing, but not for going on where the image says stop.
fn why_shut(root: &Root, policy: &Policy) -> Option<&'static str> {
    let known = RootRecord::read(root);
    let Some(lockdown) = known.as_ref().and_then(|known| known.lockdown.as_ref()) else {
        return Some("this host was not locked down in this boot");
    };
    if policy.on_failure() == OnFailure::Report {
        return None;
    }
    let is_good = |verdict| matches!(verdict, Verdict::Verified | Verdict::Partial);
    // The background service can say that this host does not verify. That it does, root has to have found.
    let said = record::read(root).ok().flatten();
    let said = said.map(|status| status.report.verdict);
    let verdict = known.as_ref().map(|known| known.verdict);
    // Without a verdict of root's nothing opens; the service's word, which it may forge, can only take away.
    if !verdict.is_some_and(is_good) || !said.is_none_or(is_good) {
        return Some("this host did not verify");
    }
    (!lockdown.is_enforced).then_some("a lock of this host is not enforced")
}

/// Opens and shuts what is not yet as it is to be. Returns what went wrong.
fn carry_out(root: &Root, declaration: &Declaration, opened: &mut Opened) -> Vec<String> {
    let (opening, shutting) = (opened.at(Progress::Opening), opened.at(Progress::Shutting));
    let mut problems = Vec::new();
    let all = opening.iter().chain(&shutting);
    let has_units = all.map(|lock| lock.lock()).any(is_of_units);
    // The generator leaves the masks of what is open out, and puts the others back.
    let reloaded = if has_units {
        units::reload(root)
    } else {
        Ok(())
    };
    let are_units_known = reloaded.is_ok();
    problems.extend(reloaded.err());
    // What is to be shut is not held up by what is to be opened.
    let names: BTreeSet<LockName> = shutting.iter().map(|lock| lock.lock()).collect();
    for lock in &names {
        if let Some(units) = Units::of(declaration, *lock) {
            problems.extend(units.stop(root));
        }
    }
    problems.extend(apply(root, declaration, |name| names.contains(&name)));
    for lock in opening {
        // As long as nothing is known of the masks it is tried again.
        if is_of_units(lock.lock()) && !are_units_known {
            continue;
        }
        let found = open(root, declaration, lock);
        // A unit that did not start is none that the lock keeps from it: whoever is in can see why.
        if found.is_empty() || is_of_units(lock.lock()) {
            opened.is_opened(lock);
        }
        problems.extend(found);
    }
    problems
}

/// Returns whether a lock is made of units.
fn is_of_units(lock: LockName) -> bool {
    actions(lock).units.is_some()
}

fn open(root: &Root, declaration: &Declaration, lock: GrantedLock) -> Vec<String> {
    let lock = lock.lock();
    if let Some(units) = Units::of(declaration, lock) {
        return units.start(root);
    }
    let target = Target {
        look: &Look::new(root),
        declaration,
        except: &denied(declaration, lock).unwrap_or_default(),
    };
    actions(lock)
        .open
        .map_or_else(Vec::new, |open| open(&target))
}

//! The stage `grants`: which locks a signature opens now, on this instance, until when.
//!
//! Data flows one way: files -> signatures -> this host and hour -> record on the disk -> what is open.
//! A grant that is not on record opens nothing, and one that is on record is never taken out of it: it
//! taints the instance for its whole life.
//!
//! Protects against a grant that is forged, for another instance or image, over, or used before, and
//! against a clock that is set back under a grant that was taken. Does not protect against root, who can remove the
//! record, and put a grant that still holds in again (tier T0); nor, on a host that never took a grant, against a clock
//! that is set back for one that is over and was kept.

mod clock;
mod opened;
mod record;
mod taint;
mod take;
mod tell;

use std::collections::BTreeMap;

use anyhow::Result;
use earmark_manifest::{
    declaration::LockName,
    grant::{GrantedLock, InstanceName, verify_grant},
    trust::Trust,
    verify::VerifiedDeclaration,
};
use earmark_scan::{Root, seal};

use self::{
    clock::{Moment, Reading},
    record::{Record, Taken},
    take::{Host, Refused},
};
pub use self::{
    opened::{Opened, Progress},
    taint::taints,
    tell::{Event, tell},
};
use crate::{host::state::StateDirectory, platform};

/// Result of a look at the grants.
#[derive(Debug, Default)]
pub struct Now {
    /// Each lock that is open, and until when, in seconds since 1970.
    pub open: BTreeMap<GrantedLock, u64>,
    /// Events to be told.
    pub events: Vec<Event>,
}

/// Takes what was brought to this host, closes what is over, and says what is open. `opened` knows
/// what was told already.
pub fn look(root: &Root, declared: &VerifiedDeclaration, opened: &mut Opened) -> Now {
    let found = try_look(root, declared, opened, &Reading::now(root));
    // Nothing is open then: who spoils the record or the clock shuts locks, and opens none.
    let mut now = found.unwrap_or_else(|problem| Now {
        events: vec![Event::Problem(problem)],
        ..Now::default()
    });
    // What cannot be done now cannot be done a minute later, mostly.
    now.events.retain(|event| match event {
        Event::Problem(problem) => opened.is_unheard_of(problem),
        Event::Opened(_) | Event::Closed(_) | Event::Refused { .. } => true,
    });
    now
}

/// Waits until no other run of the agent takes grants, or opens and shuts what they say; until the
/// result is dropped, none begins.
pub fn turn(root: &Root) -> Result<StateDirectory> {
    let directory = StateDirectory::open_private(root)?;
    directory.wait_long();
    Ok(directory)
}

/// The same where there was such a run in this boot, for who may not make the directory.
pub fn turn_if_any(root: &Root) -> Option<StateDirectory> {
    let directory = StateDirectory::open_existing(root)?;
    directory.wait_long();
    Some(directory)
}

/// Returns the locks that are open in this boot by a grant that still holds, and until when, in seconds
/// since 1970. Takes, closes and tells nothing. A caller that may not read the record gets none.
pub fn opened_now(root: &Root, declared: &VerifiedDeclaration) -> BTreeMap<LockName, u64> {
    let opened = Opened::read(root).open();
    let open = open_now(root, declared).into_iter();
    // Both must say so: a grant on record whose lock is not opened yet has opened nothing.
    open.map(|(lock, until)| (lock.lock(), until))
        .filter(|(lock, _)| opened.contains(lock))
        .collect()
}

fn open_now(root: &Root, declared: &VerifiedDeclaration) -> BTreeMap<GrantedLock, u64> {
    let found = || {
        let instance = platform::instance_name(root, declared.declaration().image.platform)?;
        let record = Record::read(root).ok()??;
        let trust = seal::read_trust(root).ok()?;
        let now = Reading::now(root).after(record.clock.as_ref())?;
        // A copy of the disk brings the record along, with grants for the instance that it was copied from.
        let is_ours = record.instance == instance;
        let grants = record
            .grants
            .iter()
            .filter(|taken| is_ours && taken.is_open());
        let good =
            grants.filter(|taken| why_over(taken, &record, declared, &trust, &now).is_none());
        Some(until(good))
    };
    found().unwrap_or_default()
}

fn try_look(
    root: &Root,
    declared: &VerifiedDeclaration,
    opened: &mut Opened,
    reading: &Reading,
) -> Result<Now, String> {
    let (files, problems) = take::find(root);
    let record = Record::read(root).map_err(|error| format!("{error:#}"))?;
    // Most hosts never take one.
    if files.is_empty() && problems.is_empty() && record.is_none() {
        return Ok(Now::default());
    }
    let mut now = Now::default();
    now.events.extend(problems.into_iter().map(Event::Problem));
    let instance = platform::instance_name(root, declared.declaration().image.platform)
        .ok_or("no grant is accepted: the instance id of this host is unknown")?;
    let before = of_this_instance(root, record, instance, &mut now)?;
    let trust = seal::read_trust(root).map_err(|error| error.to_string())?;
    let moment = reading
        .after(before.clock.as_ref())
        .ok_or("no grant is accepted: the clock of this host was never set")?;

    let mut record = before.clone();
    // Before new ones are judged: what is over takes no place of the open ones, and is a replay if it comes again.
    close(&mut record, declared, &trust, &moment, &mut now);
    let closed = record.clone();
    let mut decided = Vec::new();
    for file in &files {
        match judge(file, &record, declared, &trust, &moment) {
            Ok(Some(taken)) => {
                now.events.push(Event::Opened(taken.clone()));
                record.grants.push(taken);
                decided.push(file);
            }
            Ok(None) => decided.push(file),
            Err(refused) => {
                if refused.is_final {
                    decided.push(file);
                }
                // What is fetched again and again was seen when it was taken.
                let is_old = refused.is_replay && file.stays();
                if !is_old && opened.is_news(take::mark(file, &refused.why)) {
                    let place = file.path.to_string();
                    now.events.push(Event::Refused { place, refused });
                }
            }
        }
    }
    let is_open = record.grants.iter().any(Taken::is_open);
    // Not kept longer: one look with a clock that ran ahead would else refuse every later grant as over.
    record.clock = is_open.then_some(moment);
    // On the disk before a lock opens and before the file goes: after a power cut the grant counts as used.
    if record != before
        && let Err(error) = record.write(root)
    {
        // What is not on record could be used again: it opens nothing. What is over stays over.
        now.events
            .retain(|event| !matches!(event, Event::Opened(_)));
        now.events.push(Event::Problem(format!("{error:#}")));
        now.open = until(closed.grants.iter().filter(|taken| taken.is_open()));
        return Ok(now);
    }
    for file in decided {
        file.remove(root);
    }
    now.open = until(record.grants.iter().filter(|taken| taken.is_open()));
    Ok(now)
}

/// The record, if it is of this instance; that of another one, whose disk this was, is put aside.
fn of_this_instance(
    root: &Root,
    record: Option<Record>,
    instance: InstanceName,
    now: &mut Now,
) -> Result<Record, String> {
    match record {
        Some(record) if record.instance == instance => Ok(record),
        Some(record) => {
            Record::set_aside(root).map_err(|error| format!("{error:#}"))?;
            now.events.push(Event::Problem(format!(
                "the grants on record are for {}, and this is {instance}: they open nothing here",
                record.instance
            )));
            Ok(Record::new(instance))
        }
        None => Ok(Record::new(instance)),
    }
}

fn close(
    record: &mut Record,
    declared: &VerifiedDeclaration,
    trust: &Trust,
    moment: &Moment,
    now: &mut Now,
) {
    let whole = record.clone();
    for taken in record.grants.iter_mut().filter(|taken| taken.is_open()) {
        if let Some(why) = why_over(taken, &whole, declared, trust, moment) {
            taken.close(moment.time, why);
            now.events.push(Event::Closed(taken.clone()));
        }
    }
}

/// Returns why a grant that was taken opens nothing any more; `None` if it still holds. Its signatures are
/// checked each time: a record that somebody wrote opens nothing.
fn why_over(
    taken: &Taken,
    record: &Record,
    declared: &VerifiedDeclaration,
    trust: &Trust,
    now: &Moment,
) -> Option<String> {
    if now.time >= taken.expires {
        return Some("it expired".to_owned());
    }
    let envelope = taken.envelope.as_deref().unwrap_or_default();
    let verified = match verify_grant(envelope.as_bytes(), trust) {
        Ok(verified) => verified,
        Err(refusal) => return Some(format!("it is refused: {refusal}")),
    };
    let grant = verified.grant();
    // The envelope is signed, and the fields beside it are not: who writes a later end there gains nothing.
    let is_it = grant.id == taken.id
        && grant.locks == taken.locks
        && grant.time.expires() == taken.expires
        && grant.instance == record.instance;
    let is_for_this = grant.image == declared.statement().image.name
        && grant
            .manifest
            .is_none_or(|manifest| manifest == declared.digest());
    if is_it && is_for_this {
        None
    } else {
        Some("it is not the one that was signed for this host".to_owned())
    }
}

fn judge(
    file: &take::Found,
    record: &Record,
    declared: &VerifiedDeclaration,
    trust: &Trust,
    moment: &Moment,
) -> Result<Option<Taken>, Refused> {
    let unread = |why: &str| Refused {
        why: why.to_owned(),
        id: None,
        is_final: false,
        is_replay: false,
    };
    let bytes = file.bytes.as_ref().map_err(|problem| unread(problem))?;
    let host = Host {
        trust,
        instance: &record.instance,
        image: &declared.statement().image.name,
        manifest: declared.digest(),
        time: moment.time,
    };
    let grant = take::judge(bytes, &host, record)?;
    let envelope = std::str::from_utf8(bytes).map_err(|_| unread("it is not UTF-8"))?;
    Ok(grant.map(|grant| Taken::new(&grant, envelope, moment.clone())))
}

/// Each lock with the last moment at which a grant opens it.
fn until<'a>(grants: impl Iterator<Item = &'a Taken>) -> BTreeMap<GrantedLock, u64> {
    let mut open = BTreeMap::new();
    for taken in grants {
        for lock in &taken.locks {
            let until = open.entry(*lock).or_insert(taken.expires);
            *until = (*until).max(taken.expires);
        }
    }
    open
}

#[cfg(test)]
mod tests;

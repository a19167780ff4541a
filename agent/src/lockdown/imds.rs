//! The lock `imds`: the instance metadata service is for root alone.
//!
//! Whoever reads it has the credentials of the instance's role. A routing rule for each address forbids
//! (`EACCES`) what is sent there, and one before it lets processes of root's pass: no packet filter is
//! needed, and the rules are there before the first route is.
//!
//! It protects against a program that runs as an ordinary user, against a request that such a program is
//! talked into, and against containers whose packets this host forwards: a hop limit of 2, which many
//! images ask for, would let them through. It does not protect against root, nor against a container that
//! runs as root on the network of the host, nor against who has `CAP_NET_RAW` or `CAP_NET_ADMIN`.

mod listing;
mod message;
mod rule;

use earmark_manifest::declaration::{Declaration, Platform};

use self::{
    message::{Family, Own},
    rule::{Place, Rule},
};
use super::{
    actions::LockActions,
    cause::Probe,
    item::{Item, Seen, Strength, Unseen},
    look::Look,
    netlink::{self, Refusal},
};

pub(super) const LOCK: LockActions = LockActions {
    units: None,
    prepare: None,
    shut: Some(|target| apply(target.look, target.declaration)),
    open: Some(|target| open(target.look, target.declaration)),
    probe: |target| probe(target.look, target.declaration),
};

const DESIRED: &str = "for root alone";
/// There where the kernel speaks IPv6.
const IPV6: &str = "/proc/sys/net/ipv6";

/// The rule of each address, as the kernel lists it.
fn probe(look: &Look<'_>, declaration: &Declaration) -> Vec<Item> {
    let item = |family: Family| {
        let seen = if declaration.image.platform == Platform::File {
            Seen::Absent("platform = \"file\"".to_owned())
        } else {
            see(look, family).unwrap_or_else(Seen::from)
        };
        let looked = "routing rules (RTM_GETRULE)";
        Item::new(Probe::RoutingRule, family.text(), DESIRED, looked, seen)
    };
    Family::ALL.map(item).into()
}

/// Adds the rules that are missing. Returns what went wrong; a second run finds nothing to do.
fn apply(look: &Look<'_>, declaration: &Declaration) -> Vec<String> {
    if declaration.image.platform == Platform::File {
        return Vec::new();
    }
    let problem = |family: Family| {
        let problem = add_missing(look, family).err()?;
        Some(format!("{}: {problem}", family.text()))
    };
    Family::ALL.into_iter().filter_map(problem).collect()
}

fn add_missing(look: &Look<'_>, family: Family) -> Result<(), String> {
    if is_absent(look, family)? {
        return Ok(());
    }
    let rules = rules(look, family)?;
    for own in Own::ALL {
        if Rule::own(family, own).is_some_and(|own| rules.contains(&own)) {
            continue;
        }
        match netlink::ask_for(&message::add(family, own)) {
            // Somebody was quicker.
            Ok(()) | Err(Refusal::Exists) => {}
            Err(refusal) => return Err(format!("failed to add a routing rule: {refusal}")),
        }
    }
    Ok(())
}

/// Takes the rule away that keeps all but root out. Returns what went wrong.
fn open(look: &Look<'_>, declaration: &Declaration) -> Vec<String> {
    if declaration.image.platform == Platform::File {
        return Vec::new();
    }
    let problem = |family: Family| {
        let problem = remove(look, family).err()?;
        Some(format!("{}: {problem}", family.text()))
    };
    Family::ALL.into_iter().filter_map(problem).collect()
}

fn remove(look: &Look<'_>, family: Family) -> Result<(), String> {
    if is_absent(look, family)? {
        return Ok(());
    }
    // The other two rules stay: without this one they change nothing.
    let Some(own) = Rule::own(family, Own::Others) else {
        return Ok(());
    };
    // Should it be there more than once, each is a way of being kept out; and a list that could not be had is not one
    // without it, or a grant would be on record as open that opened nothing.
    while rules(look, family)?.contains(&own) {
        netlink::ask_for(&message::delete(family, Own::Others))
            .map_err(|refusal| format!("failed to remove a routing rule: {refusal}"))?;
    }
    Ok(())
}

fn see(look: &Look<'_>, family: Family) -> Result<Seen, Unseen> {
    if is_absent(look, family)? {
        return Ok(Seen::Absent("this kernel does not speak IPv6".to_owned()));
    }
    Ok(match Rule::place(&rules(look, family)?, family) {
        Place::First => Seen::Shut(Strength::Reversible, DESIRED.to_owned()),
        Place::Missing => Seen::Open("no rule".to_owned()),
        Place::After(rule) => {
            Seen::Open(format!("rule {rule} comes before the one that forbids it"))
        }
    })
}

fn is_absent(look: &Look<'_>, family: Family) -> Result<bool, Unseen> {
    Ok(family == Family::V6 && !look.exists(IPV6)?)
}

/// The rules of the host's network.
fn rules(look: &Look<'_>, family: Family) -> Result<Vec<Rule>, Unseen> {
    netlink::must_be_of_the_host(look)?;
    match listing::rules(&message::list(family)) {
        Ok(rules) => Ok(rules),
        // A kernel without routing rules: none of them forbids, and so the lock is open, not unknown.
        Err(Refusal::Unsupported) => Ok(Vec::new()),
        // What a container runtime adds and removes all the time is for want of time.
        Err(refusal) => Err(refusal.unseen("routing rules", Probe::Shortage)),
    }
}

#[cfg(test)]
mod privileged;
#[cfg(test)]
mod tests;

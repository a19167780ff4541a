//! A report, from the record of this boot.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};
use earmark_manifest::report::{BootId, ChannelState, Ec2, Image, Report, Taint};
use earmark_scan::Root;
use serde::Deserialize;

use crate::{
    host,
    platform::instance,
    status::{
        model::{self, ChannelStatus, DeclaredLock, LockdownStatus, Status},
        record,
    },
};

/// Makes a report of this host's present state. `dropped` reports did not reach a sink.
pub fn report(root: &Root, dropped: u64) -> Result<Report> {
    let status = record::read(root)?;
    let status = status.context("no verification is on record: see earmark-verify.service")?;
    let verified = &status.report;
    // A verdict of an earlier boot says nothing about the files that this one started from.
    if root.is_live() && !host::is_this_boot(verified.boot_id.as_deref()) {
        return Err(anyhow!("the verification on record is of another boot"));
    }
    let boot_id = verified.boot_id.clone().context("the boot has no id")?;
    let image = verified.image.as_ref().map(|image| {
        Ok::<_, anyhow::Error>(Image {
            // The background service's user can write status.json: the forms are checked again.
            name: image.name.parse()?,
            version: image.version.parse()?,
            epoch: image.epoch,
            architecture: image.architecture.clone(),
        })
    });
    let first_boot = status.first_boot.as_ref();
    Ok(Report {
        schema: 1,
        time: host::time().unwrap_or_default(),
        instance: instance::name(root, &status).and_then(|name| name.parse().ok()),
        boot_id: BootId::try_from(boot_id).map_err(|problem| anyhow!("{problem}"))?,
        booted: host::booted(),
        agent: verified.agent.clone(),
        image: image.transpose()?,
        manifest: verified.manifest.clone(),
        tier: verified.tier,
        verdict: verified.verdict,
        gate: verified.gate.clone(),
        reason: verified.reason.clone(),
        verified_at: verified.time,
        violations: verified.counts.violations,
        undecided: verified.counts.undecided,
        policy: verified.policy.clone(),
        first_boot: first_boot.map(|shown| shown.state.clone().into_owned()),
        cloned_from: first_boot.and_then(|shown| shown.cloned_from.clone()),
        locks: status.lockdown.as_ref().map_or_else(BTreeMap::new, locks),
        locks_told: status.lockdown.as_ref().map_or_else(BTreeSet::new, told),
        taints: taints(&status),
        taints_more: 0,
        channel: status.channel.as_ref().map(channel),
        dropped,
        ec2: instance::identity(root).map(ec2),
    })
}

/// The same without what changes each time and is no news.
pub fn lasting(report: &Report) -> Report {
    let mut report = report.clone();
    (report.time, report.dropped, report.verified_at) = (0, 0, None);
    if let Some(channel) = &mut report.channel {
        channel.fetched = None;
    }
    report
}

fn locks(state: &LockdownStatus) -> BTreeMap<String, String> {
    let denied = state.locks.iter();
    denied
        .filter(|lock| lock.declared == DeclaredLock::Deny)
        .map(|lock| (lock.lock.clone(), lock.state.name().to_owned()))
        .collect()
}

/// The locks that nobody but others than root keeps from being shut.
fn told(state: &LockdownStatus) -> BTreeSet<String> {
    let told = state.locks.iter().filter(|lock| lock.is_only_told());
    told.map(|lock| lock.lock.clone()).collect()
}

/// The taints of the status without their reasons, which are for people on the host.
fn taints(status: &Status) -> Vec<Taint> {
    let taints = status.taints.iter();
    taints
        .map(|taint| {
            // All fields by name, without `..`: a new one does not compile until its way out of the host is decided.
            let model::Taint {
                kind,
                id,
                locks,
                from,
                until,
                reason: _,
            } = taint.clone();
            Taint {
                kind,
                id,
                locks,
                from,
                until,
            }
        })
        .collect()
}

/// The channel of the status without the reaction, which is the host's own affair.
fn channel(status: &ChannelStatus) -> ChannelState {
    let ChannelStatus {
        state,
        behind,
        since,
        reason,
        latest,
        counter,
        expires,
        fetched,
        problem,
        pending: _,
    } = status.clone();
    ChannelState {
        state: state.name().to_owned(),
        behind: behind.map(|releases| u64::try_from(releases).unwrap_or(u64::MAX)),
        since,
        reason,
        latest,
        counter,
        expires,
        fetched,
        problem,
    }
}

/// The document as it is, and what a query asks for most. Its signature in one line: it is base64.
fn ec2(identity: instance::Identity) -> Ec2 {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Fields {
        region: Option<String>,
        account_id: Option<String>,
        image_id: Option<String>,
    }
    let fields: Fields = serde_json::from_str(&identity.document).unwrap_or_default();
    // The document is the metadata service's word; a long field would use up the 4 KiB of a report.
    let short = |text: Option<String>| text.filter(|text| text.len() <= 64);
    Ec2 {
        region: short(fields.region),
        account: short(fields.account_id),
        ami: short(fields.image_id),
        signature: identity
            .signature
            .map(|signature| signature.split_whitespace().collect()),
        document: identity.document,
    }
}

//! Taints: changes to this instance that its image does not declare, kept for its whole life.

use std::fmt;

use earmark_manifest::grant::InstanceName;
use earmark_scan::Root;

use super::record::Record;
use crate::{
    host::utc,
    platform,
    status::{model::Taint, summary::clean},
};

/// Returns the taints of this instance, from the record on the disk: no boot and no verification takes them away.
pub fn taints(root: &Root) -> Vec<Taint> {
    let record = match Record::read(root) {
        // Who removes the record removes the taint: root can (tier T0).
        Ok(None) => return Vec::new(),
        Ok(Some(record)) => record,
        // A damaged record taints: damage must be no way to be rid of a taint.
        Err(error) => return vec![unknown(format!("{error:#}"))],
    };
    // Who cannot be told from the one whose record this is, is taken for it.
    if is_another(root, &record.instance) {
        return Vec::new();
    }
    let grants = record.grants.iter();
    let taints = grants.map(|taken| Taint {
        kind: "grant".to_owned(),
        id: Some(taken.id.to_string()),
        locks: taken.locks.iter().map(ToString::to_string).collect(),
        from: Some(taken.at.time),
        // A host that was off closes a grant at its next start; the lock was granted only until its end.
        until: Some(
            taken
                .closed
                .as_ref()
                .map_or(taken.expires, |(time, _)| (*time).min(taken.expires)),
        ),
        reason: taken.reason.as_ref().map(ToString::to_string),
    });
    taints.collect()
}

fn is_another(root: &Root, name: &InstanceName) -> bool {
    platform::instance_name_like(root, name).is_some_and(|this| this != *name)
}

fn unknown(problem: String) -> Taint {
    Taint {
        kind: "unknown".to_owned(),
        id: None,
        locks: Vec::new(),
        from: None,
        until: None,
        reason: Some(problem),
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<u64>| time.map_or_else(|| "?".to_owned(), utc);
        if self.kind == "grant" {
            write!(
                f,
                "{} opened by a grant, {} to {}",
                clean(&self.locks.join(", ")),
                time(self.from),
                time(self.until)
            )?;
        } else {
            f.write_str("the locks that grants opened on this instance are unknown")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {}", clean(reason)),
            None => Ok(()),
        }
    }
}

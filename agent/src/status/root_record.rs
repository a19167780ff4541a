//! The part of this boot's state that root takes decisions from: `/run/earmark-lockdown/record.json`, which is root's
//! alone.
//!
//! The public record, `/run/earmark/status.json`, is also replaced by the background service, a user without rights that
//! parses whatever a disk holds. Whoever takes that service over can say anything there. So root believes of the
//! public record only what root itself wrote, which is copied here before the background service starts; what that
//! service says later can make root refuse more, and never less.

use anyhow::Result;
use earmark_manifest::path::ImagePath;
use earmark_scan::{Root, verify::Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    host::{self, state::StateDirectory},
    status::{
        model::{LockdownStatus, Status},
        record,
    },
};

const NAME: &str = "record.json";
const PATH: &str = "/run/earmark-lockdown/record.json";
const BOUND: usize = 8 * 1024 * 1024;

/// Root's own record of this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRecord {
    /// The boot that it is of.
    boot_id: Option<String>,
    /// The verdict of the boot's own verification.
    pub verdict: Verdict,
    /// The instance that first boot was for, if nothing about that was in doubt.
    pub instance: Option<String>,
    /// The locks, as they were last measured.
    pub lockdown: Option<LockdownStatus>,
}

impl RootRecord {
    /// The record of this boot; nothing, if there is none that root wrote.
    pub fn read(root: &Root) -> Option<Self> {
        let path = ImagePath::from_absolute(PATH.as_bytes()).ok()?;
        let own = root.read_opt(&path, BOUND).ok().flatten();
        let own = own.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // Before the lockdown keeps a copy, what root itself wrote into the public record has to do.
        let record = own.or_else(|| of_status(root))?;
        record.is_of_this_boot(root).then_some(record)
    }

    fn is_of_this_boot(&self, root: &Root) -> bool {
        !root.is_live() || host::is_this_boot(self.boot_id.as_deref())
    }
}

/// Keeps how the locks were measured, with what else root knows of this boot.
pub fn keep_lockdown(root: &Root, lockdown: LockdownStatus) -> Result<()> {
    let Some(mut record) = RootRecord::read(root) else {
        // Without a verification of root's there is nothing to decide.
        return Ok(());
    };
    record.lockdown = Some(lockdown);
    let bytes = serde_json::to_vec_pretty(&record)?;
    StateDirectory::open_private(root)?.replace(NAME, &bytes)
}

/// From the public record, as long as root wrote it.
fn of_status(root: &Root) -> Option<RootRecord> {
    let owner = if root.is_live() {
        0
    } else {
        rustix::fs::fstat(root.as_fd()).ok()?.st_uid
    };
    let status = record::read_of(root, owner).ok()??;
    let Status {
        report,
        first_boot,
        lockdown,
        ..
    } = status;
    Some(RootRecord {
        boot_id: report.boot_id,
        verdict: report.verdict,
        instance: first_boot
            .filter(|shown| shown.problem.is_empty())
            .and_then(|shown| shown.instance),
        lockdown,
    })
}

#[cfg(test)]
mod tests {
    use earmark_manifest::layout;
    use earmark_scan::Report;

    use super::*;
    use crate::testing::TestRoot;

    fn lockdown(is_enforced: bool) -> LockdownStatus {
        let state = serde_json::json!({ "is_enforced": is_enforced, "locks": [] });
        serde_json::from_value(state).unwrap()
    }

    fn verified(root: &TestRoot, verdict: Verdict) {
        let mut report = Report::undecided("nothing".to_owned());
        report.verdict = verdict;
        record::keep(&root.open(), &report, None, Vec::new()).unwrap();
    }

    #[test]
    fn public_record_is_ignored_once_a_root_record_exists() {
        let root = TestRoot::bare();
        assert_eq!(RootRecord::read(&root.open()), None);
        keep_lockdown(&root.open(), lockdown(true)).unwrap();
        assert_eq!(RootRecord::read(&root.open()), None);
        verified(&root, Verdict::Violated);
        keep_lockdown(&root.open(), lockdown(false)).unwrap();
        let known = RootRecord::read(&root.open()).unwrap();
        assert_eq!(known.verdict, Verdict::Violated);
        // Somebody who can write the public record says that all is well.
        root.remove(layout::STATUS);
        verified(&root, Verdict::Verified);
        record::keep_lockdown(
            &root.open(),
            lockdown(true),
            Some("i-0".to_owned()),
            Vec::new(),
        )
        .unwrap();
        assert_eq!(RootRecord::read(&root.open()), Some(known.clone()));
        // The control: root's own word counts.
        keep_lockdown(&root.open(), lockdown(true)).unwrap();
        let later = RootRecord::read(&root.open()).unwrap();
        assert_eq!(later.lockdown, Some(lockdown(true)));
        assert_eq!(later.verdict, Verdict::Violated);
    }

    #[test]
    fn privileged_public_record_of_another_user_is_not_believed() {
        let root = TestRoot::bare();
        verified(&root, Verdict::Verified);
        assert!(RootRecord::read(&root.open()).is_some());
        std::os::unix::fs::chown(root.at(layout::STATUS), Some(998), None).unwrap();
        assert_eq!(RootRecord::read(&root.open()), None);
        keep_lockdown(&root.open(), lockdown(true)).unwrap();
        assert_eq!(RootRecord::read(&root.open()), None);
    }
}

//! The journal: one entry a verdict, with fields that a machine can ask for. The catalog
//! (`systemd/earmark.catalog`) has a text for each message id.

use earmark_scan::{Report, verify::Verdict};
use tracing::Dispatch;
use tracing_subscriber::{Registry, layer::SubscriberExt};

/// `journalctl MESSAGE_ID=…` of each verdict. These never change.
pub mod message_id {
    /// All that was signed was compared, and is as it was.
    pub const VERIFIED: &str = "f8620ebd7ddd4d2a9607643f214be577";
    /// All that the gate covers is as it was signed.
    pub const PARTIAL: &str = "a4b34ff25ef144e1a04b560cc6499d23";
    /// Something is not as it was signed.
    pub const VIOLATED: &str = "da0d760f26d54f0ca58a55e59b93e743";
    /// That could not be decided.
    pub const UNDECIDED: &str = "e333ab9791e943519763fe1dec0861dd";
    /// All steps of first boot are done.
    pub const FIRST_BOOT_DONE: &str = "5f0d7a1d6d6c4c2e9a1b0f4f5f3b8d21";
    /// First boot stopped at its place.
    pub const FIRST_BOOT_FAILED: &str = "0c9e6a5e0e6f4f3db2f7d3a9c1e84b76";
    /// Each lock that is denied is enforced.
    pub const LOCKED: &str = "f2a61c00cb6b42dbbc7b0907e712481b";
    /// One is not.
    pub const NOT_LOCKED: &str = "bd0a0eb16de04ed8bed5279701053dd1";
    /// A grant opens locks.
    pub const GRANT_OPENED: &str = "b0029e5cd8a84de6a5c0eb16f828bfc6";
    /// It opens them no more.
    pub const GRANT_CLOSED: &str = "6e0078781ead455ab66c6433c499d8aa";
    /// One was not taken.
    pub const GRANT_REFUSED: &str = "a01d20906d014d4389d6d22f963f4423";
}

/// Writes the entry of a report; an error if there is no journal.
pub fn say(report: &Report, line: &str) -> std::io::Result<()> {
    with_journal(|| send(report, line))
}

/// Result of first boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBoot {
    /// All steps are done.
    Done,
    /// It stopped.
    Failed,
}

/// Writes the entry of a first boot; an error if there is no journal.
pub fn say_first_boot(result: FirstBoot, line: &str, more: &[String]) -> std::io::Result<()> {
    with_journal(|| {
        let more = more.join("\n");
        match result {
            FirstBoot::Done => tracing::event!(
                tracing::Level::INFO,
                MESSAGE_ID = message_id::FIRST_BOOT_DONE,
                NOTES = more,
                "{line}"
            ),
            FirstBoot::Failed => tracing::event!(
                tracing::Level::ERROR,
                MESSAGE_ID = message_id::FIRST_BOOT_FAILED,
                OUTPUT = more,
                "{line}"
            ),
        }
    })
}

/// Writes the entry of a lockdown, with what is open if it is not enforced; an error if there is no
/// journal.
pub fn say_lockdown(is_locked: bool, line: &str, open: &[String]) -> std::io::Result<()> {
    with_journal(|| {
        if is_locked {
            tracing::event!(
                tracing::Level::INFO,
                MESSAGE_ID = message_id::LOCKED,
                "{line}"
            );
        } else {
            tracing::event!(
                tracing::Level::ERROR,
                MESSAGE_ID = message_id::NOT_LOCKED,
                OPEN = open.join("\n"),
                "{line}"
            );
        }
    })
}

/// Result of a look at a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It opens locks.
    Opened,
    /// It does no more.
    Closed,
    /// It was not taken.
    Refused,
}

/// Writes the entry of a grant; an error if there is no journal.
pub fn say_grant(what: Grant, id: Option<&str>, line: &str) -> std::io::Result<()> {
    with_journal(|| match what {
        Grant::Opened => tracing::event!(
            tracing::Level::WARN,
            MESSAGE_ID = message_id::GRANT_OPENED,
            GRANT = id,
            "{line}"
        ),
        Grant::Closed => tracing::event!(
            tracing::Level::WARN,
            MESSAGE_ID = message_id::GRANT_CLOSED,
            GRANT = id,
            "{line}"
        ),
        Grant::Refused => tracing::event!(
            tracing::Level::ERROR,
            MESSAGE_ID = message_id::GRANT_REFUSED,
            GRANT = id,
            "{line}"
        ),
    })
}

fn with_journal(say: impl FnOnce()) -> std::io::Result<()> {
    // Without the usual prefix, which would make `F_IMAGE_ID` of `IMAGE_ID`.
    let layer = tracing_journald::layer()?
        .with_field_prefix(None)
        .with_syslog_identifier("earmark-agent".to_owned());
    let journal = Dispatch::new(Registry::default().with(layer));
    tracing::dispatcher::with_default(&journal, say);
    Ok(())
}

fn send(report: &Report, line: &str) {
    let image = report.image.as_ref();
    macro_rules! entry {
        ($level:ident, $id:expr) => {
            tracing::event!(
                tracing::Level::$level,
                MESSAGE_ID = $id,
                VERDICT = report.verdict.name(),
                GATE = report.gate.as_deref(),
                TIER = report.tier.name(),
                POLICY = report.policy.as_deref(),
                IMAGE_ID = image.map(|image| &*image.name),
                IMAGE_VERSION = image.map(|image| &*image.version),
                IMAGE_EPOCH = image.map(|image| image.epoch),
                MANIFEST = report.manifest.as_deref(),
                VIOLATIONS = report.counts.violations,
                DOUBTS = report.counts.undecided,
                REASON = report.reason.as_deref(),
                "{line}"
            )
        };
    }
    match report.verdict {
        Verdict::Verified => entry!(INFO, message_id::VERIFIED),
        Verdict::Partial => entry!(INFO, message_id::PARTIAL),
        Verdict::Violated => entry!(ERROR, message_id::VIOLATED),
        Verdict::Undecided => entry!(ERROR, message_id::UNDECIDED),
    }
}

#[cfg(test)]
mod tests {
    use super::message_id::{
        FIRST_BOOT_DONE, FIRST_BOOT_FAILED, GRANT_CLOSED, GRANT_OPENED, GRANT_REFUSED, LOCKED,
        NOT_LOCKED, PARTIAL, UNDECIDED, VERIFIED, VIOLATED,
    };

    const IDS: [&str; 11] = [
        VERIFIED,
        PARTIAL,
        VIOLATED,
        UNDECIDED,
        FIRST_BOOT_DONE,
        FIRST_BOOT_FAILED,
        LOCKED,
        NOT_LOCKED,
        GRANT_OPENED,
        GRANT_CLOSED,
        GRANT_REFUSED,
    ];

    #[test]
    fn journal_message_ids_are_valid_and_unique() {
        for id in IDS {
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert!(id.len() == 32 && id.bytes().all(hex), "{id}");
        }
        assert_eq!(
            IDS.iter().collect::<std::collections::BTreeSet<_>>().len(),
            IDS.len()
        );
    }

    /// An entry without a text, or a text without an entry, helps nobody.
    #[test]
    fn journal_catalog_has_exactly_one_entry_per_message_id() {
        let catalog = include_str!("../../../systemd/earmark.catalog");
        let mut listed: Vec<&str> = catalog
            .lines()
            .filter_map(|line| line.strip_prefix("-- ")?.split_whitespace().next())
            .collect();
        let mut ids = IDS.to_vec();
        listed.sort_unstable();
        ids.sort_unstable();
        assert_eq!(listed, ids);
        for part in catalog.split("-- ").skip(1) {
            for field in ["Subject: ", "Defined-By: ", "Documentation: "] {
                assert!(part.contains(field), "{field}: {part}");
            }
        }
    }
}

//! Time for a grant that must expire: whoever sets the clock back does not open a lock again.

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use serde::{Deserialize, Serialize};

use crate::host;

/// Seconds since this boot began, those included in which the machine slept.
const UPTIME: &str = "/proc/uptime";
const BOUND: usize = 128;

/// A moment by the three clocks that a host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Of which boot `uptime` is.
    pub boot: Option<String>,
    /// In seconds.
    pub uptime: u64,
    /// In seconds since 1970.
    pub time: u64,
}

/// Readings of the host's clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub boot: Option<String>,
    pub uptime: Option<u64>,
    /// Nothing from a clock that was never set.
    pub time: Option<u64>,
}

impl Reading {
    /// Of the running host.
    pub fn now(root: &Root) -> Self {
        Self {
            boot: host::boot_id(),
            uptime: uptime(root),
            time: host::time(),
        }
    }

    /// This moment, which is not before an earlier one: in the same boot at least as long after it as
    /// this boot has lasted longer, in another one at least as late. Nothing, if no clock tells.
    pub fn after(&self, earlier: Option<&Moment>) -> Option<Moment> {
        let least = earlier.map(|earlier| {
            let passed = match self.uptime {
                // Two boots without an id are not one: the uptime of another boot says nothing about this one.
                Some(uptime) if self.boot.is_some() && self.boot == earlier.boot => {
                    uptime.saturating_sub(earlier.uptime)
                }
                // How long the host was off, no clock of its own tells.
                _ => 0,
            };
            earlier.time.saturating_add(passed)
        });
        // The later one: a clock set ahead ends a grant early, and one set back gains nothing.
        let time = self.time.into_iter().chain(least).max()?;
        Some(Moment {
            boot: self.boot.clone(),
            uptime: self.uptime.unwrap_or_default(),
            time,
        })
    }
}

fn uptime(root: &Root) -> Option<u64> {
    let path = ImagePath::from_absolute(UPTIME.as_bytes()).ok()?;
    let text = String::from_utf8(root.read(&path, BOUND).ok()?).ok()?;
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn reading(boot: &str, uptime: u64, time: Option<u64>) -> Reading {
        Reading {
            boot: Some(boot.to_owned()),
            uptime: Some(uptime),
            time,
        }
    }

    #[test]
    fn grant_clock_never_runs_backwards_across_clock_changes_and_reboots() {
        let then = reading("a", 100, Some(1_000)).after(None).unwrap();
        assert_eq!(then.time, 1_000);
        let after = |now: Reading| now.after(Some(&then)).unwrap().time;
        assert_eq!(after(reading("a", 160, Some(1_060))), 1_060);
        // Set back, and never set: as long as this boot has lasted since.
        assert_eq!(after(reading("a", 160, Some(500))), 1_060);
        assert_eq!(after(reading("a", 160, None)), 1_060);
        // Set forward, it ends sooner.
        assert_eq!(after(reading("a", 160, Some(9_000))), 9_000);
        // Another boot: not before the last time on record.
        assert_eq!(after(reading("b", 5, Some(500))), 1_000);
        assert_eq!(after(reading("b", 5, Some(1_500))), 1_500);
        assert_eq!(reading("b", 5, None).after(None), None);
    }

    #[test]
    fn uptime_is_read_from_proc_uptime() {
        let root = TestRoot::bare();
        assert_eq!(uptime(&root.open()), None);
        root.write(UPTIME, b"12345.67 23456.78\n");
        assert_eq!(uptime(&root.open()), Some(12_345));
    }
}

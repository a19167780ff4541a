//! Facts of the running host: container or not, boot id, clocks.

pub mod console;
pub mod file_size;
pub mod files;
pub mod journal;
#[macro_use]
pub mod output;
pub mod state;
pub mod store;
pub mod throttle;

use std::time::{SystemTime, UNIX_EPOCH};

pub use earmark_scan::kernel::{boot_id, is_container_of};

/// Returns whether this host is a container, by what the kernel shows.
///
/// systemd's `/run/systemd/container` and `container=` in the environment follow from a word on the
/// kernel's command line, so that neither is evidence.
pub fn is_container() -> bool {
    is_container_of(std::path::Path::new("/"))
}

/// Returns whether a record with this boot id was made in this boot. In a container the id depends on
/// who looks: a sandbox with a `/proc` of its own sees the kernel's. There `/run`, which starts empty,
/// has to do.
pub fn is_this_boot(id: Option<&str>) -> bool {
    is_container() || id == boot_id().as_deref()
}

/// Now, in seconds since 1970; nothing from a clock that was never set.
pub fn time() -> Option<u64> {
    /// 2025-01-01: no host runs this program before it was written.
    const FIRST: u64 = 1_735_689_600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    (now >= FIRST).then_some(now)
}

/// Returns the time since this boot began, in seconds, which no setting of a clock changes.
pub fn uptime() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    text.split('.').next()?.parse().ok()
}

/// Returns when this boot began, in seconds since 1970, as far as the clock can be believed now.
pub fn booted() -> Option<u64> {
    time()?.checked_sub(uptime()?)
}

/// A time as people write it.
pub fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days_from_civil, backwards: years begin in March, so that a leap day is last.
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = day_of_era
        .saturating_sub(day_of_era / 1_460)
        .saturating_add(day_of_era / 36_524)
        .saturating_sub(day_of_era / 146_096)
        / 365;
    let leap_days = (year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(365 * year_of_era + leap_days);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year.saturating_sub((153 * month + 2) / 5) + 1;
    let (month, turn) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era.saturating_mul(400) + year_of_era + turn;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A length of time in its largest unit.
pub fn age(seconds: u64) -> String {
    let (number, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(size, _)| seconds >= *size)
        .map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_formats_calendar_dates_including_leap_years() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_868_799, "2000-02-29 23:59:59 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_795_392_000, "2026-11-23 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn age_is_shown_in_the_largest_whole_unit() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "1 minute"),
            (7_200, "2 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }
}

//! Time of the next verification.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// `every`, and up to a tenth more: hosts that were started together must not read their common
/// storage together for ever.
pub(super) fn spread(every: Duration) -> Duration {
    // The seed of the standard library's hash tables is as random as this needs.
    let random = RandomState::new().hash_one(every.as_nanos());
    let share = u32::try_from(random % 1_000).unwrap_or_default();
    let more = (every / 10_000).saturating_mul(share);
    every.saturating_add(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_spreads_over_a_tenth_of_the_interval_and_is_never_early() {
        let every = Duration::from_hours(24);
        let times: Vec<Duration> = (0..200).map(|_| spread(every)).collect();
        assert!(
            times
                .iter()
                .all(|time| *time >= every && *time <= every + every / 10)
        );
        let first = times.iter().min().unwrap();
        let last = times.iter().max().unwrap();
        assert!(*last > *first + every / 20);
        // The longest that a declaration may say.
        assert!(spread(Duration::from_hours(366 * 24)) > Duration::ZERO);
    }
}

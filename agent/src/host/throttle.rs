//! Holds a verification back to so many bytes a second.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use earmark_manifest::declaration::ByteRate;
use earmark_scan::Progress;

/// A budget that all reading threads draw on. Each waits until what it has read is paid for, so that
/// over any second not much more than the rate is read, however many threads there are.
#[derive(Debug)]
pub struct Throttle {
    rate: NonZeroU64,
    /// Until when everything that was read is paid for.
    paid: Mutex<Instant>,
}

impl Throttle {
    /// Starts to count now.
    pub fn new(rate: ByteRate) -> Self {
        Self {
            rate: rate.per_second(),
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Returns how long a thread must wait that has just read `bytes`. Time in which nothing was read is
    /// lost, so that there is no rush after it.
    fn draw(&self, bytes: u64, now: Instant) -> Duration {
        let nanoseconds =
            u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(self.rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*paid).max(now);
        // A time beyond what can be told is never reached.
        *paid = begin.checked_add(cost).unwrap_or(begin);
        paid.saturating_duration_since(now)
    }
}

impl Progress for Throttle {
    fn total(&self, _: u64) {}

    fn advance(&self, bytes: u64) {
        thread::sleep(self.draw(bytes, Instant::now()));
    }

    /// The kernel's word for a file cost no reading.
    fn skip(&self, _: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_enforces_the_rate_and_accumulates_no_unused_quota() {
        let throttle = Throttle::new("64KiB".parse().unwrap());
        let now = Instant::now();
        let waits: Vec<u128> = (0..4)
            .map(|_| throttle.draw(32 * 1024, now).as_millis())
            .collect();
        // The clock had moved on a little since it began to count.
        assert_eq!(waits, [500, 1000, 1500, 2000]);
        // What was not read meanwhile is not made up for.
        let later = now + Duration::from_mins(1);
        assert_eq!(throttle.draw(64 * 1024, later).as_millis(), 1000);
    }
}

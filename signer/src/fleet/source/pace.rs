//! Number of requests that wait for their answers at a time: as many as the store takes.
//!
//! A store says how many it takes a second only by refusing more; how many at a time that is depends on how long it
//! takes for an answer, which differs ten times from one to the next. So a few times a second it is looked at: twice as
//! many are tried as long as that brings more answers, fewer when more than a few were refused, then a few more again.
//! It keeps no request from being refused: each is made again, later, by who makes it.

use std::time::{Duration, Instant};

/// To begin with.
const FIRST: usize = 64;
/// Each has a connection, and a program may have a thousand files open.
pub const MOST: usize = 512;
const LEAST: usize = 8;
/// Time for which one number is tried.
const TURN: Duration = Duration::from_millis(250);
/// Twice as many at a time have to bring so many percent of the answers, or they only wait longer.
const GAIN: u128 = 110;
/// So many percent may be refused: any store fails now and then.
const REFUSED: usize = 5;

/// The pace.
#[derive(Debug)]
pub struct Pace {
    at_once: usize,
    /// Answers in this turn, and when it began.
    answered: usize,
    began: Instant,
    /// Answers in a thousand seconds, in the last turn that brought more; nothing once that is known.
    best: Option<u128>,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            at_once: FIRST,
            answered: 0,
            began: now,
            best: Some(0),
        }
    }

    /// Returns the number of requests to make at a time.
    pub const fn at_once(&self) -> usize {
        self.at_once
    }

    /// An answer came. `refusals` says how many requests the store refused since that was asked last.
    pub fn answered(&mut self, now: Instant, refusals: impl FnOnce() -> usize) {
        self.answered += 1;
        let took = now.duration_since(self.began);
        // Fewer answers than requests at a time say nothing of them yet.
        if took < TURN || self.answered < self.at_once {
            return;
        }
        let refused = refusals();
        let rate = self.answered as u128 * 1_000_000_000 / took.as_micros().max(1);
        self.at_once = if refused * 100 > (self.answered + refused) * REFUSED {
            self.best = None;
            (self.at_once * 3 / 4).max(LEAST)
        } else {
            match self.best {
                Some(best) if rate * 100 > best * GAIN => {
                    self.best = Some(rate);
                    (self.at_once * 2).min(MOST)
                }
                None if refused == 0 => (self.at_once + self.at_once / 8).min(MOST),
                // It takes no more, and refuses none: its own limit, or this program's.
                _ => self.at_once,
            }
        };
        (self.answered, self.began) = (0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace at a store after a minute, and the highest before: it takes so long for an answer, answers and takes so
    /// many a second, and fails so many of a hundred anyway.
    fn at(millis: u64, answers: usize, takes: usize, fails: usize) -> (usize, usize) {
        let start = Instant::now();
        let (mut now, mut pace, mut highest) = (start, Pace::new(start), 0);
        let mut refused = 0;
        while now.duration_since(start) < Duration::from_mins(1) {
            let asked = pace.at_once();
            highest = highest.max(asked);
            let round = Duration::from_millis(millis).max(
                Duration::from_secs(1) * u32::try_from(asked).unwrap()
                    / u32::try_from(answers).unwrap(),
            );
            now += round;
            let accepted = asked.min(takes * usize::try_from(round.as_millis()).unwrap() / 1_000);
            refused += asked - accepted + asked * fails / 100;
            for _ in 0..accepted {
                pace.answered(now, || std::mem::take(&mut refused));
            }
        }
        (pace.at_once(), highest)
    }

    #[test]
    fn request_pace_adapts_to_store_capacity_and_tolerates_rare_failures() {
        const ANY: usize = 1_000_000;
        // It takes its time, and any number at a time.
        assert_eq!(at(100, ANY, ANY, 0), (MOST, MOST));
        // More at a time bring no more a second: they were tried, and no more than they are.
        let (last, highest) = at(1, 1_000, ANY, 0);
        assert!(last == highest && last <= 256, "{last} {highest}");
        // It takes 5,500 a second, which are 110 at a time.
        let (last, highest) = at(20, ANY, 5_500, 0);
        assert!(
            (90..=125).contains(&last) && highest == 128,
            "{last} {highest}"
        );
        // It fails now and then, which is no reason to ask for less.
        assert_eq!(at(100, ANY, ANY, 2), (MOST, MOST));
        // It fails mostly: it is asked still.
        assert_eq!(at(20, ANY, ANY, 90).0, LEAST);
    }
}

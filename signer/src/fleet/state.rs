//! State of a host as one word, and the precedence where several are true.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// State of a host. A host is counted once, as the first of these that is true of it.
///
/// The order is that of how much is known, and then of how much is wrong. Of a `silent` host nothing is
/// known any more, whatever it said last. What `violated` and `cloned` hosts say of themselves is not to be
/// relied on, so that no other word about them is. A `revoked` release is run against somebody's word; a
/// `tainted` host ran what it should, and was changed; one that is `behind` or `unlisted` is as it was built.
/// `unknown` is said only where nothing worse is, and `current` only where nothing else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is in the inventory, and sent no report for too long.
    Silent,
    /// It is not the image that was signed, or that could not be decided.
    Violated,
    /// It began as the disk of another instance, or two hosts claim its name.
    Cloned,
    /// It runs a release that no host should run any more.
    Revoked,
    /// It runs a signed release, and something was done to it since, or could be.
    Tainted,
    /// Other releases became the one to run after its own.
    Behind,
    /// The channel does not know what it runs.
    Unlisted,
    /// There is nothing to hold it against.
    Unknown,
    /// It runs what it should, as it was signed.
    Current,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Violated,
        Self::Cloned,
        Self::Revoked,
        Self::Tainted,
        Self::Behind,
        Self::Unlisted,
        Self::Unknown,
        Self::Current,
    ];

    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Violated => "violated",
            Self::Cloned => "cloned",
            Self::Revoked => "revoked",
            Self::Tainted => "tainted",
            Self::Behind => "behind",
            Self::Unlisted => "unlisted",
            Self::Unknown => "unknown",
            Self::Current => "current",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}")
        })
    }
}

/// A state, and why.
pub type Judged = (State, Option<Box<str>>);

/// Number of hosts of each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; State::ALL.len()]);

impl Counts {
    pub fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    pub fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each state that there is a host of, in their order.
    pub fn some(&self) -> impl Iterator<Item = (State, u64)> {
        let all = State::ALL.into_iter().map(|state| (state, self.of(state)));
        all.filter(|(_, count)| *count > 0)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(State::ALL.map(|state| (state, self.of(state))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_states_round_trip_by_name_and_sort_by_precedence() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!(State::ALL.is_sorted());
        assert!("fine".parse::<State>().is_err());
        let mut counts = Counts::default();
        counts.add(State::Current);
        counts.add(State::Current);
        counts.add(State::Behind);
        assert_eq!(counts.total(), 3);
        let some: Vec<_> = counts.some().collect();
        assert_eq!(some, [(State::Behind, 1), (State::Current, 2)]);
    }
}

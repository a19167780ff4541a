//! Condition on which a roll-out is stopped.

use std::{fmt, str::FromStr};

use crate::{fleet::Status, io::output};

/// A share of hosts, in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

/// Least share and number of violated hosts that stop a roll-out. They are counted among the hosts that run the latest
/// release of their image and are heard of. One of one host is 100%, and says little.
#[derive(Debug, Clone, Copy)]
pub struct StopAt {
    pub share: Share,
    pub least: u64,
}

const WHOLE: u64 = 100_000;

impl StopAt {
    /// Returns why the roll-out is to be stopped; none, if it is not.
    pub fn why(&self, status: &Status) -> Option<String> {
        let bad = status.images.iter().find(|(image, hosts)| {
            !image.is_empty() && self.is_passed(hosts.violated_on_latest, hosts.on_latest)
        });
        bad.map(|(image, hosts)| {
            format!(
                "{} of {} on the latest release of {image} are violated, more than {}",
                output::thousands(hosts.violated_on_latest),
                output::count(hosts.on_latest, "host", "hosts"),
                self.share
            )
        })
    }

    fn is_passed(&self, violated: u64, of: u64) -> bool {
        let share = u128::from(self.share.0) * u128::from(of);
        violated >= self.least && u128::from(violated) * u128::from(WHOLE) > share
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a share such as 5% or 0.5%, below 100%";
        let number = text.strip_suffix('%').ok_or(EXPECTED)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 2 || part.len() > 3 {
            return Err(EXPECTED);
        }
        let parsed = format!("{whole}{part:0<3}").parse();
        parsed.map(Self).map_err(|_| EXPECTED)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1000, self.0 % 1000);
        let part = format!(".{part:03}");
        let part = part.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{whole}{part}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_round_trips_and_invalid_percentages_are_refused() {
        for (text, thousandths) in [("5%", 5_000), ("0.5%", 500), ("12.345%", 12_345), ("0%", 0)] {
            let share: Share = text.parse().unwrap();
            assert_eq!(share, Share(thousandths), "{text}");
            assert_eq!(share.to_string(), text);
        }
        for bad in ["5", "%", "100%", "-1%", "1.2345%", "1,5%", ".5%", "five%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn stop_requires_minimum_hosts_and_exceeding_the_share() {
        let stop = StopAt {
            share: Share(5_000),
            least: 2,
        };
        for (violated, of, passed) in [
            (0, 0, false),
            (1, 1, false),
            (2, 2, true),
            (1, 3, false),
            (5, 100, false),
            (6, 100, true),
            (2, 1000, false),
        ] {
            assert_eq!(stop.is_passed(violated, of), passed, "{violated} of {of}");
        }
        let any = StopAt {
            share: Share(0),
            least: 1,
        };
        assert!(any.is_passed(1, 1_000_000) && !any.is_passed(0, 1_000_000));
    }
}

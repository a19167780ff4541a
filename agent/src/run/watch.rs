//! Next action of the service, decided from what it knows: no clock, no process, no file.

use std::time::Duration;

use earmark_manifest::declaration::OnFailure;
use earmark_scan::{Report, verify::Verdict};

use super::schedule;

/// The service's memory.
#[derive(Debug)]
pub(super) struct Watch {
    policy: OnFailure,
    every: Option<Duration>,
    /// The policy of this boot was carried out, or asks for nothing. It is asked for once: in
    /// quarantine the service is started again, and stays.
    is_settled: bool,
    /// Verifications in a row that ended without a verdict.
    deaths: usize,
}

/// Next action of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ends with this code, on which the service manager acts.
    Exit(u8),
    /// Verifies everything, now.
    Verify,
    /// Waits so long, or for ever, for a signal.
    Wait(Option<Duration>),
}

/// End of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Verified.
    Passed,
    /// Violated (10) or undecided (11).
    Refused(u8),
    /// Without a verdict, and how.
    Died(String),
}

/// Pauses before a verification that died is tried again; the last one for ever. A death is no verdict:
/// whoever can bring one about, by eating the memory or by an input that crashes it, must not be able
/// to take the host out of service. The host has passed its gate, and says that more is not known.
const PAUSES: [Duration; 3] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_hours(1),
];
/// Deaths in a row that are told as a doubt.
const DOUBT: usize = 3;

impl Watch {
    pub(super) fn new(policy: OnFailure, every: Option<Duration>) -> Self {
        Self {
            policy,
            every,
            is_settled: policy == OnFailure::Report,
            deaths: 0,
        }
    }

    /// At the start. `record` is what is known of this boot; `was_refused`, that the service has
    /// ended for it before.
    pub(super) fn begin(&mut self, record: Option<&Report>, was_refused: bool) -> Next {
        self.is_settled |= was_refused;
        let Some(record) = record else {
            // Where /run is full there is no record, and the mark alone says that the policy was asked for.
            return if was_refused {
                self.wait()
            } else {
                Next::Verify
            };
        };
        match record.verdict {
            Verdict::Verified => self.wait(),
            // The full verification was refused in this boot; only its record could not be kept.
            Verdict::Partial if was_refused => self.wait(),
            Verdict::Partial => Next::Verify,
            Verdict::Violated | Verdict::Undecided => {
                // Where the host goes on, somebody wants to know all that is wrong.
                let goes_on = self.policy == OnFailure::Report;
                // The verification that failed at boot has brought the policy about already.
                self.is_settled = true;
                if goes_on && record.gate.as_deref() != Some("full") {
                    Next::Verify
                } else {
                    self.wait()
                }
            }
        }
    }

    /// Returns whether so many have died by now that it is to be told: once for each row of deaths.
    pub(super) fn doubts(&self) -> bool {
        self.deaths == DOUBT
    }

    /// After a verification.
    pub(super) fn after(&mut self, outcome: &Outcome) -> Next {
        let code = match outcome {
            Outcome::Passed => {
                self.deaths = 0;
                return self.wait();
            }
            Outcome::Refused(code) => *code,
            Outcome::Died(_) => {
                let pause = PAUSES.get(self.deaths).or(PAUSES.last()).copied();
                self.deaths = self.deaths.saturating_add(1);
                return Next::Wait(pause);
            }
        };
        self.deaths = 0;
        if self.is_settled {
            return self.wait();
        }
        Next::Exit(code)
    }

    fn wait(&self) -> Next {
        Next::Wait(self.every.map(schedule::spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdict: Verdict, gate: &str) -> Report {
        let mut report = Report::undecided(String::new());
        report.verdict = verdict;
        report.gate = Some(gate.to_owned());
        report
    }

    fn begin(policy: OnFailure, record: Option<&Report>, was_refused: bool) -> Next {
        Watch::new(policy, None).begin(record, was_refused)
    }

    const FOR_EVER: Next = Next::Wait(None);
    const POLICIES: [OnFailure; 3] = [OnFailure::Report, OnFailure::Quarantine, OnFailure::Halt];

    #[test]
    fn watch_completes_missing_or_partial_boot_verification() {
        for policy in POLICIES {
            assert_eq!(begin(policy, None, false), Next::Verify);
            let partial = record(Verdict::Partial, "critical");
            assert_eq!(begin(policy, Some(&partial), false), Next::Verify);
            let verified = record(Verdict::Verified, "full");
            assert_eq!(begin(policy, Some(&verified), false), FOR_EVER);
        }
    }

    #[test]
    fn watch_requests_the_failure_policy_only_once() {
        for policy in [OnFailure::Quarantine, OnFailure::Halt] {
            for code in [10, 11] {
                let mut watch = Watch::new(policy, None);
                let partial = record(Verdict::Partial, "critical");
                watch.begin(Some(&partial), false);
                assert_eq!(watch.after(&Outcome::Refused(code)), Next::Exit(code));
            }
            for verdict in [Verdict::Violated, Verdict::Undecided] {
                let mut watch = Watch::new(policy, None);
                let refused = record(verdict, "full");
                assert_eq!(watch.begin(Some(&refused), false), FOR_EVER);
                assert_eq!(watch.after(&Outcome::Refused(10)), FOR_EVER);
            }
            // Where the record could not be kept, the mark tells.
            let partial = record(Verdict::Partial, "critical");
            assert_eq!(begin(policy, Some(&partial), true), FOR_EVER);
            assert_eq!(begin(policy, None, true), FOR_EVER);
        }
    }

    #[test]
    fn watch_under_report_policy_verifies_fully_and_does_not_exit() {
        let mut watch = Watch::new(OnFailure::Report, None);
        let violated = record(Verdict::Violated, "critical");
        assert_eq!(watch.begin(Some(&violated), false), Next::Verify);
        assert_eq!(watch.after(&Outcome::Refused(10)), FOR_EVER);
        let all = record(Verdict::Violated, "full");
        assert_eq!(begin(OnFailure::Report, Some(&all), false), FOR_EVER);
    }

    #[test]
    fn crashed_verification_is_retried_forever_and_reported_once() {
        let died = Outcome::Died("killed".to_owned());
        let mut watch = Watch::new(OnFailure::Halt, None);
        let mut told = 0;
        for pause in PAUSES.into_iter().chain([PAUSES[2]; 5]) {
            assert_eq!(watch.after(&died), Next::Wait(Some(pause)));
            told += usize::from(watch.doubts());
        }
        assert_eq!(told, 1);
        // One that ends wipes the slate.
        watch.after(&Outcome::Passed);
        assert_eq!(watch.after(&died), Next::Wait(Some(PAUSES[0])));
        assert!(!watch.doubts());
        assert_eq!(watch.after(&Outcome::Refused(10)), Next::Exit(10));
    }

    #[test]
    fn watch_repeats_verification_at_the_declared_interval() {
        let every = Duration::from_hours(1);
        let mut watch = Watch::new(OnFailure::Report, Some(every));
        for outcome in [Outcome::Passed, Outcome::Refused(10)] {
            let Next::Wait(Some(wait)) = watch.after(&outcome) else {
                panic!("{outcome:?}");
            };
            assert!(wait >= every && wait <= every + every / 10, "{wait:?}");
        }
    }
}

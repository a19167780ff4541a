//! Brings a sink what it has not got: in order, and as long as it takes it.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    time::{Duration, Instant, SystemTime},
};

use earmark_manifest::report::Report;

use super::spool::Spool;
use crate::{status::model::SinkStatus, transport::Trouble};

/// The first wait after a failure; each one after it is twice as long, up to the longest.
const FIRST_WAIT: u64 = 30;
const LONGEST_WAIT: u64 = 3_600;
/// After so long no further report is begun: the others wait for the next turn.
const TURN: Duration = Duration::from_mins(1);

/// Time of a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// In seconds since the boot: no clock that is set changes how long something waits.
    pub uptime: u64,
    /// In seconds since 1970.
    pub time: Option<u64>,
    /// True if somebody wants it now: the wait after a failure is skipped.
    pub is_forced: bool,
}

/// Delivery of reports to one sink.
#[derive(Debug)]
pub struct Delivery<'a> {
    pub state: &'a mut SinkStatus,
    pub moment: &'a Moment,
}

impl Delivery<'_> {
    /// Keeps `made` in the spool, and sends what is there. `send` gets the name and the line of a report.
    pub fn run(
        &mut self,
        spool: &Result<Spool, String>,
        made: Option<&[u8]>,
        send: &impl AsyncFn(&str, &[u8]) -> Result<(), Trouble>,
    ) {
        let spool = spool.as_ref().map_err(Clone::clone).and_then(|spool| {
            // On the disk before it is sent: a kill or a power cut during the request loses no report.
            let kept = made.map_or(Ok(()), |line| spool.push(line));
            kept.map(|()| spool).map_err(|error| error.to_string())
        });
        let runtime = tokio::runtime::Builder::new_current_thread();
        let outcome = match { runtime }.enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                match &spool {
                    Ok(spool) => self.empty(spool, send).await,
                    // A full disk keeps nothing, and still no report back that is in the hand.
                    Err(_) => self.hand(made, send).await,
                }
            }),
            Err(error) => Err(Trouble::Passing(error.to_string())),
        };
        match &outcome {
            // Not its turn: what was wrong is still so.
            Ok(false) => {}
            Ok(true) => (self.state.in_a_row, self.state.next, self.state.problem) = (0, 0, None),
            Err(trouble) => self.wait(trouble),
        }
        // After the sending: nothing is dropped for its size or age that could still be brought.
        match spool.and_then(|spool| self.tidy(spool).map_err(|error| error.to_string())) {
            Ok(()) => {}
            Err(error) => self.state.problem = Some(format!("the spool: {error}")),
        }
    }

    /// Sends the reports in the spool. Returns whether it was tried at all.
    async fn empty(
        &mut self,
        spool: &Spool,
        send: &impl AsyncFn(&str, &[u8]) -> Result<(), Trouble>,
    ) -> Result<bool, Trouble> {
        let broken = |error: io::Error| Trouble::Passing(format!("the spool: {error}"));
        let pending = spool.pending().map_err(broken)?;
        if pending.is_empty() || !self.is_its_turn() {
            return Ok(false);
        }
        let began = Instant::now();
        for number in pending {
            // With one more request (30 s at most) it ends well before TimeoutStartSec=3min would kill it.
            if began.elapsed() > TURN {
                break;
            }
            // One that the disk does not give back is not waited for: those behind it are newer.
            let line = spool.read(number).unwrap_or_else(|error| {
                complain!("earmark-agent: dropping an unreadable report: {error}");
                None
            });
            let report = line.and_then(|line| Some((Report::parse(&line).ok()?.name(), line)));
            match report {
                // What somebody else put there, or a disk made of it, is not sent on.
                None => self.drop_one(),
                Some((name, line)) => match send(&name, &line).await {
                    Ok(()) => self.took(),
                    Err(Trouble::Unfit(why)) => {
                        self.drop_one();
                        self.state.failed = self.state.failed.saturating_add(1);
                        complain!("earmark-agent: dropping a report that the sink refuses: {why}");
                    }
                    // The first failure ends the turn: reports stay in order, and a sink that is down is asked once.
                    Err(trouble) => return Err(trouble),
                },
            }
            // After it was taken: a crash in between sends it again, by the same name, so that it replaces itself.
            spool.remove(number).map_err(broken)?;
        }
        Ok(true)
    }

    async fn hand(
        &mut self,
        made: Option<&[u8]>,
        send: &impl AsyncFn(&str, &[u8]) -> Result<(), Trouble>,
    ) -> Result<bool, Trouble> {
        let Some((name, line)) =
            made.and_then(|line| Some((Report::parse(line).ok()?.name(), line)))
        else {
            return Ok(false);
        };
        if !self.is_its_turn() {
            self.drop_one();
            return Ok(false);
        }
        let outcome = send(&name, line).await;
        match &outcome {
            Ok(()) => self.took(),
            Err(_) => self.drop_one(),
        }
        outcome.map(|()| true)
    }

    fn is_its_turn(&self) -> bool {
        self.moment.is_forced || self.moment.uptime >= self.state.next
    }

    fn took(&mut self) {
        self.state.sent = self.state.sent.saturating_add(1);
        self.state.last = self.moment.time;
    }

    fn drop_one(&mut self) {
        self.state.dropped = self.state.dropped.saturating_add(1);
    }

    fn wait(&mut self, trouble: &Trouble) {
        let state = &mut *self.state;
        state.failed = state.failed.saturating_add(1);
        // From the 64th failure in a row on the shift would overflow, which panics: then it is the longest wait.
        let doubled =
            FIRST_WAIT.saturating_mul(1_u64.checked_shl(state.in_a_row).unwrap_or(u64::MAX));
        state.in_a_row = state.in_a_row.saturating_add(1);
        // Half of it by chance: hosts that lost a sink together do not come back together.
        let wait = doubled.min(LONGEST_WAIT) / 2;
        let chance = RandomState::new().hash_one(state.failed) % wait.saturating_add(1);
        let mut wait = wait.saturating_add(chance);
        if let Trouble::Busy(_, seconds) = trouble {
            // A sink that says 'in a year' must not silence a host.
            wait = wait.max((*seconds).min(LONGEST_WAIT));
        }
        state.next = self.moment.uptime.saturating_add(wait);
        state.problem = Some(trouble.to_string());
    }

    fn tidy(&mut self, spool: &Spool) -> io::Result<()> {
        let dropped = spool.trim(SystemTime::now())?;
        self.state.dropped = self.state.dropped.saturating_add(dropped);
        self.state.spooled = spool.bytes()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

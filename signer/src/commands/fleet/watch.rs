//! `earmark fleet watch`.

mod screen;
mod stop;

use std::thread;

use earmark_manifest::declaration::Interval;

use super::{FleetArgs, interval};
use crate::{
    exit::{Exit, Outcome},
    fleet::{State, Status},
    io::output,
};
use screen::Screen;
use stop::{Share, StopAt};

/// Show the fleet repeatedly, during a roll-out
///
/// On a terminal the view is redrawn; elsewhere each look is a line. Ends with
/// 16 when too many of the hosts that run the latest release are violated, with
/// 0 when every host is current if --until says so, and else when it is stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "earmark fleet watch [OPTIONS] --reports <URL> --channel <URL> \
                      \n                           --trust <FILE>"
)]
pub struct Args {
    #[command(flatten)]
    fleet: FleetArgs,
    /// The interval between two looks
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = interval)]
    every: Interval,
    /// End with 0 when every host is current
    #[arg(long, value_enum, value_name = "STATE")]
    until: Option<Until>,
    /// End with 16 when a larger share of the hosts that run the latest release
    /// of an image is violated, such as 5%
    #[arg(long, value_name = "SHARE")]
    stop_at: Option<Share>,
    /// How many violated hosts there must be for that: one alone may be by
    /// chance
    #[arg(long, value_name = "HOSTS", default_value_t = 2, requires = "stop_at",
        value_parser = clap::value_parser!(u64).range(1..))]
    stop_least: u64,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark fleet watch --reports s3://reports/web/ \\
      --channel s3://releases/web/stable.json --trust trust.toml \\
      --inventory instances.json --until current --stop-at 5%";

/// What a roll-out is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    /// Every host that there should be
    Current,
}

/// Reason why the watch ended by itself.
enum End {
    Current,
    Stopped(String),
}

impl Args {
    pub fn run(&self) -> Outcome {
        let mut fleet = self.fleet.fleet()?;
        let stop = self.stop_at.map(|share| StopAt {
            share,
            least: self.stop_least,
        });
        // The first look is an error like any other; no screen has been taken yet.
        let mut looked = fleet.look()?;
        let screen = Screen::open()?;
        loop {
            let is_read = screen.show(&looked);
            if let Some(end) = self.end(&looked, stop) {
                drop(screen);
                return Ok(finish(&looked, &end));
            }
            // Whoever only looked has gone. What is waited for is waited for, whoever reads on.
            if !is_read && self.until.is_none() && self.stop_at.is_none() {
                return Ok(Exit::Done);
            }
            loop {
                thread::sleep(self.every.duration());
                match fleet.look() {
                    Ok(status) => {
                        looked = status;
                        break;
                    }
                    // What could not be read may be there the next time; what is refused will not get better.
                    Err(failure) if failure.exit() == Exit::Undecided => {
                        screen.trouble(&failure);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
    }

    fn end(&self, status: &Status, stop: Option<StopAt>) -> Option<End> {
        // A release that is bad is stopped, whatever else is true.
        if let Some(why) = stop.and_then(|stop| stop.why(status)) {
            return Some(End::Stopped(why));
        }
        let done = self.until == Some(Until::Current) && status.is_current();
        done.then_some(End::Current)
    }
}

fn finish(status: &Status, end: &End) -> Exit {
    match end {
        End::Current => {
            let hosts = output::count(status.states.of(State::Current), "host is", "hosts are");
            output::note(&format!("all of {hosts} current"));
            Exit::Done
        }
        End::Stopped(why) => {
            let next = "earmark channel revoke and rollback take the release back";
            output::note(&format!("stopped: {why}\n  next: {next}"));
            Exit::NotCurrent
        }
    }
}

//! The stage `run`: the service. It completes the boot's verification in the background, repeats it
//! on a schedule and on SIGHUP, and ends with 10 or 11 where the policy asks the service manager to
//! act.
//!
//! A verification runs in a process of its own: its memory goes back to the kernel when it ends, and
//! should it crash, that is a doubt and not the end of the service.

mod notify;
mod schedule;
mod watch;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use earmark_manifest::declaration::{ByteRate, Interval};
use earmark_scan::{Report, Root};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    notify::Notify,
    watch::{Next, Outcome, Watch},
};
use crate::{
    boot::{announce::announce, policy::Policy},
    cli::RunArgs,
    corruption,
    exec::{self, Ended, Program},
    exit::Exit,
    fleet::grants,
    host::{self, state::StateDirectory},
    status::{record, summary},
};

/// Most that a background verification reads a second, if the declaration does not say: half of what a
/// general-purpose cloud volume gives, so that the workload has the other half.
const RATE: &str = "64MiB";
/// A verification that takes longer is taken for one that hangs. A terabyte at the default rate
/// takes five hours.
const TIMEOUT: Duration = Duration::from_hours(24);
/// Left once a verdict was handed to the policy of this boot.
const MARK: &str = "refused";
/// Time that a verdict waits if its mark cannot be left.
const UNMARKED: Duration = Duration::from_secs(30);

/// Runs until SIGTERM, or until the policy has to be carried out.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    if args.corruption {
        return corruption::run(&root);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async { Service::new(&root, &args.root)?.serve().await })
}

/// Service, with the events that it waits for.
struct Service<'a> {
    root: &'a Root,
    path: &'a Path,
    rate: Option<ByteRate>,
    watch: Watch,
    notify: Notify,
    terminate: Signal,
    reload: Signal,
    watchdog: Option<tokio::time::Interval>,
}

enum Event {
    Ended(Ended),
    Due,
    Reload,
    Terminate,
}

impl<'a> Service<'a> {
    fn new(root: &'a Root, path: &'a Path) -> Result<Self> {
        let policy = Policy::of(root);
        let declared = policy.declaration().map(|declaration| &declaration.verify);
        let every = declared.and_then(|verify| verify.every);
        let notify = Notify::from_environment();
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Self {
            root,
            path,
            rate: declared
                .and_then(|verify| verify.rate)
                .or_else(|| RATE.parse().ok()),
            watch: Watch::new(policy.on_failure(), every.map(Interval::duration)),
            watchdog: notify.watchdog().map(tokio::time::interval),
            notify,
            terminate: listen(SignalKind::terminate())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    async fn serve(mut self) -> Result<ExitCode> {
        let was_refused =
            StateDirectory::open(self.root).is_ok_and(|directory| directory.is_marked(MARK));
        let mut next = self.watch.begin(self.record().as_ref(), was_refused);
        // Before the first verification, which can read for hours: systemd would take the start for hung.
        self.notify.ready();
        loop {
            let wait = match next {
                Next::Exit(code) => {
                    if let Err(error) = self.leave_mark() {
                        complain!("earmark-agent: {error:#}: delaying the policy");
                        self.notify
                            .status("not verified; policy delayed: failed to write its marker");
                        // Without a mark the next start does all this again, and must not do it
                        // all the time.
                        if matches!(self.event(due(Some(UNMARKED))).await, Event::Terminate) {
                            break;
                        }
                    }
                    self.notify.stopping();
                    return Ok(ExitCode::from(code));
                }
                Next::Verify => {
                    self.notify.status("verifying in the background");
                    match self.verify().await {
                        Some(ended) => {
                            next = self.judge(ended);
                            continue;
                        }
                        None => break,
                    }
                }
                Next::Wait(wait) => wait,
            };
            self.tell_status(wait);
            next = match self.event(due(wait)).await {
                Event::Terminate => break,
                Event::Due | Event::Reload | Event::Ended(_) => Next::Verify,
            };
        }
        self.notify.stopping();
        Ok(Exit::Done.into())
    }

    /// One verification; nothing if the service was asked to end meanwhile. Asked for another one, it
    /// begins again: what was read before the question may have changed since.
    async fn verify(&mut self) -> Option<Ended> {
        loop {
            let program = Program::Verify {
                root: self.path,
                rate: self.rate,
            };
            let ended = async { Event::Ended(exec::run(program, TIMEOUT).await) };
            match self.event(ended).await {
                Event::Ended(ended) => return Some(ended),
                Event::Terminate => return None,
                Event::Reload | Event::Due => {}
            }
        }
    }

    /// The next thing that happens: what is awaited, or a signal. The watchdog is kept quiet meanwhile.
    async fn event(&mut self, awaited: impl Future<Output = Event>) -> Event {
        let mut awaited = std::pin::pin!(awaited);
        loop {
            // From this loop alone, and no thread beside it: a loop that hangs is to be found.
            let sign_of_life = async {
                match &mut self.watchdog {
                    Some(watchdog) => drop(watchdog.tick().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sign_of_life => self.notify.alive(),
                event = &mut awaited => return event,
                _ = self.terminate.recv() => return Event::Terminate,
                _ = self.reload.recv() => return Event::Reload,
            }
        }
    }

    fn judge(&mut self, ended: Ended) -> Next {
        let outcome = match ended {
            Ended::Code(0) => Outcome::Passed,
            Ended::Code(code @ (10 | 11)) => Outcome::Refused(code),
            // A crash, whatever its code: who finds an input that causes one must not bring the policy about.
            Ended::Code(code) => Outcome::Died(format!("it ended with exit code {code}")),
            Ended::Died(how) => Outcome::Died(how),
        };
        let next = self.watch.after(&outcome);
        if let Outcome::Died(how) = &outcome {
            complain!("earmark-agent: the background verification failed: {how}");
            if self.watch.doubts() {
                self.tell_doubt(how);
            }
        }
        next
    }

    /// The verifying process says what it found. If it cannot, this does.
    fn tell_doubt(&self, how: &str) {
        let mut report = Report::undecided(format!(
            "the background verification failed repeatedly: {how}"
        ));
        if let Some(last) = self.record() {
            (report.image, report.manifest, report.signers) =
                (last.image, last.manifest, last.signers);
        }
        Policy::of(self.root).complete(self.root, &mut report);
        if let Err(error) = record::keep(self.root, &report, None, grants::taints(self.root)) {
            complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
        }
        announce(self.root, &report);
    }

    /// So that the service, started again by the policy, knows that the policy was carried out, also
    /// where the record could not be kept.
    fn leave_mark(&self) -> Result<()> {
        StateDirectory::open(self.root).and_then(|directory| directory.mark(MARK))
    }

    /// Returns the verification on record, if it is of this boot.
    fn record(&self) -> Option<Report> {
        let report = record::read(self.root).ok().flatten()?.report;
        let is_current = !self.root.is_live() || host::is_this_boot(report.boot_id.as_deref());
        is_current.then_some(report)
    }

    fn tell_status(&self, wait: Option<Duration>) {
        let line = self.record().map_or_else(
            || "no verification is on record".to_owned(),
            |report| summary::line(&report),
        );
        let next = wait.map_or_else(String::new, |wait| {
            format!("; next verification in {}", host::age(wait.as_secs()))
        });
        self.notify.status(&format!("{line}{next}"));
    }
}

/// In so long, or never.
async fn due(wait: Option<Duration>) -> Event {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
    Event::Due
}

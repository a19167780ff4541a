//! The stage `report`: says how this host is to those that the image names, and to Prometheus on this host.
//!
//! Data flows one way: the record of the boot and the identity of the instance -> a report -> a spool for each
//! sink -> the sink. It runs as a user that may do nothing but this. A sink that hangs, is full or is down holds
//! up nothing: neither the host nor the other sinks; what it missed is brought to it later, as far as the spool's
//! bounds go.

mod deliver;
mod made;
mod metrics;
mod spool;
mod state;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use earmark_manifest::{
    crypto,
    declaration::{Report as Declared, Sink},
};
use earmark_scan::Root;

use self::{
    deliver::{Delivery, Moment},
    spool::Spool,
    state::State,
};
use crate::{
    boot::policy::Policy,
    cli::ReportArgs,
    exit::Exit,
    host::{self, files, output},
    platform::instance,
    status::{model::SinkStatus, record, summary::clean},
    transport::Remote,
};

/// Directory of the files that do not outlive a boot: the state of the sinks, and the metrics.
const RUN: &str = "run/earmark-report";
const METRICS: &str = "earmark.prom";

/// Makes a report if it is time for one, and brings to each sink what it has not got.
pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    if args.print {
        let line = made::report(&root, 0).and_then(|report| Ok(report.to_line()?));
        return Ok(exit_of(line.map(|line| {
            output::write(&String::from_utf8_lossy(&line));
            Exit::Done
        })));
    }
    let Some(declaration) = policy.declaration() else {
        complain!("earmark-agent: nothing is reported: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let Some(declared) = &declaration.report else {
        complain!("earmark-agent: nothing is reported: the image names no sink for reports");
        return Ok(Exit::Done.into());
    };
    Ok(exit_of(report(&root, declared, args)))
}

/// Whatever an error comes of, what it means is that no report was made, or that not all were brought.
fn exit_of(result: Result<Exit>) -> ExitCode {
    let exit = result.unwrap_or_else(|error| {
        complain!("earmark-agent: {error:#}");
        Exit::Report
    });
    exit.into()
}

fn report(root: &Root, declared: &Declared, args: &ReportArgs) -> Result<Exit> {
    let run = files::open_directory(root, RUN);
    let run =
        run.with_context(|| format!("failed to open '/{RUN}': see earmark-report.service"))?;
    // Who runs it by hand does not get into the service's way.
    files::wait_for_turn(&run);
    let mut state = State::read(&run);
    let moment = Moment {
        uptime: host::uptime().context("failed to read /proc/uptime")?,
        time: host::time(),
        is_forced: args.once,
    };
    let made = make(root, declared, &mut state, &moment);
    // No reason to stop: what waits in the spool is brought all the same.
    if let Err(error) = &made {
        complain!("earmark-agent: {error:#}");
    }
    let made_one = made.as_ref().ok().and_then(|line| line.as_deref());
    let is_well = bring(root, declared, &mut state, &moment, made_one);
    // Before the metrics: the waits after a failure hold also where those cannot be written.
    state.write(&run)?;
    let text = metrics::render(record::read(root)?.as_ref(), declared, &state);
    files::replace(&run, METRICS, text.as_bytes(), 0o644)
        .with_context(|| format!("failed to write '/{RUN}/{METRICS}'"))?;
    Ok(if is_well && made.is_ok() {
        Exit::Done
    } else {
        Exit::Report
    })
}

/// Runs `work` on a thread of its own, or here and now where the system has none to give.
fn side_by_side<'scope, F: FnOnce() + Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: F,
) {
    // A thread that does not start takes its closure with it.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<F>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let theirs = Arc::clone(&work);
    // Not `scope.spawn`, which panics where the system gives no thread; a panic aborts this program.
    let started = thread::Builder::new().spawn_scoped(scope, move || {
        if let Some(work) = take(&theirs) {
            work();
        }
    });
    if started.is_err()
        && let Some(work) = take(&work)
    {
        work();
    }
}

/// Returns the state of each sink in this boot, by its URL; empty before the first report.
pub fn sinks(root: &Root) -> BTreeMap<String, SinkStatus> {
    let run = files::open_directory(root, RUN);
    run.map_or_else(|_| BTreeMap::new(), |run| State::read(&run).sinks)
}

/// A report, if there is something new to say or the last one is old.
fn make(
    root: &Root,
    declared: &Declared,
    state: &mut State,
    moment: &Moment,
) -> Result<Option<Vec<u8>>> {
    let dropped = state.sinks.values().map(|sink| sink.dropped).sum();
    let report = made::report(root, dropped)?;
    let says = crypto::sha256(&made::lasting(&report).to_line()?).hex();
    // A little early rather than a whole turn late.
    let every = declared.every.duration().as_secs() / 4 * 3;
    let is_due = moment.is_forced
        || state.said.as_ref() != Some(&says)
        || state
            .made
            .is_none_or(|made| moment.uptime.saturating_sub(made) >= every);
    if !is_due {
        return Ok(None);
    }
    let line = report.to_line()?;
    (state.said, state.made) = (Some(says), Some(moment.uptime));
    Ok(Some(line))
}

/// Brings to each sink what it has not got, each on its own. Whether all went well.
fn bring(
    root: &Root,
    declared: &Declared,
    state: &mut State,
    moment: &Moment,
    made: Option<&[u8]>,
) -> bool {
    let role = instance::role(root);
    let mut sinks: Vec<(&Sink, SinkStatus)> = Vec::new();
    for sink in &declared.to {
        let known = state.sinks.remove(sink.as_str()).unwrap_or_default();
        sinks.push((sink, known));
    }
    // A thread each: what hangs, hangs alone.
    thread::scope(|scope| {
        for (sink, state) in &mut sinks {
            let role = role.clone();
            let work = move || {
                let spool = Spool::open(root, sink).map_err(|error| error.to_string());
                let remote = Remote::new(root, role);
                let mut delivery = Delivery { state, moment };
                delivery.run(&spool, made, &async |name, line| {
                    remote.put(&sink.location().beneath(name), line).await
                });
            };
            side_by_side(scope, work);
        }
    });
    let mut is_well = true;
    state.sinks.clear();
    for (sink, known) in sinks {
        if let Some(problem) = &known.problem {
            is_well = false;
            complain!("earmark-agent: '{}': {}", sink.as_str(), clean(problem));
        }
        state.sinks.insert(sink.as_str().to_owned(), known);
    }
    is_well
}

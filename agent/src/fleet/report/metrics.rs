//! Metrics that Prometheus reads on this host, in the form that the node exporter's textfile collector takes. No label
//! has a value that the image does not bound.

use std::fmt::Write;

use earmark_manifest::declaration::Report as Declared;

use super::state::State;
use crate::status::model::{ChannelState, ChannelStatus, DeclaredLock, SinkStatus, Status};

/// All of it. Without a record there is nothing but the sinks.
pub fn render(status: Option<&Status>, declared: &Declared, state: &State) -> String {
    let mut text = Text::default();
    if let Some(status) = status {
        host(&mut text, status);
    }
    let sinks = || {
        declared.to.iter().filter_map(|sink| {
            let labels = format!("sink=\"{}\"", escaped(sink.as_str()));
            Some((labels, state.sinks.get(sink.as_str())?))
        })
    };
    let mut counts = |name, kind, help, value: &dyn Fn(&SinkStatus) -> Option<u64>| {
        text.family(name, kind, help);
        for (labels, sink) in sinks() {
            if let Some(value) = value(sink) {
                text.sample(name, &labels, value);
            }
        }
    };
    counts(
        "earmark_report_sent_total",
        "counter",
        "Reports that the sink accepted in this boot.",
        &|sink| Some(sink.sent),
    );
    counts(
        "earmark_report_failed_total",
        "counter",
        "Failed deliveries to the sink in this boot.",
        &|sink| Some(sink.failed),
    );
    counts(
        "earmark_report_dropped_total",
        "counter",
        "Reports of this boot that were dropped and never reach the sink.",
        &|sink| Some(sink.dropped),
    );
    counts(
        "earmark_report_spool_bytes",
        "gauge",
        "Bytes in the spool that wait for the sink.",
        &|sink| Some(sink.spooled),
    );
    counts(
        "earmark_report_last_success_timestamp_seconds",
        "gauge",
        "Time at which the sink last accepted a report.",
        &|sink| sink.last,
    );
    text.0
}

fn host(text: &mut Text, status: &Status) {
    let report = &status.report;
    if let Some(image) = &report.image {
        let labels = format!(
            "image=\"{}\",version=\"{}\",manifest=\"{}\",agent=\"{}\"",
            escaped(&image.name),
            escaped(&image.version),
            escaped(report.manifest.as_deref().unwrap_or_default()),
            escaped(&report.agent)
        );
        text.gauge(
            "earmark_image_info",
            "The image that this host runs.",
            &labels,
            1,
        );
    }
    text.states(
        "earmark_verdict",
        "Verdict of the last verification.",
        "verdict",
        &["verified", "partial", "violated", "undecided"],
        report.verdict.name(),
    );
    text.gauge(
        "earmark_violations",
        "Violations that the last verification found.",
        "",
        report.counts.violations,
    );
    text.gauge(
        "earmark_undecided",
        "Items that the last verification could not decide.",
        "",
        report.counts.undecided,
    );
    if let Some(time) = report.time {
        let help = "Time of the last verification.";
        text.gauge("earmark_verification_timestamp_seconds", help, "", time);
    }
    if let Some(state) = &status.lockdown {
        let name = "earmark_lock_shut";
        text.family(
            name,
            "gauge",
            "1 if a lock that the image denies is enforced or has nothing to shut.",
        );
        for lock in state
            .locks
            .iter()
            .filter(|lock| lock.declared == DeclaredLock::Deny)
        {
            text.sample(
                name,
                &format!("lock=\"{}\"", escaped(&lock.lock)),
                u64::from(lock.state.is_shut()),
            );
        }
    }
    let taints = u64::try_from(status.taints.len()).unwrap_or(u64::MAX);
    text.gauge(
        "earmark_taints",
        "Taints of this instance: changes that its image does not declare.",
        "",
        taints,
    );
    if let Some(following) = &status.channel {
        channel(text, following);
    }
}

fn channel(text: &mut Text, channel: &ChannelStatus) {
    let all = ChannelState::ALL.map(ChannelState::name);
    let help = "State of this host in the channel of its image.";
    text.states(
        "earmark_channel_state",
        help,
        "state",
        &all,
        channel.state.name(),
    );
    let behind = channel.behind.unwrap_or_default();
    let behind = u64::try_from(behind).unwrap_or(u64::MAX);
    text.gauge(
        "earmark_channel_behind_releases",
        "Releases that are newer than this host's.",
        "",
        behind,
    );
    for (name, help, value) in [
        (
            "earmark_channel_sequence",
            "The counter of the channel document that is followed.",
            channel.counter,
        ),
        (
            "earmark_channel_fetched_timestamp_seconds",
            "Time at which the channel was last fetched.",
            channel.fetched,
        ),
        (
            "earmark_channel_expires_timestamp_seconds",
            "Time at which the channel document expires.",
            channel.expires,
        ),
    ] {
        if let Some(value) = value {
            text.gauge(name, help, "", value);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, labels, value);
    }

    fn states(&mut self, name: &str, help: &str, label: &str, all: &[&str], now: &str) {
        self.family(name, "gauge", help);
        // Each state each time, as 0 or 1: an alert finds nothing to compare in a series that was never there.
        for each in all {
            self.sample(
                name,
                &format!("{label}=\"{each}\""),
                u64::from(*each == now),
            );
        }
    }
}

/// As the text format has label values. A control character has no place in one.
fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for letter in value.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            // A line break would begin a metric of the value's choice.
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

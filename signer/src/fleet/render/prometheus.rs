//! For Prometheus. Labels are bounded: images and versions are those of the verified channels, and one more for
//! what is none of them, so that no host can make a time series.

use std::fmt::Write;

use crate::fleet::{State, Status};

/// Hosts of other images than the channels'; versions that they do not know.
const OTHER: &str = "other";

pub fn text(status: &Status) -> String {
    let mut text = String::new();
    let _ = write(&mut text, status);
    text
}

fn write(out: &mut String, status: &Status) -> std::fmt::Result {
    family(
        out,
        "earmark_fleet_hosts",
        "Hosts by image and state; each is counted once.",
    )?;
    for (image, hosts) in &status.images {
        let image = escaped(named(image));
        for state in State::ALL {
            let count = hosts.states.of(state);
            writeln!(
                out,
                "earmark_fleet_hosts{{image=\"{image}\",state=\"{state}\"}} {count}"
            )?;
        }
    }
    family(
        out,
        "earmark_fleet_version_hosts",
        "Hosts by image and the version that they run.",
    )?;
    for (image, hosts) in &status.images {
        let image = escaped(named(image));
        for (version, count) in &hosts.versions {
            let version = escaped(version.as_deref().unwrap_or(OTHER));
            let labels = format!("image=\"{image}\",version=\"{version}\"");
            writeln!(out, "earmark_fleet_version_hosts{{{labels}}} {count}")?;
        }
    }
    family(
        out,
        "earmark_fleet_whole",
        "1 if a host was seen and every report could be read; 0 if the other numbers are \
         incomplete.",
    )?;
    writeln!(out, "earmark_fleet_whole {}", u8::from(status.is_whole()))?;
    let unusable = status.reports.unusable.count() + status.reports.unread.count();
    family(
        out,
        "earmark_fleet_reports_unusable",
        "Reports that do not count or could not be read.",
    )?;
    writeln!(out, "earmark_fleet_reports_unusable {unusable}")?;
    let behind = status
        .hosts
        .iter()
        .filter(|host| host.state == State::Behind);
    let oldest = behind.filter_map(|host| host.behind_since).min();
    let oldest = oldest.map_or(0, |since| status.time.saturating_sub(since));
    family(
        out,
        "earmark_fleet_oldest_behind_seconds",
        "Longest time for which a host has been behind.",
    )?;
    writeln!(out, "earmark_fleet_oldest_behind_seconds {oldest}")?;
    family(
        out,
        "earmark_fleet_timestamp_seconds",
        "Time of this result.",
    )?;
    writeln!(out, "earmark_fleet_timestamp_seconds {}", status.time)
}

fn family(out: &mut String, name: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")
}

fn named(image: &str) -> &str {
    if image.is_empty() { OTHER } else { image }
}

fn escaped(label: &str) -> String {
    let label = label.replace('\\', "\\\\").replace('"', "\\\"");
    label.replace('\n', "\\n")
}

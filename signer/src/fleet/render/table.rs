//! For people in a terminal.

use std::fmt;

use crate::{
    fleet::{State, Status, channels::ShownChannel, duration, join::Host, source::Named},
    io::output,
};

/// The whole, in lines.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    status: &'a Status,
    /// Number of hosts that are named, at most.
    hosts: usize,
}

/// Hosts that are named, and groups.
const HOSTS: usize = 50;
const GROUPS: usize = 50;

impl<'a> Table<'a> {
    pub fn of(status: &'a Status) -> Self {
        Self {
            status,
            hosts: HOSTS,
        }
    }

    /// The same with fewer hosts, for a screen.
    pub fn short(status: &'a Status, hosts: usize) -> Self {
        let hosts = hosts.min(HOSTS);
        Self { status, hosts }
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        let total = output::count(status.total(), "host", "hosts");
        writeln!(f, "fleet at {}: {total}", output::utc(status.time))?;
        for channel in &status.channels {
            writeln!(f, "  channel    {}", channel_text(channel))?;
        }
        if let Some(doubt) = status.doubt() {
            writeln!(f, "  NOT WHOLE  {doubt}")?;
        }
        let counted = states_text(status);
        if !counted.is_empty() {
            writeln!(f, "  hosts      {counted}")?;
        }
        if !status.inventory {
            let without = "no inventory: a host that never reported, or stopped to, is not missed";
            writeln!(f, "  note       {without}")?;
        }
        if status.reports.gone > 0 {
            let gone = output::count(status.reports.gone, "host", "hosts");
            let after = duration(status.silent_after);
            let why = if status.inventory {
                "not running any more, by the inventory".to_owned()
            } else {
                format!("without a report for {after}: they may be gone")
            };
            writeln!(f, "  not hosts  {gone} {why}")?;
        }
        Ok(())
    }

    fn groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        if status.group_by.is_empty() || status.groups.is_empty() {
            return Ok(());
        }
        let kinds: Vec<State> = status.states.some().map(|(state, _)| state).collect();
        let mut rows = Vec::new();
        let title = status.group_by.iter().map(|by| by.name().to_uppercase());
        let title = title.chain(["HOSTS".to_owned()]);
        rows.push(
            title
                .chain(kinds.iter().map(|state| state.name().to_uppercase()))
                .collect(),
        );
        for group in status.groups.iter().take(GROUPS) {
            let of = group
                .of
                .iter()
                .map(|part| part.as_deref().unwrap_or("-").to_owned());
            let hosts = [output::thousands(group.hosts)];
            let counts = kinds.iter().map(|state| match group.states.of(*state) {
                0 => "-".to_owned(),
                count => output::thousands(count),
            });
            rows.push(of.chain(hosts).chain(counts).collect::<Vec<String>>());
        }
        writeln!(f)?;
        columns(f, &rows, status.group_by.len())?;
        more(f, "  ", status.groups.len().saturating_sub(GROUPS))
    }

    /// The worst first; as many of each state as there is room for.
    fn wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self
            .status
            .hosts
            .iter()
            .filter(|host| host.state != State::Current);
        let wrong: Vec<&Host> = wrong.collect();
        let mut room = self.hosts;
        for of_state in wrong.chunk_by(|a, b| a.state == b.state) {
            let Some(first) = of_state.first() else {
                continue;
            };
            let count = output::thousands(of_state.len() as u64);
            writeln!(f, "\n  {} ({count})", first.state)?;
            let rows: Vec<Vec<String>> = of_state.iter().take(room).map(|host| row(host)).collect();
            columns(f, &rows, usize::MAX)?;
            more(f, "  ", of_state.len() - rows.len())?;
            room -= rows.len();
        }
        Ok(())
    }

    fn reports(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports = &self.status.reports;
        named(f, "reports that do not count", &reports.unusable)?;
        named(f, "NOT READ: nobody knows what these say", &reports.unread)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.groups(f)?;
        self.wrong(f)?;
        self.reports(f)
    }
}

/// A channel in a line.
pub fn channel_text(channel: &ShownChannel) -> String {
    let latest = channel.latest.as_deref().unwrap_or("none yet");
    let over = if channel.expired {
        "EXPIRED"
    } else {
        "good until"
    };
    format!(
        "{} of {}: {latest}, counter {}, {over} {}",
        channel.channel,
        channel.image,
        channel.counter,
        output::utc(channel.expires)
    )
}

/// Returns the number of hosts of each state that occurs, the good ones first.
pub fn states_text(status: &Status) -> String {
    let mut counted: Vec<String> = status
        .states
        .some()
        .map(|(state, count)| format!("{} {state}", output::thousands(count)))
        .collect();
    counted.reverse();
    counted.join(", ")
}

fn row(host: &Host) -> Vec<String> {
    let image = host.image.as_deref().unwrap_or("-");
    let version = host.version.as_deref().unwrap_or("-");
    vec![
        match &host.name {
            Some(name) => format!("{} ({name})", host.id),
            None => host.id.to_string(),
        },
        format!("{image} {version}"),
        host.reason.as_deref().unwrap_or_default().to_owned(),
    ]
}

/// Rows whose columns stand below each other: from `numbers` on to the right.
fn columns(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>], numbers: usize) -> fmt::Result {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::from("   ");
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = width.saturating_sub(cell.chars().count());
            let (before, after) = if index >= numbers { (gap, 0) } else { (0, gap) };
            line.push_str(&" ".repeat(before + 1));
            line.push_str(cell);
            line.push_str(&" ".repeat(after + 1));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn named(f: &mut fmt::Formatter<'_>, title: &str, named: &Named) -> fmt::Result {
    if named.count() == 0 {
        return Ok(());
    }
    writeln!(f, "\n  {title} ({})", output::thousands(named.count()))?;
    let rows: Vec<Vec<String>> = named
        .first()
        .map(|(name, why)| vec![name.to_owned(), why.to_owned()])
        .collect();
    columns(f, &rows, usize::MAX)?;
    let rest = usize::try_from(named.count()).unwrap_or(usize::MAX);
    more(f, "  ", rest.saturating_sub(rows.len()))
}

fn more(f: &mut fmt::Formatter<'_>, indent: &str, count: usize) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(
        f,
        "{indent}  … and {} more",
        output::thousands(count as u64)
    )
}

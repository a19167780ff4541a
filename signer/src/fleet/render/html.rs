//! For a browser: one page that needs nothing beside it, and nothing to run.
//!
//! It contains text that hosts send. That is escaped, and were that to fail, the page's own policy lets no
//! script, picture or request through: the one style is named by its digest.

mod parts;

use std::fmt::{self, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use earmark_manifest::crypto::sha256;

use crate::{
    fleet::{State, Status, duration, source::Named},
    io::output,
};
use parts::{Escaped, bar, host_row, tone};

const STYLE: &str = include_str!("html/style.css");

/// Hosts of a state, groups, versions, and the oldest hosts that are named.
const HOSTS: usize = 100;
const GROUPS: usize = 50;
const VERSIONS: usize = 20;
const OLDEST: usize = 20;

/// The page.
pub fn page(status: &Status) -> String {
    let mut page = String::new();
    // A string takes all that is written to it.
    let _ = write_page(&mut page, status);
    page
}

fn write_page(out: &mut String, status: &Status) -> fmt::Result {
    let digest = BASE64_STANDARD.encode(sha256(STYLE.as_bytes()).as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    );
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Fleet: {}{} of {} current</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        status.doubt().map_or("", |_| "NOT WHOLE, "),
        output::thousands(status.states.of(State::Current)),
        output::thousands(status.total()),
    )?;
    head(out, status)?;
    versions(out, status)?;
    groups(out, status)?;
    oldest(out, status)?;
    wrong(out, status)?;
    reports(out, status)?;
    out.push_str("</body>\n</html>\n");
    Ok(())
}

fn head(out: &mut String, status: &Status) -> fmt::Result {
    let total = output::count(status.total(), "host", "hosts");
    let time = output::utc(status.time);
    writeln!(
        out,
        "<header>\n<h1>{total}</h1>\n<p class=\"dim\">as of <time>{time}</time></p>"
    )?;
    for channel in &status.channels {
        let latest = channel.latest.as_deref().unwrap_or("none yet");
        let (image, name) = (Escaped(&channel.image), Escaped(&channel.channel));
        let class = if channel.expired { "alert" } else { "dim" };
        let over = if channel.expired {
            "expired"
        } else {
            "good until"
        };
        writeln!(
            out,
            "<p>{image} should run <b>{}</b> <span class=\"{class}\">(channel {name}, counter {}, \
             {over} {})</span></p>",
            Escaped(latest),
            channel.counter,
            output::utc(channel.expires)
        )?;
    }
    if let Some(doubt) = status.doubt() {
        writeln!(out, "<p class=\"alert\">{}</p>", Escaped(&doubt))?;
    }
    if !status.inventory {
        out.push_str(
            "<p class=\"dim\">Without an inventory: a host that never reported, or stopped to, is not \
             missed.</p>\n",
        );
    }
    out.push_str("<ul class=\"tiles\">\n");
    for (state, count) in status.states.some() {
        let count = output::thousands(count);
        let tone = tone(state);
        writeln!(
            out,
            "<li><b class=\"{tone}\" data-state=\"{state}\">{count}</b> {state}</li>"
        )?;
    }
    out.push_str("</ul>\n</header>\n");
    Ok(())
}

fn versions(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str("<section id=\"versions\">\n<h2>Versions</h2>\n<ul class=\"rows\">\n");
    for (image, hosts) in &status.images {
        let shown = if image.is_empty() {
            "other images"
        } else {
            image
        };
        let mut versions: Vec<_> = hosts.versions.iter().collect();
        versions.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (version, count) in versions.iter().take(VERSIONS) {
            let version = version.as_deref().unwrap_or("not in the channel");
            writeln!(
                out,
                "<li><div class=\"line\"><span>{} <b>{}</b></span><span>{}</span></div>",
                Escaped(shown),
                Escaped(version),
                output::count(**count, "host", "hosts")
            )?;
            bar(out, &[("bar", **count)], status.total())?;
            out.push_str("</li>\n");
        }
        more(out, versions.len().saturating_sub(VERSIONS))?;
    }
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

fn groups(out: &mut String, status: &Status) -> fmt::Result {
    if status.group_by.is_empty() {
        return Ok(());
    }
    let by: Vec<&str> = status.group_by.iter().map(|by| by.name()).collect();
    let by = by.join(", ");
    writeln!(
        out,
        "<section id=\"groups\">\n<h2>By {by}</h2>\n<ul class=\"rows\">"
    )?;
    for group in status.groups.iter().take(GROUPS) {
        let parts = group.of.iter().map(|part| part.as_deref().unwrap_or("–"));
        let parts: Vec<String> = parts.map(|part| Escaped(part).to_string()).collect();
        let counted = group.states.some();
        let counted: Vec<String> = counted
            .map(|(state, count)| format!("{} {state}", output::thousands(count)))
            .collect();
        writeln!(
            out,
            "<li><div class=\"line\"><b>{}</b><span class=\"dim\">{}</span></div>",
            parts.join(" · "),
            counted.join(", ")
        )?;
        let tones: Vec<(&str, u64)> = group
            .states
            .some()
            .map(|(state, count)| (tone(state), count))
            .collect();
        bar(out, &tones, group.hosts)?;
        out.push_str("</li>\n");
    }
    more(out, status.groups.len().saturating_sub(GROUPS))?;
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

/// Those that are behind for longest, whatever else is wrong with them.
fn oldest(out: &mut String, status: &Status) -> fmt::Result {
    let mut behind: Vec<_> = status
        .hosts
        .iter()
        .filter_map(|host| Some((host.behind_since?, host)))
        .collect();
    behind.sort_by_key(|(since, host)| (*since, &host.id));
    if behind.is_empty() {
        return Ok(());
    }
    out.push_str("<section id=\"oldest\">\n<h2>Behind for longest</h2>\n<ul class=\"rows\">\n");
    for (since, host) in behind.iter().take(OLDEST) {
        let releases = host.behind.unwrap_or_default();
        let releases = output::count(releases, "release", "releases");
        let age = duration(status.time.saturating_sub(*since));
        let up = host.booted.map_or_else(String::new, |booted| {
            format!(", up for {}", duration(status.time.saturating_sub(booted)))
        });
        host_row(out, host, &format!("{releases} behind for {age}{up}"))?;
    }
    more(out, behind.len().saturating_sub(OLDEST))?;
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

fn wrong(out: &mut String, status: &Status) -> fmt::Result {
    let wrong: Vec<_> = status
        .hosts
        .iter()
        .filter(|host| host.state != State::Current)
        .collect();
    out.push_str("<section id=\"wrong\">\n<h2>What is wrong</h2>\n");
    match status.doubt() {
        // Of what nobody looked at nothing is good.
        Some(doubt) => writeln!(
            out,
            "<p class=\"alert\">Nobody knows: {}.</p>",
            Escaped(&doubt)
        )?,
        None if wrong.is_empty() => out.push_str("<p class=\"good\">Nothing.</p>\n"),
        None => {}
    }
    for of_state in wrong.chunk_by(|a, b| a.state == b.state) {
        let Some(first) = of_state.first() else {
            continue;
        };
        let (state, count) = (first.state, output::thousands(of_state.len() as u64));
        let tone = tone(state);
        writeln!(
            out,
            "<h3 class=\"{tone}\">{state} ({count})</h3>\n<ul class=\"rows\">"
        )?;
        for host in of_state.iter().take(HOSTS) {
            host_row(out, host, host.reason.as_deref().unwrap_or_default())?;
        }
        more(out, of_state.len().saturating_sub(HOSTS))?;
        out.push_str("</ul>\n");
    }
    out.push_str("</section>\n");
    Ok(())
}

fn reports(out: &mut String, status: &Status) -> fmt::Result {
    named(out, "Reports that do not count", &status.reports.unusable)?;
    named(out, "Not read", &status.reports.unread)?;
    if status.reports.gone > 0 {
        let gone = output::count(status.reports.gone, "host", "hosts");
        writeln!(
            out,
            "<p class=\"dim\">{gone} sent reports once, and may be gone: not counted.</p>"
        )?;
    }
    Ok(())
}

fn named(out: &mut String, title: &str, named: &Named) -> fmt::Result {
    if named.count() == 0 {
        return Ok(());
    }
    let count = output::thousands(named.count());
    writeln!(
        out,
        "<section>\n<h2>{title} ({count})</h2>\n<ul class=\"rows\">"
    )?;
    let mut shown = 0;
    for (name, why) in named.first() {
        shown += 1;
        let (name, why) = (Escaped(name), Escaped(why));
        writeln!(out, "<li>{name}<br><span class=\"dim\">{why}</span></li>")?;
    }
    let rest = usize::try_from(named.count()).unwrap_or(usize::MAX);
    more(out, rest.saturating_sub(shown))?;
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

fn more(out: &mut String, count: usize) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    let count = output::thousands(count as u64);
    writeln!(out, "<li class=\"dim\">… and {count} more</li>")
}

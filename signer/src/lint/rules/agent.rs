//! Rules about what makes the image Earmark's.

use earmark_manifest::{
    declaration::{Declaration, LockName},
    layout,
    profile::Evidence,
};
use earmark_scan::cloud_init;

use super::{Image, Sink, path};
use crate::lint::{finding::Draft, image::Seen};

/// The agent itself.
pub fn is_installed(image: &Image<'_>, sink: &mut Sink) {
    if agent(image).is_none() {
        let found = "is not there: nothing would verify the image";
        sink.push(Draft::new(&path("/usr/bin/earmark-agent"), found));
    }
}

/// The units that start it.
pub fn is_enabled(image: &Image<'_>, sink: &mut Sink) {
    const UNITS: [&str; 3] = [
        "earmark-verify.service",
        "earmark-ready.target",
        "earmark-agent.service",
    ];
    if agent(image).is_none() {
        return;
    }
    let directories = [
        "etc/systemd/system",
        "usr/lib/systemd/system",
        "lib/systemd/system",
    ];
    for unit in UNITS {
        let is_link_to_it = |name: &[u8], above: &[u8]| {
            name == unit.as_bytes() && (above.ends_with(b".wants") || above.ends_with(b".requires"))
        };
        let is_wanted = directories
            .into_iter()
            .flat_map(|directory| image.beneath(directory))
            .any(|seen| {
                let above = seen.path.parent().unwrap_or_default();
                is_link_to_it(seen.name(), above.as_bytes())
            });
        if !is_wanted {
            let at = path(&format!("/usr/lib/systemd/system/{unit}"));
            sink.push(Draft::new(&at, "is not enabled: nothing would start it"));
        }
    }
}

fn agent<'a>(image: &'a Image<'a>) -> Option<&'a Seen<'a>> {
    let places = ["usr/bin/earmark-agent", "usr/sbin/earmark-agent"];
    places.into_iter().find_map(|place| image.get(place))
}

/// The keys that the image believes. `seal` and `install` put them there.
pub fn has_trust(image: &Image<'_>, sink: &mut Sink) {
    if image.get(layout::TRUST.trim_start_matches('/')).is_none() {
        let found = "is not there: 'earmark seal' and 'install' put it there";
        sink.push(Draft::new(&path(layout::TRUST), found));
    }
}

/// An image that boots, and does not say with which words. On the root of a running host 'measure' and 'seal'
/// record them.
pub fn command_line(image: &Image<'_>, sink: &mut Sink) {
    let is_declared = |(declared, _): (&Declaration, _)| declared.boot.cmdline.is_some();
    if image.declared.is_none_or(is_declared) || image.root.is_live() {
        return;
    }
    let is_kernel = |seen: &&Seen<'_>| seen.has_content() && seen.name().starts_with(b"vmlinuz");
    let mut kernels = image
        .beneath("boot")
        .chain(image.beneath("usr/lib/modules"));
    if let Some(kernel) = kernels.find(is_kernel) {
        let found =
            "boots with a command line that is not signed: earmark.toml has no [boot] cmdline";
        sink.push(Draft::new(kernel.path, found));
    }
}

/// Ways to log in that the lockdown shuts because nothing was declared of them.
pub fn login(image: &Image<'_>, sink: &mut Sink) {
    const SERVERS: [&str; 3] = [
        "usr/sbin/sshd",
        "usr/bin/amazon-ssm-agent",
        "usr/bin/ssm-agent-worker",
    ];
    let is_declared = |(declared, _): (&Declaration, _)| declared.lockdown.declares_remote_access();
    if image.declared.is_none_or(is_declared) {
        return;
    }
    let found = SERVERS.iter().find_map(|path| image.get(path));
    if let Some(server) = found.filter(|seen| seen.has_content()) {
        let found = "is shut from the next boot on: earmark.toml has no [lockdown] remote_access";
        sink.push(Draft::new(server.path, found));
    }
}

/// A profile whose rules no booted host has proven.
pub fn profile(image: &Image<'_>, sink: &mut Sink) {
    let profile = image
        .declared
        .and_then(|(declared, _)| declared.tree.profile);
    let Some(profile) = profile else {
        return;
    };
    if !matches!(profile.evidence(), Ok(Evidence::Booted)) {
        let found = format!(
            "is of '{}', whose profile was not booted here",
            profile.name()
        );
        sink.push(Draft::new(&path("/usr/lib/os-release"), found));
    }
}

/// cloud-init that would take code from user-data.
pub fn user_data(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() || image.allows(LockName::CloudInit) {
        return;
    }
    match cloud_init::problem(image.root) {
        Ok(None) => {}
        Ok(Some((file, found))) => {
            let draft = Draft::new(&file, format!("lets user-data be code: {found}"));
            // One that is there is not replaced.
            sink.push(draft.written(vec![super::cloud_init::switches()]));
        }
        Err(error) => image.doubt(error.to_string()),
    }
}

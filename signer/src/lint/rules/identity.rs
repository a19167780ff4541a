//! Rules about what a host must have for itself: two hosts with the same are one host to everything that asks.

use earmark_manifest::declaration::{Action, LockName, Step};
use earmark_scan::cloud_init;

use super::{Image, Sink};
use crate::{io::output, lint::finding::Draft};

/// `/etc/machine-id`.
pub fn machine_id(image: &Image<'_>, sink: &mut Sink) {
    match image.get("etc/machine-id") {
        Some(file) if file.has_content() => {
            let text = image.text_of(file).unwrap_or_default();
            let found = match text.trim() {
                "uninitialized" => "says 'uninitialized': the first boot would enable units anew",
                _ => "has the id of one machine",
            };
            sink.push(Draft::new(file.path, found).emptied());
        }
        Some(file) if !file.is_file() => {
            sink.push(Draft::new(file.path, "is no regular file").warns_if(true));
        }
        None if image.get("usr/lib/systemd/systemd").is_some() => {
            let found = "is missing, not empty: the first boot would enable units anew";
            sink.push(Draft::new(&super::path("/etc/machine-id"), found).warns_if(true));
        }
        _ => {}
    }
    let copy = image.get("var/lib/dbus/machine-id");
    if let Some(file) = copy.filter(|file| file.has_content()) {
        sink.push(Draft::new(file.path, "has the id of one machine").removed());
    }
}

/// Keys by which a host is known to SSH clients.
pub fn ssh_host_keys(image: &Image<'_>, sink: &mut Sink) {
    let of_sshd = image.children("etc/ssh").filter(|file| {
        let name = String::from_utf8_lossy(file.name()).into_owned();
        name.starts_with("ssh_host_") && (name.ends_with("_key") || name.ends_with("_key.pub"))
    });
    let of_dropbear = image.children("etc/dropbear").filter(|file| {
        file.name().starts_with(b"dropbear_") && file.name().ends_with(b"_host_key")
    });
    for file in of_sshd.chain(of_dropbear).filter(|file| file.is_file()) {
        sink.push(Draft::new(file.path, "every host would have this key").removed());
    }
}

/// sshd whose host keys nothing makes. systemd takes an empty `/etc/machine-id` for no first boot (machine-id(5)), so that
/// Debian's `sshd-keygen.service` does nothing on the hosts of an image that is as [`machine_id`] wants it.
pub fn host_keys_made(image: &Image<'_>, sink: &mut Sink) {
    const UNIT: &str = "usr/lib/systemd/system/sshd-keygen.service";
    const SETTINGS: [&str; 2] = [
        "etc/systemd/system/sshd-keygen.service.d",
        "usr/lib/systemd/system/sshd-keygen.service.d",
    ];
    let unit = image.text(UNIT).unwrap_or_default();
    let is_empty = image
        .get("etc/machine-id")
        .is_some_and(|file| file.is_file() && !file.has_content());
    if !unit
        .lines()
        .any(|line| line.trim() == "ConditionFirstBoot=yes")
        || !is_empty
    {
        return;
    }
    let settings = SETTINGS
        .iter()
        .flat_map(|directory| image.children(directory));
    let is_reset = settings.filter_map(|file| image.text_of(file)).any(|text| {
        text.lines()
            .any(|line| line.trim() == "ConditionFirstBoot=")
    });
    let is_made = image.declared.as_ref().is_some_and(|(declared, _)| {
        declared.first_boot.iter().any(|step| match &step.action {
            Action::Command {
                executable,
                arguments,
                ..
            } => {
                let is_keygen = |text: String| text.contains("ssh-keygen");
                is_keygen(executable.to_string())
                    || arguments
                        .iter()
                        .any(|argument| is_keygen(format!("{argument:?}")))
            }
            Action::File { .. }
            | Action::Hostname { .. }
            | Action::Unit { .. }
            | Action::Volume { .. } => false,
        })
    });
    let is_shut = image.declared.as_ref().is_some_and(|(declared, _)| {
        let shut = declared.lockdown.shut_locks();
        let except = shut.get(&LockName::RemoteAccess);
        except.is_some_and(|except| !except.iter().any(|it| it == "sshd"))
    });
    // Its own module makes them, at each new instance.
    let has_cloud_init = matches!(cloud_init::is_present(image.root), Ok(true));
    if !(is_reset || is_made || is_shut || has_cloud_init) {
        let found = "makes no host keys where /etc/machine-id is empty: sshd would not start";
        sink.push(Draft::new(&super::path(&format!("/{UNIT}")), found));
    }
}

/// Files with a seed for random number generators, relative to the root.
pub const RANDOM_SEEDS: [&str; 6] = [
    "var/lib/systemd/random-seed",
    "var/lib/urandom/random-seed",
    "var/lib/random-seed",
    "boot/loader/random-seed",
    "boot/efi/loader/random-seed",
    "efi/loader/random-seed",
];

/// Seeds of random number generators.
pub fn random_seed(image: &Image<'_>, sink: &mut Sink) {
    for path in RANDOM_SEEDS {
        if let Some(file) = image.get(path).filter(|file| file.has_content()) {
            let found = "every host would start its random numbers from it";
            sink.push(Draft::new(file.path, found).removed());
        }
    }
}

/// Addresses that a builder was given.
pub fn dhcp_leases(image: &Image<'_>, sink: &mut Sink) {
    let directories = [
        "var/lib/dhcp",
        "var/lib/dhclient",
        "var/lib/dhcpcd",
        "var/lib/dhcpcd5",
    ];
    let of_clients = directories.into_iter().flat_map(|path| image.beneath(path));
    let of_manager = image
        .children("var/lib/NetworkManager")
        .filter(|file| file.name().ends_with(b".lease"));
    for file in of_clients
        .chain(of_manager)
        .filter(|file| file.has_content())
    {
        let draft = Draft::new(file.path, "has a lease of the builder's").removed();
        sink.push(draft.warns_if(image.live));
    }
}

/// Rules that tie a name to the builder's hardware.
pub fn udev_names(image: &Image<'_>, sink: &mut Sink) {
    for name in ["70-persistent-net.rules", "70-persistent-cd.rules"] {
        let path = format!("etc/udev/rules.d/{name}");
        if let Some(file) = image.get(path).filter(|file| file.has_content()) {
            let found = "names devices of the builder's by their addresses";
            sink.push(Draft::new(file.path, found).removed());
        }
    }
}

/// A name that was given to one machine.
pub fn hostname(image: &Image<'_>, sink: &mut Sink) {
    let text = image.text("etc/hostname").unwrap_or_default();
    let name = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(name) = name.filter(|name| name.split('.').next() != Some("localhost")) else {
        return;
    };
    let declares_one = image.declared.as_ref().is_some_and(|(declared, _)| {
        let names = |step: &Step| matches!(step.action, Action::Hostname { .. });
        declared.first_boot.iter().any(names)
    });
    if declares_one {
        return;
    }
    let found = format!("every host would be called '{}'", output::plain(name));
    sink.push(Draft::new(&super::path("/etc/hostname"), found));
}

/// A resolver that only the builder could ask.
pub fn resolver(image: &Image<'_>, sink: &mut Sink) {
    let text = image.text("etc/resolv.conf").unwrap_or_default();
    let server = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("nameserver"));
    if let Some(server) = server {
        let found = format!("names the resolver '{}'", output::plain(server.trim()));
        sink.push(Draft::new(&super::path("/etc/resolv.conf"), found));
    }
}

/// Finds cloud-init's state of the instance that it ran on.
pub fn cloud_init_state(image: &Image<'_>, sink: &mut Sink) {
    for name in ["instance", "instances", "data", "sem", "handlers"] {
        let path = format!("var/lib/cloud/{name}");
        let Some(seen) = image.get(&path) else {
            continue;
        };
        if !seen.is_directory() || image.children(&path).next().is_some() {
            let found = "is what cloud-init knows of one instance";
            sink.push(Draft::new(seen.path, found).removed());
        }
    }
}

/// Finds files that the agent keeps on a running host.
pub fn agent_state(image: &Image<'_>, sink: &mut Sink) {
    for file in image
        .beneath("var/lib/earmark")
        .filter(|seen| seen.is_file())
    {
        // Values may be baked: it is where an image without EC2 looks for them.
        if file.path.as_bytes() != b"var/lib/earmark/values.toml" {
            sink.push(Draft::new(
                file.path,
                "the agent wrote it on a host that was booted",
            ));
        }
    }
}

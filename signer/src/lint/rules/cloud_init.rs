//! Rules about cloud-init: sealed files that it would write on each host, and the settings that stop it.

use earmark_manifest::{class::PathClass, declaration::LockName};
use earmark_scan::cloud_init::{self, SWITCH, SWITCHES};

use super::{Image, Sink, path};
use crate::lint::finding::{Draft, NewFile};

/// A file that cloud-init writes unless its configuration says otherwise.
struct Writes {
    /// Key of the configuration, for people.
    key: &'static str,
    /// Distribution, as os-release names it, on which alone it is written; any, if empty.
    only: &'static str,
    /// The first of these that the image has is written, or the last.
    paths: &'static [&'static str],
    /// Tells whether the configuration stops it.
    is_stopped: fn(&Configured<'_, '_>) -> bool,
    /// Line of a file of `cloud.cfg.d` that stops it.
    stop: &'static str,
    /// Empty file that has to be baked, too: the setting alone has cloud-init write it without content.
    baked: Option<&'static str>,
    /// True if accounts and their keys come from it: people who let somebody in may want it.
    lets_in: bool,
}

/// Source: the modules `cc_update_etc_hosts`, `cc_apt_configure`, `cc_ssh`, `cc_users_groups`, `cc_locale` and
/// `cc_install_hotplug` of cloud-init 22.4, 25.1 and 26.1, booted with Debian 13's; `10_aws_dnfvars.cfg` of Amazon
/// Linux 2023. Host name, network and host keys are in the profiles.
const WRITES: [Writes; 8] = [
    Writes {
        key: "manage_etc_hosts",
        only: "",
        paths: &["/etc/hosts"],
        is_stopped: |it| is_off(it.value("manage_etc_hosts", "false")),
        stop: "manage_etc_hosts: false",
        baked: None,
        lets_in: false,
    },
    Writes {
        key: "generate_mirrorlists",
        only: "",
        paths: &["/etc/apt/mirrors"],
        is_stopped: |it| is_off(it.value("generate_mirrorlists", "false")),
        stop: "apt: {generate_mirrorlists: false, preserve_sources_list: true}",
        baked: None,
        lets_in: false,
    },
    // The mirror of the region that the host is in.
    Writes {
        key: "preserve_sources_list",
        only: "ubuntu",
        paths: &[
            "/etc/apt/sources.list.d/ubuntu.sources",
            "/etc/apt/sources.list",
        ],
        is_stopped: |it| is_on(it.value("preserve_sources_list", "false")),
        stop: "apt: {generate_mirrorlists: false, preserve_sources_list: true}",
        baked: None,
        lets_in: false,
    },
    // The region and the domain of the repositories.
    Writes {
        key: "write_metadata",
        only: "amzn",
        paths: &["/etc/dnf/vars/awsregion"],
        is_stopped: |it| it.value("write_metadata", "[]") == "[]",
        stop: "write_metadata: []",
        baked: None,
        lets_in: false,
    },
    // Without keys it writes the file all the same, with nothing in it.
    Writes {
        key: "allow_public_ssh_keys",
        only: "",
        paths: &[KEYS],
        is_stopped: |it| {
            let baked = it.image.get(&KEYS[1..]);
            let is_baked = baked.is_some_and(|file| file.is_file() && file.size == 0);
            !it.has_module("cloud_init_modules:", "ssh")
                || is_off(it.value("allow_public_ssh_keys", "true")) && is_baked
        },
        stop: "allow_public_ssh_keys: false",
        baked: Some(KEYS),
        lets_in: true,
    },
    Writes {
        key: "users",
        only: "",
        paths: &["/etc/passwd"],
        is_stopped: |it| it.value("users", "[]") == "[]" || it.has_default_user(),
        stop: "users: []",
        baked: None,
        lets_in: true,
    },
    Writes {
        key: "locale",
        only: "",
        paths: &["/etc/locale.conf", "/etc/default/locale"],
        is_stopped: |it| {
            // Its own default, whatever the image has.
            let value = it.value("locale", "en_US.UTF-8");
            let is_baked = |path: &&str| {
                let text = it.image.text(path.trim_start_matches('/'));
                text.is_some_and(|text| text.contains(value))
            };
            let places = ["/etc/locale.conf", "/etc/default/locale"];
            is_off(value)
                || !it.has_module("cloud_config_modules:", "locale")
                || places.iter().any(is_baked)
        },
        stop: "locale: false",
        baked: None,
        lets_in: false,
    },
    Writes {
        key: "updates",
        only: "",
        paths: &["/etc/udev/rules.d/90-cloud-init-hook-hotplug.rules"],
        is_stopped: |it| {
            let is_said = |key| {
                let value = it.value(key, "");
                !value.is_empty() && !value.contains("hotplug")
            };
            // Older ones bring the rule in their package.
            let is_newer = it.image.get(MAIN).is_some();
            !is_newer
                || !it.has_module("cloud_final_modules:", "install-hotplug")
                || is_said("updates")
                || is_said("when")
        },
        stop: "updates: {network: {when: [boot-new-instance]}}",
        baked: None,
        lets_in: false,
    },
];
const KEYS: &str = "/root/.ssh/authorized_keys";
const MAIN: &str = "usr/lib/systemd/system/cloud-init-main.service";
const CLOUD: &str = "etc/cloud/cloud.cfg";
const CLOUD_DIRECTORY: &str = "etc/cloud/cloud.cfg.d";
/// File with the settings, which `--fix` makes. The file of the switches may have nothing else in it; this one is read
/// right before it.
const SETTINGS: &str = "/etc/cloud/cloud.cfg.d/99-earmark-settings.cfg";
const SETTINGS_HEAD: &str = "# Made by 'earmark lint --fix': cloud-init writes no sealed file.\n";

/// Sealed files that cloud-init writes, by its configuration in the image.
pub fn writes(image: &Image<'_>, sink: &mut Sink) {
    if image.declared.is_none() || !matches!(cloud_init::is_present(image.root), Ok(true)) {
        return;
    }
    let configured = Configured::of(image);
    // People who let somebody in may need the accounts and keys: they are told, and choose.
    let lets_in = image.allows(LockName::Accounts) && image.allows(LockName::RemoteAccess);
    let mut found = Vec::new();
    let distribution = distribution(image);
    let rows = WRITES.iter();
    for row in rows.filter(|row| row.only.is_empty() || row.only == distribution) {
        let at = row.paths.iter().find(|at| image.get(&at[1..]).is_some());
        let at = path(at.or(row.paths.last()).copied().unwrap_or_default());
        if !(row.is_stopped)(&configured) && image.class_of(&at) == PathClass::Sealed {
            found.push((row, at));
        }
    }
    let mut lines: Vec<&str> = Vec::new();
    let is_kept = |row: &Writes| lets_in && row.lets_in;
    for (row, _) in found.iter().filter(|(row, _)| !is_kept(row)) {
        if !lines.contains(&row.stop) {
            lines.push(row.stop);
        }
    }
    let text = format!("{SETTINGS_HEAD}{}\n", lines.join("\n"));
    for (row, at) in &found {
        let also = row
            .baked
            .map_or("", |_| ", and an empty file baked in its place,");
        let found = format!(
            "is sealed, and cloud-init writes it ('{}'); '{}' in a file of {CLOUD_DIRECTORY}{also} stops that",
            row.key, row.stop
        );
        let mut files = vec![NewFile::new(&path(SETTINGS), text.clone(), 0o644)];
        if let Some(baked) = row.baked
            && image.get(baked.trim_start_matches('/')).is_none()
        {
            files.push(NewFile::new(&path(baked), String::new(), 0o600));
        }
        sink.push(Draft::new(at, found).written(files).kept_if(is_kept(row)));
    }
}

/// The file of switches that `lockdown.cloud_init` needs.
pub fn switches() -> NewFile {
    NewFile::new(&path(SWITCH), SWITCHES.join("\n") + "\n", 0o644)
}

/// The configuration of an image's cloud-init, in the order in which it is merged.
struct Configured<'a, 'b> {
    image: &'a Image<'b>,
    texts: Vec<String>,
}

impl<'a, 'b> Configured<'a, 'b> {
    fn of(image: &'a Image<'b>) -> Self {
        let files = image.children(CLOUD_DIRECTORY);
        let files = files.filter(|file| file.name().ends_with(b".cfg"));
        let files = image.get(CLOUD).into_iter().chain(files);
        let texts = files.filter_map(|file| image.text_of(file)).collect();
        Self { image, texts }
    }

    /// The last value of a key, which counts.
    fn value<'c>(&'c self, key: &'c str, default: &'c str) -> &'c str {
        let values = self.texts.iter().flat_map(|text| values(text, key));
        values.last().unwrap_or(default)
    }

    /// Tells whether a module is in the last list of its stage, or there is no such list.
    fn has_module(&self, stage: &str, name: &str) -> bool {
        let mut lists = self.texts.iter().filter_map(|text| {
            let (_, list) = text.split_once(stage)?;
            // Up to the next key at the margin.
            let lines = list.split_inclusive('\n').enumerate();
            let own = lines.take_while(|(at, line)| {
                *at == 0 || line.starts_with([' ', '-', '#', '\t', '\n', ']'])
            });
            Some(own.map(|(_, line)| line).collect::<String>())
        });
        lists.next_back().is_none_or(|list| {
            let is_word = |at: char| at.is_alphanumeric() || matches!(at, '-' | '_');
            let mut words = list.split(|at: char| !is_word(at));
            words.any(|word| word.replace('_', "-") == name)
        })
    }

    /// Tells whether cloud-init would make the default user alone, whom the image has already, as one that was baked on an
    /// instance does.
    fn has_default_user(&self) -> bool {
        let mut names = self.texts.iter().filter_map(|text| {
            let (_, below) = text.split_once("default_user:")?;
            values(below, "name").next()
        });
        let Some(name) = names.next_back() else {
            return false;
        };
        let accounts = self.image.text("etc/passwd").unwrap_or_default();
        let start = format!("{name}:");
        accounts.lines().any(|line| line.starts_with(&start)) && self.is_default_alone()
    }

    fn is_default_alone(&self) -> bool {
        let last = self.texts.iter().rev().find_map(|text| {
            let mut lines = text.lines();
            let inline = lines.find_map(|line| line.strip_prefix("users:"))?.trim();
            let items = lines
                .map(str::trim)
                .take_while(|line| line.starts_with('-'));
            let items = items.map(|line| line.trim_start_matches('-').trim());
            Some(match inline {
                "" => items.eq(["default"]),
                inline => inline == "[default]",
            })
        });
        last == Some(true)
    }
}

/// The values of a key, read as lines and not as YAML: for the image's own maker, who could only mislead himself.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.filter_map(move |line| {
        let Some(rest) = line.strip_prefix(key) else {
            // `apt: {generate_mirrorlists: false}`
            let (_, within) = line.split_once('{')?;
            let (_, rest) = within.split_once(key)?;
            let value = rest.strip_prefix(':')?.trim();
            let end = if value.starts_with('[') { ']' } else { ',' };
            return value.split(['}', end]).next().map(str::trim);
        };
        let value = rest.strip_prefix(':')?;
        Some(value.split(" #").next().unwrap_or(value).trim())
    })
}

fn is_off(value: &str) -> bool {
    matches!(value, "false" | "False" | "no" | "off")
}

fn is_on(value: &str) -> bool {
    matches!(value, "true" | "True" | "yes" | "on")
}

/// The id of the distribution, as its os-release has it; empty, if there is none.
fn distribution(image: &Image<'_>) -> String {
    let places = ["etc/os-release", "usr/lib/os-release"];
    let text = places.iter().find_map(|place| image.text(place));
    let text = text.unwrap_or_default();
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("ID="));
    let id = ids.next().unwrap_or_default();
    id.trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_a_key_is_read_at_any_depth_without_its_comment() {
        let text = "# users: x\nusers:\n - default\napt:\n  generate_mirrorlists: true # why\n";
        assert_eq!(values(text, "users").collect::<Vec<_>>(), [""]);
        assert_eq!(values(text, "generate_mirrorlists").last(), Some("true"));
        assert_eq!(values(text, "apt").last(), Some(""));
        assert_eq!(values(text, "manage_etc_hosts").last(), None);
        let inline = "apt: {generate_mirrorlists: false, preserve_sources_list: true}\n";
        assert_eq!(values(inline, "generate_mirrorlists").last(), Some("false"));
        assert_eq!(values(inline, "preserve_sources_list").last(), Some("true"));
        let list = "# apt: {when: x}\nupdates: {network: {when: [boot, hotplug]}}\n";
        let when: Vec<_> = values(list, "when").collect();
        assert_eq!(when, ["[boot, hotplug"]);
    }
}

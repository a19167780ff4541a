//! A declaration in words: one fact for each thing that it says, under a name that stays the same
//! while what it says changes. `inspect` prints the facts, `diff` compares them.

use std::fmt::Write;

use earmark_manifest::{
    declaration::{
        Action, Declaration, Interrupted, Lock, Parameter, Platform, Reaction, Step, Template,
        TemplatePart,
    },
    name::UnitName,
    profile::Evidence,
};
use serde::Serialize;

use crate::io::output::plain;

/// Section of a declaration that a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// `[image]` and `[tree]`, but for the class rules, which the tree has resolved.
    Image,
    /// `[verify]`.
    Verification,
    /// `[parameters]`.
    Parameters,
    /// `[[first_boot]]`.
    FirstBoot,
    /// `[lockdown]`.
    Lockdown,
    /// `[report]` and `[channel]`.
    Fleet,
}

/// One thing that a declaration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Section that it is about.
    pub section: Section,
    /// The name: of a step, a parameter, a lock, a setting.
    pub name: String,
    /// Value of it, in words.
    pub text: String,
}

impl Section {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Image,
        Self::Verification,
        Self::Parameters,
        Self::FirstBoot,
        Self::Lockdown,
        Self::Fleet,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Verification => "Verification",
            Self::Parameters => "Parameters",
            Self::FirstBoot => "First boot",
            Self::Lockdown => "Mutation lockdown",
            Self::Fleet => "Reports and channel",
        }
    }
}

/// Everything that `declaration` says.
pub fn facts(declaration: &Declaration) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |section, name: &str, text: String| {
        facts.push(Fact {
            section,
            name: name.to_owned(),
            text,
        });
    };
    let platform = match declaration.image.platform {
        Platform::Ec2 => "ec2",
        Platform::File => "file",
    };
    fact(Section::Image, "platform", platform.to_owned());
    let profile = declaration
        .tree
        .profile
        .map_or("none", |profile| profile.name());
    fact(Section::Image, "profile", profile.to_owned());
    if let Some(profile) = declaration.tree.profile
        && !matches!(profile.evidence(), Ok(Evidence::Booted))
    {
        let text = "not booted here: from documents, docs/platforms.md";
        fact(Section::Image, "profile proof", text.to_owned());
    }
    for mount in &declaration.tree.mounts {
        fact(
            Section::Image,
            &format!("mount {mount}"),
            "belongs to the image".to_owned(),
        );
    }

    let verify = &declaration.verify;
    fact(Section::Verification, "gate", verify.gate().to_string());
    fact(
        Section::Verification,
        "on failure",
        verify.on_failure.name().to_owned(),
    );
    let every = verify
        .every
        .map_or_else(|| "never".to_owned(), |every| format!("every {every}"));
    fact(Section::Verification, "again", every);

    for (name, parameter) in &declaration.parameters {
        fact(
            Section::Parameters,
            name.as_str(),
            parameter_text(parameter),
        );
    }
    for step in &declaration.first_boot {
        fact(Section::FirstBoot, step.name.as_str(), step_text(step));
    }
    for (name, lock) in declaration.lockdown.locks() {
        fact(Section::Lockdown, name.name(), lock_text(&lock));
    }
    if let Some(report) = &declaration.report {
        for sink in &report.to {
            fact(
                Section::Fleet,
                &format!("report to {}", sink.as_str()),
                format!("every {}", report.every),
            );
        }
    }
    if let Some(channel) = &declaration.channel {
        fact(Section::Fleet, "channel", channel.url.as_str().to_owned());
        for (name, reaction) in [
            ("on behind", &channel.on_behind),
            ("on revoked", &channel.on_revoked),
        ] {
            let share = match reaction {
                Reaction::Report => String::new(),
                Reaction::Halt | Reaction::Start(_) => format!(
                    "; {} % of the fleet an hour, each up to {} later",
                    channel.share.percent(),
                    channel.jitter
                ),
            };
            fact(Section::Fleet, name, format!("{reaction}{share}"));
        }
    }
    facts
}

fn parameter_text(parameter: &Parameter) -> String {
    let mut text = plain(&parameter.kind.expected());
    if parameter.required {
        text.push_str("; required");
    }
    if let Some(default) = &parameter.default {
        // The default of a secret is in the image for all to read, and still not for a terminal.
        let shown = if parameter.secret { "…" } else { default };
        let _ = write!(text, "; default '{}'", plain(shown));
    }
    if parameter.secret {
        text.push_str("; secret");
    }
    text
}

fn step_text(step: &Step) -> String {
    let mut text = match &step.action {
        Action::Command {
            executable,
            arguments,
            environment,
            secrets,
            timeout,
        } => {
            let mut text = format!("run {executable}");
            for argument in arguments {
                text.push(' ');
                text.push_str(&quoted(&template_text(argument)));
            }
            for (name, template) in environment {
                let _ = write!(text, ", {name}={}", quoted(&template_text(template)));
            }
            for secret in secrets {
                let _ = write!(text, ", with the secret {secret}");
            }
            let _ = write!(text, " (at most {timeout})");
            text
        }
        Action::File {
            path,
            template,
            mode,
            owner,
            group,
        } => {
            let group = group
                .as_ref()
                .map_or_else(String::new, |group| format!(", group {group}"));
            format!("write {path} from the template {template} (mode {mode}, owner {owner}{group})")
        }
        Action::Hostname { template } => {
            format!("set the host name to {}", quoted(&template_text(template)))
        }
        Action::Unit { enable, start } => {
            let list = |what: &str, units: &[UnitName]| {
                let names: Vec<&str> = units.iter().map(UnitName::as_str).collect();
                (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
            };
            let parts = [list("enable and start", enable), list("start", start)];
            parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Action::Volume {
            device,
            filesystem,
            mount,
            grow,
        } => {
            let (device, kind) = (template_text(device), filesystem.name());
            let grow = if *grow { ", grown to the device" } else { "" };
            format!("mount {device} on {mount}, with a new {kind} file system if it is blank{grow}")
        }
    };
    text.push_str(match step.interrupted {
        Interrupted::Fail => "; fails if a crash cut it short",
        Interrupted::Retry => "; runs again if a crash cut it short",
    });
    text
}

fn lock_text(lock: &Lock) -> String {
    match lock {
        Lock::Allow => "allow".to_owned(),
        Lock::Deny { except } if except.is_empty() => "deny".to_owned(),
        Lock::Deny { except } => format!("deny, except {}", plain(&except.join(", "))),
    }
}

fn template_text(template: &Template) -> String {
    let parts = template.parts().iter().map(|part| match part {
        TemplatePart::Text(text) => plain(text),
        TemplatePart::Value { name, filter: None } => format!("{{{{ {name} }}}}"),
        TemplatePart::Value {
            name,
            filter: Some(filter),
        } => format!("{{{{ {name} | {filter} }}}}"),
    });
    parts.collect()
}

/// In quotes if it would not be seen to be one word.
fn quoted(text: &str) -> String {
    let outside = text.replace("{{ ", "{{").replace(" }}", "}}");
    if text.is_empty() || outside.contains([' ', '\'']) {
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARATION: &str = r#"
[image]
name = "web"
platform = "ec2"
[tree]
state = ["/srv/data"]
[verify]
on_failure = "quarantine"
[parameters.environment]
type = "enum"
values = ["prod", "evil\u202e"]
required = true
[parameters.password]
type = "string"
secret = true
default = "hunter2"
[[first_boot]]
name = "join"
command = { argv = ["/usr/bin/join", "--env", "{{environment}}", "a b"], timeout = "2m" }
interrupted = "retry"
[[first_boot]]
name = "volume"
volume = { device = "/dev/nvme1n1", filesystem = "ext4", mount = "/srv/data" }
[lockdown]
remote_access = { allow = ["sshd"] }
packages = "allow"
"#;

    #[test]
    fn profile_of_documents_alone_is_said_to_be_not_booted() {
        let of = |profile: &str| {
            let text = DECLARATION.replace("[tree]", &format!("[tree]\nprofile = \"{profile}\""));
            let facts = facts(&Declaration::parse(text.as_bytes()).unwrap()).into_iter();
            facts
                .filter(|fact| fact.name == "profile proof")
                .map(|fact| fact.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("rhel-9"),
            ["not booted here: from documents, docs/platforms.md"]
        );
        assert_eq!(of("debian-13"), [""; 0]);
    }

    #[test]
    fn declaration_in_plain_words_is_golden_and_has_no_secrets() {
        let declaration = Declaration::parse(DECLARATION.as_bytes()).unwrap();
        let facts = facts(&declaration);
        let line = |fact: &Fact| format!("{:?}: {}: {}\n", fact.section, fact.name, fact.text);
        let text: String = facts.iter().map(line).collect();
        assert!(!text.contains("hunter2"), "{text}");
        earmark_tests::golden!("declaration", text);
    }
}

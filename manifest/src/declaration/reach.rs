//! Places that the values of parameters may go to, and the form that they need there.

use std::{collections::BTreeMap, fmt};

use super::{Parameter, template::Template};
use crate::name::ParameterName;

/// Names that templates may use beside the declared parameters. The agent makes their values.
const BUILT_IN: [&str; 3] = ["image_name", "image_version", "instance_id"];

/// Destination of a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The content of a file.
    File,
    /// An argument of a program.
    Argument,
    /// A variable of its environment.
    Environment,
    /// The name of the host.
    HostName,
    /// The device of a volume.
    Device,
}

impl Reach {
    /// Returns whether others than the step's program can read the text.
    const fn is_seen(self) -> bool {
        // Every account reads /proc/PID/cmdline, unless hidepid is set; an environment goes on to child processes.
        !matches!(self, Self::File)
    }

    /// Returns whether a quoted value can be right there.
    const fn takes_quotes(self) -> bool {
        !matches!(self, Self::HostName | Self::Device)
    }

    /// Returns whether a value of no set form can do harm there. A device is either a path beneath `/dev` or the id of
    /// an EBS volume, and nothing else is ever opened.
    const fn needs_a_form(self) -> bool {
        !matches!(self, Self::Device)
    }
}

/// Refuses a template that uses what is not declared, shows a secret, or lets anything be written.
pub(super) fn check(
    template: &Template,
    parameters: &BTreeMap<ParameterName, Parameter>,
    reach: Reach,
) -> Result<(), String> {
    for (name, filter) in template.values() {
        let parameter = parameters.get(name);
        if parameter.is_none() && !BUILT_IN.contains(&name.as_str()) {
            let known = parameters.keys().map(ParameterName::as_str);
            let known: Vec<&str> = known.chain(BUILT_IN).collect();
            return Err(format!(
                "'{name}' is not declared: expected one of {}",
                known.join(", ")
            ));
        }
        if reach.is_seen() && parameter.is_some_and(|parameter| parameter.secret) {
            return Err(format!(
                "'{name}' is secret and would be visible in arguments or a host name"
            ));
        }
        if let Some(filter) = filter
            && !reach.takes_quotes()
        {
            return Err(format!(
                "'{name} | {filter}' puts quotes into {reach}: leave the filter out"
            ));
        }
        // The built-in names are no parameters: the agent makes their values, in letters, digits and a few signs.
        let is_anything = parameter.is_some_and(|parameter| parameter.kind.is_anything());
        if is_anything && filter.is_none() && reach.needs_a_form() {
            let or = if reach.takes_quotes() {
                ", or quote it with a filter such as {{ NAME | toml }}"
            } else {
                ""
            };
            return Err(format!(
                "'{name}' accepts any text and would go into {reach} unchanged: give the parameter \
                 pattern = \"…\", or type = \"enum\"{or}",
                or = or.replace("NAME", name.as_str())
            ));
        }
    }
    Ok(())
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Argument => "an argument",
            Self::Environment => "the environment",
            Self::HostName => "a host name",
            Self::Device => "the name of a device",
        })
    }
}

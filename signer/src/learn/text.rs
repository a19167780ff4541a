//! A lesson as TOML, to be pasted beneath `[tree]`.
//!
//! Every reason is empty, which the declaration's parser refuses: nobody takes over what nobody has thought about.
//! Names come from a host that may be an attacker's: in comments they are escaped, in strings quoted, so that none
//! ends a line.

use std::fmt;

use earmark_manifest::class::PathClass;

use super::{Lesson, Proposal, Wider};
use crate::io::output::{count, plain};

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, version, manifest) = (&self.image, &self.version, &self.manifest);
        writeln!(
            f,
            "# Learned of a host that was started from {image} {version}"
        )?;
        writeln!(f, "# ({manifest}).")?;
        if self.proposals.is_empty() {
            let nothing = self.refused.is_empty() && self.unknown.is_empty();
            let what = if nothing {
                "Nothing changed"
            } else {
                "There is nothing to class"
            };
            writeln!(f, "# {what} that the image does not allow.")?;
        } else {
            writeln!(
                f,
                "# For [tree] of earmark.toml: an empty reason is refused, so write one, or take the rule out."
            )?;
        }
        for class in [PathClass::Generated, PathClass::Mutable, PathClass::State] {
            let mut of_class = self
                .proposals
                .iter()
                .filter(|one| one.class == class)
                .peekable();
            if of_class.peek().is_some() {
                writeln!(f, "{class} = [")?;
                of_class.try_for_each(|proposal| rule(f, proposal))?;
                writeln!(f, "]")?;
            }
        }
        self.wider.iter().try_for_each(|one| wider(f, one))?;
        if !self.refused.is_empty() {
            writeln!(f, "\n# Changed, and no class should allow it:")?;
        }
        for refused in &self.refused {
            writeln!(f, "#   {}: {}", refused.path, plain(&refused.why))?;
            for line in &refused.evidence {
                writeln!(f, "#     {}", plain(line))?;
            }
        }
        if !self.unknown.is_empty() {
            writeln!(f, "\n# Not known, since it could not be looked at:")?;
        }
        for unknown in &self.unknown {
            writeln!(f, "#   {}", plain(unknown))?;
        }
        Ok(())
    }
}

fn rule(f: &mut fmt::Formatter<'_>, proposal: &Proposal) -> fmt::Result {
    for line in &proposal.evidence {
        writeln!(f, "    # {}", plain(line))?;
    }
    if proposal.pattern.contains('?') {
        writeln!(f, "    # each '?' stands for a byte of {}", proposal.path)?;
    }
    writeln!(
        f,
        "    {{ path = {}, reason = \"\" }},",
        quoted(&proposal.pattern)
    )
}

fn wider(f: &mut fmt::Formatter<'_>, wider: &Wider) -> fmt::Result {
    let rules = count(wider.instead_of, "rule", "rules");
    let left = count(wider.unverified, "other entry", "other entries");
    writeln!(
        f,
        "\n# Wider: instead of {rules} above, if the names differ from host to host. It leaves {left}"
    )?;
    writeln!(f, "# of the image unverified.")?;
    writeln!(
        f,
        "# state = [{{ path = {}, reason = \"\" }}]",
        quoted(&wider.pattern)
    )
}

/// A basic string of TOML. Beside what has to be, all is escaped that could mislead who reads it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' ' => quoted.push(' '),
            _ if character.is_ascii_graphic() || character.is_alphanumeric() => {
                quoted.push(character);
            }
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

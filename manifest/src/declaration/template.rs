//! `{{ name }}` in arguments, host names and template files: a value put in place as it is, or quoted by a
//! filter, and nothing more.

use std::str::FromStr;

use super::filter::Filter;
use crate::name::ParameterName;

/// Text with places for values. There is no logic in it: an image that needs logic bakes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text as it is.
    Text(String),
    /// A value.
    Value {
        /// Its name.
        name: ParameterName,
        /// Filter that quotes the value; as it is, if absent.
        filter: Option<Filter>,
    },
}

impl Template {
    /// Its pieces in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The names that it uses, each with its filter.
    pub fn values(&self) -> impl Iterator<Item = (&ParameterName, Option<Filter>)> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Value { name, filter } => Some((name, *filter)),
            TemplatePart::Text(_) => None,
        })
    }
}

/// Refuses the rest of a mistyped `{{`: the name would stand in the file instead of its value.
fn closed_only_if_opened(text: &str) -> Result<(), String> {
    if text.contains("}}") {
        return Err("'}}' without '{{' (braces of JSON: put a blank between them)".to_owned());
    }
    Ok(())
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The kernel ends an argument at a NUL: the program would get less than what was reviewed.
        if text.contains('\0') {
            return Err("a NUL byte cannot be part of an argument".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (value, after) = after.split_once("}}").ok_or("'{{' without '}}'")?;
            let (name, filter) = match value.split_once('|') {
                Some((name, filter)) => (name, Some(filter.trim().parse()?)),
                None => (value, None),
            };
            closed_only_if_opened(before)?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            let name = name
                .trim()
                .parse()
                .map_err(|error| format!("in '{{{{ }}}}': {error}"))?;
            parts.push(TemplatePart::Value { name, filter });
            rest = after;
        }
        closed_only_if_opened(rest)?;
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }
}

//! `{{ name }}` in arguments and host names: a value put in place, and nothing more.

use std::str::FromStr;

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
    /// The value of this name.
    Value(ParameterName),
}

impl Template {
    /// Its pieces in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The names that it uses.
    pub fn names(&self) -> impl Iterator<Item = &ParameterName> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Value(name) => Some(name),
            TemplatePart::Text(_) => None,
        })
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("a NUL byte cannot be part of an argument".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("'{{' without '}}'")?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            parts.push(TemplatePart::Value(
                name.trim()
                    .parse()
                    .map_err(|error| format!("in '{{{{ }}}}': {error}"))?,
            ));
            rest = after;
        }
        if rest.contains("}}") {
            return Err("'}}' without '{{'".to_owned());
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }
}

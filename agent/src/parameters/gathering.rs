//! Values and problems, place by place.

use std::collections::{BTreeMap, BTreeSet};

use earmark_manifest::{
    declaration::{Parameter, ParameterKind},
    name::ParameterName,
};

use super::{Problem, Problems, Value, Values, document, problem::class};

const TAGS: &str = "tags";
const DEFAULT: &str = "default";

/// Values and problems found so far.
pub(super) struct Gathering<'a> {
    declared: &'a BTreeMap<ParameterName, Parameter>,
    values: BTreeMap<ParameterName, Value>,
    /// Parameters with a value that is refused: they are not missing.
    refused: BTreeSet<ParameterName>,
    problems: Vec<Problem>,
    looked_at: Vec<String>,
    /// A place cannot be understood, and what it lacks cannot be told.
    is_partial: bool,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(declared: &'a BTreeMap<ParameterName, Parameter>) -> Self {
        Self {
            declared,
            values: BTreeMap::new(),
            refused: BTreeSet::new(),
            problems: Vec::new(),
            looked_at: Vec::new(),
            is_partial: false,
        }
    }

    pub(super) fn looked_at(&mut self, source: &str) {
        self.looked_at.push(source.to_owned());
    }

    pub(super) fn cannot_be_read(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
        self.is_partial = true;
    }

    pub(super) fn document(&mut self, source: &str, bytes: &[u8]) {
        match document::parse(source, bytes) {
            Ok(values) => {
                for (key, value) in values {
                    self.offer(source, &format!("parameters.{key}"), &key, &value);
                }
            }
            Err(problems) => self.cannot_be_read(problems),
        }
    }

    pub(super) fn tags(&mut self, tags: &BTreeMap<String, String>) {
        self.looked_at(TAGS);
        for (name, text) in tags {
            let value = match self.find(name) {
                Some((_, parameter)) => typed(&parameter.kind, text),
                None => toml::Value::String(text.clone()),
            };
            self.offer(TAGS, &format!("earmark:{name}"), name, &value);
        }
    }

    fn find(&self, name: &str) -> Option<(&'a ParameterName, &'a Parameter)> {
        let name: ParameterName = name.parse().ok()?;
        self.declared.get_key_value(&name)
    }

    /// Takes a value, if its parameter does and no place before this one had one.
    fn offer(&mut self, source: &str, key: &str, name: &str, value: &toml::Value) {
        let problem = |found: String, expected: String| Problem {
            source: source.to_owned(),
            key: Some(key.to_owned()),
            found,
            expected,
        };
        // A misspelt name is refused and not passed over: the host would start with the default of the right one.
        let Some((name, parameter)) = self.find(name) else {
            let known: Vec<&str> = self.declared.keys().map(ParameterName::as_str).collect();
            self.problems.push(problem(
                "a parameter that is not declared".to_owned(),
                format!("one of {}", known.join(", ")),
            ));
            return;
        };
        // Whoever may describe the instance reads its tags, and logs and bills have them.
        if parameter.secret && source == TAGS {
            self.refused.insert(name.clone());
            self.problems.push(problem(
                "a secret in a tag, which is not secret".to_owned(),
                "a new one, in user-data or a file".to_owned(),
            ));
            return;
        }
        let text = parameter.kind.accept(value);
        match text {
            Ok(text) => {
                // The first place wins. A later value was checked all the same: some host has no other one.
                self.values.entry(name.clone()).or_insert_with(|| Value {
                    text,
                    is_secret: parameter.secret,
                    source: source.to_owned(),
                });
            }
            Err(expected) => {
                self.refused.insert(name.clone());
                let found = class(value, parameter.secret);
                self.problems.push(problem(found, expected));
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Values, Problems> {
        for (name, parameter) in self.declared {
            // A refused value is told once: it is not missing as well, and no default takes its place.
            if self.values.contains_key(name) || self.refused.contains(name) {
                continue;
            }
            if let Some(text) = &parameter.default {
                let value = Value {
                    text: text.clone(),
                    is_secret: parameter.secret,
                    source: DEFAULT.to_owned(),
                };
                self.values.insert(name.clone(), value);
            } else if parameter.required && !self.is_partial {
                // Only if every place was understood: one that was not may have had it.
                self.problems.push(Problem {
                    source: self.looked_at.join(", "),
                    key: Some(format!("parameters.{name}")),
                    found: "no value, and it is required".to_owned(),
                    expected: parameter.kind.expected(),
                });
            }
        }
        if self.problems.is_empty() {
            Ok(Values(self.values))
        } else {
            Err(Problems(self.problems))
        }
    }
}

/// A tag's text as the type that is declared, if it is the one spelling of such a value: `+7`, `007`
/// and `yes` are text.
fn typed(kind: &ParameterKind, text: &str) -> toml::Value {
    let value = match kind {
        ParameterKind::Bool => text.parse().ok().map(toml::Value::Boolean),
        // Rust's parser takes `+7` and `007`, too: a step would get other text than the tag shows.
        ParameterKind::Int { .. } => text
            .parse()
            .ok()
            .filter(|number: &i64| number.to_string() == text)
            .map(toml::Value::Integer),
        ParameterKind::Enum(_) | ParameterKind::String { .. } | ParameterKind::Url => None,
    };
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

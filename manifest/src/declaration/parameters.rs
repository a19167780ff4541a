//! `[parameters.*]`: the only values that may differ between hosts of one image.

use regex_lite::Regex;
use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use crate::strict::Table;

/// A declared parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Values that the parameter accepts.
    pub kind: ParameterKind,
    /// True if first boot stops without a value.
    pub required: bool,
    /// True if the value must stay out of logs, status, argv and other steps' environment.
    pub secret: bool,
    /// The value if none is given, as text. Checked against `kind`.
    pub default: Option<String>,
}

/// Kind of a parameter: the values that it accepts.
#[derive(Debug)]
pub enum ParameterKind {
    /// `true` or `false`.
    Bool,
    /// One of these.
    Enum(Vec<String>),
    /// A whole number from `min` to `max`.
    Int {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// Text.
    String {
        /// Pattern that the whole text must match.
        pattern: Option<Regex>,
        /// In bytes.
        max_length: usize,
        /// True if the text may have line breaks and tabs.
        multiline: bool,
    },
    /// An `https://` or `http://` URL.
    Url,
}

/// A string parameter that says nothing of its length takes this many bytes.
const DEFAULT_MAX_LENGTH: usize = 1024;
/// No value is longer than this, whatever is declared: EC2 user-data is 16 KiB in all.
const MOST_MAX_LENGTH: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterDocument {
    r#type: Spanned<TypeName>,
    values: Option<Spanned<Vec<String>>>,
    pattern: Option<Spanned<String>>,
    max_length: Option<Spanned<usize>>,
    multiline: Option<Spanned<bool>>,
    min: Option<Spanned<i64>>,
    max: Option<Spanned<i64>>,
    default: Option<Spanned<toml::Value>>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum TypeName {
    Bool,
    Enum,
    Int,
    String,
    Url,
}

impl Parameter {
    pub(super) fn check(document: Spanned<Table<ParameterDocument>>) -> Result<Self, Problem> {
        let document = document.into_inner().0;
        // A `pattern` on a url, say, would look to a reviewer like a limit that nothing applies.
        document.refuse_fields_of_other_types()?;
        let at = document.r#type.span();
        let fail = |problem: &str| {
            Err(Problem {
                at: at.clone(),
                problem: problem.to_owned(),
            })
        };
        let kind = match document.r#type.get_ref() {
            TypeName::Bool => ParameterKind::Bool,
            TypeName::Url => ParameterKind::Url,
            TypeName::Enum => {
                let values = document
                    .values
                    .as_ref()
                    .map(|values| values.get_ref().clone())
                    .unwrap_or_default();
                let distinct = values
                    .iter()
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
                    == values.len();
                if values.is_empty()
                    || !distinct
                    || values
                        .iter()
                        .any(|value| value.is_empty() || value.len() > 256)
                {
                    return fail(
                        "an enum needs values = [\"…\"]: one or more, distinct, 1 to 256 bytes each",
                    );
                }
                // Signed, but put into files without a filter: a line break in one would begin a line there.
                if values.iter().any(|value| !is_clean(value, false)) {
                    return fail(
                        "a value of the enum has a line break or another control character",
                    );
                }
                ParameterKind::Enum(values)
            }
            TypeName::Int => {
                let min = document.min.as_ref().map_or(i64::MIN, |min| *min.get_ref());
                let max = document.max.as_ref().map_or(i64::MAX, |max| *max.get_ref());
                if min > max {
                    return fail("min must not be above max");
                }
                ParameterKind::Int { min, max }
            }
            TypeName::String => ParameterKind::String {
                pattern: document.pattern.as_ref().map(whole_match).transpose()?,
                max_length: match &document.max_length {
                    None => DEFAULT_MAX_LENGTH,
                    Some(length) if (1..=MOST_MAX_LENGTH).contains(length.get_ref()) => {
                        *length.get_ref()
                    }
                    Some(length) => {
                        return Err(Problem {
                            at: length.span(),
                            problem: format!("expected 1 to {MOST_MAX_LENGTH}"),
                        });
                    }
                },
                multiline: document.multiline.as_ref().is_some_and(|is| *is.get_ref()),
            },
        };
        if document.required && document.default.is_some() {
            return fail("a required parameter cannot have a default: remove one of the two");
        }
        // A default goes wherever a value goes: a wrong one is refused here, before every host has it.
        let default = document.default.map(|default| {
            let at = default.span();
            kind.accept(default.get_ref()).map_err(|expected| Problem {
                at,
                problem: format!("default: expected {expected}"),
            })
        });
        Ok(Self {
            default: default.transpose()?,
            kind,
            required: document.required,
            secret: document.secret,
        })
    }
}

impl ParameterKind {
    /// Returns whether a value can be any text: the kind sets neither a list of values nor a form.
    pub(super) const fn is_anything(&self) -> bool {
        matches!(self, Self::String { pattern: None, .. })
    }

    /// The text of `value`, if this parameter takes it; else what it takes.
    ///
    /// # Errors
    ///
    /// The accepted values in words, as [`ParameterKind::expected`] has them, if `value` is none of them.
    pub fn accept(&self, value: &toml::Value) -> Result<String, String> {
        match (self, value) {
            (Self::Bool, toml::Value::Boolean(value)) => Ok(value.to_string()),
            (Self::Enum(values), toml::Value::String(text)) if values.contains(text) => {
                Ok(text.clone())
            }
            (Self::Int { min, max }, toml::Value::Integer(number))
                if (min..=max).contains(&number) =>
            {
                // Written anew: TOML also has `0x3`, `+3` and `1_000`, which not every reader of a file takes.
                Ok(number.to_string())
            }
            (
                Self::String {
                    pattern,
                    max_length,
                    multiline,
                },
                toml::Value::String(text),
            ) if text.len() <= *max_length
                && is_clean(text, *multiline)
                && pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(text)) =>
            {
                Ok(text.clone())
            }
            (Self::Url, toml::Value::String(text)) if is_url(text) => Ok(text.clone()),
            (
                Self::Bool | Self::Enum(_) | Self::Int { .. } | Self::String { .. } | Self::Url,
                _,
            ) => Err(self.expected()),
        }
    }

    /// Describes the accepted values, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Enum(values) => format!("one of {}", values.join(", ")),
            Self::Int { min, max } => format!("a whole number from {min} to {max}"),
            Self::String {
                pattern,
                max_length,
                multiline,
            } => {
                let pattern = match pattern {
                    Some(pattern) => format!(" that matches {}", pattern.as_str()),
                    None => String::new(),
                };
                let lines = if *multiline { "" } else { ", in one line" };
                format!("text of at most {max_length} bytes{pattern}{lines}")
            }
            Self::Url => "an http:// or https:// URL".to_owned(),
        }
    }
}

impl ParameterDocument {
    fn refuse_fields_of_other_types(&self) -> Result<(), Problem> {
        let only = |of: TypeName, name: &str, at: Option<std::ops::Range<usize>>| match at {
            Some(at) if *self.r#type.get_ref() != of => Err(Problem {
                at,
                problem: format!("'{name}' is not allowed for this type of parameter"),
            }),
            _ => Ok(()),
        };
        only(
            TypeName::Enum,
            "values",
            self.values.as_ref().map(Spanned::span),
        )?;
        only(
            TypeName::String,
            "pattern",
            self.pattern.as_ref().map(Spanned::span),
        )?;
        only(
            TypeName::String,
            "max_length",
            self.max_length.as_ref().map(Spanned::span),
        )?;
        only(
            TypeName::String,
            "multiline",
            self.multiline.as_ref().map(Spanned::span),
        )?;
        only(TypeName::Int, "min", self.min.as_ref().map(Spanned::span))?;
        only(TypeName::Int, "max", self.max.as_ref().map(Spanned::span))
    }
}

/// The pattern, made to match whole values: half a match would let anything in beside it.
fn whole_match(pattern: &Spanned<String>) -> Result<Regex, Problem> {
    // The pattern is signed, the value is not. regex-lite does not backtrack, so that no value makes it slow, and its
    // `$` is the very end: in other engines a line break may follow.
    let text = pattern.get_ref();
    let fail = |problem: String| Problem {
        at: pattern.span(),
        problem,
    };
    // The pattern alone first, so that it cannot close the group that is put round it.
    Regex::new(text)
        .and_then(|_| Regex::new(&format!("^(?:{text})$")))
        .map_err(|error| fail(format!("not a regular expression: {error}")))
}

/// Returns whether `text` has no character that a file or a terminal could take for its end or for a command. A
/// value that is put into a file as it is must not begin a line of its own there: that takes `multiline`.
fn is_clean(text: &str, multiline: bool) -> bool {
    !text.chars().any(|character| match character {
        // U+2028 and U+2029 end a line for YAML 1.1 and JavaScript. U+0085 is a control character.
        '\n' | '\t' | '\u{2028}' | '\u{2029}' => !multiline,
        _ => character.is_control(),
    })
}

/// Of RFC 3986 without what opens, closes or expands something inside quotes: `"{{ url }}"` and `'{{ url }}'` are
/// one value for a shell, too. Whoever needs such a character writes it as `%27`.
fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    // `https:///path` has no host; browsers and some clients take the first part of the path for one.
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= 2048
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && !b"\"$'<>\\^`{|}".contains(&byte))
}

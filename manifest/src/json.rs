//! Strict reading of JSON.
//!
//! `serde_json` into a struct accepts what a verifier must not: of duplicate keys it may keep the
//! last (through `\u` escapes too), and a struct may come as an array. Here a document becomes a
//! [`Value`] in which every key was seen once, and fields are taken from it by name until none is
//! left. Nesting is bounded by `serde_json` (128), trailing bytes are refused by it.

use std::{collections::BTreeMap, fmt};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Reason why a document is refused, and the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct JsonError {
    /// Such as `predicate.image.name`; `document` for the whole.
    place: String,
    problem: String,
}

/// Any JSON value that the format uses.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    Number(u64),
    /// A number that no field of the format can have: negative, fractional or too large.
    OtherNumber,
    String(String),
    Array(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Field {
    place: String,
    value: Value,
}

/// An object whose fields are taken one by one.
#[derive(Debug)]
pub(crate) struct Object {
    place: String,
    fields: BTreeMap<String, Value>,
}

/// Parses a whole document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Field, JsonError> {
    serde_json::from_slice(bytes)
        .map(|value| Field {
            place: String::new(),
            value,
        })
        .map_err(|error| problem("", error.to_string()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else it is, it is not what was asked for"
)]
impl Field {
    pub(crate) fn object(self) -> Result<Object, JsonError> {
        match self.value {
            Value::Object(fields) => Ok(Object {
                place: self.place,
                fields,
            }),
            other => Err(expected(&self.place, "an object", &other)),
        }
    }

    pub(crate) fn array(self, most: usize) -> Result<Vec<Self>, JsonError> {
        match self.value {
            // Before each element gets a place: `0,` is two bytes, and the text of its place many more.
            Value::Array(values) if values.len() > most => {
                Err(problem(&self.place, format!("more than {most} elements")))
            }
            Value::Array(values) => Ok(values
                .into_iter()
                .enumerate()
                .map(|(index, value)| Self {
                    place: format!("{}[{index}]", self.place),
                    value,
                })
                .collect()),
            other => Err(expected(&self.place, "an array", &other)),
        }
    }

    pub(crate) fn string(self) -> Result<String, JsonError> {
        match self.value {
            Value::String(text) => Ok(text),
            other => Err(expected(&self.place, "a string", &other)),
        }
    }

    pub(crate) fn number(self) -> Result<u64, JsonError> {
        match self.value {
            Value::Number(number) => Ok(number),
            other => Err(expected(
                &self.place,
                "a whole number from 0 to 18446744073709551615",
                &other,
            )),
        }
    }

    /// A number that is some other type's.
    pub(crate) fn checked<T, E: fmt::Display>(
        self,
        check: impl FnOnce(u64) -> Result<T, E>,
    ) -> Result<T, JsonError> {
        let place = self.place.clone();
        check(self.number()?).map_err(|error| problem(&place, error.to_string()))
    }

    /// `null` as nothing.
    pub(crate) fn optional(self) -> Option<Self> {
        (!matches!(self.value, Value::Null)).then_some(self)
    }

    /// A string that is some other type's text.
    pub(crate) fn parsed<T, E: fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, JsonError> {
        let place = self.place.clone();
        parse(&self.string()?).map_err(|error| problem(&place, error.to_string()))
    }

    /// A string that can only be this one.
    pub(crate) fn constant(self, expected: &str) -> Result<(), JsonError> {
        self.parsed(|text| {
            if text == expected {
                return Ok(());
            }
            Err(format!(
                "expected '{expected}', found '{}'",
                crate::escape::Escaped(text.as_bytes())
            ))
        })
    }
}

impl Object {
    /// The field `name`, which must be there.
    pub(crate) fn take(&mut self, name: &str) -> Result<Field, JsonError> {
        self.take_optional(name)
            .ok_or_else(|| problem(&join(&self.place, name), "is missing".to_owned()))
    }

    /// The field `name`, if it is there.
    pub(crate) fn take_optional(&mut self, name: &str) -> Option<Field> {
        let value = self.fields.remove(name)?;
        Some(Field {
            place: join(&self.place, name),
            value,
        })
    }

    /// All fields of an object whose names are data, with their names as what they name.
    pub(crate) fn fields<N>(self, most: usize) -> Result<Vec<(N, Field)>, JsonError>
    where
        N: std::str::FromStr<Err: fmt::Display>,
    {
        if self.fields.len() > most {
            return Err(problem(&self.place, format!("more than {most} fields")));
        }
        let place = self.place;
        let field = |(name, value): (String, Value)| {
            // A name is data here, and errors end in terminals: it could hold escape codes.
            let shown = crate::escape::Escaped(name.as_bytes()).to_string();
            let place = join(&place, &shown);
            match name.parse::<N>() {
                Ok(name) => Ok((name, Field { place, value })),
                Err(error) => Err(problem(&place, error.to_string())),
            }
        };
        self.fields.into_iter().map(field).collect()
    }

    /// Refuses fields that nobody took.
    pub(crate) fn finish(self) -> Result<(), JsonError> {
        // A reader that passes over a field that it does not know verifies less than was signed.
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name = crate::escape::Escaped(name.as_bytes()).to_string();
                Err(problem(
                    &join(&self.place, &name),
                    "is not a field of this version".to_owned(),
                ))
            }
        }
    }
}

/// An element of the array at `place` is missing.
pub(crate) fn missing(place: &str, element: &str) -> JsonError {
    problem(place, format!("'{element}' is missing"))
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else {
        format!("{place}.{name}")
    }
}

fn problem(place: &str, problem: String) -> JsonError {
    let place = if place.is_empty() { "document" } else { place };
    JsonError {
        place: place.to_owned(),
        problem,
    }
}

fn expected(place: &str, what: &str, found: &Value) -> JsonError {
    let found = match found {
        Value::Null => "null",
        Value::Bool => "a boolean",
        Value::Number(_) => "a number",
        Value::OtherNumber => "a number that is negative, fractional or too large",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    problem(place, format!("expected {what}, found {found}"))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    // No field of the format is a boolean: only its type is needed, for the error.
    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    // `3.0`, `3e0` and `-0` come here. Other readers take them for integers: a second spelling, so refused.
    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value()?;
            let shown = crate::escape::Escaped(name.as_bytes()).to_string();
            // Compared after `\u` is resolved. Of duplicate keys some readers keep the first and others the last.
            if fields.insert(name, value).is_some() {
                return Err(de::Error::custom(format!("duplicate key '{shown}'")));
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_duplicate_keys_trailing_data_and_deep_nesting_are_refused() {
        for (text, says) in [
            (r#"{"a":1,"a":2}"#, "duplicate key 'a'"),
            (r#"{"a":1,"\u0061":2}"#, "duplicate key 'a'"),
            (r#"{"b":{"a":1,"a":1}}"#, "duplicate key 'a'"),
            (r#"{"a":1} x"#, "trailing"),
            (
                &format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
                "recursion limit",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let array = parse(b"[1]").unwrap().object().unwrap_err();
        assert_eq!(
            array.to_string(),
            "document: expected an object, found an array"
        );
    }

    #[test]
    fn json_error_names_the_field_path() {
        let mut object = parse(br#"{"a":{"b":-1}, "c\n":0}"#)
            .unwrap()
            .object()
            .unwrap();
        let mut inner = object.take("a").unwrap().object().unwrap();
        assert!(
            inner
                .take("b")
                .unwrap()
                .number()
                .unwrap_err()
                .to_string()
                .starts_with("a.b: expected")
        );
        assert_eq!(inner.take("x").unwrap_err().to_string(), "a.x: is missing");
        assert_eq!(
            object.finish().unwrap_err().to_string(),
            r"c\x0a: is not a field of this version"
        );
    }
}

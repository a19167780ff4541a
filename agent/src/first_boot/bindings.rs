//! Values of a template's names: those of the parameters, and those that the host knows itself.

use std::collections::BTreeMap;

use earmark_manifest::{
    declaration::{Template, TemplatePart},
    verify::VerifiedManifest,
};

use crate::parameters::Values;

/// Names and values. Strict: a name that has no value is an error, never empty text.
#[derive(Debug)]
pub struct Bindings {
    values: Values,
    built_in: BTreeMap<&'static str, String>,
}

impl Bindings {
    /// Of a host that is this instance.
    pub fn new(manifest: &VerifiedManifest, instance: &str, values: Values) -> Self {
        let image = &manifest.statement().image;
        let built_in = [
            ("image_name", image.name.to_string()),
            ("image_version", image.version.to_string()),
            ("instance_id", instance.to_owned()),
        ];
        Self {
            values,
            built_in: built_in.into(),
        }
    }

    /// The values of the parameters.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// A template with each name replaced by its value. What the value holds is text, also if it
    /// looks like a template.
    pub fn render(&self, template: &Template) -> Result<String, String> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                TemplatePart::Text(part) => text.push_str(part),
                TemplatePart::Value { name, filter } => {
                    let value = self.get(name.as_str())?;
                    match filter {
                        Some(filter) => text.push_str(&filter.quote(value)),
                        None => text.push_str(value),
                    }
                }
            }
        }
        Ok(text)
    }

    fn get(&self, name: &str) -> Result<&str, String> {
        let built_in = self.built_in.get(name).map(String::as_str);
        self.values
            .get(name)
            .map(crate::parameters::Value::text)
            .or(built_in)
            .ok_or_else(|| format!("'{name}' has no value: give it one, or declare a default"))
    }
}

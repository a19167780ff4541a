//! `awskms:` references: which key, and in which region.

use std::fmt;

use crate::{aws::is_region, io::output};

/// A key of KMS: an id, an alias, or the ARN of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    key: String,
    region: Option<String>,
}

impl Reference {
    /// Parses what follows `awskms:`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = |text: &str| {
            !text.is_empty()
                && text.len() <= 256
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte))
        };
        let expected = "expected awskms:KEY_ID, awskms:alias/NAME or awskms:ARN";
        if !text.starts_with("arn:") {
            let key = name(text).then(|| Self {
                key: text.to_owned(),
                region: None,
            });
            return key.ok_or_else(|| expected.to_owned());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(expected.to_owned());
        };
        let good = [*partition, *account, *resource].into_iter().all(name);
        if !good || !is_region(region) {
            return Err(expected.to_owned());
        }
        Ok(Self {
            key: text.to_owned(),
            region: Some((*region).to_owned()),
        })
    }

    /// As KMS takes it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The region of an ARN.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "awskms:{}", output::plain(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kms_reference_accepts_key_id_alias_or_arn_only() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let alias = "arn:aws-cn:kms:cn-north-1:111122223333:alias/release";
        for (text, region) in [
            ("1234abcd-12ab-34cd-56ef-1234567890ab", None),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", None),
            ("alias/release_2", None),
            (arn, Some("eu-central-1")),
            (alias, Some("cn-north-1")),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.key(), text);
            assert_eq!(reference.region(), region);
        }
        for bad in [
            "",
            "alias/a b",
            "key?x",
            "arn:aws:kms:eu-central-1:1:key/a:b",
            "arn:aws:s3:eu-central-1:1:key/a",
            "arn:aws:kms:evil.example/#:1:key/a",
            "arn:aws:kms::1:key/a",
            "arn:aws:kms:eu-central-1:1:",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}

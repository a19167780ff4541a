//! Values in the journal: those that are no secret, which later boots name the host with, and a salted digest of
//! each secret, enough to tell that it changed.
//!
//! A secret with few possible values could be guessed from its digest by somebody who reads the
//! journal. That is root alone, who could also read the secret where its step put it.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use earmark_manifest::{crypto::Sha256, name::ParameterName};
use serde::{Deserialize, Serialize};

use crate::parameters::{Value, Values};

/// Values, as far as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptValues {
    salt: String,
    plain: BTreeMap<ParameterName, String>,
    secret: BTreeMap<ParameterName, String>,
}

impl KeptValues {
    /// Of these.
    pub fn of(values: &Values) -> Self {
        // The standard library seeds it from the kernel. A salt must differ between hosts, and is no secret.
        let half = || RandomState::new().hash_one(0);
        Self::salted(values, format!("{:016x}{:016x}", half(), half()))
    }

    /// The names of the parameters whose values are others now.
    pub fn changed(&self, now: &Values) -> Vec<ParameterName> {
        let now = Self::salted(now, self.salt.clone());
        let differ = |then: &BTreeMap<_, String>, now: &BTreeMap<_, String>| {
            let names: std::collections::BTreeSet<ParameterName> =
                then.keys().chain(now.keys()).cloned().collect();
            names
                .into_iter()
                .filter(|name| then.get(name) != now.get(name))
                .collect::<Vec<_>>()
        };
        let mut changed = differ(&self.plain, &now.plain);
        changed.extend(differ(&self.secret, &now.secret));
        changed
    }

    /// Those that are no secrets.
    pub fn plain(&self) -> Values {
        let values = self.plain.iter();
        values
            .map(|(name, text)| (name.clone(), Value::kept(text.clone())))
            .collect()
    }

    fn salted(values: &Values, salt: String) -> Self {
        let (mut plain, mut secret) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in values.iter() {
            if value.is_secret() {
                let mut hasher = Sha256::new();
                for part in [&salt, name.as_str(), value.text()] {
                    hasher.update(part.as_bytes());
                    // Ends each part: `a` with the value `bc` must not have the digest of `ab` with the value `c`.
                    hasher.update(&[0]);
                }
                secret.insert(name.clone(), hasher.finish().hex());
            } else {
                plain.insert(name.clone(), value.text().to_owned());
            }
        }
        Self {
            salt,
            plain,
            secret,
        }
    }
}

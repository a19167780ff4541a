//! Recipes: the differences of a seal vector from the good seal. The test makes the seal, and signs it with the
//! fixture keys; what a vector does not name is as it should be.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use earmark_manifest::{
    envelope::{self, KeyId},
    trust::Trust,
    verify::{SealBytes, verify},
};
use serde::Deserialize;

use super::{DECLARATION, TREE, compress, private, statement, trusted};

/// `[["from", "to"], …]`, each of which must change something.
type Changes = Vec<(String, String)>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    #[serde(default)]
    trust: TrustRecipe,
    #[serde(default)]
    envelope: EnvelopeRecipe,
    /// Before the signature is made.
    #[serde(default)]
    before: Parts,
    /// After it, and so unsigned.
    #[serde(default)]
    after: Parts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TrustRecipe {
    threshold: usize,
    image: Option<String>,
    keys: Vec<(String, Vec<String>)>,
}

impl Default for TrustRecipe {
    fn default() -> Self {
        Self {
            threshold: 1,
            image: None,
            keys: vec![("image-a".to_owned(), vec!["image".to_owned()])],
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EnvelopeRecipe {
    /// In the document.
    payload_type: String,
    /// In the bytes that are signed.
    signed_type: String,
    /// Sign the payload alone, without its type and length.
    without_encoding: bool,
    signatures: Vec<SignatureRecipe>,
}

impl Default for EnvelopeRecipe {
    fn default() -> Self {
        Self {
            payload_type: envelope::PAYLOAD_TYPE.to_owned(),
            signed_type: envelope::PAYLOAD_TYPE.to_owned(),
            without_encoding: false,
            signatures: vec![SignatureRecipe {
                key: "image-a".to_owned(),
                keyid: None,
                other_message: false,
            }],
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureRecipe {
    key: String,
    /// The key's own, if not said otherwise; `absent` for none.
    keyid: Option<String>,
    /// A good signature, over something else.
    #[serde(default)]
    other_message: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parts {
    declaration: Changes,
    payload: Changes,
    tree: Changes,
    /// The files whole, as text.
    whole_declaration: Option<String>,
    whole_envelope: Option<String>,
    whole_payload: Option<String>,
}

/// The good seal, and the trust file that it verifies with.
pub fn good() -> (SealBytes, Trust) {
    toml::from_str::<Recipe>("").unwrap().make().unwrap()
}

/// All that is checked of a seal: the manifest, and every line of its tree.
pub fn verify_whole(seal: SealBytes, trust: &Trust) -> Result<(), String> {
    let verified = verify(seal, trust).map_err(|error| error.to_string())?;
    let tree = verified.tree().map_err(|error| error.to_string())?;
    for entry in tree {
        entry.map_err(|error| error.to_string())?;
    }
    Ok(())
}

impl Recipe {
    pub fn make(self) -> Result<(SealBytes, Trust), String> {
        let keys = self
            .trust
            .keys
            .iter()
            .map(|(name, purposes)| {
                let purposes: Vec<&str> = purposes.iter().map(String::as_str).collect();
                trusted(name, &purposes).unwrap()
            })
            .collect();
        let image = self.trust.image.map(|image| image.parse().unwrap());
        let trust =
            Trust::new(image, self.trust.threshold, keys).map_err(|error| error.to_string())?;

        let declaration = self
            .before
            .whole_declaration
            .unwrap_or_else(|| apply(DECLARATION, &self.before.declaration));
        let tree_text = apply(TREE, &self.before.tree);
        let tree = compress(tree_text.as_bytes());
        let payload = statement(&tree, declaration.as_bytes())
            .to_payload()
            .unwrap();
        let payload = self
            .before
            .whole_payload
            .unwrap_or_else(|| apply(std::str::from_utf8(&payload).unwrap(), &self.before.payload));

        let message = if self.envelope.without_encoding {
            payload.clone().into_bytes()
        } else {
            envelope::pae(&self.envelope.signed_type, payload.as_bytes())
        };
        let signatures: Vec<serde_json::Value> = self
            .envelope
            .signatures
            .iter()
            .map(|signature| signature.make(&message))
            .collect();
        let payload = apply(&payload, &self.after.payload);
        let document = serde_json::json!({
            "payload": BASE64.encode(payload),
            "payloadType": self.envelope.payload_type,
            "signatures": signatures,
        });
        let tree = if self.after.tree.is_empty() {
            tree
        } else {
            compress(apply(&tree_text, &self.after.tree).as_bytes())
        };
        let seal = SealBytes {
            envelope: self
                .after
                .whole_envelope
                .unwrap_or_else(|| document.to_string())
                .into_bytes(),
            declaration: apply(&declaration, &self.after.declaration).into_bytes(),
            tree,
        };
        Ok((seal, trust))
    }
}

impl SignatureRecipe {
    fn make(&self, message: &[u8]) -> serde_json::Value {
        let key = private(&self.key);
        let message = if self.other_message {
            b"something else"
        } else {
            message
        };
        let sig = BASE64.encode(key.sign(message).unwrap());
        match self.keyid.as_deref() {
            None => {
                let keyid = KeyId::of(&key.public().unwrap()).to_string();
                serde_json::json!({ "keyid": keyid, "sig": sig })
            }
            Some("absent") => serde_json::json!({ "sig": sig }),
            Some(keyid) => serde_json::json!({ "keyid": keyid, "sig": sig }),
        }
    }
}

fn apply(text: &str, changes: &Changes) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        let now = text.replacen(from, to, 1);
        assert_ne!(now, text, "'{from}' changes nothing");
        now
    })
}

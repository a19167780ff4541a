//! Identity of the instance, from the metadata service or from the hardware (DMI).

use std::{fmt, str::FromStr};

use earmark_manifest::{escape::Escaped, path::ImagePath};
use earmark_scan::Root;
use serde::Deserialize;

/// The id of an EC2 instance: `i-[0-9a-f]{8,17}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for InstanceId {
    type Err = NoInstanceId;

    fn from_str(text: &str) -> Result<Self, NoInstanceId> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        // It becomes part of a grant's URL and of a report's name: no `/`, no `..`, one spelling.
        let good = (8..=17).contains(&digits.len())
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoInstanceId {
                found: Escaped(text.as_bytes()).to_string(),
            })
        }
    }
}

/// Text that is no instance id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not an instance id such as i-0123456789abcdef0")]
pub struct NoInstanceId {
    found: String,
}

/// The instance identity document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDocument {
    /// Id of the instance (`instanceId`).
    pub instance_id: InstanceId,
    /// The document, byte for byte, which is what the signature is over.
    pub document: String,
    /// AWS's PKCS#7 signature over it (RSA-2048), in base64 as it was given.
    pub signature: Option<String>,
}

/// Fields that are read from the document. EC2 adds fields to it now and then, so that unknown ones pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    instance_id: String,
}

impl IdentityDocument {
    /// Parses the document; the error is the expected form.
    pub fn parse(document: String, signature: Option<String>) -> Result<Self, &'static str> {
        // The derived reader refuses a second instanceId: two readers could else believe two of them.
        let fields: Fields =
            serde_json::from_str(&document).map_err(|_| "a JSON object with an instanceId")?;
        let is_base64 = |text: &String| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte))
        };
        if !signature.as_ref().is_none_or(is_base64) {
            return Err("a signature in base64 beside it");
        }
        Ok(Self {
            instance_id: fields
                .instance_id
                .parse()
                .map_err(|_| "an instance id such as i-0123456789abcdef0")?,
            document,
            signature,
        })
    }
}

/// Temporary credentials of an instance role, valid for some hours. Not `Debug`: none of it is for a log.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token of the key.
    pub token: String,
}

/// Directory in which the kernel shows the firmware's DMI data.
// Not /sys/class/dmi/id: its entries are links, and the root is read through none.
const DMI: &str = "/sys/devices/virtual/dmi/id";
/// The vendor of a Nitro instance's machine and board.
const VENDOR: &str = "Amazon EC2";
/// The longest that is read of an entry.
const DMI_BOUND: usize = 256;

/// The instance's id as its (virtual) hardware says it, without a network: Nitro instances have it as
/// the asset tag of their board. Nothing on others, and in an image that is not booted.
pub fn instance_id_from_dmi(root: &Root) -> Option<InstanceId> {
    let read = |name: &str| {
        let path = ImagePath::from_absolute(format!("{DMI}/{name}").as_bytes()).ok()?;
        let text = String::from_utf8(root.read(&path, DMI_BOUND).ok()?).ok()?;
        Some(text.trim_end().to_owned())
    };
    // On other machines the asset tag is whatever their owner had written into the firmware.
    let is_ec2 = ["sys_vendor", "board_vendor"]
        .into_iter()
        .all(|name| read(name).as_deref() == Some(VENDOR));
    if !is_ec2 {
        return None;
    }
    read("board_asset_tag")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    const ID: &str = "i-0123456789abcdef0";

    #[test]
    fn instance_id_accepts_only_the_canonical_form() {
        for good in [ID, "i-01234567"] {
            assert_eq!(good.parse::<InstanceId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "i-",
            "i-0123456",
            "i-0123456789abcdef01",
            "i-0123456789ABCDEF0",
            "I-0123456789abcdef0",
            "i-0123456789abcdef0\n",
            " i-0123456789abcdef0",
            "i-../../etc/pas",
        ] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?}");
        }
        let error = "i-\x1b[2J".parse::<InstanceId>().unwrap_err().to_string();
        assert!(error.contains("\\x1b"), "{error}");
    }

    fn machine(vendor: &str, board: &str, tag: &str) -> TestRoot {
        let root = TestRoot::bare();
        root.write(&format!("{DMI}/sys_vendor"), vendor.as_bytes());
        root.write(&format!("{DMI}/board_vendor"), board.as_bytes());
        root.write(&format!("{DMI}/board_asset_tag"), tag.as_bytes());
        root
    }

    #[test]
    fn dmi_instance_id_is_read_only_on_nitro_instances() {
        let of = |vendor: &str, board: &str, tag: &str| {
            instance_id_from_dmi(&machine(vendor, board, tag).open())
        };
        let tag = format!("{ID}\n");
        assert_eq!(of("Amazon EC2\n", "Amazon EC2\n", &tag).unwrap().0, ID);
        assert_eq!(of("QEMU\n", "Amazon EC2\n", &tag), None);
        assert_eq!(of("Amazon EC2\n", "QEMU\n", &tag), None);
        assert_eq!(of("Amazon EC2\n", "Amazon EC2\n", "Not Specified\n"), None);
        assert_eq!(
            of("Amazon EC2\n", "Amazon EC2\n", &"i".repeat(DMI_BOUND + 1)),
            None
        );
        assert_eq!(instance_id_from_dmi(&TestRoot::bare().open()), None);
    }

    fn document(changed: &str, to: &str) -> String {
        r#"{
  "accountId" : "123456789012",
  "imageId" : "ami-0123456789abcdef0",
  "instanceId" : "i-0123456789abcdef0",
  "privateIp" : "10.0.0.5",
  "region" : "eu-west-1",
  "billingProducts" : null
}"#
        .replace(changed, to)
    }

    #[test]
    fn identity_document_is_preserved_verbatim() {
        let text = document("", "");
        let identity = IdentityDocument::parse(text.clone(), Some("MIAG\nCg==\n".into())).unwrap();
        assert_eq!(identity.instance_id.0, ID);
        assert_eq!(identity.document, text);
        assert_eq!(identity.signature.as_deref(), Some("MIAG\nCg==\n"));
    }

    #[test]
    fn malformed_identity_document_is_refused() {
        for (changed, to) in [
            ("i-0123456789abcdef0", "i-no"),
            ("\"i-0123456789abcdef0\"", "7"),
            ("i-0123456789abcdef0", "\\u001b[2J"),
            ("instanceId", "instance"),
            ("privateIp", "instanceId"),
            ("}", ""),
        ] {
            assert!(
                IdentityDocument::parse(document(changed, to), None).is_err(),
                "{to:?}"
            );
        }
        let escape = Some("\x1b[2J".to_owned());
        assert!(IdentityDocument::parse(document("", ""), escape).is_err());
    }
}

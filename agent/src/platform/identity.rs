//! Identity of the instance, which tells a host from a clone of its disk.

use earmark_manifest::{declaration::Platform, layout, path::ImagePath};
use earmark_scan::{Root, state};
use serde::{Deserialize, Serialize};

use crate::{
    host::store,
    platform::imds::{self, IdentityDocument, Imds},
};

/// The firmware's id of this machine, which does not lie on the disk.
const PRODUCT_UUID: &str = "/sys/class/dmi/id/product_uuid";
const MACHINE_ID: &str = "/etc/machine-id";
const BOUND: usize = 256;

/// An instance.
#[derive(Debug)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Identity document of the metadata service, if it had to be asked.
    pub document: Option<IdentityDocument>,
}

/// The instance; else why it is not known.
///
/// On EC2 it is asked for without a network where the hardware tells (Nitro), else from the metadata
/// service. Elsewhere the firmware's machine id is better than `/etc/machine-id`, which a copy of the
/// disk has, too.
pub async fn instance(
    root: &Root,
    platform: Platform,
    imds: Option<&Imds>,
) -> Result<Instance, String> {
    let without = |id: String| Instance { id, document: None };
    match platform {
        Platform::Ec2 => {
            if let Some(id) = imds::instance_id_from_dmi(root) {
                return Ok(without(id.to_string()));
            }
            let imds = imds.ok_or("the metadata service was not asked")?;
            let document = imds.identity().await.map_err(|error| error.to_string())?;
            Ok(Instance {
                id: document.instance_id.to_string(),
                document: Some(document),
            })
        }
        Platform::File => of_machine(root)
            .map(without)
            .ok_or_else(|| format!("neither {PRODUCT_UUID} nor {MACHINE_ID} has an id")),
    }
}

/// The name of what is kept of the instance in the agent's state directory.
const KEPT: &str = "identity.json";
const KEPT_BOUND: usize = 64 * 1024;

/// The identity document as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    schema: u32,
    instance: String,
    document: String,
    signature: Option<String>,
}

/// Keeps the identity document with its signature, unless this instance's is kept already: AWS signs
/// it, so that who reads a report need not believe the host about which instance it is. Nothing
/// depends on it here; the error is for people.
pub async fn keep(root: &Root, imds: Option<&Imds>, instance: Instance) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if kept(root).is_some_and(|kept| kept.instance == instance.id) {
        return Ok(());
    }
    let document = match (instance.document, imds) {
        (Some(document), _) => document,
        (None, Some(imds)) => imds.identity().await.map_err(|error| text(&error))?,
        (None, None) => return Ok(()),
    };
    // The service's word against the hardware's: a proxy's answer would else be kept as proof of this host.
    if document.instance_id.to_string() != instance.id {
        return Err(format!("it is that of {}", document.instance_id));
    }
    let kept = Kept {
        schema: 1,
        instance: instance.id,
        document: document.document,
        signature: document.signature,
    };
    let bytes = serde_json::to_vec_pretty(&kept).map_err(|error| text(&error))?;
    store::replace(root, KEPT, &bytes).map_err(|error| format!("{error:#}"))
}

/// Reads the identity document that is kept. `None` also if the file is no such document: then it is replaced.
fn kept(root: &Root) -> Option<Kept> {
    let path = format!("{}/{KEPT}", layout::AGENT_STATE[1]);
    let path = ImagePath::from_absolute(path.as_bytes()).ok()?;
    serde_json::from_slice(&state::read(root, &path, KEPT_BOUND).ok()??).ok()
}

/// The id that the machine's firmware gives it, which no copy of its disk has: on EC2 that of the instance (Nitro) or of
/// the virtual machine (Xen). Nothing, if the firmware tells none.
pub fn of_firmware(root: &Root, platform: Platform) -> Option<String> {
    let ec2 = match platform {
        Platform::Ec2 => imds::instance_id_from_dmi(root).map(|id| id.to_string()),
        Platform::File => None,
    };
    ec2.or_else(|| product_uuid(root))
}

/// By the firmware, or by the machine id.
pub fn of_machine(root: &Root) -> Option<String> {
    product_uuid(root).or_else(|| machine_id(root))
}

/// `/sys` is reached through links of the kernel's own, which the root does not follow.
fn product_uuid(root: &Root) -> Option<String> {
    const WITHOUT_LINKS: &str = "/sys/devices/virtual/dmi/id/product_uuid";
    // Kernels print it in either case: an upgrade must not make a host a clone of itself.
    let id = read(root, WITHOUT_LINKS)?.to_ascii_lowercase();
    let is_uuid = id.len() == 36
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // Firmware that was never given one says all 0 or all F: many machines would be one.
    let is_filled = id.bytes().any(|byte| !b"0f-".contains(&byte));
    (is_uuid && is_filled).then_some(id)
}

fn machine_id(root: &Root) -> Option<String> {
    let id = read(root, MACHINE_ID)?;
    // systemd writes `uninitialized` there until the first boot has made an id (machine-id(5)).
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

fn read(root: &Root, path: &str) -> Option<String> {
    let path = ImagePath::from_absolute(path.as_bytes()).ok()?;
    let bytes = root.read_opt(&path, BOUND).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn of(root: &TestRoot) -> Option<String> {
        product_uuid(&root.open()).or_else(|| machine_id(&root.open()))
    }

    #[test]
    fn host_identity_prefers_firmware_uuid_and_ignores_invalid_ids() {
        const UUID: &str = "sys/devices/virtual/dmi/id/product_uuid";
        let root = TestRoot::bare();
        assert_eq!(of(&root), None);
        root.write(MACHINE_ID, b"uninitialized\n");
        assert_eq!(of(&root), None);
        root.write(MACHINE_ID, b"0123456789abcdef0123456789abcdef\n");
        assert_eq!(of(&root).unwrap(), "0123456789abcdef0123456789abcdef");
        root.write(UUID, b"00000000-0000-0000-0000-000000000000\n");
        assert_eq!(of(&root).unwrap(), "0123456789abcdef0123456789abcdef");
        root.write(UUID, b"EC2E1916-9099-7CAF-FD21-012345ABCDEF\n");
        assert_eq!(of(&root).unwrap(), "ec2e1916-9099-7caf-fd21-012345abcdef");
    }
}

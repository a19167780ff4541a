//! Marker of a device that is being formatted, on the disk before that begins: a file system that a power cut
//! left half made is not blank, and still nobody's data.

use earmark_manifest::{declaration::Template, path::ImagePath};
use earmark_scan::{Root, state};
use serde::{Deserialize, Serialize};

use super::{
    super::{Context, Failure, StepResult},
    device::Device,
};
use crate::host::store;

const NAME: &str = "formatting.json";
const PATH: &str = "/var/lib/earmark/formatting.json";
const BOUND: usize = 16 * 1024;

/// One device that is being formatted, for one mount of one host.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Of the file system to be.
    pub uuid: String,
    instance: String,
    mount: String,
    /// Not the device's name, which is another's at the next boot.
    serial: Option<String>,
    size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u64,
    formatting: Option<Marker>,
}

impl Marker {
    /// For a device that is about to be formatted.
    pub fn new(context: &Context<'_>, device: &Device, mount: &ImagePath) -> Result<Self, Failure> {
        // Chosen before mkfs runs: what a power cut leaves of it is known by this, once it has a superblock.
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_err(|error| format!("failed to get a UUID from the kernel: {error}"))?;
        Ok(Self {
            uuid: uuid.trim().to_owned(),
            instance: instance(context)?,
            mount: mount.to_string(),
            serial: device.serial.clone(),
            size: device.size,
        })
    }

    /// Reads the marker of the device that was being formatted when this host went down. One that cannot be read is
    /// none: then a device that is not blank stays as it is.
    pub fn read(root: &Root) -> Option<Self> {
        let path = ImagePath::from_absolute(PATH.as_bytes()).ok()?;
        let bytes = state::read(root, &path, BOUND).ok()??;
        let document: Document = serde_json::from_slice(&bytes).ok()?;
        document.formatting.filter(|_| document.schema == 1)
    }

    /// Returns whether the marker is of this device, as this step of this host began it.
    pub fn is_about(&self, context: &Context<'_>, device: &Device, mount: &ImagePath) -> bool {
        // An image that was baked from this host has its state, and other devices.
        instance(context).is_ok_and(|instance| instance == self.instance)
            && self.mount == mount.to_string()
            && self.serial == device.serial
            // virtio disks need not have a serial number: of those, the size alone tells two apart.
            && self.size == device.size
    }

    /// Keeps it; once this returns, a power cut cannot undo it.
    pub fn write(&self, root: &Root) -> StepResult {
        let document = serde_json::json!({ "schema": 1, "formatting": self });
        keep(root, &document)
    }

    /// Says that nothing is being formatted.
    pub fn clear(root: &Root) -> StepResult {
        keep(
            root,
            &serde_json::json!({ "schema": 1, "formatting": null }),
        )
    }
}

fn keep(root: &Root, document: &serde_json::Value) -> StepResult {
    store::replace(root, NAME, document.to_string().as_bytes())
        .map_err(|error| format!("{error:#}").into())
}

fn instance(context: &Context<'_>) -> Result<String, String> {
    let template: Template = "{{ instance_id }}".parse()?;
    context.bindings.render(&template)
}

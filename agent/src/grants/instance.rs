//! Which instance this is, without the network: a grant is for one instance alone.

use earmark_manifest::{declaration::Platform, grant::InstanceName};
use earmark_scan::Root;

use crate::{first_boot::identity, host, imds, instance, record};

/// This instance, if this host can tell. On EC2 by the hardware, or by what the metadata service said in this boot,
/// to first boot or for reports and channels; elsewhere by the firmware, or by the machine id.
pub fn of(root: &Root, platform: Platform) -> Option<InstanceName> {
    let id = match platform {
        Platform::Ec2 => imds::instance_id_from_dmi(root)
            .map(|id| id.to_string())
            .or_else(|| told_to_first_boot(root))
            .or_else(|| Some(instance::told(root)?.to_string())),
        Platform::File => identity::of_machine(root),
    };
    id?.parse().ok()
}

/// Of the platform that a name is of.
pub fn of_kind(root: &Root, name: &InstanceName) -> Option<InstanceName> {
    let platform = if name.as_str().starts_with("i-") {
        Platform::Ec2
    } else {
        Platform::File
    };
    of(root, platform)
}

/// A first boot that failed may have found the journal of the disk that this one was copied from.
fn told_to_first_boot(root: &Root) -> Option<String> {
    let status = record::read(root).ok()??;
    let is_now = !root.is_live() || host::is_this_boot(status.report.boot_id.as_deref());
    let shown = status.first_boot?;
    if is_now && shown.problem.is_empty() {
        shown.instance
    } else {
        None
    }
}

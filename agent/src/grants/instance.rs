//! Identity of this instance, without the network: a grant is for one instance alone.

use earmark_manifest::{declaration::Platform, grant::InstanceName};
use earmark_scan::Root;

use crate::{first_boot::identity, imds, instance, root_record::RootRecord};

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

/// A first boot that failed may have found the journal of the disk that this one was copied from. What anybody else
/// than root wrote is not believed: a grant is for one instance alone.
fn told_to_first_boot(root: &Root) -> Option<String> {
    RootRecord::read(root)?.instance
}

//! Platform of a host: EC2, or one that names itself by its firmware or a file.
//!
//! Identity of the instance without a network, and what `imds` and `identity` find out with one; values that come from a
//! platform are `parameters`' to hold to the declaration.

pub mod identity;
pub mod imds;
pub mod instance;

use earmark_manifest::{declaration::Platform, grant::InstanceName};
use earmark_scan::Root;

use crate::status::root_record::RootRecord;

/// Returns the name of this instance, if this host can tell without asking anybody.
///
/// On EC2 by the hardware, or by what the metadata service said in this boot, to first boot or for reports and channels;
/// elsewhere by the firmware, or by the machine id.
pub fn instance_name(root: &Root, platform: Platform) -> Option<InstanceName> {
    let id = match platform {
        // The hardware first: neither the network nor a copied disk has a say in it.
        Platform::Ec2 => imds::instance_id_from_dmi(root)
            .map(|id| id.to_string())
            .or_else(|| told_to_first_boot(root))
            .or_else(|| Some(instance::told(root)?.to_string())),
        Platform::File => identity::of_machine(root),
    };
    id?.parse().ok()
}

/// Returns the name of this instance on the platform that `name` is of.
pub fn instance_name_like(root: &Root, name: &InstanceName) -> Option<InstanceName> {
    // The ids of machines are hexadecimal, and never begin so.
    let platform = if name.as_str().starts_with("i-") {
        Platform::Ec2
    } else {
        Platform::File
    };
    instance_name(root, platform)
}

/// A first boot that failed may have found the journal of the disk that this one was copied from. What anybody else
/// than root wrote is not believed: a grant is for one instance alone.
fn told_to_first_boot(root: &Root) -> Option<String> {
    RootRecord::read(root)?.instance
}

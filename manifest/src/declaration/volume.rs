//! `volume`: a device, and where it is mounted.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::path::ImagePath;

use super::{Action, Template, text::AbsolutePath};

/// A kind of file system that a volume may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// The device of a volume, once its template has its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeDevice {
    /// A path beneath `/dev`.
    Path(ImagePath),
    /// An EBS volume, by whatever name the kernel calls it: names of `NVMe` devices follow the order in
    /// which they answer, which is another at another boot.
    Ebs(EbsVolume),
}

/// The id of an EBS volume: `vol-` and 8 to 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EbsVolume(String);

impl Filesystem {
    /// As the declaration, `blkid` and the kernel spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

impl EbsVolume {
    /// The serial number of the `NVMe` device that it is: the id without its hyphen.
    pub fn serial(&self) -> String {
        self.0.replacen('-', "", 1)
    }
}

impl fmt::Display for EbsVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for VolumeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Ebs(volume) => volume.fmt(f),
        }
    }
}

impl FromStr for VolumeDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a device such as /dev/nvme1n1, or an EBS volume such as vol-0123456789abcdef0";
        if let Some(id) = text.strip_prefix("vol-") {
            // Lower case only, as serial numbers of EBS have it: in capitals the step would wait for a device in vain.
            let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let good = (8..=17).contains(&id.len()) && id.bytes().all(digits);
            return good
                .then(|| Self::Ebs(EbsVolume(text.to_owned())))
                .ok_or_else(|| EXPECTED.to_owned());
        }
        let path = ImagePath::from_absolute(text.as_bytes())
            .map_err(|error| format!("device: {error}: {EXPECTED}"))?;
        // A prefix suffices, since an `ImagePath` has no `..`. Where links beneath /dev lead is not looked at here.
        if !path.as_bytes().starts_with(b"dev/") || !is_plain(&path) {
            return Err(format!("device '{path}' is not beneath /dev: {EXPECTED}"));
        }
        Ok(Self::Path(path))
    }
}

/// Returns whether a path can stand in a mount unit as it is: there, `%` and `\` and spaces mean something.
fn is_plain(path: &ImagePath) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+:@=,-".contains(byte);
    path.as_bytes().iter().all(plain)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VolumeDocument {
    device: String,
    filesystem: Filesystem,
    mount: AbsolutePath,
    #[serde(default)]
    grow: bool,
}

impl VolumeDocument {
    pub(super) fn check(self) -> Result<Action, String> {
        let device: Template = self.device.parse()?;
        if device.values().next().is_none() {
            // What values make of a template is looked at on the host.
            self.device.parse::<VolumeDevice>()?;
        }
        let mount = self.mount.0;
        if !is_plain(&mount) {
            return Err(format!(
                "mount '{mount}': expected letters, digits and . _ + : @ = , - only"
            ));
        }
        Ok(Action::Volume {
            device,
            filesystem: self.filesystem,
            mount,
            grow: self.grow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_device_accepts_only_dev_path_or_ebs_volume_id() {
        let path = "/dev/nvme1n1".parse::<VolumeDevice>().unwrap();
        assert!(matches!(path, VolumeDevice::Path(_)), "{path}");
        let ebs = "vol-0123456789abcdef0".parse::<VolumeDevice>().unwrap();
        let VolumeDevice::Ebs(volume) = &ebs else {
            panic!("{ebs}");
        };
        assert_eq!(volume.serial(), "vol0123456789abcdef0");
        for bad in [
            "",
            "nvme1n1",
            "/etc/passwd",
            "/dev",
            "/dev/",
            "/dev/../etc/passwd",
            "/dev/disk/by-label/a b",
            "/dev/%m",
            "vol-",
            "vol-0123ABCD",
            "vol-0123456789abcdef01",
            "vol-../../sda",
        ] {
            assert!(bad.parse::<VolumeDevice>().is_err(), "{bad}");
        }
    }
}

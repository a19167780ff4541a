//! Device that a declaration means, by what the kernel says of it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use earmark_manifest::declaration::VolumeDevice;
use rustix::fs::{major, minor};

use crate::exec::Failure;

/// Units of `size` in sysfs, whatever the device's own blocks are.
const SECTOR: u64 = 512;

/// A block device that is there.
#[derive(Debug)]
pub struct Device {
    /// Its node, without links.
    pub path: PathBuf,
    /// Its directory in sysfs.
    pub sys: PathBuf,
    /// Major and minor number.
    pub number: (u32, u32),
    /// In bytes.
    pub size: u64,
    /// The serial number, if it has one.
    pub serial: Option<String>,
}

impl Device {
    /// The device that is declared; none as long as it is not there.
    pub fn find(declared: &VolumeDevice) -> Result<Option<Self>, Failure> {
        let path = match declared {
            VolumeDevice::Path(path) => {
                PathBuf::from(format!("/{}", String::from_utf8_lossy(path.as_bytes())))
            }
            VolumeDevice::Ebs(volume) => match of_serial(Path::new("/sys/block"), &volume.serial())
            {
                Some(name) => Path::new("/dev").join(name),
                None => return Ok(None),
            },
        };
        let device =
            Self::at(&path).map_err(|error| format!("failed to look at '{declared}': {error}"))?;
        // What had the volume's name a moment ago may be another by now.
        let is_meant = |device: &Self| match declared {
            VolumeDevice::Path(_) => true,
            VolumeDevice::Ebs(volume) => device.serial == Some(volume.serial()),
        };
        Ok(device.filter(is_meant))
    }

    fn at(path: &Path) -> io::Result<Option<Self>> {
        let path = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            path => path?,
        };
        let metadata = fs::metadata(&path)?;
        // mkfs takes a regular file, too, and would overwrite what a link in /dev leads to.
        if !metadata.file_type().is_block_device() || !path.starts_with("/dev") {
            return Err(io::Error::other("it is not a block device"));
        }
        let number = (major(metadata.rdev()), minor(metadata.rdev()));
        // By number: names in /dev are udev's to give, the number is the kernel's.
        let sys = Path::new("/sys/dev/block").join(format!("{}:{}", number.0, number.1));
        let sys = sys.canonicalize()?;
        let sectors: u64 = read(&sys.join("size"))
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        // A driver that has not asked the device yet.
        if sectors == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            serial: serial(&sys),
            size: sectors.saturating_mul(SECTOR),
            path,
            sys,
            number,
        }))
    }

    /// Waits until the device has all that was written.
    pub fn sync(&self) -> Result<(), Failure> {
        File::open(&self.path)
            .and_then(|device| device.sync_all())
            .map_err(|error| format!("failed to sync '{}': {error}", self.path.display()).into())
    }
}

/// The name of the device with this serial number. EC2 gives an `NVMe` device its volume's id for one.
fn of_serial(block: &Path, wanted: &str) -> Option<String> {
    let entries = fs::read_dir(block).ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find(|name| serial(&block.join(name)).as_deref() == Some(wanted))
}

/// `NVMe` and SCSI have it with the device, virtio with the disk.
fn serial(sys: &Path) -> Option<String> {
    let text = read(&sys.join("device/serial")).or_else(|| read(&sys.join("serial")))?;
    (!text.is_empty()).then_some(text)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_is_found_by_its_serial_under_any_device_name() {
        let block = tempfile::TempDir::new().unwrap();
        for (name, serial) in [
            ("nvme0n1", "vol0123456789abcdef0\n"),
            ("nvme1n1", "vol0fedcba9876543210   \n"),
            ("nvme2n1", "AWS1234567890ABCDEF0\n"),
        ] {
            let device = block.path().join(name).join("device");
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("serial"), serial).unwrap();
        }
        fs::create_dir(block.path().join("loop0")).unwrap();
        let find = |serial| of_serial(block.path(), serial);
        assert_eq!(find("vol0fedcba9876543210").as_deref(), Some("nvme1n1"));
        assert_eq!(find("vol0fedcba987654321"), None);
    }

    #[test]
    fn non_block_device_is_rejected_and_a_missing_device_is_not_an_error() {
        let find = |path: &str| Device::find(&path.parse().unwrap());
        assert!(find("/dev/null").is_err());
        assert!(find("/dev/earmark-no-such-device").unwrap().is_none());
    }
}

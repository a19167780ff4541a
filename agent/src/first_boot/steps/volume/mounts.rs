//! Mounts a volume by a unit of the service manager's, so that what needs the mount can say so, and so
//! that it is taken down in order.

use std::{fs, io, path::Path};

use earmark_manifest::{declaration::Filesystem, path::ImagePath};

use super::{
    super::{Context, StepResult},
    device::Device,
};
use crate::exec::{Failure, systemctl::systemctl};

/// Units until the next boot.
const UNITS: &str = "/run/systemd/system";
/// Mount options of every volume. The lockdown decides whether programs may run from it.
const OPTIONS: [&str; 2] = ["nosuid", "nodev"];

/// Writes the unit, has it started, and looks at what came of it.
pub async fn mount(
    context: &Context<'_>,
    device: &Device,
    filesystem: Filesystem,
    mount: &ImagePath,
) -> StepResult {
    let name = unit_name(mount);
    write(&name, &unit(device, filesystem, mount))
        .map_err(|error| format!("failed to write '{UNITS}/{name}': {error}"))?;
    // No reload: systemd looks for a unit again that it did not find before.
    systemctl(context.image, &["start", "--", &name]).await?;
    let table = table()?;
    // systemctl succeeds as well where a unit of this name in /etc comes before ours, or one is active already.
    let found = at(&table, mount).map(|found| (found.number, found.options));
    let is_as_declared = found.is_some_and(|(number, options)| {
        number == Some(device.number) && OPTIONS.iter().all(|option| options.contains(option))
    });
    if is_as_declared {
        return Ok(());
    }
    Err(format!("'{mount}' is not mounted as declared: does /etc/fstab list it, too?").into())
}

/// The device that is mounted there; an error if it is something without one.
pub fn device_at(mount: &ImagePath) -> Result<Option<(u32, u32)>, Failure> {
    let table = table()?;
    Ok(at(&table, mount).and_then(|found| found.number))
}

/// As text. A declared mount is plain ASCII.
pub fn text(path: &ImagePath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

fn unit(device: &Device, filesystem: Filesystem, mount: &ImagePath) -> String {
    format!(
        "# Written at each boot by earmark-agent, from the signed declaration.\n\
         [Unit]\n\
         Description=Volume on {mount}\n\
         Documentation=man:earmark-agent(8)\n\
         # So that it goes after the workload when the host goes down.\n\
         Before=earmark-ready.target\n\
         [Mount]\n\
         What={device}\n\
         Where={mount}\n\
         Type={kind}\n\
         Options={options}\n",
        mount = text(mount),
        device = device.path.display(),
        kind = filesystem.name(),
        options = OPTIONS.join(","),
    )
}

/// Whole or not at all: systemd may look at any time.
fn write(name: &str, text: &str) -> io::Result<()> {
    let units = Path::new(UNITS);
    fs::create_dir_all(units)?;
    // A name that systemd takes for no unit.
    let temporary = units.join(".earmark-volume");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, units.join(name))
}

/// `systemd-escape --path --suffix=mount`.
fn unit_name(mount: &ImagePath) -> String {
    let mut name = String::new();
    for (index, byte) in mount.as_bytes().iter().copied().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b":_.".contains(&byte);
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            _ if is_plain => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name + ".mount"
}

fn table() -> Result<String, Failure> {
    fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("failed to read '/proc/self/mountinfo': {error}").into())
}

/// A mount.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    number: Option<(u32, u32)>,
    options: Vec<&'a str>,
}

/// Returns the mount at this mount point, the uppermost if there are several.
fn at<'a>(table: &'a str, mount: &ImagePath) -> Option<Mount<'a>> {
    let mount = text(mount);
    let mut found = table.lines().filter_map(|line| {
        // Id, parent, device, root, mount point, options.
        let mut fields = line.split(' ').skip(2);
        let number = fields.next()?.split_once(':');
        let point = fields.nth(1)?;
        let options = fields.next()?.split(',').collect();
        let number =
            number.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        (point == mount).then_some(Mount { number, options })
    });
    found.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_absolute(text.as_bytes()).unwrap()
    }

    /// Expects the names that `systemd-escape` gives to the same paths.
    #[test]
    fn mount_unit_name_is_escaped_as_systemd_does() {
        for (mount, name) in [
            ("/srv/data", "srv-data.mount"),
            ("/srv/my-data", "srv-my\\x2ddata.mount"),
            ("/.hidden/.x", "\\x2ehidden-.x.mount"),
            (
                "/srv/a+b@c=1,2:3_4",
                "srv-a\\x2bb\\x40c\\x3d1\\x2c2:3_4.mount",
            ),
        ] {
            assert_eq!(unit_name(&path(mount)), name);
        }
    }

    #[test]
    fn mount_lookup_returns_the_uppermost_mount() {
        let table = "\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw
40 22 0:35 / /srv/data rw,nosuid - tmpfs tmpfs rw
41 40 259:1 / /srv/data rw,nosuid,nodev - ext4 /dev/nvme1n1 rw
42 22 259:3 / /srv/data2 rw - ext4 /dev/nvme2n1 rw
";
        let found = at(table, &path("/srv/data")).unwrap();
        assert_eq!(found.number, Some((259, 1)));
        assert_eq!(found.options, ["rw", "nosuid", "nodev"]);
        assert_eq!(at(table, &path("/srv")), None);
    }
}

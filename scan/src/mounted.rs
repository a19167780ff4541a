//! Mounts of the running system over what was sealed, by the mount table alone.
//!
//! The walk sees each mount that it meets. Where the initrd walked, before there were any, the table has to do.

use earmark_manifest::{
    class::{PathClass, RuleSet},
    path::ImagePath,
};

use crate::{Doubt, Root, Violation, ViolationKind, disk::fstab::unescaped};

/// Mounts of PID 1, since the verification's own unit has mounts of its own.
const TABLE: &str = "/proc/1/mountinfo";
/// A host of containers has hundreds of mounts; before the verification there are none of those.
const BOUND: usize = 8 * 1024 * 1024;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: ImagePath,
    /// Number of the file system's device: `259:2`.
    pub(crate) device: String,
}

/// Reads the mount table of the running system.
pub(crate) fn table(root: &Root) -> Result<Vec<Mount>, Doubt> {
    let path = ImagePath::from_absolute(TABLE.as_bytes()).unwrap_or_default();
    let doubt = |cause: String| Doubt::new(&path, "read the mount table", cause);
    let bytes = root
        .read_opt(&path, BOUND)
        .map_err(|error| doubt(error.cause.to_string()))?
        .ok_or_else(|| doubt("no such file".to_owned()))?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mount = |line: &[u8]| {
        parse(line).ok_or_else(|| {
            let line = earmark_manifest::escape::Escaped(line);
            doubt(format!("'{line}' is no line of one"))
        })
    };
    lines.map(mount).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS...`, with spaces in paths as `\040` (proc(5)).
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let device = std::str::from_utf8(fields.next()?).ok()?.to_owned();
    let (major, minor) = device.split_once(':')?;
    let _: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let point = unescaped(std::str::from_utf8(fields.nth(1)?).ok()?);
    let point = match &*point {
        b"/" => ImagePath::root(),
        point => ImagePath::from_absolute(point).ok()?,
    };
    Some(Mount { point, device })
}

/// Returns the mounts over sealed paths. `declared` are those that belong to the image.
pub(crate) fn over_sealed(
    root: &Root,
    rules: &RuleSet,
    declared: &[ImagePath],
    mounts: &[Mount],
) -> Vec<Violation> {
    let mut roots = 0_u32;
    let is_over = |mount: &&Mount| {
        if mount.point.is_root() {
            // The first is the root itself; one more hides all of it.
            roots = roots.saturating_add(1);
            return roots > 1;
        }
        let is_file = || root.open_regular(&mount.point).is_ok();
        // Nobody walks beneath state, whatever is mounted there.
        if is_beneath_state(rules, &mount.point) {
            return false;
        }
        match rules.class_of(&mount.point) {
            PathClass::State => false,
            // Over a file it changes content, which is free there.
            PathClass::Mutable | PathClass::Generated => !is_file(),
            PathClass::Sealed => !declared.contains(&mount.point),
            PathClass::Rendered | PathClass::Seal => true,
        }
    };
    let over = mounts.iter().filter(is_over);
    over.map(|mount| Violation {
        path: mount.point.clone(),
        kind: ViolationKind::Mount,
        expected: "nothing mounted here".to_owned(),
        found: "a mount over it".to_owned(),
    })
    .collect()
}

fn is_beneath_state(rules: &RuleSet, path: &ImagePath) -> bool {
    let mut above = std::iter::successors(path.parent(), ImagePath::parent);
    above.any(|path| rules.class_of(&path) == PathClass::State)
}

/// Returns in which place is another file system than the initrd judged there. `judged`: mount points, and devices.
pub(crate) fn moved(judged: &[(ImagePath, String)], mounts: &[Mount]) -> Option<String> {
    judged.iter().find_map(|(path, device)| {
        // The last mount of a place is what is seen there.
        let now = mounts.iter().rfind(|mount| mount.point == *path);
        match now {
            Some(now) if now.device == *device => None,
            Some(now) => Some(format!(
                "the initrd judged the device {device} on {path}, and {} is there now",
                now.device
            )),
            None => Some(format!(
                "the initrd judged the device {device} on {path}, which is not mounted now"
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_line_gives_point_and_device() {
        let mount = parse(b"29 1 259:2 / /boot\\040x ro,relatime - ext4 /dev/x ro").unwrap();
        assert_eq!(mount.point.as_bytes(), b"boot x");
        assert_eq!(mount.device, "259:2");
        let root = parse(b"22 1 8:1 / / rw - ext4 /dev/sda1 rw").unwrap();
        assert!(root.point.is_root());
        for bad in [
            "",
            "1 2",
            "1 2 x / / rw",
            "1 2 8:y / /a rw",
            "1 2 8:1 / a rw",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn judged_file_system_must_be_where_it_was_judged() {
        let mount = |point: &str, device: &str| Mount {
            point: ImagePath::from_absolute(point.as_bytes()).unwrap(),
            device: device.to_owned(),
        };
        let boot = ImagePath::from_absolute(b"/boot").unwrap();
        let judged = [(boot, "259:2".to_owned())];
        let root = mount("/srv", "259:1");
        let good = [root.clone(), mount("/boot", "259:2")];
        assert_eq!(moved(&judged, &good), None);
        for now in [
            vec![root],
            vec![mount("/boot", "259:2"), mount("/boot", "8:1")],
        ] {
            assert!(moved(&judged, &now).is_some(), "{now:?}");
        }
    }
}

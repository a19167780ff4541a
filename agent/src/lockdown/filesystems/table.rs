//! The table of mounts, as `/proc/PID/mountinfo` has it. Strict: what is not understood is an error, and
//! then nothing is known of any mount.

use std::collections::{HashMap, HashSet};

use earmark_manifest::{escape::Escaped, path::ImagePath};
use rustix::mount::MountFlags;

/// A host with more is none whose mounts anybody means.
const MOST: usize = 4096;
/// What makes a difference here, and what has to be said again lest a change of one takes another away.
const FLAGS: [(&[u8], MountFlags); 5] = [
    (b"ro", MountFlags::RDONLY),
    (b"nosuid", MountFlags::NOSUID),
    (b"nodev", MountFlags::NODEV),
    (b"noexec", MountFlags::NOEXEC),
    (b"nosymfollow", MountFlags::NOSYMFOLLOW),
];

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub id: u32,
    parent: u32,
    /// The file system's number.
    device: Vec<u8>,
    /// What of the file system is mounted: a path in it, or what a file system of the kernel says.
    root: Vec<u8>,
    /// Where.
    pub point: ImagePath,
    /// Of the mount.
    pub flags: MountFlags,
    /// Of the file system beneath it.
    is_frozen: bool,
    /// Such as `ext4`.
    pub kind: String,
}

/// All mounts of a namespace.
#[derive(Debug)]
pub(super) struct Table {
    mounts: Vec<Mount>,
    /// By the id of what they are mounted on, the places of the others.
    upon: HashMap<u32, Vec<usize>>,
    root: Mount,
}

impl Table {
    /// From the bytes of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut mounts = Vec::new();
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if index == MOST {
                return Err(format!("more than {MOST} mounts"));
            }
            let mount = Mount::parse(line);
            mounts.push(mount.ok_or_else(|| format!("not a mount: '{}'", Escaped(line)))?);
        }
        let ids: HashSet<u32> = mounts.iter().map(|mount| mount.id).collect();
        if ids.len() < mounts.len() {
            return Err("two mounts have the same number".to_owned());
        }
        let is_first = |mount: &&Mount| {
            let hangs_on_nothing = mount.parent == mount.id || !ids.contains(&mount.parent);
            mount.point.is_root() && hangs_on_nothing
        };
        let root = mounts.iter().find(is_first).cloned();
        let root = root.ok_or("nothing is mounted on '/'")?;
        let mut upon: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            if mount.parent != mount.id {
                upon.entry(mount.parent).or_default().push(index);
            }
        }
        Ok(Self { mounts, upon, root })
    }

    /// The mount that a path leads into.
    pub fn at(&self, path: &ImagePath) -> &Mount {
        let mut reached = &self.root;
        // Each step goes to another mount, unless the table is no tree.
        for _ in 0..=self.mounts.len() {
            // On the way the first point is the one that is met, and there the last mount.
            let here = self.upon.get(&reached.id).into_iter().flatten();
            let next = here
                .filter_map(|index| self.mounts.get(*index))
                .filter(|mount| path.is_beneath(&mount.point))
                .rev()
                .min_by_key(|mount| mount.point.as_bytes().len());
            let Some(next) = next else {
                break;
            };
            reached = next;
        }
        reached
    }

    /// The mounts that some path leads into. The others are covered by these.
    pub fn visible(&self) -> Vec<&Mount> {
        let is_met = |mount: &&Mount| self.at(&mount.point).id == mount.id;
        self.mounts.iter().filter(is_met).collect()
    }

    /// Where a file can be written by one path and run by another: through two mounts that both show it.
    pub fn written_and_run(&self) -> Vec<(ImagePath, ImagePath)> {
        let visible = self.visible();
        let mut found = Vec::new();
        for written in visible.iter().filter(|mount| mount.is_writable()) {
            // One that is writable itself is found as such.
            let runs = |mount: &&&Mount| {
                let runs = !mount.flags.contains(MountFlags::NOEXEC) && !mount.is_writable();
                runs && mount.device == written.device
            };
            for run in visible.iter().filter(runs) {
                if self.share(written, run) {
                    found.push((written.point.clone(), run.point.clone()));
                }
            }
        }
        found
    }

    fn share(&self, one: &Mount, other: &Mount) -> bool {
        let common = match (
            beneath(&one.root, &other.root),
            beneath(&other.root, &one.root),
        ) {
            (Some(_), _) => &one.root,
            (None, Some(_)) => &other.root,
            (None, None) => return false,
        };
        // Where each has what they have in common, unless something else is mounted there.
        let shows = |mount: &Mount| {
            let Some(rest) = beneath(common, &mount.root) else {
                return true;
            };
            let mut path = mount.point.clone();
            for name in rest
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty())
            {
                let Ok(inner) = path.join(name) else {
                    return true;
                };
                path = inner;
            }
            self.at(&path).id == mount.id
        };
        shows(one) && shows(other)
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = number(fields.next()?)?;
        let parent = number(fields.next()?)?;
        let device = fields.next()?;
        let mut halves = device.splitn(2, |byte| *byte == b':');
        number(halves.next()?)?;
        number(halves.next()?)?;
        let root = unescape(fields.next()?)?;
        let point = ImagePath::from_absolute(&unescape(fields.next()?)?).ok()?;
        let options = fields.next()?;
        // Any number of fields that say how mounts propagate, and their end.
        fields
            .find(|field| field.is_empty() || *field == b"-")
            .filter(|field| !field.is_empty())?;
        let kind = String::from_utf8(unescape(fields.next()?)?).ok()?;
        let _source = fields.next()?;
        let of_all = fields.next()?;
        if kind.is_empty() || root.is_empty() {
            return None;
        }
        Some(Self {
            id,
            parent,
            device: device.to_vec(),
            root,
            point,
            flags: flags(options)?,
            is_frozen: flags(of_all)?.contains(MountFlags::RDONLY),
            kind,
        })
    }

    /// Whether a file in it can be changed.
    pub fn is_writable(&self) -> bool {
        !self.is_frozen && !self.flags.contains(MountFlags::RDONLY)
    }

    /// Whether its file system itself is read-only, however it is mounted.
    pub const fn is_frozen(&self) -> bool {
        self.is_frozen
    }
}

/// The rest of a path that is another or lies beneath it.
fn beneath<'a>(path: &'a [u8], above: &[u8]) -> Option<&'a [u8]> {
    if above == b"/" {
        return path.strip_prefix(b"/");
    }
    let rest = path.strip_prefix(above)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

fn number(field: &[u8]) -> Option<u32> {
    // `parse` takes a sign as well.
    let digits = field.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(field).ok()?;
    digits.then(|| text.parse().ok())?
}

/// The flags among options. `rw` or `ro` is always one of them.
fn flags(options: &[u8]) -> Option<MountFlags> {
    let is = |name: &[u8]| {
        options
            .split(|byte| *byte == b',')
            .any(|option| option == name)
    };
    if is(b"rw") == is(b"ro") {
        return None;
    }
    let set = FLAGS.iter().filter(|(name, _)| is(name));
    Some(set.map(|(_, flag)| *flag).collect())
}

/// A path, whose blanks, newlines and backslashes are written as `\` and three octal digits.
pub(super) fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = after.split_first_chunk::<3>()?;
        let mut value = 0_u8;
        for digit in digits {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
            value = value.checked_mul(8)?.checked_add(digit)?;
        }
        bytes.push(value);
        rest = after;
    }
    Some(bytes)
}

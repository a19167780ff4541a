//! The table of mounts, as `/proc/PID/mountinfo` has it, read line by line. Strict: what is not understood is an
//! error, and then nothing is known of any mount. But not a line about FUSE, which users mount and whose words are
//! theirs, nor one that is too long: who owns a directory moves root's mounts in it as deep as they like. Those are left
//! out, and counted.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, Read},
};

use earmark_manifest::{escape::Escaped, path::ImagePath};
use rustix::mount::MountFlags;

use super::super::{cause::Probe, item::Unseen};

/// Mounts that are kept.
const MOST: usize = 8192;
/// Of a line: two paths of the longest that there are, each byte of them as four.
const LINE: u64 = 64 * 1024;
/// Flags that make a difference here, and those that a change must repeat, since it would clear them otherwise.
// Without those of access times: a remount that names none of them keeps them (`path_mount`, fs/namespace.c).
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
    /// Part of the file system that is mounted: a path in it, or a text that a file system of the kernel gives.
    root: Vec<u8>,
    /// Mount point.
    pub point: ImagePath,
    /// Of the mount.
    pub flags: MountFlags,
    /// Of the file system beneath it.
    is_frozen: bool,
    /// Such as `ext4`.
    pub kind: String,
    /// Originator of the mount, as far as the table tells.
    pub by: By,
}

/// Originator of a mount: whoever could have made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Root alone.
    Root,
    /// The user whose FUSE it is, by a set-uid program.
    User,
}

/// All mounts of a namespace.
#[derive(Debug)]
pub(super) struct Table {
    mounts: Vec<Mount>,
    /// By the id of what they are mounted on, the places of the others.
    upon: HashMap<u32, Vec<usize>>,
    root: Mount,
    /// Lines that users may have brought about and that were not understood.
    strange: usize,
}

impl Table {
    /// Reads the lines of the file.
    pub fn read(mut lines: impl BufRead) -> Result<Self, Unseen> {
        let (mut mounts, mut strange) = (Vec::new(), 0_usize);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.by_ref().take(LINE).read_until(b'\n', &mut line);
            if read.map_err(|error| Unseen::io(&error, error.to_string()))? == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            match Mount::parse(text) {
                // At its bound a line is cut off.
                _ if !is_whole && u64::try_from(line.len()) == Ok(LINE) => {
                    skip_line(&mut lines)?;
                    strange = strange.saturating_add(1);
                }
                Some(mount) => mounts.push(mount),
                None if is_far(text) => strange = strange.saturating_add(1),
                // Its source and subtype are words of the user's: an odd one must not blind the look to every mount.
                None if is_fuse_line(text) => strange = strange.saturating_add(1),
                None => return Err(format!("not a mount: '{}'", Escaped(text)).into()),
            }
            if mounts.len() > MOST {
                let text = format!("more than {MOST} mounts, of which the rest was not looked at");
                return Err(Unseen::Unfit(Probe::MountsFit, text));
            }
        }
        // The kernel lists piece by piece, and gives the number of a mount that went to one that comes, which users
        // make as well. Of two with one number the one that was listed first is gone.
        let mut ids = HashSet::new();
        mounts.reverse();
        mounts.retain(|mount: &Mount| ids.insert(mount.id));
        mounts.reverse();
        let is_first = |mount: &&Mount| {
            // The parent of a container's root may lie outside of what is listed (proc(5)).
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
        Ok(Self {
            mounts,
            upon,
            root,
            strange,
        })
    }

    /// Returns the number of lines that users may have brought about and that were not understood.
    pub const fn strange(&self) -> usize {
        self.strange
    }

    /// Returns whether an access triggered a mount: it lies on an automount of the same place.
    pub fn is_automounted(&self, mount: &Mount) -> bool {
        let is_trigger = |other: &Mount| {
            other.id == mount.parent && other.point == mount.point && other.kind == "autofs"
        };
        self.mounts.iter().any(is_trigger)
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

    /// Returns pairs of mount points that show the same file: it can be written through the first, and run through
    /// the second.
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
        // `fusermount` sets these itself, from the user who calls it, and takes none from that user.
        let is_of_user = is_fuse(kind.as_bytes()) && {
            let mut users = of_all.split(|byte| *byte == b',');
            users.any(|option| {
                let user = option.strip_prefix(b"user_id=");
                user.is_some_and(|user| user != b"0")
            })
        };
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
            by: if is_of_user { By::User } else { By::Root },
        })
    }

    /// Returns whether a file in the mount can be changed.
    pub fn is_writable(&self) -> bool {
        !self.is_frozen && !self.flags.contains(MountFlags::RDONLY)
    }

    /// Returns whether its file system itself is read-only, however it is mounted.
    pub const fn is_frozen(&self) -> bool {
        self.is_frozen
    }
}

fn is_fuse(kind: &[u8]) -> bool {
    kind == b"fuse" || kind.starts_with(b"fuse.")
}

/// Reads on to the end of a line, without keeping it.
fn skip_line(lines: &mut impl BufRead) -> Result<(), Unseen> {
    loop {
        let piece = lines.fill_buf();
        let piece = piece.map_err(|error| Unseen::io(&error, error.to_string()))?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (used, is_over) = match end {
            Some(end) => (end.saturating_add(1), true),
            None => (piece.len(), piece.is_empty()),
        };
        lines.consume(used);
        if is_over {
            return Ok(());
        }
    }
}

/// Returns whether a line is about a mount whose point is deeper than any path that can be opened: root's, which the
/// owner of a directory above it moved there.
fn is_far(line: &[u8]) -> bool {
    const PATH_MAX: usize = 4096;
    let point = line.split(|byte| *byte == b' ').nth(4).and_then(unescape);
    point.is_some_and(|point| point.starts_with(b"/") && point.len() >= PATH_MAX)
}

/// Returns whether a line that is not understood is about FUSE that a user mounted: by its type and its owner, in
/// fields that nothing else in it can move. Text of the user's comes before and has no blanks.
fn is_fuse_line(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b' ');
    let end = fields.position(|field| field == b"-");
    let (kind, of_all) = (fields.next(), fields.nth(1));
    let is_of_user = of_all.is_some_and(|options| {
        let mut options = options.split(|byte| *byte == b',');
        options.any(|option| option.starts_with(b"user_id=") && option != b"user_id=0")
    });
    end.is_some() && kind.is_some_and(is_fuse) && is_of_user
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
    // Neither or both: whether the mount is writable would be a guess.
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
            // `\400` and above is no byte: refused, since wrapped around it would be another path.
            value = value.checked_mul(8)?.checked_add(digit)?;
        }
        bytes.push(value);
        rest = after;
    }
    Some(bytes)
}

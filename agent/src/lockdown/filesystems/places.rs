//! Places of an image that are sealed, and places that stay writable, by the class rules of its declaration.

use std::collections::BTreeSet;

use earmark_manifest::{
    class::{PathClass, Pattern, RuleKind, RuleSet},
    declaration::{Action, Declaration},
    escape,
    path::ImagePath,
    profile::Profile,
};
use earmark_scan::Root;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    super::{
        item::Unseen,
        look::{Look, attributes},
    },
    plan::Stage,
    table::unescape,
};

/// Of paths that a pattern stands for.
const MOST: usize = 512;
/// systemd takes a mount on it for an id that is still to be written to the disk.
const MACHINE_ID: &str = "/etc/machine-id";
const FSTAB: &str = "/etc/fstab";

/// Rules of an image about the paths that may be written.
pub(super) struct Places {
    rules: RuleSet,
    /// The exceptions of the lock.
    except: Vec<ImagePath>,
    /// Paths that the owner of the image declared as state, by name, and the exceptions. A profile's rules are left
    /// out: they are for any host.
    declared: Vec<ImagePath>,
    /// Mount points of the volumes that first boot mounts.
    volumes: Vec<ImagePath>,
}

/// Rule for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is written.
    Sealed,
    /// Nothing is run.
    Writable,
    /// The declaration leaves it open: the lock is not for it.
    Open,
}

impl Places {
    pub fn new(declaration: &Declaration, except: &[String]) -> Result<Self, String> {
        let rules = declaration.rule_set().map_err(|error| error.to_string())?;
        // They come as they are shown.
        let parse = |text: &String| {
            let bytes = escape::decode(text.as_bytes()).ok()?;
            ImagePath::from_absolute(&bytes).ok()
        };
        let paths: Option<Vec<ImagePath>> = except.iter().map(parse).collect();
        let except = paths.ok_or("an exception of the lock is no path")?;
        // The rules of the profile come first.
        let profile = declaration.tree.profile.map(Profile::rules).transpose();
        let profile = profile.map_err(|error| error.to_string())?;
        let own = declaration.reasoned_rules().iter();
        let own = own.skip(profile.map_or(0, |rules| rules.len()));
        let declared = own
            .filter(|rule| rule.rule.kind == RuleKind::Class(PathClass::State))
            .filter_map(|rule| rule.rule.pattern.literal())
            .chain(except.iter().cloned())
            .collect();
        let volume = |action: &Action| match action {
            Action::Volume { mount, .. } => Some(mount.clone()),
            Action::Command { .. }
            | Action::File { .. }
            | Action::Hostname { .. }
            | Action::Unit { .. } => None,
        };
        let volumes = declaration.first_boot.iter();
        Ok(Self {
            rules,
            except,
            declared,
            volumes: volumes.filter_map(|step| volume(&step.action)).collect(),
        })
    }

    /// Returns the rule for a mount on a path.
    pub fn place(&self, path: &ImagePath) -> Place {
        if self.except.iter().any(|place| path.is_beneath(place)) {
            return Place::Open;
        }
        let above = std::iter::successors(Some(path.clone()), ImagePath::parent);
        // What lies beneath a `state` directory has no class of its own.
        let mut classes = above.map(|path| self.rules.class_of(&path));
        // `class_of` of a path that is `generated` as well is not `mutable`, though the file is there to be written.
        let is_mutable = self.rules.class_when_sealed(path) == PathClass::Mutable;
        if is_mutable || classes.any(|class| class == PathClass::State) {
            Place::Writable
        } else {
            Place::Sealed
        }
    }

    /// The exceptions.
    pub fn except(&self) -> &[ImagePath] {
        &self.except
    }

    /// Returns the paths that exist and stay writable amid sealed ones, in the order of the paths, the uppermost of
    /// each branch alone. `mutable` files only at the last stage: before, they may be replaced still.
    pub fn islands(&self, look: &Look<'_>, stage: Stage) -> Result<Vec<ImagePath>, String> {
        let mounted_later = self.mounted_later(look)?;
        let mut islands = BTreeSet::new();
        for rule in self.rules.rules() {
            let class = match (rule.kind, stage) {
                (RuleKind::Class(PathClass::State), _) => PathClass::State,
                (RuleKind::Class(PathClass::Mutable), Stage::Whole) => PathClass::Mutable,
                (RuleKind::Class(PathClass::Mutable), Stage::Islands)
                | (
                    RuleKind::Class(
                        PathClass::Sealed
                        | PathClass::Generated
                        | PathClass::Rendered
                        | PathClass::Seal,
                    )
                    | RuleKind::Critical,
                    _,
                ) => continue,
            };
            for path in self.expand(look, &rule.pattern)? {
                // A later rule may have taken it back; what may also appear is mutable where it is there.
                if self.rules.class_when_sealed(&path) == class
                    && is_island(look.root(), &path, class)?
                {
                    islands.insert(path);
                }
            }
        }
        for path in &self.except {
            if is_island(look.root(), path, PathClass::State)? {
                islands.insert(path.clone());
            }
        }
        islands.retain(|path| !mounted_later.contains(path) && path.to_string() != MACHINE_ID);
        let all = islands.clone();
        let is_inner = |path: &ImagePath| {
            let mut above = std::iter::successors(path.parent(), ImagePath::parent);
            // An exception within has flags of its own.
            let above = above.any(|above| all.contains(&above));
            above && !self.except.contains(path)
        };
        Ok(islands.into_iter().filter(|path| !is_inner(path)).collect())
    }

    /// Makes the declared directories that are missing: once the rest is read-only, the service that
    /// would make its own cannot. It gives it the owner and the mode that it wants, as it does with one
    /// that it finds.
    pub fn make_missing(&self, root: &Root) -> Vec<String> {
        let problem = |path: &ImagePath| {
            let made: Result<(), Errno> = make(root, path);
            let errno = made.err()?;
            Some(format!("failed to make '{path}': {errno}"))
        };
        self.declared.iter().filter_map(problem).collect()
    }

    /// The paths that a pattern stands for. A whole tree of `mutable` files is none: nobody could add to it
    /// or rename in it, for its directories are sealed. What lies in a place that is writable as a whole is none either.
    fn expand(&self, look: &Look<'_>, pattern: &Pattern) -> Result<Vec<ImagePath>, String> {
        if let Some(path) = pattern.literal() {
            return Ok(vec![path]);
        }
        let text = pattern.to_string();
        let mut found = vec![ImagePath::root()];
        let mut prefix = String::new();
        for name in text.split('/').skip(1) {
            if name == "**" {
                return Ok(Vec::new());
            }
            prefix = format!("{prefix}/{name}");
            let Ok(upper) = Pattern::parse(prefix.as_bytes()) else {
                return Ok(Vec::new());
            };
            let mut next = Vec::new();
            for directory in found {
                // What lies in a place that is writable as a whole is not even listed: it is in others' hands
                // how much that is, and who answers for it.
                if self.place(&directory) != Place::Sealed {
                    continue;
                }
                let path = directory.to_string();
                if upper.literal().is_some() {
                    next.extend(directory.join(name.as_bytes()).ok());
                    continue;
                }
                for (inner, _) in look.list(&path)?.unwrap_or_default() {
                    let inner = directory.join(inner.as_bytes()).ok();
                    next.extend(inner.filter(|inner| upper.matches(inner)));
                }
            }
            // Once a part has a wildcard, no prefix is literal any more: what follows is matched, too.
            found = next;
            if found.len() > MOST {
                return Err(format!("'{pattern}' stands for more than {MOST} paths"));
            }
        }
        Ok(found)
    }

    /// Returns the mount points at which `/etc/fstab` lets users mount, too.
    pub fn mounted_by_users(look: &Look<'_>) -> Result<Vec<ImagePath>, Unseen> {
        let fstab = look.text(FSTAB)?.unwrap_or_default();
        let points = fstab.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            fields.next().filter(|source| !source.starts_with('#'))?;
            let point = point(fields.next()?)?;
            let mut options = fields.nth(1)?.split(',');
            // By mount(8), `owner` and `group` let the owner of the device mount it, and the other two everybody.
            let is_for_users = |option| ["user", "users", "owner", "group"].contains(&option);
            options.any(is_for_users).then_some(point)
        });
        Ok(points.collect())
    }

    /// A volume that is mounted after an island was made of its place would seem to be there already.
    fn mounted_later(&self, look: &Look<'_>) -> Result<Vec<ImagePath>, String> {
        let fstab = look.text(FSTAB)?.unwrap_or_default();
        let points = fstab.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            fields.next().filter(|source| !source.starts_with('#'))?;
            point(fields.next()?)
        });
        Ok(self.volumes.iter().cloned().chain(points).collect())
    }
}

/// A mount point, as `/etc/fstab` spells it.
fn point(field: &str) -> Option<ImagePath> {
    let point = unescape(field.as_bytes())?;
    // A slash at the end is allowed in fstab, and never stands in mountinfo.
    ImagePath::from_absolute(point.strip_suffix(b"/").unwrap_or(&point)).ok()
}

/// Returns whether a path can be mounted over itself, to be written. Of class `mutable` only a file can: in a
/// directory of that class names may neither come nor go.
fn is_island(root: &Root, path: &ImagePath, class: PathClass) -> Result<bool, String> {
    let failed = |errno: Errno| format!("failed to look at '{path}': {errno}");
    let place = match open(root, path, OFlags::empty()) {
        Ok(place) => place,
        // A link is sealed, and leads to where its target's class says.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
        Err(errno) => return Err(failed(errno)),
    };
    // Of a file system that somebody serves who does not answer, this asks nothing.
    let stat = attributes(&place).map_err(failed)?;
    let kind = FileType::from_raw_mode(stat.stx_mode.into());
    Ok(kind.is_file() || (kind.is_dir() && class == PathClass::State))
}

fn make(root: &Root, path: &ImagePath) -> Result<(), Errno> {
    match open(root, path, OFlags::empty()) {
        Err(Errno::NOENT) => {}
        // A link on the way, or where a directory would be: what is there is the image's.
        Ok(_) | Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let parent = match open(root, &parent, OFlags::DIRECTORY) {
        // Nor is there a place for it.
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
    match rustix::fs::mkdirat(parent, name.unwrap_or_default(), Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Opens a place as such, beneath the root and through no link.
pub(super) fn open(
    root: &Root,
    path: &ImagePath,
    flags: OFlags,
) -> Result<std::os::fd::OwnedFd, Errno> {
    // The root's path is empty, and openat2 answers an empty path with ENOENT.
    let bytes = if path.is_root() {
        b"."
    } else {
        path.as_bytes()
    };
    // O_PATH: a device or a FIFO that a service left in its state is not opened, and an automount not set off.
    let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A link that a service put into its state would have another place mounted over, or its flags changed.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    earmark_scan::openat2(root.as_fd(), bytes, flags, resolve)
}

//! The lock `filesystems`: what is sealed is read-only, and nothing that is writable can be run.
//!
//! The mount of the root becomes read-only as a whole, and what the image declares as `state` lies in it
//! as islands: each is mounted over itself, writable, with `nosuid,nodev,noexec`. Not the other way round,
//! sealed directories mounted over themselves: the root itself would stay writable, and a mount over
//! something sealed is what a verification looks for.
//!
//! - A file that is open to be written keeps its mount from becoming read-only. So the islands are made
//!   early, before the journal moves to the disk, and the rest is shut after first boot.
//! - A `mutable` file is an island in the end, so that it can be written. It cannot be replaced by
//!   another, nor can its directory get a temporary file: who does that (`/etc/resolv.conf`) needs a link
//!   into `/run`, or a directory of its own that is `state`.
//! - The directory of a service (`StateDirectory=`) has to be declared, as all that is written has. It is
//!   made if it is missing. `DynamicUser=` wants a link as well, which the image has to hold.
//! - A place that a volume or `/etc/fstab` is for is left to it: systemd would take an island for it.
//! - File systems of the kernel and `/run`, `/tmp`, `/dev` are mounts already and get what they lack;
//!   `nodev` not where devices are what they are for.
//! - New mounts go to all namespaces that follow that of PID 1; flags that change later do not. A service
//!   that has mounts of its own and started before sees the root writable still, until it restarts.
//!
//! Root can undo all of it, and then it is found. It does not protect against a program that is only in
//! memory, nor against an interpreter that is told to run a file.

mod perform;
mod places;
mod plan;
mod table;

use earmark_manifest::{declaration::Declaration, path::ImagePath};
use rustix::{fs::FileType, mount::MountFlags};

use self::{
    perform::perform,
    places::{Place, Places},
    plan::{Stage, plan, wanted},
    table::{Mount, Table},
};
use super::{
    item::{Item, LockState, Seen, Strength},
    look::Look,
};

/// What services see that start from now on.
const MOUNTS: &str = "/proc/1/mountinfo";
/// What of a table of mounts is read.
const BOUND: usize = 2 * 1024 * 1024;
/// The file systems of the kernel, of which one line says enough if nothing is wrong.
const KERNELS: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

/// Mounts that are shown one by one: a host of containers has hundreds.
const SHOWN: usize = 64;

/// The mounts as PID 1 sees them. `except` are places that are left open: written and run.
pub(super) fn probe(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<Item> {
    let items =
        Places::new(declaration, except).and_then(|places| items(look, &places, &table(look)?));
    items.unwrap_or_else(|problem| {
        let seen = Seen::Hidden(problem);
        vec![Item::new("mounts", "read-only or noexec", MOUNTS, seen)]
    })
}

/// Makes the islands, before anything opens a file in them. Nothing is read-only yet.
pub(super) fn prepare(
    look: &Look<'_>,
    declaration: &Declaration,
    except: &[String],
) -> Vec<String> {
    bring_about(look, declaration, except, Stage::Islands)
}

/// Shuts the rest. Returns what went wrong; a second run finds nothing to do.
pub(super) fn apply(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<String> {
    bring_about(look, declaration, except, Stage::Whole)
}

/// Makes what is sealed writable again. What is writable is still nothing that can be run from.
pub(super) fn open(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<String> {
    let planned = host_mounts(look)
        .and_then(|()| Places::new(declaration, except))
        .and_then(|places| Ok(plan::unseal(&table(look)?, &places)));
    match planned {
        Ok(operations) => {
            let failed = |operation| perform(look, operation).err();
            operations.iter().filter_map(failed).collect()
        }
        Err(problem) => vec![problem],
    }
}

/// A unit with mounts of its own would change those.
fn host_mounts(look: &Look<'_>) -> Result<(), String> {
    let of = |process: &str| look.link(&format!("proc/{process}/ns/mnt"));
    if of("self").is_none() || of("self") != of("1") {
        return Err("these are not the mounts of the host ('/proc/1/ns/mnt')".to_owned());
    }
    Ok(())
}

fn bring_about(
    look: &Look<'_>,
    declaration: &Declaration,
    except: &[String],
    stage: Stage,
) -> Vec<String> {
    if let Err(problem) = host_mounts(look) {
        return vec![problem];
    }
    let planned = Places::new(declaration, except).and_then(|places| {
        let problems = places.make_missing(look.root());
        let islands = places.islands(look, stage)?;
        Ok((problems, plan(&table(look)?, &islands, &places, stage)))
    });
    match planned {
        Ok((mut problems, operations)) => {
            let failed = |operation| perform(look, operation).err();
            problems.extend(operations.iter().filter_map(failed));
            problems
        }
        Err(problem) => vec![problem],
    }
}

fn table(look: &Look<'_>) -> Result<Table, String> {
    let path = ImagePath::from_absolute(MOUNTS.as_bytes()).map_err(|error| error.to_string())?;
    let bytes = look.root().read(&path, BOUND);
    let bytes = bytes.map_err(|error| error.to_string())?;
    Table::parse(&bytes).map_err(|problem| format!("'{MOUNTS}': {problem}"))
}

fn items(look: &Look<'_>, places: &Places, table: &Table) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let names = look.list("/")?.ok_or("there is no '/'")?;
    let is_directory = |(_, kind): &(String, FileType)| *kind == FileType::Directory;
    let mut sealed: Vec<ImagePath> = names
        .iter()
        .filter(|name| is_directory(name))
        .filter_map(|(name, _)| ImagePath::root().join(name.as_bytes()).ok())
        .filter(|path| places.place(path) == Place::Sealed)
        .collect();
    sealed.insert(0, ImagePath::root());
    items.extend(sealed.iter().map(|path| sealed_item(path, table.at(path))));

    let mut mounts = table.visible();
    mounts.sort_by(|one, other| one.point.cmp(&other.point));
    let (mut kernels, mut more) = (0_usize, 0_usize);
    let shown = items.len().saturating_add(SHOWN);
    for mount in mounts {
        let wanted = wanted(mount, places);
        let item = if wanted.contains(MountFlags::RDONLY) {
            if sealed.contains(&mount.point) {
                continue;
            }
            sealed_item(&mount.point, mount)
        } else if mount.is_writable() && !wanted.is_empty() {
            let top = mount.point.as_bytes().split(|byte| *byte == b'/').next();
            if mount.flags.contains(wanted) && top.is_some_and(|top| KERNELS.contains(&top)) {
                kernels = kernels.saturating_add(1);
                continue;
            }
            writable_item(mount, wanted)
        } else {
            continue;
        };
        if items.len() < shown {
            items.push(item);
        } else if item.state != LockState::Enforced {
            more = more.saturating_add(1);
        }
    }
    if more > 0 {
        let seen = Seen::Open(format!("{more} that are written or run"));
        items.push(Item::new("more mounts", "none", MOUNTS, seen));
    }
    if kernels > 0 {
        let found = format!("{kernels} mounts, and none can be run from");
        let seen = Seen::Shut(Strength::Reversible, found);
        items.push(Item::new("/dev, /proc, /sys", "noexec", MOUNTS, seen));
    }
    let except = places.except().iter();
    items.extend(except.map(|path| allowed_item(path, table.at(path))));
    items.push(crossing_item(table));
    Ok(items)
}

fn sealed_item(path: &ImagePath, mount: &Mount) -> Item {
    let (kind, point) = (&mount.kind, &mount.point);
    let seen = if mount.is_writable() {
        Seen::Open(format!("writable, {kind} on {point}"))
    } else {
        let found = format!("read-only, {kind} on {point}");
        Seen::Shut(Strength::Reversible, found)
    };
    Item::new(path.to_string(), "read-only", MOUNTS, seen)
}

fn writable_item(mount: &Mount, wanted: MountFlags) -> Item {
    let names = |flags: MountFlags| {
        let all = [
            (MountFlags::NOSUID, "nosuid"),
            (MountFlags::NODEV, "nodev"),
            (MountFlags::NOEXEC, "noexec"),
        ];
        let set = all.iter().filter(|(flag, _)| flags.contains(*flag));
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    };
    let missing = wanted.difference(mount.flags);
    let seen = if missing.is_empty() {
        Seen::Shut(Strength::Reversible, names(mount.flags))
    } else {
        Seen::Open(format!("{} without {}", mount.kind, names(missing)))
    };
    Item::new(mount.point.to_string(), names(wanted), MOUNTS, seen)
}

fn allowed_item(path: &ImagePath, mount: &Mount) -> Item {
    let (kind, point) = (&mount.kind, &mount.point);
    let found = format!("allowed by the declaration, {kind} on {point}");
    Item::new(path.to_string(), "open", MOUNTS, Seen::Absent(found))
}

/// One directory can be seen through two mounts: writable by the one, and run from by the other.
fn crossing_item(table: &Table) -> Item {
    let seen = match table.written_and_run().first() {
        Some((written, run)) => Seen::Open(format!("written in {written}, run in {run}")),
        None => Seen::Shut(Strength::Reversible, "none".to_owned()),
    };
    Item::new("written and run by two mounts", "none", MOUNTS, seen)
}

#[cfg(test)]
mod privileged;
#[cfg(test)]
mod tests;

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

use std::io::BufReader;

use earmark_manifest::{declaration::Declaration, path::ImagePath};
use rustix::{
    fs::{FileType, OFlags, StatVfsMountFlags},
    mount::MountFlags,
};

use self::{
    perform::perform,
    places::{Place, Places, open as open_place},
    plan::{Stage, plan, wanted},
    table::{By, Mount, Table},
};
use super::{
    actions::LockActions,
    cause::{Cause, Probe},
    item::{Item, Seen, Strength, Unseen},
    look::Look,
};
use crate::status::model::LockState;

pub(super) const LOCK: LockActions = LockActions {
    units: None,
    prepare: Some(|target| prepare(target.look, target.declaration, target.except)),
    shut: Some(|target| apply(target.look, target.declaration, target.except)),
    open: Some(|target| open(target.look, target.declaration, target.except)),
    probe: |target| probe(target.look, target.declaration, target.except),
};

/// Mount table of PID 1, which services see that start from now on.
// Not `self`: the mounts of a unit with ProtectSystem= or PrivateTmp= are its own, and look shut.
const MOUNTS: &str = "/proc/1/mountinfo";
/// The file systems of the kernel, of which one line says enough if nothing is wrong.
const KERNELS: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

/// Mounts that are shown one by one, of those that only root makes and of the others: a host of containers has
/// hundreds.
const SHOWN: usize = 64;
const SHOWN_OF_OTHERS: usize = 4;
/// Beneath it each user who is logged in has a mount.
const AT_LOGIN: &[u8] = b"run/user/";

/// The mounts as PID 1 sees them. `except` are places that are left open: written and run.
fn probe(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<Item> {
    let items = Places::new(declaration, except)
        .map_err(Unseen::from)
        .and_then(|places| match table(look) {
            Ok(table) => items(look, &places, &table),
            // However many mounts there are, whether what is sealed can be written is known.
            Err(unseen @ Unseen::Unfit(..)) => without_table(look, &places, &unseen),
            Err(unseen) => Err(unseen),
        });
    items.unwrap_or_else(|unseen| vec![table_item(unseen)])
}

fn table_item(unseen: Unseen) -> Item {
    let seen = Seen::from(unseen);
    Item::new(
        Probe::MountTable,
        "mounts",
        "read-only or noexec",
        MOUNTS,
        seen,
    )
}

/// Makes the islands, before anything opens a file in them. Nothing is read-only yet.
fn prepare(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<String> {
    bring_about(look, declaration, except, Stage::Islands)
}

/// Shuts the rest. Returns what went wrong; a second run finds nothing to do.
fn apply(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<String> {
    bring_about(look, declaration, except, Stage::Whole)
}

/// Makes what is sealed writable again. What is writable is still nothing that can be run from.
fn open(look: &Look<'_>, declaration: &Declaration, except: &[String]) -> Vec<String> {
    let planned = host_mounts(look)
        .and_then(|()| Places::new(declaration, except))
        .and_then(|places| Ok::<_, String>(plan::unseal(&table(look)?, &places)));
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
    let own = of("self")?;
    // Two links that are both missing would be equal: without /proc nothing is changed.
    if own.is_none() || own != of("1")? {
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
        // First, since an island needs a place that exists, and none can be made once the root is read-only.
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

fn table(look: &Look<'_>) -> Result<Table, Unseen> {
    let path = ImagePath::from_absolute(MOUNTS.as_bytes()).map_err(|error| error.to_string())?;
    // A stream, not `Look::text`, which ends at 1 MiB: users who mount FUSE could push the table over that.
    let file = look.root().open_regular(&path);
    let (file, _) = file.map_err(|error| Unseen::io(&error.cause, error.to_string()))?;
    Table::read(BufReader::new(file)).map_err(|unseen| match unseen {
        Unseen::Hidden(problem) => Unseen::Hidden(format!("'{MOUNTS}': {problem}")),
        unfit @ Unseen::Unfit(..) => unfit,
    })
}

/// The directories in the root that are sealed, and the root.
fn sealed_directories(look: &Look<'_>, places: &Places) -> Result<Vec<ImagePath>, Unseen> {
    let names = look.list("/")?.ok_or("there is no '/'")?;
    // Links such as /bin and /lib are left out: the directory that they lead to has an item of its own.
    let is_directory = |(_, kind): &(String, FileType)| *kind == FileType::Directory;
    let mut sealed: Vec<ImagePath> = names
        .iter()
        .filter(|name| is_directory(name))
        .filter_map(|(name, _)| ImagePath::root().join(name.as_bytes()).ok())
        .filter(|path| places.place(path) == Place::Sealed)
        .collect();
    sealed.insert(0, ImagePath::root());
    Ok(sealed)
}

/// Measures without the mount table: whether each sealed directory can be written, by its own mount.
fn without_table(look: &Look<'_>, places: &Places, unseen: &Unseen) -> Result<Vec<Item>, Unseen> {
    let sealed = sealed_directories(look, places)?;
    let item = |path: &ImagePath| {
        // fstatvfs asks the file system, and FUSE may never answer; fusermount mounts only where its user may write.
        let flags = open_place(look.root(), path, OFlags::empty())
            .and_then(rustix::fs::fstatvfs)
            .map(|found| found.f_flag);
        let seen = match flags {
            Ok(flags) if flags.contains(StatVfsMountFlags::RDONLY) => {
                Seen::Shut(Strength::Reversible, "read-only".to_owned())
            }
            Ok(_) => Seen::Open("writable".to_owned()),
            Err(errno) => {
                let text = format!("failed to look at '{path}': {errno}");
                Seen::from(Unseen::errno(errno, text))
            }
        };
        Item::new(
            Probe::SealedMount,
            path.to_string(),
            "read-only",
            "statfs",
            seen,
        )
    };
    let items = sealed.iter().map(item);
    Ok(items.chain([table_item(unseen.clone())]).collect())
}

/// The row of a mount that is not as it is to be: who could have made it, or have moved it to where it is.
fn row(
    look: &Look<'_>,
    table: &Table,
    mount: &Mount,
    of_users: &[ImagePath],
    of_root: Probe,
    is_open: bool,
) -> Probe {
    let is_at_login = || {
        let user = mount.point.as_bytes().strip_prefix(AT_LOGIN);
        let is_user = user.is_some_and(|user| user.iter().all(u8::is_ascii_digit));
        // logind mounts a tmpfs there; another type at that place takes root.
        is_user && mount.kind == "tmpfs"
    };
    let is_of_user =
        mount.by == By::User || of_users.contains(&mount.point) || table.is_automounted(mount);
    if is_of_user {
        Probe::MountByAnybody
    } else if is_at_login() {
        Probe::MountAtLogin
    } else if is_open && look.movers(mount.point.as_bytes()) != Cause::Root {
        Probe::MountMoved
    } else {
        of_root
    }
}

fn items(look: &Look<'_>, places: &Places, table: &Table) -> Result<Vec<Item>, Unseen> {
    let sealed = sealed_directories(look, places)?;
    let of_users = Places::mounted_by_users(look)?;
    // Who could have moved a mount is asked of one that is open alone: a host of containers has hundreds.
    let row =
        |mount: &Mount, of_root, is_open| row(look, table, mount, &of_users, of_root, is_open);
    let sealed_row = |mount: &Mount| row(mount, Probe::SealedMount, mount.is_writable());
    let mut items: Vec<Item> = Vec::new();
    items.extend(sealed.iter().map(|path| {
        let mount = table.at(path);
        sealed_item(sealed_row(mount), path, mount)
    }));

    let mut mounts = table.visible();
    mounts.sort_by(|one, other| one.point.cmp(&other.point));
    // FUSE lines that were not understood count as open: an odd name must not make a mount vanish.
    let (mut kernels, mut more, mut more_of_others) = (0_usize, 0_usize, table.strange());
    let (mut shown, mut shown_of_others) = (0_usize, 0_usize);
    for mount in mounts {
        let wanted = wanted(mount, places);
        let item = if wanted.contains(MountFlags::RDONLY) {
            if sealed.contains(&mount.point) {
                continue;
            }
            sealed_item(sealed_row(mount), &mount.point, mount)
        } else if mount.is_writable() && !wanted.is_empty() {
            let top = mount.point.as_bytes().split(|byte| *byte == b'/').next();
            // Folded into one line only where nothing is wrong: an open mount beneath /dev keeps its item.
            if mount.flags.contains(wanted) && top.is_some_and(|top| KERNELS.contains(&top)) {
                kernels = kernels.saturating_add(1);
                continue;
            }
            let is_open = !mount.flags.contains(wanted);
            writable_item(row(mount, Probe::WritableMount, is_open), mount, wanted)
        } else {
            continue;
        };
        // What others mount does not push out of sight what root does.
        let is_roots = item.cause.leads_to_policy();
        let (shown, most, more) = if is_roots {
            (&mut shown, SHOWN, &mut more)
        } else {
            (&mut shown_of_others, SHOWN_OF_OTHERS, &mut more_of_others)
        };
        if *shown < most {
            *shown = shown.saturating_add(1);
            items.push(item);
        } else if item.state != LockState::Enforced {
            *more = more.saturating_add(1);
        }
    }
    // Two counts: one alone would put the users' mounts down to root, and the policy would follow.
    for (row, more, name) in [
        (Probe::WritableMount, more, "more mounts"),
        (
            Probe::MountByAnybody,
            more_of_others,
            "more mounts of users",
        ),
    ] {
        if more > 0 {
            let seen = Seen::Open(format!("{more} that are written or run"));
            items.push(Item::new(row, name, "none", MOUNTS, seen));
        }
    }
    if kernels > 0 {
        let found = format!("{kernels} mounts, and none can be run from");
        let seen = Seen::Shut(Strength::Reversible, found);
        let name = "/dev, /proc, /sys";
        items.push(Item::new(
            Probe::WritableMount,
            name,
            "noexec",
            MOUNTS,
            seen,
        ));
    }
    let except = places.except().iter();
    items.extend(except.map(|path| allowed_item(path, table.at(path))));
    items.push(crossing_item(table));
    Ok(items)
}

fn sealed_item(row: Probe, path: &ImagePath, mount: &Mount) -> Item {
    let (kind, point) = (&mount.kind, &mount.point);
    let seen = if mount.is_writable() {
        Seen::Open(format!("writable, {kind} on {point}"))
    } else {
        let found = format!("read-only, {kind} on {point}");
        Seen::Shut(Strength::Reversible, found)
    };
    Item::new(row, path.to_string(), "read-only", MOUNTS, seen)
}

fn writable_item(row: Probe, mount: &Mount, wanted: MountFlags) -> Item {
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
    Item::new(row, mount.point.to_string(), names(wanted), MOUNTS, seen)
}

fn allowed_item(path: &ImagePath, mount: &Mount) -> Item {
    let (kind, point) = (&mount.kind, &mount.point);
    let found = format!("allowed by the declaration, {kind} on {point}");
    // Neither shut nor open: as open, a signed exception would make the whole lock `not-enforced`.
    let seen = Seen::Absent(found);
    Item::new(Probe::LeftOpen, path.to_string(), "open", MOUNTS, seen)
}

/// One directory can be seen through two mounts: writable by the one, and run from by the other.
fn crossing_item(table: &Table) -> Item {
    let seen = match table.written_and_run().first() {
        Some((written, run)) => Seen::Open(format!("written in {written}, run in {run}")),
        None => Seen::Shut(Strength::Reversible, "none".to_owned()),
    };
    let name = "written and run by two mounts";
    Item::new(Probe::CrossingMounts, name, "none", MOUNTS, seen)
}

#[cfg(test)]
mod privileged;
#[cfg(test)]
mod tests;

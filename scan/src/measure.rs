//! Measures a root: every entry as it is now, ready to be written as a tree.

use std::collections::{BTreeMap, HashMap};

use earmark_manifest::{
    class::{PathClass, RuleSet},
    crypto,
    digest::{Sha256Digest, VerityDigest},
    entry::{Content, Entry, LinkGroup, Node, Owner, Xattr, XattrName},
    fsverity::VerityHasher,
    path::ImagePath,
};

use crate::{
    Doubt, Progress, Root, ScanError,
    hash::{self, Reader},
    survey::{Inspector, Job, Reach, Survey},
    walk::Seen,
};

/// Plan of a measurement.
pub struct Plan<'a> {
    /// The resolved class rules.
    pub rules: &'a RuleSet,
    /// File systems of their own that belong to the image.
    pub mounts: &'a [ImagePath],
    /// Content that will be put in the place of a file's own before the image is used.
    pub replaced: &'a BTreeMap<ImagePath, Vec<u8>>,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
}

/// Reason why a root could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The walk as a whole failed.
    #[error("{0}")]
    Scan(#[from] ScanError),
    /// Some of the root cannot be part of a sealed image.
    #[error("the root cannot be sealed as it is: {}", first_of(.0))]
    Unfit(Vec<Doubt>),
    /// Some of the root could not be read; what is unfit is named too.
    #[error("the root cannot be read: {}", first_of(.0))]
    Unreadable(Vec<Doubt>),
}

impl Plan<'_> {
    /// Returns whether the content of a regular file of this path and class is measured.
    pub(crate) fn reads(&self, path: &ImagePath, class: PathClass) -> bool {
        // Nothing opens a replaced file, so that the walk itself must read its attributes.
        matches!(class, PathClass::Sealed | PathClass::Rendered)
            && !self.replaced.contains_key(path)
    }
}

/// Measures `root`. The entries are in the order of a tree.
///
/// All problems are collected before it fails, so that one run names all that is to be mended.
pub fn measure(root: &Root, plan: &Plan<'_>) -> Result<Vec<Entry>, MeasureError> {
    Survey::walk(root, plan, Reach::Tree)?.measure(&())
}

impl Survey<'_> {
    /// Measures the root, as [`measure`] does, and shows `inspector` what it wants to see of the content that is
    /// read, and of what is not.
    pub fn measure(&self, inspector: &dyn Inspector) -> Result<Vec<Entry>, MeasureError> {
        let seen = &self.walked.seen;
        let mut problems = self.walked.doubts.clone();
        let links = count_links(seen);
        let jobs = self.jobs(inspector, |seen| {
            // Names of one inode have one content, which is read by the first of them.
            let first_name = seen.stat.links == 1
                || links
                    .get(&seen.inode())
                    .is_none_or(|names| names.first.path == seen.path);
            first_name && seen.xattrs.is_none() && seen.class != PathClass::State
        });
        let mut contents: HashMap<Inode, Measured> = HashMap::with_capacity(jobs.len());
        let ((), results) = hash::for_each(
            self.root,
            self.plan.mounts,
            self.plan.progress,
            hash::ALL,
            |job: &Job<'_>| job.seen.sought(),
            |hand_out| jobs.into_iter().for_each(hand_out),
            |reader, queue| {
                let mut buffer = Vec::new();
                std::iter::from_fn(|| queue.next())
                    .filter_map(|job| read(reader, &job, inspector, &mut buffer))
                    .collect()
            },
        );
        for result in results {
            match result {
                Ok((inode, measured)) => drop(contents.insert(inode, measured)),
                Err(doubt) => problems.push(doubt),
            }
        }
        entries(seen, self.plan, &contents, &links, problems)
    }
}

/// The entries of all that was seen, or all problems with it.
fn entries(
    all: &[Seen],
    plan: &Plan<'_>,
    contents: &HashMap<Inode, Measured>,
    links: &HashMap<Inode, Names<'_>>,
    mut problems: Vec<Doubt>,
) -> Result<Vec<Entry>, MeasureError> {
    // What cannot be read (exit 11) must not be told as what the builder has to mend (exit 2).
    let readable = problems.is_empty();
    let mut groups = Groups::default();
    let mut entries = Vec::with_capacity(all.len());
    for seen in all {
        match entry(seen, plan, contents, links, &mut groups) {
            Ok(entry) => entries.extend(entry),
            Err(problem) => problems.push(Doubt {
                path: seen.path.clone(),
                problem,
            }),
        }
    }
    if problems.is_empty() {
        return Ok(entries);
    }
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    problems.dedup_by(|a, b| a.path == b.path);
    Err(if readable {
        MeasureError::Unfit(problems)
    } else {
        MeasureError::Unreadable(problems)
    })
}

fn first_of(problems: &[Doubt]) -> String {
    let more = problems.len().saturating_sub(1);
    let first = problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    if more == 0 {
        first
    } else {
        format!("{first} (and {more} more)")
    }
}

/// Device and inode.
type Inode = (u64, u64);

struct Measured {
    sha256: Sha256Digest,
    verity: VerityDigest,
    xattrs: Box<[Xattr]>,
}

struct Names<'a> {
    first: &'a Seen,
    count: u32,
}

#[derive(Default)]
struct Groups(HashMap<Inode, LinkGroup>);

impl Groups {
    fn number(&mut self, inode: Inode) -> LinkGroup {
        // Numbered as the paths come, in their order: one root gives the same tree bytes each time.
        let next = LinkGroup(
            u32::try_from(self.0.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        );
        *self.0.entry(inode).or_insert(next)
    }
}

/// Nothing, for a file that is only looked at.
fn read(
    reader: &mut Reader<'_>,
    job: &Job<'_>,
    inspector: &dyn Inspector,
    buffer: &mut Vec<u8>,
) -> Option<Result<(Inode, Measured), Doubt>> {
    if job.is_measured {
        return Some(read_to_measure(reader, job, inspector, buffer));
    }
    job.look(reader, inspector, buffer);
    None
}

fn read_to_measure(
    reader: &mut Reader<'_>,
    job: &Job<'_>,
    inspector: &dyn Inspector,
    buffer: &mut Vec<u8>,
) -> Result<(Inode, Measured), Doubt> {
    let mut opened = reader.open(job.seen.sought())?;
    let xattrs = reader.xattrs(job.seen.sought(), &opened)?;
    let (sha256, verity) = hash::both(reader, job.seen.sought(), &mut opened, buffer)?;
    job.show(inspector, hash::content(opened.size(), buffer));
    Ok((
        job.seen.inode(),
        Measured {
            sha256,
            verity,
            xattrs,
        },
    ))
}

/// The names of each sealed file that has several.
fn count_links(seen: &[Seen]) -> HashMap<Inode, Names<'_>> {
    let mut links: HashMap<Inode, Names<'_>> = HashMap::new();
    // A name in `mutable` or `state` is a way to change the file: uncounted, it makes the counts differ below.
    let linked = seen.iter().filter(|seen| {
        seen.stat.links > 1
            && seen.stat.file_type().is_file()
            && matches!(seen.class, PathClass::Sealed | PathClass::Rendered)
    });
    for seen in linked {
        links
            .entry(seen.inode())
            .or_insert(Names {
                first: seen,
                count: 0,
            })
            .count += 1;
    }
    links
}

const MOUNTED: &str =
    "something is mounted here: unmount it, class it 'state', or name it in [tree] mounts";

/// The entry of one name; none for a path that has no entry; else what is wrong with it.
fn entry(
    seen: &Seen,
    plan: &Plan<'_>,
    contents: &HashMap<Inode, Measured>,
    links: &HashMap<Inode, Names<'_>>,
    groups: &mut Groups,
) -> Result<Option<Entry>, String> {
    let bare = seen.bare_node().ok_or("unknown file type")?;
    // What may appear and is there already is what may change.
    let is_mutable = matches!(seen.class, PathClass::Mutable | PathClass::Generated);
    let class = if is_mutable {
        PathClass::Mutable
    } else {
        seen.class
    };
    let with = |node, owner: Option<Owner>, xattrs: Box<[Xattr]>| {
        Ok(Some(Entry {
            path: seen.path.clone(),
            class,
            node,
            owner,
            xattrs: xattrs.into(),
        }))
    };
    let is_file = seen.stat.file_type().is_file();
    match seen.class {
        PathClass::State => return with(bare, None, Box::default()),
        PathClass::Seal => return Ok(None),
        PathClass::Generated if plan.rules.class_when_sealed(&seen.path) != PathClass::Mutable => {
            return Err(
                "it is classed 'generated', which must not exist when an image is sealed: \
                        remove it, or class it 'mutable'"
                    .to_owned(),
            );
        }
        _ if seen.stat.mount && (!is_mutable || !is_file) => return Err(MOUNTED.to_owned()),
        PathClass::Mutable | PathClass::Generated => {
            if let Some(problem) = unfit_to_change(&bare, seen, plan) {
                return Err(problem);
            }
            return with(bare, Some(seen.stat.owner()), Box::default());
        }
        PathClass::Sealed | PathClass::Rendered => {}
    }
    if seen.class == PathClass::Rendered && !is_file {
        return Err("a first-boot step is to write a file here".to_owned());
    }
    if seen.class == PathClass::Rendered && seen.stat.links > 1 {
        return Err(
            "a first-boot step is to replace it, and it has other names, which would keep the old \
             content: give it an inode of its own"
                .to_owned(),
        );
    }
    let mut xattrs = seen.xattrs.clone().unwrap_or_default();
    let node = match bare {
        Node::Symlink(_) => Node::Symlink(seen.target.clone()),
        Node::CharDevice(_) => Node::CharDevice(Some(seen.stat.rdev())),
        Node::BlockDevice(_) => Node::BlockDevice(Some(seen.stat.rdev())),
        Node::Regular(_) => {
            let links = link_group(seen, links, groups)?;
            let (size, sha256, verity) = if let Some(bytes) = plan.replaced.get(&seen.path) {
                let mut verity = VerityHasher::new();
                verity.update(bytes);
                (
                    u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                    crypto::sha256(bytes),
                    verity.finish(),
                )
            } else {
                // What could not be read is a problem already.
                let Some(measured) = contents.get(&seen.inode()) else {
                    return Ok(None);
                };
                xattrs.clone_from(&measured.xattrs);
                (seen.stat.size, measured.sha256, measured.verity)
            };
            Node::Regular(Some(Content {
                size,
                sha256,
                verity,
                links,
            }))
        }
        other @ (Node::Directory | Node::Fifo | Node::Socket) => other,
    };
    with(node, Some(seen.stat.owner()), xattrs)
}

/// Returns the reason why a path must not be of the class `mutable`, if there is one.
fn unfit_to_change(bare: &Node, seen: &Seen, plan: &Plan<'_>) -> Option<String> {
    if seen.stat.file_type().is_file() && seen.stat.links > 1 {
        return Some(
            "it is classed 'mutable' and has other names, through which a sealed file \
                    could change: give it an inode of its own"
                .to_owned(),
        );
    }
    let powers = seen
        .xattrs
        .iter()
        .flatten()
        .find(|xattr| xattr.name != XattrName::Selinux);
    if let Some(power) = powers {
        let name = power.name.name();
        return Some(format!(
            "it is classed 'mutable' and has {name}: remove that"
        ));
    }
    wrong_type(bare, &seen.path, plan)
}

/// Returns the reason why the type of a mutable path is not among those that its rule names, if it is not.
fn wrong_type(bare: &Node, path: &ImagePath, plan: &Plan<'_>) -> Option<String> {
    let types = plan.rules.attributes_of(path, PathClass::Mutable).types?;
    (!types.has(bare)).then(|| {
        format!(
            "its rule allows {types}, and it is a {}: correct the rule, or the image",
            bare.kind()
        )
    })
}

fn link_group(
    seen: &Seen,
    links: &HashMap<Inode, Names<'_>>,
    groups: &mut Groups,
) -> Result<Option<LinkGroup>, String> {
    if seen.stat.links == 1 {
        return Ok(None);
    }
    let inside = links.get(&seen.inode()).map_or(0, |names| names.count);
    if inside != seen.stat.links {
        let outside = seen.stat.links.saturating_sub(inside);
        return Err(format!(
            "it has {outside} name(s) that are not sealed, through which it could change: give it an inode of its own"
        ));
    }
    Ok(Some(groups.number(seen.inode())))
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

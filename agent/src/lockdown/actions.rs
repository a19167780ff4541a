//! The parts that a lock has, and what they are given. Each lock's file fills them in, and `list` has them all.

use earmark_manifest::declaration::Declaration;

use super::{item::Item, look::Look};

/// Input of what a lock does: the host, and what was declared.
pub(super) struct Target<'a> {
    pub look: &'a Look<'a>,
    pub declaration: &'a Declaration,
    /// The exceptions of the lock.
    pub except: &'a [String],
}

/// Something that is done about a lock. Returns what went wrong; a second run finds nothing left to do.
pub(super) type Action = fn(&Target<'_>) -> Vec<String>;

/// Names of units, by the exceptions of the lock.
pub(super) type Units = fn(&[String]) -> Vec<&'static str>;

/// Parts of a lock, which its file gives. The table of causes says who can bring its items about.
pub(super) struct LockActions {
    /// The units that are masked while it is shut. A grant starts those that the image enables, and its end stops them.
    pub units: Option<Units>,
    /// The part that is done before the rest of the boot opens files.
    pub prepare: Option<Action>,
    pub shut: Option<Action>,
    /// Taking back by a grant.
    pub open: Option<Action>,
    /// Its items, measured, also of one that is allowed: whoever reads the table wants to know.
    pub probe: fn(&Target<'_>) -> Vec<Item>,
}

//! Learn: what changed on its own in a booted host, as rules that a person may give a reason for.
//!
//! ```text
//! changes (scan: booted root x verified manifest) -> one Change a path, with what is there now
//!     -> never: places, programs      -> refused
//!     -> class: the narrowest that allows it -> proposals, and what would be wider
//!     -> text (TOML with empty reasons, which the declaration's parser refuses), JSON
//! ```
//!
//! Protects against a rule that is learned from an attack: the host's own changes are evidence, never a decision.
//! A path that could be code, or could let somebody in, is not proposed whatever changed in it.

pub mod bundle;
mod change;
mod class;
pub mod never;
mod scrub;
mod text;
mod tree;

use earmark_manifest::{class::PathClass, path::ImagePath, verify::VerifiedManifest};
use earmark_scan::{
    Root,
    verify::{self, Stop},
};
use serde::Serialize;

use crate::{
    exit::{Exit, Failure, Outcome},
    io::{output, progress::Bar},
};
use change::{Change, Now};
use tree::Tree;

/// Result of learning from a root.
#[derive(Debug, Serialize)]
pub struct Lesson {
    image: String,
    version: String,
    manifest: String,
    proposals: Vec<Proposal>,
    /// Rules that could each stand for several proposals.
    wider: Vec<Wider>,
    refused: Vec<Refused>,
    /// Notes about what could not be looked at.
    unknown: Vec<String>,
    /// Every change, for [`bundle`].
    #[serde(skip)]
    observed: Vec<Observed>,
}

/// A change, without what was signed and found: that may be of a file's content.
#[derive(Debug)]
struct Observed {
    path: ImagePath,
    kinds: Vec<&'static str>,
    now: Option<Now>,
}

/// A rule that would allow a change.
#[derive(Debug, Serialize)]
struct Proposal {
    #[serde(serialize_with = "by_name")]
    class: PathClass,
    /// Path, escaped.
    path: String,
    /// As a rule has it.
    pattern: String,
    evidence: Vec<String>,
}

/// A `state` directory in the place of rules for single files.
#[derive(Debug, Serialize)]
struct Wider {
    pattern: String,
    /// Number of proposals that it would stand for.
    instead_of: usize,
    /// Number of other entries of the image that it would leave unverified.
    unverified: usize,
}

/// A change that no class should allow.
#[derive(Debug, Serialize)]
struct Refused {
    path: String,
    why: String,
    evidence: Vec<String>,
}

/// A host changes a few hundred paths on its own; another image differs in all.
const MOST: usize = 10_000;

/// Compares a booted root with what it was started from.
pub fn learn(root: &Root, manifest: &VerifiedManifest) -> Outcome<Lesson> {
    let progress = Bar::new("comparing");
    let changes = verify::changes(root, manifest, &progress);
    drop(progress);
    let changes = changes.map_err(|stop| cannot_compare(&stop))?;
    if changes.violations.len() > MOST {
        let many = output::count(changes.violations.len(), "difference", "differences");
        let text = format!("{many}: this host was not started from that manifest");
        return Err(Failure::new(Exit::NotVerified, text)
            .next("name the manifest that 'earmark-agent status' of the host has"));
    }
    let tree = Tree::of(manifest)?;
    let mut unknown = changes.doubts;
    let all = Change::group(root, changes.violations, &mut unknown);
    let judged = class::judge(&all, &unknown, &tree);
    let image = &manifest.statement().image;
    Ok(Lesson {
        image: image.name.to_string(),
        version: image.version.to_string(),
        manifest: manifest.digest().to_string(),
        wider: class::wider(&judged, &unknown, &tree),
        proposals: judged.proposals.into_iter().map(|one| one.shown).collect(),
        refused: judged.refused.into_iter().map(|one| one.1).collect(),
        unknown: unknown.iter().map(ToString::to_string).collect(),
        observed: all.into_iter().map(Observed::of).collect(),
    })
}

impl Observed {
    fn of(change: Change) -> Self {
        let kinds = change.violations.iter().map(|one| one.kind.name());
        Self {
            kinds: kinds.collect(),
            path: change.path,
            now: change.now,
        }
    }
}

impl Lesson {
    /// The class that is proposed for a path, or why none is.
    fn verdict(&self, path: &str) -> String {
        let proposed = self.proposals.iter().find(|one| one.path == path);
        let refused = self.refused.iter().find(|one| one.path == path);
        match (proposed, refused) {
            (Some(proposed), _) => proposed.class.name().to_owned(),
            (None, Some(refused)) => format!("refused: {}", refused.why),
            (None, None) => "as the new directory that it is in".to_owned(),
        }
    }

    /// Returns the exit status: a change that no class should allow outweighs an unknown, as a violation does a doubt.
    pub fn exit(&self) -> Exit {
        if !self.refused.is_empty() {
            Exit::NotVerified
        } else if self.unknown.is_empty() {
            Exit::Done
        } else {
            Exit::Undecided
        }
    }
}

fn cannot_compare(stop: &Stop) -> Failure {
    let (exit, why) = match stop {
        Stop::Refused(refusal) => (Exit::NotVerified, refusal.to_string()),
        Stop::Tree(problem) => (Exit::NotVerified, problem.clone()),
        Stop::Unreadable(problem) => (Exit::Undecided, problem.clone()),
    };
    Failure::new(exit, format!("failed to compare the root: {why}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn by_name<S: serde::Serializer>(class: &PathClass, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.name())
}

#[cfg(test)]
mod tests;

//! From a root and a declaration to a bundle that can be signed. The root is only read.

mod boot;
mod machine;

use std::{collections::BTreeMap, ffi::OsString};

use anyhow::Context;
use earmark_manifest::{
    class::{PathClass, RuleKind, RuleSet},
    declaration::{Declaration, Lock, LockName},
    digest::ManifestDigest,
    entry::{Entry, Node},
    envelope::Envelope,
    layout, limits,
    path::ImagePath,
    profile::ReasonedRule,
    statement::{AgentVersion, Architecture, BuildRecord, ImageIdentity, Statement},
    tree,
};
use earmark_scan::{
    Root, accounts, cloud_init,
    measure::{MeasureError, Plan},
    survey::{Reach, Survey},
};

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{beneath, output, progress::Bar},
    lint::{self, Keys, Waivers},
    seal::{
        bundle::UnsignedBundle, critical, floor, measured::Measured, os_release::Stamp, place,
        steps, templates,
    },
};

/// The oldest agent that reads what this program writes: raised when the format gains something that
/// older agents would misread.
const MINIMUM_AGENT: AgentVersion = AgentVersion {
    major: 0,
    minor: 1,
    patch: 0,
};

/// Description of an image beyond what its root shows.
#[derive(Debug)]
pub struct Request {
    /// The bytes of `earmark.toml`.
    pub declaration: Vec<u8>,
    /// Declaration that was parsed from them.
    pub declared: Declaration,
    /// The image's version.
    pub version: earmark_manifest::name::ImageVersion,
    /// Origin of the image: the record of its build.
    pub build: BuildRecord,
    /// The architecture that `--architecture` names; none, if it is to be read from the root.
    pub architecture: Option<Architecture>,
}

/// Measures `root` and says what it is once it is stamped.
pub fn assemble(root: &Root, request: Request) -> Outcome<UnsignedBundle> {
    let Request {
        declaration,
        declared,
        version,
        build,
        architecture,
    } = request;
    let architecture = machine::decide(root, architecture)?;
    let image = ImageIdentity {
        name: declared.image.name.clone(),
        version,
        epoch: declared.image.epoch,
        architecture,
    };
    // Before the long part: what can be refused at once is.
    let waivers = lint::waivers(&declared, &declaration)?;
    boot::refuse_unmade_initrd(&declared)?;
    let parent = parent(root, &image)?;
    place::refuse_unplaceable(root)?;
    refuse_code_of_user_data(root, &declared)?;
    let boot = boot::record(root, &declared)?;
    let stamp = Stamp::of(root, &image.name, &image.version)?;
    if stamp.is_none() {
        output::note("the root has no os-release that is a regular file: none is stamped");
    }
    let rules = resolve_rules(root, &declared, &declaration)?;
    let entries = measure_root(root, (&declared, &rules), &waivers, stamp.as_ref())?;
    let measured = Measured::new(root, &rules, &entries);
    steps::refuse_unusable(&declared, &measured)?;
    templates::check((&declared, &declaration), &measured)?;
    refuse_idle_rules(&declared, &declaration, &entries)?;
    let derived = critical::derive(&measured);
    let derived = if declared.verify.gate.is_none() {
        critical::whole_where_cheap(&measured, derived)
    } else {
        derived
    };
    let rules = rules
        .with(derived)
        .context("failed to add the rules of what runs before the host is ready")?;
    let tree = tree::write(&rules, &entries).context("failed to write the tree")?;
    let statement = Statement {
        tree: tree.digest,
        declaration: earmark_manifest::crypto::sha256(&declaration),
        image,
        build,
        parent,
        summary: tree.summary,
        boot,
        minimum_agent: MINIMUM_AGENT,
    };
    UnsignedBundle::new(statement, declaration, tree.stored)
}

/// The class rules with the numbers that this image's accounts have: an agent looks up no names.
fn resolve_rules(root: &Root, declared: &Declaration, declaration: &[u8]) -> Outcome<RuleSet> {
    let accounts = accounts::read(root)
        .context("failed to read the accounts of the image")
        .exits(Exit::Undecided)?;
    declared.resolve_rules(&accounts).map_err(|problem| {
        let error = Declaration::error_at(declaration, problem.at, &problem.problem);
        Failure::new(Exit::Usage, format!("earmark.toml: {error}"))
            .next("add the account to the image, or name one that it has")
    })
}

/// Refuses rules `mutable` of the declaration's own that no path of the image matches: they never admit a new
/// path, so that their owner meant another one, or another class. What the profile names, too, is left.
fn refuse_idle_rules(declared: &Declaration, declaration: &[u8], entries: &[Entry]) -> Outcome<()> {
    let own = declared.own_rules();
    let all = declared.reasoned_rules();
    let profile = all.get(..all.len() - own.len()).unwrap_or_default();
    for rule in own {
        let pattern = &rule.rule.pattern;
        let appears = |other: &ReasonedRule| {
            other.rule.kind == RuleKind::Class(PathClass::Generated)
                && other.rule.pattern == *pattern
        };
        let is_idle = rule.rule.kind == RuleKind::Class(PathClass::Mutable)
            && !own.iter().any(appears)
            && !profile.iter().any(|other| other.rule.pattern == *pattern)
            && !entries
                .iter()
                .any(|entry| entry.class == PathClass::Mutable && pattern.matches(&entry.path));
        if is_idle {
            let problem = format!(
                "'mutable {pattern}' has no effect: the image has no such path, and a rule 'mutable' admits \
                 no new one"
            );
            let error = Declaration::error_at(declaration, rule.at, &problem);
            return Err(
                Failure::new(Exit::Usage, format!("earmark.toml: {error}")).next(
                    "class it 'generated' if it appears later, also beside 'mutable', or remove the rule",
                ),
            );
        }
    }
    Ok(())
}

/// An image that denies cloud-init its user-data has cloud-init's own switches for that, or would not verify.
fn refuse_code_of_user_data(root: &Root, declared: &Declaration) -> Outcome<()> {
    let locks = declared.lockdown.locks();
    if locks.contains(&(LockName::CloudInit, Lock::Allow)) {
        return Ok(());
    }
    let problem = cloud_init::problem(root)
        .context("failed to look at cloud-init's configuration")
        .exits(Exit::Undecided)?;
    let Some((path, found)) = problem else {
        return Ok(());
    };
    let denied = "lockdown.cloud_init is \"deny\", and cloud-init would take code from user-data";
    Err(
        Failure::new(Exit::Usage, format!("{denied}: {path}: {found}")).next(format!(
            "bake '{}' with these lines:\n  {}",
            cloud_init::SWITCH,
            cloud_init::SWITCHES.join("\n  ")
        )),
    )
}

/// Measures the root, and looks for what makes it unfit in that same pass over it.
fn measure_root(
    root: &Root,
    (declared, rules): (&Declaration, &RuleSet),
    waivers: &Waivers<'_>,
    stamp: Option<&Stamp>,
) -> Outcome<Vec<Entry>> {
    let replaced: BTreeMap<ImagePath, Vec<u8>> = stamp
        .map(|stamp| (stamp.path.clone(), stamp.content.clone()))
        .into_iter()
        .collect();
    let progress = Bar::new("measuring");
    let plan = Plan {
        rules,
        mounts: &declared.tree.mounts,
        replaced: &replaced,
        progress: &progress,
    };
    let failed = |error: MeasureError| measuring_failed(&error);
    let survey = Survey::walk(root, &plan, Reach::Image).map_err(|error| failed(error.into()))?;
    let keys = Keys::default();
    let measured = survey.measure(&keys);
    progress.finish();
    // First what a person does most about: much that cannot be measured is a leftover that lint knows.
    lint::gate(&survey, (declared, rules), waivers, keys)?;
    let mut entries = measured.map_err(failed)?;
    refuse_strays(&entries)?;
    // What an interrupted install left is removed by the next one, before it writes anything.
    entries.retain(|entry| place::leftover(&entry.path).is_none());
    for entry in &entries {
        let linked = matches!(&entry.node, Node::Regular(Some(content)) if content.links.is_some());
        if linked && stamp.is_some_and(|stamp| stamp.path == entry.path && stamp.changes) {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} has several hard links, and must be stamped", entry.path),
            )
            .next("give it an inode of its own: copy it and rename the copy over it"));
        }
    }
    Ok(entries)
}

/// Refuses to make a temporary file of a killed `earmark` a part of the image. Only the command that was
/// killed knows the name as its own, and a tree without it would not verify.
fn refuse_strays(entries: &[Entry]) -> Outcome<()> {
    let stray = |entry: &&Entry| place::leftover(&entry.path) == Some(place::Leftover::Stray);
    let Some(first) = entries.iter().find(stray) else {
        return Ok(());
    };
    let path = &first.path;
    let left = format!("'{path}' is a temporary file that a killed earmark left in the root");
    Err(Failure::new(Exit::Usage, left).next(format!("run that command again, or remove '{path}'")))
}

fn measuring_failed(error: &MeasureError) -> Failure {
    const SHOWN: usize = 20;
    let (exit, problems) = match error {
        MeasureError::Unfit(problems) => (Exit::Usage, problems.as_slice()),
        MeasureError::Unreadable(problems) => (Exit::Undecided, problems.as_slice()),
        other @ MeasureError::Scan(_) => {
            return Failure::new(
                Exit::Undecided,
                format!("failed to measure the root: {other}"),
            );
        }
    };
    let count = output::count(problems.len(), "problem", "problems");
    let mut text = format!("failed to measure the root: {count}");
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&format!("\n  {problem}"));
    }
    if problems.len() > SHOWN {
        text.push_str(&format!("\n  … and {} more", problems.len() - SHOWN));
    }
    Failure::new(exit, text)
        .next("mend the root or class these paths in earmark.toml, and measure again")
}

/// The manifest that the root was sealed with before. Sealing the same image again names the same
/// parent as the first time, so that it gives the same bytes.
fn parent(root: &Root, image: &ImageIdentity) -> Outcome<Option<ManifestDigest>> {
    let path = ImagePath::from_absolute(layout::MANIFEST.as_bytes()).unwrap_or_default();
    let present = beneath::stat(root, &path)
        .with_context(|| format!("failed to look at '{path}'"))
        .exits(Exit::Undecided)?;
    if present.is_none() {
        return Ok(None);
    }
    let bytes = root.read(&path, limits::ENVELOPE).exits(Exit::Undecided)?;
    let advice = || {
        format!(
            "if the base image's seal does not matter, remove {} from the root",
            layout::SEAL_DIR
        )
    };
    let parsing = || format!("failed to parse the seal that the root has, '{path}'");
    let envelope = Envelope::parse(&bytes)
        .with_context(parsing)
        .exits(Exit::Usage)
        .or_next(advice)?;
    let payload = envelope.unverified_payload();
    let sealed = Statement::parse(payload)
        .with_context(parsing)
        .exits(Exit::Usage)
        .or_next(advice)?;
    floor::refuse_older(&sealed.image, image)?;
    if sealed.image.name == image.name && sealed.image.version == image.version {
        return Ok(sealed.parent);
    }
    Ok(Some(ManifestDigest::of_payload(payload)))
}

/// The only time that is ever recorded: `SOURCE_DATE_EPOCH`, whole seconds since 1970.
pub fn source_date_epoch(variable: Option<OsString>) -> Outcome<Option<u64>> {
    let Some(value) = variable.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value
        .to_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!(
                    "invalid SOURCE_DATE_EPOCH '{}'",
                    value.to_string_lossy().escape_debug()
                ),
            )
            .next("set it to whole seconds since 1970, as 'git log -1 --format=%ct' prints, or unset it")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_date_epoch_is_decimal_seconds_or_a_usage_error() {
        let read = |text: &str| source_date_epoch(Some(text.into()));
        assert_eq!(source_date_epoch(None).unwrap(), None);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("0").unwrap(), Some(0));
        assert_eq!(read("1790000000").unwrap(), Some(1_790_000_000));
        for bad in [
            "now",
            "-1",
            "+1",
            "1.5",
            " 1",
            "18446744073709551616",
            "0x10",
        ] {
            assert_eq!(read(bad).unwrap_err().exit(), Exit::Usage, "{bad}");
        }
    }
}

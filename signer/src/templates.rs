//! Templates of first boot, looked at when the image is measured: what no host could render, or would render from
//! a value that can be anything, is refused here and not on each new host.

use std::collections::BTreeMap;

use anyhow::Context;
use earmark_manifest::{
    class::{PathClass, RuleSet},
    crypto::sha256,
    declaration::{Action, Declaration, Template},
    entry::{Content, Entry, Node},
    limits,
    path::ImagePath,
};
use earmark_scan::{Root, links::Links};

use crate::exit::{Exit, Exits, Failure, Outcome};

/// Refuses a declaration whose `file` steps have a template that is missing, would not be believed at first boot,
/// or lets a value write whatever it likes.
pub fn check(
    root: &Root,
    (declared, bytes): (&Declaration, &[u8]),
    rules: &RuleSet,
    entries: &[Entry],
) -> Outcome<()> {
    let used: Vec<(&ImagePath, usize)> = declared
        .first_boot
        .iter()
        .filter_map(|step| match &step.action {
            Action::File { template, .. } => Some((template, step.at.start)),
            _ => None,
        })
        .collect();
    if used.is_empty() {
        return Ok(());
    }
    let mut links = Links::default();
    let mut files = BTreeMap::new();
    for entry in entries {
        match &entry.node {
            Node::Symlink(Some(target)) => links.insert(entry.path.clone(), target.clone()),
            // What the agent keeps of the signed tree, beside programs.
            Node::Regular(Some(content))
                if entry.class == PathClass::Sealed && rules.is_critical(&entry.path) =>
            {
                files.insert(&entry.path, content);
            }
            _ => {}
        }
    }
    for (path, at) in used {
        let refuse = |problem: String| {
            let error = Declaration::error_at(bytes, at, &problem);
            let text = format!("the declaration has a template that cannot be used: {error}");
            Failure::new(Exit::Usage, text)
        };
        let resolved = links.resolve(path).map_err(&refuse)?;
        let Some(content) = files.get(&resolved) else {
            let problem = format!("the template '{path}' is not a sealed file of the image");
            return Err(refuse(problem).next(format!(
                "bake {path} into the image as a regular file, and give no rule in [tree] that lets it change"
            )));
        };
        one(root, declared, &resolved, content, &refuse)?;
    }
    Ok(())
}

fn one(
    root: &Root,
    declared: &Declaration,
    path: &ImagePath,
    content: &Content,
    refuse: &dyn Fn(String) -> Failure,
) -> Outcome<()> {
    if usize::try_from(content.size).is_ok_and(|size| size > limits::TEMPLATE) {
        return Err(refuse(format!(
            "the template '{path}' has {} bytes, and at most {} are accepted",
            content.size,
            limits::TEMPLATE
        )));
    }
    let bytes = root
        .read(path, limits::TEMPLATE)
        .context("failed to read a template")
        .exits(Exit::Undecided)?;
    if sha256(&bytes) != content.sha256 {
        let text = format!("'{path}' changed while the root was measured");
        return Err(Failure::new(Exit::Undecided, text));
    }
    let problem = String::from_utf8(bytes)
        .map_err(|_| "it is not UTF-8".to_owned())
        .and_then(|text| text.parse::<Template>())
        .and_then(|template| declared.check_template(&template));
    problem.map_err(|problem| refuse(format!("the template '{path}': {problem}")))
}

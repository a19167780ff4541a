//! Templates of first boot, looked at when the image is measured: what no host could render, or would render from
//! a value that can be anything, is refused here and not on each new host.

use anyhow::Context;
use earmark_manifest::{
    class::PathClass,
    crypto::sha256,
    declaration::{Action, Declaration, Template},
    entry::{Content, Node},
    limits,
    path::ImagePath,
};
use earmark_scan::Root;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    seal::measured::Measured,
};

/// Refuses a declaration whose `file` steps have a template that is missing, would not be believed at first boot,
/// or lets a value write whatever it likes.
pub fn check((declared, bytes): (&Declaration, &[u8]), measured: &Measured<'_>) -> Outcome<()> {
    for step in &declared.first_boot {
        let Action::File { template: path, .. } = &step.action else {
            continue;
        };
        let refuse = |problem: String| {
            let error = Declaration::error_at(bytes, step.at.start, &problem);
            let text = format!("the declaration has a template that cannot be used: {error}");
            Failure::new(Exit::Usage, text)
        };
        let resolved = measured.follow(path).map_err(&refuse)?;
        let Some(content) = believed(measured, &resolved) else {
            let problem = format!("the template '{path}' is not a sealed file of the image");
            return Err(refuse(problem).next(format!(
                "bake {path} into the image as a regular file, and give no rule in [tree] that lets it change"
            )));
        };
        one(measured.root(), declared, &resolved, content, &refuse)?;
    }
    Ok(())
}

/// The content of a file that the agent keeps of the signed tree, beside programs: sealed, and critical.
fn believed<'a>(measured: &Measured<'a>, path: &ImagePath) -> Option<&'a Content> {
    let entry = measured.get(path.as_bytes())?;
    let is_kept = entry.class == PathClass::Sealed && measured.rules().is_critical(path);
    match &entry.node {
        Node::Regular(content) => content.as_ref().filter(|_| is_kept),
        Node::Directory
        | Node::Symlink(_)
        | Node::CharDevice(_)
        | Node::BlockDevice(_)
        | Node::Fifo
        | Node::Socket => None,
    }
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

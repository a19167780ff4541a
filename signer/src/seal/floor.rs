//! The floor that an image gets beside its trust file: no seal of it may be below, and no channel document.

use std::path::PathBuf;

use anyhow::Context;
use earmark_manifest::{
    channel::verify_channel, floor::Floor, layout, limits, path::ImagePath,
    statement::ImageIdentity, trust::Trust, verify::VerifiedManifest,
};
use earmark_scan::Root;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{files, output::quote},
};

/// The option of `seal` and `install` that names a channel document.
#[derive(Debug, clap::Args)]
pub struct ChannelArgs {
    /// The channel's newest document: the image takes none with a lower
    /// counter, nor does a host that has seen none
    #[arg(long = "channel", value_name = "FILE")]
    document: Option<PathBuf>,
}

impl ChannelArgs {
    /// The counter of the document; 0 without one.
    pub fn counter(&self, verified: &VerifiedManifest, trust: &Trust) -> Outcome<u64> {
        let Some(path) = &self.document else {
            return Ok(0);
        };
        let bytes = files::read(path, limits::CHANNEL, "channel document")?;
        let channel = verify_channel(&bytes, trust)
            .and_then(|channel| channel.of_image(&verified.statement().image.name))
            .with_context(|| format!("failed to believe the channel document {}", quote(path)))
            .exits(Exit::NotVerified)
            .or_next(|| {
                "give the document that the channel publishes, and a trust file with its key"
                    .to_owned()
            })?;
        Ok(channel.channel().counter)
    }
}

/// The bytes of the floor that `verified` sets for `root`, with this counter of its channel. A counter that the
/// root or the declaration has already is kept if it is higher.
pub fn of(root: &Root, verified: &VerifiedManifest, channel: u64) -> Outcome<String> {
    let (statement, declaration) = (verified.statement(), verified.declaration());
    let declared = declaration
        .channel
        .as_ref()
        .map_or(0, |channel| channel.at_least);
    let mut floor = Floor::of(statement, declaration, channel.max(declared));
    if let Some(before) = read(root)?.filter(|before| before.image == floor.image) {
        refuse_epoch(before.epoch, &statement.image)?;
        floor.channel = floor.channel.max(before.channel);
    }
    floor
        .to_toml()
        .context("failed to write the floor")
        .exits(Exit::Usage)
}

/// Refuses to seal an image over a newer one of the same name: the floor of what was baked must not go down.
pub fn refuse_older(sealed: &ImageIdentity, image: &ImageIdentity) -> Outcome<()> {
    if sealed.name == image.name {
        refuse_epoch(sealed.epoch, image)
    } else {
        Ok(())
    }
}

fn refuse_epoch(before: u64, image: &ImageIdentity) -> Outcome<()> {
    if before <= image.epoch {
        return Ok(());
    }
    let problem = format!(
        "refused: the root is sealed as {} of epoch {before}, and this is of epoch {}",
        image.name, image.epoch
    );
    Err(Failure::new(Exit::Usage, problem)
        .next("raise [image] epoch in earmark.toml, or start from another base image"))
}

fn read(root: &Root) -> Outcome<Option<Floor>> {
    let path = ImagePath::from_absolute(layout::FLOOR.as_bytes()).unwrap_or_default();
    let bytes = root.read_opt(&path, limits::FLOOR).exits(Exit::Undecided)?;
    bytes
        .map(|bytes| {
            Floor::parse(&bytes)
                .with_context(|| format!("failed to parse '{path}' of the root"))
                .exits(Exit::Usage)
                .or_next(|| "remove it, if the base image's floor does not matter".to_owned())
        })
        .transpose()
}

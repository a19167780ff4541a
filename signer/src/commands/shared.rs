//! Arguments and steps that several commands have.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use earmark_manifest::{
    class::PathClass,
    declaration::Declaration,
    floor::Floor,
    layout, limits,
    name::ImageVersion,
    path::ImagePath,
    statement::{Architecture, BuildRecord, BuildText, Statement},
    trust::Trust,
    verify::VerifiedManifest,
};
use earmark_scan::Root;
use serde::Serialize;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    initrd::found,
    io::{
        files,
        output::{self, quote},
    },
    seal::{
        assemble::{self, Request},
        bundle::SignedBundle,
        floor::{self, ChannelArgs},
        os_release::Stamp,
        place::{self, Placement},
    },
    verity::{Enforced, Prepared},
};

/// Arguments that `measure` and `seal` share.
#[derive(Debug, clap::Args)]
pub struct MeasureArgs {
    /// The root directory of the image
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// The image's declaration
    #[arg(long, value_name = "FILE")]
    pub spec: PathBuf,
    /// The image's version
    #[arg(long = "version", value_name = "VERSION", id = "image_version")]
    pub version: ImageVersion,
    /// The source revision that it was built from
    #[arg(long, value_name = "TEXT")]
    pub revision: Option<BuildText>,
    /// The builder, such as the URL of a CI job
    #[arg(long, value_name = "TEXT")]
    pub builder: Option<BuildText>,
    /// The architecture, as uname -m names it, of a root without a first process
    #[arg(long, value_name = "ARCHITECTURE")]
    pub architecture: Option<Architecture>,
}

impl MeasureArgs {
    /// All of it, read and checked.
    pub fn request(&self) -> Outcome<Request> {
        let declaration = files::read(&self.spec, limits::DECLARATION, "declaration")?;
        let declared = Declaration::parse(&declaration)
            .with_context(|| format!("failed to parse {}", quote(&self.spec)))
            .exits(Exit::Usage)?;
        let build = BuildRecord {
            revision: self.revision.clone(),
            builder: self.builder.clone(),
            time: assemble::source_date_epoch(std::env::var_os("SOURCE_DATE_EPOCH"))?,
        };
        Ok(Request {
            declaration,
            declared,
            version: self.version.clone(),
            build,
            architecture: self.architecture,
        })
    }
}

/// Opens a root that is only read.
pub fn open_root(path: &Path) -> Outcome<Root> {
    Root::open(path).exits(Exit::Undecided)
}

/// Opens a root that will be changed.
pub fn open_root_to_change(path: &Path, live: bool) -> Outcome<Root> {
    let root = open_root(path)?;
    if root.is_live() && !live {
        return Err(Failure::new(
            Exit::Usage,
            format!("refused: {} is the root of this very host", quote(path)),
        )
        .next("give --live if this host is the image that is being baked"));
    }
    Ok(root)
}

/// Reads a trust file, and gives its bytes too, which are what is placed.
pub fn read_trust(path: &Path) -> Outcome<(Trust, Vec<u8>)> {
    let bytes = files::read(path, limits::TRUST, "trust file")?;
    let trust = Trust::parse(&bytes)
        .with_context(|| format!("failed to use the trust file {}", quote(path)))
        .exits(Exit::Usage)
        .or_next(|| "earmark trust --key release.pub --out trust.toml".to_owned())?;
    Ok((trust, bytes))
}

/// Refuses to write what was measured into a place that was measured: the image would no longer be
/// what its manifest says.
pub fn refuse_output_inside(root: &Root, declared: &Declaration, out: &Path) -> Outcome<()> {
    let resolving = |path: &Path| format!("failed to resolve {}", quote(path));
    let resolve = |path: &Path| {
        path.canonicalize()
            .with_context(|| resolving(path))
            .exits(Exit::Undecided)
    };
    let root_path = resolve(root.path())?;
    let mut out_path = resolve(files::parent(out))?;
    out_path.push(out.file_name().unwrap_or_default());
    let Ok(inside) = out_path.strip_prefix(&root_path) else {
        return Ok(());
    };
    let rules = declared
        .rule_set()
        .context("class rules")
        .exits(Exit::Usage)?;
    let mut path = ImagePath::from_relative(inside.as_os_str().as_encoded_bytes()).ok();
    while let Some(at) = path {
        if rules.class_of(&at) == PathClass::State {
            return Ok(());
        }
        path = at.parent();
    }
    Err(Failure::new(
        Exit::Usage,
        format!(
            "refused: --out {} is in the image and would change it",
            quote(out)
        ),
    )
    .next("choose a directory outside, or beneath a 'state' path such as /tmp"))
}

/// Verifies a signed bundle against the trust file, and places it into a root that is the one that
/// was measured.
pub fn install(
    root: &Root,
    bundle: &SignedBundle,
    trust: &Trust,
    trust_bytes: &[u8],
    channel: &ChannelArgs,
    verity: &VerityArgs,
) -> Outcome<(VerifiedManifest, Option<Enforced>)> {
    let verified = bundle.verify(trust)?;
    let floor = floor::of(root, &verified, channel.counter(&verified, trust)?)?;
    // Before anything is placed: a root that cannot is refused as it was.
    let prepared = verity.verity.then(|| Prepared::of(root, &verified));
    let prepared = prepared.transpose()?;
    let image = &verified.statement().image;
    refuse_other_initrd(root, &verified, trust, &floor)?;
    let stamp = Stamp::of(root, &image.name, &image.version)?;
    if let Some(stamp) = &stamp {
        stamp.refuse_another_root(&verified)?;
    }
    let placement = Placement {
        seal: &bundle.seal(),
        trust: trust_bytes,
        floor: floor.as_bytes(),
        stamp: stamp.as_ref().filter(|stamp| stamp.changes),
    };
    place::place(root, &placement)?;
    let enforced = prepared.map(Prepared::enforce).transpose()?;
    if enforced.is_none() && verified.declaration().boot.verity {
        output::note(
            "warning: the image declares [boot] verity = true, and this run enabled nothing; next: after the last \
             copy of the root, run this again with --verity",
        );
    }
    Ok((verified, enforced))
}

/// The option of `install` and `seal` that has files enforced.
#[derive(Debug, clap::Args)]
pub struct VerityArgs {
    /// Have the kernel enforce the sealed files: fs-verity, on ext4 or btrfs
    #[arg(long)]
    pub verity: bool,
}

/// Refuses an image whose initrd would not let it boot. Its owner is told what was baked wrong, not each host.
fn refuse_other_initrd(
    root: &Root,
    verified: &VerifiedManifest,
    trust: &Trust,
    floor: &str,
) -> Outcome<()> {
    let floor = Floor::parse(floor.as_bytes()).context("failed to read back the floor")?;
    match found::violations(root, verified, trust, &floor).first() {
        None => Ok(()),
        Some(found) => Err(Failure::new(Exit::NotVerified, format!("refused: {found}")).next(
            "build the initrd with 'earmark initrd build', put it in its place in /boot, and measure again",
        )),
    }
}

/// Summary that `measure`, `sign`, `install` and `seal` print.
#[derive(Debug, Serialize)]
pub struct Summary {
    done: &'static str,
    path: PathBuf,
    image: String,
    version: String,
    epoch: u64,
    architecture: &'static str,
    manifest: String,
    parent: Option<String>,
    entries: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verity: Option<Enforced>,
}

impl Summary {
    /// `done` is such as "measured"; `signatures` are key ids.
    pub fn new(
        done: &'static str,
        path: &Path,
        statement: &Statement,
        manifest: impl fmt::Display,
        signatures: Vec<String>,
    ) -> Self {
        let image = &statement.image;
        Self {
            done,
            path: path.to_owned(),
            image: image.name.to_string(),
            version: image.version.to_string(),
            epoch: image.epoch,
            architecture: image.architecture.name(),
            manifest: manifest.to_string(),
            parent: statement.parent.map(|parent| parent.to_string()),
            entries: statement.summary.entries,
            bytes: statement.summary.bytes,
            signatures,
            verity: None,
        }
    }

    /// With what the kernel enforces of it.
    pub fn with(mut self, enforced: Option<Enforced>) -> Self {
        self.verity = enforced;
        self
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} {} (epoch {}, {})",
            self.done, self.image, self.version, self.epoch, self.architecture
        )?;
        writeln!(f, "  manifest   {}", self.manifest)?;
        if let Some(parent) = &self.parent {
            writeln!(f, "  parent     {parent}")?;
        }
        for signature in &self.signatures {
            writeln!(f, "  signed by  {signature}")?;
        }
        writeln!(
            f,
            "  tree       {}, {} in files",
            output::count(self.entries, "entry", "entries"),
            output::size(self.bytes)
        )?;
        if let Some(enforced) = &self.verity {
            writeln!(f, "  fs-verity  {enforced}")?;
        }
        let place = match self.done {
            "installed" | "sealed" => self.path.join(layout::SEAL_DIR.trim_start_matches('/')),
            _ => self.path.clone(),
        };
        writeln!(f, "  in         {}", quote(&place))
    }
}

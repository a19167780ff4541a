//! `earmark initrd`.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;
use earmark_manifest::{
    crypto::Sha256,
    declaration::{Declaration, Initrd},
    floor::Floor,
    limits,
};
use serde::Serialize;

use crate::{
    commands::shared,
    exit::{Exit, Exits, Failure, Outcome},
    initrd::{contents::Contents, cpio, program},
    io::{
        files,
        output::{self, quote},
    },
};

/// Make the initrd that judges an image before anything of it runs
///
/// With initrd = "earmark-init" beneath boot in earmark.toml, a host boots only if
/// its initrd verified the root (tier T1).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark initrd build --agent earmark-agent_0.1.0_amd64.deb \\
      --trust trust.toml --spec earmark.toml --out earmark-initrd.img";

#[derive(Debug, Subcommand)]
enum Command {
    Build(Build),
}

impl Args {
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Build(args) => args.run(),
        }
    }
}

/// Build the initrd, on the release machine
///
/// The same inputs give the same bytes. Put the file in the place of the
/// image's own initrd before it is measured: on Debian and Ubuntu of each
/// /boot/initrd.img-VERSION. Kernels that have the disk's driver and the root's
/// file system built in need no module; for others give the files of their
/// modules in the order in which they are loaded, as 'modprobe --show-depends'
/// prints them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "earmark initrd build [OPTIONS] --agent <FILE> --trust <FILE>\n                            --spec <FILE> --out <FILE>"
)]
struct Build {
    /// The agent's package (.deb), or the program earmark-init of it
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// The keys that the initrd believes: the image's trust file
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The image's declaration, which sets the floor
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// A kernel module; once for each, in their order
    #[arg(long = "module", value_name = "FILE")]
    modules: Vec<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not compress it: for kernels that do not unpack zstd (before 5.9)
    #[arg(long)]
    uncompressed: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Of a kernel module, in bytes.
const MODULE: usize = 64 * 1024 * 1024;

#[derive(Debug, Serialize)]
struct Built {
    file: PathBuf,
    bytes: usize,
    sha256: String,
    image: String,
    epoch: u64,
    modules: Vec<String>,
}

impl Build {
    fn run(&self) -> Outcome {
        let spec = files::read(&self.spec, limits::DECLARATION, "declaration")?;
        let declaration = Declaration::parse(&spec)
            .with_context(|| format!("failed to use the declaration {}", quote(&self.spec)))
            .exits(Exit::Usage)?;
        if declaration.boot.initrd != Initrd::EarmarkInit {
            let problem = format!(
                "refused: {} declares [boot] initrd = \"{}\"",
                quote(&self.spec),
                declaration.boot.initrd.name()
            );
            return Err(Failure::new(Exit::Usage, problem).next(
                "declare [boot] initrd = \"earmark-init\": the hosts check that they came by it",
            ));
        }
        let (_, trust) = shared::read_trust(&self.trust)?;
        let channel = declaration.channel.as_ref();
        let floor = Floor::declared(&declaration, channel.map_or(0, |channel| channel.at_least));
        let floor = floor
            .to_toml()
            .context("failed to write the floor")
            .exits(Exit::Usage)?;
        let contents = Contents {
            init: program::read(&self.agent)?,
            trust,
            floor: floor.into_bytes(),
            modules: self
                .modules
                .iter()
                .map(|path| module(path))
                .collect::<Outcome<_>>()?,
        };
        refuse_twins(&contents.modules)?;
        let mut archive = cpio::write(&contents.objects());
        if !self.uncompressed {
            archive = cpio::pack(&archive).context("failed to compress the initrd")?;
        }
        files::replace(&self.out, &archive)?;
        let names = contents.modules.iter().map(|(name, _)| name.clone());
        let built = Built {
            file: self.out.clone(),
            bytes: archive.len(),
            sha256: digest(&archive),
            image: declaration.image.name.to_string(),
            epoch: declaration.image.epoch,
            modules: names.collect(),
        };
        output::result(self.json, &built)
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// Refuses two modules of one name: the second file would take the place of the first.
fn refuse_twins(modules: &[(String, Vec<u8>)]) -> Outcome<()> {
    let mut names = BTreeSet::new();
    match modules.iter().find(|(name, _)| !names.insert(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::new(
            Exit::Usage,
            format!("refused: two modules are named {}", quote(Path::new(name))),
        )
        .next("give each module once")),
    }
}

fn module(path: &Path) -> Outcome<(String, Vec<u8>)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_module = |name: &&str| {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain
            && [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
                .iter()
                .any(|end| name.ends_with(end))
    };
    let name = name.filter(is_module).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!(
                "refused: {} is not named as a kernel module is",
                quote(path)
            ),
        )
        .next("give NAME.ko, or NAME.ko.xz, .zst or .gz")
    })?;
    Ok((name.to_owned(), files::read(path, MODULE, "kernel module")?))
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} judges {} from epoch {} on",
            quote(&self.file),
            self.image,
            self.epoch
        )?;
        writeln!(f, "  size       {} bytes", self.bytes)?;
        writeln!(f, "  digest     {}", self.sha256)?;
        if !self.modules.is_empty() {
            writeln!(f, "  modules    {}", self.modules.join(", "))?;
        }
        Ok(())
    }
}

//! `earmark verify`.

mod told;

use std::path::PathBuf;

use earmark_manifest::{
    declaration::{Gate, Initrd, Region},
    digest::Sha256Digest,
    trust::Trust,
};
use earmark_scan::{
    Root, Violation, seal,
    verify::{self, Options, Place, Verdict, Verification},
};

use crate::{
    commands::shared,
    exit::{Exit, Failure, Outcome},
    image::{
        Image,
        account::{Account, Named},
    },
    initrd::found,
    io::{output, progress::Bar},
};
use told::{Believed, Told};

/// Verify a root, or a finished disk, as the agent would at boot, offline
///
/// Reads the content of every sealed file, unless --gate asks for less by name.
/// Believes the keys of --trust; with --own-trust those that lie in the root
/// itself, which shows damage and no forgery: anybody can have resealed it with
/// keys of their own.
///
/// Of a disk, the one partition that is a root is read, and what the image
/// declares besides. ext4 is read by this program and needs no rights; XFS and
/// FAT are mounted read-only where nobody else sees it, which needs root. All
/// other bytes of the disk are listed: what is neither empty, expected nor
/// ignored keeps the verdict from being better than partial (exit 11).
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "earmark verify [OPTIONS] <--root <DIR>|--image <DISK>> \
                      \n                      <--trust <FILE>|--own-trust>"
)]
pub struct Args {
    /// The root directory of the image
    #[arg(long, value_name = "DIR", required_unless_present = "image")]
    root: Option<PathBuf>,
    /// The image itself: a raw or qcow2 disk, or a block device
    #[arg(long, value_name = "DISK", conflicts_with = "root")]
    image: Option<PathBuf>,
    /// The partition of the disk that is the root
    #[arg(long, value_name = "N", requires = "image")]
    partition: Option<u32>,
    /// A region of the disk that may hold anything: boot-code, gap, boot-sector,
    /// slack, bios-boot, esp, or partition-N
    #[arg(long, value_name = "REGION", requires = "image")]
    ignore: Vec<Region>,
    /// A region of the disk, and the digest of all its bytes
    #[arg(long, value_name = "REGION=sha256:HEX", requires = "image", value_parser = expected)]
    expect: Vec<(Region, Sha256Digest)>,
    /// The keys to believe
    #[arg(long, value_name = "FILE", conflicts_with = "own_trust")]
    trust: Option<PathBuf>,
    /// Believe the root's own trust file: no proof of who sealed it
    #[arg(long)]
    own_trust: bool,
    /// The part that is read: everything, the files that the image's gate
    /// 'critical' covers, or the seal alone. Less than everything is PARTIAL
    /// at best
    #[arg(long, value_name = "GATE", default_value = "full", value_parser = gate)]
    gate: Gate,
    /// The same as --gate full
    #[arg(long, conflicts_with = "gate")]
    full: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXIT STATUS:
  0   verified, or partial where --gate asked for less than everything
  10  not verified
  11  cannot decide

EXAMPLES:
  earmark verify --root /mnt/image --trust trust.toml
  earmark verify --image disk.qcow2 --trust trust.toml
  earmark verify --image disk.raw --trust trust.toml \\
    --expect bios-boot=sha256:6b86... --ignore esp
  earmark verify --root /mnt/image --trust trust.toml --json | jq .verdict
  earmark verify --root /mnt/image --own-trust --gate critical";

/// The gates by their names in `earmark.toml`.
fn gate(text: &str) -> Result<Gate, String> {
    let all = [Gate::Full, Gate::Critical, Gate::Signature];
    let named = all.into_iter().find(|gate| gate.name() == text);
    named.ok_or_else(|| "expected full, critical or signature".to_owned())
}

impl Args {
    pub fn run(&self) -> Outcome {
        let (trust, believed) = match (&self.trust, self.own_trust) {
            (Some(path), _) => {
                let believed = Believed::File { path: path.clone() };
                (Some(shared::read_trust(path)?.0), believed)
            }
            (None, true) => (None, Believed::Own),
            (None, false) => {
                // What is wrong with the disk is worth more than an option that is missing.
                if let Some(disk) = &self.image {
                    Image::open(disk, self.partition)?;
                }
                let neither = "refused: no trust file was given";
                return Err(Failure::new(Exit::Usage, neither).next(
                    "give --trust FILE, the trust file that you keep; or --own-trust, which believes \
                     the one in the root and cannot tell who sealed it",
                ));
            }
        };
        let (image, directory);
        let root = match (&self.image, &self.root) {
            (Some(disk), _) => {
                let opened = Image::open(disk, self.partition)?;
                output::note(&format!("{}: {opened}", output::quote(disk)));
                image = Some(opened);
                image.as_ref().map(Image::root)
            }
            (None, Some(path)) => {
                image = None;
                directory = shared::open_root(path)?;
                Some(&directory)
            }
            (None, None) => return Err(Failure::new(Exit::Usage, "give --root or --image")),
        };
        let root = root.ok_or_else(|| Failure::new(Exit::Usage, "give --root or --image"))?;
        let progress = Bar::new("verifying");
        let options = Options {
            trust: trust.as_ref(),
            floor: None,
            covered: None,
            gate: Some(self.gate),
            progress: &progress,
            at: Place::Offline,
        };
        let verification = verify::verify(root, &options);
        drop(progress);
        let initrds = initrds(root, trust.as_ref(), &verification);
        let verification = verification.with(initrds, Vec::new());
        let disk = image
            .as_ref()
            .map(|image| self.account(image, &verification));
        let told = Told::new(verification.report(), believed, disk.transpose()?);
        output::stdout(&if self.json {
            told.json()?
        } else {
            told.to_string().into_bytes()
        })?;
        for warning in told.warnings() {
            output::note(&format!("warning: {warning}"));
        }
        Ok(match told.verdict() {
            Verdict::Partial if told.is_open() => Exit::Undecided,
            Verdict::Verified | Verdict::Partial => Exit::Done,
            Verdict::Violated => Exit::NotVerified,
            Verdict::Undecided => Exit::Undecided,
        })
    }

    fn account(&self, image: &Image, verification: &Verification) -> Outcome<Account> {
        // Only a declaration that was believed has a say.
        let declared = verification.manifest();
        let declared = declared.map(|manifest| &manifest.declaration().disk);
        let named = Named {
            ignore: self.ignore.clone(),
            expect: self.expect.clone(),
        };
        image.account(verification.verdict(), declared, &named)
    }
}

/// Compares the initrds of an image that declares ours; an image that was not believed declares nothing.
fn initrds(root: &Root, trust: Option<&Trust>, verification: &Verification) -> Vec<Violation> {
    let declared = verification.manifest();
    let initrd = declared.map_or(Initrd::None, |declared| declared.declaration().boot.initrd);
    if initrd == Initrd::None {
        return Vec::new();
    }
    // The initrd has the image's own trust file, which the verdict compares with the given one: that may have more keys.
    let Ok(own) = seal::read_trust(root) else {
        return Vec::new();
    };
    let manifest = seal::verified(root, trust.unwrap_or(&own));
    match (manifest, seal::read_floor(root)) {
        (Ok(manifest), Ok(floor)) => found::violations(root, &manifest, &own, &floor),
        // Believed a moment ago, and no more: the verdict on the tree says so.
        (Err(_), _) | (_, Err(_)) => Vec::new(),
    }
}

fn expected(text: &str) -> Result<(Region, Sha256Digest), String> {
    let (region, sha256) = text.split_once('=').ok_or("expected REGION=sha256:HEX")?;
    let sha256 = Sha256Digest::from_prefixed(sha256).map_err(|error| error.to_string())?;
    Ok((region.parse()?, sha256))
}

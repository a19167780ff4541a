//! `earmark inspect`.

use std::{fmt, path::PathBuf};

use earmark_manifest::{envelope::KeyId, statement::Statement, trust::Trust, verify};
use earmark_scan::seal;
use serde::Serialize;

use crate::{
    commands::shared,
    exit::Outcome,
    grant,
    inspect::{
        census::Census,
        render::{self, Fact, Section},
        source::{Kind, Source},
    },
    io::output::{self, plain},
    keys,
};

/// Show what an image, a bundle, a manifest, a tree or a grant declares
///
/// Reads the parts, and checks that they match; names the signers if there is a
/// trust file, the root's own or --trust. To check that a root still is that
/// image, use `earmark verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A sealed root, the directory of a seal or bundle, a manifest.json, a
    /// tree.zst, or a grant
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The keys to believe, instead of the root's own trust file
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark inspect /mnt/image
  earmark inspect measured/ --trust trust.toml
  earmark inspect measured/tree.zst --json | jq .tree.set_id";

#[derive(Serialize)]
struct Inspection {
    kind: Kind,
    /// True, if keys of `--trust` signed it. Says nothing of the files of a root.
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declaration: Option<Vec<Fact>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<Census>,
}

#[derive(Serialize)]
struct Manifest {
    digest: String,
    image: String,
    version: String,
    epoch: u64,
    architecture: &'static str,
    revision: Option<String>,
    builder: Option<String>,
    time: Option<u64>,
    parent: Option<String>,
    minimum_agent: String,
    cmdline: Option<String>,
    entries: u64,
    bytes: u64,
    signatures: Signatures,
}

/// State of the signatures, as far as they were checked.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Signatures {
    /// There is none.
    Unsigned,
    /// There are some, and nothing to check them with; these are the keys that they claim.
    Unverified {
        claimed: Vec<String>,
        why: &'static str,
    },
    /// The trust file that was given believes these.
    Trusted { keys: Vec<String>, trust: String },
    /// The root's own trust file believes these, which is the root's own word.
    Own { keys: Vec<String>, trust: String },
    /// The trust file does not believe it.
    Refused {
        reason: String,
        claimed: Vec<String>,
        trust: String,
    },
}

impl Args {
    pub fn run(&self) -> Outcome {
        let trust = self
            .trust
            .as_ref()
            .map(|path| -> Outcome<_> { Ok((shared::read_trust(path)?.0, output::quote(path))) });
        if let Some(grant) = grant::Shown::read(&self.path, trust.transpose()?.as_ref()) {
            return output::result(self.json, &grant);
        }
        let source = Source::open(&self.path)?;
        let trust = self.read_trust(&source)?;
        let manifest = source.manifest.as_ref().map(|(statement, digest)| {
            Manifest::of(
                statement,
                digest.to_string(),
                signatures(&source, trust.as_ref(), self.trust.is_none()),
            )
        });
        let tree = match source.kind {
            Kind::Manifest => None,
            Kind::Root | Kind::Seal | Kind::Tree => Some(Census::of(&source.tree()?)),
        };
        let inspection = Inspection {
            kind: source.kind,
            verified: manifest
                .as_ref()
                .is_some_and(|manifest| matches!(manifest.signatures, Signatures::Trusted { .. })),
            manifest,
            declaration: source
                .declaration
                .as_ref()
                .map(|(declaration, _)| render::facts(declaration)),
            tree,
        };
        output::result(self.json, &inspection)
    }

    /// The trust file, and what to call it.
    fn read_trust(&self, source: &Source) -> Outcome<Option<(Trust, String)>> {
        if let Some(path) = &self.trust {
            let trust = shared::read_trust(path)?.0;
            return Ok(Some((trust, output::quote(path))));
        }
        let Some(root) = &source.root else {
            return Ok(None);
        };
        match seal::read_trust(root) {
            Ok(trust) => Ok(Some((trust, "the root's own trust file".to_owned()))),
            Err(error) => {
                output::note(&format!("{error}, ignoring"));
                Ok(None)
            }
        }
    }
}

fn signatures(source: &Source, trust: Option<&(Trust, String)>, own: bool) -> Signatures {
    let Some(envelope) = &source.envelope else {
        return Signatures::Unsigned;
    };
    let claimed = keys::claimed_ids(envelope);
    let Some((trust, name)) = trust else {
        let why = "no trust file was given";
        return Signatures::Unverified { claimed, why };
    };
    let Some(seal) = source.seal() else {
        let why = "a manifest alone cannot be verified";
        return Signatures::Unverified { claimed, why };
    };
    let trust_name = name.clone();
    match verify::verify(seal, trust) {
        Ok(verified) => {
            let keys = verified.signers().iter().map(KeyId::to_string).collect();
            let trust = trust_name;
            if own {
                Signatures::Own { keys, trust }
            } else {
                Signatures::Trusted { keys, trust }
            }
        }
        Err(refusal) => Signatures::Refused {
            reason: refusal.to_string(),
            claimed,
            trust: trust_name,
        },
    }
}

impl Manifest {
    fn of(statement: &Statement, digest: String, signatures: Signatures) -> Self {
        let (image, build) = (&statement.image, &statement.build);
        Self {
            digest,
            image: image.name.to_string(),
            version: image.version.to_string(),
            epoch: image.epoch,
            architecture: image.architecture.name(),
            revision: build.revision.as_ref().map(ToString::to_string),
            builder: build.builder.as_ref().map(ToString::to_string),
            time: build.time,
            parent: statement.parent.map(|parent| parent.to_string()),
            minimum_agent: statement.minimum_agent.to_string(),
            cmdline: statement.boot.as_ref().map(|boot| boot.cmdline.to_string()),
            entries: statement.summary.entries,
            bytes: statement.summary.bytes,
            signatures,
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.manifest {
            Some(manifest) => writeln!(f, "{manifest}")?,
            None => writeln!(
                f,
                "A tree alone: NOT SIGNED, and of no image in particular\n"
            )?,
        }
        for section in Section::ALL {
            let facts = self.declaration.iter().flatten();
            let mut facts = facts.filter(|fact| fact.section == section).peekable();
            if facts.peek().is_none() {
                continue;
            }
            writeln!(f, "{}", section.title())?;
            for (number, fact) in (1..).zip(facts) {
                match section {
                    Section::FirstBoot => {
                        writeln!(f, "  {number}. {}: {}", plain(&fact.name), fact.text)?;
                    }
                    Section::Image
                    | Section::Verification
                    | Section::Parameters
                    | Section::Lockdown
                    | Section::Fleet => {
                        writeln!(f, "  {:<14} {}", plain(&fact.name), fact.text)?;
                    }
                }
            }
            writeln!(f)?;
        }
        match &self.tree {
            Some(tree) => write!(f, "{tree}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} (epoch {}, {})",
            self.image, self.version, self.epoch, self.architecture
        )?;
        writeln!(f, "  manifest   {}", self.digest)?;
        writeln!(
            f,
            "  parent     {}",
            self.parent.as_deref().unwrap_or("none")
        )?;
        let built: Vec<String> = [
            self.revision
                .as_ref()
                .map(|text| format!("revision {text}")),
            self.builder.as_ref().map(|text| format!("by {text}")),
            self.time.map(|time| format!("at {}", output::utc(time))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let built = if built.is_empty() {
            "nothing recorded".to_owned()
        } else {
            built.join(", ")
        };
        writeln!(f, "  built      {built}")?;
        writeln!(f, "  agent      {} or later", self.minimum_agent)?;
        let cmdline = self.cmdline.as_deref().unwrap_or("NOT SIGNED");
        writeln!(f, "  cmdline    {cmdline}")?;
        write!(f, "{}", self.signatures)
    }
}

impl fmt::Display for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claims = |f: &mut fmt::Formatter<'_>, claimed: &[String]| {
            claimed
                .iter()
                .try_for_each(|id| writeln!(f, "             claims key {id}"))
        };
        match self {
            Self::Unsigned => writeln!(f, "  signed     NOT SIGNED"),
            Self::Unverified { claimed, why } => {
                writeln!(f, "  signed     UNVERIFIED: {why}")?;
                claims(f, claimed)
            }
            Self::Trusted { keys, trust } => {
                for key in keys {
                    writeln!(f, "  signed by  {key}")?;
                }
                writeln!(f, "             which {trust} believes")
            }
            Self::Own { keys, trust } => {
                for key in keys {
                    writeln!(f, "  signed by  {key}")?;
                }
                writeln!(f, "             which {trust} believes:")?;
                writeln!(
                    f,
                    "             ANYBODY could have resealed it; give --trust FILE"
                )
            }
            Self::Refused {
                reason,
                claimed,
                trust,
            } => {
                writeln!(f, "  signed     NOT BELIEVED by {trust}: {reason}")?;
                claims(f, claimed)
            }
        }
    }
}

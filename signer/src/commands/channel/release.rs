//! Release to promote: its identity, and where it can be launched from.

use std::path::PathBuf;

use earmark_manifest::{
    channel::AmiId, digest::ManifestDigest, name::Region, statement::Statement, trust::Trust,
};

use crate::{
    channel::{Artifacts, edit::Candidate},
    exit::{Exit, Exits, Failure, Outcome},
    seal::bundle::SignedBundle,
};

/// A release to promote.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// What Packer's post-processor 'manifest' wrote, with the data of its own
    /// that the template in packer/ gives it
    #[arg(long, value_name = "FILE", required_unless_present = "seal")]
    packer: Option<PathBuf>,
    /// The directory that 'earmark sign' signed
    #[arg(long, value_name = "DIR")]
    seal: Option<PathBuf>,
    /// An AMI of the release, such as eu-central-1=ami-0123456789abcdef0; once
    /// for each region
    #[arg(long = "ami", value_name = "REGION=ID", value_parser = ami)]
    amis: Vec<(Region, AmiId)>,
}

impl ReleaseArgs {
    /// Reads what there is of it. With a trust file, a seal must be one that it believes.
    pub fn candidate(&self, trust: Option<&Trust>) -> Outcome<Candidate> {
        let packer = self.packer.as_deref().map(Artifacts::read).transpose()?;
        let seal = self.seal.as_deref().map(SignedBundle::read).transpose()?;
        let sealed = seal.map(|bundle| sealed(&bundle, trust)).transpose()?;
        let built = packer.map(|packer| Candidate {
            image: packer.image,
            version: packer.version,
            epoch: packer.epoch,
            manifest: packer.manifest,
            amis: packer.amis,
        });
        let mut candidate = match (sealed, built) {
            (Some(sealed), Some(built)) => {
                let same = (
                    &sealed.image,
                    &sealed.version,
                    sealed.epoch,
                    sealed.manifest,
                ) == (&built.image, &built.version, built.epoch, built.manifest);
                if !same {
                    return Err(Failure::new(
                        Exit::Usage,
                        "the seal and Packer's manifest are of different images",
                    ));
                }
                built
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => {
                let none = "no release: give --packer FILE or --seal DIR";
                return Err(Failure::new(Exit::Usage, none));
            }
        };
        candidate.amis.extend(self.amis.iter().cloned());
        Ok(candidate)
    }
}

fn sealed(bundle: &SignedBundle, trust: Option<&Trust>) -> Outcome<Candidate> {
    let payload = bundle.envelope.unverified_payload();
    let statement = match trust {
        Some(trust) => bundle.verify(trust)?.statement().clone(),
        None => Statement::parse(payload).exits(Exit::NotVerified)?,
    };
    Ok(Candidate {
        image: statement.image.name,
        version: statement.image.version,
        epoch: statement.image.epoch,
        manifest: ManifestDigest::of_payload(payload),
        amis: Vec::new(),
    })
}

fn ami(text: &str) -> Result<(Region, AmiId), String> {
    let (region, ami) = text
        .split_once('=')
        .ok_or("expected REGION=ID, such as eu-central-1=ami-0123456789abcdef0")?;
    let region = region
        .parse::<Region>()
        .map_err(|error| error.to_string())?;
    let ami = ami.parse::<AmiId>().map_err(|error| error.to_string())?;
    Ok((region, ami))
}

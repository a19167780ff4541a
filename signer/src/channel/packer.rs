//! Packer's manifest: what its post-processor `manifest` writes beside a build.

use std::path::Path;

use anyhow::{Context, Result, bail};
use earmark_manifest::{
    channel::AmiId,
    digest::ManifestDigest,
    name::{ImageName, ImageVersion, Region},
};
use serde::Deserialize;

use crate::{
    exit::{Exit, Exits, Next, Outcome},
    io::{files, output::quote},
};

/// Packer keeps every build in one file.
const MANIFEST: usize = 16 * 1024 * 1024;

/// Artifacts of Packer's last run, and what the template says of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Artifacts {
    /// AMIs that the image can be launched from, with their regions.
    pub amis: Vec<(Region, AmiId)>,
    /// Name of the image.
    pub image: ImageName,
    /// Version of the image.
    pub version: ImageVersion,
    /// Its epoch.
    pub epoch: u64,
    /// Digest of its manifest.
    pub manifest: ManifestDigest,
}

#[derive(Deserialize)]
struct Manifest {
    builds: Vec<Build>,
    last_run_uuid: String,
}

/// Of a build there is more, which nobody needs.
#[derive(Deserialize)]
struct Build {
    builder_type: String,
    artifact_id: String,
    packer_run_uuid: String,
    custom_data: Option<CustomData>,
}

/// Packer keeps texts alone.
#[derive(Deserialize, PartialEq, Eq)]
struct CustomData {
    image: String,
    version: String,
    epoch: String,
    manifest: String,
}

impl Artifacts {
    /// Reads the file that the post-processor wrote.
    pub fn read(path: &Path) -> Outcome<Self> {
        let bytes = files::read(path, MANIFEST, "manifest of Packer")?;
        Self::parse(&bytes)
            .with_context(|| format!("failed to use {}", quote(path)))
            .exits(Exit::Usage)
            .or_next(|| {
                "the template in packer/ writes one that says which image it is of".to_owned()
            })
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        let last = &manifest.last_run_uuid;
        let is_last = |build: &&Build| build.packer_run_uuid == *last;
        let builds: Vec<&Build> = manifest.builds.iter().filter(is_last).collect();
        let Some(first) = builds.first() else {
            bail!("the last run of Packer made no build");
        };
        let about = first.custom_data.as_ref();
        let about =
            about.context("a build has no custom_data with image, version, epoch and manifest")?;
        if builds
            .iter()
            .any(|build| build.custom_data.as_ref() != Some(about))
        {
            bail!("the last run of Packer made different images");
        }
        let mut amis = Vec::new();
        for build in builds {
            // A disk that QEMU made has no AMI.
            if build.builder_type.starts_with("amazon-") {
                if build.artifact_id.is_empty() {
                    bail!("the build made no AMI: it ran with 'skip_create_ami'");
                }
                for pair in build.artifact_id.split(',') {
                    let (region, ami) = pair
                        .split_once(':')
                        .context("artifact_id: expected REGION:AMI")?;
                    amis.push((region.parse()?, ami.parse()?));
                }
            }
        }
        Ok(Self {
            amis,
            image: about.image.parse().context("custom_data.image")?,
            version: about.version.parse().context("custom_data.version")?,
            epoch: about.epoch.parse().context("custom_data.epoch")?,
            manifest: ManifestDigest::from_prefixed(&about.manifest)
                .context("custom_data.manifest")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn build(run: &str, kind: &str, artifact: &str) -> Value {
        json!({
            "name": "image", "builder_type": kind, "build_time": 1_795_430_000, "files": null,
            "artifact_id": artifact, "packer_run_uuid": run,
            "custom_data": {
                "image": "web", "version": "1.4.2", "epoch": "3", "architecture": "x86_64",
                "manifest": format!("sha256:{}", "0".repeat(64)),
            },
        })
    }

    fn parse(builds: &[Value]) -> Result<Artifacts> {
        let manifest = json!({ "builds": builds, "last_run_uuid": "b" });
        Artifacts::parse(&serde_json::to_vec(&manifest).unwrap())
    }

    #[test]
    fn packer_manifest_yields_last_run_with_all_regions() {
        let old = build("a", "amazon-ebs", "eu-west-1:ami-00000000");
        let new = build(
            "b",
            "amazon-ebs",
            "eu-west-1:ami-01234567,us-east-1:ami-89abcdef",
        );
        let found = parse(&[old.clone(), new]).unwrap();
        assert_eq!(found.amis.len(), 2);
        assert_eq!(found.amis[0].1.to_string(), "ami-01234567");
        assert_eq!((found.version.as_str(), found.epoch), ("1.4.2", 3));
        let disk = parse(&[build("b", "qemu", "VM")]).unwrap();
        assert!(disk.amis.is_empty());
        assert!(
            parse(&[old])
                .unwrap_err()
                .to_string()
                .contains("made no build")
        );
    }

    #[test]
    fn packer_run_with_conflicting_or_malformed_builds_is_refused() {
        let one = build("b", "amazon-ebs", "eu-west-1:ami-01234567");
        let mut other = build("b", "qemu", "VM");
        other["custom_data"]["version"] = "1.4.3".into();
        let refused = parse(&[one.clone(), other]).unwrap_err().to_string();
        assert!(refused.contains("different images"), "{refused}");
        for (name, value) in [
            ("custom_data", Value::Null),
            ("artifact_id", "ami-01234567".into()),
            ("artifact_id", "eu-west-1:vol-01234567".into()),
        ] {
            let mut bad = one.clone();
            bad[name] = value;
            assert!(parse(&[bad]).is_err(), "{name}");
        }
    }
}

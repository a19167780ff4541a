//! `earmark grant`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use earmark_manifest::{
    declaration::{Declaration, Interval, Lock},
    digest::ManifestDigest,
    grant::{Grant, GrantId, GrantTime, GrantedLock, InstanceName},
    limits,
    name::{ImageName, Reason},
};

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    grant::{Shown, Signatures},
    io::{
        files,
        output::{self, quote},
    },
    keys::{self, KeyArgs},
};

/// Open locks of one host for a time: break-glass
///
/// Writes a grant that the agent of that host, and of no other, takes once: it
/// opens these locks, shuts them when the grant expires, and says for the whole
/// life of the instance that it was opened. The keys need the purpose 'grant'
/// in the image's trust file. Put the file into /run/earmark/grants/ there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "earmark grant --key <KEY> --instance <ID> --lock <LOCK> --for <TIME>"
)]
pub struct Args {
    #[command(flatten)]
    keys: KeyArgs,
    /// The host: an EC2 instance id, or elsewhere the UUID of its firmware, or
    /// without one its machine id
    #[arg(long, value_name = "ID")]
    instance: InstanceName,
    #[arg(long = "lock", value_name = "LOCK", required = true, help = LOCK)]
    locks: Vec<GrantedLock>,
    /// The duration, such as 30m or 2h, a day at most
    #[arg(long = "for", value_name = "TIME", value_parser = interval)]
    length: Interval,
    /// The image that the host runs
    #[arg(long, value_name = "NAME", conflicts_with = "spec")]
    image: Option<ImageName>,
    /// The declaration of that image [default: earmark.toml]
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Only for the version of the image with this manifest
    #[arg(long, value_name = "SHA256", value_parser = ManifestDigest::from_prefixed)]
    manifest: Option<ManifestDigest>,
    /// The reason, shown in the host's status
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
    /// The file to write; '-' is standard output [default:
    /// grant-ID.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark grant --key grant.key --instance i-0123456789abcdef0 \\
      --lock remote_access --for 1h
  earmark grant --key a.key --key b.key --instance i-0123456789abcdef0 \\
      --lock filesystems --lock packages --for 30m --image web \\
      --reason 'ticket 4711' --out -";

const LOCK: &str = "\
What to open: accounts, filesystems, imds, packages, remote_access or
schedules; once for each lock";

const SPEC: &str = "earmark.toml";

impl Args {
    pub fn run(&self) -> Outcome {
        let to_stdout = self.out.as_deref() == Some(Path::new("-"));
        if to_stdout && self.json {
            return Err(Failure::new(
                Exit::Usage,
                "'--out -' and --json both need standard output",
            )
            .next("give --out a file"));
        }
        let image = self.image()?;
        let issued = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock of this host is before 1970")?
            .as_secs();
        let expires = issued.saturating_add(self.length.duration().as_secs());
        let time = GrantTime::new(issued, expires)
            .map_err(|error| Failure::new(Exit::Usage, format!("--for {}: {error}", self.length)))
            .or_next(|| {
                "if a lock must stay open for longer, bake an image that leaves it open".to_owned()
            })?;
        let grant = Grant {
            id: GrantId::random().context("failed to make an id")?,
            instance: self.instance.clone(),
            image,
            manifest: self.manifest,
            locks: self.locks.iter().copied().collect::<BTreeSet<_>>(),
            time,
            reason: self.reason.clone(),
        };
        let payload = grant.to_payload().context("failed to write the grant")?;
        let envelope = keys::sign(None, payload, &self.keys.load()?)?;
        let signed_by = keys::claimed_ids(&envelope);
        let shown = |path| Shown::of(&grant, Signatures::Made { keys: signed_by }, path);
        if to_stdout {
            output::note(shown(None).to_string().trim_end());
            return output::stdout(&envelope.to_json());
        }
        let path = self.out.clone();
        let path = path.unwrap_or_else(|| format!("grant-{}.json", self.instance).into());
        refuse_to_replace(&path)?;
        files::replace(&path, &envelope.to_json())?;
        output::result(self.json, &shown(Some(path)))
    }

    /// The image's name, from the declaration if it was not given. What the declaration leaves open
    /// anyway is said.
    fn image(&self) -> Outcome<ImageName> {
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let path = self.spec.as_deref().unwrap_or(Path::new(SPEC));
        let bytes = files::read(path, limits::DECLARATION, "declaration").or_next(|| {
            "give --image NAME, the image that the host runs, or --spec FILE".to_owned()
        })?;
        let declared = Declaration::parse(&bytes)
            .with_context(|| format!("failed to parse {}", quote(path)))
            .exits(Exit::Usage)?;
        for (name, lock) in declared.lockdown.locks() {
            if lock == Lock::Allow && self.locks.iter().any(|granted| granted.lock() == name) {
                output::note(&format!(
                    "warning: {} leaves {name} open: the grant opens nothing more",
                    quote(path)
                ));
            }
        }
        Ok(declared.image.name)
    }
}

/// A grant that lies there may be one that somebody still needs.
fn refuse_to_replace(path: &Path) -> Outcome<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("refused: {} already exists", quote(path)),
    )
    .next("move it away, or give another --out FILE"))
}

fn interval(text: &str) -> Result<Interval, String> {
    text.to_owned().try_into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(lock: &str, instance: &str, length: &str) -> Result<Cli, String> {
        let arguments = [
            "grant",
            "--key",
            "a.key",
            "--instance",
            instance,
            "--lock",
            lock,
            "--for",
            length,
        ];
        Cli::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn grant_of_invalid_lock_instance_or_duration_is_refused_with_reason() {
        const ID: &str = "i-0123456789abcdef0";
        assert!(parse("remote_access", ID, "1h").is_ok());
        for (lock, instance, length, says) in [
            ("kernel", ID, "1h", "until the next boot"),
            ("cloud_init", ID, "1h", "sealed with the image"),
            ("all", ID, "1h", "expected accounts"),
            ("packages", "web", "1h", "i-0123456789abcdef0"),
            ("packages", ID, "1", "such as"),
        ] {
            let error = parse(lock, instance, length).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

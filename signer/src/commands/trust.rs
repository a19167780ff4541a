//! `earmark trust`.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context;
use earmark_manifest::{
    name::ImageName,
    trust::{Purpose, Trust, TrustedKey},
};
use serde::Serialize;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{
        files,
        output::{self, quote},
    },
    keys,
};

/// Write a trust file: the keys that an image believes
///
/// The purposes of a key follow its path after a colon: image, channel, grant.
/// Without them a key is for images. The threshold counts distinct keys.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A public key, and what it may sign; once for each key
    #[arg(long = "key", value_name = "FILE[:PURPOSE,...]", required = true)]
    keys: Vec<KeyArgument>,
    /// The number of keys that must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: usize,
    /// Believe manifests of this image alone
    #[arg(long, value_name = "NAME")]
    image: Option<ImageName>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark trust --key release.pub --out trust.toml
  earmark trust --key a.pub --key b.pub --threshold 2 --image web \\
      --out trust.toml
  earmark trust --key release.pub:image,channel --out trust.toml";

#[derive(Debug, Clone)]
struct KeyArgument {
    path: PathBuf,
    purposes: BTreeSet<Purpose>,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    image: Option<String>,
    threshold: usize,
    keys: Vec<WrittenKey>,
}

#[derive(Serialize)]
struct WrittenKey {
    key_id: String,
    algorithm: &'static str,
    purposes: Vec<Purpose>,
}

impl FromStr for KeyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path with a colon in it is taken whole if there is such a file, or a slash after it.
        let (path, purposes) = match text.rsplit_once(':') {
            Some((path, purposes)) if !purposes.contains('/') && !Path::new(text).exists() => {
                let purposes = purposes
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()?;
                (path, purposes)
            }
            _ => (text, BTreeSet::from([Purpose::Image])),
        };
        Ok(Self {
            path: path.into(),
            purposes,
        })
    }
}

impl Args {
    pub fn run(&self) -> Outcome {
        let mut keys = Vec::new();
        for argument in &self.keys {
            let pem = keys::read_public(&argument.path)?;
            let key = TrustedKey::from_pem(&pem, argument.purposes.clone())
                .with_context(|| format!("failed to use the key {}", quote(&argument.path)))
                .exits(Exit::Usage)
                .or_next(|| {
                    "give the public half, a PEM block 'PUBLIC KEY': \
                     openssl pkey -in release.key -pubout -out release.pub"
                        .to_owned()
                })?;
            keys.push(key);
        }
        let trust = Trust::new(self.image.clone(), self.threshold, keys)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let text = trust.to_toml();
        // What an agent would not read must not be written.
        Trust::parse(text.as_bytes()).context("failed to read back the trust file")?;
        files::replace(&self.out, text.as_bytes())?;
        output::result(self.json, &Written::of(&trust, &self.out))
    }
}

impl Written {
    fn of(trust: &Trust, file: &Path) -> Self {
        let keys = trust.keys().iter().map(|key| WrittenKey {
            key_id: key.id().to_string(),
            algorithm: key.key().algorithm().name(),
            purposes: key.purposes().collect(),
        });
        Self {
            file: file.to_owned(),
            image: trust.image().map(ToString::to_string),
            threshold: trust.threshold(),
            keys: keys.collect(),
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image.as_deref().unwrap_or("any image");
        writeln!(
            f,
            "{} believes {} of {} for {image}",
            quote(&self.file),
            self.threshold,
            output::count(self.keys.len(), "key", "keys"),
        )?;
        for key in &self.keys {
            let purposes: Vec<String> = key.purposes.iter().map(ToString::to_string).collect();
            writeln!(
                f,
                "  {:<7}  {}  {}",
                key.algorithm,
                key.key_id,
                purposes.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_argument_parses_purposes_and_refuses_invalid_ones() {
        let parse = |text: &str| text.parse::<KeyArgument>();
        let key = parse("a.pub:image,channel").unwrap();
        assert_eq!(key.path, Path::new("a.pub"));
        assert_eq!(
            key.purposes,
            BTreeSet::from([Purpose::Image, Purpose::Channel])
        );
        let plain = parse("dir:x/a.pub").unwrap();
        assert_eq!(plain.path, Path::new("dir:x/a.pub"));
        assert_eq!(plain.purposes, BTreeSet::from([Purpose::Image]));
        for bad in ["a.pub:", "a.pub:imgae", "a.pub:image,"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

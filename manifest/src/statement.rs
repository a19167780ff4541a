//! [`Statement`]: what is signed. A small in-toto Statement v1 about the tree and the declaration.

mod fields;

use serde::Serialize;

use crate::{
    cmdline::SignedLine,
    digest::{ManifestDigest, Sha256Digest},
    in_toto::{self, Subject},
    json::{Field, JsonError},
    layout, limits,
    name::{ImageName, ImageVersion},
    tree::TreeSummary,
};

pub use fields::{AgentVersion, Architecture, BuildText, TextError};

/// The `predicateType` of an image manifest.
pub const PREDICATE_TYPE: &str = "urn:earmark:image-manifest:v1";

/// The signed statement of an image: who it is, and the digests of what it is and may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Digest of `tree.zst` as it is stored.
    pub tree: Sha256Digest,
    /// Digest of `earmark.toml`, byte for byte.
    pub declaration: Sha256Digest,
    /// Identity of the image.
    pub image: ImageIdentity,
    /// Origin of the image.
    pub build: BuildRecord,
    /// The image that this one was baked from, if that one was sealed.
    pub parent: Option<ManifestDigest>,
    /// The tree in numbers.
    pub summary: TreeSummary,
    /// Boot configuration, if that was declared or recorded.
    pub boot: Option<BootRecord>,
    /// The oldest agent that may read this manifest.
    pub minimum_agent: AgentVersion,
}

/// Identity of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIdentity {
    /// Its name.
    pub name: ImageName,
    /// Its version.
    pub version: ImageVersion,
    /// The security epoch: a counter that a channel can set a floor for.
    pub epoch: u64,
    /// As `uname -m` prints it.
    pub architecture: Architecture,
}

/// Boot configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRecord {
    /// The kernel command line: these words and no others.
    pub cmdline: SignedLine,
}

/// Origin of an image. Each field is what the release CI says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRecord {
    /// The source revision, such as a commit.
    pub revision: Option<BuildText>,
    /// Builder, such as the URL of a CI job.
    pub builder: Option<BuildText>,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970. No other time is ever recorded.
    pub time: Option<u64>,
}

impl Statement {
    /// The payload bytes. The same statement gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Long`] beyond [`limits::PAYLOAD`] bytes.
    pub fn to_payload(&self) -> Result<Vec<u8>, PayloadError> {
        let text = |text: &Option<BuildText>| text.as_ref().map(BuildText::to_string);
        let predicate = Predicate {
            image: Image {
                name: &self.image.name,
                version: &self.image.version,
                epoch: self.image.epoch,
                architecture: self.image.architecture.name(),
            },
            build: Build {
                revision: text(&self.build.revision),
                builder: text(&self.build.builder),
                time: self.build.time,
            },
            parent: self.parent.map(|parent| parent.to_string()),
            tree: Summary {
                entries: self.summary.entries,
                bytes: self.summary.bytes,
            },
            boot: self.boot.as_ref().map(|boot| Boot {
                cmdline: boot.cmdline.to_string(),
            }),
            minimum_agent: self.minimum_agent.to_string(),
        };
        let subjects = [
            (layout::TREE_NAME, self.tree),
            (layout::DECLARATION_NAME, self.declaration),
        ];
        let payload = in_toto::write(&subjects, PREDICATE_TYPE, predicate)
            .map_err(|error| PayloadError::Json(error.to_string()))?;
        // Refused before it is signed: `Envelope::parse` would refuse it on each host.
        if payload.len() > limits::PAYLOAD {
            return Err(PayloadError::Long(payload.len()));
        }
        Ok(payload)
    }

    /// Parses payload bytes. On the agent these must be bytes whose signature was verified.
    ///
    /// # Errors
    ///
    /// If the payload is not the one spelling of an image manifest, version 1 (`docs/manifest-format.md`).
    pub fn parse(payload: &[u8]) -> Result<Self, JsonError> {
        let names = [layout::TREE_NAME, layout::DECLARATION_NAME];
        let (subjects, mut predicate) = in_toto::parse(payload, PREDICATE_TYPE, names)?;
        let digest = |subject: Subject, name: &str| -> Result<Sha256Digest, JsonError> {
            // Position and name must agree: readers that go by either one must find the same digest.
            subject.name.constant(name)?;
            subject
                .sha256
                .parsed(|hex| Sha256Digest::from_hex(hex.as_bytes()))
        };
        let [tree, declaration] = subjects;
        let tree = digest(tree, layout::TREE_NAME)?;
        let declaration = digest(declaration, layout::DECLARATION_NAME)?;

        let mut image = predicate.take("image")?.object()?;
        let identity = ImageIdentity {
            name: image.take("name")?.parsed(str::parse)?,
            version: image.take("version")?.parsed(str::parse)?,
            epoch: image.take("epoch")?.number()?,
            architecture: image.take("architecture")?.parsed(str::parse)?,
        };
        image.finish()?;

        let mut build = predicate.take("build")?.object()?;
        let text = |field: Field| {
            field
                .optional()
                .map(|field| field.parsed(str::parse))
                .transpose()
        };
        let record = BuildRecord {
            revision: text(build.take("revision")?)?,
            builder: text(build.take("builder")?)?,
            time: build
                .take("time")?
                .optional()
                .map(Field::number)
                .transpose()?,
        };
        build.finish()?;

        // There as null, never absent: two spellings of one statement would be two manifest digests.
        let parent = predicate.take("parent")?.optional();
        let mut summary = predicate.take("tree")?.object()?;
        let boot = predicate.take("boot")?.optional();
        let statement = Self {
            tree,
            declaration,
            image: identity,
            build: record,
            parent: parent
                .map(|parent| parent.parsed(ManifestDigest::from_prefixed))
                .transpose()?,
            summary: TreeSummary {
                entries: summary.take("entries")?.number()?,
                bytes: summary.take("bytes")?.number()?,
            },
            boot: boot.map(BootRecord::parse).transpose()?,
            minimum_agent: predicate.take("minimumAgent")?.parsed(str::parse)?,
        };
        summary.finish()?;
        predicate.finish()?;
        Ok(statement)
    }
}

/// Reason why a statement cannot be a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// `serde_json` failed.
    #[error("failed to write the statement: {0}")]
    Json(String),
    /// A channel with too much to say.
    #[error("the channel has {0} bytes, and at most {max} can be signed: drop old releases", max = limits::CHANNEL_PAYLOAD)]
    LongChannel(usize),
    /// It would be longer than KMS and HSMs sign.
    #[error("the statement has {0} bytes, and at most {max} can be signed: shorten --revision, --builder or [boot] cmdline", max = limits::PAYLOAD)]
    Long(usize),
}

impl BootRecord {
    fn parse(field: Field) -> Result<Self, JsonError> {
        let mut boot = field.object()?;
        let cmdline = boot.take("cmdline")?.parsed(SignedLine::from_canonical)?;
        boot.finish()?;
        Ok(Self { cmdline })
    }
}

#[derive(Serialize)]
struct Predicate<'a> {
    image: Image<'a>,
    build: Build,
    parent: Option<String>,
    tree: Summary,
    boot: Option<Boot>,
    #[serde(rename = "minimumAgent")]
    minimum_agent: String,
}

#[derive(Serialize)]
struct Image<'a> {
    name: &'a ImageName,
    version: &'a ImageVersion,
    epoch: u64,
    architecture: &'static str,
}

#[derive(Serialize)]
struct Build {
    revision: Option<String>,
    builder: Option<String>,
    time: Option<u64>,
}

#[derive(Serialize)]
struct Summary {
    entries: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Boot {
    cmdline: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::sha256;

    pub(crate) fn sample() -> Statement {
        Statement {
            tree: sha256(b"tree"),
            declaration: sha256(b"declaration"),
            image: ImageIdentity {
                name: "web".parse().unwrap(),
                version: "1.2.3".parse().unwrap(),
                epoch: 3,
                architecture: Architecture::X86_64,
            },
            build: BuildRecord {
                revision: Some("4f2a".parse().unwrap()),
                builder: None,
                time: Some(1_790_000_000),
            },
            parent: Some(ManifestDigest::of_payload(b"parent")),
            summary: TreeSummary {
                entries: 3,
                bytes: 7,
            },
            boot: None,
            minimum_agent: AgentVersion {
                major: 0,
                minor: 1,
                patch: 0,
            },
        }
    }

    #[test]
    fn statement_round_trips_through_payload() {
        let payload = sample().to_payload().unwrap();
        assert_eq!(Statement::parse(&payload), Ok(sample()));
        assert_eq!(sample().to_payload().unwrap(), payload);
    }

    #[test]
    fn statement_payload_contains_the_command_line() {
        let mut statement = sample();
        let cmdline = "root=UUID=* ro ?quiet -- a".parse().unwrap();
        statement.boot = Some(BootRecord { cmdline });
        let payload = statement.to_payload().unwrap();
        let text = std::str::from_utf8(&payload).unwrap();
        assert!(text.contains(r#","boot":{"cmdline":"root=UUID=* ro ?quiet -- a"},"#));
        assert_eq!(Statement::parse(&payload), Ok(statement));
    }

    #[test]
    fn oversized_statement_is_refused_naming_the_field_to_shorten() {
        let mut statement = sample();
        // Each quote takes two bytes in JSON.
        let cmdline = "\"".repeat(limits::CMDLINE).parse().unwrap();
        statement.boot = Some(BootRecord { cmdline });
        let error = statement.to_payload().unwrap_err().to_string();
        assert!(error.contains("[boot] cmdline"), "{error}");
    }

    #[test]
    fn largest_statement_fits_the_payload_limit() {
        let long: BuildText = "x".repeat(256).parse().unwrap();
        let mut statement = sample();
        statement.image.name = "n".repeat(64).parse().unwrap();
        statement.image.version = "v".repeat(64).parse().unwrap();
        statement.build = BuildRecord {
            revision: Some(long.clone()),
            builder: Some(long),
            time: Some(u64::MAX),
        };
        let cmdline = "x".repeat(limits::CMDLINE).parse().unwrap();
        statement.boot = Some(BootRecord { cmdline });
        assert!(statement.to_payload().unwrap().len() < limits::PAYLOAD);
    }

    #[test]
    fn statement_with_extra_missing_or_invalid_field_is_refused() {
        let payload = String::from_utf8(sample().to_payload().unwrap()).unwrap();
        for (from, to, says) in [
            (
                "\"epoch\":3",
                "\"epoch\":3,\"extra\":1",
                "predicate.image.extra: is not a field",
            ),
            ("\"epoch\":3,", "", "predicate.image.epoch: is missing"),
            (
                "\"epoch\":3",
                "\"epoch\":-3",
                "predicate.image.epoch: expected a whole number",
            ),
            (
                "\"epoch\":3",
                "\"epoch\":18446744073709551616",
                "predicate.image.epoch: expected a whole number",
            ),
            (
                "image-manifest:v1",
                "image-manifest:v2",
                "predicateType: expected",
            ),
            ("Statement/v1", "Statement/v0.1", "_type: expected"),
            ("tree.zst", "tree.zst2", "subject[0].name: expected"),
            (
                "\"minimumAgent\":\"0.1.0\"",
                "\"minimumAgent\":\"0.01.0\"",
                "predicate.minimumAgent",
            ),
            ("x86_64", "mips", "predicate.image.architecture"),
        ] {
            let changed = payload.replacen(from, to, 1);
            assert_ne!(changed, payload, "{from}");
            let error = Statement::parse(changed.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}

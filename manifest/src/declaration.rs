//! The image declaration, `earmark.toml`: what the image's owner reviewed, parsed.
//!
//! Everything in a [`Declaration`] has been checked; what is wrong is refused with its line and
//! column and with what would be right.

mod boot;
mod disk;
mod effect;
mod filter;
mod first_boot;
mod fleet;
mod lint;
mod lockdown;
mod parameters;
mod place;
mod reach;
#[cfg(feature = "profiles")]
mod resolve;
mod rules;
mod template;
mod text;
mod values;
mod volume;

pub use boot::{Boot, Initrd};
pub use disk::{Disk, Expected, Ignored, Region};
pub use filter::Filter;
pub use first_boot::{Action, Interrupted, Step};
pub use fleet::{Channel, Reaction, Report, Share, Sink};
pub use lint::Waiver;
pub use lockdown::{Lock, LockName, Lockdown};
pub use parameters::{Parameter, ParameterKind};
pub use place::{Location, Place, S3};
pub use rules::DeclaredRule;
pub use template::{Template, TemplatePart};
pub use text::{ByteRate, Interval, OctalMode};
pub use values::{ValueSource, Values};
pub use volume::{EbsVolume, Filesystem, VolumeDevice};

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    limits,
    name::{ImageName, ParameterName},
    path::ImagePath,
    profile::{Profile, ReasonedRule},
    strict::{self, Table},
};

/// Declaration of an image: its content, what it may do, and what may be done to it.
#[derive(Debug)]
pub struct Declaration {
    /// `[image]`.
    pub image: Image,
    /// `[tree]`.
    pub tree: TreeDeclaration,
    /// `[boot]`.
    pub boot: Boot,
    /// `[verify]`.
    pub verify: Verify,
    /// `[parameters.*]`, by name.
    pub parameters: BTreeMap<ParameterName, Parameter>,
    /// `[values]`.
    pub values: Values,
    /// `[[first_boot]]`, in order.
    pub first_boot: Vec<Step>,
    /// `[lockdown]`.
    pub lockdown: Lockdown,
    /// `[report]`, if there is one.
    pub report: Option<Report>,
    /// `[channel]`, if there is one.
    pub channel: Option<Channel>,
    /// `[[lint.allow]]`, in order.
    pub lint: Vec<Waiver>,
    /// `[disk]`.
    pub disk: Disk,
    rules: Vec<ReasonedRule>,
    /// Number of rules at the start of `rules` that come from the profile.
    profile_rules: usize,
}

/// `[image]`: which image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its security epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Source of parameter values. Stated, never guessed: an address that answers like EC2's
    /// metadata service need not be it.
    pub platform: Platform,
}

/// Source of parameter values and of the instance's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// EC2's instance metadata service.
    Ec2,
    /// A file on the host.
    File,
}

/// `[tree]`: what the walk covers.
#[derive(Debug)]
pub struct TreeDeclaration {
    /// The distribution's path classes, if one was named.
    pub profile: Option<Profile>,
    /// Directories on which another file system is mounted that belongs to the image, such as
    /// `/boot/efi`. The walk crosses into these and no others.
    pub mounts: Vec<ImagePath>,
}

/// `[verify]`: what must pass before a boot goes on, and what happens if it does not.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Gate that a verification must pass; the default of [`Gate`], if absent. See [`Verify::gate`].
    #[serde(default)]
    pub gate: Option<Gate>,
    /// Reaction of a host that does not verify.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Reaction of a host whose kernel finds a block of a sealed file corrupted; that of [`Verify::on_failure`], if
    /// absent. See [`Verify::on_corruption`].
    #[serde(default)]
    pub on_corruption: Option<OnFailure>,
    /// Interval at which a running host is verified again; never, if absent.
    #[serde(default)]
    pub every: Option<Interval>,
    /// The most that a verification in the background reads; the agent's own bound, if absent. What
    /// a boot waits for is never held back.
    #[serde(default)]
    pub rate: Option<ByteRate>,
    /// Reaction of the initrd to a root that it does not believe; that of `on_failure`, if absent. See
    /// [`Verify::on_initrd_failure`].
    #[serde(default)]
    pub initrd: Option<OnInitrdFailure>,
}

impl Verify {
    /// The gate that a boot waits for, declared or by default.
    pub fn gate(&self) -> Gate {
        self.gate.unwrap_or_default()
    }

    /// The reaction to a corrupted block, declared or by default.
    pub fn on_corruption(&self) -> OnFailure {
        self.on_corruption.unwrap_or(self.on_failure)
    }

    /// The reaction of the initrd to a root that it does not believe, declared or by that of a running host.
    pub fn on_initrd_failure(&self) -> OnInitrdFailure {
        self.initrd.unwrap_or(match self.on_failure {
            OnFailure::Report => OnInitrdFailure::Report,
            // A root that is not believed cannot be asked to quarantine itself.
            OnFailure::Quarantine | OnFailure::Halt => OnInitrdFailure::Halt,
        })
    }
}

/// Scope of a verification: all that is checked before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// The envelope and the digests of the seal; the root is not walked.
    Signature,
    /// The walk, all metadata, and the content of the critical set.
    #[default]
    Critical,
    /// Everything.
    Full,
}

/// Reaction of a host that does not verify; the later ones are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Goes on, and says so.
    #[default]
    Report,
    /// Stays up without workload or logins.
    Quarantine,
    /// Powers off.
    Halt,
}

/// Reaction of an initrd to a root that it does not believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInitrdFailure {
    /// Goes on, and leaves a record that nothing of this boot takes back.
    Report,
    /// Powers off, with the reason on the console.
    Halt,
}

/// Reason why a declaration is refused, and its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct DeclarationError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Fault, and the form that is expected instead.
    pub problem: String,
}

/// A rule that does not fit an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RuleProblem {
    /// The byte of the declaration that it is about, for [`Declaration::error_at`].
    pub at: usize,
    /// Description of the fault.
    pub problem: String,
}

/// Fault in a declaration, and the bytes that it is about.
struct Problem {
    at: Range<usize>,
    problem: String,
}

impl Declaration {
    /// Parses `earmark.toml`.
    ///
    /// # Errors
    ///
    /// [`DeclarationError`], with line and column, beyond [`limits::DECLARATION`] bytes, for other bytes than UTF-8
    /// and TOML, and for whatever the format does not define.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeclarationError> {
        // The parser has all of a document in memory: its length is bounded first.
        if bytes.len() > limits::DECLARATION {
            return Err(DeclarationError {
                line: 1,
                column: 1,
                problem: format!(
                    "{} bytes, and at most {} are accepted",
                    bytes.len(),
                    limits::DECLARATION
                ),
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            locate(
                &String::from_utf8_lossy(before),
                before.len(),
                "invalid UTF-8: TOML must be UTF-8",
            )
        })?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // Not the error's `Display`: it quotes the whole line, with whatever that makes a terminal do.
            locate(text, at, error.message())
        })?;
        Self::check(document).map_err(|problem| locate(text, problem.at.start, &problem.problem))
    }

    /// A problem that only the caller can see, at the byte `at` of a declaration that parsed.
    pub fn error_at(bytes: &[u8], at: usize, problem: &str) -> DeclarationError {
        // Bytes that parsed are UTF-8; for others the position would be off, and that is better than a panic.
        locate(&String::from_utf8_lossy(bytes), at, problem)
    }

    /// Refuses a template file with a name that is not declared, or that puts into the file, as it is, a value which
    /// can hold anything. The file is the image's: who seals it looks at it, and who renders it looks again.
    ///
    /// # Errors
    ///
    /// A description of the first name or value that is refused.
    pub fn check_template(&self, template: &Template) -> Result<(), String> {
        reach::check(template, &self.parameters, reach::Reach::File)
    }

    /// The class rules that its owner wrote, without the profile's, each with its reason.
    pub fn own_rules(&self) -> &[ReasonedRule] {
        self.rules.get(self.profile_rules..).unwrap_or_default()
    }

    /// The files that its `file` steps write.
    pub fn rendered_files(&self) -> impl Iterator<Item = &ImagePath> {
        self.first_boot
            .iter()
            .filter_map(|step| match &step.action {
                Action::File { path, .. } => Some(path),
                Action::Command { .. }
                | Action::Unit { .. }
                | Action::Hostname { .. }
                | Action::Volume { .. } => None,
            })
    }

    fn check(document: Document) -> Result<Self, Problem> {
        if document.parameters.len() > limits::PARAMETERS
            || document.first_boot.len() > limits::STEPS
        {
            let problem = format!(
                "at most {} parameters and {} first-boot steps are accepted",
                limits::PARAMETERS,
                limits::STEPS
            );
            return Err(Problem { at: 0..0, problem });
        }
        let mut parameters = BTreeMap::new();
        for (name, parameter) in document.parameters {
            let at = name.span();
            let name: ParameterName = name.into_inner().parse().map_err(|error| Problem {
                at,
                problem: format!("parameter {error}"),
            })?;
            parameters.insert(name, Parameter::check(parameter)?);
        }
        let first_boot = first_boot::check(document.first_boot, &parameters)?;
        let (rules, profile_rules) = rules::collect(&document.tree, &first_boot)?;
        let platform = document.image.0.platform;
        let report = document.report.map(|report| {
            let at = report.span();
            let report = report.into_inner().0;
            let checked = fleet::check_report(&report);
            checked
                .map(|()| report)
                .map_err(|problem| Problem { at, problem })
        });
        let channel = document.channel.map(|channel| {
            let at = channel.span();
            channel.into_inner().0.check().map_err(|problem| Problem {
                at,
                problem: problem.to_owned(),
            })
        });
        let (report, channel) = (report.transpose()?, channel.transpose()?);
        let values = values::check(document.values.map(|values| values.0), platform)?;
        Ok(Self {
            image: document.image.0,
            tree: TreeDeclaration {
                profile: document.tree.0.profile.map(Spanned::into_inner),
                mounts: document
                    .tree
                    .0
                    .mounts
                    .into_iter()
                    .map(|path| path.0)
                    .collect(),
            },
            boot: document.boot.0.check()?,
            verify: document.verify.0,
            parameters,
            values,
            first_boot,
            lockdown: document.lockdown.0,
            report,
            channel,
            lint: lint::check(document.lint.0)?,
            disk: disk::check(document.disk.0)?,
            rules,
            profile_rules,
        })
    }
}

impl Gate {
    /// As the declaration and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Critical => "critical",
            Self::Full => "full",
        }
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Signature, Self::Critical, Self::Full]
            .into_iter()
            .find(|gate| gate.name() == text)
            .ok_or_else(|| "expected signature, critical or full".to_owned())
    }
}

impl OnFailure {
    /// As the declaration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Quarantine => "quarantine",
            Self::Halt => "halt",
        }
    }
}

fn locate(text: &str, at: usize, problem: &str) -> DeclarationError {
    let (line, column, problem) = strict::locate(text, at, problem);
    DeclarationError {
        line,
        column,
        problem,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    image: Table<Image>,
    #[serde(default)]
    tree: Table<rules::TreeDocument>,
    #[serde(default)]
    boot: Table<boot::BootDocument>,
    #[serde(default)]
    verify: Table<Verify>,
    #[serde(default)]
    parameters: BTreeMap<Spanned<String>, Spanned<Table<parameters::ParameterDocument>>>,
    values: Option<Table<values::ValuesDocument>>,
    #[serde(default)]
    first_boot: Vec<Spanned<Table<first_boot::StepDocument>>>,
    #[serde(default)]
    lockdown: Table<Lockdown>,
    #[serde(default)]
    report: Option<Spanned<Table<Report>>>,
    #[serde(default)]
    channel: Option<Spanned<Table<fleet::ChannelDocument>>>,
    #[serde(default)]
    lint: Table<lint::LintDocument>,
    #[serde(default)]
    disk: Table<disk::DiskDocument>,
}

// They ask for rules that only a build with the profiles has.
#[cfg(all(test, feature = "profiles"))]
mod tests;

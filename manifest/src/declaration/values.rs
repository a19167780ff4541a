//! `[values]`: where the values of parameters come from.

use serde::Deserialize;
use toml::Spanned;

use super::{Interval, Platform, Problem, text::AbsolutePath};
use crate::path::ImagePath;

/// Sources of parameter values, in order: the first one that has a value for a parameter gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Each at most once, and at least one.
    pub from: Vec<ValueSource>,
    /// Total time that first boot waits for the metadata service.
    pub timeout: Interval,
}

/// A place that values come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueSource {
    /// EC2 user-data: TOML with a table `[parameters]`.
    UserData,
    /// Tags of the EC2 instance named `earmark:NAME`.
    Tags,
    /// A file on the host, like user-data.
    File(ImagePath),
}

/// The file that an image without EC2 looks into, if it says nothing else. It lies in the agent's
/// state: one elsewhere needs a class that lets it appear.
const DEFAULT_FILE: &str = "/var/lib/earmark/values.toml";

/// A new instance's network and its metadata service can take most of a minute to be there.
const DEFAULT_TIMEOUT: Interval = Interval::from_secs(60);
const LONGEST_TIMEOUT: Interval = Interval::from_secs(600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValuesDocument {
    from: Option<Spanned<Vec<Spanned<String>>>>,
    timeout: Option<Spanned<Interval>>,
}

pub(super) fn check(
    document: Option<ValuesDocument>,
    platform: Platform,
) -> Result<Values, Problem> {
    let (listed, timeout) =
        document.map_or((None, None), |document| (document.from, document.timeout));
    let timeout = match timeout {
        None => DEFAULT_TIMEOUT,
        Some(timeout) if timeout.get_ref().duration() <= LONGEST_TIMEOUT.duration() => {
            timeout.into_inner()
        }
        Some(timeout) => {
            return Err(Problem {
                at: timeout.span(),
                problem: format!("expected at most {LONGEST_TIMEOUT}"),
            });
        }
    };
    let Some(listed) = listed else {
        let from = match platform {
            Platform::Ec2 => ValueSource::UserData,
            Platform::File => ValueSource::File(default_file()?),
        };
        return Ok(Values {
            from: vec![from],
            timeout,
        });
    };
    // Without a source each value is its default on every host, and a required one fails on the host instead of here.
    if listed.get_ref().is_empty() {
        return Err(Problem {
            at: listed.span(),
            problem: format!("expected at least one of {EXPECTED}"),
        });
    }
    let mut from = Vec::new();
    for text in listed.into_inner() {
        let at = text.span();
        let source = source(text.into_inner(), platform).and_then(|source| {
            if from.contains(&source) {
                return Err("duplicate source".to_owned());
            }
            Ok(source)
        });
        from.push(source.map_err(|problem| Problem { at, problem })?);
    }
    Ok(Values { from, timeout })
}

const EXPECTED: &str = "\"user-data\", \"tags\" and absolute paths";

fn source(text: String, platform: Platform) -> Result<ValueSource, String> {
    let source = match text.as_str() {
        "user-data" => ValueSource::UserData,
        "tags" => ValueSource::Tags,
        _ => AbsolutePath::try_from(text)
            .map(|path| ValueSource::File(path.0))
            .map_err(|_| format!("expected one of {EXPECTED}"))?,
    };
    match (&source, platform) {
        // Off EC2, whoever answers at the metadata service's address would give the values.
        (ValueSource::UserData | ValueSource::Tags, Platform::File) => {
            Err("only an image with platform = \"ec2\" has user-data and tags".to_owned())
        }
        (ValueSource::UserData | ValueSource::Tags, Platform::Ec2)
        | (ValueSource::File(_), Platform::File | Platform::Ec2) => Ok(source),
    }
}

fn default_file() -> Result<ImagePath, Problem> {
    ImagePath::from_absolute(DEFAULT_FILE.as_bytes()).map_err(|error| Problem {
        at: 0..0,
        problem: error.to_string(),
    })
}

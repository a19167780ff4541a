//! `[disk]`: parts of a finished disk that no file system has, as `earmark verify --image` looks at them.
//!
//! Declared regions are signed with the rest. A host does not read them: it sees its own disk from the inside.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use crate::{digest::Sha256Digest, limits, strict::Table};

/// `[disk]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// `[[disk.ignore]]`, in order.
    pub ignore: Vec<Ignored>,
    /// `[[disk.expect]]`, in order.
    pub expect: Vec<Expected>,
}

/// A region that may hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The region.
    pub region: Region,
    /// The owner's reason.
    pub reason: String,
}

/// A region whose content is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The region.
    pub region: Region,
    /// The SHA-256 of all its bytes.
    pub sha256: Sha256Digest,
}

/// A name of regions: `boot-code`, `gap`, `boot-sector`, `slack`, `bios-boot`, `esp`, or `partition-N`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region(String);

/// Names besides `partition-N`.
const NAMES: [&str; 6] = [
    "boot-code",
    "gap",
    "boot-sector",
    "slack",
    "bios-boot",
    "esp",
];

impl Region {
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("partition-");
        let is_number = number.is_some_and(|number| {
            // One spelling for each number: `partition-01` would be the same region as `partition-1`, and no duplicate.
            !number.starts_with('0')
                && (1..=4).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_number || NAMES.contains(&text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected a region: {}, or partition-N",
            NAMES.join(", ")
        ))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskDocument {
    #[serde(default)]
    ignore: Vec<Table<IgnoredDocument>>,
    #[serde(default)]
    expect: Vec<Table<ExpectedDocument>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IgnoredDocument {
    region: Spanned<String>,
    reason: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedDocument {
    region: Spanned<String>,
    sha256: Spanned<String>,
}

pub(super) fn check(document: DiskDocument) -> Result<Disk, Problem> {
    // Both lists as one: a region that is ignored and expected would be whatever is looked at first.
    let ignored = document.ignore.iter().map(|one| &one.region);
    let expected = document.expect.iter().map(|one| &one.region);
    let mut names = Vec::new();
    for region in ignored.chain(expected) {
        let problem = if names.contains(&region.get_ref()) {
            format!("duplicate region '{}' in [disk]", region.get_ref())
        } else if names.len() >= limits::DISK_REGIONS {
            format!("at most {} regions are accepted", limits::DISK_REGIONS)
        } else {
            names.push(region.get_ref());
            continue;
        };
        let at = region.span();
        return Err(Problem { at, problem });
    }
    let ignore = document.ignore.into_iter().map(|one| one.0.check());
    let expect = document.expect.into_iter().map(|one| one.0.check());
    Ok(Disk {
        ignore: ignore.collect::<Result<_, _>>()?,
        expect: expect.collect::<Result<_, _>>()?,
    })
}

fn region(text: &Spanned<String>) -> Result<Region, Problem> {
    text.get_ref().parse().map_err(|problem| Problem {
        at: text.span(),
        problem,
    })
}

impl IgnoredDocument {
    fn check(self) -> Result<Ignored, Problem> {
        let is_said = !self.reason.get_ref().trim().is_empty();
        if !is_said || self.reason.get_ref().len() > 512 {
            return Err(Problem {
                at: self.reason.span(),
                problem: "an ignored region needs a reason: 1 to 512 characters".to_owned(),
            });
        }
        Ok(Ignored {
            region: region(&self.region)?,
            reason: self.reason.into_inner(),
        })
    }
}

impl ExpectedDocument {
    fn check(self) -> Result<Expected, Problem> {
        let sha256 = Sha256Digest::from_prefixed(self.sha256.get_ref());
        Ok(Expected {
            region: region(&self.region)?,
            sha256: sha256.map_err(|error| Problem {
                at: self.sha256.span(),
                problem: error.to_string(),
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Declaration;

    fn parse(disk: &str) -> Result<super::Disk, String> {
        let text = format!("[image]\nname = \"web\"\nplatform = \"file\"\n{disk}");
        let parsed = Declaration::parse(text.as_bytes());
        parsed
            .map(|declared| declared.disk)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn disk_regions_require_a_known_name_and_a_reason_or_digest() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let good = format!(
            "[[disk.ignore]]\nregion = \"esp\"\nreason = \"unused\"\n\
             [[disk.expect]]\nregion = \"bios-boot\"\nsha256 = \"{digest}\"\n"
        );
        let disk = parse(&good).unwrap();
        assert_eq!(
            (disk.ignore[0].region.name(), disk.ignore[0].reason.as_str()),
            ("esp", "unused")
        );
        assert_eq!(disk.expect[0].sha256.to_string(), digest);
        assert_eq!(parse("").unwrap(), super::Disk::default());
        assert!(parse("[[disk.ignore]]\nregion = \"partition-14\"\nreason = \"x\"\n").is_ok());
        for (bad, problem) in [
            (
                "[[disk.ignore]]\nregion = \"esp\"\n",
                "missing field `reason`",
            ),
            (
                "[[disk.ignore]]\nregion = \"esp\"\nreason = \" \"\n",
                "line 6, column 10: an ignored region needs",
            ),
            (
                "[[disk.ignore]]\nregion = \"ESP\"\nreason = \"x\"\n",
                "line 5, column 10: expected a region: boot-code",
            ),
            (
                "[[disk.ignore]]\nregion = \"partition-0\"\nreason = \"x\"\n",
                "expected a region",
            ),
            (
                "[[disk.ignore]]\nregion = \"partition-+1\"\nreason = \"x\"\n",
                "expected a region",
            ),
            (
                "[[disk.expect]]\nregion = \"esp\"\nsha256 = \"ab\"\n",
                "line 6, column 10",
            ),
            (
                "[[disk.expect]]\nregion = \"esp\"\nsize = 1\n",
                "unknown field `size`",
            ),
            ("[disk]\nall = true\n", "unknown field `all`"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let twice = format!("{good}[[disk.expect]]\nregion = \"esp\"\nsha256 = \"{digest}\"\n");
        assert!(
            parse(&twice)
                .unwrap_err()
                .contains("duplicate region 'esp'")
        );
        let many = |count: u32| {
            let one = |number| {
                format!("[[disk.ignore]]\nregion = \"partition-{number}\"\nreason = \"x\"\n")
            };
            parse(&(1..=count).map(one).collect::<String>())
        };
        assert!(many(64).is_ok());
        assert!(many(65).unwrap_err().contains("at most 64 regions"));
    }
}

//! Curated path classes, one data file for each distribution: `profiles/NAME.toml`, listed by `build.rs`.
//!
//! Without the feature `profiles` their names are known and their rules are not.

mod critical;
#[cfg(feature = "profiles")]
mod files;

use serde::{Deserialize, Deserializer, de};

use crate::{
    accounts::Accounts,
    class::{Rule, RuleAttributes},
    name::AccountName,
};

pub(crate) use self::critical::critical_rules;
#[cfg(feature = "profiles")]
pub use self::files::Evidence;

// `NAMES`, and with the feature `FILES`, the text of each.
include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// A distribution whose path classes are curated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    name: &'static str,
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Self::all().find(|profile| profile.name == name);
        found.ok_or_else(|| de::Error::unknown_variant(&name, NAMES))
    }
}

/// A rule and why it is there.
#[derive(Debug, Clone)]
pub struct ReasonedRule {
    /// The rule.
    pub rule: Rule,
    /// Reason for the rule, for people.
    pub reason: String,
    /// Names that become numbers when an image is measured.
    pub owners: Owners,
    /// The byte of the declaration that it begins at; 0 for a profile's.
    pub at: usize,
}

/// Names of accounts in a rule, which each image may have under other numbers.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The user.
    pub owner: Option<AccountName>,
    /// The group; the user's own, if there is a user and no group.
    pub group: Option<AccountName>,
    /// The number that the distribution reserves for the group, if an image may lack it.
    pub reserved: Option<u32>,
}

impl ReasonedRule {
    /// The rule with the numbers that the accounts of an image have.
    ///
    /// # Errors
    ///
    /// A description of the account that the image lacks.
    pub fn resolve(&self, accounts: &Accounts) -> Result<Rule, String> {
        let mut rule = self.rule.clone();
        let attributes = &mut rule.attributes;
        let Owners {
            owner,
            group,
            reserved,
        } = &self.owners;
        if let Some(owner) = owner {
            let (uid, gid) = accounts.owner(owner, None)?;
            (attributes.uid, attributes.gid) = (Some(uid), Some(gid));
        }
        if let Some(group) = group {
            attributes.gid = match reserved {
                // `None` if the number is another group's here: the file may then be root's alone, as without a group.
                Some(reserved) => accounts.group_or(group, *reserved)?,
                None => Some(accounts.group(group)?),
            };
        }
        Ok(rule)
    }

    /// Returns whether `rule`, from a tree, is this rule with numbers for its names.
    pub fn is_resolved_as(&self, rule: &Rule) -> bool {
        let RuleAttributes {
            types,
            mode,
            uid,
            gid,
        } = rule.attributes;
        let ours = &self.rule;
        let (owner, group) = (self.owners.owner.is_some(), self.owners.group.is_some());
        // A name that has its number without the image's accounts is held to it: whoever measured may lie.
        let is_own = |name: &Option<AccountName>, id: Option<u32>| {
            let fixed = name.as_ref().and_then(|name| match name.as_str() {
                "root" => Some(0),
                number => number.parse().ok(),
            });
            fixed.is_none_or(|fixed| id == Some(fixed))
        };
        (ours.kind, &ours.pattern) == (rule.kind, &rule.pattern)
            && (ours.attributes.types, ours.attributes.mode) == (types, mode)
            // Only the image's accounts tell which number is right: without them, a name resolved wrong passes here.
            && uid.is_some() == owner
            && is_own(&self.owners.owner, uid)
            && is_own(&self.owners.group, gid)
            // A reserved group may have no number (`Accounts::group_or`).
            && (gid.is_some() == (owner || group) || self.owners.reserved.is_some())
    }
}

/// A profile file that does not parse. The files are part of this crate and tested, so that this is
/// a defect of the build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}: {problem}")]
pub struct ProfileError {
    profile: &'static str,
    problem: String,
}

impl Profile {
    /// All of them, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|name| Self { name })
    }

    /// As the declaration spells it.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Its rules, or `None` in a build without them.
    #[cfg(feature = "profiles")]
    pub(crate) fn known_rules(self) -> Result<Option<Vec<ReasonedRule>>, ProfileError> {
        self.rules().map(Some)
    }

    #[cfg(not(feature = "profiles"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "one form for both builds"
    )]
    pub(crate) const fn known_rules(self) -> Result<Option<Vec<ReasonedRule>>, ProfileError> {
        Ok(None)
    }
}

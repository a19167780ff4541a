//! Attributes of a rule: what a path of its class may be, beside what the class itself allows.

use crate::{entry::Node, number};

use super::{PathClass, Pattern, RuleKind};

/// Attributes behind the pattern in the line of a rule. Each is absent unless the rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleAttributes {
    /// Types that a path may have; for a recorded path beside the recorded type.
    pub types: Option<Types>,
    /// Permission bits: exact for `rendered`, the widest for `generated`.
    pub mode: Option<u32>,
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// A set of types: directory, regular file, symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Types(u8);

impl Types {
    /// A regular file, or a link to one.
    pub(crate) const FILE_OR_LINK: Self = Self(0b110);
    /// Letters of the tree and words of the declaration, in the order of the tree.
    const ALL: [(u8, &'static str, u8); 3] = [
        (b'd', "directory", 0b001),
        (b'f', "file", 0b010),
        (b'l', "link", 0b100),
    ];

    /// From the words of a declaration, each at most once.
    pub(crate) fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let bit = |word: &str| Some(Self::ALL.into_iter().find(|(_, name, _)| *name == word)?.2);
        let set = words.into_iter().try_fold(0, |set, word| {
            let bit = bit(word)?;
            // A word that is there twice was mistyped for another one, which would then be left out.
            (set & bit == 0).then_some(set | bit)
        });
        set.filter(|set| *set != 0).map(Self)
    }

    /// From the letters of a tree, in their order.
    fn from_letters(letters: &[u8]) -> Option<Self> {
        let set = letters.iter().try_fold(0, |set, letter| {
            let (_, _, bit) = Self::ALL
                .into_iter()
                .find(|(known, _, _)| known == letter)?;
            // Greater than the whole set is greater than each bit in it: letters ascend, and no set has two spellings.
            (bit > set).then_some(set | bit)
        });
        set.filter(|set| *set != 0).map(Self)
    }

    /// Returns whether the set has the type of `node`.
    pub fn has(self, node: &Node) -> bool {
        let letter = node.letter();
        Self::ALL
            .into_iter()
            .any(|(known, _, bit)| char::from(known) == letter && self.0 & bit != 0)
    }

    /// The letters of the tree.
    fn letters(self) -> String {
        let letters = Self::ALL.into_iter();
        letters
            .filter(|(_, _, bit)| self.0 & bit != 0)
            .map(|(letter, _, _)| char::from(letter))
            .collect()
    }
}

/// The words, for people.
impl std::fmt::Display for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = Self::ALL
            .into_iter()
            .filter(|(_, _, bit)| self.0 & bit != 0);
        let words: Vec<&str> = words.map(|(_, word, _)| word).collect();
        f.write_str(&words.join(" or "))
    }
}

impl RuleAttributes {
    /// Returns whether the rule says nothing beside its class and pattern.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the reason why these attributes do not go with a rule, if they do not. Owners may still be absent: a
    /// declaration has names, which [`crate::declaration::Declaration::resolve_rules`] looks up.
    pub(super) fn problem(&self, kind: RuleKind, pattern: &Pattern) -> Option<&'static str> {
        let Self {
            types,
            mode,
            uid,
            gid,
        } = *self;
        let RuleKind::Class(class) = kind else {
            return (!self.is_empty()).then_some("'critical' takes no attributes");
        };
        match class {
            // Nobody signed the content of such a file: with a set-id bit it would run with its owner's rights, and
            // with 0002 every account could write it.
            PathClass::Generated if mode.is_some_and(|mode| mode & !0o775 != 0) => {
                Some("a mode of 'generated' has no set-id bits and is not writable by others")
            }
            // The entry has owner and mode, which may only narrow: a rule with its own would be a second, wider answer.
            PathClass::Mutable if (mode, uid, gid) != (None, None, None) => {
                Some("'mutable' takes owner and mode from the sealed path")
            }
            // For /etc/resolv.conf, a link where resolved manages it and a file elsewhere. A directory in its place
            // would bring names that were not sealed, which `mutable` does not admit.
            PathClass::Mutable => types
                .is_some_and(|types| types != Types::FILE_OR_LINK)
                .then_some("types of 'mutable' are file and link, both"),
            PathClass::Rendered if types.is_some() => Some("'rendered' is a regular file"),
            // Unlike above, 0002 passes: what another account writes there does not match the recorded digest.
            PathClass::Rendered if mode.is_some_and(|mode| mode & !0o777 != 0) => {
                Some("a mode of 'rendered' has no set-id bits")
            }
            // A step writes one path: `rendered /etc/**` would free all of /etc of its sealed digests.
            PathClass::Rendered if pattern.literal().is_none() => {
                Some("'rendered' names one path, without wildcards")
            }
            PathClass::Generated | PathClass::Rendered => None,
            PathClass::Sealed | PathClass::State | PathClass::Seal => {
                (!self.is_empty()).then_some("this class takes no attributes")
            }
        }
    }

    /// Appends the attributes to the line of a rule.
    pub(super) fn push(&self, text: &mut String) {
        if let Some(types) = self.types {
            text.push_str(" type=");
            text.push_str(&types.letters());
        }
        if let Some(mode) = self.mode {
            text.push_str(&format!(" mode={mode:o}"));
        }
        if let Some(uid) = self.uid {
            text.push_str(&format!(" uid={uid}"));
        }
        if let Some(gid) = self.gid {
            text.push_str(&format!(" gid={gid}"));
        }
    }

    /// From what follows the pattern: `key=value`, each once and in the order type, mode, uid, gid.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut attributes = Self::default();
        let mut last = 0;
        for word in words {
            let equals = word.iter().position(|byte| *byte == b'=')?;
            let (key, value) = word.split_at(equals);
            let value = value.get(1..)?;
            let place = match key {
                b"type" => {
                    attributes.types = Some(Types::from_letters(value)?);
                    1
                }
                b"mode" => {
                    attributes.mode = Some(number::octal_mode(value)?);
                    2
                }
                b"uid" => {
                    attributes.uid = Some(number::decimal(value)?);
                    3
                }
                b"gid" => {
                    attributes.gid = Some(number::decimal(value)?);
                    4
                }
                _ => return None,
            };
            // In this order, each once: with `mode=` twice, two readers could take a different one.
            if place <= last {
                return None;
            }
            last = place;
        }
        Some(attributes)
    }
}

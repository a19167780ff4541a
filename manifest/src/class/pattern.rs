//! Patterns over paths.

use std::fmt;

use crate::{
    escape::Escaped,
    path::{ImagePath, PathError},
};

/// A pattern over absolute paths.
///
/// `*` stands for any bytes but a slash and `?` for one, within a component. A last component `**`
/// stands for everything beneath, at any depth, but not for the directory itself. All else, `[` and
/// `\` included, stands for itself. The first component has no wildcard: a rule names where it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The bytes before the first wildcard, which rule most paths out at once.
    prefix: Box<[u8]>,
    components: Vec<Box<[u8]>>,
    pub(super) beneath: bool,
}

/// Reason why some text is not a [`Pattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// See [`PathError`].
    #[error("{0}")]
    Path(PathError),
    /// `**` where it is not the whole last component.
    #[error("'**' may only be the whole last component, as in /opt/web/**")]
    Stars,
    /// A wildcard in the first component, or no component at all.
    #[error("the first component must be spelt out: a rule over the whole root would seal nothing")]
    WholeRoot,
}

impl Pattern {
    /// From text such as `/etc/ssh/ssh_host_*_key`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for text that is not an absolute path without `.` and `..`, has `**` elsewhere than as the
    /// whole last component, or a wildcard in the first one.
    pub fn parse(text: &[u8]) -> Result<Self, PatternError> {
        let path = ImagePath::from_absolute(text).map_err(PatternError::Path)?;
        let mut components: Vec<Box<[u8]>> = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(Into::into)
            .collect();
        // `/` is one empty component here, and `/**` leaves none: neither passes as a first component below.
        let beneath = components.pop_if(|last| **last == *b"**").is_some();
        // In shells and gitignore `**` crosses directories. Read as two `*` it would match less than its author thinks,
        // and a `sealed` rule that matches less takes less back.
        if components
            .iter()
            .any(|component| component.windows(2).any(|two| two == b"**"))
        {
            return Err(PatternError::Stars);
        }
        match components.first() {
            Some(first) if !first.is_empty() && !has_wildcard(first) => {
                let joined = components.join(&b'/');
                let literal = joined
                    .iter()
                    .take_while(|byte| !is_wildcard(**byte))
                    .copied()
                    .collect();
                Ok(Self {
                    prefix: literal,
                    components,
                    beneath,
                })
            }
            _ => Err(PatternError::WholeRoot),
        }
    }

    /// Returns whether the pattern matches `path`.
    pub fn matches(&self, path: &ImagePath) -> bool {
        if !path.as_bytes().starts_with(&self.prefix) {
            return false;
        }
        let mut components = path.as_bytes().split(|byte| *byte == b'/');
        for pattern in &self.components {
            match components.next() {
                Some(component) if wildcard_matches(pattern, component) => {}
                _ => return false,
            }
        }
        // `/srv/**` is not /srv itself: that directory's owner and mode stay sealed.
        components.next().is_some() == self.beneath
    }

    /// The path that this matches, if it has no wildcard.
    pub fn literal(&self) -> Option<ImagePath> {
        if self.beneath
            || self
                .components
                .iter()
                .any(|component| has_wildcard(component))
        {
            return None;
        }
        ImagePath::from_relative(&self.components.join(&b'/')).ok()
    }

    /// Returns whether some path matches both this and `other`.
    pub fn may_meet(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.components.len(), other.components.len());
        // Compared up to the shorter one's end: whatever the longer one has beyond, a `**` matches.
        let as_deep = match (self.beneath, other.beneath) {
            (false, false) => ours == theirs,
            (true, false) => theirs > ours,
            (false, true) => ours > theirs,
            (true, true) => true,
        };
        as_deep
            && self
                .components
                .iter()
                .zip(&other.components)
                .all(|(ours, theirs)| wildcards_meet(ours, theirs))
    }

    /// Returns whether the pattern has a wildcard.
    pub fn is_glob(&self) -> bool {
        self.literal().is_none()
    }

    /// Returns whether a path that this matches can lie beneath a path that `other` matches.
    pub fn may_lie_beneath(&self, other: &Self) -> bool {
        let deep_enough = self.components.len() > other.components.len()
            || (self.beneath && self.components.len() == other.components.len());
        deep_enough
            && other
                .components
                .iter()
                .zip(&self.components)
                .all(|(theirs, ours)| {
                    // Two wildcards may meet; in doubt they do.
                    wildcard_matches(theirs, ours) || has_wildcard(ours)
                })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for component in &self.components {
            write!(f, "/{}", Escaped(component))?;
        }
        if self.beneath {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn has_wildcard(component: &[u8]) -> bool {
    component.iter().any(|byte| is_wildcard(*byte))
}

const fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'*' | b'?')
}

/// Returns whether some name matches both component patterns. Takes the product of their lengths.
fn wildcards_meet(left: &[u8], right: &[u8]) -> bool {
    // `reached[n]`: what was read of `left` so far and the first `n` bytes of `right` can be of one name.
    let row_from = |above: Option<(&[bool], u8)>| {
        let mut row: Vec<bool> = Vec::with_capacity(right.len().saturating_add(1));
        for at in 0..=right.len() {
            let of_right = at.checked_sub(1).and_then(|last| right.get(last)).copied();
            let beside = row.last().copied().unwrap_or_default();
            let meets = match (above, of_right) {
                (None, None) => true,
                // Nothing of `left` is left over: stars of `right` stand for nothing.
                (None, Some(right)) => right == b'*' && beside,
                (Some((above, left)), None) => {
                    left == b'*' && above.first().copied().unwrap_or_default()
                }
                (Some((above, left)), Some(right)) => {
                    let over = above.get(at).copied().unwrap_or_default();
                    let across = at
                        .checked_sub(1)
                        .and_then(|before| above.get(before))
                        .copied()
                        .unwrap_or_default();
                    match (left, right) {
                        (b'*', _) | (_, b'*') => over || beside || across,
                        (b'?', _) | (_, b'?') => across,
                        (left, right) => left == right && across,
                    }
                }
            };
            row.push(meets);
        }
        row
    };
    let mut row = row_from(None);
    for byte in left {
        row = row_from(Some((&row, *byte)));
    }
    row.last().copied().unwrap_or_default()
}

/// Returns whether one component matches one pattern component. Linear in their lengths for one `*`, and
/// at worst their product: a pattern cannot be made to take long.
pub(super) fn wildcard_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Only the last star is ever tried again: one before it that took more could match nothing that this cannot.
    // Trying all of them again is what takes exponential time.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, name));
                pattern = after;
            }
            (Some((b'?', after)), Some((_, rest))) => (pattern, name) = (after, rest),
            (Some((expected, after)), Some((found, rest))) if expected == found => {
                (pattern, name) = (after, rest);
            }
            (None, None) => return true,
            _ => {
                // Let the last star take one byte more.
                let Some((after, from)) = retry else {
                    return false;
                };
                let Some((_, rest)) = from.split_first() else {
                    return false;
                };
                retry = Some((after, rest));
                (pattern, name) = (after, rest);
            }
        }
    }
}

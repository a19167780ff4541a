//! [`ImagePath`]: the path of an entry beneath the image's root.

use std::fmt;

use crate::{escape::Escaped, limits};

/// A path beneath the root of an image, as raw bytes without a leading slash; the root itself is
/// the empty path. It has no `.`, `..` or empty component and no NUL, so that joining it to a root
/// cannot leave that root. It deliberately is no `str` and no `std::path::Path`: what is shown to
/// people is [`ImagePath`]'s `Display`, escaped and absolute, and what is opened goes beneath a
/// directory descriptor.
///
/// The order is that of the raw bytes, which is the order of the tree.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ImagePath(Box<[u8]>);

/// Reason why some bytes are not an [`ImagePath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It starts with a slash where a relative path belongs.
    #[error("path is absolute")]
    Absolute,
    /// It is empty, ends with a slash or has two slashes in a row.
    #[error("path has an empty component")]
    EmptyComponent,
    /// It holds a NUL byte.
    #[error("path has a NUL byte")]
    Nul,
    /// It does not start with a slash where an absolute path belongs.
    #[error("path is not absolute")]
    Relative,
    /// One of its components is `.` or `..`.
    #[error("path has a '.' or '..' component")]
    Dots,
    /// It, or one of its components, is longer than Linux takes.
    #[error("path is too long: at most 4095 bytes, and 255 in a component")]
    TooLong,
}

impl ImagePath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// From bytes relative to the root, such as `usr/bin/env`. Refuses the empty path: the tree
    /// writes the root as `.`, which its reader knows.
    ///
    /// # Errors
    ///
    /// [`PathError`] for an absolute or empty path, an empty component, `.`, `..`, a NUL byte, more than
    /// [`limits::PATH`] bytes, or a component of more than [`limits::NAME`].
    pub fn from_relative(bytes: &[u8]) -> Result<Self, PathError> {
        match bytes.first() {
            Some(b'/') => return Err(PathError::Absolute),
            None => return Err(PathError::EmptyComponent),
            Some(_) => {}
        }
        // Also what bounds the depth of a walk: `mkdirat` builds deeper trees than a path can name.
        if bytes.len() > limits::PATH {
            return Err(PathError::TooLong);
        }
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" => return Err(PathError::EmptyComponent),
                b"." | b".." => return Err(PathError::Dots),
                _ if component.len() > limits::NAME => return Err(PathError::TooLong),
                // The kernel reads a path up to its NUL, which is another one than was checked.
                _ if component.contains(&0) => return Err(PathError::Nul),
                _ => {}
            }
        }
        Ok(Self(bytes.into()))
    }

    /// From bytes with a leading slash, such as `/usr/bin/env`; `/` is the root.
    ///
    /// # Errors
    ///
    /// [`PathError::Relative`] without a leading slash; otherwise as [`ImagePath::from_relative`].
    pub fn from_absolute(bytes: &[u8]) -> Result<Self, PathError> {
        match bytes.strip_prefix(b"/") {
            None => Err(PathError::Relative),
            Some(b"") => Ok(Self::root()),
            // POSIX leaves open what two leading slashes mean.
            Some(b"/") => Err(PathError::EmptyComponent),
            Some(relative) if relative.starts_with(b"/") => Err(PathError::EmptyComponent),
            Some(relative) => Self::from_relative(relative),
        }
    }

    /// The raw bytes, without a leading slash; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this entry; the root has none.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0.get(..end).unwrap_or_default().into()))
    }

    /// The path of the entry `name` of this directory. `name` is one component.
    ///
    /// # Errors
    ///
    /// [`PathError::EmptyComponent`] if `name` has a slash; otherwise as [`ImagePath::from_relative`].
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        // Names also come from a disk image's own blocks: a slash in one would name an entry of another directory.
        if name.contains(&b'/') {
            return Err(PathError::EmptyComponent);
        }
        let mut bytes =
            Vec::with_capacity(self.0.len().saturating_add(name.len()).saturating_add(1));
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::from_relative(&bytes)
    }

    /// Returns whether `self` is `directory` or lies beneath it.
    pub fn is_beneath(&self, directory: &Self) -> bool {
        // By whole components: `/srv/database` begins with `/srv/data`, and is not beneath it.
        directory.is_root()
            || self
                .0
                .strip_prefix(directory.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("/{}", Escaped(&self.0)))
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn image_path_refuses_malformed_and_escaping_paths() {
        for (bytes, error) in [
            (&b"/etc"[..], PathError::Absolute),
            (b"", PathError::EmptyComponent),
            (b"a//b", PathError::EmptyComponent),
            (b"a/", PathError::EmptyComponent),
            (b"..", PathError::Dots),
            (b"a/../b", PathError::Dots),
            (b"./a", PathError::Dots),
            (b"a\0b", PathError::Nul),
        ] {
            assert_eq!(
                ImagePath::from_relative(bytes),
                Err(error),
                "{}",
                Escaped(bytes)
            );
        }
        assert_eq!(
            ImagePath::from_relative(&[b'a'; 256]),
            Err(PathError::TooLong)
        );
        assert!(ImagePath::from_relative(&[b'a'; 255]).is_ok());
        assert_eq!(ImagePath::from_absolute(b"etc"), Err(PathError::Relative));
        assert_eq!(
            ImagePath::from_absolute(b"//etc"),
            Err(PathError::EmptyComponent)
        );
        assert!(ImagePath::from_absolute(b"/").unwrap().is_root());
    }

    #[test]
    fn is_beneath_compares_whole_components() {
        let path = |text: &str| ImagePath::from_absolute(text.as_bytes()).unwrap();
        assert!(path("/srv/data/x").is_beneath(&path("/srv/data")));
        assert!(path("/srv/data").is_beneath(&path("/srv/data")));
        assert!(!path("/srv/database").is_beneath(&path("/srv/data")));
        assert!(path("/srv").is_beneath(&ImagePath::root()));
    }

    proptest! {
        #[test]
        fn image_path_parsing_never_panics_and_preserves_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = ImagePath::from_relative(&bytes) {
                prop_assert_eq!(path.as_bytes(), &bytes[..]);
                let mut absolute = b"/".to_vec();
                absolute.extend_from_slice(&bytes);
                prop_assert_eq!(ImagePath::from_absolute(&absolute).unwrap(), path);
            }
        }

        #[test]
        fn joined_child_path_has_its_base_as_parent(names in proptest::collection::vec("[a-z\\x01. ]{1,8}", 1..6)) {
            let mut path = ImagePath::root();
            for name in &names {
                let Ok(child) = path.join(name.as_bytes()) else { return Ok(()); };
                prop_assert_eq!(child.parent(), Some(path.clone()));
                prop_assert!(child.is_beneath(&path));
                prop_assert!(path < child);
                path = child;
            }
        }
    }
}

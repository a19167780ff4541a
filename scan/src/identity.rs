//! Image identity that a root states in its `os-release`.

use earmark_manifest::path::ImagePath;

use crate::{Root, ScanError};

/// `IMAGE_ID` and `IMAGE_VERSION`, as far as they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The image's name.
    pub name: Option<String>,
    /// The image's version.
    pub version: Option<String>,
}

/// Paths that `os-release` may have; the first that is a regular file is the one.
pub const OS_RELEASE: [&str; 2] = ["/usr/lib/os-release", "/etc/os-release"];
/// An `os-release` is at most this long.
pub const OS_RELEASE_BOUND: usize = 64 * 1024;

/// Reads the image identity that `root` states.
pub fn read(root: &Root) -> Result<Identity, ScanError> {
    // `/usr/lib` first: `/etc/os-release` mostly is a link to it, and no link is followed here.
    for path in OS_RELEASE {
        let Ok(path) = ImagePath::from_absolute(path.as_bytes()) else {
            continue;
        };
        if let Some(bytes) = root.read_opt(&path, OS_RELEASE_BOUND)? {
            return Ok(parse(&String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(Identity::default())
}

/// From the text of an `os-release`.
pub fn parse(text: &str) -> Identity {
    let value = |key: &str| {
        // The last assignment counts, as for a shell that sources the file.
        let line = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let plain = line.trim().trim_matches(['"', '\'']);
        (!plain.is_empty()).then(|| plain.to_owned())
    };
    Identity {
        name: value("IMAGE_ID"),
        version: value("IMAGE_VERSION"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_last_assignment_wins_and_quotes_are_stripped() {
        let identity =
            parse("NAME=x\nIMAGE_ID=old\nIMAGE_ID=\"web\"\nIMAGE_VERSION='1.2'\nIMAGE_IDX=no\n");
        assert_eq!(
            identity,
            Identity {
                name: Some("web".to_owned()),
                version: Some("1.2".to_owned())
            }
        );
        assert_eq!(parse("IMAGE_ID=\n"), Identity::default());
    }
}

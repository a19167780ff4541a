//! [`Links`]: the symbolic links of an image, followed as they were measured or signed, and not as they are on a
//! disk by now.

use std::{collections::BTreeMap, convert::Infallible};

use earmark_manifest::path::ImagePath;

/// Links that lead on and on are no way to anything.
const MOST_LINKS: usize = 16;

/// Links, by their place.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<ImagePath, Box<[u8]>>);

impl Links {
    /// Adds the link at `path`.
    pub fn insert(&mut self, path: ImagePath, target: Box<[u8]>) {
        self.0.insert(path, target);
    }

    /// Follows the links of a path, one part after the other; never out of the root.
    ///
    /// # Errors
    ///
    /// If it goes through too many, or too long ones.
    pub fn resolve(&self, path: &ImagePath) -> Result<ImagePath, String> {
        let Ok(found) = follow(path, |at| Ok::<_, Infallible>(self.0.get(at).cloned()));
        found.ok_or_else(|| {
            format!("'{path}' has too many symbolic links on the way, or links that are too long")
        })
    }
}

/// Follows the links of a path beneath a root, of which `link_at` tells the target; none, if they are too many or
/// their paths too long.
pub(crate) fn follow<E>(
    path: &ImagePath,
    mut link_at: impl FnMut(&ImagePath) -> Result<Option<Box<[u8]>>, E>,
) -> Result<Option<ImagePath>, E> {
    let mut left = MOST_LINKS;
    let mut todo: Vec<Vec<u8>> = parts(path.as_bytes());
    let mut done = ImagePath::root();
    while let Some(part) = todo.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                // `..` of the root is the root, as for the kernel.
                done = done.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let Ok(next) = done.join(&part) else {
            return Ok(None);
        };
        let Some(target) = link_at(&next)? else {
            done = next;
            continue;
        };
        // A loop ends here. The kernel allows 40 links, and then answers ELOOP.
        let Some(fewer) = left.checked_sub(1) else {
            return Ok(None);
        };
        left = fewer;
        // An absolute link leads to the image's own root, never to this host's.
        if target.first() == Some(&b'/') {
            done = ImagePath::root();
        }
        todo.extend(parts(&target));
    }
    Ok(Some(done))
}

/// The parts of a path, the first one last.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec);
    parts.rev().collect()
}

//! Contents of an initrd of ours, from what it is made of.

use std::path::Path;

use earmark_manifest::layout;

use super::cpio::Object;

/// The first process.
pub const INIT: &str = "init";
/// Kernel modules, and the list of their names in the order in which they are loaded.
pub const MODULES: &str = "modules";
/// See [`MODULES`].
pub const ORDER: &str = "modules/order";
/// Directories that the first process mounts on.
const MOUNT_POINTS: [&str; 4] = ["proc", "run", "sys", "sysroot"];

/// Parts of an initrd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The program `earmark-init`.
    pub init: Vec<u8>,
    /// Trust file.
    pub trust: Vec<u8>,
    /// Floor.
    pub floor: Vec<u8>,
    /// Names and bytes of kernel modules, in the order in which they are loaded.
    pub modules: Vec<(String, Vec<u8>)>,
}

impl Contents {
    /// The objects of the archive, a directory before what lies in it.
    pub fn objects(&self) -> Vec<(String, Object)> {
        let file = |bytes: &[u8], is_program| Object::File {
            is_program,
            bytes: bytes.to_vec(),
        };
        let directory = |path: &str| (path.to_owned(), Object::Directory);
        let mut objects = vec![
            directory("dev"),
            ("dev/console".to_owned(), Object::Console),
            (INIT.to_owned(), file(&self.init, true)),
        ];
        if !self.modules.is_empty() {
            let names: Vec<&str> = self.modules.iter().map(|(name, _)| &**name).collect();
            let order = names.join(
                "
",
            ) + "
";
            objects.push(directory(MODULES));
            for (name, bytes) in &self.modules {
                objects.push((format!("{MODULES}/{name}"), file(bytes, false)));
            }
            objects.push((ORDER.to_owned(), file(order.as_bytes(), false)));
        }
        objects.extend(MOUNT_POINTS.map(directory));
        let ours = layout::EARMARK_DIR.trim_start_matches('/');
        let above = Path::new(ours)
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty());
        let mut above: Vec<_> = above
            .map(|path| directory(&path.display().to_string()))
            .collect();
        above.reverse();
        objects.extend(above);
        for (path, bytes) in [(layout::FLOOR, &self.floor), (layout::TRUST, &self.trust)] {
            objects.push((path.trim_start_matches('/').to_owned(), file(bytes, false)));
        }
        objects
    }

    /// Reads the contents of an archive; `None` if it is not one that this program makes.
    pub fn of(objects: &[(String, Object)]) -> Option<Self> {
        let bytes = |path: &str| {
            let path = path.trim_start_matches('/');
            objects.iter().find_map(|(name, object)| match object {
                Object::File { bytes, .. } if name == path => Some(bytes.clone()),
                Object::File { .. } | Object::Directory | Object::Console | Object::Other => None,
            })
        };
        let order = bytes(ORDER).unwrap_or_default();
        let order = String::from_utf8(order).ok()?;
        let module = |name: &str| Some((name.to_owned(), bytes(&format!("{MODULES}/{name}"))?));
        let contents = Self {
            init: bytes(INIT)?,
            trust: bytes(layout::TRUST)?,
            floor: bytes(layout::FLOOR)?,
            modules: order.lines().map(module).collect::<Option<_>>()?,
        };
        // Nothing more, nothing twice, no other order: what is not written here could be what runs.
        (contents.objects() == objects).then_some(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initrd::cpio;

    type Spoil = fn(&mut Vec<(String, Object)>, Object);

    fn contents(modules: &[&str]) -> Contents {
        Contents {
            init: b"program".to_vec(),
            trust: b"trust".to_vec(),
            floor: b"floor".to_vec(),
            modules: modules
                .iter()
                .map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))
                .collect(),
        }
    }

    #[test]
    fn contents_survive_the_archive() {
        for modules in [&[][..], &["b.ko", "a.ko.xz"]] {
            let made = contents(modules);
            let objects = cpio::read(&cpio::write(&made.objects())).unwrap();
            assert_eq!(Contents::of(&objects), Some(made));
        }
    }

    #[test]
    fn archive_with_more_than_ours_is_not_ours() {
        let good = contents(&["a.ko"]).objects();
        assert!(Contents::of(&good).is_some());
        let more = Object::File {
            is_program: true,
            bytes: b"#!/bin/sh".to_vec(),
        };
        let spoil: [Spoil; 4] = [
            |objects, more| objects.push(("bin/sh".to_owned(), more)),
            |objects, more| objects.push((INIT.to_owned(), more)),
            |objects, _| objects.retain(|(name, _)| name != "modules/a.ko"),
            |objects, _| objects.retain(|(name, _)| name != "usr/lib/earmark/trust.toml"),
        ];
        for spoil in spoil {
            let mut objects = good.clone();
            spoil(&mut objects, more.clone());
            assert_eq!(Contents::of(&objects), None, "{objects:?}");
        }
    }
}

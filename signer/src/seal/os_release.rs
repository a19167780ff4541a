//! `IMAGE_ID` and `IMAGE_VERSION` in `os-release`: which image a host says that it is, to anything
//! that asks. The manifest describes the root as it is once these are in place.

use anyhow::Context;
use earmark_manifest::{
    class::PathClass,
    crypto::sha256,
    entry::Node,
    name::{ImageName, ImageVersion},
    path::ImagePath,
    verify::VerifiedManifest,
};
use earmark_scan::{
    Root,
    identity::{OS_RELEASE, OS_RELEASE_BOUND},
};
use rustix::fs::FileType;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::beneath,
};

/// An `os-release` and what it will say.
#[derive(Debug)]
pub struct Stamp {
    /// Path of the file.
    pub path: ImagePath,
    /// Content with the image's name and version in it.
    pub content: Vec<u8>,
    /// True, if that differs from the content that the file has already.
    pub changes: bool,
}

impl Stamp {
    /// For a root's `os-release`: the first of the two that is a regular file. Nothing, if neither
    /// is: a root without one is sealed as it is.
    pub fn of(root: &Root, name: &ImageName, version: &ImageVersion) -> Outcome<Option<Self>> {
        for path in OS_RELEASE {
            let path =
                ImagePath::from_absolute(path.as_bytes()).context("a path of this program")?;
            let kind = beneath::kind(root, &path)
                .with_context(|| format!("failed to look at '{path}'"))
                .exits(Exit::Undecided)?;
            if kind != Some(FileType::RegularFile) {
                continue;
            }
            let old = root.read(&path, OS_RELEASE_BOUND).exits(Exit::Undecided)?;
            let content = stamped(&old, name, version);
            return Ok(Some(Self {
                path,
                changes: content != old,
                content,
            }));
        }
        Ok(None)
    }

    /// Refuses a root whose `os-release` would not be the signed one: it is not the root that was
    /// measured. What else differs is for `verify` to find.
    pub fn refuse_another_root(&self, manifest: &VerifiedManifest) -> Outcome<()> {
        let mut tree = manifest
            .tree()
            .context("tree.zst")
            .exits(Exit::NotVerified)?;
        let class = tree.rules().class_of(&self.path);
        let mut signed = None;
        for entry in &mut tree {
            let entry = entry.context("tree.zst").exits(Exit::NotVerified)?;
            if entry.path == self.path {
                signed = Some(entry.node);
            }
        }
        let same = match signed {
            Some(Node::Regular(Some(content))) => content.sha256 == sha256(&self.content),
            Some(Node::Regular(None)) => true,
            Some(
                Node::Directory
                | Node::Symlink(_)
                | Node::CharDevice(_)
                | Node::BlockDevice(_)
                | Node::Fifo
                | Node::Socket,
            ) => false,
            None => class != PathClass::Sealed,
        };
        if same {
            return Ok(());
        }
        Err(Failure::new(
            Exit::NotVerified,
            format!("refused: '{}' is not the one that was measured", self.path),
        )
        .next("install into the root that was measured, or measure this one"))
    }
}

/// `text` with both lines set. Doing it twice changes nothing more.
fn stamped(text: &[u8], name: &ImageName, version: &ImageVersion) -> Vec<u8> {
    // Names and versions have no character that a shell would read as anything but itself; the
    // quotes are for people, who expect them.
    let mut lines = [
        (&b"IMAGE_ID="[..], Some(format!("IMAGE_ID=\"{name}\"\n"))),
        (
            &b"IMAGE_VERSION="[..],
            Some(format!("IMAGE_VERSION=\"{version}\"\n")),
        ),
    ];
    let mut stamped = Vec::with_capacity(text.len() + 160);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let key = lines
            .iter_mut()
            .find(|(key, _)| line.trim_ascii_start().starts_with(key));
        match key {
            // The first one is replaced in its place. A shell would take the last: there is but one.
            Some((_, line)) => stamped.extend(line.take().unwrap_or_default().into_bytes()),
            None => stamped.extend_from_slice(line),
        }
    }
    for (_, line) in lines {
        if let Some(line) = line {
            if stamped.last().is_some_and(|byte| *byte != b'\n') {
                stamped.push(b'\n');
            }
            stamped.extend(line.into_bytes());
        }
    }
    stamped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str, version: &str) -> String {
        let bytes = stamped(
            text.as_bytes(),
            &"web".parse().unwrap(),
            &version.parse().unwrap(),
        );
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_replaced_in_place_or_appended() {
        assert_eq!(
            stamp("NAME=Debian\n", "1"),
            "NAME=Debian\nIMAGE_ID=\"web\"\nIMAGE_VERSION=\"1\"\n"
        );
        assert_eq!(stamp("", "1"), "IMAGE_ID=\"web\"\nIMAGE_VERSION=\"1\"\n");
        assert_eq!(
            stamp("NAME=Debian", "1"),
            "NAME=Debian\nIMAGE_ID=\"web\"\nIMAGE_VERSION=\"1\"\n"
        );
        assert_eq!(
            stamp(
                "IMAGE_VERSION=0\nNAME=x\nIMAGE_ID='old'\nIMAGE_ID=older\n",
                "2"
            ),
            "IMAGE_VERSION=\"2\"\nNAME=x\nIMAGE_ID=\"web\"\n"
        );
        assert_eq!(
            stamp("IMAGE_ID=old", "2"),
            "IMAGE_ID=\"web\"\nIMAGE_VERSION=\"2\"\n"
        );
        assert_eq!(
            stamp("IMAGE_IDX=1\n# IMAGE_ID=no\n", "2"),
            "IMAGE_IDX=1\n# IMAGE_ID=no\nIMAGE_ID=\"web\"\nIMAGE_VERSION=\"2\"\n"
        );
    }

    #[test]
    fn os_release_stamp_is_idempotent_and_reads_back() {
        for text in [
            "",
            "\n",
            "NAME=x",
            "IMAGE_ID=",
            "  IMAGE_ID=a\r\nIMAGE_ID=b",
            "\n\nIMAGE_VERSION=1\n\n",
        ] {
            let once = stamp(text, "1.2~rc1");
            assert_eq!(stamp(&once, "1.2~rc1"), once, "{text:?}");
            let identity = earmark_scan::identity::parse(&once);
            assert_eq!(identity.name.as_deref(), Some("web"), "{text:?}");
            assert_eq!(identity.version.as_deref(), Some("1.2~rc1"), "{text:?}");
        }
    }

    #[test]
    fn os_release_link_out_of_root_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (name, version) = ("web".parse().unwrap(), "1".parse().unwrap());
        std::fs::create_dir_all(directory.path().join("etc")).unwrap();
        std::fs::create_dir_all(directory.path().join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("/etc/os-release", directory.path().join("etc/os-release"))
            .unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert!(Stamp::of(&root, &name, &version).unwrap().is_none());
        std::fs::write(directory.path().join("usr/lib/os-release"), "NAME=x\n").unwrap();
        let stamp = Stamp::of(&root, &name, &version).unwrap().unwrap();
        assert_eq!(stamp.path.to_string(), "/usr/lib/os-release");
        assert!(stamp.changes);
    }
}

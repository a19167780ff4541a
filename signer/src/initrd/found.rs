//! Initrds that an image would boot with, compared with what its seal asks for.

use earmark_manifest::{
    declaration::Initrd, entry::Node, floor::Floor, limits, path::ImagePath, tree::TreeError,
    trust::Trust, verify::VerifiedManifest,
};
use earmark_scan::{Root, Violation, ViolationKind};

use super::{contents::Contents, cpio, program};
use crate::inspect::source::layout_path;

/// An initrd is at most this long, in bytes: some have all modules of a kernel.
const BOUND: usize = 512 * 1024 * 1024;

/// Compares the initrds in `/boot` with what the declaration asks for. `trust` and `floor` are those of the image.
///
/// Protects against an image that was baked with an initrd for another one, or with none of ours, which would power off or
/// boot at T0. Does not protect against a boot loader's entry that names another file: the host itself says
/// by which initrd it came.
pub fn violations(
    root: &Root,
    manifest: &VerifiedManifest,
    trust: &Trust,
    floor: &Floor,
) -> Vec<Violation> {
    match manifest.declaration().boot.initrd {
        Initrd::EarmarkInit => {}
        // Those are made in the guest, of its own programs: their digests are in the signed tree.
        Initrd::None | Initrd::InitramfsTools | Initrd::Dracut => return Vec::new(),
    }
    let violation = |path: ImagePath, found: String| Violation {
        path,
        kind: ViolationKind::Initrd,
        expected: "an initrd of 'earmark initrd build' for this image".to_owned(),
        found,
    };
    let initrds = match initrds(manifest) {
        Ok(initrds) => initrds,
        Err(problem) => return vec![violation(layout_path("/boot"), problem.to_string())],
    };
    if initrds.is_empty() {
        return vec![violation(layout_path("/boot"), "no initrd".to_owned())];
    }
    let problem = |path: ImagePath| {
        let problem = compare(root, &path, trust, floor)?;
        Some(violation(path, problem))
    };
    initrds.into_iter().filter_map(problem).collect()
}

/// The initrds that were signed. One that was not is an added file, and a violation already.
fn initrds(manifest: &VerifiedManifest) -> Result<Vec<ImagePath>, TreeError> {
    let mut found = Vec::new();
    for entry in manifest.tree()? {
        let entry = entry?;
        let name = entry.path.as_bytes().strip_prefix(b"boot/");
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let is_file = matches!(entry.node, Node::Regular { .. });
        if is_file && name.is_some_and(|name| !name.contains('/') && is_initrd(name)) {
            found.push(entry.path);
        }
    }
    Ok(found)
}

/// As Debian and Ubuntu (`initrd.img-6.1.0`), Fedora's relatives (`initramfs-6.1.0.img`) and SUSE name them.
fn is_initrd(name: &str) -> bool {
    let begins = ["initrd", "initramfs"]
        .iter()
        .any(|begin| name.starts_with(begin));
    // Copies and such that no entry of a boot loader's names by itself.
    let is_spare = [".bak", ".old", "kdump", "rescue"]
        .iter()
        .any(|word| name.contains(word));
    begins && !is_spare
}

/// Returns the difference between an initrd and what it should be.
fn compare(root: &Root, path: &ImagePath, trust: &Trust, floor: &Floor) -> Option<String> {
    let bytes = match root.read(path, BOUND) {
        Ok(bytes) => bytes,
        Err(error) => return Some(error.to_string()),
    };
    let archive = cpio::unpack(&bytes, BOUND).ok();
    let objects = archive
        .as_ref()
        .and_then(|archive| cpio::read(archive).ok());
    let (Some(archive), Some(objects)) = (archive, objects) else {
        return Some("an initrd of another maker".to_owned());
    };
    let Some(contents) = Contents::of(&objects) else {
        return Some("an initrd with other files than ours has".to_owned());
    };
    // Objects have no owners, links and times, of which the kernel makes something: a hard link would have one file
    // write into another.
    let rest = archive
        .strip_prefix(&*cpio::write(&objects))
        .unwrap_or(&archive);
    if rest.iter().any(|byte| *byte != 0) {
        return Some("an initrd that 'earmark initrd build' writes otherwise".to_owned());
    }
    let own = root.read(&layout_path(program::PATH), BOUND);
    if own.is_ok_and(|own| own != contents.init) {
        return Some(
            "another earmark-init than the image's package has: build the initrd again".to_owned(),
        );
    }
    let within = |bytes: &[u8], bound| bytes.len() <= bound;
    match Trust::parse(&contents.trust) {
        Ok(found) if found == *trust && within(&contents.trust, limits::TRUST) => {}
        Ok(_) | Err(_) => {
            return Some("another trust file than the image's: build the initrd again".to_owned());
        }
    }
    match Floor::parse(&contents.floor) {
        Ok(found) => floor
            .below(&found)
            .map(|less| format!("a floor above the image's: {less}")),
        Err(error) => Some(format!("a floor that cannot be used: {error}")),
    }
}

//! Check that cloud-init, where an image has it, is switched to take no code from user-data.
//!
//! For cloud-init, user-data is code. Its own switches keep it from reading any, while its network, its
//! growing of the root disk and its host keys go on. `earmark seal` refuses an image that denies it user-data
//! and does not have them, and the agent looks again at boot, before cloud-init starts.
//!
//! Protects against an image that was baked without the switches, or with a file that undoes them. The
//! files are read as lines, not as YAML: they are sealed, so that nobody but the image's own maker
//! could word them such that this is misled.

use std::io;

use crate::{Root, ScanError, root::Listed};
use earmark_manifest::path::ImagePath;

/// File that must hold the switches.
pub const SWITCH: &str = "/etc/cloud/cloud.cfg.d/99-earmark.cfg";
/// Lines that the file must have, and no others.
pub const SWITCHES: [&str; 3] = [
    "allow_userdata: false",
    "vendor_data: {enabled: false}",
    "vendor_data2: {enabled: false}",
];

/// Either is there where cloud-init is.
const PRESENT: [&str; 2] = ["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"];
/// File that switches all of cloud-init off, if it is there.
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
const DIRECTORY: &str = "etc/cloud/cloud.cfg.d";
const BOUND: usize = 1024 * 1024;

/// Returns whether there is a cloud-init that is not switched off.
pub fn is_present(root: &Root) -> Result<bool, ScanError> {
    let is_there = |path: &str| root.exists(&absolute(path)?);
    let mut is_present = false;
    for path in PRESENT {
        is_present |= is_there(path)?;
    }
    Ok(is_present && !is_there(DISABLED)?)
}

/// Finds what lets cloud-init of this root take code from user-data: a file, and what is wrong with it.
/// Nothing, if it takes none, or if there is no cloud-init.
pub fn problem(root: &Root) -> Result<Option<(ImagePath, String)>, ScanError> {
    if !is_present(root)? {
        return Ok(None);
    }
    let switch = absolute(SWITCH)?;
    let Some(text) = root.read_opt(&switch, BOUND)? else {
        return Ok(Some((switch, "no such file".to_owned())));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = || {
        // Leading blanks stay: in YAML an indented key belongs to the one above it.
        let lines = text.lines().map(str::trim_end);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    };
    if let Some(missing) = SWITCHES
        .iter()
        .find(|switch| !lines().any(|line| line == **switch))
    {
        return Ok(Some((switch, format!("without the line '{missing}'"))));
    }
    // PyYAML takes the last of two equal keys: a line behind the switches could undo one.
    if lines().any(|line| !SWITCHES.contains(&line)) {
        let found = "with an unexpected line, which is none of the switches";
        return Ok(Some((switch, found.to_owned())));
    }
    undone(root, &switch)
}

/// cloud-init merges the files in the order of their names; the last one that says something counts.
fn undone(root: &Root, switch: &ImagePath) -> Result<Option<(ImagePath, String)>, ScanError> {
    let name = switch.as_bytes().rsplit(|byte| *byte == b'/').next();
    let name = name.unwrap_or_default();
    let all = root
        .list(DIRECTORY)
        .map_err(|errno| failed("list", DIRECTORY, errno.into()))?;
    for Listed { name: later, .. } in all.unwrap_or_default() {
        if later.as_slice() <= name || !later.ends_with(b".cfg") {
            continue;
        }
        let path = [DIRECTORY.as_bytes(), &later].join(&b'/');
        let path = ImagePath::from_relative(&path)
            .map_err(|error| failed("name", DIRECTORY, io::Error::other(error)))?;
        // A link that cloud-init would follow is an error here, and so a doubt.
        let text = root.read(&path, BOUND)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        // `vendor_data2`, too.
        let words = ["allow_userdata", "vendor_data"];
        if let Some(word) = words.into_iter().find(|word| text.contains(word)) {
            let found = format!("the file is read after the switches and sets '{word}'");
            return Ok(Some((path, found)));
        }
    }
    Ok(None)
}

fn absolute(path: &str) -> Result<ImagePath, ScanError> {
    ImagePath::from_absolute(path.as_bytes())
        .map_err(|error| failed("name", path, io::Error::other(error)))
}

fn failed(what: &'static str, place: &str, cause: io::Error) -> ScanError {
    ScanError {
        what,
        place: place.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    use super::*;

    const BIN: &str = "usr/bin/cloud-init";
    const OURS: &str = "etc/cloud/cloud.cfg.d/99-earmark.cfg";

    fn found(files: &[(&str, &str)]) -> Option<String> {
        let root = TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::open(Path::new(root.path())).unwrap();
        problem(&root)
            .unwrap()
            .map(|(path, found)| format!("{path}: {found}"))
    }

    fn switches() -> String {
        format!("# No code.\n{}\n", SWITCHES.join("\n"))
    }

    #[test]
    fn image_without_active_cloud_init_needs_no_switch() {
        assert_eq!(found(&[]), None);
        let disabled = ("etc/cloud/cloud-init.disabled", "");
        assert_eq!(found(&[(BIN, ""), disabled]), None);
    }

    #[test]
    fn cloud_init_switches_missing_partial_or_overridden_are_reported() {
        let switches = switches();
        let ours = (OURS, switches.as_str());
        assert_eq!(found(&[(BIN, ""), ours]), None);
        // Ahead of it, or no configuration, it may say what it likes.
        let before = (
            "etc/cloud/cloud.cfg.d/90-vendor.cfg",
            "allow_userdata: true\n",
        );
        let backup = (
            "etc/cloud/cloud.cfg.d/99-z.cfg.bak",
            "allow_userdata: true\n",
        );
        let after = ("etc/cloud/cloud.cfg.d/99-network.cfg", "network: {}\n");
        assert_eq!(found(&[(BIN, ""), before, ours, after, backup]), None);

        for (files, said) in [
            (vec![(BIN, "")], "no such file"),
            (vec![("etc/cloud/cloud.cfg", "")], "no such file"),
            (
                vec![(BIN, ""), (OURS, "allow_userdata: false\n")],
                "vendor_data",
            ),
            (
                vec![(BIN, ""), (OURS, "#allow_userdata: false\n")],
                "allow_userdata",
            ),
            (
                vec![
                    (BIN, ""),
                    ours,
                    ("etc/cloud/cloud.cfg.d/99-z.cfg", "allow_userdata: true\n"),
                ],
                "/etc/cloud/cloud.cfg.d/99-z.cfg: the file is read after",
            ),
        ] {
            let found = found(&files).unwrap_or_default();
            assert!(found.contains(said), "{found}");
        }
        let undone = format!("{switches}allow_userdata: true\n");
        let found = found(&[(BIN, ""), (OURS, &undone)]).unwrap();
        assert!(found.contains("an unexpected line"), "{found}");
    }
}

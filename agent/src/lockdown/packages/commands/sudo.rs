//! The search path that sudo gives to what it runs.
//!
//! Read as `sshd_config` is: a line that sudo may act upon for anybody counts. Of lines for all, sudo takes the last. Files
//! that sudoers includes by other names than `sudoers.d` are not seen.

use super::super::super::{item::Unseen, look::Look};

const FILE: &str = "/etc/sudoers";
const DIRECTORY: &str = "/etc/sudoers.d";
/// Directories that are one on a host whose `/usr/sbin` is a link.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Returns a `secure_path` of sudo's that comes to programs before it comes to this directory; nothing, if there is none.
pub(super) fn path_that_passes_over(
    look: &Look<'_>,
    directory: &str,
) -> Result<Option<String>, Unseen> {
    let passes_over = |path: &String| {
        let mut names = path.split(':').map(|name| name.trim_end_matches('/'));
        let first =
            names.find(|name| PROGRAMS.contains(name) || name.trim_start_matches('/') == directory);
        first.is_none_or(|name| PROGRAMS.contains(&name))
    };
    let mut for_all = None;
    let mut for_some = Vec::new();
    for file in files(look)? {
        let text = look.text_through_links(&file)?.unwrap_or_default();
        for (is_for_all, path) in settings(&text) {
            if is_for_all {
                for_all = path;
            } else {
                for_some.extend(path);
            }
        }
    }
    let mut paths = for_all.into_iter().chain(for_some);
    Ok(paths.find(passes_over))
}

/// The files of sudoers, in sudo's order.
fn files(look: &Look<'_>) -> Result<Vec<String>, Unseen> {
    let names = look.list(DIRECTORY)?.unwrap_or_default();
    let names = names.into_iter().map(|(name, _)| name);
    // As sudo does, which leaves out what package managers and editors leave behind.
    let mut names: Vec<String> = names
        .filter(|name| !name.contains('.') && !name.ends_with('~'))
        .collect();
    names.sort_unstable();
    let beneath = names.into_iter().map(|name| format!("{DIRECTORY}/{name}"));
    Ok([FILE.to_owned()].into_iter().chain(beneath).collect())
}

/// Each setting of the path: whether it is for all, and the path, if it is not taken away.
fn settings(text: &str) -> Vec<(bool, Option<String>)> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix("Defaults") else {
            continue;
        };
        let is_for_all = rest.starts_with(char::is_whitespace);
        let Some((before, value)) = rest.split_once("secure_path") else {
            continue;
        };
        if before.contains('#') {
            continue;
        }
        if before.trim_end().ends_with('!') {
            found.push((is_for_all, None));
            continue;
        }
        let value = value
            .trim_start()
            .trim_start_matches(['+', '='])
            .trim_start();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.split('"').next());
        let bare = || {
            value
                .split([',', ' ', '\t', '#'])
                .next()
                .unwrap_or_default()
        };
        let path = quoted.unwrap_or_else(bare);
        found.push((is_for_all, Some(path.to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn passed_over(files: &[(&str, &str)]) -> Option<String> {
        let root = TestRoot::bare();
        for (path, text) in files {
            root.write(path, text.as_bytes());
        }
        let root = root.open();
        path_that_passes_over(&Look::new(&root), "usr/local/bin").unwrap()
    }

    const RHEL: &str = "/sbin:/bin:/usr/sbin:/usr/bin";
    const FEDORA: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

    #[test]
    fn secure_path_that_comes_to_programs_first_is_found() {
        assert_eq!(passed_over(&[]), None);
        for (line, is_found) in [
            (format!("Defaults    secure_path = {RHEL}"), true),
            (format!("Defaults secure_path=\"{RHEL}\""), true),
            (
                format!("Defaults env_reset, secure_path = {RHEL}, !lecture"),
                true,
            ),
            (format!("Defaults \\\n secure_path = {RHEL}"), true),
            (format!("Defaults:ec2-user secure_path = {RHEL}"), true),
            (format!("Defaults secure_path = /opt/bin:{RHEL}"), true),
            ("Defaults secure_path = /opt/bin".to_owned(), true),
            (format!("# Defaults secure_path = {RHEL}"), false),
            (format!("Defaults env_reset # secure_path = {RHEL}"), false),
            (format!("Defaults secure_path = {FEDORA}"), false),
            ("Defaults !secure_path".to_owned(), false),
            ("ops ALL=(ALL) ALL".to_owned(), false),
        ] {
            let found = passed_over(&[("/etc/sudoers", &line)]);
            assert_eq!(found.is_some(), is_found, "{line}: {found:?}");
        }
    }

    #[test]
    fn last_secure_path_for_all_is_the_one_that_counts() {
        let [rhel, fedora] = [RHEL, FEDORA].map(|path| format!("Defaults secure_path = {path}\n"));
        let both = |first: &str, last: &str| {
            passed_over(&[("/etc/sudoers", first), ("/etc/sudoers.d/90-path", last)])
        };
        assert_eq!(both(&rhel, &fedora), None);
        assert_eq!(both(&fedora, &rhel).as_deref(), Some(RHEL));
        // A name that sudo leaves out.
        let left_out = [
            ("/etc/sudoers", &*fedora),
            ("/etc/sudoers.d/x.rpmsave", &*rhel),
        ];
        assert_eq!(passed_over(&left_out), None);
        // What is for some is not taken back by what is for all.
        let some = format!("Defaults:ops secure_path = {RHEL}\n");
        assert_eq!(both(&some, &fedora).as_deref(), Some(RHEL));
    }
}

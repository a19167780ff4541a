//! Becomes the program that this one stands in for.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Search path of a shell without `$PATH`.
const PATH: &str = "/usr/bin:/bin";
/// Exit codes of shells for a program that is not found, and for one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Runs, in the place of this process, what would have been run by this name without it. Environment and
/// arguments are the caller's: he asked for that program. Returns only if there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "a part of the helper that starts processes"
)]
pub fn hand_over(name: &OsStr, arguments: &[OsString]) -> ExitCode {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let ours = std::env::current_exe().ok();
    let ours = ours.as_deref().and_then(Path::file_name);
    let Some(program) = find(name, &path, ours.unwrap_or("earmark-agent".as_ref())) else {
        complain!("{}: command not found", name.display());
        return NOT_FOUND.into();
    };
    let error = Command::new(&program).arg0(name).args(arguments).exec();
    complain!("{}: {error}", program.display());
    let is_missing = error.kind() == ErrorKind::NotFound;
    if is_missing { NOT_FOUND } else { NOT_RUN }.into()
}

/// The next program of this name behind our own link: one before it could be a wrapper that led here,
/// and would again. Without a link on the path, the first.
fn find(name: &OsStr, path: &OsStr, ours: &OsStr) -> Option<PathBuf> {
    // An empty or relative entry of $PATH means the current directory, where anybody can have left a program.
    let all: Vec<PathBuf> = std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .collect();
    // A link that leads here has our name at its end, whatever it is called.
    let is_ours =
        |path: &PathBuf| fs::canonicalize(path).is_ok_and(|found| found.file_name() == Some(ours));
    let start = all
        .iter()
        .position(is_ours)
        .map_or(0, |at| at.saturating_add(1));
    let is_program = |path: &&PathBuf| {
        fs::metadata(path).is_ok_and(|found| {
            found.is_file() && found.permissions().mode() & 0o111 != 0 && !is_ours(path)
        })
    };
    all.iter().skip(start).find(is_program).cloned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn hand_over_finds_the_next_program_of_the_name_and_never_itself() {
        let root = TempDir::new().unwrap();
        let at = |path: &str| root.path().join(path);
        let program = |path: &str, mode| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
            fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        program("bin/earmark-agent", 0o755);
        program("first/apt", 0o755);
        program("plain/apt", 0o644);
        program("bin/apt", 0o755);
        program("bin/dnf", 0o755);
        fs::create_dir(at("sbin")).unwrap();
        symlink("../bin/earmark-agent", at("sbin/apt")).unwrap();
        symlink("../bin/earmark-agent", at("sbin/yum")).unwrap();
        let found = |name: &str, directories: &[&str]| {
            let path = std::env::join_paths(directories.iter().map(|name| at(name))).unwrap();
            let found = find(name.as_ref(), &path, "earmark-agent".as_ref())?;
            Some(found.strip_prefix(root.path()).unwrap().to_owned())
        };
        let bin = |name: &str| Some(Path::new("bin").join(name));
        assert_eq!(found("apt", &["first", "sbin", "plain", "bin"]), bin("apt"));
        assert_eq!(found("apt", &["sbin", "sbin", "bin"]), bin("apt"));
        assert_eq!(found("dnf", &["sbin", "bin"]), bin("dnf"));
        assert_eq!(found("apt", &["first", "bin"]), Some("first/apt".into()));
        assert_eq!(found("yum", &["sbin", "bin"]), None);
        assert_eq!(found("apt", &["sbin", "plain"]), None);
    }
}

//! Names that tell code and configuration wherever they are, whatever program they are of.
//!
//! For proposals alone: a person may class such a path, and then the table of places is what counts.

use earmark_manifest::path::ImagePath;

use super::places::{ACCOUNTS, CODE, CONFIGURED, PROGRAMS, STARTS};

/// Names that let somebody in wherever they are, as whole components.
const ACCESS: &[&str] = &[
    ".ssh",
    "authorized_keys",
    "authorized_keys2",
    "authorized_keys.d",
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".rhosts",
    ".shosts",
];

/// Names of what a shell, an interpreter or a tool that root starts reads code from, as whole components.
#[rustfmt::skip]
const READ: &[&str] = &[
    // Shells.
    ".bash_login", ".bash_logout", ".bash_aliases", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc",
    ".tcshrc", ".login", ".logout", ".inputrc", ".env", ".envrc", ".pam_environment", ".xinitrc", ".xsession",
    ".xprofile", ".k5login",
    // Homes of tools: ~/.config has user units and autostart, ~/.local has programs and modules of Python.
    ".config", ".local", ".git", ".hg", ".svn", ".githooks", ".gitconfig", ".vim", ".vimrc", ".exrc", ".emacs",
    ".emacs.d", ".forward", ".procmailrc", ".mailcap", ".screenrc", ".pdbrc", ".irbrc", ".gdbinit", ".npmrc", ".psqlrc",
    ".sqliterc", ".lesskey", ".ansible",
    // Elsewhere.
    "crontab", "crontabs", "daemon.json", "Makefile", "Dockerfile", "Containerfile",
];

/// Names of directories that hold programs, or what programs load or start.
#[rustfmt::skip]
const DIRECTORIES: &[&str] = &[
    "bin", "sbin", "lib64", "libexec", "site-packages", "dist-packages", "node_modules", "cgi-bin", "hooks", "plugin",
    "plugins", "extensions", "modules", "scripts", "playbooks", "recipes", "manifests", "init", "dispatcher",
    "generators", "renewal-hooks",
];

/// Names that end like this are units, or code that an interpreter reads without an executable bit or `#!`.
#[rustfmt::skip]
const ENDINGS: &[&str] = &[
    // Units and their like.
    ".service", ".socket", ".timer", ".path", ".mount", ".automount", ".target", ".slice", ".scope", ".swap", ".preset",
    ".link", ".network", ".netdev", ".nspawn", ".desktop", ".rules", ".hook", ".fact", ".policy", ".pkla", ".cil", ".pp",
    ".cron", ".repo", ".sources",
    // Scripts.
    ".sh", ".bash", ".zsh", ".ksh", ".csh", ".fish", ".py", ".pyc", ".pyo", ".pyd", ".pyz", ".pth", ".egg", ".whl", ".pl",
    ".pm", ".rb", ".erb", ".rake", ".gem", ".js", ".mjs", ".cjs", ".ts", ".lua", ".php", ".phar", ".phtml", ".awk", ".tcl",
    ".el", ".elc", ".scm", ".cgi", ".fcgi", ".jsp", ".groovy", ".gradle", ".j2", ".mk",
    // Programs, libraries and packages of them.
    ".jar", ".class", ".war", ".wasm", ".so", ".ko", ".efi", ".a", ".o", ".dll", ".exe", ".run", ".deb", ".rpm", ".snap",
    ".apk",
];

/// Endings of configuration, wherever it is: whatever program reads it may be told there to start or load another.
const CONFIGURATION: &[&str] = &[".conf", ".cfg", ".cnf", ".ini", ".hcl", ".env"];

/// Endings that are data's elsewhere, and configuration's where configuration and homes are.
#[rustfmt::skip]
const ALSO_DATA: &[&str] = &[".json", ".yaml", ".yml", ".toml", ".xml", ".properties", ".config", "rc"];

/// Configuration by its name that starts nothing: each lease of an address rewrites it.
const NOT: &[&[u8]] = &[b"etc/resolv.conf"];

/// Places in which such a file is configuration.
const HOMES: &[&[u8]] = &[b"etc/", b"root/", b"home/"];

/// Returns why nothing is proposed for a path of this name; none, if its name says nothing.
pub(super) fn why(path: &ImagePath) -> Option<&'static str> {
    let whole = path.as_bytes();
    if is_access(whole) {
        return Some(ACCOUNTS);
    }
    // Software of no distribution lies in /opt, its data in /var/opt (FHS).
    if whole == b"opt" || whole.starts_with(b"opt/") {
        return Some(PROGRAMS);
    }
    let is_one_of = |all: &[&str], name: &[u8]| all.iter().any(|one| one.as_bytes() == name);
    let mut names = whole.split(|byte| *byte == b'/');
    if names.any(|name| is_one_of(READ, name) || is_one_of(DIRECTORIES, name) || is_drop_in(name)) {
        return Some(STARTS);
    }
    let ends = |all: &[&str]| all.iter().any(|ending| whole.ends_with(ending.as_bytes()));
    // `libx.so.1`, whatever follows.
    if ends(ENDINGS) || whole.windows(4).any(|part| part == b".so.") {
        return Some(CODE);
    }
    if NOT.contains(&whole) {
        return None;
    }
    let is_at_home = HOMES.iter().any(|home| whole.starts_with(home));
    (ends(CONFIGURATION) || (is_at_home && ends(ALSO_DATA))).then_some(CONFIGURED)
}

/// Returns whether a name in a path lets somebody in.
pub(super) fn is_access(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    names.any(|name| ACCESS.iter().any(|one| one.as_bytes() == name))
}

/// `x.d`, in which each file is configuration by being there.
fn is_drop_in(name: &[u8]) -> bool {
    name.len() > 2 && name.ends_with(b".d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_configuration_are_told_by_their_names_and_data_is_not() {
        let why = |path: &str| why(&ImagePath::from_absolute(path.as_bytes()).unwrap());
        for path in [
            "/opt/acme/etc/agent",
            "/opt/acme",
            "/srv/app/bin/tool",
            "/srv/app/.git/config",
            "/srv/app/hooks/post-update",
            "/var/lib/acme/plugins/x",
            "/var/lib/acme/acme.conf",
            "/var/lib/acme/conf.d/x",
            "/var/lib/acme/libx.so.1.2",
            "/etc/acme/acme.yaml",
            "/etc/acmerc",
            "/root/.vimrc",
            "/root/.config/x",
            "/root/.local/x",
            "/root/job.json",
            "/home/web/.zshenv",
            "/srv/x/.env",
            "/var/lib/acme/run.groovy",
        ] {
            assert!(why(path).is_some(), "{path}");
        }
        for path in [
            "/etc/motd",
            "/etc/adjtime",
            "/etc/ssh/moduli",
            "/etc/resolv.conf",
            "/var/lib/acme/state.json",
            "/var/lib/acme/db",
            "/srv/data/x.xml",
            "/var/opt/acme/data",
            "/root/notes",
            "/var/lib/binary/x",
            "/srv/d/x",
        ] {
            assert_eq!(why(path), None, "{path}");
        }
    }
}

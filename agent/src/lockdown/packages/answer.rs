//! Answer of a package manager on a host that is an immutable image: one line that says so, if it was
//! asked for a change.
//!
//! The agent's package has links in `/usr/sbin`, which comes before `/usr/bin` wherever root looks for
//! programs, also under sudo. Run by such a name, this program answers, or hands over to the program of
//! that name which would have been run without it: to a question, on a host whose image leaves
//! `packages` open, on a host that is not locked down yet, and while an image is baked.
//!
//! This tells people. It stops nobody who is root and means it: he names the program by its path. What
//! keeps it from changing anything is the lock `filesystems`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

use earmark_scan::Root;

use crate::{
    exec,
    exit::Exit,
    status::{
        model::{DeclaredLock, LockState, LockdownStatus},
        record,
        summary::clean,
    },
};

/// Programs that understand the same.
struct Program {
    names: &'static [&'static str],
    /// Words or options that ask for a change, wherever they stand. Somebody who searches for one of
    /// them is answered, too: that costs a search.
    changes: &'static [&'static str],
    /// Beginnings of an option that does, with letters after it.
    clusters: &'static [&'static str],
    /// Beside one of these it is a question all the same.
    questions: &'static [&'static str],
}

/// All that are answered for. The package has a link for each name.
const PROGRAMS: [Program; 6] = [
    Program {
        names: &["apt", "apt-get", "aptitude"],
        changes: &[
            "install",
            "reinstall",
            "satisfy",
            "build-dep",
            "remove",
            "purge",
            "autoremove",
            "autopurge",
            "update",
            "upgrade",
            "safe-upgrade",
            "full-upgrade",
            "dist-upgrade",
            "dselect-upgrade",
            "edit-sources",
        ],
        clusters: &[],
        // Agents count by these what is out of date.
        questions: &["-s", "--simulate", "--just-print", "--dry-run", "--no-act"],
    },
    Program {
        names: &["dpkg"],
        changes: &[
            "-i",
            "--install",
            "--unpack",
            "--configure",
            "--triggers-only",
            "-r",
            "--remove",
            "-P",
            "--purge",
            "--set-selections",
            "--clear-selections",
            "--add-architecture",
            "--remove-architecture",
        ],
        clusters: &[],
        questions: &["--simulate", "--dry-run", "--no-act"],
    },
    Program {
        names: &["dnf", "microdnf", "yum"],
        changes: &[
            "install",
            "localinstall",
            "groupinstall",
            "reinstall",
            "remove",
            "erase",
            "autoremove",
            "update",
            "upgrade",
            "update-minimal",
            "upgrade-minimal",
            "downgrade",
            "distro-sync",
            "swap",
            "system-upgrade",
            "offline-upgrade",
            "config-manager",
        ],
        clusters: &[],
        questions: &["--assumeno", "updateinfo"],
    },
    Program {
        names: &["rpm"],
        changes: &[
            "--install",
            "--upgrade",
            "--freshen",
            "--erase",
            "--reinstall",
            "--import",
            "--initdb",
            "--rebuilddb",
            "--restore",
            "--setperms",
            "--setugids",
        ],
        clusters: &["-i", "-U", "-F", "-e"],
        // `-i` beside these is for information.
        questions: &["-q", "--query", "-V", "--verify", "--test"],
    },
    Program {
        names: &["flatpak", "snap"],
        changes: &[
            "install",
            "uninstall",
            "remove",
            "refresh",
            "update",
            "revert",
            "enable",
            "disable",
            "try",
        ],
        clusters: &[],
        questions: &["--list"],
    },
    Program {
        names: &["gem", "pip", "pip3"],
        changes: &["install", "uninstall", "update"],
        clusters: &[],
        questions: &[],
    },
];

/// The names of all programs that are answered for.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().flat_map(|program| program.names).copied()
}

/// Returns whether this program was run by the name of a package manager.
pub fn is_answered(name: &OsStr) -> bool {
    names().any(|known| name == known)
}

/// Answers, or hands over.
pub fn run(name: &OsStr, arguments: &[OsString]) -> ExitCode {
    if is_change(name, arguments)
        && let Some(image) = locked_image()
    {
        complain!("{}", line(name, &image));
        return Exit::Lockdown.into();
    }
    exec::hand_over(name, arguments)
}

fn line(name: &OsStr, image: &str) -> String {
    clean(&format!(
        "{}: this host is the immutable image {image}: to change it, bake a new version and replace \
         the host (see 'earmark-agent status')",
        name.display()
    ))
}

/// The image of this host, if it denies that packages are changed, and is locked down. Where there is no
/// record nothing is known to be denied, as while an image is baked.
fn locked_image() -> Option<String> {
    let root = Root::open(Path::new("/")).ok()?;
    // The background service can forge this record; all that hangs on it is a sentence. The lock is the read-only root.
    let status = record::read(&root).ok()??;
    let is_denied = status.lockdown.as_ref().is_some_and(denies);
    is_denied.then(|| record::image(&root))
}

fn denies(lockdown: &LockdownStatus) -> bool {
    let mut locks = lockdown.locks.iter();
    locks.any(|lock| {
        lock.lock == "packages"
            && lock.declared == DeclaredLock::Deny
            && lock.state != LockState::Granted
    })
}

fn is_change(name: &OsStr, arguments: &[OsString]) -> bool {
    let Some(program) = PROGRAMS
        .iter()
        .find(|program| program.names.iter().any(|known| name == *known))
    else {
        return false;
    };
    // What is not UTF-8 is no word or option of any of them.
    let words: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .collect();
    // What follows is another program's.
    if words.first() == Some(&"run") {
        return false;
    }
    let asks = |word: &&str| {
        ["-h", "--help", "--version"].contains(word)
            || program
                .questions
                .iter()
                .any(|question| is_of(question, word))
    };
    // `-h` draws a bar while rpm installs.
    let asks = |word: &&str| asks(word) && !(name == "rpm" && **word == *"-h");
    let changes = |word: &&str| {
        let mut clusters = program.clusters.iter();
        program.changes.contains(word) || clusters.any(|start| word.starts_with(start))
    };
    !words.iter().any(asks) && words.iter().any(changes)
}

/// Returns whether a word is this option, or a cluster that begins with it, such as `-qi`.
fn is_of(option: &str, word: &str) -> bool {
    let is_short = option.len() == 2;
    word == option || is_short && option != "-s" && word.starts_with(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(expected: bool, lines: &[&str]) {
        for line in lines {
            let mut words = line.split(' ').map(OsString::from);
            let name = words.next().unwrap();
            let words = words.collect::<Vec<_>>();
            assert_eq!(is_change(&name, &words), expected, "{line}");
        }
    }

    #[test]
    fn changing_package_commands_are_classified_as_changes() {
        all_are(
            true,
            &[
                "apt install nginx",
                "apt -y install nginx",
                "apt-get -qq update",
                "apt-get -o x=y dist-upgrade",
                "aptitude safe-upgrade",
                "dpkg -i nginx.deb",
                "dpkg --purge nginx",
                "dpkg --configure -a",
                "dnf install nginx",
                "dnf -y upgrade",
                "dnf module install nodejs",
                "yum localinstall nginx.rpm",
                "microdnf remove nginx",
                "rpm -i nginx.rpm",
                "rpm -ivh nginx.rpm",
                "rpm -i -h nginx.rpm",
                "rpm -Uvh nginx.rpm",
                "rpm -e nginx",
                "rpm --import key.asc",
                "snap install lxd",
                "snap refresh",
                "flatpak update",
                "pip install requests",
                "pip3 -q install -r list",
                "gem install rails",
            ],
        );
    }

    #[test]
    fn package_queries_and_other_commands_are_not_classified_as_changes() {
        all_are(
            false,
            &[
                "apt",
                "apt list --installed",
                "apt install --help",
                "apt-get -s upgrade",
                "apt-get --simulate dist-upgrade",
                "apt-get --version",
                "dpkg -l",
                "dpkg -S /usr/sbin/nginx",
                "dpkg --compare-versions 1.0 lt 2.0",
                "dpkg --print-architecture",
                "dnf list installed",
                "dnf check-update",
                "dnf updateinfo list",
                "yum repolist",
                "rpm -qa",
                "rpm -qi nginx",
                "rpm -q -i nginx",
                "rpm -Va",
                "rpm --version",
                "snap list",
                "snap refresh --list",
                // What the unit of a snap starts.
                "snap run amazon-ssm-agent install",
                "flatpak run org.x.Y install",
                "pip list",
                "pip3 freeze",
                "pip install --help",
                "gem list",
                // Nobody's business here.
                "ls install",
            ],
        );
    }

    #[test]
    fn package_answer_line_names_the_image_and_the_remedy() {
        assert_eq!(
            line(OsStr::new("apt"), "web 1.4.2"),
            "apt: this host is the immutable image web 1.4.2: to change it, bake a new version and \
             replace the host (see 'earmark-agent status')"
        );
    }

    /// A name without its link is never asked.
    #[test]
    fn package_ships_a_stand_in_link_for_each_command() {
        let table = include_str!("../../../../xtask/src/package/table.rs");
        let linked = |name: &str| table.contains(&format!("stand_in(\"/usr/sbin/{name}\")"));
        for name in names() {
            assert!(linked(name), "{name}");
            assert!(is_answered(OsStr::new(name)), "{name}");
        }
        assert_eq!(table.matches("stand_in(\"").count(), names().count());
        assert!(!is_answered(OsStr::new("ls")));
    }

    #[test]
    fn packages_are_denied_as_the_status_record_declares() {
        let lock = |declared: &str| {
            let record = serde_json::json!({ "is_enforced": true, "locks": [
                { "lock": "packages", "declared": declared, "state": "enforced" },
                { "lock": "kernel", "declared": "deny", "state": "enforced" },
            ] });
            denies(&serde_json::from_value(record).unwrap())
        };
        assert!(lock("deny"));
        assert!(!lock("allow"));
    }
}

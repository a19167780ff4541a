//! Links that stand in for package managers, and whether root's path has them before the programs.
//!
//! The package has them in `/usr/sbin`. Where that is a link to `bin` (Fedora 42, Amazon Linux 2027), `/usr/sbin/dnf` is dnf
//! itself and nothing stands before it there: the package makes them in `/usr/local/bin`, which the service manager,
//! login shells and sshd of such a host have before `/usr/bin`. What `sudo` has before it is for `/etc/sudoers` to say:
//! a host whose administrators would get no answer under sudo has not shut this item.

use super::{
    super::{
        cause::Probe,
        item::{Item, Seen, Strength, Unseen},
        look::{Look, few},
    },
    answer,
};

mod sudo;

/// Directory of the package managers that the agent answers for.
const PROGRAMS: &str = "usr/bin";
/// Directory of the links that stand in for them, where it is one of its own.
const BESIDE: Place = Place {
    directory: "usr/sbin",
    target: "../bin/earmark-agent",
};
/// That of a host whose `/usr/sbin` is a link. Its target is absolute: `/usr/local` may be a link as well.
const BEFORE: Place = Place {
    directory: "usr/local/bin",
    target: "/usr/bin/earmark-agent",
};

/// Where the links are, as the scripts of the packages make them.
struct Place {
    directory: &'static str,
    /// Target of each link.
    target: &'static str,
}

pub(super) fn item(look: &Look<'_>) -> Item {
    let place = place(look);
    // Where it cannot be told, the item says so by its state.
    let directory = place.as_ref().map_or(BESIDE.directory, |at| at.directory);
    Item::new(
        Probe::Commands,
        "commands",
        "answered for",
        format!("links in /{directory}"),
        place
            .and_then(|place| answers(look, &place))
            .unwrap_or_else(Seen::from),
    )
}

fn place(look: &Look<'_>) -> Result<Place, Unseen> {
    let is_link = look.link(BESIDE.directory)?.is_some();
    Ok(if is_link { BEFORE } else { BESIDE })
}

/// Checks that each package manager that is there has a link to the agent.
fn answers(look: &Look<'_>, place: &Place) -> Result<Seen, Unseen> {
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    for name in answer::names() {
        if !look.exists(&format!("{PROGRAMS}/{name}"))? {
            continue;
        }
        let link = look.link(&format!("{}/{name}", place.directory))?;
        // A link to another program counts as none: root's path would find that one first.
        let is_ours = link.as_deref() == Some(place.target);
        let names = if is_ours { &mut answered } else { &mut silent };
        names.push(name.to_owned());
    }
    if !silent.is_empty() {
        return Ok(Seen::Open(format!("no answer for {}", few(&silent))));
    }
    if answered.is_empty() {
        return Ok(Seen::Absent("no package manager".to_owned()));
    }
    if place.directory == BEFORE.directory
        && let Some(path) = sudo::path_that_passes_over(look, place.directory)?
    {
        let path = few(&[path]);
        let found = format!("no answer under sudo: its secure_path is {path}");
        return Ok(Seen::Open(found));
    }
    Ok(Seen::Shut(Strength::Reversible, few(&answered)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn seen(root: &TestRoot) -> Seen {
        let root = root.open();
        let look = Look::new(&root);
        let place = place(&look).unwrap();
        answers(&look, &place).unwrap()
    }

    fn shut(names: &str) -> Seen {
        Seen::Shut(Strength::Reversible, names.to_owned())
    }

    fn open(found: &str) -> Seen {
        Seen::Open(found.to_owned())
    }

    #[test]
    fn installed_package_manager_without_a_stand_in_command_is_open() {
        let root = TestRoot::bare();
        assert!(matches!(seen(&root), Seen::Absent(_)));
        root.write("/usr/bin/apt", b"");
        root.write("/usr/bin/dpkg", b"");
        root.link("/usr/sbin/apt", "../bin/earmark-agent");
        assert_eq!(seen(&root), open("no answer for dpkg"));
        root.link("/usr/sbin/dpkg", "/bin/true");
        assert_eq!(seen(&root), open("no answer for dpkg"));
        root.remove("/usr/sbin/dpkg");
        root.link("/usr/sbin/dpkg", "../bin/earmark-agent");
        assert_eq!(seen(&root), shut("apt, dpkg"));
        // What a host with two directories has elsewhere is no stand-in: sudo of RHEL 9 does not look there.
        root.remove("/usr/sbin/dpkg");
        root.link("/usr/local/bin/dpkg", "/usr/bin/earmark-agent");
        assert_eq!(seen(&root), open("no answer for dpkg"));
    }

    #[test]
    fn stand_ins_of_a_host_with_one_directory_of_programs_lie_before_it() {
        let root = TestRoot::bare();
        root.write("/usr/bin/earmark-agent", b"");
        root.write("/usr/bin/dnf5", b"");
        root.link("/usr/bin/dnf", "dnf5");
        root.write("/usr/bin/rpm", b"");
        root.link("/usr/sbin", "bin");
        // The programs, and nothing before them.
        assert_eq!(seen(&root), open("no answer for dnf, rpm"));
        root.link("/usr/local/bin/dnf", "/usr/bin/earmark-agent");
        assert_eq!(seen(&root), open("no answer for rpm"));
        root.link("/usr/local/bin/rpm", "/usr/bin/true");
        assert_eq!(seen(&root), open("no answer for rpm"));
        root.remove("/usr/local/bin/rpm");
        root.link("/usr/local/bin/rpm", "/usr/bin/earmark-agent");
        assert_eq!(seen(&root), shut("dnf, rpm"));

        let path = "/sbin:/bin:/usr/sbin:/usr/bin";
        root.write(
            "/etc/sudoers",
            format!("Defaults secure_path = {path}\n").as_bytes(),
        );
        let found = format!("no answer under sudo: its secure_path is {path}");
        assert_eq!(seen(&root), open(&found));
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        root.write(
            "/etc/sudoers.d/path",
            format!("Defaults secure_path = {path}\n").as_bytes(),
        );
        assert_eq!(seen(&root), shut("dnf, rpm"));
    }

    #[test]
    fn place_of_the_stand_ins_is_what_the_item_says_it_looked_at() {
        let looked = |root: &TestRoot| {
            let root = root.open();
            item(&Look::new(&root)).probe
        };
        let root = TestRoot::bare();
        assert_eq!(looked(&root), "links in /usr/sbin");
        root.link("/usr/sbin", "bin");
        assert_eq!(looked(&root), "links in /usr/local/bin");
    }
}

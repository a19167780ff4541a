//! Contents of the packages.

/// A package: what it is called, what it says of itself, what it has, and what it does once it is
/// there.
#[derive(Debug)]
pub struct Package {
    /// Also the name of its program.
    pub name: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub items: &'static [Item],
    pub service: Option<&'static Service>,
    /// The oldest C library that it runs with; none, if it is linked statically.
    pub libc: Option<&'static str>,
}

/// Units that the agent's package switches on, and the systemd that it needs. Its program is static: there is
/// nothing else that the package would need.
#[derive(Debug)]
pub struct Service {
    /// The oldest systemd that knows every directive of the units.
    pub systemd: &'static str,
    /// The units that are switched on, as presets say, when the package is first installed.
    pub units: &'static str,
}

/// A file, link or directory of a package. All belong to root.
#[derive(Debug)]
pub struct Item {
    pub path: &'static str,
    pub mode: u32,
    pub source: Source,
}

#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The program of the package.
    Program,
    /// Another program of the workspace, which the package brings along.
    Other(&'static str),
    /// A file of the workspace.
    File(&'static str),
    /// The manual page, of this section, of the package's program.
    Manual(u8),
    /// A symbolic link to there. Its mode is the kernel's.
    Link(&'static str),
    /// A symbolic link that answers for the program of its name, which is what root's path has first.
    StandIn,
    Directory,
}

/// Target of every [`Source::StandIn`].
pub const STAND_IN_TARGET: &str = "../bin/earmark-agent";

/// All packages.
pub const PACKAGES: &[Package] = &[
    Package {
        name: "earmark",
        summary: "stamps machine images with a signed manifest",
        description: "The signer: scans a baked root, signs a manifest of every file in it, and installs \
            that seal. It belongs in release CI, not on a host.",
        items: &[
            item("/usr/bin/earmark", 0o755, Source::Program),
            item("/usr/share/man/man1/earmark.1.gz", 0o644, Source::Manual(1)),
            item("/usr/share/doc/earmark", 0o755, Source::Directory),
            copyright("/usr/share/doc/earmark/copyright"),
        ],
        service: None,
        // That of Amazon Linux 2023; Debian 12 and Ubuntu 22.04 have a newer one.
        libc: Some("2.34"),
    },
    Package {
        name: "earmark-agent",
        summary: "verifies at boot that a host is the image that was signed",
        description: "The agent: part of a machine image, and sealed with it. Installing it changes \
            nothing on a host that runs; it acts from the next boot on.",
        items: &[
            item("/usr/bin/earmark-agent", 0o755, Source::Program),
            // One program, so that one file has to be verified; it looks at the name it is run by.
            item(
                "/usr/lib/systemd/system-generators/earmark-generator",
                0o777,
                Source::Link("../../../bin/earmark-agent"),
            ),
            // For the initrd that 'earmark initrd build' makes. Nothing of a running host starts it.
            item("/usr/lib/earmark", 0o755, Source::Directory),
            item(
                "/usr/lib/earmark/earmark-init",
                0o755,
                Source::Other("earmark-init"),
            ),
            // It answers in the place of package managers: root's path has this directory before
            // theirs, also under sudo. The .rpm makes them by a script, since where this directory is a link to
            // theirs (Fedora 42, Amazon Linux 2027) they would be their files.
            stand_in("/usr/sbin/apt"),
            stand_in("/usr/sbin/apt-get"),
            stand_in("/usr/sbin/aptitude"),
            stand_in("/usr/sbin/dnf"),
            stand_in("/usr/sbin/dpkg"),
            stand_in("/usr/sbin/flatpak"),
            stand_in("/usr/sbin/gem"),
            stand_in("/usr/sbin/microdnf"),
            stand_in("/usr/sbin/pip"),
            stand_in("/usr/sbin/pip3"),
            stand_in("/usr/sbin/rpm"),
            stand_in("/usr/sbin/snap"),
            stand_in("/usr/sbin/yum"),
            unit(
                "/usr/lib/systemd/system/earmark-verify.service",
                "systemd/earmark-verify.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-first-boot.service",
                "systemd/earmark-first-boot.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-corruption.service",
                "systemd/earmark-corruption.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-corruption.timer",
                "systemd/earmark-corruption.timer",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-fetch.service",
                "systemd/earmark-fetch.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-fetch.timer",
                "systemd/earmark-fetch.timer",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-follow.service",
                "systemd/earmark-follow.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-instance.service",
                "systemd/earmark-instance.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-report.path",
                "systemd/earmark-report.path",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-report.service",
                "systemd/earmark-report.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-report.timer",
                "systemd/earmark-report.timer",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-lockdown-early.service",
                "systemd/earmark-lockdown-early.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-lockdown.service",
                "systemd/earmark-lockdown.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-grants.path",
                "systemd/earmark-grants.path",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-grants.service",
                "systemd/earmark-grants.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-lockdown-again.service",
                "systemd/earmark-lockdown-again.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-lockdown-again.timer",
                "systemd/earmark-lockdown-again.timer",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-verified.target",
                "systemd/earmark-verified.target",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-ready.target",
                "systemd/earmark-ready.target",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-agent.service",
                "systemd/earmark-agent.service",
            ),
            unit(
                "/usr/lib/systemd/system/earmark-quarantine.target",
                "systemd/earmark-quarantine.target",
            ),
            unit(
                "/usr/lib/systemd/system-preset/50-earmark.preset",
                "systemd/earmark.preset",
            ),
            unit(
                "/usr/lib/systemd/catalog/earmark.catalog",
                "systemd/earmark.catalog",
            ),
            unit(
                "/usr/lib/sysusers.d/earmark.conf",
                "systemd/earmark.sysusers",
            ),
            unit(
                "/usr/lib/tmpfiles.d/earmark.conf",
                "systemd/earmark.tmpfiles",
            ),
            item("/var/lib/earmark", 0o711, Source::Directory),
            item(
                "/usr/share/man/man8/earmark-agent.8.gz",
                0o644,
                Source::Manual(8),
            ),
            item("/usr/share/doc/earmark-agent", 0o755, Source::Directory),
            copyright("/usr/share/doc/earmark-agent/copyright"),
        ],
        service: Some(&Service {
            systemd: "252",
            units: "earmark-verify.service earmark-ready.target earmark-agent.service",
        }),
        libc: None,
    },
];

const fn item(path: &'static str, mode: u32, source: Source) -> Item {
    Item { path, mode, source }
}

const fn unit(path: &'static str, source: &'static str) -> Item {
    item(path, 0o644, Source::File(source))
}

const fn stand_in(path: &'static str) -> Item {
    item(path, 0o777, Source::StandIn)
}

const fn copyright(path: &'static str) -> Item {
    item(path, 0o644, Source::File("xtask/src/package/copyright"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_systemd_file_is_packaged_exactly_once() {
        let workspace = crate::workspace().unwrap();
        let there: BTreeSet<String> = std::fs::read_dir(workspace.join("systemd"))
            .unwrap()
            .map(|entry| format!("systemd/{}", entry.unwrap().file_name().display()))
            .collect();
        let packaged: Vec<String> = PACKAGES
            .iter()
            .flat_map(|package| package.items)
            .filter_map(|item| {
                let Source::File(source) = item.source else {
                    return None;
                };
                source.starts_with("systemd/").then(|| source.to_owned())
            })
            .collect();
        assert_eq!(packaged.iter().cloned().collect::<BTreeSet<_>>(), there);
        assert_eq!(packaged.len(), there.len());
    }

    #[test]
    fn systemd_preset_enables_exactly_the_package_units() {
        let presets = include_str!("../../../systemd/earmark.preset");
        let enabled: Vec<&str> = presets
            .lines()
            .filter_map(|line| line.strip_prefix("enable "))
            .collect();
        let agent = PACKAGES.iter().find_map(|package| package.service);
        assert_eq!(agent.unwrap().units, enabled.join(" "));
    }
}

//! Rules about what package managers left, and what would start them again.

use earmark_manifest::{declaration::LockName, escape::Escaped, path::ImagePath};

use super::{Image, Sink, sum};
use crate::lint::{finding::Draft, image::Seen};

/// Downloaded packages and lists of packages.
pub fn caches(image: &Image<'_>, sink: &mut Sink) {
    const CACHES: [(&str, &str); 9] = [
        ("var/cache/apt/archives", "apt-get clean"),
        ("var/lib/apt/lists", "rm -r /var/lib/apt/lists/*"),
        ("var/cache/dnf", "dnf clean all"),
        ("var/cache/libdnf5", "dnf clean all"),
        ("var/cache/yum", "yum clean all"),
        ("var/cache/zypp", "zypper clean --all"),
        ("var/cache/apk", "rm -r /var/cache/apk/*"),
        ("var/cache/PackageKit", "rm -r /var/cache/PackageKit/*"),
        ("var/lib/snapd/cache", "rm -r /var/lib/snapd/cache/*"),
    ];
    for (directory, command) in CACHES {
        let Some(seen) = image.get(directory).filter(|seen| seen.is_directory()) else {
            continue;
        };
        // apt wants its own empty directories and lock files back, and makes none of them sealed twice.
        let is_kept = |name: &[u8]| matches!(name, b"partial" | b"auxfiles" | b"lock");
        let files: Vec<&Seen<'_>> = image
            .beneath(directory)
            .filter(|file| file.has_content())
            .collect();
        if files.is_empty() {
            continue;
        }
        let mut removed: Vec<ImagePath> = Vec::new();
        for child in image.children(directory) {
            if is_kept(child.name()) {
                let inner = image.children(child.path.as_bytes());
                removed.extend(inner.map(|seen| seen.path.clone()));
            } else {
                removed.push(child.path.clone());
            }
        }
        let found = format!("{}: '{command}' empties it", sum(&files));
        sink.push(Draft::new(seen.path, found).removing(removed));
    }
}

/// Timers that change packages. The lock masks them, so that this is said and no more.
pub fn timers(image: &Image<'_>, sink: &mut Sink) {
    const NAMES: [&[u8]; 17] = [
        b"apt-daily.timer",
        b"apt-daily-upgrade.timer",
        b"unattended-upgrades.service",
        b"dnf-makecache.timer",
        b"dnf-automatic.timer",
        b"dnf-automatic-install.timer",
        b"dnf-automatic-download.timer",
        b"dnf-automatic-notifyonly.timer",
        b"dnf5-automatic.timer",
        b"dnf5-makecache.timer",
        // Amazon Linux: asks the repositories for newer releases.
        b"update-motd.timer",
        b"update-motd.service",
        b"rpm-ostreed-automatic.timer",
        b"packagekit.service",
        b"snapd.refresh.timer",
        b"snapd.snap-repair.timer",
        b"yum-cron.service",
    ];
    if image.allows(LockName::Packages) {
        return;
    }
    for seen in image.beneath("etc/systemd/system") {
        let above = seen.path.parent().unwrap_or_default();
        let is_wanted = above.as_bytes().ends_with(b".wants");
        if is_wanted && NAMES.contains(&seen.name()) {
            let unit = Escaped(seen.name());
            let found = format!(
                "is on, and lockdown.packages denies it: 'systemctl disable {unit}' in the bake"
            );
            sink.push(Draft::new(seen.path, found));
        }
    }
}

//! Traces of the bake.

use super::{
    super::Put::{File, Link},
    Case, case,
};

pub(super) const CASES: &[Case] = &[
    case(
        "shell-history",
        "/root/.bash_history",
        &[File("root/.bash_history", "")],
        &[Link("root/.bash_history", "/dev/null")],
    ),
    case(
        "tool-history",
        "/home/web/.psql_history",
        &[File("home/web/.psql_history", "x")],
        &[File("home/web/.psqlrc", "x")],
    ),
    case(
        "editor-traces",
        "/root/.viminfo",
        &[File("root/.viminfo", "x")],
        &[File("root/.vimrc", "x")],
    ),
    case(
        "logs",
        "/var/log/apt/history.log",
        &[File("var/log/apt/history.log", "x")],
        &[File("var/log/apt/history.log", "")],
    ),
    case(
        "journal",
        "/var/log/journal/0123",
        &[File("var/log/journal/0123/system.journal", "x")],
        &[],
    ),
    case(
        "crash-dump",
        "/var/crash/x.crash",
        &[File("var/crash/x.crash", "x")],
        &[],
    ),
    case(
        "crash-dump",
        "/core.123",
        &[File("core.123", "x")],
        &[File("core.d", "x")],
    ),
    case(
        "packer-leftover",
        "/tmp/script_1234.sh",
        &[File("tmp/script_1234.sh", "x")],
        &[File("tmp/other.sh", "x")],
    ),
    case(
        "temporary-file",
        "/var/tmp/x",
        &[File("var/tmp/x/y", "x")],
        &[File("tmp/packer-x", "x")],
    ),
    case(
        "mail",
        "/var/mail/root",
        &[File("var/mail/root", "x")],
        &[File("var/mail/root", "")],
    ),
    case(
        "swap-file",
        "/swapfile",
        &[File("swapfile", "x")],
        &[File("swapfile", "")],
    ),
    case(
        "tool-cache",
        "/root/.cache",
        &[File("root/.cache/pip/http/x", "x")],
        &[File("root/.cache/empty", "")],
    ),
    case(
        "package-cache",
        "/var/lib/apt/lists",
        &[File("var/lib/apt/lists/deb.debian.org_x", "x")],
        &[File("var/lib/apt/lists/partial/.keep", "")],
    ),
    case(
        "package-cache",
        "/var/cache/apt/archives",
        &[File("var/cache/apt/archives/x.deb", "x")],
        &[File("var/cache/apt/x.bin", "x")],
    ),
    case(
        "package-cache",
        "/var/cache/libdnf5",
        &[File("var/cache/libdnf5/amazonlinux-x/repodata/x", "x")],
        &[File("var/lib/dnf/history.sqlite", "x")],
    ),
    case(
        "package-timer",
        "/etc/systemd/system/timers.target.wants/dnf5-makecache.timer",
        &[Link(
            "etc/systemd/system/timers.target.wants/dnf5-makecache.timer",
            "/usr/lib/x",
        )],
        &[Link("etc/systemd/system/dnf5-makecache.timer", "/dev/null")],
    ),
    case(
        "package-timer",
        "/etc/systemd/system/timers.target.wants/apt-daily.timer",
        &[Link(
            "etc/systemd/system/timers.target.wants/apt-daily.timer",
            "/usr/lib/x",
        )],
        &[Link("etc/systemd/system/apt-daily.timer", "/dev/null")],
    ),
];

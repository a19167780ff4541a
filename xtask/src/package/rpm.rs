//! The .rpm, by rpmbuild.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::apt;
use crate::package::VERSION;
use crate::package::deb::{RELOAD, STOP};
use crate::package::stage::Stage;
use crate::package::table::{Package, STAND_IN_TARGET, Service, Source};
use crate::run::Run;

/// Settings that make the same bytes on every machine, and leave the files as they are: what the
/// machine's own rpm would strip, compress or derive is none of the table.
const MACROS: &str = "\
%global __os_install_post %{nil}
%global _build_id_links none
%global debug_package %{nil}
%global _binary_payload w19.zstdio
%global _binary_filedigest_algorithm 8
%global _buildhost reproducible
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global source_date_epoch_from_changelog 0
";

/// Builds it in `out`.
pub fn build(stage: &Stage, out: &Path) -> Result<()> {
    apt::need(&["rpm"], "builds the .rpm packages")?;
    let path = stage.work.join("package.spec");
    fs::write(&path, spec(stage))
        .with_context(|| format!("failed to write \"{}\"", path.display()))?;
    let define = |name: &str, value: &Path| format!("--define={name} {}", value.display());
    Run::words("rpmbuild -bb --quiet --nodeps --target")
        .arg(format!("{}-linux", stage.architecture.name()))
        .arg(define("_topdir", &stage.work.join("rpm")))
        // The machine's own database of packages is not asked, nor made.
        .arg(define("_dbpath", &stage.work.join("db")))
        .arg(define("_rpmdir", out))
        .arg("--define=_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm")
        .arg(path)
        .env("SOURCE_DATE_EPOCH", &stage.epoch)
        .step()
}

fn spec(stage: &Stage) -> String {
    let package = stage.package;
    let mut requires = String::new();
    if let Some(service) = package.service {
        requires.push_str(&format!("Requires: systemd >= {}\n", service.systemd));
    }
    if let Some(libc) = package.libc {
        requires.push_str(&format!("Requires: glibc >= {libc}, libgcc\n"));
    }
    let mut spec = format!(
        "{MACROS}\n\
         Name: {name}\n\
         Version: {VERSION}\n\
         Release: 1\n\
         Summary: {summary}\n\
         License: MIT OR Apache-2.0\n\
         URL: {url}\n\
         AutoReqProv: no\n\
         {requires}\n\
         %description\n{description}\n\n\
         %install\ncp -a '{dir}/.' %{{buildroot}}/\n\n",
        name = package.name,
        summary = package.summary,
        url = env!("CARGO_PKG_REPOSITORY"),
        description = package.description,
        dir = stage.dir.display(),
    );
    if let Some(service) = package.service {
        spec.push_str(&scripts(package, service));
    }
    spec.push_str(&files(package));
    spec
}

/// The same steps as those of the .deb; see there. `$1` counts the versions that stay.
fn scripts(package: &Package, service: &Service) -> String {
    let units = service.units;
    let (link, unlink) = stand_ins(package);
    format!(
        "%post\n\
         systemd-sysusers earmark.conf\n\
         if [ \"$1\" -eq 1 ]; then\n    \
             systemctl --root=/ --no-reload preset {units}\n\
         fi\n\
         {RELOAD}\n\
         %preun\n\
         [ \"$1\" -eq 0 ] || exit 0\n\
         {STOP}\
         systemctl --root=/ --no-reload disable {units}\n\
         {unlink}\n\
         %posttrans\n\
         {link}\n"
    )
}

/// Scripts that make the links in the place of package managers, and that take them away.
///
/// No files of the package: where `/usr/sbin` is a link to `bin`, rpm would hold them against those of dnf and rpm, and
/// refuse the package. They are made last, when an older version that had them as files has taken these away.
fn stand_ins(package: &Package) -> (String, String) {
    let items = package.items.iter();
    let items = items.filter(|item| matches!(item.source, Source::StandIn));
    let names: Vec<&str> = items
        .filter_map(|item| item.path.strip_prefix("/usr/sbin/"))
        .collect();
    let names = names.join(" ");
    // As the lock `packages` looks for them (agent/src/lockdown/packages/commands.rs).
    let link = format!(
        "directory=/usr/sbin target={STAND_IN_TARGET}\n\
         if [ -L /usr/sbin ]; then\n    \
             directory=/usr/local/bin target=/usr/bin/earmark-agent\n\
         fi\n\
         if [ -d $directory ]; then\n    \
             for name in {names}; do\n        \
                 # What somebody else has put there stays.\n        \
                 [ -e $directory/$name ] || [ -L $directory/$name ] || ln -s $target $directory/$name\n    \
             done\n\
         fi\n"
    );
    let unlink = format!(
        "for name in {names}; do\n    \
             for path in /usr/sbin/$name /usr/local/bin/$name; do\n        \
                 if [ -L $path ] && [ $path -ef /usr/bin/earmark-agent ]; then rm -f $path; fi\n    \
             done\n\
         done\n"
    );
    (link, unlink)
}

fn files(package: &Package) -> String {
    let mut list = "%files\n".to_owned();
    for item in package.items {
        let (path, mode) = (item.path, item.mode);
        let _ = match item.source {
            Source::Link(_) => writeln!(list, "{path}"),
            Source::StandIn => writeln!(list, "%exclude {path}"),
            Source::Directory => writeln!(list, "%dir %attr({mode:04o}, root, root) {path}"),
            Source::Manual(_) => writeln!(list, "%doc %attr({mode:04o}, root, root) {path}"),
            Source::Program | Source::Other(_) | Source::File(_) => {
                writeln!(list, "%attr({mode:04o}, root, root) {path}")
            }
        };
    }
    list
}

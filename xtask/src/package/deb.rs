//! The .deb, by dpkg-deb.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::apt;
use crate::package::VERSION;
use crate::package::stage::Stage;
use crate::package::table::Service;
use crate::run::Run;

/// Builds it in `out`.
pub fn build(stage: &Stage, out: &Path) -> Result<()> {
    apt::need(&["dpkg", "gzip"], "builds the .deb packages")?;
    let package = stage.package;
    let control = stage.dir.join("DEBIAN");
    let size = stage.kibibytes()?;
    fs::create_dir(&control)?;
    fs::set_permissions(&control, Permissions::from_mode(0o755))?;
    write(&control.join("control"), &fields(stage, size), 0o644)?;
    write(&control.join("md5sums"), &sums(&stage.dir)?, 0o644)?;
    if let Some(service) = package.service {
        write(&control.join("postinst"), &postinst(service), 0o755)?;
        write(&control.join("prerm"), &prerm(service), 0o755)?;
    }
    stage.settle(&control)?;
    Run::words("dpkg-deb --root-owner-group -Zxz --build")
        .arg(&stage.dir)
        .arg(out.join(format!(
            "{}_{VERSION}_{}.deb",
            package.name,
            stage.architecture.debian()
        )))
        .env("SOURCE_DATE_EPOCH", &stage.epoch)
        .step()
}

fn fields(stage: &Stage, size: u64) -> String {
    let package = stage.package;
    let mut depends = String::new();
    if let Some(service) = package.service {
        depends.push_str(&format!("Depends: systemd (>= {})\n", service.systemd));
    }
    if let Some(libc) = package.libc {
        depends.push_str(&format!("Depends: libc6 (>= {libc}), libgcc-s1\n"));
    }
    format!(
        "Package: {name}\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: The Earmark developers <developers@earmark.invalid>\n\
         Installed-Size: {size}\n\
         {depends}\
         Section: admin\n\
         Priority: optional\n\
         Homepage: {homepage}\n\
         Description: {summary}\n {description}\n",
        name = package.name,
        architecture = stage.architecture.debian(),
        homepage = env!("CARGO_PKG_REPOSITORY"),
        summary = package.summary,
        description = package.description,
    )
}

/// For `dpkg --verify`, on hosts that have no other means.
fn sums(dir: &Path) -> Result<String> {
    let script = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | sort --zero-terminated \
                  | xargs --null --no-run-if-empty md5sum";
    Run::words("sh -euc").arg(script).dir(dir).quiet().output()
}

/// Every step works on files, so that it also works in a chroot without a service manager. There is
/// no postrm, so that a package that was removed is gone, and is new when it is installed again.
fn postinst(service: &Service) -> String {
    format!(
        "#!/bin/sh\n\
         set -e\n\
         [ \"$1\" = configure ] || exit 0\n\
         systemd-sysusers earmark.conf\n\
         # What the owner of an image switched off stays off when the package is upgraded.\n\
         if [ -z \"$2\" ]; then\n    \
             systemctl --root=/ --no-reload preset {units}\n\
         fi\n\
         {RELOAD}",
        units = service.units
    )
}

fn prerm(service: &Service) -> String {
    format!(
        "#!/bin/sh\n\
         set -e\n\
         [ \"$1\" = remove ] || exit 0\n\
         {STOP}\
         systemctl --root=/ --no-reload disable {units}\n",
        units = service.units
    )
}

/// Nothing is started: what it is for happens at boot.
pub const RELOAD: &str = "\
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
";

/// Before its files are gone. The account stays: a number that is given to another account could
/// find files of the first.
pub const STOP: &str = "\
if [ -d /run/systemd/system ]; then
    systemctl stop earmark-agent.service || true
fi
";

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .with_context(|| format!("failed to write \"{}\"", path.display()))
}

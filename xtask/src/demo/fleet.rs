//! The part of the story that is about many hosts: what they should run, what they say, and what their owner makes
//! of it.

use std::fs;

use anyhow::{Context, Result, bail};
use earmark_tests::boot::Disk;

use super::{Demo, expect, expect_output};
use crate::run::Run;

/// As `earmark fleet status --fail-on` exits.
pub const NOT_AS_IT_SHOULD_BE: i32 = 16;
/// Commands that timers of the host run within a minute or two; in quarantine, only the report.
pub const TOLD: &str = "
systemctl is-active --quiet earmark-quarantine.target || systemctl start earmark-fetch.service earmark-follow.service
systemctl start earmark-report.service
";
/// Directories in which the image looks for its channel, and puts its reports.
const CHANNEL: &str = "srv/data/demo";
const REPORTS: &str = "srv/data/reports";

impl Demo {
    /// Makes the channel, and puts it where the image looks for it.
    pub(super) fn promote(&mut self) -> Result<()> {
        self.say(
            "The channel: which release hosts should run. They look where their image says; here that is a file on \
             their disk, elsewhere a server or a bucket.",
        );
        expect(self.channel("init").args(["--image", "demo"]), 0)?;
        let promote = self.channel("promote").arg("--seal");
        expect(promote.arg(self.path("root/usr/lib/earmark/seal")), 0)?;
        let root = self.path("root");
        fs::create_dir_all(root.join(CHANNEL)).context("failed to make a directory")?;
        fs::copy(
            self.path("stable.json"),
            root.join(CHANNEL).join("stable.json"),
        )
        .context("failed to copy the channel")?;
        let owned = Run::words("chroot").arg(root).quiet();
        let words = "install --directory --owner=earmark-fetch --group=earmark-fetch";
        owned
            .args(words.split(' '))
            .arg(format!("/{REPORTS}"))
            .step()?;
        fs::create_dir(self.path("reports")).context("failed to make a directory")
    }

    /// Takes the reports from the disk of a host, where its image has it put them.
    pub(super) fn collect(&self, disk: &Disk<'_>) -> Result<()> {
        let found = disk.change(|root| -> Result<usize> {
            let mut found = 0;
            for entry in fs::read_dir(root.join(REPORTS))? {
                let entry = entry?;
                fs::copy(entry.path(), self.path("reports").join(entry.file_name()))?;
                found += 1;
            }
            Ok(found)
        });
        match found.context("failed to take the host's reports")? {
            0 => bail!("the host has not reported"),
            _ => Ok(()),
        }
    }

    /// Looks at the fleet, which has to be said to have these hosts.
    pub(super) fn look_at_fleet(&self, code: i32, hosts: &str) -> Result<()> {
        let status = self.earmark("fleet").args(["status", "--reports"]);
        let status = status.arg(self.path("reports")).arg("--channel");
        let status = status.arg(self.path("stable.json")).arg("--trust");
        let status = status.arg(self.path("trust.toml"));
        let said = expect_output(status.args(["--fail-on", "violated"]), code)?;
        if !said.contains(hosts) {
            bail!("the fleet is not said to have {hosts}");
        }
        Ok(())
    }

    fn channel(&self, step: &str) -> Run {
        let channel = self.earmark("channel").arg(step);
        let channel = channel.arg(self.path("stable.json")).arg("--key");
        channel.arg(self.path("channel.key"))
    }
}

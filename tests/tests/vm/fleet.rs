//! Two releases of an image on real machines of EC2's kind, and what the channel says of them: current, behind,
//! revoked, rolled back; what the hosts report of it, who they are by the word of their metadata service, and what
//! the fleet is then.

mod owner;

use std::fs;

use earmark_tests::boot::{Boot, Disk, QUARANTINE, Sealing, image};
use serde_json::Value;

use self::owner::Owner;

/// Every lock, and what a host of a release that no host should run does within twenty hours: its turn does not come
/// by chance while the test looks.
macro_rules! declared {
    ($on_revoked:literal) => {
        concat!(
            "[channel]\nurl = \"file:///srv/data/web/stable.json\"\non_revoked = ",
            $on_revoked,
            "\nshare = 5\njitter = \"1s\"\n",
            "[report]\nto = [\"file:///srv/data/reports\", \"s3://reports/web/\"]\nevery = \"1m\"\n",
            "[lockdown]\n"
        )
    };
}
const DRAIN: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /srv/data/drained\n";
/// In this image nobody else makes the directory for reports, and belongs to its group.
const REPORTS: &str = "d /srv/data/reports 0755 earmark-fetch earmark-fetch\n";
const FILES: &[(&str, &str, u32)] = &[
    ("usr/lib/systemd/system/drain.service", DRAIN, 0o644),
    ("usr/lib/tmpfiles.d/reports.conf", REPORTS, 0o644),
];
const V1: Sealing = Sealing {
    name: "fleet-1",
    platform: "ec2",
    rest: declared!("\"halt\""),
    files: FILES,
    ..QUARANTINE
};
const V2: Sealing = Sealing {
    name: "fleet-2",
    version: "2.0.0",
    rest: declared!("{ start = \"drain.service\" }"),
    ..V1
};
/// The instances that there are, one after the other.
const INSTANCES: [&str; 3] = [
    "i-00000000000000001",
    "i-00000000000000002",
    "i-00000000000000003",
];
/// Steps that show modes and readers of the metadata service's answers, and search other places for the secret.
const IDENTITY: &str = r"
as() { setpriv --reuid=$1 --regid=$2 --clear-groups sh -c 'grep -c secret /run/earmark-instance/role.json'; }
step modes stat -c '%a %U %G' /run/earmark-instance /run/earmark-instance/role.json /run/earmark-instance/identity.json
step role-for-fetch as earmark-fetch earmark-fetch
step role-for-nobody as nobody nogroup
step role-told sh -c 'journalctl --boot --quiet | grep -c MDENG/sec.et'
step role-kept grep -rlF MDENG/sec /srv /var/lib/earmark /run/earmark /run/earmark-report
";

fn state(report: &Value) -> &str {
    report["channel"]["state"].as_str().unwrap_or_default()
}

/// The one host that is there is so.
#[track_caller]
fn must_be(status: &Value, state: &str) {
    assert_eq!(status["identity_checked"], true);
    assert_eq!(status["states"][state], 1, "{status:#}");
    assert_eq!(status["reports"]["unusable"]["count"], 0, "{status:#}");
}

#[test]
fn vm_fleet_follows_promote_revoke_and_rollback() {
    const WRONG: &str = "behind,revoked,violated,silent";
    let fleet = Owner::new(&V1);
    let [first, second, third] = INSTANCES;
    let disk = |sealing: &'static Sealing, name: &str| Disk::new(image(), sealing, name);
    let (old, new) = (disk(&V1, "fleet-a"), disk(&V2, "fleet-b"));
    let seal = |sealing: &Sealing| image().earmark(sealing).join("seal").display().to_string();
    fleet.owns(first, &[]);
    fleet.channel("init", &["--image", "host"]);
    fleet.channel("promote", &["--seal", &seal(&V1)]);
    let (seen, report) = fleet.boot(&old, first, IDENTITY);
    assert!(seen.is_active("workload.service"));
    assert_eq!(state(&report), "current", "{report}");
    assert_eq!(report["image"]["version"], "1.0.0");
    assert_eq!(report["locks"]["imds"], "enforced", "{report}");
    must_be(&fleet.status(0, WRONG), "current");
    let said = |name: &str| seen.step(name).out.trim().to_owned();
    let modes = "750 root earmark-fetch\n640 root earmark-fetch\n640 root earmark-fetch";
    assert_eq!(said("modes"), modes);
    assert_eq!(said("role-for-fetch"), "1");
    assert!(said("role-for-nobody").contains("Permission denied"));
    assert_eq!(said("role-told"), "0");
    assert_eq!(said("role-kept"), "");

    fleet.channel("promote", &["--seal", &seal(&V2)]);
    let (_, report) = fleet.boot(&old, first, "");
    assert_eq!(
        (state(&report), &report["channel"]["behind"]),
        ("behind", &1.into()),
        "{report}"
    );
    must_be(&fleet.status(16, "behind"), "behind");

    // The host is replaced by one of the new release.
    fleet.owns(second, &[first]);
    let (_, report) = fleet.boot(&new, second, "");
    assert_eq!(
        (state(&report), &report["image"]["version"]),
        ("current", &"2.0.0".into()),
        "{report}"
    );
    must_be(&fleet.status(0, WRONG), "current");

    // What no host should run is drained in its turn, once, by the image's own unit.
    fleet.channel(
        "revoke",
        &["--release", "2.0.0", "--reason", "it forgets its sessions"],
    );
    let later = "step before systemctl is-active drain.service\ndate -s '+1201 minutes'\n\
                 settled\nstep after systemctl is-active drain.service\n\
                 systemctl stop drain.service; rm /srv/data/drained\nsettled\n\
                 step again systemctl is-active drain.service\nstep screen earmark-agent status\n";
    let (seen, report) = fleet.boot(&new, second, later);
    assert_eq!(state(&report), "revoked", "{report}");
    assert_eq!(seen.step("before").out.trim(), "inactive");
    assert_eq!(
        seen.step("after").out.trim(),
        "active",
        "{}",
        seen.step("screen").out
    );
    assert_eq!(seen.step("again").out.trim(), "inactive");
    must_be(&fleet.status(16, "revoked"), "revoked");

    // Rolled back: a host of the older release is current. A document of before that is not believed any more.
    fs::copy(fleet.at("stable.json"), fleet.at("revoked.json")).unwrap();
    fleet.channel("rollback", &["--to", "1.0.0"]);
    fleet.owns(third, &[first, second]);
    let back = disk(&V1, "fleet-c");
    let (_, report) = fleet.boot(&back, third, "");
    assert_eq!(
        (state(&report), &report["image"]["version"]),
        ("current", &"1.0.0".into()),
        "{report}"
    );
    fs::copy(fleet.at("stable.json"), fleet.at("kept.json")).unwrap();
    fs::copy(fleet.at("revoked.json"), fleet.at("stable.json")).unwrap();
    let (_, report) = fleet.boot(&back, third, "");
    assert_eq!(state(&report), "current", "{report}");
    let problem = report["channel"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("already accepted"), "{report}");
    fs::copy(fleet.at("kept.json"), fleet.at("stable.json")).unwrap();
    must_be(&fleet.status(0, WRONG), "current");

    // The image of this release has such a host switched off.
    fleet.channel(
        "revoke",
        &["--release", "1.0.0", "--reason", "this one does, too"],
    );
    let look = "step on true\ndate -s '+1201 minutes'\nsettled\nsleep 300\n";
    let seen = fleet.with_boot(&back, third, look, |boot| {
        back.boot_until_off(&Boot {
            only: true,
            ..boot.clone()
        })
    });
    // Not before its turn.
    seen.step("on").must(0);
    assert!(seen.console.contains("Power down"), "{}", seen.console);
}

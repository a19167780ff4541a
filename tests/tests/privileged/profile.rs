//! Stock roots stay themselves over a boot, by the profile of their distribution.

use earmark_tests::container::{Host, READY, WAIVER};

/// Boots a server of Debian 13, and verifies all of it from within. Returns the exit code and the violations.
fn verified_after_boot(profile: &str) -> (i64, Vec<String>) {
    let root = "EARMARK_ROOT_DEBIAN_13";
    let host = Host::profiled(root, (profile, "critical"), "report", WAIVER, |image| {
        // As in an image whose /usr was changed by its bake: the next boot writes them.
        for stamp in ["etc/.updated", "var/.updated"] {
            let _ = std::fs::remove_file(image.at(stamp));
        }
    });
    let look = "earmark-agent verify --gate full --json > /run/test/verified.json; echo $?";
    let seen = host.boot_and_look(READY, look);
    let report = std::fs::read(host.shared("verified.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let paths = report["violations"].as_array().unwrap().iter();
    let paths = paths.map(|found| found["path"].as_str().unwrap().to_owned());
    (seen.looked.trim().parse().unwrap(), paths.collect())
}

#[test]
fn privileged_debian_13_verifies_after_a_boot_under_its_profile() {
    assert_eq!(verified_after_boot("debian-13"), (0, vec![]));
    // The control: systemd 257 writes what Debian 12 has no rule for.
    let stamps = ["/etc/.updated", "/var/.updated"].map(str::to_owned);
    assert_eq!(verified_after_boot("debian-12"), (10, stamps.to_vec()));
}

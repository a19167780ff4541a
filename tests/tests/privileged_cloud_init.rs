//! Beside cloud-init: user-data that is code for it is no code on an image with its switch set, and its
//! own work goes on.

use std::fs;

use earmark_tests::{container::Host, overlay::Overlay};

/// What `docs/first-boot.md` says to bake in.
const SWITCH: &str = "\
allow_userdata: false
vendor_data: {enabled: false}
vendor_data2: {enabled: false}
";
/// For a container: where user-data is, and no accounts, which are the image's.
const TEST: &str = "\
datasource_list: [NoCloud, None]
users: []
";
/// Each way in which user-data brings code, or the means to it.
const HOSTILE: &str = "\
#cloud-config
bootcmd:
  - touch /srv/data/evil-bootcmd
runcmd:
  - touch /srv/data/evil-runcmd
write_files:
  - path: /srv/data/evil-file
    content: evil
users:
  - name: evil
    sudo: ALL=(ALL) NOPASSWD:ALL
cloud_init_modules: [bootcmd, write-files, users-groups]
";
const LOOK: &str = "
ls /srv/data
grep -o '^evil:' /etc/passwd
grep -oE 'discarding user-data' /var/log/cloud-init.log | sort -u
grep -oE 'Running module (growpart|resizefs|set_hostname)' /var/log/cloud-init.log | sort -u
";
const DONE: &str = "[ -e /run/cloud-init/result.json ]";

/// What was found on a host whose instance was started with hostile user-data.
fn boot(switch: Option<&str>) -> String {
    let host = Host::of_root("EARMARK_ROOT_SERVER", "report", "", |image: &Overlay| {
        fs::create_dir_all(image.at("srv/data")).unwrap();
        let config = image.at("etc/cloud/cloud.cfg.d");
        // This root's own way of keeping user-data out.
        fs::remove_file(config.join("90-immutable.cfg")).unwrap();
        fs::write(config.join("90-test.cfg"), TEST).unwrap();
        if let Some(switch) = switch {
            fs::write(config.join("99-earmark.cfg"), switch).unwrap();
        }
    });
    let seed = host.at("var/lib/cloud/seed/nocloud");
    fs::create_dir_all(&seed).unwrap();
    fs::write(seed.join("user-data"), HOSTILE).unwrap();
    fs::write(seed.join("meta-data"), "instance-id: i-0123456789abcdef0\n").unwrap();
    host.boot_and_look(DONE, LOOK).looked
}

#[test]
fn privileged_cloud_init_takes_no_code_from_user_data_and_goes_on_with_its_work() {
    // The control: without the switch all of it is done.
    let without = boot(None);
    for evil in ["evil-bootcmd", "evil-file", "evil:"] {
        assert!(without.contains(evil), "{evil}: {without}");
    }

    let with = boot(Some(SWITCH));
    assert!(!with.contains("evil"), "{with}");
    assert!(with.contains("discarding user-data"), "{with}");
    for work in ["growpart", "resizefs", "set_hostname"] {
        assert!(
            with.contains(&format!("Running module {work}")),
            "{work}: {with}"
        );
    }
}

//! Causes of open items, and whether a policy follows.

use super::*;

/// The causes of what is open on a host with these mounts and this `/etc/fstab`, and whether a policy follows.
fn causes(mounts: &str, fstab: &str) -> (Vec<String>, bool) {
    let root = TestRoot::bare();
    root.write(MOUNTS, mounts.as_bytes());
    root.write("/etc/fstab", fstab.as_bytes());
    let open = root.open();
    let items = probe(&Look::new(&open), &declaration(DECLARED), &[]);
    let open = items.iter().filter(|item| !item.state.is_shut());
    let text = |item: &Item| format!("{}: {}", item.name, item.cause.name());
    let leads = items.iter().any(Item::leads_to_policy);
    (open.map(text).collect(), leads)
}

const SHUT: &str = "28 1 259:1 / / ro,relatime - ext4 /dev/sda rw\n\
    30 28 0:25 / /run rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n\
    31 28 0:26 / /srv/tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n";

#[test]
fn user_mounts_lead_to_no_policy_and_root_mounts_lead_to_one() {
    let none: [&str; 0] = [];
    assert_eq!(causes(SHUT, ""), (none.map(str::to_owned).to_vec(), false));
    for (mount, of_user) in [
        (
            "40 31 0:50 / /srv/tmp/x rw,nosuid,nodev - fuse.sshfs a rw,user_id=33,group_id=33",
            "anybody",
        ),
        (
            "40 31 0:50 / /srv/tmp/x rw,nosuid,nodev - fuse a\\040b rw,user_id=1000,group_id=0",
            "anybody",
        ),
        (
            "40 30 0:50 / /run/user/1000 rw,nosuid,nodev - tmpfs tmpfs rw,uid=1000",
            "account",
        ),
        (
            "40 31 0:50 / /srv/tmp/stick rw,nosuid,nodev - vfat /dev/sdb rw",
            "anybody",
        ),
        (
            "39 31 0:49 / /srv/tmp/x rw - autofs systemd-1 rw\n40 39 0:50 / /srv/tmp/x rw,nosuid,nodev - ext4 a rw",
            "anybody",
        ),
    ] {
        let fstab = "/dev/sdb /srv/tmp/stick vfat noauto,user 0 0\n";
        let (open, leads) = causes(&format!("{SHUT}{mount}\n"), fstab);
        assert!(
            open.len() == 1 && open[0].ends_with(of_user),
            "{mount}: {open:?}"
        );
        assert!(!leads, "{mount}");
    }
    for mount in [
        "40 31 0:50 / /srv/tmp/x rw,nosuid,nodev - fuse.sshfs a rw,user_id=0,group_id=0",
        "40 31 0:50 / /srv/tmp/x rw,nosuid,nodev - fuse.sshfs user_id=33 rw",
        "40 31 0:50 / /srv/tmp/x rw,nosuid,nodev - ext4 /dev/sdb rw,user_id=33",
        "40 30 0:50 / /run/user/x rw,nosuid,nodev - tmpfs tmpfs rw",
        "40 31 0:50 / /srv/tmp/stick rw,nosuid,nodev - vfat /dev/sdb rw",
        "40 28 0:50 / /srv rw - tmpfs tmpfs rw",
    ] {
        let (open, leads) = causes(
            &format!("{SHUT}{mount}\n"),
            "/dev/sdb /srv/tmp/other vfat user\n",
        );
        assert!(leads && open[0].ends_with(": root"), "{mount}: {open:?}");
    }
}

#[test]
fn malformed_mount_line_leads_to_a_policy_except_for_fuse_of_a_user() {
    let strange = "40 31 0:50 / /srv/tmp/\\400 rw,nosuid - fuse.a a rw,user_id=33,group_id=33\n";
    let (open, leads) = causes(&format!("{SHUT}{strange}"), "");
    assert_eq!(
        (open, leads),
        (vec!["more mounts of users: anybody".to_owned()], false)
    );
    for (from, to) in [("fuse.a", "ext4"), ("user_id=33", "user_id=0")] {
        let (open, leads) = causes(&format!("{SHUT}{}", strange.replacen(from, to, 1)), "");
        assert_eq!((open, leads), (vec!["mounts: root".to_owned()], true));
    }
}

#[test]
fn reused_mount_id_belongs_to_the_later_mount() {
    let user = |place: &str| {
        format!(
            "40 31 0:50 / /srv/tmp/{place} rw,nosuid,nodev - fuse a rw,user_id=33,group_id=33\n"
        )
    };
    let (open, leads) = causes(&format!("{SHUT}{}{}", user("gone"), user("new")), "");
    assert_eq!(
        (open, leads),
        (vec!["/srv/tmp/new: anybody".to_owned()], false)
    );
    // What root mounted counts as ever, before and after.
    let root = "40 28 0:50 / /srv rw - tmpfs tmpfs rw\n";
    let (open, leads) = causes(&format!("{SHUT}{}{root}", user("gone")), "");
    assert!(leads && open.contains(&"/srv: root".to_owned()), "{open:?}");
    let other = root.replacen("40", "41", 1);
    let (open, leads) = causes(&format!("{SHUT}{other}{}{}", user("gone"), user("new")), "");
    assert!(leads && open.contains(&"/srv: root".to_owned()), "{open:?}");
}

#[test]
fn many_user_mounts_do_not_hide_a_root_mount() {
    let mut mounts = SHUT.to_owned();
    for id in 100..4100 {
        mounts.push_str(&format!(
            "{id} 31 0:{id} / /srv/tmp/{id} rw,nosuid,nodev - fuse a rw,user_id=33,group_id=33\n"
        ));
    }
    let (open, leads) = causes(&mounts, "");
    assert!(!leads && open.len() == 5, "{open:?}");
    mounts.push_str("5000 28 0:50 / /srv rw - tmpfs tmpfs rw\n");
    let (open, leads) = causes(&mounts, "");
    assert!(leads && open.contains(&"/srv: root".to_owned()), "{open:?}");
}

#[test]
fn mount_table_overflow_is_reported_and_sealed_paths_are_still_checked() {
    let mut mounts = SHUT.to_owned();
    for id in 100..9000 {
        mounts.push_str(&format!("{id} 31 0:{id} / /srv/tmp/{id} rw - tmpfs a rw\n"));
    }
    let (open, _) = causes(&mounts, "");
    assert!(open.contains(&"mounts: anybody".to_owned()), "{open:?}");
    // In this test the root is a directory of a file system that is written.
    assert!(open.contains(&"/: root".to_owned()), "{open:?}");
}

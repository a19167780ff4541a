mod causes;

use earmark_manifest::declaration::Lock;

use super::{
    plan::Operation::{self, Bind, Restrict},
    *,
};
use crate::testing::TestRoot;

/// A cloud image: one file system, another for the boot loader, and what systemd mounts.
const BOOTED: &str = "\
22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
24 28 0:5 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=490312k
25 24 0:23 / /dev/pts rw,nosuid,noexec,relatime shared:3 - devpts devpts rw,gid=5
26 28 0:24 / /run rw,nosuid,nodev,relatime shared:5 - tmpfs tmpfs rw,size=100k
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard
29 24 0:26 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw
33 23 0:29 / /proc/sys/fs/binfmt_misc rw,relatime shared:15 - autofs systemd-1 rw,fd=29
40 28 259:3 / /boot/efi rw,relatime shared:30 - vfat /dev/nvme0n1p15 rw,errors=remount-ro
41 28 7:1 / /snap/core/1 ro,nodev,relatime shared:31 - squashfs /dev/loop1 ro
42 26 0:4 net:[4026532180] /run/netns/a rw shared:32 - nsfs nsfs rw
43 28 259:9 / /srv/my\\040data rw,relatime shared:33 - ext4 /dev/nvme1n1 rw
";

const DECLARED: &str = "platform = \"file\"\n[tree]\n\
    state = [\"/dev\", \"/proc\", \"/run\", \"/srv/*\", \"/sys\", \"/var/lib/web\", \"/var/log\"]\n\
    mutable = [\"/etc/machine-id\", \"/etc/resolv.conf\", \"/etc/x/*.old\", \"/opt/**\"]\n\
    generated = [\"/etc/resolv.conf\"]\n\
    mounts = [\"/boot/efi\"]\n";

fn path(text: &str) -> ImagePath {
    ImagePath::from_absolute(text.as_bytes()).unwrap()
}

fn declaration(rest: &str) -> Declaration {
    Declaration::parse(format!("[image]\nname = \"web\"\n{rest}").as_bytes()).unwrap()
}

fn places(except: &[&str]) -> Places {
    let except: Vec<String> = except.iter().copied().map(str::to_owned).collect();
    Places::new(&declaration(DECLARED), &except).unwrap()
}

fn parse(text: &str) -> Table {
    Table::read(text.as_bytes()).unwrap()
}

fn planned(table: &str, islands: &[&str], stage: Stage) -> Vec<Operation> {
    let islands: Vec<ImagePath> = islands.iter().copied().map(path).collect();
    let places = places(&[]);
    plan(&parse(table), &islands, &places, stage)
}

const NO: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const NO_BUT_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

#[test]
fn mount_table_resolves_a_path_to_the_uppermost_mount() {
    let table = parse(BOOTED);
    for (of, id) in [
        ("/", 28),
        ("/usr/bin", 28),
        ("/boot", 28),
        ("/boot/efi/EFI", 40),
        ("/boot/efix", 28),
        ("/dev/pts/0", 25),
        ("/srv/my data/x", 43),
    ] {
        assert_eq!(table.at(&path(of)).id, id, "{of}");
    }
    assert_eq!(table.visible().len(), 12);
    // A second one on the same place, one that is covered with what is mounted in it, and a second root.
    let covered = format!(
        "{BOOTED}50 28 0:50 / /srv rw - tmpfs a rw\n\
         51 43 0:51 / /srv/my\\040data ro - tmpfs b rw\n\
         52 26 0:52 / /run rw,noexec - tmpfs  rw\n"
    );
    let table = parse(&covered);
    assert_eq!(table.at(&path("/srv/my data/x")).id, 50);
    assert_eq!(table.at(&path("/run/netns/a")).id, 52);
    let visible: Vec<u32> = table.visible().iter().map(|mount| mount.id).collect();
    assert_eq!(visible, [22, 23, 24, 25, 28, 29, 33, 40, 41, 50, 52]);
    let table = parse("1 1 0:2 / / rw - rootfs rootfs rw\n2 1 8:1 / / ro - ext4 /dev/sda ro\n");
    assert_eq!(table.at(&path("/etc")).id, 2);
}

#[test]
fn mount_table_with_malformed_or_too_many_lines_is_rejected() {
    let good = "28 1 259:2 / / rw,relatime shared:1 master:2 - ext4 /dev/sda rw,x=a\\054b";
    assert!(Table::read(good.as_bytes()).is_ok());
    for (from, to) in [
        ("28 1", "28"),
        ("28 1", "28 -1"),
        ("28 1", "+28 1"),
        ("28 1", "4294967296 1"),
        ("259:2", "259"),
        ("259:2", ":"),
        (" / / ", " / // "),
        (" / / ", " / /a\\9 "),
        (" / / ", " / /a\\400 "),
        (" / / ", " / /a\\04"),
        (" / / ", " / /a/../b "),
        (" / / ", " / a "),
        (" / / ", " / /a\\000 "),
        (" / / ", "  / "),
        ("rw,relatime", "relatime"),
        ("rw,relatime", "rw,ro"),
        (" - ", " "),
        (" - ", "  - "),
        ("ext4 /dev/sda", "ext4"),
        ("rw,x", "x"),
        ("28 1 259:2 / / ", "28 1 259:2 / /usr "),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(Table::read(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Table::read(&b""[..]).is_err());
    assert!(Table::read(format!("{good}\n\n").as_bytes()).is_err());
    let many = (0..=8192).map(|id| format!("{id} 9999 0:1 / / rw - tmpfs a rw"));
    let many = many.collect::<Vec<_>>().join("\n");
    let unseen = Table::read(many.as_bytes()).unwrap_err();
    assert!(
        matches!(unseen, Unseen::Unfit(Probe::MountsFit, _)),
        "{unseen:?}"
    );
    // No tree: it ends all the same.
    let circle = "1 9 0:1 / / rw - tmpfs a rw\n\
        2 3 0:1 / / rw - tmpfs a rw\n3 2 0:1 / / rw - tmpfs a rw\n";
    assert_eq!(parse(circle).at(&path("/x")).id, 1);
    for length in 0..BOOTED.len() {
        let _ = Table::read(&BOOTED.as_bytes()[..length]);
    }
}

#[test]
fn writable_and_executable_mounts_of_the_same_directory_are_found() {
    let disk = "1 0 8:1 / / ro,relatime - ext4 a rw\n";
    let island = "2 1 8:1 /var/log /var/log rw,noexec - ext4 a rw\n";
    let found = |text: String| parse(&text).written_and_run();
    assert_eq!(found(format!("{disk}{island}")), []);
    // The root once more, another way to the island, and a part of what is sealed.
    let copy = "3 1 8:1 / /mnt rw,noexec - ext4 a rw\n";
    let both = (path("/mnt"), path("/"));
    assert_eq!(found(format!("{disk}{island}{copy}")), [both]);
    let logs = "3 1 8:1 /var /opt ro - ext4 a rw\n";
    let both = (path("/var/log"), path("/opt"));
    assert_eq!(found(format!("{disk}{island}{logs}")), [both]);
    let bin = "3 1 8:1 /usr/bin /var/cache rw,noexec - ext4 a rw\n";
    let both = (path("/var/cache"), path("/"));
    assert_eq!(found(format!("{disk}{island}{bin}")), [both]);
    // What is covered, or of another disk, or cannot be run there either.
    let over = "4 3 0:9 / /opt/log ro,noexec - tmpfs a rw\n";
    assert_eq!(found(format!("{disk}{island}{logs}{over}")), []);
    let other = "3 1 8:2 / /mnt rw,noexec - ext4 a rw\n";
    assert_eq!(found(format!("{disk}{island}{other}")), []);
    let data = "3 1 8:1 /var/log /opt rw,noexec - ext4 a rw\n";
    assert_eq!(found(format!("{disk}{island}{data}")), []);
}

#[test]
fn mount_plan_binds_islands_first_and_makes_root_read_only_last() {
    let islands = ["/srv/my data", "/var/log"];
    let early = planned(BOOTED, &islands, Stage::Islands);
    let expected = [
        Bind(path("/var/log")),
        Restrict(path("/var/log"), NO),
        Restrict(path("/srv/my data"), NO),
        Restrict(path("/run"), NO),
        Restrict(path("/dev/shm"), NO),
        Restrict(path("/dev"), NO_BUT_DEVICES),
    ];
    assert_eq!(early, expected);
    let whole = planned(BOOTED, &islands, Stage::Whole);
    assert!(expected.iter().all(|operation| whole.contains(operation)));
    assert!(whole.contains(&Restrict(path("/boot/efi"), MountFlags::RDONLY)));
    let last = Restrict(path("/"), MountFlags::RDONLY);
    assert_eq!(whole.last(), Some(&last));
    assert_eq!(whole.len(), expected.len() + 2);
}

#[test]
fn mount_plan_completes_an_interrupted_run_and_skips_finished_steps() {
    // The island is there, and not yet restricted.
    let half = format!("{BOOTED}60 28 259:2 /var/log /var/log rw - ext4 a rw\n");
    let early = planned(&half, &["/var/log"], Stage::Islands);
    assert_eq!(early.first(), Some(&Restrict(path("/var/log"), NO)));
    // All is done, and then the directory of another service appears.
    let done = "1 0 8:1 / / ro,relatime,nosymfollow - ext4 a rw\n\
        2 1 8:1 /var/log /var/log rw,nosuid,nodev,noexec - ext4 a rw\n";
    assert_eq!(planned(done, &["/var/log"], Stage::Whole), []);
    let more = planned(done, &["/var/lib/web", "/var/log"], Stage::Whole);
    let expected = [
        Bind(path("/var/lib/web")),
        Restrict(path("/var/lib/web"), NO | MountFlags::NOSYMFOLLOW),
    ];
    assert_eq!(more, expected);
    // A disk that cannot be written has no islands.
    let frozen = "1 0 8:1 / / ro - erofs a ro\n";
    assert_eq!(planned(frozen, &["/var/log"], Stage::Whole), []);
}

#[test]
fn islands_are_declared_existing_paths_and_missing_directories_are_created() {
    let root = TestRoot::bare();
    for file in [
        "/etc/machine-id",
        "/etc/resolv.conf",
        "/etc/x/a.old",
        "/etc/x/a.new",
        "/opt/web/x",
        "/srv/data/x",
        "/srv/backup/x",
        "/srv/later/x",
        "/var/log/web/x",
    ] {
        root.write(file, b"");
    }
    root.link("/srv/link", "/etc");
    root.write(
        "/etc/fstab",
        b"# /dev/sdx /srv/data ext4\n/dev/sdb /srv/later ext4 defaults 0 2\n/dev/sdc none swap sw\n",
    );
    let open = root.open();
    let look = Look::new(&open);
    let islands = |places: &Places| {
        let islands = places.islands(&look, Stage::Whole).unwrap();
        let islands = islands.iter().map(ToString::to_string);
        islands.collect::<Vec<_>>().join(" ")
    };
    let usual = "/etc/resolv.conf /etc/x/a.old /proc /run /srv/backup /srv/data /sys";
    assert_eq!(islands(&places(&[])), format!("{usual} /var/log"));
    let except = places(&["/opt/web", "/var/log/web"]);
    assert_eq!(
        islands(&except),
        "/etc/resolv.conf /etc/x/a.old /opt/web /proc /run /srv/backup \
        /srv/data /sys /var/log /var/log/web"
    );

    let early = except.islands(&look, Stage::Islands).unwrap();
    assert!(!early.contains(&path("/etc/resolv.conf")) && early.contains(&path("/var/log")));

    // What is missing is made, if it was declared by name and has a place.
    assert_eq!(except.make_missing(&open), [""; 0]);
    assert!(!root.at("/var/lib/web").exists());
    root.write("/var/lib/.keep", b"");
    assert_eq!(except.make_missing(&open), [""; 0]);
    assert!(root.at("/var/lib/web").is_dir());
    assert_eq!(except.make_missing(&open), [""; 0]);
    assert!(islands(&places(&[])).ends_with("/var/lib/web /var/log"));
}

#[test]
fn place_of_a_path_is_its_declared_class_or_that_of_a_parent() {
    let places = places(&["/opt/web", "/var/log/web"]);
    let is = |expected: Place, paths: &[&str]| {
        for of in paths {
            assert_eq!(places.place(&path(of)), expected, "{of}");
        }
    };
    is(
        Place::Sealed,
        &[
            "/",
            "/usr",
            "/var",
            "/etc",
            "/srv",
            "/opt",
            "/usr/lib/earmark",
        ],
    );
    is(
        Place::Writable,
        &[
            "/var/log",
            "/var/log/journal/x",
            "/var/lib/earmark",
            "/srv/x/y",
        ],
    );
    is(Place::Writable, &["/etc/resolv.conf", "/opt/other/x"]);
    is(Place::Open, &["/opt/web", "/opt/web/x", "/var/log/web"]);

    let text = "[lockdown]\nfilesystems = { writable = [\"/srv two/\u{e4}\"] }\n";
    let spaced = declaration(&format!("platform = \"file\"\n{text}"));
    let locks = spaced.lockdown.locks();
    let except = locks.into_iter().find_map(|(_, lock)| match lock {
        Lock::Deny { except } if !except.is_empty() => Some(except),
        _ => None,
    });
    let places = Places::new(&spaced, &except.unwrap()).unwrap();
    assert_eq!(places.place(&path("/srv two/\u{e4}/x")), Place::Open);
}

#[test]
fn excepted_directory_stays_writable_and_executable_and_is_shown_as_allowed() {
    let places = places(&["/opt/web", "/var/log/web"]);
    let islands = ["/opt/web", "/var/log", "/var/log/web"].map(path);
    let table = "1 0 8:1 / / rw - ext4 a rw\n9 1 0:9 / /opt/web/inner rw - overlay a rw\n";
    let operations = plan(&parse(table), &islands, &places, Stage::Whole);
    let none = MountFlags::empty();
    let expected = [
        Bind(path("/opt/web")),
        Restrict(path("/opt/web"), none),
        Bind(path("/var/log")),
        Restrict(path("/var/log"), NO),
        Bind(path("/var/log/web")),
        Restrict(path("/var/log/web"), none),
        Restrict(path("/"), MountFlags::RDONLY),
    ];
    assert_eq!(operations, expected);

    let root = TestRoot::bare();
    let done = "1 0 8:1 / / ro - ext4 a rw\n2 1 8:1 /opt/web /opt/web rw - ext4 a rw\n\
        9 2 0:9 / /opt/web/inner rw - overlay a rw\n";
    root.write("/proc/1/mountinfo", done.as_bytes());
    let open = root.open();
    let except = ["/opt/web".to_owned()];
    let items = probe(&Look::new(&open), &declaration(DECLARED), &except);
    assert_eq!(
        open_items(&items),
        ["/opt/web: allowed by the declaration, ext4 on /opt/web"]
    );
    let allowed = items.iter().find(|item| item.name == "/opt/web").unwrap();
    assert_eq!(allowed.state, LockState::NotApplicable);
    // The same without the exception.
    let items = probe(&Look::new(&open), &declaration(DECLARED), &[]);
    assert_eq!(
        items.iter().map(|item| item.state).max(),
        Some(LockState::NotEnforced)
    );
}

#[test]
fn mount_that_an_account_can_move_leads_to_no_policy() {
    use std::os::unix::fs::PermissionsExt;

    let root = TestRoot::bare();
    std::fs::create_dir_all(root.at("/srv/app/rel/bin")).unwrap();
    let table =
        "1 0 8:1 / / ro - ext4 a rw\n2 1 8:1 /srv/app/rel/bin /srv/app/rel/bin rw - ext4 a rw\n";
    let cause = |root: &TestRoot, table: &str, open: &str| {
        let items = measured(root, table);
        let mut found = items
            .iter()
            .filter(|item| item.state == LockState::NotEnforced);
        let found = found.find(|item| item.name == open).unwrap();
        found.cause
    };
    // The control: root's mount in root's directories.
    assert_eq!(cause(&root, table, "/srv/app/rel/bin"), Cause::Root);
    let theirs = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(root.at("/srv/app"), theirs).unwrap();
    assert_ne!(cause(&root, table, "/srv/app/rel/bin"), Cause::Root);
    // It was renamed since the table was read.
    let moved = table.replace(" /srv/app/rel/bin rw", " /srv/app/other/bin rw");
    assert_ne!(cause(&root, &moved, "/srv/app/other/bin"), Cause::Root);
    // Deeper than a path can be, and longer than a line is read.
    for names in [17, 300] {
        let deep = format!(
            "/srv/app{}/x",
            format!("/{}", "n".repeat(250)).repeat(names)
        );
        let deep = table.replace(" /srv/app/rel/bin rw", &format!(" {deep} rw"));
        let last = "3 1 0:9 / /var/log rw,nosuid,nodev - tmpfs a rw\n";
        let deep = deep + last;
        let others = "more mounts of users";
        assert_eq!(cause(&root, &deep, others), Cause::Anybody, "{names}");
        // The lines behind it are read all the same.
        assert_eq!(cause(&root, &deep, "/var/log"), Cause::Root, "{names}");
    }
}

fn measured(root: &TestRoot, table: &str) -> Vec<Item> {
    root.write("/proc/1/mountinfo", table.as_bytes());
    let open = root.open();
    probe(&Look::new(&open), &declaration(DECLARED), &[])
}

fn open_items(items: &[Item]) -> Vec<String> {
    let open = items
        .iter()
        .filter(|item| item.state != LockState::Enforced);
    open.map(|item| format!("{}: {}", item.name, item.found))
        .collect()
}

#[test]
fn each_sealed_directory_and_each_writable_mount_is_an_item() {
    let root = TestRoot::bare();
    for directory in ["/usr/bin", "/boot/efi", "/srv/x", "/dev", "/sys"] {
        root.write(&format!("{directory}/.keep"), b"");
    }
    let expected = [
        "/: writable, ext4 on /",
        "/boot: writable, ext4 on /",
        "/srv: writable, ext4 on /",
        "/usr: writable, ext4 on /",
        "/boot/efi: writable, vfat on /boot/efi",
        "/dev: devtmpfs without noexec",
        "/dev/shm: tmpfs without noexec",
        "/run: tmpfs without noexec",
        "/srv/my\\x20data: ext4 without nosuid,nodev,noexec",
    ];
    assert_eq!(open_items(&measured(&root, BOOTED)), expected);

    let shut = BOOTED
        .replace("/ / rw", "/ / ro")
        .replace("/boot/efi rw", "/boot/efi ro")
        .replace("/dev rw", "/dev rw,noexec")
        .replace("/dev/shm rw", "/dev/shm rw,noexec")
        .replace("/run rw", "/run rw,noexec")
        .replace("data rw", "data rw,nosuid,nodev,noexec");
    let items = measured(&root, &shut);
    assert_eq!(open_items(&items), [""; 0]);
    let reversible = Some(Strength::Reversible);
    assert!(items.iter().all(|item| item.strength == reversible));

    // A writable mount over what is sealed, and a way round.
    let more = format!(
        "{shut}70 28 0:70 / /usr/lib rw,nosuid,nodev,noexec - tmpfs a rw\n\
         71 26 259:2 / /run/x rw,nosuid,nodev,noexec - ext4 a rw\n"
    );
    let expected = [
        "/usr/lib: writable, tmpfs on /usr/lib",
        "written and run by two mounts: written in /run/x, run in /",
    ];
    assert_eq!(open_items(&measured(&root, &more)), expected);
}

#[test]
fn filesystems_items_are_bounded_on_a_host_with_many_mounts() {
    let root = TestRoot::bare();
    let mut table = "1 0 8:1 / / ro - ext4 a rw\n".to_owned();
    for id in 10..1000 {
        let flags = if id < 900 {
            "rw,nosuid,nodev,noexec"
        } else {
            "rw"
        };
        table += &format!("{id} 1 0:{id} / /run/{id} {flags} - overlay a rw\n");
    }
    let items = measured(&root, &table);
    assert!(items.len() < 80, "{}", items.len());
    assert_eq!(
        open_items(&items),
        ["more mounts: 100 that are written or run"]
    );
}

#[test]
fn missing_or_malformed_mount_table_is_unknown_and_apply_refuses_foreign_mounts() {
    let root = TestRoot::bare();
    let open = root.open();
    let items = probe(&Look::new(&open), &declaration(DECLARED), &[]);
    assert_eq!(items[0].state, LockState::Unknown);
    assert!(items[0].found.contains(MOUNTS), "{}", items[0].found);
    let items = measured(&root, "1 0 8:1 / / ro\n");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].state, LockState::Unknown);
    // Nor is anything done to mounts that may be somebody else's.
    let problems = apply(&Look::new(&open), &declaration(DECLARED), &[]);
    assert!(
        problems[0].contains("not the mounts of the host"),
        "{problems:?}"
    );
}

//! Profiles of distributions that are not to be had, on stand-ins. For the RPM family: a root with an rpm database that
//! rpm wrote, `SELinux` labels, boot entries, state of dnf, crypto policies and authselect. For Ubuntu: snaps. No host of
//! these distributions was booted: what is shown is that a profile frees what it names, and nothing beside that.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use earmark_manifest::{
    class::{PathClass, RuleKind},
    profile::{Profile, ReasonedRule},
};
use earmark_tests::{Bench, rpm::Package, run};

const FAMILY: [(&str, &str); 3] = [
    ("amazon-linux-2023", "ID=\"amzn\"\nVERSION_ID=\"2023\"\n"),
    ("amazon-linux-2027", "ID=\"amzn\"\nVERSION_ID=\"2027\"\n"),
    ("rhel-9", "ID=\"rocky\"\nVERSION_ID=\"9.6\"\n"),
];

/// Files that such a root has when it is sealed, and that must stay.
const SEALED: [(&str, &str); 9] = [
    (
        "boot/loader/entries/x-6.1.conf",
        "options root=UUID=x ro selinux=1\n",
    ),
    ("etc/dnf/dnf.conf", "[main]\n"),
    ("etc/dnf/vars/releasever", "9\n"),
    ("etc/crypto-policies/config", "DEFAULT\n"),
    ("etc/authselect/system-auth", "auth required pam_unix.so\n"),
    ("etc/selinux/config", "SELINUX=enforcing\n"),
    ("etc/group", "root:x:0:\nssh_keys:x:101:\n"),
    ("etc/sysconfig/sshd", "OPTIONS=\n"),
    ("var/lib/dnf/history.sqlite", "x"),
];

/// Files that decide what root runs, whom the host believes or who gets in: never quiet.
const BESIDE: [&str; 17] = [
    "etc/dnf/vars/awsregion",
    "etc/yum.repos.d/x.repo",
    "etc/selinux/targeted/policy/policy.33",
    "etc/sudoers.d/90-cloud-init-users",
    "etc/kernel/cmdline",
    "etc/sysconfig/sshd",
    "etc/crypto-policies/config",
    "etc/authselect/system-auth",
    "etc/udev/rules.d/70-persistent-net.rules",
    "etc/systemd/network/10-x.network",
    "etc/NetworkManager/system-connections/x",
    "boot/loader/entries/x-6.1.conf",
    "var/lib/authselect/x",
    "var/lib/selinux/targeted/active/x",
    "var/lib/sss/pubconf/krb5.include.d/x",
    "usr/lib/sysimage/libdnf5/offline/transaction.json",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
];

const UBUNTU: [(&str, &str); 3] = [
    ("ubuntu-22.04", "ID=ubuntu\nVERSION_ID=\"22.04\"\n"),
    ("ubuntu-24.04", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
    ("ubuntu-26.04", "ID=ubuntu\nVERSION_ID=\"26.04\"\n"),
];

/// The same on Ubuntu.
const BESIDE_UBUNTU: [&str; 12] = [
    "etc/apt/sources.list.d/ubuntu.sources",
    "etc/netplan/60-other.yaml",
    "etc/systemd/system/snap-core-1.mount",
    "snap/bin/core",
    "var/lib/snapd/apparmor/profiles/snap.core",
    "var/lib/snapd/dbus-1/system-services/x.service",
    "var/lib/snapd/snaps/core_1.snap",
    "var/lib/snapd/state.json",
    "var/lib/ubuntu-advantage/apt-esm/etc/apt/apt.conf.d/x",
    "var/lib/ubuntu-advantage/private/machine-token.json",
    "var/lib/update-notifier/user.d/x",
    "var/lib/apt/lists/x_Packages",
];

const POLICIES: Package<'_> = Package {
    name: "crypto-policies",
    version: "1",
    install: "\
mkdir -p %{buildroot}/usr/share/crypto-policies
echo DEFAULT > %{buildroot}/usr/share/crypto-policies/DEFAULT
",
    files: "/usr/share/crypto-policies/DEFAULT\n",
};

fn profile(name: &str) -> Profile {
    let found = Profile::all().find(|profile| profile.name() == name);
    found.expect("a profile of that name")
}

/// A path that a pattern matches, relative to the root.
fn example(pattern: &str) -> String {
    pattern[1..].replace('*', "x")
}

/// Rules that let something appear or change, with a path of each.
fn freeing(profile: Profile) -> Vec<(ReasonedRule, PathClass, String)> {
    let rules = profile.rules().unwrap();
    let appears = |pattern: &str| {
        let generated = RuleKind::Class(PathClass::Generated);
        let mut rules = rules.iter();
        rules.any(|one| one.rule.kind == generated && one.rule.pattern.to_string() == pattern)
    };
    let rule = |rule: &ReasonedRule| match rule.rule.kind {
        RuleKind::Class(PathClass::Sealed) | RuleKind::Critical => None,
        RuleKind::Class(class) => {
            let pattern = rule.rule.pattern.to_string();
            // One of `mutable` that may also appear is two rules: the second has its type and mode.
            let is_twice = class == PathClass::Mutable && appears(&pattern);
            (!is_twice).then(|| (rule.clone(), class, example(&pattern)))
        }
    };
    rules.iter().filter_map(rule).collect()
}

fn is_directory(rule: &ReasonedRule) -> bool {
    let types = rule.rule.attributes.types;
    types.is_some_and(|types| types.to_string() == "directory")
}

/// A root with the directories that packages bring, and its declaration; not sealed yet.
fn root_of(name: &str, os_release: &str, beside: &[&str]) -> Bench {
    let bench = Bench::new();
    let root = bench.root();
    // What appears in a directory that packages bring is judged by itself.
    let freed = freeing(profile(name)).into_iter().map(|(_, _, path)| path);
    let sealed = SEALED.map(|(path, _)| path);
    let others = beside.iter().copied().chain(sealed);
    for path in freed.chain(others.map(str::to_owned)) {
        fs::create_dir_all(root.join(&path).parent().unwrap()).unwrap();
    }
    bench.write("usr/lib/os-release", os_release.as_bytes());
    for (path, text) in SEALED {
        bench.write(path, text.as_bytes());
    }
    bench.write("etc/machine-id", b"");
    let spec = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nprofile = \"{name}\"\n\
         mutable = [\"/etc/alternatives/editor\"]\n[verify]\ngate = \"full\"\n{}",
        earmark_tests::NO_LOCKS
    );
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench
}

/// The root of a distribution of the RPM family, with its database and labels.
fn stand_in(name: &str, os_release: &str) -> Bench {
    let bench = root_of(name, os_release, &BESIDE);
    POLICIES.build(&bench);
    POLICIES.install(&bench, &bench.root(), &["--install"]);
    label(&bench, "system_u:object_r:usr_t:s0", "root");
    bench
}

/// Labels a path, or all beneath it.
fn label(bench: &Bench, context: &str, path: &str) {
    let find = ["find", path, "-xdev", "-exec", "setfattr", "-h"];
    let set = ["-n", "security.selinux", "-v", context, "{}", "+"];
    let args = find[1..].iter().chain(&set).copied();
    run(find[0], args, Some(&bench.path(""))).must(0);
}

/// Puts what a rule frees there.
fn put(bench: &Bench, rule: &ReasonedRule, class: PathClass, path: &str) {
    let at = bench.root().join(path);
    if class == PathClass::State {
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("x"), b"x").unwrap();
    } else if is_directory(rule) {
        fs::create_dir_all(&at).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(0o700)).unwrap();
    } else {
        fs::write(&at, b"changed").unwrap();
        let most = rule.rule.attributes.mode.unwrap_or(0o644);
        if class == PathClass::Generated {
            fs::set_permissions(&at, fs::Permissions::from_mode(most)).unwrap();
        }
    }
}

/// Seals the root, lets happen what its profile names, and then something beside each of it.
fn judge(bench: &Bench, name: &str, beside: &[&str]) {
    bench.seal().must(0);
    bench.verify().must(0);
    let freed = freeing(profile(name));
    for (rule, class, path) in &freed {
        put(bench, rule, *class, path);
    }
    let quiet = bench.verify();
    assert_eq!(quiet.code, 0, "{name}: {:?}", quiet.violations());

    let mut told = BTreeSet::new();
    for path in beside {
        bench.write(path, b"planted");
        told.insert(format!("/{path}"));
    }
    for (rule, class, path) in &freed {
        let is_open = rule.rule.pattern.to_string().ends_with('*');
        let beside = if is_directory(rule) {
            format!("{path}/planted")
        } else if *class == PathClass::State || is_open {
            continue;
        } else {
            format!("{path}-planted")
        };
        bench.write(&beside, b"planted");
        told.insert(format!("/{beside}"));
    }
    let found = bench.verify().must(10).violations();
    let found: BTreeSet<String> = found
        .iter()
        .map(|one| one.split_once(' ').unwrap().1.to_owned())
        .collect();
    assert_eq!(found, told, "{name}");
}

#[test]
fn privileged_rpm_profiles_free_what_they_name_and_nothing_beside_it() {
    for (name, os_release) in FAMILY {
        judge(&stand_in(name, os_release), name, &BESIDE);
    }
}

#[test]
fn privileged_ubuntu_profiles_free_what_they_name_and_nothing_beside_it() {
    for (name, os_release) in UBUNTU {
        let bench = root_of(name, os_release, &BESIDE_UBUNTU);
        judge(&bench, name, &BESIDE_UBUNTU);
    }
}

#[test]
fn privileged_current_revision_of_a_snap_is_sealed_and_its_mount_point_is_not() {
    let (name, os_release) = UBUNTU[1];
    let bench = root_of(name, os_release, &BESIDE_UBUNTU);
    let snap = bench.root().join("snap/core");
    fs::create_dir_all(snap.join("1")).unwrap();
    symlink("1", snap.join("current")).unwrap();
    bench.seal().must(0);
    fs::write(snap.join("1/x"), "as a snap that is mounted there").unwrap();
    bench.verify().must(0);
    fs::remove_file(snap.join("current")).unwrap();
    symlink("2", snap.join("current")).unwrap();
    let found = bench.verify().must(10).violations();
    assert_eq!(found, ["target /snap/core/current"]);
}

#[test]
fn privileged_selinux_labels_are_sealed_whole() {
    let (name, os_release) = FAMILY[2];
    let bench = stand_in(name, os_release);
    bench.seal().must(0);
    // What restorecon leaves alone it does not write: the label is the one that was sealed.
    label(&bench, "system_u:object_r:usr_t:s0", "root/usr/bin/web");
    bench.verify().must(0);
    for other in [
        "system_u:object_r:bin_t:s0",
        "unconfined_u:object_r:usr_t:s0",
    ] {
        label(&bench, other, "root/usr/bin/web");
        let found = bench.verify().must(10).violations();
        assert_eq!(found, ["xattr /usr/bin/web"], "{other}");
    }
}

/// `restorecon`, or whoever writes a free path under a policy, gives it a label of the policy's.
#[test]
fn privileged_relabelled_root_is_one_finding_and_free_paths_have_any_label() {
    let (name, os_release) = FAMILY[2];
    let bench = stand_in(name, os_release);
    bench.seal().must(0);
    label(
        &bench,
        "unconfined_u:object_r:etc_runtime_t:s0",
        "root/etc/alternatives/editor",
    );
    bench.verify().must(0);
    // The control: three are told one by one.
    let some = ["usr/bin/helper", "usr/bin/web", "usr/lib/os-release"];
    for path in some {
        label(
            &bench,
            "system_u:object_r:default_t:s0",
            &format!("root/{path}"),
        );
    }
    let found = bench.verify().must(10).violations();
    assert_eq!(found, some.map(|path| format!("xattr /{path}")));
    label(&bench, "system_u:object_r:default_t:s0", "root");
    let told = bench.verify().must(10);
    assert_eq!(told.violations(), ["xattr /"]);
    assert!(told.out.contains("relabelled: "), "{}", told.out);
}

#[test]
fn privileged_learn_bundle_of_a_stand_in_names_rpm_packages() {
    let (name, os_release) = FAMILY[0];
    let bench = stand_in(name, os_release);
    bench.seal().must(0);
    bench.write("etc/new-setting", b"hunter2\n");
    bench.write("usr/share/crypto-policies/DEFAULT", b"LEGACY hunter2\n");
    let learn = ["learn", "--before", "root", "--root", "root"];
    let more = ["--trust", "trust.toml", "--bundle", "evidence.json"];
    bench.earmark(&[&learn[..], &more].concat()).must(10);
    let text = fs::read_to_string(bench.path("evidence.json")).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["profile"], name);
    assert_eq!(bundle["profile_is_booted"], false);
    assert_eq!(bundle["selinux"], "enforcing");
    assert_eq!(bundle["os_release"]["VERSION_ID"], "2023");
    assert_eq!(bundle["packages"]["crypto-policies"], "1-1");
    let changes = bundle["changes"].as_array().unwrap();
    let policy = changes
        .iter()
        .find(|one| one["path"] == "/usr/share/crypto-policies/DEFAULT")
        .unwrap();
    assert_eq!(policy["package"], "crypto-policies");
    // Written once: a second run keeps what is there.
    bench.earmark(&[&learn[..], &more].concat()).must(2);
    assert_eq!(
        fs::read_to_string(bench.path("evidence.json")).unwrap(),
        text
    );
}

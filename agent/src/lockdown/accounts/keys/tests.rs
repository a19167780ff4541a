use std::fs;

use earmark_manifest::declaration::Declaration;

use super::*;
use crate::testing::TestRoot;

const KEY: &[u8] = b"ssh-ed25519 AAAAsecret alice\n";

fn host() -> TestRoot {
    let root = TestRoot::bare();
    root.write(
        "/etc/passwd",
        b"root:x:0:0::/root:/bin/sh\nweb:x:7:7::/:/bin/sh\nbin:x:2:2::/bin:/bin/sh\n\
          none:x:8:8::/nonexistent:/bin/sh\nnull:x:9:9::/dev/null:/bin/sh\n\
          alice:x:1000:1000::/home/alice:/bin/sh\nal:x:1001:1000::/home/alice/:/bin/sh\n",
    );
    root.write("/usr/bin/true", b"");
    root.link("/bin", "usr/bin");
    root.write("/dev/null", b"");
    root
}

/// Returns what was found in whatever hands: what is open first, then what is not known.
fn seen(root: &TestRoot) -> Seen {
    let root = root.open();
    let look = Look::new(&root);
    let found = find(&look, &database::accounts(&look).unwrap());
    let all = [Cause::Root, Cause::Account, Cause::Anybody].map(|hands| found.seen(hands));
    let open = all.iter().find(|seen| matches!(seen, Seen::Open(_)));
    let odd = all.iter().find(|seen| !matches!(seen, Seen::Shut(..)));
    open.or(odd).unwrap_or(&all[0]).clone()
}

fn open(text: &str) -> Seen {
    Seen::Open(text.to_owned())
}

fn none() -> Seen {
    Seen::Shut(Strength::Reversible, "none".to_owned())
}

/// `/home` is state, as in every profile.
fn applied(root: &TestRoot) -> Vec<String> {
    let declaration = "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nstate = [\"/home\"]\n";
    let rules = Declaration::parse(declaration.as_bytes()).unwrap();
    let root = root.open();
    apply(&Look::new(&root), &rules.rule_set().unwrap())
}

#[test]
fn authorized_keys_are_found_in_every_home_and_shown_by_path_only() {
    assert_eq!(seen(&host()), none());
    for (file, expected) in [
        (
            "/home/alice/.ssh/authorized_keys",
            "/home/alice/.ssh/authorized_keys",
        ),
        (
            "/home/alice/.ssh/authorized_keys2",
            "/home/alice/.ssh/authorized_keys2",
        ),
        ("/root/.ssh/authorized_keys", "/root/.ssh/authorized_keys"),
        ("/.ssh/authorized_keys", "/.ssh/authorized_keys"),
        // Through a link, as a home may be reached.
        ("/usr/bin/.ssh/authorized_keys", "/bin/.ssh/authorized_keys"),
    ] {
        let root = host();
        root.write(file, KEY);
        assert_eq!(seen(&root), open(expected));
    }
}

#[test]
fn keys_probe_ignores_empty_files_and_files_that_sshd_does_not_read() {
    let root = host();
    root.write("/home/alice/.ssh/authorized_keys", b"\n");
    root.write("/home/alice/.ssh/known_hosts", KEY);
    root.write("/home/alice/authorized_keys", KEY);
    root.write("/home/bob/.ssh/authorized_keys", KEY);
    fs::create_dir_all(root.at("/root/.ssh/authorized_keys")).unwrap();
    assert_eq!(seen(&root), none());
    // It may lead to anything.
    root.link("/home/alice/.ssh/authorized_keys2", "/nowhere");
    assert_eq!(seen(&root), open("/home/alice/.ssh/authorized_keys2"));
}

#[test]
fn home_that_cannot_be_listed_is_unknown_unless_keys_are_found_elsewhere() {
    let root = host();
    root.link("/home/alice", "/home/alice");
    let Seen::Hidden(problem) = seen(&root) else {
        panic!("{:?}", seen(&root));
    };
    assert!(problem.contains("home/alice/.ssh"), "{problem}");
    assert_eq!(applied(&root).len(), 1);
    // What was found counts for more than what was not seen.
    root.write("/root/.ssh/authorized_keys", KEY);
    assert_eq!(seen(&root), open("/root/.ssh/authorized_keys"));
}

#[test]
fn keys_in_state_are_put_aside_and_sealed_ones_are_left() {
    let root = host();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    root.link("/home/alice/.ssh/authorized_keys2", "authorized_keys");
    root.write("/root/.ssh/authorized_keys", KEY);
    assert_eq!(applied(&root), Vec::<String>::new());
    assert_eq!(seen(&root), open("/root/.ssh/authorized_keys"));
    let aside = root.at("/home/alice/.ssh/authorized_keys.put-aside-by-earmark");
    assert_eq!(fs::read(&aside).unwrap(), KEY);
    // Once more: nothing is left to do, and what was put aside stays.
    assert_eq!(applied(&root), Vec::<String>::new());
    assert_eq!(fs::read(&aside).unwrap(), KEY);
    root.remove("/root/.ssh/authorized_keys");
    assert_eq!(seen(&root), none());
    // A key that comes later takes the place of the former.
    root.write("/home/alice/.ssh/authorized_keys", b"later");
    assert_eq!(applied(&root), Vec::<String>::new());
    assert_eq!(fs::read(&aside).unwrap(), b"later");
}

#[test]
fn keys_that_cannot_be_put_aside_are_removed_and_no_link_is_followed() {
    let root = host();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    root.write(
        "/home/alice/.ssh/authorized_keys.put-aside-by-earmark/file",
        b"",
    );
    assert_eq!(applied(&root), Vec::<String>::new());
    assert_eq!(seen(&root), none());

    let root = host();
    root.write("/etc/keys/authorized_keys", KEY);
    root.write("/home/alice/.keep", b"");
    root.link("/home/alice/.ssh", "/etc/keys");
    let problems = applied(&root);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("'/home/alice/.ssh/authorized_keys'"));
    assert_eq!(fs::read(root.at("/etc/keys/authorized_keys")).unwrap(), KEY);
    assert_eq!(seen(&root), open("/home/alice/.ssh/authorized_keys"));
}

#[test]
fn missing_passwd_file_is_reported_when_keys_are_put_aside() {
    let root = TestRoot::bare();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    let problems = applied(&root);
    assert_eq!(
        problems,
        ["failed to look for authorized keys: '/etc/passwd' is not there"]
    );
}

#[test]
fn keys_put_aside_are_restored_unless_a_newer_file_exists() {
    let root = host();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    assert_eq!(applied(&root), [""; 0]);
    assert_eq!(seen(&root), none());
    let give_back = || {
        let root = root.open();
        super::give_back(&Look::new(&root))
    };
    assert_eq!(give_back(), [""; 0]);
    let path = root.at("/home/alice/.ssh/authorized_keys");
    assert_eq!(fs::read(&path).unwrap(), KEY);
    // A second time there is nothing to do; and put aside again, a newer one is left alone.
    assert_eq!(give_back(), [""; 0]);
    assert_eq!(applied(&root), [""; 0]);
    root.write("/home/alice/.ssh/authorized_keys", b"newer\n");
    assert_eq!(give_back(), [""; 0]);
    assert_eq!(fs::read(&path).unwrap(), b"newer\n");
}

/// Whose hands each file was found in.
fn hands(root: &TestRoot) -> Vec<(String, Cause)> {
    let root = root.open();
    let look = Look::new(&root);
    let found = find(&look, &database::accounts(&look).unwrap());
    let keys = found.keys.into_iter();
    keys.map(|(keys, hands)| (keys.path(), hands)).collect()
}

#[test]
fn authorized_keys_cause_follows_write_permission_on_the_path() {
    use std::os::unix::fs::PermissionsExt;

    let path = "/home/alice/.ssh/authorized_keys";
    for (writable, mode, expected) in [
        ("/home/alice", 0o755, Cause::Root),
        ("/home/alice/.ssh", 0o775, Cause::Account),
        ("/home/alice", 0o770, Cause::Account),
        ("/home/alice", 0o1777, Cause::Anybody),
        (path, 0o664, Cause::Account),
        (path, 0o666, Cause::Anybody),
    ] {
        let root = host();
        root.write(path, KEY);
        fs::set_permissions(root.at(writable), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(hands(&root), [(path.to_owned(), expected)], "{writable}");
        // And where a link leads there.
        let root = host();
        root.write("/srv/home/.ssh/authorized_keys", KEY);
        let writable = writable.replacen("/home/alice", "/srv/home", 1);
        fs::set_permissions(root.at(&writable), fs::Permissions::from_mode(mode)).unwrap();
        root.write("/home/.keep", b"");
        root.link("/home/alice", "../srv/home");
        assert_eq!(hands(&root), [(path.to_owned(), expected)], "{writable}");
    }
}

#[test]
fn authorized_keys_lead_to_a_policy_only_if_root_alone_can_write_them() {
    use std::os::unix::fs::PermissionsExt;

    let root = host();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    fs::set_permissions(root.at("/home/alice"), fs::Permissions::from_mode(0o775)).unwrap();
    let leading = |root: &TestRoot| {
        let root = root.open();
        let look = Look::new(&root);
        let accounts = database::accounts(&look).unwrap();
        let items = items(&look, Ok(&accounts)).into_iter();
        let open = items.filter(|item| !item.state.is_shut());
        open.map(|item| (item.cause, item.leads_to_policy()))
            .collect::<Vec<_>>()
    };
    assert_eq!(leading(&root), [(Cause::Account, false)]);
    root.write("/root/.ssh/authorized_keys", KEY);
    assert_eq!(
        leading(&root),
        [(Cause::Root, true), (Cause::Account, false)]
    );
}

#[test]
fn keys_probe_terminates_on_a_fifo_a_huge_file_and_a_file_of_blanks() {
    let path = "/home/alice/.ssh/authorized_keys";
    let root = host();
    root.write("/home/alice/.ssh/.keep", b"");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.at(path),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(seen(&root), open(path));
    root.remove(path);
    let file = fs::File::create(root.at(path)).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(seen(&root), open(path));
    root.write(path, &[b' '; 1000]);
    assert_eq!(seen(&root), none());
}

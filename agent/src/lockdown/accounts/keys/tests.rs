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

fn seen(root: &TestRoot) -> Seen {
    let root = root.open();
    let look = Look::new(&root);
    see(&look, &database::accounts(&look).unwrap())
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
    super::super::apply(&Look::new(&root), &rules.rule_set().unwrap())
}

#[test]
fn keys_are_found_in_every_home_and_not_shown() {
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
fn an_empty_file_and_what_sshd_does_not_read_let_nobody_in() {
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
fn a_home_that_cannot_be_listed_is_unknown() {
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
fn nothing_in_the_way_keeps_keys_in_place_and_no_link_is_followed() {
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
fn without_accounts_nothing_is_done_and_that_is_said() {
    let root = TestRoot::bare();
    root.write("/home/alice/.ssh/authorized_keys", KEY);
    let problems = applied(&root);
    assert_eq!(
        problems,
        ["failed to look for authorized keys: '/etc/passwd' is not there"]
    );
}

#[test]
fn what_was_put_aside_is_given_back_unless_something_else_is_there() {
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

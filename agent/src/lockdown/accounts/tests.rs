use super::*;
use crate::status::model::LockState;
use crate::testing::TestRoot;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
";
const SHADOW: &str = "\
systemd-network:!*:20089::::::
root:*:20089:0:99999:7:::
daemon:*:20089:0:99999:7:::
alice:!$y$j9T$secret$hash:20089:0:99999:7:::
";

fn host() -> TestRoot {
    let root = TestRoot::bare();
    root.write("/etc/passwd", PASSWD.as_bytes());
    root.write("/etc/shadow", SHADOW.as_bytes());
    root.write(
        "/etc/ssh/sshd_config",
        b"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
    );
    root
}

fn with(passwd: &str, shadow: &str) -> TestRoot {
    let root = host();
    root.write("/etc/passwd", format!("{PASSWD}{passwd}").as_bytes());
    root.write("/etc/shadow", format!("{SHADOW}{shadow}").as_bytes());
    root
}

fn item(root: &TestRoot, name: &str) -> (LockState, String) {
    let root = root.open();
    let items = probe(&Look::new(&root));
    let item = items.into_iter().find(|item| item.name == name).unwrap();
    (item.state, item.found)
}

fn state(root: &TestRoot) -> LockState {
    let root = root.open();
    let items = probe(&Look::new(&root));
    items.iter().map(|item| item.state).max().unwrap()
}

fn open(text: &str) -> (LockState, String) {
    (LockState::NotEnforced, text.to_owned())
}

#[test]
fn home_that_is_no_utf8_is_unknown() {
    let root = host();
    // The control: a comment field in Latin-1 hides nothing.
    let line = |gecos: &[u8], home: &[u8]| {
        let parts = [
            PASSWD.as_bytes(),
            b"eve:x:1001:1001:",
            gecos,
            b":",
            home,
            b":/bin/sh\n",
        ];
        root.write("/etc/passwd", &parts.concat());
        state(&root)
    };
    assert_eq!(line(b"\xe9ve", b"/home/eve"), LockState::Enforced);
    assert_eq!(line(b"eve", b"/home/\xe9ve"), LockState::Unknown);
}

#[test]
fn accounts_lock_without_passwords_and_keys_is_enforced() {
    assert_eq!(state(&host()), LockState::Enforced);
    // A comment and an empty line are no accounts.
    let root = with("\n# nobody\n", "\n");
    assert_eq!(state(&root), LockState::Enforced);
}

#[test]
fn usable_or_empty_password_is_found_and_its_hash_is_not_shown() {
    for (passwd, shadow, expected) in [
        ("", "bob:$6$salt$secret:1::::::\n", "usable for bob"),
        ("", "bob:secret:1::::::\n", "usable for bob"),
        ("", "bob::1::::::\n", "none is needed for bob"),
        ("bob::1001:1001::/home/bob:\n", "", "none is needed for bob"),
        (
            "bob:$1$secret:1001:1001::/home/bob:\n",
            "",
            "usable for bob",
        ),
        ("bob:xx:1001:1001::/home/bob:\n", "", "usable for bob"),
        (
            "carol::7:7::/:\n",
            "bob:secret:1::::::\nroot:secret:1::::::\n",
            "none is needed for carol; usable for bob, root",
        ),
        ("", "b\x1bb:secret:1::::::\n", "usable for b\\x1bb"),
    ] {
        let root = with(passwd, shadow);
        let found = item(&root, "passwords");
        assert_eq!(found, open(expected));
        assert!(!found.1.contains("secret"));
        assert_eq!(state(&root), LockState::NotEnforced);
    }
    for (passwd, shadow) in [
        ("bob:x:1001:1001::/home/bob:\n", ""),
        ("bob:*:1001:1001::/home/bob:\n", ""),
        ("bob:!$6$secret:1001:1001::/home/bob:\n", "bob:!!:1::::::\n"),
    ] {
        let root = with(passwd, shadow);
        assert_eq!(item(&root, "passwords").0, LockState::Enforced, "{passwd}");
    }
}

#[test]
fn malformed_or_missing_passwd_or_shadow_file_is_unknown() {
    for (passwd, shadow) in [
        ("bob:x:1001:1001::/home/bob\n", ""),
        ("bob:x:1001:1001::/home/bob:/bin/sh:secret\n", ""),
        ("bob:x::1001::/home/bob:/bin/sh\n", ""),
        ("bob:x:4294967296:1001::/home/bob:/bin/sh\n", ""),
        ("bob:x:-1:1001::/home/bob:/bin/sh\n", ""),
        ("bob:x:1001:x::/home/bob:/bin/sh\n", ""),
        (":x:1001:1001::/home/bob:/bin/sh\n", ""),
        ("+::::::\n", ""),
        ("+bob:x:0:0:::\n", ""),
        ("secret\n", ""),
        ("", "bob:secret\n"),
        ("", "bob:*:1:::::\n"),
        ("", "bob:*:1:::::::\n"),
        ("", ":*:1::::::\n"),
        ("", "+:*:1::::::\n"),
    ] {
        let root = with(passwd, shadow);
        let (state, found) = item(&root, "passwords");
        assert_eq!(state, LockState::Unknown, "{passwd}{shadow}");
        assert!(found.contains("line 5 is malformed"), "{found}");
        assert!(!found.contains("secret"));
        let expected = if passwd.is_empty() {
            LockState::Enforced
        } else {
            LockState::Unknown
        };
        assert_eq!(item(&root, "accounts with user id 0").0, expected);
        assert_eq!(item(&root, "authorized keys, root's hands").0, expected);
    }
    for file in ["/etc/passwd", "/etc/shadow"] {
        let root = host();
        root.remove(file);
        let (state, found) = item(&root, "passwords");
        assert_eq!(
            (state, found),
            (LockState::Unknown, format!("'{file}' is not there"))
        );
        root.link(file, "/etc/other");
        assert_eq!(item(&root, "passwords").0, LockState::Unknown);
    }
}

#[test]
fn account_with_user_id_0_is_found_in_any_spelling_of_the_id() {
    let name = "accounts with user id 0";
    assert_eq!(item(&host(), name).0, LockState::Enforced);
    for id in ["0", "00", "+0"] {
        let root = with(&format!("toor:x:{id}:0::/root:/bin/sh\n"), "");
        assert_eq!(item(&root, name), open("toor"));
        assert_eq!(item(&root, "passwords").0, LockState::Enforced);
    }
}

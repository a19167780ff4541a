use super::*;
use crate::testing::TestRoot;

fn seen(root: &TestRoot) -> Seen {
    see(&Look::new(&root.open()))
}

fn of(configuration: &str) -> Seen {
    let root = TestRoot::bare();
    root.write(CONFIGURATION, configuration.as_bytes());
    seen(&root)
}

fn usual() -> Seen {
    Seen::Shut(Strength::Reversible, "~/.ssh only".to_owned())
}

fn open(keyword: &str, file: &str) -> Seen {
    Seen::Open(format!("{keyword} in {file}"))
}

#[test]
fn sshd_config_is_shut_with_usual_key_sources_and_open_with_any_other() {
    assert_eq!(
        seen(&TestRoot::bare()),
        Seen::Absent("no '/etc/ssh/sshd_config'".to_owned())
    );
    for configuration in [
        "",
        "# AuthorizedKeysFile /etc/keys\n",
        "#AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\nUsePAM yes\n",
        "AuthorizedKeysFile .ssh/authorized_keys\n",
        "AuthorizedKeysFile\t%h/.ssh/authorized_keys .ssh/authorized_keys2 # usual\n",
        "authorizedkeysfile = \".ssh/authorized_keys\"\r\n",
        "AuthorizedKeysFile none\nAuthorizedKeysCommand none\nTrustedUserCAKeys none\n",
        "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\n",
        "AuthorizedKeysCommandUser nobody\nHostbasedAuthentication no\n",
    ] {
        assert_eq!(of(configuration), usual(), "{configuration}");
    }
    for (configuration, keyword) in [
        (
            "AuthorizedKeysFile /etc/ssh/keys/%u\n",
            "authorizedkeysfile",
        ),
        (
            "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u\n",
            "authorizedkeysfile",
        ),
        (
            "AuthorizedKeysFile none .ssh/authorized_keys\n",
            "authorizedkeysfile",
        ),
        ("  AUTHORIZEDKEYSFILE=/etc/keys\n", "authorizedkeysfile"),
        ("\"AuthorizedKeysFile\" /etc/keys\n", "authorizedkeysfile"),
        (
            "Match User bob\n\tAuthorizedKeysFile .keys\n",
            "authorizedkeysfile",
        ),
        (
            "AuthorizedKeysCommand /usr/bin/keys %u\n",
            "authorizedkeyscommand",
        ),
        ("AuthorizedKeysCommand\n", "authorizedkeyscommand"),
        ("TrustedUserCAKeys /etc/ssh/ca.pub\n", "trustedusercakeys"),
        ("HostbasedAuthentication yes\n", "hostbasedauthentication"),
    ] {
        assert_eq!(
            of(configuration),
            open(keyword, CONFIGURATION),
            "{configuration}"
        );
    }
}

#[test]
fn sshd_config_include_directives_are_followed() {
    let keys = b"AuthorizedKeysFile /etc/keys\n";
    let root = TestRoot::bare();
    root.write(CONFIGURATION, b"Include /etc/ssh/sshd_config.d/*.conf\n");
    root.write("/etc/ssh/sshd_config.d/keys.conf.old", keys);
    root.write("/etc/ssh/sshd_config.d/.hidden.conf", keys);
    root.write("/etc/ssh/sshd_config.d/10-a.conf", b"UsePAM yes\n");
    assert_eq!(seen(&root), usual());
    root.write("/etc/ssh/sshd_config.d/20-b.conf", keys);
    let expected = open("authorizedkeysfile", "/etc/ssh/sshd_config.d/20-b.conf");
    assert_eq!(seen(&root), expected);

    // As Amazon Linux has it: a file elsewhere, behind a link.
    let root = TestRoot::bare();
    root.write(CONFIGURATION, b"");
    root.write(
        "/etc/ssh/sshd_config.d/50-redhat.conf",
        b"Include /etc/crypto-policies/back-ends/opensshserver.config\nInclude more gone\n",
    );
    let config = "/etc/crypto-policies/back-ends/opensshserver.config";
    root.write(
        "/usr/share/crypto-policies/opensshserver.txt",
        b"Ciphers x\n",
    );
    root.link(config, "/usr/share/crypto-policies/opensshserver.txt");
    assert_eq!(seen(&root), usual());
    root.write("/etc/ssh/more", b"Include sshd_config\nInclude more\n");
    assert_eq!(seen(&root), usual());
    root.write("/etc/ssh/more", keys);
    assert_eq!(seen(&root), open("authorizedkeysfile", "/etc/ssh/more"));
    root.write("/usr/share/crypto-policies/opensshserver.txt", keys);
    let expected = format!("authorizedkeysfile in {config}; authorizedkeysfile in /etc/ssh/more");
    assert_eq!(seen(&root), Seen::Open(expected));
}

#[test]
fn sshd_config_with_unsupported_or_too_many_includes_is_unknown() {
    for configuration in [
        "Include /etc/ssh/*/keys.conf\n",
        "Include /etc/ssh/[ab].conf\n",
        "Include a?.conf\n",
        "Include /etc/ssh/a*b*.conf\n",
        // A directory.
        "Include /etc/ssh\n",
    ] {
        assert!(
            matches!(of(configuration), Seen::Hidden(_)),
            "{configuration}"
        );
    }
    let root = TestRoot::bare();
    root.write(CONFIGURATION, b"Include many/*\n");
    for number in 0..=MOST {
        root.write(&format!("/etc/ssh/many/{number}"), b"");
    }
    assert!(matches!(seen(&root), Seen::Hidden(_)));
}

//! Secrets, and ways in that a bake left.

use super::{super::Put::File, Case, KEY, case};

const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END CERTIFICATE-----
";

pub(super) const CASES: &[Case] = &[
    case(
        "authorized-keys",
        "/home/web/.ssh/authorized_keys",
        &[File(
            "home/web/.ssh/authorized_keys",
            "ssh-ed25519 AAAA packer\n",
        )],
        &[File("home/web/.ssh/authorized_keys", "# none\n")],
    ),
    case(
        "authorized-keys",
        "/home/ghost/.ssh/authorized_keys",
        &[File(
            "home/ghost/.ssh/authorized_keys",
            "ssh-ed25519 AAAA\n",
        )],
        &[File("srv/ghost/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")],
    ),
    case(
        "private-key",
        "/etc/web/tls.pem",
        &[File("etc/web/tls.pem", KEY)],
        &[
            File("etc/web/tls.pem", CERTIFICATE),
            File("usr/lib/python3/x/tests/key.pem", KEY),
            File("usr/share/doc/x/key.pem", KEY),
            File("etc/ssh/ssh_host_rsa_key", KEY),
        ],
    ),
    case(
        "cloud-credentials",
        "/root/.aws/credentials",
        &[File("root/.aws/credentials", "x")],
        &[File("root/.aws/config", "x")],
    ),
    case(
        "cloud-credentials",
        "/home/web/.aws/sso/cache/x.json",
        &[File("home/web/.aws/sso/cache/x.json", "x")],
        &[File("home/web/.aws/sso/x.json", "x")],
    ),
    case(
        "registry-token",
        "/root/.docker/config.json",
        &[File(
            "root/.docker/config.json",
            "{\"auths\":{\"x\":{\"auth\":\"eA==\"}}}",
        )],
        &[File(
            "root/.docker/config.json",
            "{\"credsStore\":\"ecr-login\"}",
        )],
    ),
    case(
        "registry-token",
        "/home/web/.npmrc",
        &[File("home/web/.npmrc", "//x/:_authToken=npm_x\n")],
        &[File("home/web/.npmrc", "registry=https://x/\n")],
    ),
    case(
        "registry-token",
        "/etc/pip.conf",
        &[File("etc/pip.conf", "index-url = https://u:p@x/simple\n")],
        &[File("etc/pip.conf", "index-url = https://x/simple\n")],
    ),
    case(
        "stored-password",
        "/root/.netrc",
        &[File("root/.netrc", "machine x login y password z\n")],
        &[File("root/.netrc", "")],
    ),
    case(
        "known-hosts",
        "/root/.ssh/known_hosts",
        &[File("root/.ssh/known_hosts", "x")],
        &[File("etc/ssh/ssh_known_hosts", "x")],
    ),
];

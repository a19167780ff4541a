//! What opens something else: an image is copied, published and kept for years.

use earmark_scan::Progress as _;

use super::{Image, Sink};
use crate::{
    lint::{finding::Draft, image::Seen},
    progress::Bar,
};

/// `authorized_keys` of every account.
pub fn authorized_keys(image: &Image<'_>, sink: &mut Sink) {
    let names = [".ssh/authorized_keys", ".ssh/authorized_keys2"];
    let homes = image.in_homes(&names).into_iter();
    let central = image
        .children("etc/ssh/authorized_keys.d")
        .chain(image.children("etc/ssh/authorized_keys"));
    for file in homes.chain(central).filter(|file| file.has_content()) {
        let text = image.text_of(file).unwrap_or_default();
        let is_key = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        let count = text.lines().filter(is_key).count();
        if count > 0 {
            let keys = crate::output::count(count, "key", "keys");
            sink.push(Draft::new(
                &file.path,
                format!("lets {keys} in on every host"),
            ));
        }
    }
}

/// Whom somebody on the builder connected to.
pub fn known_hosts(image: &Image<'_>, sink: &mut Sink) {
    for file in image.in_homes(&[".ssh/known_hosts", ".ssh/known_hosts.old"]) {
        if file.has_content() {
            sink.push(Draft::new(&file.path, "tells whom the builder connected to").removed());
        }
    }
}

/// Files that are credentials by their name.
pub fn cloud_credentials(image: &Image<'_>, sink: &mut Sink) {
    let files = [
        ".aws/credentials",
        ".config/gcloud/credentials.db",
        ".config/gcloud/access_tokens.db",
        ".config/gcloud/application_default_credentials.json",
        ".azure/accessTokens.json",
        ".azure/msal_token_cache.json",
        ".azure/msal_token_cache.bin",
        ".azure/service_principal_entries.json",
        ".kube/config",
        ".boto",
        ".s3cfg",
        ".terraform.d/credentials.tfrc.json",
        ".vault-token",
    ];
    let caches = [
        ".aws/sso/cache",
        ".aws/cli/cache",
        ".config/gcloud/legacy_credentials",
    ];
    let mut found = image.in_homes(&files);
    for directory in image.in_homes(&caches) {
        found.extend(image.beneath(directory.path.as_bytes()));
    }
    found.extend(image.get("etc/rancher/k3s/k3s.yaml"));
    found.extend(image.get("etc/kubernetes/admin.conf"));
    report(found, "has credentials of a cloud account", sink);
}

/// Tokens for registries of packages and containers.
pub fn registry_tokens(image: &Image<'_>, sink: &mut Sink) {
    // By content: these are there without a token, too.
    for (names, marks) in [
        (
            &[".docker/config.json", ".config/containers/auth.json"][..],
            &["\"auth\"", "\"identitytoken\""][..],
        ),
        (
            &[".npmrc", ".yarnrc.yml"][..],
            &["_authToken", "_password", "_auth", "npmAuthToken"][..],
        ),
        (
            &[
                ".pypirc",
                ".gem/credentials",
                ".cargo/credentials",
                ".cargo/credentials.toml",
            ][..],
            &["password", "api_key", "token"][..],
        ),
        (&[".pip/pip.conf", ".config/pip/pip.conf"][..], &["@"][..]),
        (
            &[".m2/settings.xml", ".gradle/gradle.properties"][..],
            &["<password>", "assword="][..],
        ),
    ] {
        let files = image.in_homes(names).into_iter().filter(|file| {
            let text = image.text_of(file).unwrap_or_default();
            marks.iter().any(|mark| text.contains(mark))
        });
        report(
            files.collect(),
            "has a token or password for a registry",
            sink,
        );
    }
    let pip = image.get("etc/pip.conf").filter(|file| {
        let text = image.text_of(file).unwrap_or_default();
        text.lines()
            .any(|line| line.contains("://") && line.contains('@'))
    });
    report(
        pip.into_iter().collect(),
        "has a token or password for a registry",
        sink,
    );
}

/// Passwords that tools keep to send them themselves.
pub fn stored_passwords(image: &Image<'_>, sink: &mut Sink) {
    let files = [
        ".netrc",
        ".git-credentials",
        ".config/git/credentials",
        ".config/gh/hosts.yml",
        ".pgpass",
        ".my.cnf",
        ".mylogin.cnf",
        ".smbcredentials",
    ];
    report(image.in_homes(&files), "has passwords or tokens", sink);
}

fn report(files: Vec<&Seen>, found: &str, sink: &mut Sink) {
    for file in files.into_iter().filter(|file| file.has_content()) {
        sink.push(Draft::new(&file.path, found));
    }
}

/// A key with its chain of certificates is no larger.
const KEY: u64 = 64 * 1024;
/// The smallest, of Ed25519, has 119.
const SMALLEST: u64 = 100;

/// Private keys, by content.
pub fn private_keys(image: &Image<'_>, sink: &mut Sink) {
    let small = |seen: &&Seen| seen.is_file() && (SMALLEST..=KEY).contains(&seen.size);
    let files: Vec<&Seen> = image.all().iter().filter(small).collect();
    let progress = Bar::new("looking for keys");
    progress.total(files.iter().map(|file| file.size).sum());
    for file in files {
        progress.advance(file.size);
        // They have a rule of their own, which repairs them.
        let is_host_key = file.path.as_bytes().starts_with(b"etc/ssh/ssh_host_");
        if is_host_key || is_example(file.path.as_bytes()) {
            continue;
        }
        let Some(bytes) = image.read(file, KEY.try_into().unwrap_or(usize::MAX)) else {
            continue;
        };
        if holds_a_key(&bytes) {
            sink.push(Draft::new(&file.path, "has a private key"));
        }
    }
}

/// Places where keys are published, to be read or to be tested with.
fn is_example(path: &[u8]) -> bool {
    const PLACES: [&[u8]; 4] = [
        b"usr/share/doc/",
        b"usr/share/man/",
        b"usr/share/info/",
        b"usr/share/locale/",
    ];
    const NAMES: [&[u8]; 8] = [
        b"test",
        b"tests",
        b"testdata",
        b"test_data",
        b"fixtures",
        b"examples",
        b"testing",
        b"__pycache__",
    ];
    let mut names = path.split(|byte| *byte == b'/');
    PLACES.iter().any(|place| path.starts_with(place))
        // Only of software: a directory called `test` elsewhere is somebody's own.
        || (path.starts_with(b"usr/") && names.any(|name| NAMES.contains(&name)))
}

/// A whole PEM block of a key: source code that speaks of keys has quotes round its first line, and the keys of
/// manuals are cut short with dots.
fn holds_a_key(bytes: &[u8]) -> bool {
    let lines: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .collect();
    let is_block = |(at, line): (usize, &&[u8])| {
        let is_pem = line.starts_with(b"-----BEGIN ")
            && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"));
        is_pem && is_key(lines.get(at + 1..).unwrap_or_default())
    };
    let is_putty = |line: &&[u8]| line.starts_with(b"PuTTY-User-Key-File-");
    lines.first().is_some_and(is_putty) || lines.iter().enumerate().any(is_block)
}

/// Whether these lines are a key up to its end: headers, and base64 of DER, of OpenSSH's format or of `OpenPGP`'s.
fn is_key(lines: &[&[u8]]) -> bool {
    const SHORTEST: usize = 40;
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let mut first = None;
    let mut length = 0;
    for line in lines {
        if line.starts_with(b"-----END ") {
            let starts = |line: &[u8]| matches!(line.first(), Some(b'M' | b'b' | b'l' | b'x'));
            return length >= SHORTEST && first.is_some_and(starts);
        }
        if line.is_empty() || line.contains(&b':') {
            continue;
        }
        if !line.iter().all(base64) {
            return false;
        }
        first = first.or(Some(*line));
        length += line.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_from_text_about_keys() {
        const BODY: &str = "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (text, is_key) in [
            (
                "-----BEGIN PRIVATE KEY-----\nBODY\n-----END PRIVATE KEY-----\n",
                true,
            ),
            (
                "x\n-----BEGIN EC PRIVATE KEY-----\r\nBODY\r\n-----END EC PRIVATE KEY-----\r\n",
                true,
            ),
            (
                "  -----BEGIN PRIVATE KEY-----\n  BODY\n  -----END PRIVATE KEY-----\n",
                true,
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nBODY\n-----END RSA",
                true,
            ),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBODY\n=abcd\n-----END PGP",
                true,
            ),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            (
                "-----BEGIN PUBLIC KEY-----\nBODY\n-----END PUBLIC KEY-----\n",
                false,
            ),
            (
                "if line == '-----BEGIN PRIVATE KEY-----':\nBODY\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nBODY\n...\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nVBNhBODY\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n",
                false,
            ),
            ("-----BEGIN PRIVATE KEY-----\nBODY\n", false),
        ] {
            let text = text.replace("BODY", BODY);
            assert_eq!(holds_a_key(text.as_bytes()), is_key, "{text}");
        }
        assert!(is_example(b"usr/lib/python3/dist-packages/x/tests/key.pem"));
        assert!(!is_example(b"etc/test/key.pem") && !is_example(b"usr/lib/testing-tool"));
    }
}

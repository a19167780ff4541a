//! Rules about secrets, which open something else: an image is copied, published and kept for years.

use super::{Image, Sink};
use crate::lint::{finding::Draft, image::Seen};

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
            let keys = crate::io::output::count(count, "key", "keys");
            sink.push(Draft::new(
                file.path,
                format!("lets {keys} in on every host"),
            ));
        }
    }
}

/// Whom somebody on the builder connected to.
pub fn known_hosts(image: &Image<'_>, sink: &mut Sink) {
    for file in image.in_homes(&[".ssh/known_hosts", ".ssh/known_hosts.old"]) {
        if file.has_content() {
            sink.push(Draft::new(file.path, "tells whom the builder connected to").removed());
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

fn report(files: Vec<&Seen<'_>>, found: &str, sink: &mut Sink) {
    for file in files.into_iter().filter(|file| file.has_content()) {
        sink.push(Draft::new(file.path, found));
    }
}

/// Private keys, by content.
pub fn private_keys(image: &Image<'_>, sink: &mut Sink) {
    if image.keys.is_empty() {
        return;
    }
    let has_key = |seen: &&Seen<'_>| seen.is_file() && image.keys.contains(&seen.inode);
    for file in image.all().iter().filter(has_key) {
        // They have a rule of their own, which repairs them.
        let is_host_key = file.path.as_bytes().starts_with(b"etc/ssh/ssh_host_");
        if !is_host_key && !is_example(file.path.as_bytes()) {
            sink.push(Draft::new(file.path, "has a private key"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_key_is_an_example_only_in_a_software_test_directory() {
        assert!(is_example(b"usr/lib/python3/dist-packages/x/tests/key.pem"));
        assert!(!is_example(b"etc/test/key.pem") && !is_example(b"usr/lib/testing-tool"));
    }
}

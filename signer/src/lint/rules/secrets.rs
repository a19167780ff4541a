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

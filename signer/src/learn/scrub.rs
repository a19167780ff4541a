//! Names without what is one host's own or a person's: for paths that leave the host.
//!
//! Protects against a bundle that tells who the host is. It errs to the side of too much: a version that reads like an
//! address is lost, too.

/// Names beneath /root that programs make on their own; all others are a person's.
const OF_PROGRAMS: [&str; 10] = [
    ".ssh",
    ".bash_history",
    ".bashrc",
    ".profile",
    ".cache",
    ".config",
    ".local",
    ".lesshst",
    ".viminfo",
    "snap",
];

/// Words that stand for what was taken out.
const ID: &str = "<id>";

/// Names of a host, to take out wherever they occur.
#[derive(Debug, Default)]
pub struct Scrub {
    /// Each with the word that stands for it, longest first.
    names: Vec<(String, &'static str)>,
}

impl Scrub {
    /// For a host with these names, of which some may be empty.
    pub fn new(machine_id: &str, hostname: &str) -> Self {
        let short = hostname.split('.').next().unwrap_or_default();
        let all = [
            (machine_id, ID),
            (hostname, "<hostname>"),
            (short, "<hostname>"),
        ];
        // A name of two letters is in every other path, and says as little.
        let mut names: Vec<_> = all
            .into_iter()
            .map(|(name, word)| (name.trim().to_owned(), word))
            .filter(|(name, _)| name.len() > 2 && name != "localhost")
            .collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { names }
    }

    /// An absolute path, escaped, without names of people and hosts.
    pub fn path(&self, path: &str) -> String {
        if path.strip_prefix("/home/").is_some() {
            return "/home/*".to_owned();
        }
        if let Some(beneath) = path.strip_prefix("/root/") {
            let (name, rest) = beneath.split_once('/').unwrap_or((beneath, ""));
            return match (OF_PROGRAMS.contains(&name), rest) {
                (false, _) => "/root/*".to_owned(),
                (true, "") => format!("/root/{name}"),
                (true, "authorized_keys") => format!("/root/{name}/authorized_keys"),
                (true, _) => format!("/root/{name}/*"),
            };
        }
        let mut path = path.to_owned();
        for (name, word) in &self.names {
            path = path.replace(name, word);
        }
        let components: Vec<String> = path.split('/').map(component).collect();
        components.join("/")
    }
}

/// A component without addresses and identities: hexadecimal words of eight digits and more, UUIDs, and the addresses of
/// networks.
fn component(name: &str) -> String {
    let words = split(name);
    let mut is_own = vec![false; words.len()];
    for (at, (word, _)) in words.iter().enumerate() {
        is_own[at] =
            is_hex(word) && word.len() >= 8 && word.bytes().any(|one| one.is_ascii_digit());
    }
    let is_number = |word: &str| word.len() <= 3 && word.parse::<u8>().is_ok();
    let is_pair = |word: &str| word.len() == 2 && is_hex(word);
    mark(&words, &mut is_own, 4, b".-_", is_number);
    mark(&words, &mut is_own, 6, b":-_", is_pair);
    mark(&words, &mut is_own, 3, b":", is_hex);
    // The other groups of a UUID.
    let is_group = |word: &str| is_hex(word) && matches!(word.len(), 4 | 8 | 12);
    for at in 1..words.len() {
        is_own[at] |= is_own[at - 1] && words[at - 1].1 == "-" && is_group(words[at].0);
    }
    let mut shown = String::with_capacity(name.len());
    for (at, (word, separator)) in words.iter().enumerate() {
        let goes_on = is_own.get(at + 1).copied().unwrap_or_default();
        match (is_own[at], goes_on) {
            (true, true) => {}
            (true, false) => shown.extend([ID, separator]),
            (false, _) => shown.extend([*word, separator]),
        }
    }
    shown
}

/// Marks the runs of at least `least` such words with one of the separators between them, the same in all of a run.
fn mark(
    words: &[(&str, &str)],
    is_own: &mut [bool],
    least: usize,
    separators: &[u8],
    is_part: impl Fn(&str) -> bool,
) {
    for separator in separators {
        for start in 0..words.len() {
            let parts = words[start..].iter();
            let parts = parts.take_while(|(word, _)| is_part(word)).count();
            let joined = words[start..start + parts].iter();
            let joined = joined.take_while(|(_, after)| after.as_bytes() == [*separator]);
            let length = parts.min(joined.count() + 1);
            if length >= least {
                is_own[start..start + length].fill(true);
            }
        }
    }
}

/// The words of letters and digits, each with what follows it. The first may be empty.
fn split(name: &str) -> Vec<(&str, &str)> {
    let mut words = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_alphanumeric());
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let next = after.find(char::is_alphanumeric).unwrap_or(after.len());
        let (separator, tail) = after.split_at(next);
        words.push((word, separator));
        rest = tail;
    }
    words
}

fn is_hex(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|one| one.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_people_are_taken_out_of_paths() {
        const MACHINE: &str = "0123456789abcdef0123456789abcdef";
        let scrub = Scrub::new(MACHINE, "shop-7.example.org\n");
        for (path, expected) in [
            ("/home/alice/taxes/2026.ods", "/home/*"),
            ("/root/plans.txt", "/root/*"),
            ("/root/.ssh", "/root/.ssh"),
            ("/root/.ssh/authorized_keys", "/root/.ssh/authorized_keys"),
            ("/root/.config/secret-project/x", "/root/.config/*"),
            (
                "/var/lib/x/0123456789abcdef0123456789abcdef/log",
                "/var/lib/x/<id>/log",
            ),
            ("/etc/ssl/shop-7.example.org.pem", "/etc/ssl/<hostname>.pem"),
            ("/var/cache/shop-7/x", "/var/cache/<hostname>/x"),
            (
                "/var/lib/cloud/instances/i-0abc12345def67890/x",
                "/var/lib/cloud/instances/i-<id>/x",
            ),
            ("/var/x/ip-10-0-13-7.log", "/var/x/ip-<id>.log"),
            ("/var/x/192.0.2.7", "/var/x/<id>"),
            ("/var/x/2001:db8:0:1::7", "/var/x/<id>::7"),
            ("/var/x/02:00:5e:10:00:ff.lease", "/var/x/<id>.lease"),
            ("/var/x/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/var/x/<id>"),
            // What says nothing of a host stays.
            ("/var/lib/dpkg/status-old", "/var/lib/dpkg/status-old"),
            (
                "/boot/vmlinuz-6.1.0-23-amd64",
                "/boot/vmlinuz-6.1.0-23-amd64",
            ),
            (
                "/usr/lib/m/a.cpython-311.pyc",
                "/usr/lib/m/a.cpython-311.pyc",
            ),
            ("/etc/.updated", "/etc/.updated"),
            ("/var/lib/x/deadbeef", "/var/lib/x/deadbeef"),
            ("/homework", "/homework"),
        ] {
            assert_eq!(scrub.path(path), expected, "{path}");
        }
        // A host without a name of its own takes nothing else out.
        let scrub = Scrub::new("", "localhost");
        assert_eq!(scrub.path("/etc/localhost/x"), "/etc/localhost/x");
    }
}

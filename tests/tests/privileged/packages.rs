//! The packages, as images take them: installed into a real root that is not booted, and removed.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use earmark_tests::{
    overlay::{Overlay, package},
    run, run_with,
};

/// Path, type and mode, owner and group, target: what installing the agent adds to a root. Written
/// out here, so that nothing enters an image by a mistake in the table of the packages.
const AGENT: &[&str] = &[
    "etc/systemd/system/multi-user.target.wants/earmark-agent.service l777 root:root /lib/systemd/system/earmark-agent.service",
    "etc/systemd/system/multi-user.target.wants/earmark-ready.target l777 root:root /lib/systemd/system/earmark-ready.target",
    "etc/systemd/system/sysinit.target.wants/earmark-verify.service l777 root:root /lib/systemd/system/earmark-verify.service",
    "usr/bin/earmark-agent f755 root:root ",
    "usr/lib/earmark d755 root:root ",
    "usr/lib/earmark/earmark-init f755 root:root ",
    "usr/lib/systemd/catalog/earmark.catalog f644 root:root ",
    "usr/lib/systemd/system-generators/earmark-generator l777 root:root ../../../bin/earmark-agent",
    "usr/lib/systemd/system-preset/50-earmark.preset f644 root:root ",
    "usr/lib/systemd/system/earmark-agent.service f644 root:root ",
    "usr/lib/systemd/system/earmark-corruption.service f644 root:root ",
    "usr/lib/systemd/system/earmark-corruption.timer f644 root:root ",
    "usr/lib/systemd/system/earmark-fetch.service f644 root:root ",
    "usr/lib/systemd/system/earmark-fetch.timer f644 root:root ",
    "usr/lib/systemd/system/earmark-first-boot.service f644 root:root ",
    "usr/lib/systemd/system/earmark-follow.service f644 root:root ",
    "usr/lib/systemd/system/earmark-grants.path f644 root:root ",
    "usr/lib/systemd/system/earmark-grants.service f644 root:root ",
    "usr/lib/systemd/system/earmark-instance.service f644 root:root ",
    "usr/lib/systemd/system/earmark-lockdown-again.service f644 root:root ",
    "usr/lib/systemd/system/earmark-lockdown-again.timer f644 root:root ",
    "usr/lib/systemd/system/earmark-lockdown-early.service f644 root:root ",
    "usr/lib/systemd/system/earmark-lockdown.service f644 root:root ",
    "usr/lib/systemd/system/earmark-quarantine.target f644 root:root ",
    "usr/lib/systemd/system/earmark-ready.target f644 root:root ",
    "usr/lib/systemd/system/earmark-report.path f644 root:root ",
    "usr/lib/systemd/system/earmark-report.service f644 root:root ",
    "usr/lib/systemd/system/earmark-report.timer f644 root:root ",
    "usr/lib/systemd/system/earmark-verified.target f644 root:root ",
    "usr/lib/systemd/system/earmark-verify.service f644 root:root ",
    "usr/lib/sysusers.d/earmark.conf f644 root:root ",
    "usr/lib/tmpfiles.d/earmark.conf f644 root:root ",
    "usr/sbin/apt l777 root:root ../bin/earmark-agent",
    "usr/sbin/apt-get l777 root:root ../bin/earmark-agent",
    "usr/sbin/aptitude l777 root:root ../bin/earmark-agent",
    "usr/sbin/dnf l777 root:root ../bin/earmark-agent",
    "usr/sbin/dpkg l777 root:root ../bin/earmark-agent",
    "usr/sbin/flatpak l777 root:root ../bin/earmark-agent",
    "usr/sbin/gem l777 root:root ../bin/earmark-agent",
    "usr/sbin/microdnf l777 root:root ../bin/earmark-agent",
    "usr/sbin/pip l777 root:root ../bin/earmark-agent",
    "usr/sbin/pip3 l777 root:root ../bin/earmark-agent",
    "usr/sbin/rpm l777 root:root ../bin/earmark-agent",
    "usr/sbin/snap l777 root:root ../bin/earmark-agent",
    "usr/sbin/yum l777 root:root ../bin/earmark-agent",
    "usr/share/doc/earmark-agent d755 root:root ",
    "usr/share/doc/earmark-agent/copyright f644 root:root ",
    "usr/share/man/man8/earmark-agent.8.gz f644 root:root ",
    "var/lib/earmark d711 root:root ",
];
const SIGNER: &[&str] = &[
    "usr/bin/earmark f755 root:root ",
    "usr/share/doc/earmark d755 root:root ",
    "usr/share/doc/earmark/copyright f644 root:root ",
    "usr/share/man/man1/earmark.1.gz f644 root:root ",
];
const ACCOUNTS: [&str; 2] = ["earmark", "earmark-fetch"];
const ENABLED: [&str; 3] = [
    "etc/systemd/system/multi-user.target.wants/earmark-agent.service",
    "etc/systemd/system/multi-user.target.wants/earmark-ready.target",
    "etc/systemd/system/sysinit.target.wants/earmark-verify.service",
];

/// Everything in a root but what package managers keep for themselves, and copies of `/etc/passwd`.
fn listing(root: &Path) -> BTreeSet<String> {
    let script = "find . -mindepth 1 \\( -path ./var/lib/dpkg -o -path ./var/lib/rpm -o -path ./root/.rpmdb \
                  -o -path ./var/log -o -path ./tmp \\) -prune -o -printf '%P %y%m %u:%g %l\\n'";
    let listed = run("sh", ["-euc", script], Some(root)).must(0).out;
    let backup = |line: &&str| {
        let path = line.split(' ').next().unwrap_or_default();
        path.starts_with("etc/") && path.ends_with('-')
    };
    listed
        .lines()
        .filter(|line| !backup(line))
        .map(str::to_owned)
        .collect()
}

fn added(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    // Directories that were there have the same line; none may be gone.
    assert_eq!(before.difference(after).collect::<Vec<_>>(), [""; 0]);
    after.difference(before).cloned().collect()
}

fn dpkg(image: &Overlay, words: &[&str]) -> earmark_tests::Run {
    let root = format!("--root={}", image.root().display());
    run("dpkg", [root.as_str()].iter().chain(words), None)
}

#[test]
fn privileged_deb_installs_its_listed_files_and_removes_them() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    let before = listing(&image.root());
    let deb = package("earmark-agent_", ".deb");
    let deb = deb.to_str().unwrap();
    dpkg(&image, &["--install", deb]).must(0);
    assert_eq!(added(&before, &listing(&image.root())), AGENT);
    assert_eq!(dpkg(&image, &["--verify", "earmark-agent"]).must(0).out, "");
    the_accounts_can_do_nothing(&image);

    // An upgrade keeps what the image's owner switched off.
    image
        .chroot(&["systemctl", "--root=/", "disable", "earmark-agent.service"])
        .must(0);
    dpkg(&image, &["--install", deb]).must(0);
    assert!(!there(&image.at(ENABLED[0])) && there(&image.at(ENABLED[1])));

    dpkg(&image, &["--remove", "earmark-agent"]).must(0);
    assert_eq!(added(&before, &listing(&image.root())), [""; 0]);
    assert_eq!(dpkg(&image, &["--status", "earmark-agent"]).code, 1);
    // And a package that comes again is new.
    dpkg(&image, &["--install", deb]).must(0);
    assert!(ENABLED.iter().all(|path| there(&image.at(path))));
}

#[test]
fn privileged_rpm_installs_the_same_files_and_removes_them() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    let before = listing(&image.root());
    let root = image.root().display().to_string();
    // A Debian root has no database of rpm's that knows of systemd.
    let rpm = |words: &[&str]| {
        let base = ["--root", &root, "--dbpath", "/var/lib/rpm", "--nodeps"];
        run("rpm", base.iter().chain(words), None)
    };
    let package = package("earmark-agent-", ".rpm");
    rpm(&["--install", package.to_str().unwrap()]).must(0);
    assert_eq!(added(&before, &listing(&image.root())), AGENT);
    assert_eq!(rpm(&["--verify", "earmark-agent"]).must(0).out, "");
    the_accounts_can_do_nothing(&image);
    rpm(&["--erase", "earmark-agent"]).must(0);
    assert_eq!(added(&before, &listing(&image.root())), [""; 0]);
}

#[test]
fn privileged_signer_packages_contain_only_the_listed_files() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    let before = listing(&image.root());
    dpkg(
        &image,
        &["--install", package("earmark_", ".deb").to_str().unwrap()],
    )
    .must(0);
    assert_eq!(added(&before, &listing(&image.root())), SIGNER);
    let version = image.chroot(&["/usr/bin/earmark", "--version"]).must(0).out;
    assert_eq!(
        version,
        concat!("earmark ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let listed = ["-qlp", "--queryformat", ""].map(OsStr::new).into_iter();
    let rpm = package("earmark-0", ".rpm");
    let listed = run("rpm", listed.chain([rpm.as_os_str()]), None)
        .must(0)
        .out;
    let paths: Vec<&str> = listed.lines().collect();
    assert_eq!(
        paths,
        [
            "/usr/bin/earmark",
            "/usr/share/doc/earmark",
            "/usr/share/doc/earmark/copyright",
            "/usr/share/man/man1/earmark.1.gz"
        ]
    );
}

/// Nobody logs in as one of the agent's accounts, and they are in no group.
fn the_accounts_can_do_nothing(image: &Overlay) {
    let lines = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(image.at(file)).expect("an account file");
        let ours = text.lines().filter(|line| line.contains("earmark"));
        ours.map(str::to_owned).collect()
    };
    let [accounts, groups, passwords] = ["etc/passwd", "etc/group", "etc/shadow"].map(lines);
    assert_eq!(accounts.len(), ACCOUNTS.len(), "{accounts:?}");
    assert_eq!([groups.len(), passwords.len()], [ACCOUNTS.len(); 2]);
    for name in ACCOUNTS {
        let of = |lines: &[String]| {
            let start = format!("{name}:");
            let found = lines.iter().find(|line| line.starts_with(&start));
            found.unwrap_or_else(|| panic!("{name}: {lines:?}")).clone()
        };
        let account = of(&accounts);
        let fields: Vec<&str> = account.split(':').collect();
        assert_eq!(
            [fields[1], fields[5], fields[6]],
            ["x", "/", "/usr/sbin/nologin"]
        );
        let number: u32 = fields[2].parse().unwrap();
        assert!((1..1000).contains(&number), "{account}");
        assert_eq!(of(&groups), format!("{name}:x:{}:", fields[3]));
        assert!(of(&passwords).starts_with(&format!("{name}:!")));
    }
}

#[test]
fn privileged_agent_binary_is_static() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    let unpacked = |program: &str, prefix: &str| {
        let directory = image.beside(program);
        let deb = package(prefix, ".deb");
        let words = ["-x".as_ref(), deb.as_os_str(), directory.as_os_str()];
        run("dpkg-deb", words, None).must(0);
        directory.join("usr/bin").join(program)
    };
    let agent = unpacked("earmark-agent", "earmark-agent_");
    assert_eq!(linked(&agent), [""; 0]);
    assert_eq!(alone(&agent), 0);
    // The control is the signer, which loads the modules of devices: it asks for the C library, and for
    // nothing else, and does not run alone.
    let signer = unpacked("earmark", "earmark_");
    let asks = linked(&signer);
    assert_ne!(asks, [""; 0]);
    let known = [
        "INTERP",
        "[libc.so.6]",
        "[libm.so.6]",
        "[libgcc_s.so.1]",
        "[ld-linux",
    ];
    for line in &asks {
        assert!(known.iter().any(|known| line.contains(known)), "{line}");
    }
    assert_ne!(alone(&signer), 0);
}

/// Returns the loader and the libraries that a program asks for, as lines of `readelf`.
pub(crate) fn linked(program: &Path) -> Vec<String> {
    let words = ["--wide", "--program-headers", "--dynamic"].map(OsStr::new);
    let headers = run(
        "readelf",
        words.into_iter().chain([program.as_os_str()]),
        None,
    );
    let headers = headers.must(0).out;
    let asks = |line: &&str| line.contains("INTERP") || line.contains("(NEEDED)");
    headers.lines().filter(asks).map(str::to_owned).collect()
}

/// Returns the exit code of a program in a root that has nothing else.
fn alone(program: &Path) -> i32 {
    let root = tempfile::TempDir::new().unwrap();
    fs::copy(program, root.path().join("program")).unwrap();
    let words = [
        root.path().as_os_str(),
        "/program".as_ref(),
        "--version".as_ref(),
    ];
    run("chroot", words, None).code
}

#[test]
fn privileged_package_build_is_reproducible() {
    let first = PathBuf::from(std::env::var("EARMARK_PACKAGES").unwrap());
    let second = tempfile::TempDir::new().unwrap();
    let xtask = std::env::var("EARMARK_XTASK").expect("EARMARK_XTASK: run `cargo xtask test`");
    let kept = [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "CARGO_TARGET_DIR",
    ];
    let kept: Vec<(&str, String)> = kept
        .iter()
        .filter_map(|name| Some((*name, std::env::var(name).ok()?)))
        .collect();
    let kept: Vec<(&str, &str)> = kept
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    // All that is ours is compiled again, or there would be nothing to compare.
    let _touched = Touched::new("../manifest/src/lib.rs");
    // Elsewhere, later, and with another umask.
    let script = format!(
        "umask 077; '{xtask}' package --out '{}'",
        second.path().display()
    );
    run_with("sh", ["-euc", &script], None, &kept).must(0);
    let mut compared = 0;
    for entry in fs::read_dir(second.path()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            fs::read(first.join(&name)).unwrap() == fs::read(second.path().join(&name)).unwrap(),
            "{} differs",
            name.display()
        );
        compared += 1;
    }
    assert_eq!(compared, 4);
}

/// A source file that is new to cargo as long as this lives.
struct Touched {
    file: fs::File,
    modified: std::time::SystemTime,
}

impl Touched {
    fn new(path: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let file = fs::File::options().append(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
        Self { file, modified }
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // Or the tests would be compiled again, too. Where it fails, they are.
        let _ = self.file.set_modified(self.modified);
    }
}

#[test]
fn privileged_agent_manual_page_documents_commands_and_exit_codes() {
    let image = Overlay::new("EARMARK_ROOT_SMALL");
    image.install_agent();
    let page = image.at("usr/share/man/man8/earmark-agent.8.gz");
    let page = run("gzip", ["-dc".as_ref(), page.as_os_str()], None)
        .must(0)
        .out;
    assert!(page.starts_with(".TH EARMARK-AGENT 8 "), "{page}");
    for part in [
        ".SH \"earmark-agent verify\"\n",
        ".SH \"earmark-agent status\"\n",
        "\\-\\-gate",
        "\n  10  ",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

fn there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

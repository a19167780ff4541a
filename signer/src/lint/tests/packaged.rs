//! Content that a package brought: no error as it was brought, one as soon as it is changed.

use std::process::Command;

use super::{cases::KEY, *};

const INFO: &str = "var/lib/dpkg/info/x.md5sums";

/// Errors of these findings, as `RULE PATH`.
fn errors(report: &Report) -> Vec<String> {
    let errors = report.findings.iter();
    let errors = errors.filter(|one| one.level == Level::Error);
    errors
        .map(|one| format!("{} {}", one.rule.id, one.path))
        .collect()
}

/// One file for each rule about content, with what makes it a finding.
const BROUGHT: &[(&str, &str)] = &[
    ("etc/x/server.key", KEY),
    ("usr/lib/x/plugin.py", KEY),
    ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA x\n"),
    (
        "etc/datadog-agent/datadog.yaml",
        "api_key: 0123456789abcdef\n",
    ),
    ("etc/default/x", "API_TOKEN=0123456789abcdef\n"),
    (
        "etc/apt/sources.list.d/x.list",
        "deb https://u:p4ss@x y z\n",
    ),
    ("etc/npmrc", "//x/:_authToken=npm_x\n"),
    ("root/.netrc", "machine x login y password z\n"),
    ("root/.vault-token", "x\n"),
    ("var/lib/tailscale/tailscaled.state", "{\"x\":1}\n"),
    ("var/log/x", "x\n"),
];

fn bench() -> Bench {
    let bench = Bench::new(&[]);
    for (path, text) in BROUGHT {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    bench
}

fn write(bench: &Bench, path: &str, text: &str) {
    let path = bench.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sum(program: &str, bench: &Bench, path: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "another implementation")]
    let output = Command::new(program)
        .arg(bench.path(path))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn content_that_dpkg_records_is_no_error_until_it_is_changed() {
    let bench = bench();
    let before = errors(&bench.lint());
    assert_eq!(before.len(), BROUGHT.len(), "{before:?}");

    // Configuration is in `status`, all else in a list of sums.
    let (mut sums, mut status) = (String::new(), "Package: x\nConffiles:\n".to_owned());
    for (path, _) in BROUGHT {
        let sum = sum("md5sum", &bench, path);
        if path.starts_with("etc/") {
            status.push_str(&format!(" /{path} {sum}\n"));
        } else {
            sums.push_str(&format!("{sum}  {path}\n"));
        }
    }
    status.push_str("Description: x\n /etc/other 0\n");
    write(&bench, INFO, &sums);
    write(&bench, "var/lib/dpkg/status", &status);
    let report = bench.lint();
    assert_eq!(errors(&report), [""; 0]);
    // Beneath /usr nothing is said; elsewhere the package may be the owner's own.
    assert_eq!(report.warnings, BROUGHT.len() - 1, "{:?}", report.found());
    assert!(!report.to_string().contains("plugin.py"));
    assert!(report.to_string().contains("unchanged from its package"));

    for (path, text) in BROUGHT {
        write(&bench, path, &format!("{text}\n"));
        let found = errors(&bench.lint());
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert!(found[0].ends_with(&format!(" /{path}")), "{found:?}");
        write(&bench, path, text);
    }
}

#[test]
fn packaged_file_is_found_by_its_path_before_usr_was_merged() {
    let bench = bench();
    symlink("usr/lib", bench.path("lib")).unwrap();
    assert!(errors(&bench.lint()).contains(&"private-key /usr/lib/x/plugin.py".to_owned()));
    let sum = sum("md5sum", &bench, "usr/lib/x/plugin.py");
    write(&bench, INFO, &format!("{sum}  lib/x/plugin.py\n"));
    assert!(!errors(&bench.lint()).contains(&"private-key /usr/lib/x/plugin.py".to_owned()));
}

#[test]
fn identity_of_a_host_is_an_error_whoever_brought_it() {
    let bench = Bench::new(&[
        File("etc/ssh/ssh_host_rsa_key", KEY),
        File("etc/machine-id", "0123\n"),
    ]);
    let before = errors(&bench.lint());
    assert_eq!(
        before,
        [
            "machine-id /etc/machine-id",
            "ssh-host-key /etc/ssh/ssh_host_rsa_key"
        ]
    );
    let mut sums = String::new();
    for path in ["etc/ssh/ssh_host_rsa_key", "etc/machine-id"] {
        let sum = sum("md5sum", &bench, path);
        sums.push_str(&format!("{sum}  {path}\n"));
    }
    write(&bench, INFO, &sums);
    assert_eq!(errors(&bench.lint()), before);
}

/// A file that a maintainer script makes is in no list of its package, as Debian's ssl-cert makes its key.
#[test]
fn key_that_a_maintainer_script_made_is_an_error() {
    let bench = Bench::new(&[File("etc/ssl/private/ssl-cert-snakeoil.key", KEY)]);
    write(
        &bench,
        INFO,
        "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/ssl-cert/copyright\n",
    );
    write(
        &bench,
        "var/lib/dpkg/info/ssl-cert.list",
        "/etc/ssl/private/ssl-cert-snakeoil.key\n",
    );
    let expected = ["private-key /etc/ssl/private/ssl-cert-snakeoil.key"];
    assert_eq!(errors(&bench.lint()), expected);
}

#[test]
fn malformed_and_hostile_sums_excuse_nothing() {
    let bench = bench();
    let count = errors(&bench.lint()).len();
    let sum = sum("md5sum", &bench, "usr/lib/x/plugin.py");
    let sums =
        format!("\n \n{sum}\n{sum}  \n  usr/lib/x/plugin.py\n{sum}  ../usr/lib/x/plugin.py\n");
    let sums = format!(
        "{sums}{}  usr/lib/x/plugin.py\nd41d8cd98f00b204e9800998ecf8427e  usr/lib/x/plugin.py\n",
        &sum[1..]
    );
    write(&bench, INFO, &sums);
    write(
        &bench,
        "var/lib/dpkg/status",
        &format!("Conffiles: x\nX:\n /usr/lib/x/plugin.py {sum}\n"),
    );
    assert_eq!(errors(&bench.lint()).len(), count);
    // The control.
    write(&bench, INFO, &format!("{sums}{sum}  usr/lib/x/plugin.py\n"));
    assert_eq!(errors(&bench.lint()).len(), count - 1);
}

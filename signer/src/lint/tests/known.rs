//! The table of known identities and secrets: each row is found at each of its paths, and not without what counts.

use std::collections::BTreeSet;

use earmark_manifest::class::Pattern;

use super::{
    cases::{Case, case},
    *,
};
use crate::lint::table::known::{self, Holds, Known};

const VALUE: &str = "0123456789abcdef";

/// Beside what the table itself is tested with.
pub(super) const CASES: &[Case] = &[
    case(
        "agent-identity",
        "/var/lib/tailscale/tailscaled.state",
        &[File("var/lib/tailscale/tailscaled.state", "x")],
        &[File("var/lib/tailscale/tailscaled.state", "")],
    ),
    case(
        "agent-secret",
        "/etc/datadog-agent/datadog.yaml",
        &[File("etc/datadog-agent/datadog.yaml", "api_key: 0123\n")],
        &[File("etc/datadog-agent/datadog.yaml", "api_key: ENC[x]\n")],
    ),
    case(
        "repository-credentials",
        "/etc/yum.repos.d/x.repo",
        &[File("etc/yum.repos.d/x.repo", "[x]\npassword=y\n")],
        &[File("etc/yum.repos.d/x.repo", "[x]\nbaseurl=https://x/\n")],
    ),
    case(
        "environment-secret",
        "/srv/app/compose.yaml",
        &[File(
            "srv/app/compose.yaml",
            "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: hunter2\n",
        )],
        &[
            File(
                "srv/app/compose.yaml",
                "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=${PASSWORD}\n",
            ),
            File("usr/share/doc/x/compose.yaml", "X_PASSWORD: hunter2\n"),
        ],
    ),
    case(
        "environment-secret",
        "/etc/systemd/system/x.service.d/env.conf",
        &[File(
            "etc/systemd/system/x.service.d/env.conf",
            "[Service]\nEnvironment=A=b DB_PASSWORD=c\n",
        )],
        &[File(
            "etc/systemd/system/x.service.d/env.conf",
            "[Service]\nEnvironment=A=b DB_PASSWORD_FILE=/c\n",
        )],
    ),
];

/// Content that a row counts, and a control that it does not.
fn contents(row: &Known) -> (String, String) {
    match row.holds {
        Holds::Content => ("x\n".to_owned(), String::new()),
        Holds::Lines => ("x y\n".to_owned(), "# x\n\n".to_owned()),
        Holds::Keys([key, ..]) => (
            format!("{key} = {VALUE}\n"),
            format!("# {key} = {VALUE}\n{key} = ${{X}}\n"),
        ),
        Holds::Words([word, ..]) => (
            format!("x {word} {VALUE}\n"),
            format!("# {word} {VALUE}\n{word} $X\n"),
        ),
        Holds::Marks([mark, ..]) => (format!("x {mark}x\n"), "x\n".to_owned()),
        Holds::Userinfo | Holds::Account => (
            format!("x https://u:{VALUE}@x/\n"),
            "x https://x/\n".to_owned(),
        ),
        Holds::Keys([]) | Holds::Words([]) | Holds::Marks([]) => panic!("{row:?}"),
    }
}

/// A path that a pattern matches.
pub(super) fn example(pattern: &str) -> String {
    let path = pattern.replace("~/", "root/").replace("**", "a/b");
    // Between a dot and the end of a name any letter does; a star alone needs one.
    path.replace('*', "y")
}

#[test]
fn each_known_secret_is_found_at_each_path_and_its_control_is_not() {
    for row in known::all() {
        let (bad, good) = contents(row);
        for pattern in row.paths {
            let path = example(pattern);
            let found = |text: &str| {
                let bench = Bench::new(&[]);
                let at = bench.path(&path);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(at, text).unwrap();
                let found = bench.lint().found();
                // Another rule may know more of the same file.
                found.contains(&format!("{} /{path}", row.rule))
            };
            assert!(found(&bad), "{row:?} at {path}");
            let is_known_otherwise = known::all().any(|other| {
                other.rule == row.rule
                    && other.what != row.what
                    && other.paths.iter().any(|other| example(other) == path)
            });
            assert!(is_known_otherwise || !found(&good), "{row:?} at {path}");
        }
    }
}

#[test]
fn each_row_of_the_table_is_well_formed_and_has_a_source() {
    let mut seen = BTreeSet::new();
    for row in known::all() {
        assert!(table::find(row.rule).is_some(), "{row:?}");
        assert!(
            row.source.len() > 5 && !row.owner.is_empty() && !row.what.is_empty(),
            "{row:?}"
        );
        assert!(
            !row.what.ends_with('.') && !row.fix.ends_with('.'),
            "{row:?}"
        );
        assert!(!row.paths.is_empty(), "{row:?}");
        for path in row.paths {
            let relative = path.strip_prefix("~/").unwrap_or(path);
            let pattern = Pattern::parse(format!("/top/{relative}").as_bytes());
            assert!(pattern.is_ok(), "{path}: {pattern:?}");
            // What starts with a wildcard would have all of the image compared.
            assert!(
                path.starts_with("~/") || !relative.split('/').next().unwrap().contains('*'),
                "{path}"
            );
            assert!(
                seen.insert((row.rule, *path, format!("{:?}", row.holds))),
                "duplicate row of {path}"
            );
        }
    }
    assert!(known::all().count() > 100);
}

#[test]
fn finding_of_a_secret_names_its_key_and_never_its_value() {
    const SECRET: &str = "hunter2hunter2";
    let files = [
        (
            "etc/datadog-agent/datadog.yaml",
            format!("# x\napi_key: {SECRET}\n"),
        ),
        (
            "etc/apt/auth.conf",
            format!("machine x login y password {SECRET}\n"),
        ),
        (
            "etc/apt/sources.list",
            format!("deb https://u:{SECRET}@x y z\n"),
        ),
        ("etc/environment", format!("X_TOKEN={SECRET}\n")),
        (
            "etc/systemd/system/x.service",
            format!("[Service]\nEnvironment=\"DB_PASSWORD={SECRET}\"\n"),
        ),
        (
            "etc/systemd/system/y.service",
            format!("[Service]\nExecStart=/bin/y --api-token {SECRET}\n"),
        ),
        ("srv/app/.env", format!("URL=redis://:{SECRET}@x/\n")),
        (
            "etc/crypttab",
            format!("x /dev/vdb /etc/keys/{SECRET} luks\n"),
        ),
    ];
    let bench = Bench::new(&[]);
    for (path, text) in &files {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let report = bench.lint();
    assert_eq!(report.errors, files.len() - 1, "{:?}", report.found());
    let json = String::from_utf8(output::json_bytes(&report).unwrap()).unwrap();
    let sarif = serde_json::to_string(&sarif(&report)).unwrap();
    for said in [report.to_string(), json, sarif] {
        assert!(!said.contains(SECRET), "{said}");
        assert!(said.contains("'api_key' in line 2"), "{said}");
    }
}

#[test]
fn key_file_that_crypttab_names_is_found_and_a_device_is_not() {
    let table = "# x /dev/vdc /etc/keys/commented\ndata /dev/vdb /etc/keys/data.bin luks\nswap /dev/vdc /dev/urandom swap\n";
    let bench = Bench::new(&[
        File("etc/crypttab", table),
        File("etc/keys/data.bin", "k"),
        File("etc/keys/commented", "k"),
    ]);
    assert_eq!(bench.lint().found(), ["stored-password /etc/keys/data.bin"]);
}

#[test]
fn identity_that_its_program_makes_again_names_the_missing_class() {
    let bench = Bench::new(&[File("var/lib/tailscale/tailscaled.state", "x")]);
    let said = |spec: &str| bench.lint_with(spec).to_string();
    assert!(said(SPEC).contains("declare the path in [tree]"));
    let declared = SPEC.replace("\"/srv/data\"", "\"/srv/data\", \"/var/lib/tailscale\"");
    let report = said(&declared);
    assert!(
        report.contains("agent-identity") && !report.contains("declare the path"),
        "{report}"
    );
}

#[test]
fn examples_of_environment_files_and_units_without_secrets_are_clean() {
    let bench = Bench::new(&[
        File("srv/app/.env.example", "DB_PASSWORD=hunter2\n"),
        File("usr/share/doc/x/.env", "DB_PASSWORD=hunter2\n"),
        File(
            "etc/default/x",
            "# TOKEN=abc\nTOKEN_FILE=/etc/x\nPASSWORD=\nOPTS=\"--token-file /x\"\n",
        ),
        File(
            "etc/systemd/system/x.service",
            "[Service]\nEnvironmentFile=/etc/x\nEnvironment=A=b \"C=d e\"\nExecStart=/bin/x --token-file /run/x --token ${T}\nLoadCredential=token:/run/t\n",
        ),
        File("etc/crontab", "5 * * * * root X=y /bin/true\n"),
    ]);
    assert_eq!(bench.lint().found(), [""; 0]);
}

#[test]
fn hostile_objects_at_known_paths_are_neither_opened_nor_followed() {
    let outside = TempDir::new().unwrap();
    let target = outside.path().join("secret");
    fs::write(&target, "api_key: 0123\n").unwrap();
    let bench = Bench::new(&[]);
    for directory in ["etc/datadog-agent", "etc/default", "var/lib"] {
        fs::create_dir_all(bench.path(directory)).unwrap();
    }
    symlink(&target, bench.path("etc/datadog-agent/datadog.yaml")).unwrap();
    symlink(outside.path(), bench.path("var/lib/tailscale")).unwrap();
    let pipe = bench.path("etc/default/pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // It would wait for a writer for ever.
    assert_eq!(bench.lint().errors, 0);
    // No UTF-8, a name that is a line of its own, and a file that is too large to be looked at whole.
    fs::write(
        bench.path("etc/default/a\nerror x y"),
        b"\xff\xfe\nB_TOKEN=ab12\n",
    )
    .unwrap();
    let report = bench.lint();
    assert_eq!(report.errors, 1);
    assert!(!report.to_string().contains("\nerror x"), "{report}");
    let large = fs::File::create(bench.path("etc/default/large")).unwrap();
    large.set_len(1024 * 1024 + 1).unwrap();
    assert_eq!(bench.lint().unknown.len(), 1);
}

//! Declarations that are refused, and the place that is named.

use super::*;

/// Each wrong value, the line and column that are named, and what would be right.
#[test]
fn invalid_declaration_value_is_refused_with_line_and_column() {
    for (from, to, place, says) in [
        ("epoch = 3", "epoch = -3", (4, 9), "u64"),
        ("epoch = 3", "epoch = \"3\"", (4, 9), "u64"),
        (
            "epoch = 3",
            "epok = 3",
            (4, 1),
            "expected one of `name`, `epoch`, `platform`",
        ),
        (
            "\"web\"\nepoch",
            "\"Web\"\nepoch",
            (3, 8),
            "[a-z0-9][a-z0-9._-]{0,63}",
        ),
        ("\"ec2\"", "\"gcp\"", (5, 12), "expected `ec2` or `file`"),
        ("\"debian-12\"", "\"debian-11\"", (8, 11), "debian-12"),
        (
            "\"/etc/motd\"",
            "\"etc/motd\"",
            (9, 12),
            "path is not absolute",
        ),
        ("\"/etc/motd\"", "\"/**\"", (9, 12), "spelt out"),
        (
            "\"/etc/motd\"",
            "\"/srv/data/x\"",
            (9, 12),
            "which is not walked",
        ),
        (
            "\"/srv/data\", reason = \"The data volume.\"",
            "\"/srv/data\"",
            (10, 12),
            "needs a reason",
        ),
        (
            "\"/srv/data\", reason",
            "\"/usr\", reason",
            (10, 12),
            "unverified",
        ),
        (
            "\"/srv/data\", reason",
            "\"/srv/**\", reason",
            (10, 12),
            "must name the directory itself",
        ),
        (
            "gate = \"critical\"",
            "gate = \"off\"",
            (14, 8),
            "expected one of `signature`, `critical`, `full`",
        ),
        (
            "\"quarantine\"",
            "\"ignore\"",
            (15, 14),
            "expected one of `report`, `quarantine`, `halt`",
        ),
        (
            "on_failure",
            "rate = \"20MB\"\non_failure",
            (15, 8),
            "such as \"512KiB\"",
        ),
        (
            "type = \"enum\"",
            "type = \"list\"",
            (18, 8),
            "expected one of",
        ),
        (
            "values = [\"prod\", \"staging\"]",
            "values = []",
            (18, 8),
            "one or more",
        ),
        (
            "values = [\"prod\", \"staging\"]",
            "values = [\"a\"]\nmax = 3",
            (20, 7),
            "is not allowed for this type",
        ),
        (
            "required = true",
            "required = true\ndefault = \"prod\"",
            (18, 8),
            "cannot have a default",
        ),
        (
            "required = true",
            "default = \"dev\"",
            (20, 11),
            "one of prod, staging",
        ),
        (
            "secret = true",
            "secret = true\npattern = \"(\"",
            (25, 11),
            "not a regular expression",
        ),
        (
            "secret = true",
            "secret = true\nmax_length = 0",
            (25, 14),
            "expected 1 to 16384",
        ),
        (
            "secret = true",
            "secret = true\nmultiline = \"yes\"",
            (25, 13),
            "expected a boolean",
        ),
        (
            "required = true",
            "required = true\nmultiline = true",
            (21, 13),
            "is not allowed for this type",
        ),
        (
            "values = [\"prod\", \"staging\"]",
            "values = [\"prod\", \"sta\\nging\"]",
            (18, 8),
            "a line break",
        ),
        (
            "secret = true",
            "default = \"a\\nb\"",
            (24, 11),
            "in one line",
        ),
        (
            "[parameters.password]",
            "[parameters.Password]",
            (22, 13),
            "[a-z][a-z0-9_]{0,63}",
        ),
        ("\"0640\"", "\"640\"", (28, 92), "four octal digits"),
        ("\"0640\"", "\"4755\"", (28, 92), "without set-id"),
        (
            "\"/usr/lib/web/join\"",
            "\"join\"",
            (31, 11),
            "expected an absolute path",
        ),
        (
            "{{ environment }}",
            "{{ enviroment }}",
            (31, 11),
            "'enviroment' is not declared: expected one of environment",
        ),
        ("{{ environment }}", "{{ password }}", (31, 11), "is secret"),
        (
            "{{ environment }}",
            "{{ environment | yaml }}",
            (31, 11),
            "unknown filter 'yaml'",
        ),
        (
            "{{ environment }}",
            "{{ environment",
            (31, 11),
            "without '}}'",
        ),
        (
            "{{ environment }}",
            "{ environment }} {{ environment }}",
            (31, 11),
            "without '{{'",
        ),
        ("\"2m\"", "\"2 minutes\"", (31, 83), "such as \"30s\""),
        (
            "\"retry\"",
            "\"skip\"",
            (32, 15),
            "expected `fail` or `retry`",
        ),
        (
            "\"/dev/nvme1n1\"",
            "\"/tmp/disk\"",
            (35, 10),
            "not beneath /dev",
        ),
        (
            "filesystem = \"ext4\"",
            "filesystem = \"btrfs\"",
            (35, 50),
            "expected `ext4` or `xfs`",
        ),
        (
            "name = \"start\"",
            "name = \"join\"",
            (37, 8),
            "duplicate step",
        ),
        ("\"web.service\"", "\"web\"", (38, 8), "no unit suffix"),
        (
            "unit = {",
            "hostname = { template = \"x\" }\nunit = {",
            (37, 8),
            "exactly one of",
        ),
        (
            "packages = \"allow\"",
            "packages = \"maybe\"",
            (46, 12),
            "expected `allow` or `deny`",
        ),
        (
            "packages = \"allow\"",
            "package = \"allow\"",
            (46, 1),
            "unknown field",
        ),
        (
            "{ allow = [\"amazon-ssm-agent\"] }",
            "\"perhaps\"",
            (44, 17),
            "amazon-ssm-agent",
        ),
        (
            "[\"amazon-ssm-agent\"]",
            "[\"telnet\"]",
            (44, 28),
            "expected one of",
        ),
        (
            "s3://fleet-reports",
            "http://fleet-reports",
            (48, 7),
            "https://",
        ),
        (
            "every = \"5m\"",
            "every = \"0m\"",
            (49, 9),
            "length of time",
        ),
        (
            "[lockdown]",
            "[values]\nfrom = []\n[lockdown]",
            (44, 8),
            "expected at least one of",
        ),
        (
            "[lockdown]",
            "[values]\nfrom = [\"tags\", \"imds\"]\n[lockdown]",
            (44, 17),
            "\"user-data\", \"tags\" and absolute paths",
        ),
        (
            "[lockdown]",
            "[values]\nfrom = [\"tags\", \"tags\"]\n[lockdown]",
            (44, 17),
            "duplicate source",
        ),
        (
            "platform = \"ec2\"\n",
            "platform = \"file\"\nvalues.from = [\"tags\"]\n",
            (6, 1),
            "unknown field",
        ),
        (
            "timeout = \"2m\"",
            "secrets = [\"environment\"]",
            (31, 11),
            "secret = true",
        ),
        (
            "timeout = \"2m\"",
            "environment = { PASSWORD = \"{{ password }}\" }",
            (31, 11),
            "is secret",
        ),
        (
            "timeout = \"2m\"",
            "environment = { GCONV_PATH = \"{{ environment }}\" }",
            (31, 11),
            "GCONV_PATH",
        ),
        (
            "timeout = \"2m\"",
            "environment = { LD_PRELOAD = \"{{ environment }}\" }",
            (31, 11),
            "LD_",
        ),
        (
            "https://releases",
            "https://user@releases",
            (51, 7),
            "without credentials",
        ),
        ("url = ", "share = 0\nurl = ", (51, 9), "1 to 100"),
        (
            "url = ",
            "on_revoked = \"reboot\"\nurl = ",
            (51, 14),
            "\"halt\" or { start",
        ),
        (
            "url = ",
            "on_behind = { start = \"drain.timer\" }\nurl = ",
            (51, 13),
            "expected a service",
        ),
        (
            "url = ",
            "region = \"eu-central-1\"\nurl = ",
            (50, 1),
            "are allowed only for s3:// URLs",
        ),
        (
            "to = [",
            "to = [\"s3://fleet-reports/web\", ",
            (47, 1),
            "duplicate place",
        ),
        (
            "to = [\"s3://fleet-reports/web/\"]",
            "to = []",
            (47, 1),
            "expected 1 to 8",
        ),
        ("[channel]", "[channels]", (50, 2), "unknown field"),
        ("[channel]", "[channel", (50, 9), ""),
    ] {
        let changed = GOOD.replacen(from, to, 1);
        assert_ne!(changed, GOOD, "{from}");
        let error = Declaration::parse(changed.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), place, "{to}: {error}");
        assert!(error.problem.contains(says), "{to}: {error}");
    }
}

#[test]
fn non_utf8_oversized_empty_or_deeply_nested_declaration_is_refused() {
    let error = Declaration::parse(b"[image]\nname = \"\xff\"").unwrap_err();
    assert_eq!((error.line, error.column), (2, 9));
    assert!(Declaration::parse(&vec![b'#'; limits::DECLARATION + 1]).is_err());
    assert!(
        Declaration::parse(b"")
            .unwrap_err()
            .problem
            .contains("image")
    );
    let deep = format!("x = {}", "[".repeat(10_000));
    assert!(Declaration::parse(deep.as_bytes()).is_err());
}

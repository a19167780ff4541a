use super::*;
use crate::class::{PathClass, Pattern};

const GOOD: &str = r#"
[image]
name = "web"
epoch = 3
platform = "ec2"

[tree]
profile = "debian-12"
mutable = ["/etc/motd"]
state   = [{ path = "/srv/data", reason = "The data volume." }]
critical = ["/opt/web/**"]

[verify]
gate = "critical"
on_failure = "quarantine"

[parameters.environment]
type = "enum"
values = ["prod", "staging"]
required = true

[parameters.password]
type = "string"
secret = true

[[first_boot]]
name = "render-config"
file = { path = "/etc/web/config.toml", template = "/usr/share/web/config.toml.j2", mode = "0640", owner = "web" }
[[first_boot]]
name = "join"
command = { argv = ["/usr/lib/web/join", "--env", "{{ environment }}"], timeout = "2m" }
interrupted = "retry"
[[first_boot]]
name = "data-volume"
volume = { device = "/dev/nvme1n1", filesystem = "ext4", mount = "/srv/data" }
[[first_boot]]
name = "start"
unit = { enable = ["web.service"] }
[[first_boot]]
name = "name"
hostname = { template = "web-{{ instance_id }}" }

[lockdown]
remote_access = { allow = ["amazon-ssm-agent"] }
kernel.modules = ["nf_tables"]
packages = "allow"
[report]
to = ["s3://fleet-reports/web/"]
every = "5m"
[channel]
url = "https://releases.example.com/web/stable.json"
"#;

#[test]
fn example_declaration_parses_to_the_expected_values() {
    let declaration = Declaration::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(declaration.image.epoch, 3);
    assert_eq!(declaration.verify.on_failure, OnFailure::Quarantine);
    assert_eq!(declaration.first_boot.len(), 5);
    let rules = declaration.rule_set().unwrap();
    let path = |text: &str| ImagePath::from_absolute(text.as_bytes()).unwrap();
    assert_eq!(rules.class_of(&path("/etc/motd")), PathClass::Mutable);
    assert_eq!(
        rules.class_of(&path("/etc/web/config.toml")),
        PathClass::Rendered
    );
    assert_eq!(rules.class_of(&path("/srv/data")), PathClass::State);
    for critical in [
        "/opt/web/bin/web",
        "/usr/lib/web/join",
        "/usr/share/web/config.toml.j2",
        "/etc/fstab",
    ] {
        assert!(rules.is_critical(&path(critical)), "{critical}");
    }
    assert!(rules.is_critical(&path("/usr/bin/env")));
    assert!(!rules.is_critical(&path("/usr/share/doc/env")));
    let locks = declaration.lockdown.locks();
    assert_eq!(
        locks[0].1,
        Lock::Deny {
            except: vec!["amazon-ssm-agent".to_owned()]
        }
    );
    assert_eq!(locks[1].1, Lock::Allow);
    assert_eq!(locks[4].1, Lock::default());
}

#[test]
fn tree_rules_may_add_only_critical_rules_to_declared_ones() {
    let text = b"[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nmutable = [\"/etc/motd\"]\n";
    let declaration = Declaration::parse(text).unwrap();
    let declared = declaration.rule_set().unwrap();
    let rule = |kind, path: &[u8]| Rule::new(kind, Pattern::parse(path).unwrap());
    let derived = rule(RuleKind::Critical, b"/opt/x");
    let more = declared.clone().with(vec![derived]).unwrap();
    assert!(declaration.is_resolved_as(&declared) && declaration.is_resolved_as(&more));
    assert!(more.rules().len() > declared.rules().len());
    let at = declared.rules().len() - layout::SEAL.len();
    for other in [
        // A class that nobody reviewed, and one that is missing.
        {
            let mut rules = declared.rules().to_vec();
            rules.insert(at, rule(RuleKind::Class(PathClass::Mutable), b"/opt/x"));
            rules
        },
        {
            let is_declared = |rule: &&Rule| rule.pattern.to_string() != "/etc/motd";
            declared
                .rules()
                .iter()
                .filter(is_declared)
                .cloned()
                .collect()
        },
    ] {
        let other = RuleSet::from_rules(other).unwrap();
        assert!(!declaration.is_resolved_as(&other), "{:?}", other.rules());
    }
}

#[test]
fn rule_of_root_or_of_a_number_is_resolved_as_that_number_alone() {
    let text = |owner: &str| {
        format!(
            "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\ngenerated = [{{ path = \"/opt/x\", owner = \"{owner}\", reason = \"It is made there.\" }}]\n"
        )
    };
    for (owner, uid) in [("root", 0), ("7", 7)] {
        let declaration = Declaration::parse(text(owner).as_bytes()).unwrap();
        let honest = declaration.resolve_rules(&Accounts::default()).unwrap();
        assert!(declaration.is_resolved_as(&honest));
        let mut rules = honest.rules().to_vec();
        let ours = rules
            .iter_mut()
            .find(|rule| rule.pattern.to_string() == "/opt/x");
        let ours = ours.unwrap();
        assert_eq!(ours.attributes.uid, Some(uid));
        ours.attributes.uid = Some(1000);
        let lie = RuleSet::from_rules(rules).unwrap();
        assert!(!declaration.is_resolved_as(&lie), "{owner}");
    }
}

#[test]
fn declaration_defaults_are_the_documented_ones() {
    let declaration =
        Declaration::parse(b"[image]\nname = \"web\"\nplatform = \"file\"\n").unwrap();
    assert_eq!(
        (declaration.verify.gate(), declaration.verify.on_failure),
        (Gate::Critical, OnFailure::Report)
    );
    assert_eq!(
        (declaration.verify.every, declaration.verify.rate),
        (None, None)
    );
    assert!(
        declaration
            .lockdown
            .locks()
            .iter()
            .all(|(_, lock)| *lock == Lock::default())
    );
}

#[test]
fn verify_interval_and_rate_are_parsed() {
    let text = GOOD.replacen(
        "on_failure",
        "every = \"6h\"\nrate = \"20MiB\"\non_failure",
        1,
    );
    let verify = Declaration::parse(text.as_bytes()).unwrap().verify;
    assert_eq!(verify.every, Some(Interval::from_secs(6 * 3600)));
    assert_eq!(verify.rate.unwrap().to_string(), "20MiB");
}

#[test]
fn value_sources_default_by_platform_and_follow_declared_order() {
    let from = |text: &str| {
        let declaration = Declaration::parse(text.as_bytes());
        declaration.map(|declaration| declaration.values.from)
    };
    let file = |path: &str| ValueSource::File(ImagePath::from_absolute(path.as_bytes()).unwrap());
    let head = |platform: &str| format!("[image]\nname = \"web\"\nplatform = \"{platform}\"\n");
    assert_eq!(from(&head("ec2")).unwrap(), [ValueSource::UserData]);
    assert_eq!(
        from(&head("file")).unwrap(),
        [file("/var/lib/earmark/values.toml")]
    );
    let all = "[values]\nfrom = [\"tags\", \"/var/lib/values.toml\", \"user-data\"]\n";
    assert_eq!(
        from(&(head("ec2") + all)).unwrap(),
        [
            ValueSource::Tags,
            file("/var/lib/values.toml"),
            ValueSource::UserData
        ]
    );
    let error = from(&(head("file") + all)).unwrap_err();
    assert_eq!((error.line, error.column), (5, 9), "{error}");
    assert!(error.problem.contains("platform = \"ec2\""), "{error}");
}

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
            "unwatched",
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
            "does not go with",
        ),
        (
            "required = true",
            "required = true\ndefault = \"prod\"",
            (18, 8),
            "leave out one",
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
            "does not go with",
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
            "is there twice",
        ),
        ("\"web.service\"", "\"web\"", (38, 8), "no suffix"),
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
            "there twice",
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
            "are of s3:// URLs",
        ),
        (
            "to = [",
            "to = [\"s3://fleet-reports/web\", ",
            (47, 1),
            "is there twice",
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

/// A declaration with a string of these lines and this step.
fn with_text(parameter: &str, step: &str) -> Result<Declaration, DeclarationError> {
    let text = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[parameters.motto]\ntype = \"string\"\n{parameter}\n\
         [[first_boot]]\nname = \"step\"\n{step}\n"
    );
    Declaration::parse(text.as_bytes())
}

#[test]
fn text_parameter_without_pattern_is_refused_unquoted_in_a_step() {
    for (step, place) in [
        (
            "command = { argv = [\"/bin/a\", \"--x={{ motto }}\"] }",
            "an argument",
        ),
        (
            "command = { argv = [\"/bin/a\"], environment = { A = \"{{ motto }}\" } }",
            "the environment",
        ),
        ("hostname = { template = \"{{ motto }}\" }", "a host name"),
    ] {
        let error = with_text("", step).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (9, step.find('{').unwrap() + 1),
            "{error}"
        );
        let says = format!("'motto' can be any text and would go into {place} as it is");
        assert!(error.problem.starts_with(&says), "{error}");
        assert!(with_text("pattern = \"[a-z]+\"", step).is_ok(), "{step}");
        // A secret is refused for what it is.
        let secret = with_text("secret = true", step).unwrap_err();
        assert!(secret.problem.contains("is secret"), "{secret}");
    }
    for (step, is_good) in [
        (
            "command = { argv = [\"/bin/a\", \"{{motto|json}}\"] }",
            true,
        ),
        ("hostname = { template = \"{{ motto | shell }}\" }", false),
        // A device is opened only if it is one.
        (
            "volume = { device = \"{{ motto }}\", filesystem = \"ext4\", mount = \"/srv/a\" }\n[tree]\nstate = [\"/srv/a\"]",
            true,
        ),
        (
            "volume = { device = \"{{ motto | toml }}\", filesystem = \"ext4\", mount = \"/srv/a\" }\n[tree]\nstate = [\"/srv/a\"]",
            false,
        ),
    ] {
        let parsed = with_text("", step);
        assert_eq!(parsed.is_ok(), is_good, "{step}: {:?}", parsed.err());
    }
}

#[test]
fn template_file_requires_a_pattern_or_filter_for_text() {
    let check = |parameter: &str, template: &str| {
        let declared = with_text(parameter, "unit = { start = [\"a.service\"] }").unwrap();
        declared.check_template(&template.parse().unwrap())
    };
    let refused = check("", "a = \"{{ motto }}\"\n").unwrap_err();
    assert!(
        refused.contains("would go into a file as it is"),
        "{refused}"
    );
    assert!(refused.contains("{{ motto | toml }}"), "{refused}");
    // Quoted once does not excuse the other time.
    assert!(check("", "{{ motto | toml }}{{ motto }}").is_err());
    assert!(check("multiline = true", "{{ motto }}").is_err());
    assert!(check("secret = true", "{{ motto }}").is_err());
    let unknown = check("", "{{ moto | toml }}").unwrap_err();
    assert!(unknown.contains("'moto' is not declared"), "{unknown}");
    for (parameter, template) in [
        ("", "{{ motto | toml }}"),
        ("pattern = \".*\"", "a = \"{{ motto }}\"\n"),
        ("secret = true", "{{ motto | shell }}"),
        ("", "{{ image_name }} {{ instance_id }} {{ image_version }}"),
    ] {
        assert_eq!(check(parameter, template), Ok(()), "{parameter} {template}");
    }
}

#[test]
fn single_line_value_refuses_control_characters() {
    let kind = |parameter: &str| {
        let declared = with_text(parameter, "unit = { start = [\"a.service\"] }").unwrap();
        let parameters = declared.parameters.into_values();
        parameters.map(|parameter| parameter.kind).next().unwrap()
    };
    let accepts = |kind: &ParameterKind, text: &str| {
        kind.accept(&toml::Value::String(text.to_owned())).is_ok()
    };
    let (one, many) = (kind(""), kind("multiline = true"));
    // A pattern cannot let in what the type does not take.
    let pattern = kind("pattern = '(?s).*'");
    for (text, in_one, in_many) in [
        ("plain text, é", true, true),
        ("", true, true),
        ("a\nb", false, true),
        ("a\tb", false, true),
        ("a\n", false, true),
        ("a\u{2028}b", false, true),
        ("a\u{85}b", false, false),
        ("a\rb", false, false),
        ("a\0b", false, false),
        ("a\u{1b}[2J", false, false),
        ("a\u{9b}2J", false, false),
        ("a\u{7f}", false, false),
    ] {
        assert_eq!(accepts(&one, text), in_one, "{text:?}");
        assert_eq!(accepts(&pattern, text), in_one, "{text:?}");
        assert_eq!(accepts(&many, text), in_many, "{text:?}");
    }
    let url = ParameterKind::Url;
    assert!(accepts(&url, "https://example.com/a?b=c&d=%27#e;(f)"));
    for bad in [
        "\n", " ", "\t", "\"", "'", "`", "\\", "$", "<", "{", "\u{85}", "é",
    ] {
        assert!(
            !accepts(&url, &format!("https://example.com/{bad}x")),
            "{bad:?}"
        );
        assert!(
            !accepts(&url, &format!("https://example.com/{bad}")),
            "{bad:?}"
        );
    }
}

#[test]
fn values_timeout_is_bounded_and_has_a_default() {
    let read = |values: &str| {
        let text = format!("[image]\nname = \"web\"\nplatform = \"ec2\"\n{values}");
        Declaration::parse(text.as_bytes()).map(|declared| declared.values)
    };
    let seconds = |values: &str| read(values).unwrap().timeout.duration().as_secs();
    assert_eq!(seconds(""), 60);
    assert_eq!(seconds("[values]\nfrom = [\"tags\"]\n"), 60);
    assert_eq!(seconds("[values]\ntimeout = \"10m\"\n"), 600);
    let named = read("[values]\ntimeout = \"5s\"\n").unwrap();
    assert_eq!(named.from, [ValueSource::UserData]);
    let long = read("[values]\ntimeout = \"11m\"\n").unwrap_err();
    assert_eq!((long.line, long.column), (5, 11), "{long}");
    assert!(long.problem.contains("at most 10m"), "{long}");
    assert!(read("[values]\ntimeout = \"0s\"\n").is_err());
}

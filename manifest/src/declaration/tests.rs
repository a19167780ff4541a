use super::*;
use crate::{
    accounts::Accounts,
    class::{PathClass, Pattern, Rule, RuleKind, RuleSet},
    layout,
};

mod refused;
mod values;

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

use earmark_manifest::{
    class::{PathClass, Pattern, Rule, RuleKind, RuleSet},
    crypto::{Algorithm, PrivateKey, sha256},
    entry::{Entry, Node, Owner},
    path::ImagePath,
    statement::{AgentVersion, Architecture, BuildRecord, ImageIdentity},
};

use super::*;

const DECLARATION: &str = "[image]\nname = \"web\"\nplatform = \"file\"\n";

fn entries() -> Vec<Entry> {
    vec![Entry {
        path: ImagePath::root(),
        class: PathClass::Sealed,
        node: Node::Directory,
        owner: Some(Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        }),
        xattrs: Vec::new(),
    }]
}

fn bundle(declaration: &str, rules: &RuleSet, version: &str) -> UnsignedBundle {
    let tree = tree::write(rules, &entries()).unwrap();
    let statement = Statement {
        tree: tree.digest,
        declaration: sha256(declaration.as_bytes()),
        image: ImageIdentity {
            name: "web".parse().unwrap(),
            version: version.parse().unwrap(),
            epoch: 0,
            architecture: Architecture::X86_64,
        },
        build: BuildRecord::default(),
        parent: None,
        summary: tree.summary,
        boot: None,
        minimum_agent: AgentVersion {
            major: 0,
            minor: 1,
            patch: 0,
        },
    };
    UnsignedBundle::new(statement, declaration.as_bytes().to_vec(), tree.stored).unwrap()
}

fn good(version: &str) -> UnsignedBundle {
    let rules = Declaration::parse(DECLARATION.as_bytes())
        .unwrap()
        .rule_set()
        .unwrap();
    bundle(DECLARATION, &rules, version)
}

fn key() -> SigningKey {
    let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
    SigningKey::local(PrivateKey::from_pkcs8(&der).unwrap()).unwrap()
}

#[test]
fn unsigned_bundle_round_trips_and_detects_changed_or_missing_file() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    good("1").write(&out).unwrap();
    assert_eq!(
        UnsignedBundle::read(&out).unwrap().digest(),
        good("1").digest()
    );
    for name in [STATEMENT_NAME, DECLARATION_NAME, TREE_NAME] {
        let path = out.join(name);
        let before = fs::read(&path).unwrap();
        for change in [
            &before[..before.len() - 1],
            b"",
            &[&before[..], b"\n"].concat(),
        ] {
            fs::write(&path, change).unwrap();
            // A newline after the statement would be another payload, and is another digest.
            if let Ok(read) = UnsignedBundle::read(&out) {
                assert_eq!(name, STATEMENT_NAME);
                assert_ne!(read.digest(), good("1").digest());
            }
        }
        fs::remove_file(&path).unwrap();
        let missing = UnsignedBundle::read(&out).unwrap_err();
        assert_eq!(missing.exit(), Exit::Undecided);
        fs::write(&path, before).unwrap();
    }
    assert!(UnsignedBundle::read(&out).is_ok());
}

#[test]
fn bundle_with_undeclared_class_rules_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut rules: Vec<Rule> = Declaration::parse(DECLARATION.as_bytes())
        .unwrap()
        .reasoned_rules()
        .iter()
        .map(|rule| rule.rule.clone())
        .collect();
    rules.push(Rule::new(
        RuleKind::Class(PathClass::Mutable),
        Pattern::parse(b"/etc/shadow").unwrap(),
    ));
    let wider = bundle(DECLARATION, &RuleSet::resolve(rules).unwrap(), "1");
    wider.write(directory.path()).unwrap();
    let refused = UnsignedBundle::read(directory.path()).unwrap_err();
    assert_eq!(refused.exit(), Exit::NotVerified);
    assert!(refused.to_string().contains("class rules"), "{refused}");
}

#[test]
fn signatures_accumulate_on_one_statement_and_are_dropped_for_another() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    let (first, second) = (key(), key());
    good("1").write(out).unwrap();
    let signed = good("1").sign(None, &[first]).unwrap();
    signed.write_manifest(out).unwrap();
    // The same measurement again keeps them.
    good("1").write(out).unwrap();
    let earlier = read_envelope(out).unwrap();
    assert!(earlier.is_some());
    let both = good("1")
        .sign(earlier.clone(), std::slice::from_ref(&second))
        .unwrap();
    assert_eq!(both.envelope.signature_count(), 2);
    let refused = good("2").sign(earlier, &[second]).unwrap_err();
    assert_eq!(refused.exit(), Exit::NotVerified);
    good("2").write(out).unwrap();
    assert!(read_envelope(out).unwrap().is_none());
}

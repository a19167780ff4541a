use earmark_manifest::{
    class::{Rule, RuleSet},
    crypto::sha256,
    digest::VerityDigest,
    entry::{Content, Entry, LinkGroup, Node, Owner, Xattr, XattrName},
    path::ImagePath,
};

use earmark_tests::golden;

use super::*;
use crate::inspect::source::layout_path;

fn file(path: &str, text: &str) -> Entry {
    Entry {
        path: layout_path(path),
        class: PathClass::Sealed,
        node: Node::Regular(Some(Content {
            size: text.len().try_into().unwrap(),
            sha256: sha256(text.as_bytes()),
            verity: VerityDigest::new([0; 32]),
            links: None,
        })),
        owner: Some(Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        }),
        xattrs: Vec::new(),
    }
}

fn with_mode(mut entry: Entry, mode: u32) -> Entry {
    entry.owner.as_mut().unwrap().mode = mode;
    entry
}

fn linked(mut entry: Entry, group: u32) -> Entry {
    if let Node::Regular(Some(content)) = &mut entry.node {
        content.links = Some(LinkGroup(group));
    }
    entry
}

fn difference(old: &[Entry], new: &[Entry]) -> Difference {
    let files = files::compare(old, new);
    let (added, removed, changed) = files::count(&files);
    Difference {
        old: "web 1".to_owned(),
        new: "web 2".to_owned(),
        compared: Compared {
            what: "seals",
            signatures: false,
            roots_not_read: Vec::new(),
        },
        manifest: Vec::new(),
        declaration: Vec::new(),
        rules: Vec::new(),
        packages: Vec::new(),
        added,
        removed,
        changed,
        notable: files.iter().filter(|file| file.notable).cloned().collect(),
        groups: files::group(files, None, None),
        notes: Vec::new(),
    }
}

#[test]
fn diff_texts_of_every_changed_field_are_golden() {
    let capability = Xattr {
        name: XattrName::Capability,
        value: [1u32 << 25 | 1, 1 << 13, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
    };
    let mut ping = file("/c", "x");
    ping.xattrs.push(capability);
    let old = [
        file("/a", "x"),
        file("/b", "x"),
        file("/c", "x"),
        file("/d", "x"),
    ];
    let new = [
        with_mode(file("/a", "yy"), 0o4755),
        ping,
        file("/d", "x"),
        with_mode(file("/e", "x"), 0o2755),
    ];
    let difference = difference(&old, &new);
    assert_eq!(difference.notable.len(), 3);
    golden!("diff", difference.text(Length::Short));
    golden!("diff-markdown", difference.markdown(Length::Short));
}

#[test]
fn shifted_numbers_of_hard_links_are_no_change() {
    let old = [linked(file("/b", "x"), 1), linked(file("/c", "x"), 1)];
    let new = [
        linked(file("/a", "y"), 1),
        linked(file("/a2", "y"), 1),
        linked(file("/b", "x"), 2),
        linked(file("/c", "x"), 2),
    ];
    let difference = difference(&old, &new);
    assert_eq!((difference.added, difference.changed), (2, 0));
    let torn = [linked(file("/b", "x"), 1), file("/c", "x")];
    let difference = super::files::compare(&old, &torn);
    assert_eq!(difference.len(), 1);
    assert_eq!(difference[0].fields[0].name, "hard links");
}

#[test]
fn large_diff_is_abbreviated_in_a_golden_text_and_complete_in_json() {
    let many = |text: &str| -> Vec<Entry> {
        (10_000..20_000)
            .map(|number| file(&format!("/opt/{number}"), text))
            .collect()
    };
    let difference = difference(&many("x"), &many("y"));
    let short = difference.text(Length::Short);
    assert!(short.lines().count() < 50, "{}", short.lines().count());
    golden!("diff-abbreviated", short);
    assert!(difference.text(Length::All).lines().count() > 10_000);
    assert!(difference.markdown(Length::Short).lines().count() < 60);
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(json["groups"][0]["files"].as_array().unwrap().len(), 10_000);
}

#[test]
fn rule_diff_reports_changes_and_reordering() {
    let tree = |rules: &[&str]| {
        let rules = rules
            .iter()
            .map(|pattern| {
                let pattern = earmark_manifest::class::Pattern::parse(pattern.as_bytes()).unwrap();
                Rule::new(RuleKind::Class(PathClass::Mutable), pattern)
            })
            .collect();
        Tree {
            rules: RuleSet::resolve(rules).unwrap(),
            entries: Vec::new(),
            summary: earmark_manifest::tree::TreeSummary {
                entries: 0,
                bytes: 0,
            },
        }
    };
    let names = |changes: Vec<Change>| -> Vec<String> {
        changes.into_iter().map(|change| change.name).collect()
    };
    let old = tree(&["/a", "/b"]);
    assert_eq!(rules(&old, &old), []);
    assert_eq!(
        names(rules(&old, &tree(&["/b", "/c"]))),
        ["mutable /a", "mutable /c"]
    );
    assert_eq!(names(rules(&old, &tree(&["/b", "/a"]))), ["order of rules"]);
}

#[test]
fn hostile_path_is_escaped_in_markdown_diff() {
    let new = [Entry {
        path: ImagePath::from_relative(b"a`|<b>\n").unwrap(),
        ..file("/x", "x")
    }];
    let page = difference(&[], &new).markdown(Length::Short);
    assert!(page.contains(r"`+ /a\x60\x7c<b>\x0a`"), "{page}");
}

//! The tree: resolved class rules and the ordered entries, one line each, zstd-compressed.
//!
//! `docs/manifest-format.md`, "The tree", has the grammar. Each tree has one spelling: [`read()`]
//! accepts exactly the text that [`write()`] makes.

mod line;
mod read;
mod write;

pub use read::{TreeError, TreeFault, TreeReader, read};
pub(crate) use read::{must_be_one_frame, unpack};
pub use write::{Tree, TreeSummary, WriteError, write};

/// The first line of every tree of this version.
const MAGIC: &str = "earmark-tree 1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        class::{PathClass, Pattern, Rule, RuleKind, RuleSet},
        crypto,
        digest::VerityDigest,
        entry::{Content, Device, Entry, LinkGroup, Node, Owner, Xattr, XattrName},
        path::ImagePath,
    };

    fn root() -> Entry {
        let owner = Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        Entry {
            path: ImagePath::root(),
            class: PathClass::Sealed,
            node: Node::Directory,
            owner: Some(owner),
            xattrs: vec![],
        }
    }

    fn rules() -> RuleSet {
        let pattern = Pattern::parse(b"/var/lib").unwrap();
        RuleSet::resolve(vec![Rule::new(RuleKind::Class(PathClass::State), pattern)]).unwrap()
    }

    fn read_back(stored: &[u8]) -> Result<Vec<Entry>, TreeError> {
        read(stored)?.collect()
    }

    fn content() -> impl Strategy<Value = Content> {
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(size, bytes)| Content {
            size,
            sha256: crypto::sha256(&bytes),
            verity: VerityDigest::new(bytes),
            links: None,
        })
    }

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![
            content().prop_map(|content| Node::Regular(Some(content))),
            Just(Node::Directory),
            proptest::collection::vec(1..=255u8, 1..40)
                .prop_map(|target| Node::Symlink(Some(target.into()))),
            any::<(u32, u32)>()
                .prop_map(|(major, minor)| Node::CharDevice(Some(Device { major, minor }))),
            any::<(u32, u32)>()
                .prop_map(|(major, minor)| Node::BlockDevice(Some(Device { major, minor }))),
            Just(Node::Fifo),
            Just(Node::Socket),
        ]
    }

    fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
        proptest::sample::subsequence(XattrName::ALL.to_vec(), 0..=4).prop_flat_map(|names| {
            names
                .into_iter()
                .map(|name| {
                    proptest::collection::vec(any::<u8>(), 1..30).prop_map(move |value| Xattr {
                        name,
                        value: value.into(),
                    })
                })
                .collect::<Vec<_>>()
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let path = proptest::collection::vec(1..=255u8, 1..30)
            .prop_filter_map("a path", |bytes| ImagePath::from_relative(&bytes).ok());
        (path, node(), 0..=0o7777u32, any::<(u32, u32)>(), xattrs()).prop_map(
            |(path, node, mode, (uid, gid), xattrs)| Entry {
                path,
                class: PathClass::Sealed,
                node,
                owner: Some(Owner { mode, uid, gid }),
                xattrs,
            },
        )
    }

    proptest! {
        #[test]
        fn tree_round_trips_through_writer_and_reader(entries in proptest::collection::vec(entry(), 0..12)) {
            let mut entries = entries;
            entries.push(root());
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            let rules = rules();
            let tree = write(&rules, &entries).unwrap();
            prop_assert_eq!(&tree.stored, &write(&rules, &entries).unwrap().stored);
            let reader = read(&tree.stored).unwrap();
            prop_assert_eq!(reader.rules().rules(), rules.rules());
            prop_assert_eq!(read_back(&tree.stored).unwrap(), entries);
        }

        #[test]
        fn tree_writer_refuses_entries_not_in_byte_order(names in proptest::collection::vec("[a-z/.-]{1,6}", 2..6)) {
            let mut entries: Vec<Entry> = names
                .iter()
                .filter_map(|name| ImagePath::from_relative(name.as_bytes()).ok())
                .map(|path| Entry { path, ..root() })
                .collect();
            entries.insert(0, root());
            let sorted = entries.windows(2).all(|two| two[0].path < two[1].path);
            prop_assert_eq!(write(&rules(), &entries).is_ok(), sorted);
        }
    }

    #[test]
    fn tree_writer_refuses_malformed_hard_link_groups() {
        let content = Content {
            size: 1,
            sha256: crypto::sha256(b"x"),
            verity: VerityDigest::new([0; 32]),
            links: Some(LinkGroup(1)),
        };
        let file = |name: &str, content: Content| Entry {
            path: ImagePath::from_relative(name.as_bytes()).unwrap(),
            node: Node::Regular(Some(content)),
            ..root()
        };
        let other = Content {
            links: Some(LinkGroup(2)),
            ..content
        };
        let changed = Content { size: 2, ..content };
        assert!(write(&rules(), &[root(), file("a", content), file("b", content)]).is_ok());
        for wrong in [
            vec![file("a", content)],
            vec![file("a", other), file("b", other)],
            vec![file("a", content), file("b", changed)],
        ] {
            let entries: Vec<Entry> = [root()].into_iter().chain(wrong).collect();
            assert!(matches!(
                write(&rules(), &entries),
                Err(WriteError::Unreadable(_))
            ));
        }
    }

    #[test]
    fn empty_tree_is_refused_and_root_alone_is_accepted() {
        assert!(write(&rules(), &[]).is_err());
        let root_alone = write(&rules(), &[root()]).unwrap();
        assert_eq!(read_back(&root_alone.stored).unwrap(), [root()]);
        assert_eq!(
            root_alone.summary,
            TreeSummary {
                entries: 1,
                bytes: 0
            }
        );
    }
}

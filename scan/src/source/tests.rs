use std::collections::BTreeMap;

use earmark_manifest::class::RuleSet;

use super::*;
use crate::Root;
use crate::walk::Walked;

/// An inode that is a link.
const LINK: u64 = 100;

/// Directories by inode, each with its entries. What is no directory is a file with its inode as content.
#[derive(Debug, Clone, Default)]
struct Fake(BTreeMap<u64, Vec<(&'static [u8], u64)>>);

const fn node(inode: u64) -> NodeId {
    NodeId { volume: 7, inode }
}

impl Source for Fake {
    fn root(&self) -> NodeId {
        node(2)
    }

    fn look(&self, node: NodeId) -> io::Result<Metadata> {
        let is_directory = self.0.contains_key(&node.inode);
        Ok(Metadata {
            mode: match node.inode {
                _ if is_directory => 0o40_755,
                LINK => 0o120_777,
                _ => 0o100_644,
            },
            uid: 0,
            gid: 0,
            links: 1,
            size: 8,
            rdev: (0, 0),
        })
    }

    fn list(&self, directory: NodeId, _: usize) -> io::Result<Vec<(Box<[u8]>, NodeId)>> {
        let names = self
            .0
            .get(&directory.inode)
            .ok_or(io::ErrorKind::NotADirectory)?;
        Ok(names
            .iter()
            .map(|(name, inode)| ((*name).into(), node(*inode)))
            .collect())
    }

    fn target(&self, _: NodeId) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn xattrs(&self, _: NodeId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(Vec::new())
    }

    fn read_at(&self, file: NodeId, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let content = file.inode.to_le_bytes();
        let rest = &content[usize::try_from(offset).unwrap()..];
        let count = rest.len().min(into.len()).min(3);
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn walked(fake: &Fake) -> (Vec<String>, Vec<String>) {
    let rules = RuleSet::resolve(Vec::new()).unwrap();
    let scope = Scope {
        rules: &rules,
        mounts: &[],
        state: false,
        reads: &|_, _| false,
        signed: None,
    };
    let mut walked = Walked::default();
    walk(fake, &scope, &mut walked).unwrap();
    let paths = walked.seen.iter().map(|seen| seen.path.to_string());
    let doubts = walked.doubts.iter().map(ToString::to_string);
    (paths.collect(), doubts.collect())
}

#[test]
fn source_walk_is_in_the_order_of_the_paths() {
    let fake = Fake(
        [
            (2, vec![(&b"b"[..], 4), (b"a", 3), (b"a-", 5)]),
            (3, vec![(&b"x"[..], 6)]),
        ]
        .into(),
    );
    let (paths, doubts) = walked(&fake);
    assert_eq!(paths, ["/", "/a", "/a-", "/a/x", "/b"]);
    assert!(doubts.is_empty(), "{doubts:?}");
}

#[test]
fn source_walk_reports_hostile_directories_and_terminates() {
    for (entries, doubt) in [
        (
            vec![(&b"a"[..], 3), (b"a", 4)],
            "/: failed to list the directory: duplicate name in the directory",
        ),
        (
            vec![(&b"loop"[..], 2)],
            "/loop: failed to enter the directory: the directory has two names",
        ),
        (
            vec![(&b"a"[..], 5), (b"b", 5)],
            "/b: failed to enter the directory: the directory has two names",
        ),
        (
            vec![(&b"a/b"[..], 3)],
            "/: failed to use a name in the directory",
        ),
        (
            vec![(&b"a\0"[..], 3)],
            "/: failed to use a name in the directory",
        ),
        (
            vec![(&b".."[..], 3)],
            "/: failed to use a name in the directory",
        ),
        (
            vec![(&b""[..], 3)],
            "/: failed to use a name in the directory",
        ),
    ] {
        let (_, doubts) = walked(&Fake([(2, entries), (5, Vec::new())].into()));
        assert_eq!(doubts.len(), 1, "{doubts:?}");
        assert!(doubts[0].starts_with(doubt), "{doubts:?}");
    }
    let (_, doubts) = walked(&Fake(
        [(2, vec![(&b"a"[..], 3), (b"b", 5)]), (5, Vec::new())].into(),
    ));
    assert!(doubts.is_empty(), "{doubts:?}");
}

#[test]
fn directory_with_too_many_names_is_reported_as_a_doubt() {
    #[derive(Debug)]
    struct Wide(u64);
    impl Source for Wide {
        fn root(&self) -> NodeId {
            node(2)
        }
        fn look(&self, node: NodeId) -> io::Result<Metadata> {
            Fake([(2, Vec::new())].into()).look(node)
        }
        fn list(&self, _: NodeId, room: usize) -> io::Result<Vec<(Box<[u8]>, NodeId)>> {
            let name = |number: u64| format!("{number:0200}").into_bytes().into();
            if self.0 * 296 > u64::try_from(room).unwrap() {
                return Err(io::Error::other("it has too many names"));
            }
            Ok((0..self.0).map(|number| (name(number), node(9))).collect())
        }
        fn target(&self, _: NodeId) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::InvalidInput.into())
        }
        fn xattrs(&self, _: NodeId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
            Ok(Vec::new())
        }
        fn read_at(&self, _: NodeId, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    let rules = RuleSet::resolve(Vec::new()).unwrap();
    let scope = Scope {
        rules: &rules,
        mounts: &[],
        state: false,
        reads: &|_, _| false,
        signed: None,
    };
    // As many as fit beside their listing, as many as fit only without it, and more than fit.
    for (names, doubts) in [(1000, 0), (200_000, 0), (226_000, 1), (300_000, 1)] {
        let mut walked = Walked::default();
        walk(&Wide(names), &scope, &mut walked).unwrap();
        assert_eq!(walked.doubts.len(), doubts, "{names}");
    }
}

#[test]
fn root_of_a_source_reads_files_and_opens_nothing_of_this_host() {
    let fake = Fake(
        [
            (2, vec![(&b"etc"[..], 3), (b"f", 9)]),
            (3, vec![(&b"g"[..], 10), (b"h", 11), (b"h", 12)]),
        ]
        .into(),
    );
    let root = Root::of_source(Box::new(fake), std::path::Path::new("disk.raw")).unwrap();
    let path = |text: &str| ImagePath::from_absolute(text.as_bytes()).unwrap();
    assert_eq!(root.read(&path("/etc/g"), 8).unwrap(), 10_u64.to_le_bytes());
    assert!(root.read(&path("/etc/g"), 7).unwrap_err().is_over_bound());
    assert!(root.read(&path("/etc"), 100).is_err());
    // Two entries of one name: neither is taken.
    assert!(root.read(&path("/etc/h"), 8).is_err());
    assert_eq!(root.read_opt(&path("/etc/none"), 8).unwrap(), None);
    assert!(root.exists(&path("/f")).unwrap());
    assert!(!root.exists(&path("/f/x")).unwrap());
    assert!(root.open_regular(&path("/etc/g")).is_err());
    assert!(root.list("etc").is_err());
    assert!(!root.is_live());
}

/// Enters directories down to a depth, and keeps what it is told of.
struct Shallow {
    levels: usize,
    seen: Vec<String>,
    doubts: Vec<String>,
}

impl Visitor for Shallow {
    fn see(&mut self, seen: Seen, _: bool) -> Step {
        self.seen.push(seen.path.to_string());
        let levels = seen.path.as_bytes().split(|byte| *byte == b'/').count();
        if seen.path.is_root() || levels <= self.levels {
            Step::Enter
        } else {
            Step::Pass
        }
    }
    fn doubt(&mut self, doubt: Doubt) {
        self.doubts.push(doubt.to_string());
    }
    fn see_unsigned(&mut self, _: Seen) {}
    fn doubt_unsigned(&mut self, _: Doubt) {}
    fn wants_unsigned(&self) -> bool {
        true
    }
    fn count_unsigned(&mut self, _: &ImagePath, _: FileType) {}
}

#[test]
fn directory_skipped_by_the_visitor_is_not_listed() {
    // Whoever lists '/a' has a doubt to tell.
    let fake = Fake(
        [
            (2, vec![(&b"a"[..], 3), (b"b", 4)]),
            (3, vec![(&b".."[..], 5), (b"x", 6)]),
        ]
        .into(),
    );
    let rules = RuleSet::resolve(Vec::new()).unwrap();
    let scope = Scope {
        rules: &rules,
        mounts: &[],
        state: false,
        reads: &|_, _| false,
        signed: None,
    };
    for (levels, seen, doubts) in [
        (0, &["/", "/a", "/b"][..], 0),
        (1, &["/", "/a", "/a/x", "/b"][..], 1),
    ] {
        let mut visitor = Shallow {
            levels,
            seen: Vec::new(),
            doubts: Vec::new(),
        };
        walk(&fake, &scope, &mut visitor).unwrap();
        assert_eq!(visitor.seen, seen);
        assert_eq!(visitor.doubts.len(), doubts, "{:?}", visitor.doubts);
    }
}

/// The control is a directory of this host.
#[test]
fn name_behind_a_link_or_a_file_exists_as_it_does_beneath_a_directory() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("file"), b"x").unwrap();
    std::os::unix::fs::symlink(".", directory.path().join("link")).unwrap();
    let fake = Fake([(2, vec![(&b"file"[..], 4), (b"link", LINK)])].into());
    let fake = Root::of_source(Box::new(fake), std::path::Path::new("fake")).unwrap();
    let root = Root::open(directory.path()).unwrap();
    for (path, expected) in [
        ("/file", Some(true)),
        ("/none", Some(false)),
        ("/none/x", Some(false)),
        ("/file/x", Some(false)),
        ("/link", Some(true)),
        ("/link/file", None),
    ] {
        let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
        for root in [&fake, &root] {
            assert_eq!(root.exists(&path).ok(), expected, "{path} of {root:?}");
        }
    }
}

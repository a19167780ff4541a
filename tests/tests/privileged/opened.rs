//! The gate `critical` covers what a boot opens before the host is ready, by the kernel's own record.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use earmark_manifest::{
    class::{PathClass, Rule, RuleKind},
    entry::Node,
    path::ImagePath,
    tree,
};
use earmark_tests::container::Host;
use nix::{
    errno::Errno,
    sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
};

const WAIVER: &str = "
[[lint.allow]]
rule = \"private-key\"
reason = \"Those of manuals.\"
";
/// From the moment that it holds, what is opened no longer counts.
const READY: &str = "systemctl is-active --quiet earmark-ready.target && touch /run/test/ready";

/// Tells the tracer that the boot is over, also if it failed.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each file of a host's root that any process opened until it was ready.
fn opened(host: &Host) -> BTreeSet<ImagePath> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_QUEUE;
    let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)
        .expect("fanotify, as root");
    // The file system, not a mount: the container has mounts of its own of it.
    group
        .mark(
            MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM,
            MaskFlags::FAN_OPEN | MaskFlags::FAN_OPEN_EXEC,
            fs::File::open(host.at("")).unwrap(),
            None::<&OsStr>,
        )
        .expect("a mark");
    let outside = host.at("");
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let tracer = threads.spawn(|| {
            let mut opened = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                if host.shared("ready").exists() {
                    break;
                }
                match group.read_events() {
                    Ok(events) => {
                        for event in events {
                            let overflow = MaskFlags::FAN_Q_OVERFLOW;
                            assert!(!event.mask().contains(overflow), "events were lost");
                            let fd = event.fd().expect("a descriptor");
                            let link = rustix::fs::readlinkat(
                                rustix::fs::CWD,
                                format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd)),
                                Vec::new(),
                            );
                            let path =
                                PathBuf::from(OsStr::from_bytes(link.expect("a path").as_bytes()));
                            // By way of the mount that it was opened by: the container's, or this one's.
                            let path = path.strip_prefix(&outside).unwrap_or(&path);
                            let path = path.as_os_str().as_bytes();
                            let path = path.strip_prefix(b"/").unwrap_or(path);
                            opened.extend(ImagePath::from_relative(path));
                        }
                    }
                    Err(Errno::EAGAIN) => thread::sleep(Duration::from_millis(5)),
                    Err(error) => panic!("{error}"),
                }
            }
            opened
        });
        let ended = Ended(&over);
        let seen = host.boot(READY);
        drop(ended);
        assert!(seen.workload_started || !seen.journal.is_empty());
        tracer.join().expect("the tracer")
    })
}

/// The sealed files among them that none of the rules makes critical.
fn uncovered(host: &Host, opened: &BTreeSet<ImagePath>, without: Option<&str>) -> Vec<String> {
    let stored = fs::read(host.at("usr/lib/earmark/seal/tree.zst")).unwrap();
    let entries = tree::read(&stored).unwrap();
    let is_left = |rule: &&Rule| {
        rule.kind == RuleKind::Critical
            && without.is_none_or(|pattern| rule.pattern.to_string() != pattern)
    };
    let rules: Vec<Rule> = entries
        .rules()
        .rules()
        .iter()
        .filter(is_left)
        .cloned()
        .collect();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.class == PathClass::Sealed)
        .filter(|entry| matches!(entry.node, Node::Regular(_)) && opened.contains(&entry.path))
        .filter(|entry| !rules.iter().any(|rule| rule.pattern.matches(&entry.path)))
        .map(|entry| entry.path.to_string())
        .collect()
}

#[test]
fn privileged_files_opened_before_ready_are_in_the_critical_set() {
    for root in ["EARMARK_ROOT_SERVER", "EARMARK_ROOT_DEBIAN_13"] {
        // The agent itself reads no content: what it opens would be all of the critical set.
        let host = Host::gated(root, "signature", "report", WAIVER, |_| ());
        let opened = opened(&host);
        assert!(opened.len() > 300, "{root}: {}", opened.len());
        assert_eq!(uncovered(&host, &opened, None), [""; 0], "{root}");

        // The controls: a rule that is not there is missed.
        for rule in ["/usr/bin/**", "/usr/lib/systemd/**", "/usr/lib/*/lib*.so*"] {
            let missed = uncovered(&host, &opened, Some(rule));
            assert!(!missed.is_empty(), "{root}: {rule}");
        }
    }
}

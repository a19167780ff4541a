//! The gate `critical` covers what a boot opens before the host is ready, by the kernel's own record.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use earmark_manifest::path::ImagePath;
use earmark_tests::container::{Host, READY, WAIVER};
use nix::{
    errno::Errno,
    sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags},
    time::{ClockId, clock_gettime},
};

use crate::critical::uncovered;

/// Pause of the tracer between two looks at an empty queue: an event is as late as this, at least.
const PAUSE: Duration = Duration::from_millis(1);

/// Tells the tracer that the boot is over, also if it failed.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The path of an event, seen from the root at `outside`.
fn path(event: &FanotifyEvent, outside: &Path) -> Option<ImagePath> {
    let overflow = MaskFlags::FAN_Q_OVERFLOW;
    assert!(!event.mask().contains(overflow), "events were lost");
    let fd = event.fd().expect("a descriptor");
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = fs::read_link(link).expect("a path");
    // By way of the mount that it was opened by: the container's, or this one's.
    let path = path.strip_prefix(outside).unwrap_or(&path);
    let path = path.as_os_str().as_bytes();
    ImagePath::from_relative(path.strip_prefix(b"/").unwrap_or(path)).ok()
}

/// Microseconds of the clock that the service manager stamps states of units with.
fn now() -> u64 {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a time"));
    now.as_micros().try_into().expect("a time in 64 bits")
}

/// Each file of a host's root that any process opened until the host was ready.
///
/// An event has the time at which it was read from the queue, which is never before the file was opened: what is opened
/// once the host is ready, as by its full verification, is never among them.
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
            let mut opened = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                match group.read_events() {
                    Ok(events) => {
                        let now = now();
                        for path in events.iter().filter_map(|event| path(event, &outside)) {
                            opened.entry(path).or_insert(now);
                        }
                    }
                    Err(Errno::EAGAIN) => thread::sleep(PAUSE),
                    Err(error) => panic!("{error}"),
                }
            }
            opened
        });
        let ended = Ended(&over);
        let ready = host.boot(READY).since("earmark-ready.target");
        drop(ended);
        let opened = tracer.join().expect("the tracer");
        assert!(ready > 0, "the host was not ready");
        let before = opened.into_iter().filter(|(_, time)| *time <= ready);
        before.map(|(path, _)| path).collect()
    })
}

#[test]
fn privileged_files_opened_before_ready_are_in_the_critical_set() {
    for root in ["EARMARK_ROOT_SERVER", "EARMARK_ROOT_DEBIAN_13"] {
        // The agent itself reads no content: what it opens would be all of the critical set.
        let host = Host::gated(root, "signature", "report", WAIVER, |_| ());
        let opened = opened(&host);
        assert!(opened.len() > 300, "{root}: {}", opened.len());
        let stored = fs::read(host.at("usr/lib/earmark/seal/tree.zst")).unwrap();
        assert_eq!(uncovered(&stored, &opened, None), [""; 0], "{root}");

        // The controls: a rule that is not there is missed.
        for rule in ["/usr/bin/**", "/usr/lib/systemd/**", "/usr/lib/*/lib*.so*"] {
            let missed = uncovered(&stored, &opened, Some(rule));
            assert!(!missed.is_empty(), "{root}: {rule}");
        }
    }
}

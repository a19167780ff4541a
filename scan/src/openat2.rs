//! `openat2(2)` that is not put off by renames.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    path::Arg,
};

/// Attempts at one path. With a process that does nothing but rename, one in ten fails.
const ATTEMPTS: u32 = 256;

/// Opens what is at `path` within `directory`, as `resolve` says.
///
/// The kernel cannot tell whether a `..`, in the path or in a link, leads out while anything on the host is renamed or
/// mounted, and returns `EAGAIN`. Any account can rename a file of its own all day: what it puts off is asked again, or a
/// doubt, and the policy of the image, would be that account's doing.
///
/// # Errors
///
/// That of the last attempt.
pub fn openat2<P: Arg + Copy>(
    directory: impl AsFd,
    path: P,
    flags: OFlags,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let mut attempts = 0_u32;
    loop {
        #[expect(clippy::disallowed_methods, reason = "this is the one that asks again")]
        let opened = rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve);
        attempts = attempts.saturating_add(1);
        if !matches!(opened, Err(Errno::AGAIN)) || attempts >= ATTEMPTS {
            return opened;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    /// Ends the other thread also when the test fails.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn link_with_parent_directories_opens_while_another_thread_renames() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("usr/lib/systemd")).unwrap();
        fs::create_dir(at("sbin")).unwrap();
        fs::write(at("usr/lib/systemd/systemd"), b"").unwrap();
        symlink("../usr/lib/systemd/systemd", at("sbin/init")).unwrap();
        fs::write(at("one"), b"").unwrap();
        let root = fs::File::open(directory.path()).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            let _stop = Stop(&over);
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    fs::rename(at("one"), at("two")).unwrap();
                    fs::rename(at("two"), at("one")).unwrap();
                }
            });
            for _ in 0..20_000 {
                openat2(&root, "sbin/init", OFlags::PATH, ResolveFlags::IN_ROOT).unwrap();
            }
        });
        // What is not there is said at the first attempt.
        let absent = openat2(&root, "sbin/x", OFlags::PATH, ResolveFlags::IN_ROOT);
        assert_eq!(absent.unwrap_err(), Errno::NOENT);
    }
}

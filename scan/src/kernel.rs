//! Facts that the running kernel tells of itself: its boot, and whether this is a container.

use std::path::Path;

/// The inode of the initial PID namespace: `PROC_PID_INIT_INO` of the kernel.
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// Returns whether the host with the root `root` is a container, by its `/proc`. What cannot be told is no container: there is more to judge then.
pub fn is_container_of(root: &Path) -> bool {
    let link = std::fs::read_link(root.join("proc/self/ns/pid"));
    let namespace = link.ok().and_then(|link| {
        let text = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
        text.parse::<u32>().ok()
    });
    namespace.is_some_and(|namespace| namespace != INITIAL_PID_NAMESPACE)
}

/// The id of this boot, if the kernel tells.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    // A container's manager mounts a file of its own there, and the id goes into records and reports.
    let good = id.len() == 36
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    good.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_is_detected_by_pid_namespace_and_not_by_marker_file() {
        let root = tempfile::tempdir().unwrap();
        let namespaces = root.path().join("proc/self/ns");
        std::fs::create_dir_all(&namespaces).unwrap();
        std::fs::create_dir_all(root.path().join("run/systemd")).unwrap();
        std::fs::write(root.path().join("run/systemd/container"), "lxc").unwrap();
        assert!(!is_container_of(root.path()));
        for (link, expected) in [
            ("pid:[4026531836]", false),
            ("pid:[4026532001]", true),
            ("pid:[x]", false),
        ] {
            let path = namespaces.join("pid");
            std::os::unix::fs::symlink(link, &path).unwrap();
            assert_eq!(is_container_of(root.path()), expected, "{link}");
            std::fs::remove_file(path).unwrap();
        }
    }
}

//! What the running host says of itself.

use std::time::{SystemTime, UNIX_EPOCH};

/// The id of this boot, if the kernel tells.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    let good = id.len() == 36
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    good.then(|| id.to_owned())
}

/// Now, in seconds since 1970; nothing from a clock that was never set.
pub fn time() -> Option<u64> {
    /// 2025-01-01: no host runs this program before it was written.
    const FIRST: u64 = 1_735_689_600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    (now >= FIRST).then_some(now)
}

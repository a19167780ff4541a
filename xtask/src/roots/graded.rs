//! The recipe of the root `graded`: the root `boot`, and those who grade how a host is hardened.

use std::path::Path;

use anyhow::Result;

use super::boot;

const PACKAGES: &[&str] = &["lynis", "openscap-scanner", "ssg-debderived", "ssg-debian"];

pub fn make(to: &Path) -> Result<()> {
    boot::make_with(to, PACKAGES)
}

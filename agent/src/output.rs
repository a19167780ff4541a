//! Standard output, for what was asked for.

use std::io::Write;

use anyhow::{Context, Result};

/// Writes all of it, or says that it could not.
pub fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("failed to write the result")
}

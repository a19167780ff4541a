//! For programs.

use crate::{exit::Outcome, fleet::Status, io::output};

/// The document of all commands' results: `schema`, and every host.
pub fn bytes(status: &Status) -> Outcome<Vec<u8>> {
    output::json_bytes(status)
}

//! Progress of a long scan.

/// Told of progress by several threads at once, which wait for the answer: whoever takes its time
/// holds the reading back.
pub trait Progress: Sync {
    /// Sets the number of bytes to read, as far as it is known; called again as more files are found.
    fn total(&self, bytes: u64);
    /// Counts `bytes` more as read.
    fn advance(&self, bytes: u64);
    /// Counts `bytes` more that need not be read.
    fn skip(&self, bytes: u64) {
        self.advance(bytes);
    }
}

/// Nobody is watching.
impl Progress for () {
    fn total(&self, _: u64) {}
    fn advance(&self, _: u64) {}
}

//! How a long scan says how far it is.

/// Told of progress by several threads at once, which wait for the answer: whoever takes its time
/// holds the reading back.
pub trait Progress: Sync {
    /// How many bytes there are to read, as soon as that is known.
    fn total(&self, bytes: u64);
    /// That `bytes` more were read.
    fn advance(&self, bytes: u64);
    /// That `bytes` more need not be read.
    fn skip(&self, bytes: u64) {
        self.advance(bytes);
    }
}

/// Nobody is watching.
impl Progress for () {
    fn total(&self, _: u64) {}
    fn advance(&self, _: u64) {}
}

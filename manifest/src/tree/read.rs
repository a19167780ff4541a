//! Reads a tree, entry by entry, without ever holding its text.

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    class::{self, Rule, RuleError, RuleSet},
    crypto::Sha256,
    digest::Sha256Digest,
    entry::{Content, Entry, LinkGroup, Node, Owner},
    limits,
    path::{ImagePath, PathError},
};

use super::{MAGIC, TreeSummary, line};

/// Fault in a tree, and its line.
#[derive(Debug, thiserror::Error)]
#[error("tree, line {line}: {fault}")]
pub struct TreeError {
    /// The line of the decompressed text, from 1.
    pub line: u64,
    /// Fault in that line.
    pub fault: TreeFault,
}

/// Fault in a line of a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeFault {
    /// A class that no entry has.
    #[error("unknown class: expected sealed, mutable, rendered or state")]
    Class,
    /// `rules N` or `entries N` is absent, or is not the number that follows.
    #[error("expected '{0} N' with the number of lines that follow")]
    Count(&'static str),
    /// zstd cannot read it.
    #[error("cannot be decompressed: {0}")]
    Decompress(io::Error),
    /// Not 64 lower-case hex digits.
    #[error("not a digest: expected 64 lower-case hex digits")]
    Digest,
    /// Not in the one escaped form.
    #[error("invalid escaping")]
    Escape,
    /// Fewer than ten fields.
    #[error("expected ten fields, one space apart")]
    Fields,
    /// A hard-link group that is not numbered in order, has one member, or members that differ.
    #[error("hard-link groups are numbered from 1 in order, with two or more names for one file")]
    Links,
    /// A line longer than [`limits::TREE_LINE`], or the text longer than [`limits::TREE_TEXT`].
    #[error("too long for the format")]
    Long,
    /// The first line.
    #[error("expected '{MAGIC}'")]
    Magic,
    /// A number out of range, or not in its one spelling.
    #[error("not a number in its range, without sign or leading zero")]
    Number,
    /// Not after the path before it, or the root is not first.
    #[error("out of order: paths ascend by their bytes, each once, and the root comes first")]
    Order,
    /// See [`PathError`].
    #[error("{0}")]
    Path(PathError),
    /// See [`RuleError`].
    #[error("{0}")]
    Rule(RuleError),
    /// Fields that do not go with the type and class.
    #[error("a field is missing, or not allowed, for the entry's type and class")]
    Shape,
    /// The manifest counts other entries or bytes than the tree has.
    #[error("the manifest's summary does not match the tree")]
    Summary,
    /// Not a target that a symbolic link can have.
    #[error("not a target of a symbolic link")]
    Target,
    /// Bytes after the last entry.
    #[error("trailing data after the last entry")]
    Trailing,
    /// The text ends early.
    #[error("the tree is truncated")]
    Truncated,
    /// A type that no entry has.
    #[error("unknown type: expected f, d, l, c, b, p or s")]
    Type,
    /// An attribute that is not recorded, out of order, empty or too long.
    #[error("not a recorded extended attribute, or out of order")]
    Xattr,
}

/// Reads the header of a stored tree, and then its entries as they are asked for.
///
/// Check the digest of `stored` first: this bounds what it takes, but a decompressor is code that
/// an attacker should not reach.
///
/// # Errors
///
/// [`TreeError`] beyond [`limits::TREE_STORED`] bytes, for other bytes than one zstd frame, and for a header that
/// is not the one spelling of its rules.
pub fn read(stored: &[u8]) -> Result<TreeReader<impl BufRead>, TreeError> {
    must_be_one_frame(stored)?;
    unpack(stored)
}

/// Refuses stored bytes with anything but one frame in them, before any of them is unpacked.
pub(crate) fn must_be_one_frame(stored: &[u8]) -> Result<(), TreeError> {
    // Some decompressors read on after the first frame and others stop there, which would be two
    // readings of the same signed bytes.
    if zstd::zstd_safe::find_frame_compressed_size(stored) == Ok(stored.len()) {
        Ok(())
    } else {
        Err(TreeError::of_storage(not_one_frame()))
    }
}

/// Reads a tree as [`read`] does, from bytes that are not all in memory.
pub(crate) fn unpack<R: BufRead>(
    stored: R,
) -> Result<TreeReader<BufReader<OneFrame<R>>>, TreeError> {
    let decoder = zstd::stream::read::Decoder::with_buffer(stored);
    // By itself the decoder goes on with the next frame and joins the texts of both.
    let mut decoder = decoder.map_err(TreeError::of_storage)?.single_frame();
    // A frame's header names its window: zstd's own bound, 128 MiB, is all the memory that a verification may take.
    decoder
        .window_log_max(limits::TREE_WINDOW_LOG)
        .map_err(TreeError::of_storage)?;
    TreeReader::new(BufReader::with_capacity(64 * 1024, OneFrame(decoder)))
}

fn not_one_frame() -> io::Error {
    io::Error::other("not one whole zstd frame")
}

/// Unpacks one frame, and refuses bytes behind it.
pub(crate) struct OneFrame<R: BufRead>(zstd::stream::read::Decoder<'static, R>);

impl<R: BufRead> Read for OneFrame<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        // The stored bytes may not be in memory: only the end of the source tells that nothing follows the frame.
        // A read into an empty buffer is 0 as well, and is no end.
        if count == 0 && !into.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(not_one_frame());
        }
        Ok(count)
    }
}

impl TreeError {
    /// Tells whether memory was missing, and not anything wrong with the tree: that says nothing of what was signed.
    pub fn is_shortage(&self) -> bool {
        /// `ZSTD_error_memory_allocation` of `zstd_errors.h`, as its functions return it.
        const NO_MEMORY: usize = 0_usize.wrapping_sub(64);
        let TreeFault::Decompress(error) = &self.fault else {
            return false;
        };
        // zstd's errors come as text alone; the second is that of its Rust binding.
        let text = error.to_string();
        text == zstd::zstd_safe::get_error_name(NO_MEMORY) || text.contains("could not allocate")
    }

    /// Creates the error for a fault in the stored bytes, before there is a line.
    pub(crate) fn of_storage(error: io::Error) -> Self {
        Self {
            line: 1,
            fault: TreeFault::Decompress(error),
        }
    }
}

/// Checks that [`read`] would accept this text, compressed.
pub(super) fn check_text(text: &[u8]) -> Result<(), TreeError> {
    TreeReader::new(text)?.try_for_each(|entry| entry.map(|_| ()))
}

/// The entries of a tree, in order. An error ends it.
#[derive(Debug)]
pub struct TreeReader<R> {
    lines: Lines<R>,
    rules: RuleSet,
    entries: u64,
    left: u64,
    previous: Option<ImagePath>,
    links: Vec<(Sha256Digest, u32)>,
    bytes: u64,
    expected: Option<TreeSummary>,
    done: bool,
}

impl<R: BufRead> TreeReader<R> {
    fn new(input: R) -> Result<Self, TreeError> {
        let mut lines = Lines {
            input,
            line: Vec::new(),
            number: 0,
            bytes: 0,
        };
        if lines.next()? != MAGIC.as_bytes() {
            return Err(lines.error(TreeFault::Magic));
        }
        let count: u64 = lines.count("rules")?;
        // Before the first rule is read: each is kept in memory until the last one is there.
        if count > u64::try_from(limits::RULES).unwrap_or(u64::MAX) {
            return Err(lines.error(TreeFault::Rule(RuleError::TooMany)));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for _ in 0..count {
            let rule = class::parse_rule(lines.next()?);
            rules.push(rule.map_err(|error| lines.error(TreeFault::Rule(error)))?);
        }
        let rules =
            RuleSet::from_rules(rules).map_err(|error| lines.error(TreeFault::Rule(error)))?;
        let entries = lines.count("entries")?;
        // The root is an entry itself, so that a tree without entries describes nothing.
        if entries == 0 || entries > limits::ENTRIES {
            return Err(lines.error(TreeFault::Count("entries")));
        }
        Ok(Self {
            lines,
            rules,
            entries,
            left: entries,
            previous: None,
            links: Vec::new(),
            bytes: 0,
            expected: None,
            done: false,
        })
    }

    /// Refuses a tree of other numbers than these: people are told these.
    pub(crate) fn expecting(mut self, summary: TreeSummary) -> Result<Self, TreeError> {
        // The header has the count, so that a wrong one is refused before any entry; the bytes show only at the end.
        if self.entries != summary.entries {
            return Err(self.lines.error(TreeFault::Summary));
        }
        self.expected = Some(summary);
        Ok(self)
    }

    /// The class rules of this image.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Returns the number of entries in all, and the bytes of those read so far.
    pub fn summary(&self) -> TreeSummary {
        TreeSummary {
            entries: self.entries,
            bytes: self.bytes,
        }
    }

    fn entry(&mut self) -> Result<Option<Entry>, TreeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return self.end().map(|()| None);
        };
        let parsed = line::parse(self.lines.next()?);
        let entry = parsed.map_err(|fault| self.lines.error(fault))?;
        self.take(&entry).map_err(|fault| self.lines.error(fault))?;
        self.left = left;
        self.previous = Some(entry.path.clone());
        Ok(Some(entry))
    }

    /// Checks what one line alone cannot show.
    fn take(&mut self, entry: &Entry) -> Result<(), TreeFault> {
        // A root is compared as both stream by in this order: an entry out of place would never meet its file, and of
        // two for one path it would be the reader's choice which one counts.
        match &self.previous {
            None if entry.path.is_root() && matches!(entry.node, Node::Directory) => {}
            Some(previous) if *previous < entry.path => {}
            _ => return Err(TreeFault::Order),
        }
        let Node::Regular(Some(content)) = &entry.node else {
            return Ok(());
        };
        // Sizes in a tree are what its writer wrote, and can sum up past 64 bits; the writer saturates as well.
        self.bytes = self.bytes.saturating_add(content.size);
        let Some(LinkGroup(group)) = content.links else {
            return Ok(());
        };
        let index = usize::try_from(group)
            .ok()
            .and_then(|group| group.checked_sub(1))
            .ok_or(TreeFault::Links)?;
        // Groups begin in order, so that one large number in a line cannot make this list long.
        let groups = self.links.len();
        match self.links.get_mut(index) {
            Some((first, names)) if *first == inode_of(entry, content) => {
                *names = names.saturating_add(1);
            }
            None if index == groups => self.links.push((inode_of(entry, content), 1)),
            _ => return Err(TreeFault::Links),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TreeError> {
        // A group of one claims a second name of the file that no entry has, and a file without a group has one name.
        if self.links.iter().any(|(_, names)| *names < 2) {
            return Err(self.lines.error(TreeFault::Links));
        }
        // Text behind the last entry would be signed and compared with nothing. Asking for it also has the bytes
        // behind the frame looked at, which `OneFrame` does when the text ends.
        if !self.lines.is_at_end()? {
            return Err(self.lines.error(TreeFault::Trailing));
        }
        match self.expected {
            Some(expected) if expected != self.summary() => {
                Err(self.lines.error(TreeFault::Summary))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Iterator for TreeReader<R> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.entry().transpose();
        // Behind a fault it is unknown where an entry begins, or which one was left out.
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

/// Returns what the names of one file have in common, all that is recorded but the path: as a digest, since a tree
/// may have as many groups as half its entries.
fn inode_of(entry: &Entry, content: &Content) -> Sha256Digest {
    let mut hasher = Sha256::new();
    hasher.update(entry.class.name().as_bytes());
    // Names differ in length: the space ends each, so that two records cannot run together to the same bytes.
    hasher.update(b" ");
    hasher.update(&content.size.to_le_bytes());
    hasher.update(content.sha256.as_bytes());
    hasher.update(content.verity.as_bytes());
    // A number for each that is there, so that no two records read alike.
    if let Some(Owner { mode, uid, gid }) = entry.owner {
        for number in [1, mode, uid, gid] {
            hasher.update(&number.to_le_bytes());
        }
    }
    for xattr in &entry.xattrs {
        // A value may be any bytes, also those of the next attribute's name: its length comes first.
        let length = u64::try_from(xattr.value.len()).unwrap_or(u64::MAX);
        hasher.update(xattr.name.name().as_bytes());
        hasher.update(b" ");
        hasher.update(&length.to_le_bytes());
        hasher.update(&xattr.value);
    }
    hasher.finish()
}

/// Lines of bounded length, counted.
#[derive(Debug)]
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line, without its newline.
    fn next(&mut self) -> Result<&[u8], TreeError> {
        self.number = self.number.saturating_add(1);
        self.line.clear();
        let bound = u64::try_from(limits::TREE_LINE).unwrap_or(u64::MAX);
        // A line that never ends would be in memory as a whole before anything could refuse it.
        let read = (&mut self.input)
            .take(bound)
            .read_until(b'\n', &mut self.line);
        let read = u64::try_from(read.map_err(|error| self.error(TreeFault::Decompress(error)))?)
            .unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(read);
        // 64 KiB of zstd, in blocks that repeat one byte, unpack to 2 GiB: the stored size does not bound the text.
        if self.bytes > limits::TREE_TEXT {
            return Err(self.error(TreeFault::Long));
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(&self.line);
        }
        Err(self.error(if read == bound {
            TreeFault::Long
        } else {
            TreeFault::Truncated
        }))
    }

    /// The number of a line `WORD N`.
    fn count(&mut self, word: &'static str) -> Result<u64, TreeError> {
        let number = self
            .next()?
            .strip_prefix(word.as_bytes())
            .and_then(|rest| rest.strip_prefix(b" "));
        let number = number.and_then(|number| line::number(number).ok());
        number.ok_or_else(|| self.error(TreeFault::Count(word)))
    }

    fn is_at_end(&mut self) -> Result<bool, TreeError> {
        let rest = self.input.fill_buf().map(<[u8]>::is_empty);
        rest.map_err(|error| self.error(TreeFault::Decompress(error)))
    }

    fn error(&self, fault: TreeFault) -> TreeError {
        TreeError {
            line: self.number,
            fault,
        }
    }
}

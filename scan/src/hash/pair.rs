//! The SHA-256 of many files, two at a time on each thread where the processor can.

use earmark_manifest::{crypto::Sha256, digest::Sha256Digest};

use super::{BUFFER, Opened, Queue, Reader, Sought};
use crate::{
    Doubt,
    sha256::{BLOCK, Blocks, Sha256Pair, State},
};

/// A file to be hashed, and what is made of its digest.
pub(crate) trait Job {
    type Outcome;

    fn sought(&self) -> Sought<'_>;

    /// Looks at the open file. Whether its content is to be read.
    fn begin(&mut self, reader: &mut Reader<'_>, opened: &Opened) -> Result<bool, Doubt>;

    /// Ends with the digest of the content, if it was read.
    fn finish(self, content: Result<Option<Sha256Digest>, Doubt>) -> Option<Self::Outcome>;
}

/// Does the jobs that wait, as long as there are any, and tells what came of them.
pub(crate) fn digests<J: Job>(
    reader: &mut Reader<'_>,
    queue: &Queue<J>,
    tell: &dyn Fn(J::Outcome),
) {
    let mut source = Source {
        reader,
        queue,
        tell,
    };
    match Sha256Pair::detect() {
        Some(pair) => in_pairs(&mut source, pair),
        None => one_by_one(&mut source),
    }
}

/// Source of a thread's jobs, and the receiver of their outcomes.
struct Source<'s, 'r, J: Job> {
    reader: &'s mut Reader<'r>,
    queue: &'s Queue<J>,
    tell: &'s dyn Fn(J::Outcome),
}

impl<J: Job> Source<'_, '_, J> {
    /// The next file whose content is to be read; `waits` for one, if there is none yet.
    fn next(&mut self, waits: bool) -> Option<(J, Opened)> {
        loop {
            let mut job = if waits {
                self.queue.next()?
            } else {
                self.queue.try_next()?
            };
            let begun = self.reader.open(job.sought()).and_then(|opened| {
                if job.begin(self.reader, &opened)? {
                    return Ok(Some(opened));
                }
                // No read follows: only this tells whether its attributes, or the kernel's digest, were those of the
                // file that the walk saw.
                opened.must_be_unchanged(job.sought()).map(|()| None)
            });
            match begun {
                Ok(Some(opened)) => return Some((job, opened)),
                Ok(None) => self.end(job, Ok(None)),
                Err(doubt) => self.end(job, Err(doubt)),
            }
        }
    }

    fn finish(&mut self, job: J, content: Result<Sha256Digest, Doubt>) {
        self.end(job, content.map(Some));
    }

    fn end(&mut self, job: J, content: Result<Option<Sha256Digest>, Doubt>) {
        if let Some(outcome) = job.finish(content) {
            (self.tell)(outcome);
        }
    }
}

fn one_by_one<J: Job>(source: &mut Source<'_, '_, J>) {
    let mut buffer = vec![0; BUFFER];
    while let Some((job, mut opened)) = source.next(true) {
        let mut hasher = Sha256::new();
        let content = loop {
            match source.reader.read(job.sought(), &mut opened, &mut buffer) {
                Ok(0) => break Ok(hasher.finish()),
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(doubt) => break Err(doubt),
            }
        };
        source.finish(job, content);
    }
}

fn in_pairs<J: Job>(source: &mut Source<'_, '_, J>, pair: Sha256Pair) {
    let (mut left, mut right) = (Lane::new(pair), Lane::new(pair));
    loop {
        // Neither waits for a file while the other has one to hash: that goes on alone.
        let is_left = left.fill(source, right.file.is_none());
        match (is_left, right.fill(source, !is_left)) {
            (true, true) => {
                let ((left_state, left_blocks), (right_state, right_blocks)) =
                    (left.waiting(), right.waiting());
                let blocks = pair.both([left_state, right_state], [left_blocks, right_blocks]);
                left.hashed(blocks);
                right.hashed(blocks);
            }
            (true, false) => left.alone(),
            (false, true) => right.alone(),
            (false, false) => return,
        }
    }
}

/// One of the two streams: the file that it is in, and the bytes that were read and not yet hashed.
struct Lane<J> {
    pair: Sha256Pair,
    file: Option<(J, Opened)>,
    state: State,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<J: Job> Lane<J> {
    fn new(pair: Sha256Pair) -> Self {
        Self {
            pair,
            file: None,
            state: State::INITIAL,
            buffer: vec![0; BUFFER / 2],
            start: 0,
            end: 0,
        }
    }

    /// Reads until a block is waiting. Files end and begin on the way. False is the end of them all;
    /// unless it `waits`, it may also be that none waits now.
    fn fill(&mut self, source: &mut Source<'_, '_, J>, waits: bool) -> bool {
        while self.end - self.start < BLOCK {
            let Some((job, opened)) = &mut self.file else {
                self.file = source.next(waits);
                if self.file.is_none() {
                    return false;
                }
                self.state = State::INITIAL;
                (self.start, self.end) = (0, 0);
                continue;
            };
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            let content = match source.reader.read(job.sought(), opened, free) {
                Ok(0) => {
                    let rest = self.buffer.get(..self.end).unwrap_or_default();
                    // `read` ends after exactly this size, or with a doubt.
                    Ok(self.pair.finish(self.state, rest, opened.size()))
                }
                Ok(count) => {
                    self.end += count;
                    continue;
                }
                Err(doubt) => Err(doubt),
            };
            self.end = 0;
            if let Some((job, _)) = self.file.take() {
                source.finish(job, content);
            }
        }
        true
    }

    fn waiting(&mut self) -> (&mut State, Blocks<'_>) {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        (&mut self.state, bytes.as_chunks().0)
    }

    fn hashed(&mut self, blocks: usize) {
        self.start += blocks * BLOCK;
    }

    fn alone(&mut self) {
        let pair = self.pair;
        let (state, blocks) = self.waiting();
        pair.one(state, blocks);
        let blocks = blocks.len();
        self.hashed(blocks);
    }
}

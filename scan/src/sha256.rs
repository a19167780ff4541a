//! SHA-256 of two streams at once on one core, with the SHA extensions of x86-64 and of aarch64.
//!
//! One stream waits for its own last result half of the time: the rounds of a second one fit in
//! between. Measured on x86-64: 1.5 GB/s alone, 2.9 GB/s as a pair; on aarch64 by emulation alone, whose time says
//! nothing. `ring` has no such interface, and
//! stays what everything signed is checked with; the tests compare this with it at every length.
//!
//! A defect here could refuse a good file. It could accept a bad one only if bytes were left out,
//! which the tests look for by changing each bit of a message.

use std::slice;

use earmark_manifest::digest::Sha256Digest;

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64;

/// Whole blocks.
pub(crate) type Blocks<'a> = &'a [[u8; BLOCK]];

/// Proof that the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sha256Pair(());

/// The hash of the whole blocks so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State([u32; 8]);

impl Sha256Pair {
    /// Nothing on a processor without the instructions.
    pub(crate) fn detect() -> Option<Self> {
        instructions::is_there().then_some(Self(()))
    }

    /// Hashes as many blocks of each as both have, and returns how many that are.
    pub(crate) fn both(self, states: [&mut State; 2], blocks: [Blocks<'_>; 2]) -> usize {
        let [left, right] = states;
        instructions::pair(self, [&mut left.0, &mut right.0], blocks);
        let [left, right] = blocks;
        left.len().min(right.len())
    }

    /// Hashes all blocks of one.
    pub(crate) fn one(self, state: &mut State, blocks: Blocks<'_>) {
        instructions::one(self, &mut state.0, blocks);
    }

    /// The digest of a message of `length` bytes that ends with `rest`, less than a block.
    pub(crate) fn finish(self, mut state: State, rest: &[u8], length: u64) -> Sha256Digest {
        let mut last = [[0; BLOCK]; 2];
        let padded = rest.iter().copied().chain([0x80]);
        last.as_flattened_mut()
            .iter_mut()
            .zip(padded)
            .for_each(|(to, from)| *to = from);
        // Wraps from 2^61 bytes on, which no run reads to the end: 24 years at 3 GB/s.
        let bits = length.wrapping_mul(8).to_be_bytes();
        let [first, second] = &mut last;
        // 0x80 and the length must fit behind the rest, of which 55 bytes leave room for both.
        let blocks = if rest.len() < BLOCK - bits.len() {
            end_with(first, bits);
            slice::from_ref(first)
        } else {
            end_with(second, bits);
            &last[..]
        };
        self.one(&mut state, blocks);
        let mut digest = [0; 32];
        digest
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(state.0)
            .for_each(|(to, word)| *to = word.to_be_bytes());
        Sha256Digest::new(digest)
    }
}

impl State {
    /// With nothing hashed yet. Source: FIPS 180-4, section 5.3.3.
    pub(crate) const INITIAL: Self = Self([
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ]);
}

fn end_with(block: &mut [u8; BLOCK], bits: [u8; 8]) {
    if let Some(end) = block.last_chunk_mut() {
        *end = bits;
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod constants;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod rounds;

#[cfg(target_arch = "x86_64")]
#[path = "sha256/shani.rs"]
mod instructions;

#[cfg(target_arch = "aarch64")]
#[path = "sha256/armv8.rs"]
mod instructions;

/// Any other processor hashes with `ring`, one stream at a time.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod instructions {
    use super::{Blocks, Sha256Pair};

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn pair(_: Sha256Pair, _: [&mut [u32; 8]; 2], _: [Blocks<'_>; 2]) {}

    pub(super) fn one(_: Sha256Pair, _: &mut [u32; 8], _: Blocks<'_>) {}
}

#[cfg(test)]
mod tests {
    use earmark_manifest::crypto;

    use super::*;

    fn pair() -> Option<Sha256Pair> {
        let pair = Sha256Pair::detect();
        let must = std::env::var_os("EARMARK_MUST_HAVE_SHA").is_some();
        assert!(
            pair.is_some() || !must,
            "expected SHA extensions, found none"
        );
        if pair.is_none() {
            eprintln!("this processor has no SHA extensions: nothing of this module runs on it");
        }
        pair
    }

    fn message(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect()
    }

    fn alone(pair: Sha256Pair, bytes: &[u8]) -> Sha256Digest {
        let (blocks, rest) = bytes.as_chunks();
        let mut state = State::INITIAL;
        pair.one(&mut state, blocks);
        pair.finish(state, rest, bytes.len() as u64)
    }

    #[test]
    fn sha256_matches_ring_at_every_length() {
        let Some(pair) = pair() else { return };
        for length in (0..700).chain([4096, 65_535, 1_000_003]) {
            let bytes = message(length, length as u64);
            assert_eq!(
                alone(pair, &bytes),
                crypto::sha256(&bytes),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn paired_sha256_streams_match_ring_independently() {
        let Some(pair) = pair() else { return };
        for (left, right) in [
            (64, 64),
            (640, 128),
            (0, 640),
            (1000, 6400),
            (65_536, 65_535),
        ] {
            let messages = [message(left, 1), message(right, 2)];
            let [a, b] = &messages;
            let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks(), b.as_chunks());
            let (mut a_state, mut b_state) = (State::INITIAL, State::INITIAL);
            let done = pair.both([&mut a_state, &mut b_state], [a_blocks, b_blocks]);
            assert_eq!(done, a_blocks.len().min(b_blocks.len()));
            pair.one(&mut a_state, &a_blocks[done..]);
            pair.one(&mut b_state, &b_blocks[done..]);
            let found = [
                pair.finish(a_state, a_rest, a.len() as u64),
                pair.finish(b_state, b_rest, b.len() as u64),
            ];
            assert_eq!(
                found,
                [crypto::sha256(a), crypto::sha256(b)],
                "{left}, {right}"
            );
        }
    }

    #[test]
    fn every_message_bit_affects_only_its_own_sha256_stream() {
        let Some(pair) = pair() else { return };
        let other = message(256, 3);
        let mut changed = message(256, 4);
        let hash = |a: &[u8], b: &[u8]| {
            let (mut a_state, mut b_state) = (State::INITIAL, State::INITIAL);
            pair.both(
                [&mut a_state, &mut b_state],
                [a.as_chunks().0, b.as_chunks().0],
            );
            (a_state.0, b_state.0)
        };
        let (first, second) = hash(&changed, &other);
        for bit in 0..256 * 8 {
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hash(&changed, &other).0, first, "bit {bit}");
            assert_eq!(hash(&changed, &other).1, second, "bit {bit}");
            assert_ne!(hash(&other, &changed).1, first, "bit {bit}");
            changed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

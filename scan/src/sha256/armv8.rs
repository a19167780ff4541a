//! The compression function of SHA-256 in the cryptographic extension of Arm, for one stream and for two.
//!
//! Source: FIPS 180-4, section 6.2, and the Arm Architecture Reference Manual on `SHA256H`, `SHA256H2`, `SHA256SU0` and
//! `SHA256SU1`: the state is held as (A, B, C, D) and (E, F, G, H), the message four words at a time.
#![allow(
    unsafe_code,
    reason = "functions that need instructions which not every processor has"
)]

use std::arch::{
    aarch64::{
        uint32x4_t, vaddq_u32, vdupq_n_u32, vgetq_lane_u32, vsetq_lane_u32, vsha256h2q_u32,
        vsha256hq_u32, vsha256su0q_u32, vsha256su1q_u32,
    },
    asm, is_aarch64_feature_detected,
};

use super::{BLOCK, Blocks, Sha256Pair, constants::K, rounds::sixteen_rounds};

pub(super) fn is_there() -> bool {
    is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("sha2")
}

/// Hashes as many blocks of each as both have.
pub(super) fn pair(_: Sha256Pair, states: [&mut [u32; 8]; 2], [left, right]: [Blocks<'_>; 2]) {
    let blocks = left.iter().zip(right).map(|(left, right)| [left, right]);
    // SAFETY: a `Sha256Pair` is only made where `is_there` found the instructions.
    unsafe { compress(states, blocks) }
}

/// Hashes all blocks of one.
pub(super) fn one(_: Sha256Pair, state: &mut [u32; 8], blocks: Blocks<'_>) {
    // SAFETY: as above.
    unsafe { compress([state], blocks.iter().map(|block| [block])) }
}

/// The state of one stream as the instructions want it.
#[derive(Clone, Copy)]
struct Halves {
    abcd: uint32x4_t,
    efgh: uint32x4_t,
}

/// The rounds of all streams are written side by side: what one waits for, another uses.
#[target_feature(enable = "neon,sha2")]
fn compress<'a, const STREAMS: usize>(
    mut states: [&mut [u32; 8]; STREAMS],
    blocks: impl Iterator<Item = [&'a [u8; BLOCK]; STREAMS]>,
) {
    let mut now: [Halves; STREAMS] = std::array::from_fn(|_| Halves {
        abcd: zero(),
        efgh: zero(),
    });
    for (halves, state) in now.iter_mut().zip(&states) {
        *halves = load(state);
    }
    for block in blocks {
        let before = now;
        let mut words = [[zero(); 4]; STREAMS];
        for (words, block) in words.iter_mut().zip(block) {
            *words = message(block);
        }
        let [head, second, third, last] = &K;
        sixteen_rounds!(now, words, head, |[message, ..]: [uint32x4_t; 4]| message);
        sixteen_rounds!(now, words, second, next);
        sixteen_rounds!(now, words, third, next);
        sixteen_rounds!(now, words, last, next);
        for (halves, before) in now.iter_mut().zip(before) {
            halves.abcd = vaddq_u32(halves.abcd, before.abcd);
            halves.efgh = vaddq_u32(halves.efgh, before.efgh);
        }
    }
    for (state, halves) in states.iter_mut().zip(now) {
        **state = store(halves);
    }
}

/// Keeps the compiler from putting all rounds of one stream before those of the other, where the
/// processor no longer finds what it could do meanwhile. It is no instruction.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn in_step<const STREAMS: usize>(now: &mut [Halves; STREAMS]) {
    if let [left, right] = &mut now[..] {
        // SAFETY: there is nothing in it.
        unsafe {
            asm!(
                "/* {left:v} {right:v} */",
                left = inout(vreg) left.abcd,
                right = inout(vreg) right.abcd,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

/// The four words that follow sixteen. Source: FIPS 180-4, section 6.2.2, step 1.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn next([oldest, older, newer, newest]: [uint32x4_t; 4]) -> uint32x4_t {
    vsha256su1q_u32(vsha256su0q_u32(oldest, older), newer, newest)
}

/// Four rounds.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn rounds(halves: &mut Halves, words: uint32x4_t, constants: &[u32; 4]) {
    let sum = vaddq_u32(words, vector(*constants));
    let Halves { abcd, efgh } = *halves;
    halves.abcd = vsha256hq_u32(abcd, efgh, sum);
    // SHA256H2 wants A to D as they were before these rounds.
    halves.efgh = vsha256h2q_u32(efgh, abcd, sum);
}

/// Sixteen words, big-endian.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn message(block: &[u8; BLOCK]) -> [uint32x4_t; 4] {
    let (quarters, _) = block.as_chunks::<16>();
    let mut words = [zero(); 4];
    for (words, quarter) in words.iter_mut().zip(quarters) {
        let mut four = [0; 4];
        for (word, bytes) in four.iter_mut().zip(quarter.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        *words = vector(four);
    }
    words
}

#[target_feature(enable = "neon,sha2")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "FIPS 180-4 names them so")]
fn load(state: &[u32; 8]) -> Halves {
    let [a, b, c, d, e, f, g, h] = *state;
    Halves {
        abcd: vector([a, b, c, d]),
        efgh: vector([e, f, g, h]),
    }
}

#[target_feature(enable = "neon,sha2")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "FIPS 180-4 names them so")]
fn store(halves: Halves) -> [u32; 8] {
    let [a, b, c, d] = words(halves.abcd);
    let [e, f, g, h] = words(halves.efgh);
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "neon,sha2")]
#[inline]
fn zero() -> uint32x4_t {
    vdupq_n_u32(0)
}

/// The first word lowest.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn vector([first, second, third, fourth]: [u32; 4]) -> uint32x4_t {
    let vector = vdupq_n_u32(first);
    let vector = vsetq_lane_u32::<1>(second, vector);
    let vector = vsetq_lane_u32::<2>(third, vector);
    vsetq_lane_u32::<3>(fourth, vector)
}

#[target_feature(enable = "neon,sha2")]
#[inline]
fn words(vector: uint32x4_t) -> [u32; 4] {
    [
        vgetq_lane_u32::<0>(vector),
        vgetq_lane_u32::<1>(vector),
        vgetq_lane_u32::<2>(vector),
        vgetq_lane_u32::<3>(vector),
    ]
}

//! The compression function of SHA-256 in x86's SHA extensions, for one stream and for two.
//!
//! Source: FIPS 180-4, section 6.2, and Intel's description of `SHA256RNDS2`, `SHA256MSG1` and
//! `SHA256MSG2`: the state is held as (A, B, E, F) and (C, D, G, H), the message four words at a time.
#![allow(
    unsafe_code,
    reason = "functions that need instructions which not every processor has"
)]

use std::arch::{
    asm,
    x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    },
};

use super::{BLOCK, Blocks, Sha256Pair, constants::K, rounds::sixteen_rounds};

pub(super) fn is_there() -> bool {
    // Each by itself: a hypervisor may mask any bit of CPUID.
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
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
    abef: __m128i,
    cdgh: __m128i,
}

/// The rounds of all streams are written side by side: what one waits for, another uses.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress<'a, const STREAMS: usize>(
    mut states: [&mut [u32; 8]; STREAMS],
    blocks: impl Iterator<Item = [&'a [u8; BLOCK]; STREAMS]>,
) {
    let mut now: [Halves; STREAMS] = std::array::from_fn(|_| Halves {
        abef: zero(),
        cdgh: zero(),
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
        sixteen_rounds!(now, words, head, |[message, ..]: [__m128i; 4]| message);
        sixteen_rounds!(now, words, second, next);
        sixteen_rounds!(now, words, third, next);
        sixteen_rounds!(now, words, last, next);
        for (halves, before) in now.iter_mut().zip(before) {
            halves.abef = _mm_add_epi32(halves.abef, before.abef);
            halves.cdgh = _mm_add_epi32(halves.cdgh, before.cdgh);
        }
    }
    for (state, halves) in states.iter_mut().zip(now) {
        **state = store(halves);
    }
}

/// Keeps the compiler from putting all rounds of one stream before those of the other, where the
/// processor no longer finds what it could do meanwhile: 2.4 GB/s and not 3.1. It is no instruction.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn in_step<const STREAMS: usize>(now: &mut [Halves; STREAMS]) {
    if let [left, right] = &mut now[..] {
        // SAFETY: there is nothing in it.
        unsafe {
            asm!(
                "/* {left} {right} */",
                left = inout(xmm_reg) left.abef,
                right = inout(xmm_reg) right.abef,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

/// The four words that follow sixteen. Source: FIPS 180-4, section 6.2.2, step 1.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn next([oldest, older, newer, newest]: [__m128i; 4]) -> __m128i {
    let sum = _mm_add_epi32(
        _mm_sha256msg1_epu32(oldest, older),
        _mm_alignr_epi8::<4>(newest, newer),
    );
    _mm_sha256msg2_epu32(sum, newest)
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn rounds(halves: &mut Halves, words: __m128i, constants: &[u32; 4]) {
    let sum = _mm_add_epi32(words, vector(*constants));
    halves.cdgh = _mm_sha256rnds2_epu32(halves.cdgh, halves.abef, sum);
    // SHA256RNDS2 takes the lower two words alone: the upper two are moved down for the next two rounds.
    halves.abef = _mm_sha256rnds2_epu32(halves.abef, halves.cdgh, _mm_shuffle_epi32::<0x0e>(sum));
}

/// Sixteen words, big-endian.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn message(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (halves, _) = block.as_chunks::<8>();
    let mut words = [zero(); 4];
    for (words, halves) in words.iter_mut().zip(halves.as_chunks::<2>().0) {
        let [low, high] = halves.map(i64::from_le_bytes);
        *words = _mm_shuffle_epi8(_mm_set_epi64x(high, low), swap);
    }
    words
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "FIPS 180-4 names them so")]
fn load(state: &[u32; 8]) -> Halves {
    let [a, b, c, d, e, f, g, h] = *state;
    Halves {
        abef: vector([f, e, b, a]),
        cdgh: vector([h, g, d, c]),
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
#[expect(clippy::many_single_char_names, reason = "FIPS 180-4 names them so")]
fn store(halves: Halves) -> [u32; 8] {
    let [f, e, b, a] = words(halves.abef);
    let [h, g, d, c] = words(halves.cdgh);
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn zero() -> __m128i {
    _mm_set_epi64x(0, 0)
}

/// The first word lowest.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn vector([first, second, third, fourth]: [u32; 4]) -> __m128i {
    _mm_set_epi32(
        fourth.cast_signed(),
        third.cast_signed(),
        second.cast_signed(),
        first.cast_signed(),
    )
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn words(vector: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(vector).cast_unsigned(),
        _mm_extract_epi32::<1>(vector).cast_unsigned(),
        _mm_extract_epi32::<2>(vector).cast_unsigned(),
        _mm_extract_epi32::<3>(vector).cast_unsigned(),
    ]
}

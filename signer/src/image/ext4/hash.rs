//! Hashes of names, by which indexed directories are in order.

/// A hash function of a file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hash {
    kind: Kind,
    is_unsigned: bool,
    seed: [u32; 4],
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Legacy,
    HalfMd4,
    Tea,
}

const SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The last hash means the end of a directory.
const END: u32 = 0xffff_fffe;

impl Hash {
    /// The hash of a directory's `version`.
    pub(super) fn new(version: u8, is_unsigned: bool, seed: [u32; 4]) -> Option<Self> {
        let (kind, says_unsigned) = match version {
            0 | 3 => (Kind::Legacy, version == 3),
            1 | 4 => (Kind::HalfMd4, version == 4),
            2 | 5 => (Kind::Tea, version == 5),
            _ => return None,
        };
        let seed = if seed == [0; 4] { SEED } else { seed };
        Some(Self {
            kind,
            is_unsigned: is_unsigned || says_unsigned,
            seed,
        })
    }

    /// The hash of a name, which is even.
    pub(super) fn of(self, name: &[u8]) -> u32 {
        let hash = match self.kind {
            Kind::Legacy => self.legacy(name),
            Kind::HalfMd4 => self.fold(name, 32, half_md4)[1],
            Kind::Tea => self.fold(name, 16, tea)[0],
        };
        match hash & !1 {
            END => END - 2,
            hash => hash,
        }
    }

    fn char(self, byte: u8) -> u32 {
        if self.is_unsigned {
            byte.into()
        } else {
            i32::from(byte.cast_signed()).cast_unsigned()
        }
    }

    fn legacy(self, name: &[u8]) -> u32 {
        let (mut older, mut old) = (0x37ab_e8f9_u32, 0x12a3_fe2d_u32);
        for byte in name {
            let product = self.char(*byte).wrapping_mul(7_152_373);
            let mut hash = older.wrapping_add(old ^ product);
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            (older, old) = (old, hash);
        }
        old << 1
    }

    fn fold(self, name: &[u8], piece: usize, transform: fn(&mut [u32; 4], &[u32; 8])) -> [u32; 4] {
        let mut state = self.seed;
        let mut rest = name;
        while !rest.is_empty() {
            transform(&mut state, &self.words(rest, piece / 4));
            rest = rest.get(piece..).unwrap_or_default();
        }
        state
    }

    /// The first `count` words of a name, padded with its length.
    fn words(self, name: &[u8], count: usize) -> [u32; 8] {
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let pad = length | length << 8;
        let pad = pad | pad << 16;
        let mut words = [pad; 8];
        for (word, bytes) in words.iter_mut().take(count).zip(name.chunks(4)) {
            for byte in bytes {
                *word = self.char(*byte).wrapping_add(*word << 8);
            }
        }
        words
    }
}

fn tea(state: &mut [u32; 4], words: &[u32; 8]) {
    let [mut one, mut two] = [state[0], state[1]];
    let mut sum = 0_u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        one = one.wrapping_add(
            (two << 4).wrapping_add(words[0])
                ^ two.wrapping_add(sum)
                ^ (two >> 5).wrapping_add(words[1]),
        );
        two = two.wrapping_add(
            (one << 4).wrapping_add(words[2])
                ^ one.wrapping_add(sum)
                ^ (one >> 5).wrapping_add(words[3]),
        );
    }
    state[0] = state[0].wrapping_add(one);
    state[1] = state[1].wrapping_add(two);
}

/// MD4 with half of its words, as Linux has it.
fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    type Function = fn(u32, u32, u32) -> u32;
    let rounds: [(Function, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ed9_eba1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (function, constant, order, shifts) in rounds {
        for (at, word) in order.into_iter().enumerate() {
            let sum = a
                .wrapping_add(function(b, c, d))
                .wrapping_add(words[word])
                .wrapping_add(constant);
            // The next step's first is this step's last.
            (a, b, c, d) = (d, sum.rotate_left(shifts[at % 4]), b, c);
        }
    }
    for (state, sum) in state.iter_mut().zip([a, b, c, d]) {
        *state = state.wrapping_add(sum);
    }
}

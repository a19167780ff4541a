//! Curve check for Ed25519 public keys. Without it, `ring` refuses every signature by a key that is no
//! point of its curve, and it is too late to say that the key is the reason.
//!
//! The curve is -x² + y² = 1 + d x² y² over the integers modulo p = 2^255 - 19 (RFC 8032, section
//! 5.1), so that x² = (y² - 1) / (d y² + 1): there is a point with this y if that is a square. Keys
//! are public: nothing here takes care of timing.

/// A number modulo p: sixteen digits of 16 bits, least first. Digits may be a little larger.
type Number = [u64; 16];

const ONE: Number = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// -121665 / 121666.
const D: Number = [
    0x78a3, 0x1359, 0x4dca, 0x75eb, 0xd8ab, 0x4141, 0x0a4d, 0x0070, 0xe898, 0x7779, 0x4079, 0x8cc7,
    0xfe73, 0x2b6f, 0x6cee, 0x5203,
];

/// Returns whether some point has this `y`, which is below p and in little-endian bytes. Not for y = 1 and -1.
pub(super) fn is_on_curve(y: &[u8; 32]) -> bool {
    let mut number = [0; 16];
    for (digit, bytes) in number.iter_mut().zip(y.as_chunks::<2>().0) {
        *digit = u64::from(u16::from_le_bytes(*bytes));
    }
    let y_squared = multiply(&number, &number);
    // -1 is p - 1.
    let numerator = add(&y_squared, &multiple_of_p(1, 0xffec));
    // Never 0: -1 is a square modulo p and d is not, so that d y² = -1 has no solution.
    let denominator = add(&multiply(&D, &y_squared), &ONE);
    // A fraction is a square if the product of its two parts is.
    is_square(&multiply(&numerator, &denominator))
}

/// Euler's criterion: a number other than 0 is a square if its power (p - 1) / 2 is 1.
fn is_square(number: &Number) -> bool {
    // (p - 1) / 2 = 2^254 - 10: ones in all of its 254 bits but the lowest and the fourth.
    let power = (0..254).rev().fold(ONE, |power, bit| {
        let squared = multiply(&power, &power);
        if matches!(bit, 0 | 3) {
            squared
        } else {
            multiply(&squared, number)
        }
    });
    // 1, as the three numbers below 2^256 that are 1 modulo p.
    [ONE, multiple_of_p(1, 0xffee), multiple_of_p(2, 0xffdb)].contains(&power)
}

/// p (times 1) or 2p (times 2), with this lowest digit in place of its own.
fn multiple_of_p(times: u8, lowest: u64) -> Number {
    let mut number = [0xffff; 16];
    let [first, .., last] = &mut number;
    *first = lowest;
    *last = if times == 1 { 0x7fff } else { 0xffff };
    number
}

fn add(a: &Number, b: &Number) -> Number {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(to, from)| *to += from);
    carry(sum)
}

fn multiply(a: &Number, b: &Number) -> Number {
    let mut wide = [0u64; 32];
    for (at, digit) in a.iter().enumerate() {
        for (to, from) in wide.iter_mut().skip(at).zip(b) {
            // Digits are below 2^16, so that at most 16 products below 2^32 add up here: u64 cannot overflow.
            *to += digit * from;
        }
    }
    let mut product = [0; 16];
    let (low, high) = wide.split_at(16);
    for (to, (low, high)) in product.iter_mut().zip(low.iter().zip(high)) {
        // 2^256 is 38 modulo p.
        *to = low + 38 * high;
    }
    carry(product)
}

/// Brings the digits below 2^16. What leaves at the top comes back at the bottom, until nothing does.
fn carry(mut number: Number) -> Number {
    loop {
        let over = number.iter_mut().fold(0, |over, digit| {
            let sum = *digit + over;
            *digit = sum & 0xffff;
            sum >> 16
        });
        if over == 0 {
            return number;
        }
        let [first, ..] = &mut number;
        *first += 38 * over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(y: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = y;
        bytes
    }

    #[test]
    fn on_curve_check_matches_reference_for_small_y() {
        // Worked out with Python's integers: pow(u * v, (p - 1) // 2, p) for y = 2 to 20.
        let on_curve: Vec<u8> = (2..=20).filter(|y| is_on_curve(&small(*y))).collect();
        assert_eq!(on_curve, [3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 19]);
    }

    #[test]
    fn ed25519_base_point_is_on_the_curve() {
        // y = 4/5, RFC 8032, section 5.1.
        let mut y = [0x66; 32];
        y[0] = 0x58;
        assert!(is_on_curve(&y));
    }
}

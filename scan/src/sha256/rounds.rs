//! The order of the rounds, which both instruction sets share: each brings `rounds` and `in_step` of its own.

/// Sixteen rounds of each stream. From the second sixteen on, `$make` makes each four words from the
/// last sixteen, in the place of the oldest four.
///
/// Written out: of a loop that moves the words from place to place the compiler keeps them in memory.
macro_rules! sixteen_rounds {
    ($now:ident, $words:ident, $constants:expr, $make:expr) => {
        let [first, second, third, fourth] = $constants;
        for (halves, [a, b, c, d]) in $now.iter_mut().zip(&mut $words) {
            *a = $make([*a, *b, *c, *d]);
            rounds(halves, *a, first);
        }
        in_step(&mut $now);
        for (halves, [a, b, c, d]) in $now.iter_mut().zip(&mut $words) {
            *b = $make([*b, *c, *d, *a]);
            rounds(halves, *b, second);
        }
        in_step(&mut $now);
        for (halves, [a, b, c, d]) in $now.iter_mut().zip(&mut $words) {
            *c = $make([*c, *d, *a, *b]);
            rounds(halves, *c, third);
        }
        in_step(&mut $now);
        for (halves, [a, b, c, d]) in $now.iter_mut().zip(&mut $words) {
            *d = $make([*d, *a, *b, *c]);
            rounds(halves, *d, fourth);
        }
        in_step(&mut $now);
    };
}
pub(super) use sixteen_rounds;

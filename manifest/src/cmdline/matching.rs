//! One word against a pattern, and many words against many patterns.

use std::collections::VecDeque;

/// Returns whether `word` matches `pattern`, in which `*` stands for any number of printable ASCII characters but
/// quotes and backslashes.
///
/// A quote or a backslash changes where a word ends for some readers (kernel, systemd, shells), so that
/// it passes only where the signed word has it.
pub(super) fn matches(pattern: &[u8], word: &[u8]) -> bool {
    let is_free = |byte: &u8| matches!(byte, 0x21..=0x7e) && !b"\"'\\".contains(byte);
    let (mut pattern, mut word) = (pattern, word);
    // Where to go on if the last `*` has to take one byte more.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), word.split_first()) {
            (Some((b'*', rest)), _) => {
                again = Some((rest, word));
                pattern = rest;
            }
            (Some((expected, rest)), Some((byte, left))) if expected == byte => {
                (pattern, word) = (rest, left);
            }
            (None, None) => return true,
            _ => match again.and_then(|(rest, from)| Some((rest, from.split_first()?))) {
                Some((rest, (byte, left))) if is_free(byte) => {
                    (pattern, word) = (rest, left);
                    again = Some((rest, left));
                }
                _ => return false,
            },
        }
    }
}

/// The elements of `from` that stay without a partner in a maximum matching into `to`: no two of
/// them share a partner, and as few as possible have none.
pub(super) fn unmatched<'a, A, B>(
    from: &'a [A],
    to: &[B],
    fits: impl Fn(&A, &B) -> bool,
) -> Vec<&'a A> {
    // First fit is wrong: `a=1` could take the `a=*` that `a=2` needs, and leave the signed `a=1` without a word.
    // By index: whose an element of `to` is, and which one an element of `from` has.
    let mut owner: Vec<Option<usize>> = vec![None; to.len()];
    let mut held: Vec<Option<usize>> = vec![None; from.len()];
    let mut left = Vec::new();
    for (start, element) in from.iter().enumerate() {
        // Breadth first along paths on which each partner but the last has an owner.
        let mut via: Vec<Option<usize>> = vec![None; to.len()];
        let mut queue = VecDeque::from([start]);
        let mut free = None;
        while let (None, Some(at)) = (free, queue.pop_front()) {
            let Some(seeking) = from.get(at) else { break };
            for (index, candidate) in to.iter().enumerate() {
                let Some(reached) = via.get_mut(index).filter(|reached| reached.is_none()) else {
                    continue;
                };
                if !fits(seeking, candidate) {
                    continue;
                }
                *reached = Some(at);
                if let Some(other) = owner.get(index).copied().flatten() {
                    queue.push_back(other);
                } else {
                    free = Some(index);
                    break;
                }
            }
        }
        let Some(mut place) = free else {
            left.push(element);
            continue;
        };
        // Each on the path takes what it reached, and leaves what it had to the one before it.
        while let Some(index) = via.get(place).copied().flatten() {
            if let Some(owner) = owner.get_mut(place) {
                *owner = Some(index);
            }
            match held.get_mut(index).and_then(|held| held.replace(place)) {
                Some(previous) => place = previous,
                None => break,
            }
        }
    }
    left
}

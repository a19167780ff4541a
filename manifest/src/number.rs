//! Numbers of the tree, which have one spelling each.

/// Parses a decimal number without sign or leading zero.
pub(crate) fn decimal<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    if text.is_empty() || (text.len() > 1 && text.starts_with(b"0")) {
        return None;
    }
    // Not `u64::from_str`, which takes a sign: a number has one spelling.
    text.iter()
        .try_fold(0u64, |value, digit| match digit {
            b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .and_then(|value| T::try_from(value).ok())
}

/// Parses permission bits: octal without a leading zero, `7777` at most.
pub(crate) fn octal_mode(text: &[u8]) -> Option<u32> {
    if text.len() > 4 || text.is_empty() || (text.len() > 1 && text.starts_with(b"0")) {
        return None;
    }
    text.iter().try_fold(0, |mode, digit| match digit {
        b'0'..=b'7' => Some(mode << 3 | u32::from(digit - b'0')),
        _ => None,
    })
}

//! A pattern and a path, split at the first newline.
//!
//! Invariants: no panic, and no exponential time (libFuzzer's timeout); a pattern is read as it was
//! written; matching agrees with the obvious recursive definition; a literal pattern matches its own
//! path and no other.
#![no_main]

use earmark_manifest::{class::Pattern, escape, path::ImagePath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(pattern), Some(path)) = (parts.next(), parts.next()) else {
        return;
    };
    let Ok(parsed) = Pattern::parse(pattern) else {
        return;
    };
    let shown = escape::decode(parsed.to_string().as_bytes()).expect("shown escaped");
    assert_eq!(shown, pattern);
    assert_eq!(Pattern::parse(&shown), Ok(parsed.clone()));
    let Ok(path) = ImagePath::from_absolute(path) else {
        return;
    };
    if let Some(literal) = parsed.literal() {
        assert_eq!(parsed.matches(&path), literal == path);
    }
    // The definition below is exponential in the stars: only where there are few.
    if pattern.split(|byte| *byte == b'*').count() <= 7 && path.as_bytes().len() <= 64 {
        let by_the_book = by_the_book(&pattern[1..], path.as_bytes());
        assert_eq!(parsed.matches(&path), by_the_book, "{parsed} {path}");
    }
});

fn by_the_book(pattern: &[u8], path: &[u8]) -> bool {
    let (wanted, rest) = match pattern.strip_suffix(b"/**") {
        Some(directory) => {
            // Everything beneath: some prefix that ends before a slash matches the directory.
            return (0..path.len())
                .filter(|at| path[*at] == b'/')
                .any(|at| by_the_book(directory, &path[..at]));
        }
        None => (pattern, path),
    };
    match (wanted.split_first(), rest.split_first()) {
        (None, None) => true,
        (Some((b'*', after)), None) => by_the_book(after, rest),
        (Some((b'*', after)), Some((byte, beyond))) => {
            by_the_book(after, rest) || (*byte != b'/' && by_the_book(wanted, beyond))
        }
        (Some((b'?', after)), Some((byte, beyond))) => *byte != b'/' && by_the_book(after, beyond),
        (Some((expected, after)), Some((byte, beyond))) => {
            expected == byte && by_the_book(after, beyond)
        }
        _ => false,
    }
}

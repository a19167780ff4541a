//! Any bytes as the kernel's command line, which whoever is at the boot loader writes.
//!
//! Invariants: no panic; a line that is recorded fits itself, and no longer does with one more word; words without
//! quotes and backslashes are the same for every reader; each word can be judged.
#![no_main]

use earmark_manifest::cmdline::{SignedLine, words};
use libfuzzer_sys::fuzz_target;

#[path = "../../scan/src/cmdline/harmful.rs"]
mod harmful;
#[path = "../../scan/src/cmdline/known.rs"]
mod known;
#[allow(
    dead_code,
    reason = "the fuzz target does not ask all that a verification does"
)]
#[path = "../../scan/src/cmdline/rules.rs"]
mod rules;
#[path = "../../scan/src/cmdline/tokens.rs"]
mod tokens;

fuzz_target!(|data: &[u8]| {
    // The cost of a comparison grows with the square of the words.
    if words(data).count() > 300 {
        return;
    }
    if let Ok(line) = SignedLine::recorded(data) {
        let text = line.to_string();
        assert_eq!(SignedLine::from_canonical(&text).as_ref(), Ok(&line));
        // A carriage return or another control character is none of the words that are recorded.
        assert!(line.compare(data).is_none(), "{text}");
        let more = [data, b" earmark.fuzz.more=1"].concat();
        assert!(!line.compare(&more).is_none(), "{text}");
    }
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    let all = tokens::all(line);
    for word in tokens::of_kernel(line) {
        assert!(all.contains(&word), "{word:?}");
    }
    for word in &all {
        let _ = (
            rules::judge(word),
            rules::is_known(word),
            rules::target(word),
        );
    }
    let _ = rules::judge_line(line);
});

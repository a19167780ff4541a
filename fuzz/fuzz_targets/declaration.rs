//! Any bytes as `earmark.toml`.
//!
//! Invariants: no panic; a refusal names a line and column that the text has, and its message can be
//! printed to a terminal; what is accepted has rules that make a tree, which reads back the same.
#![no_main]

use earmark_manifest::{accounts::Accounts, declaration::Declaration, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Declaration::parse(data) {
        Ok(declaration) => {
            declaration.rule_set().expect("parsing checked the rules");
            // Only an image has the accounts that rules may name.
            let Ok(rules) = declaration.resolve_rules(&Accounts::default()) else {
                return;
            };
            assert!(declaration.is_resolved_as(&rules));
            let root = earmark_fuzz::root();
            let tree = tree::write(&rules, &[root]).expect("rules that a tree can hold");
            let read = tree::read(&tree.stored).expect("what was written is read");
            assert_eq!(read.rules().rules(), rules.rules());
        }
        Err(error) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(error.column >= 1);
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
    }
});

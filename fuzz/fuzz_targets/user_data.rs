//! Any bytes as user-data, which whoever starts the instance gives, and which cloud-init may take for its own.
//!
//! Invariants: no panic; what is told of it can be printed to a terminal; what is taken is no document of another
//! kind; each text in it, quoted by each filter, is one value of that syntax and reads back as itself.
#![no_main]

use earmark_manifest::declaration::Filter;
use libfuzzer_sys::fuzz_target;

#[path = "../../agent/src/parameters/document.rs"]
mod document;
#[path = "../../agent/src/parameters/foreign.rs"]
mod foreign;
#[allow(
    dead_code,
    reason = "the fuzz target has no use for the kinds of values"
)]
#[path = "../../agent/src/parameters/problem.rs"]
mod problem;

fuzz_target!(|data: &[u8]| {
    if let Some(problem) = foreign::recognise("user-data", data) {
        assert!(
            !problem.to_string().contains(char::is_control),
            "{problem:?}"
        );
        return;
    }
    match document::parse("user-data", data) {
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(
                    !problem.to_string().contains(char::is_control),
                    "{problem:?}"
                );
            }
        }
        Ok(values) => {
            for (_, value) in values {
                if let Some(text) = value.as_str() {
                    quoted(text);
                }
            }
        }
    }
});

fn quoted(text: &str) {
    let toml = format!("x = {}\ny = 1\n", Filter::Toml.quote(text));
    let read: toml::Table = toml::from_str(&toml).expect("TOML");
    assert_eq!((read["x"].as_str(), read.len()), (Some(text), 2));
    let json = Filter::Json.quote(text);
    assert!(!json.contains('\n'));
    assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
    // What the shell makes of it: the quotes away, and each quote that was taken out put back.
    let shell = Filter::Shell.quote(text);
    let inner = shell
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    let inner = inner.expect("quotes").replace("'\\''", "\0");
    assert!(!inner.contains('\''));
    assert_eq!(inner.replace('\0', "'"), text.replace('\0', "'"));
    for filter in [Filter::Systemd, Filter::SystemdEnvironment] {
        let word = filter.quote(text);
        assert!(word.starts_with('"') && word.ends_with('"') && !word.contains('\n'));
        assert_eq!(word.matches('%').count() % 2, 0);
    }
}

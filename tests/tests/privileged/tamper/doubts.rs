//! Doubts: files that cannot be looked at, and state that another account could have written.

use std::{fs, os::unix::fs::chown};

use earmark_tests::{Bench, Run, facts::host::BELONGS_TO_USER};

use super::unsealed;

/// Runs the agent as an account without rights, which cannot look at everything.
fn verify_as_nobody(bench: &Bench, gate: &str) -> Run {
    let words = ["verify", "--gate", gate, "--root", "root", "--json"];
    bench.as_nobody("earmark-agent", &words)
}

#[test]
fn privileged_unreadable_file_is_undecided() {
    let bench = unsealed();
    bench.seal().must(0);
    let refused = verify_as_nobody(&bench, "full").must(11);
    assert_eq!(refused.json()["verdict"], "undecided");
    assert!(
        refused.json()["reason"]
            .as_str()
            .unwrap()
            .contains("/etc/shadow"),
        "{}",
        refused.out
    );
    verify_as_nobody(&bench, "signature").must(0);
}

#[test]
fn privileged_hard_link_with_an_unreadable_other_name_is_undecided() {
    let bench = unsealed();
    let at = |path: &str| bench.root().join(path);
    fs::create_dir(at("opt/private")).unwrap();
    fs::hard_link(at("usr/bin/helper"), at("opt/private/helper")).unwrap();
    bench.chmod("opt/private", 0o700);
    bench.seal().must(0);
    bench.verify().must(0);
    let doubted = verify_as_nobody(&bench, "full").must(11);
    assert_eq!(doubted.violations(), [""; 0], "{}", doubted.out);
    // A name too many is seen in the link count, wherever it is.
    fs::hard_link(at("usr/bin/helper"), at("var/lib/helper")).unwrap();
    let more = verify_as_nobody(&bench, "full").must(10);
    assert_eq!(more.violations(), ["hard-link /usr/bin/helper"]);
    fs::remove_file(at("var/lib/helper")).unwrap();
    // A name that is gone is missing, also where others are hidden.
    fs::remove_file(at("usr/bin/helper-2")).unwrap();
    let gone = verify_as_nobody(&bench, "full").must(10);
    assert_eq!(gone.violations(), ["missing /usr/bin/helper-2"]);
}

#[test]
fn privileged_state_owned_by_another_user_is_undecided() {
    let bench = unsealed();
    bench.seal().must(0);
    let at = |path: &str| bench.root().join(path);
    fs::create_dir(at("var/lib/earmark")).unwrap();
    for name in earmark_manifest::layout::STATE_FILES {
        let path = format!("var/lib/earmark/{name}");
        if name == "rendered.json" {
            continue;
        }
        bench.write(&path, b"");
        bench.verify().must(0);
        chown(at(&path), Some(33), None).unwrap();
        let doubted = bench.verify().must(11);
        let found = doubted.json()["undecided"][0].to_string();
        BELONGS_TO_USER.of(&["file", "33"]).must_be_in(&found);
        fs::remove_file(at(&path)).unwrap();
    }
    chown(at("var/lib/earmark"), Some(33), None).unwrap();
    let doubted = bench.verify().must(11);
    let found = doubted.json()["undecided"][0].to_string();
    BELONGS_TO_USER.of(&["directory", "33"]).must_be_in(&found);
}

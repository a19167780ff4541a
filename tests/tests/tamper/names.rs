//! Names: several of one file, and hostile ones.

use std::fs;

use earmark_tests::Bench;

/// The gate must not stop at the first name of a file that has several.
#[test]
fn critical_hard_link_is_read_when_another_name_sorts_first() {
    let bench = Bench::new();
    let root = bench.root();
    bench.write("bar", b"configuration\n");
    fs::hard_link(root.join("bar"), root.join("etc/critical")).unwrap();
    fs::hard_link(root.join("bar"), root.join("etc/critical-2")).unwrap();
    bench.seal().must(0);
    let critical = ["verify", "--gate", "critical", "--root", "root", "--json"];
    bench.agent(&critical).must(0);
    bench.write("bar", b"configuratiom\n");
    let violations = bench.agent(&critical).must(10).violations();
    assert_eq!(violations, ["content /etc/critical"]);
}

#[test]
fn hostile_names_never_reach_a_terminal() {
    let bench = Bench::sealed();
    bench.write("etc/\x1b]0;evil\x07\nverdict    VERIFIED", b"");
    for run in [
        bench.agent(&["verify", "--root", "root"]),
        bench.earmark(&["verify", "--root", "root", "--own-trust"]),
    ] {
        let run = run.must(10);
        let shown = format!("{}{}", run.out, run.err);
        assert!(!shown.contains(['\x1b', '\x07']), "{shown:?}");
        assert!(!shown.contains("\nverdict"), "{shown}");
    }
}

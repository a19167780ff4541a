//! Files of `ops/` for operators of a fleet, tried with the programs that they are for: alerts by Prometheus' own
//! tests, each panel's query asked of it, metrics through `node_exporter`, SQL by an engine that reads that very file.

mod alerts;
mod athena;
mod dashboard;
mod exporter;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use earmark_tests::{Run, prometheus, run};

/// Metrics that a host in trouble writes.
const AGENT: &str = include_str!("operators/agent.prom");
/// Metrics that `earmark fleet` writes of a fleet that has a host in each state.
const FLEET: &str = include_str!("operators/fleet.prom");

/// Metrics of other programs that queries ask for, and the labels that come with a scrape.
const OTHERS: &[&str] = &[
    "up",
    "node_textfile_mtime_seconds",
    "job",
    "instance",
    "file",
];
/// The words of `PromQL` that we use.
const WORDS: &[&str] = &[
    "and",
    "avg_over_time",
    "by",
    "group_left",
    "increase",
    "max",
    "max_over_time",
    "offset",
    "on",
    "or",
    "sum",
    "time",
    "topk",
    "unless",
];

fn ops(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../ops")
        .join(name)
}

/// The Python environment, with a program in its text.
fn python(program: &str, paths: &[&Path]) -> Run {
    let python = std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
    let words = ["-c".as_ref(), program.as_ref()];
    run(
        python,
        words
            .into_iter()
            .chain(paths.iter().map(|path| path.as_os_str())),
        None,
    )
}

/// The names in a question that no metric and no label of ours has, and no word of the language is.
fn unknown(question: &str) -> Vec<String> {
    let shapes = [AGENT, FLEET].map(prometheus::shape);
    let known: BTreeSet<&str> = shapes
        .iter()
        .flatten()
        .flat_map(|shape| shape.split([' ', ',']))
        .chain(OTHERS.iter().copied())
        .chain(WORDS.iter().copied())
        .collect();
    // What is quoted is a value.
    let outside = question.split('"').step_by(2);
    let names = outside.flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    names
        .filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .filter(|name| !known.contains(name))
        .map(str::to_owned)
        .collect()
}

#[test]
fn privileged_metrics_pass_promtool_check() {
    for text in [AGENT, FLEET] {
        prometheus::check_metrics(text).must(0);
        // The controls: no help, a name that is none, and no text of metrics.
        let (help, rest) = text.split_once('\n').unwrap();
        assert!(help.starts_with("# HELP "));
        prometheus::check_metrics(rest).must(3);
        prometheus::check_metrics(&text.replace("earmark_", "earmarkCase_")).must(3);
        prometheus::check_metrics(&text.replace("earmark_", "ear mark_")).must(1);
    }
    assert_eq!(
        unknown("sum by (sink) (earmark_report_sent_total{sink=\"x\"}[3d])"),
        [""; 0]
    );
    assert_eq!(
        unknown("max(earmark_report_send_total{zink=\"x\"})"),
        ["earmark_report_send_total", "zink"]
    );
}

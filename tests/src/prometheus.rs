//! Prometheus' own programs, and metrics as text, for tests of what Earmark has Prometheus read.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{Run, run};

/// A program of Prometheus, unpacked beside the other tools.
pub fn program(name: &str) -> PathBuf {
    let programs =
        std::env::var_os("EARMARK_PROMETHEUS").expect("EARMARK_PROMETHEUS: run `cargo xtask test`");
    Path::new(&programs).join(name)
}

/// Runs `promtool` in a directory.
pub fn promtool(words: &[&str], directory: &Path) -> Run {
    run(program("promtool"), words, Some(directory))
}

/// Runs `promtool check metrics` on a text. Its exit code is 0 if the text is well-formed, and named as Prometheus' own
/// conventions have it; 1 if it is not a text of metrics; 3 if a name, a type or a help is not as it should be.
pub fn check_metrics(text: &str) -> Run {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("metrics");
    fs::write(&path, text).expect("a file of metrics");
    let script = "exec \"$0\" check metrics < \"$1\"";
    let words: [OsString; 4] = [
        "-euc".into(),
        script.into(),
        program("promtool").into_os_string(),
        path.into_os_string(),
    ];
    run("sh", words, None)
}

/// One series of a text of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The metric.
    pub name: String,
    /// Its labels as they stand, without braces.
    pub labels: String,
    /// Its value, as it stands.
    pub value: String,
}

/// The series of a text that [`check_metrics`] takes, whose label values have no `} `.
pub fn series(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        Some(Series {
            name: name.to_owned(),
            labels: labels.strip_suffix('}')?.to_owned(),
            value: value.to_owned(),
        })
    };
    lines
        .map(|line| parse(line).unwrap_or_else(|| panic!("no series: {line}")))
        .collect()
}

/// The shape of a text of metrics: each metric with its type and the sorted names of its labels, as
/// `NAME TYPE LABEL,LABEL`. Two texts of one shape can be asked the same questions.
pub fn shape(text: &str) -> BTreeSet<String> {
    let kind = |name: &str| {
        let line = format!("# TYPE {name} ");
        let found = text.lines().find_map(|other| other.strip_prefix(&line));
        found.unwrap_or("untyped")
    };
    let labels = |labels: &str| -> Vec<String> {
        let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        let names: BTreeSet<&str> = pairs.map(|(label, _)| label.trim()).collect();
        names.into_iter().map(str::to_owned).collect()
    };
    series(text)
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one.name,
                kind(&one.name),
                labels(&one.labels).join(",")
            )
        })
        .collect()
}

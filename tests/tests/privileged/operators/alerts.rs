//! The alerts: `promtool check rules` and `promtool test rules`, and that these tests notice.

use std::{collections::BTreeSet, fs};

use earmark_tests::{Run, prometheus::promtool};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ops, python, unknown};

/// A document as JSON, which is YAML too.
fn read(name: &str) -> Value {
    let program =
        "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    python(program, &[&ops(name)]).must(0).json()
}

/// Every rule of a document.
fn rules(document: &mut Value) -> Vec<&mut Value> {
    let groups = document["groups"].as_array_mut().unwrap();
    groups
        .iter_mut()
        .flat_map(|group| group["rules"].as_array_mut().unwrap())
        .collect()
}

/// Runs `promtool test rules` with these tests on these rules.
fn tried(directory: &TempDir, rules: &Value, tests: &Value) -> Run {
    let write = |name: &str, document: &Value| {
        fs::write(directory.path().join(name), document.to_string()).unwrap();
    };
    write("alerts.yml", rules);
    write("tests.yml", tests);
    promtool(&["test", "rules", "tests.yml"], directory.path())
}

/// The one test of an alert, by itself.
fn of(tests: &Value, alert: &str) -> Value {
    let mut own = tests["tests"].as_array().unwrap().clone();
    own.retain(|test| test["name"] == alert);
    assert_eq!(own.len(), 1, "tests of {alert}");
    json!({
        "rule_files": ["alerts.yml"],
        "evaluation_interval": tests["evaluation_interval"],
        "tests": own,
    })
}

#[test]
fn privileged_alerts_have_severity_summary_and_next_step() {
    promtool(&["check", "rules", "alerts.yml"], &ops("prometheus")).must(0);
    let mut document = read("prometheus/alerts.yml");
    for rule in rules(&mut document) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert!(
            ["critical", "warning"].contains(&text(&rule["labels"]["severity"]).as_str()),
            "{rule}"
        );
        assert!(text(&rule["annotations"]["summary"]).len() > 10, "{rule}");
        let description = text(&rule["annotations"]["description"]);
        let commands = ["`earmark", "`journalctl ", "`systemctl "];
        let tells = commands.iter().any(|command| description.contains(command));
        assert!(tells || description.contains("Replace the host"), "{rule}");
        assert_eq!(unknown(&text(&rule["expr"])), [""; 0], "{rule}");
    }
    // A rule that is none is refused.
    for broken in ["sum(earmark_taints", "earmark_taints >"] {
        let directory = TempDir::new().unwrap();
        rules(&mut document)[0]["expr"] = broken.into();
        fs::write(directory.path().join("broken.yml"), document.to_string()).unwrap();
        promtool(&["check", "rules", "broken.yml"], directory.path()).must(1);
    }
}

#[test]
fn privileged_each_alert_fires_and_its_control_does_not() {
    promtool(&["test", "rules", "alerts.test.yml"], &ops("prometheus")).must(0);
    let mut document = read("prometheus/alerts.yml");
    let tests = read("prometheus/alerts.test.yml");
    let names: Vec<String> = rules(&mut document)
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap().to_owned())
        .collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    let directory = TempDir::new().unwrap();
    for (place, name) in names.iter().enumerate() {
        let own = of(&tests, name);
        has_a_control(&own["tests"][0]);
        tried(&directory, &document, &own).must(0);
        // The test notices a rule that never fires, and one that does not wait.
        let mut dead = document.clone();
        rules(&mut dead)[place]["expr"] = "vector(0) > 0".into();
        tried(&directory, &dead, &own).must(1);
        let mut hasty = document.clone();
        let rule = rules(&mut hasty).swap_remove(place);
        if rule.as_object_mut().unwrap().remove("for").is_some() {
            tried(&directory, &hasty, &own).must(1);
        }
    }
}

/// Something that is `bad` and expected to fire, something that is a `control` and is not, and a time when nothing fires.
fn has_a_control(test: &Value) {
    let series = test["input_series"].to_string();
    assert!(series.contains("\\\"control"), "{test}");
    let looks = test["promql_expr_test"].as_array().unwrap();
    assert!(
        looks
            .iter()
            .all(|look| look["expr"] == "ALERTS{alertstate=\"firing\"}")
    );
    let expected: Vec<String> = looks
        .iter()
        .map(|look| look["exp_samples"].to_string())
        .collect();
    assert!(expected.iter().any(|samples| samples == "[]"), "{test}");
    let fires = |samples: &String| samples.contains(test["name"].as_str().unwrap());
    assert!(expected.iter().any(fires), "{test}");
    assert!(
        !expected
            .iter()
            .any(|samples| samples.contains("\\\"control")),
        "{test}"
    );
}

#[test]
fn privileged_loosened_alert_fails_its_rule_test() {
    // Each of these makes an alert fire for a control.
    let directory = TempDir::new().unwrap();
    let tests = read("prometheus/alerts.test.yml");
    let mut document = read("prometheus/alerts.yml");
    for (alert, from, to) in [
        ("EarmarkChannelExpiresSoon", "max by", "min by"),
        (
            "EarmarkFleetStale",
            "max_over_time(earmark_fleet_timestamp_seconds[1d])",
            "earmark_fleet_timestamp_seconds",
        ),
        ("EarmarkFleetViolatedShare", "> 0.02", "> 0.01"),
        ("EarmarkHostViolated", "== 1", ">= 0"),
        (
            "EarmarkMetricsAbsent",
            "unless on (job, instance) earmark_verdict",
            "",
        ),
        ("EarmarkMetricsStale", "(.*/)?earmark[.]prom", ".*"),
        (
            "EarmarkReportsFailing",
            "unless increase(earmark_report_sent_total[3h]) > 0",
            "",
        ),
    ] {
        let own = of(&tests, alert);
        tried(&directory, &document, &own).must(0);
        let rule = rules(&mut document)
            .into_iter()
            .find(|rule| rule["alert"] == alert)
            .unwrap();
        let expression = rule["expr"].as_str().unwrap().to_owned();
        assert_eq!(expression.matches(from).count(), 1, "{from}");
        rule["expr"] = expression.replace(from, to).into();
        tried(&directory, &document, &own).must(1);
    }
}

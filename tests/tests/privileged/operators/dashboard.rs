//! The dashboard: the fields that Grafana knows, no question that our metrics do not answer.

use std::{collections::BTreeSet, fs, path::Path};

use earmark_tests::{Run, prometheus};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{AGENT, FLEET, ops, python, unknown};

const DASHBOARD: &str = "grafana/dashboard.json";
/// Reads a dashboard as Grafana's own types have it, and tells what of it did not get there.
const TYPES: &str = include_str!("dashboard.py");

fn dashboard() -> Value {
    serde_json::from_slice(&fs::read(ops(DASHBOARD)).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// Every question, with what Grafana puts into it.
fn questions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard)
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let question = |target: &Value| {
        let text = target["expr"].as_str().unwrap();
        text.replace("$__rate_interval", "5m")
            .replace("$image", "(web|db)")
    };
    targets.flatten().map(question).collect()
}

/// Asks Prometheus all of them, of a host and a fleet in trouble: each must find something.
fn ask(questions: &[String]) -> Run {
    let scraped = |series: prometheus::Series| {
        let comma = if series.labels.is_empty() { "" } else { "," };
        let labels = format!("job=\"node\",instance=\"a\"{comma}{}", series.labels);
        json!({"series": format!("{}{{{labels}}}", series.name), "values": format!("{}x40", series.value)})
    };
    let series: Vec<Value> = [AGENT, FLEET]
        .iter()
        .flat_map(|text| prometheus::series(text))
        .map(scraped)
        .collect();
    let asked = |question: &String| json!({"expr": format!("group({question})"), "eval_time": "30m", "exp_samples": [{"labels": "{}", "value": 1}]});
    let asked: Vec<Value> = questions.iter().map(asked).collect();
    let tests =
        json!({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]});
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("tests.yml"), tests.to_string()).unwrap();
    prometheus::promtool(&["test", "rules", "tests.yml"], directory.path())
}

#[test]
fn privileged_dashboard_queries_use_only_exported_metrics() {
    let dashboard = dashboard();
    let questions = questions(&dashboard);
    assert!(questions.len() > 20);
    for question in &questions {
        assert!(!question.contains('$'), "{question}");
        assert_eq!(unknown(question), [""; 0], "{question}");
    }
    ask(&questions).must(0);
    // A metric or a label by another name, a value that none has, and what is no question.
    for question in [
        "sum(earmark_fleet_host)",
        "sum(earmark_fleet_hosts{stat=\"violated\"})",
        "sum(earmark_fleet_hosts{state=\"bad\"})",
        "sum(earmark_fleet_hosts",
    ] {
        ask(&[question.to_owned()]).must(1);
    }
    assert_eq!(
        unknown("sum(earmark_fleet_host{stat=\"violated\"})"),
        ["earmark_fleet_host", "stat"]
    );
}

#[test]
fn privileged_dashboard_fields_match_the_grafana_schema() {
    let check = |path: &Path| python(TYPES, &[path]);
    check(&ops(DASHBOARD)).must(0);
    let directory = TempDir::new().unwrap();
    let text = fs::read_to_string(ops(DASHBOARD)).unwrap();
    for (from, to) in [
        ("\"gridPos\"", "\"grid\""),
        ("\"legendFormat\"", "\"legend\""),
        ("\"thresholds\"", "\"limits\""),
    ] {
        assert!(text.contains(from));
        let path = directory.path().join("changed.json");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        check(&path).must(1);
    }
}

#[test]
fn privileged_dashboard_panels_do_not_overlap_and_use_the_datasource_variable() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let number = |value: &Value| value.as_u64().unwrap();
    for panel in panels(&dashboard) {
        assert!(ids.insert(number(&panel["id"])), "{panel}");
        let place = &panel["gridPos"];
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| number(&place[side]));
        assert!(w > 0 && h > 0 && x + w <= 24, "{panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "two panels at {cell:?}: {panel}");
        }
        assert!(!panel["title"].as_str().unwrap().is_empty());
        if panel["type"] != "row" {
            assert!(
                !panel["description"].as_str().unwrap().is_empty(),
                "{panel}"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}");
        }
        // One installation's own source is in no question.
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(
                target["datasource"],
                json!({"type": "prometheus", "uid": "${datasource}"})
            );
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (&variables[0]["name"], &variables[0]["type"]),
        (&json!("datasource"), &json!("datasource"))
    );
    assert_eq!(variables[1]["name"], "image");
}

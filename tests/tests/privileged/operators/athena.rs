//! The SQL for Athena, read in its dialect and run over files of reports by `DuckDB`.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use earmark_manifest::report::Report;
use earmark_tests::Run;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ops, python};

const ENGINE: &str = include_str!("athena.py");
const SQL: &str = "athena/reports.sql";

/// A bucket as it is: a report an object, among others' objects.
struct Bucket {
    directory: TempDir,
    now: i64,
}

impl Bucket {
    fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        Self {
            directory: TempDir::new().unwrap(),
            now: now.try_into().unwrap(),
        }
    }

    /// An object, by its text.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(format!("{name}.json")), text).unwrap();
    }

    /// A report of a good host, made a minute ago, with other values.
    fn report(&self, instance: &str, boot: &str, changes: &Value) {
        let mut report = self.good(instance, boot);
        merge(&mut report, changes);
        self.put(&format!("{instance}.{boot}"), &format!("{report}\n"));
    }

    fn good(&self, instance: &str, boot: &str) -> Value {
        json!({
            "schema": 1, "time": self.now - 60, "instance": instance, "boot_id": boot, "booted": self.now - 9000,
            "agent": "0.1.0",
            "image": {"name": "web", "version": "1.5.0", "epoch": 3, "architecture": "x86_64"},
            "manifest": format!("sha256:{}", "0".repeat(64)), "tier": "T0",
            "verdict": "verified", "gate": "full", "reason": null, "verified_at": self.now - 8000,
            "violations": 0, "undecided": 0, "policy": "quarantine", "first_boot": "done", "cloned_from": null,
            "locks": {"packages": "enforced", "kernel": "not-applicable"}, "locks_told": [], "taints": [], "taints_more": 0,
            "channel": {"state": "current", "behind": 0, "since": null, "reason": null, "latest": "1.5.0", "counter": 7,
                "expires": self.now + 9000, "fetched": self.now - 100, "problem": null},
            "dropped": 0,
            "ec2": {"region": "eu-central-1", "account": "123456789012", "ami": "ami-0123456789abcdef0",
                "document": "{\"region\": \"eu-central-1\"}", "signature": "MIAG"},
        })
    }

    fn ask(&self, sql: &Path) -> Run {
        python(ENGINE, &[sql, self.directory.path()])
    }
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, value) in changes {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

/// The values of some columns of a question's rows.
fn rows(answers: &Value, question: &str, columns: &str) -> Value {
    let rows = answers[question].as_array();
    let rows = rows.unwrap_or_else(|| panic!("{question}: {answers}"));
    let row = |row: &Value| -> Value {
        let columns = columns.split(' ');
        columns.map(|column| row[column].clone()).collect()
    };
    rows.iter().map(row).collect()
}

/// A fleet: a host by each answer, and two reports of one.
fn fleet(bucket: &Bucket) {
    let now = bucket.now;
    // Two boots of one host: the older one counts no more, whatever it says.
    let old = json!({"time": now - 7200, "image": {"version": "1.4.2"}, "verdict": "violated", "cloned_from": "i-0f"});
    bucket.report("i-01", "boot-a", &old);
    bucket.report(
        "i-01",
        "boot-b",
        &json!({"a_field_of_tomorrow": {"deep": [1, {}]}}),
    );
    let behind = json!({"state": "behind", "behind": 2, "since": now - 3600, "new": true});
    bucket.report(
        "i-02",
        "boot-c",
        &json!({"image": {"version": "1.4.2"}, "channel": behind, "ec2": {"region": "us-east-1"}}),
    );
    let grant = json!({"kind": "grant", "id": "0".repeat(32), "locks": ["remote_access"], "from": now - 50, "until": now});
    bucket.report(
        "i-03",
        "boot-d",
        &json!({"taints": [grant], "time": now - 90_000}),
    );
    let violated = json!({"verdict": "violated", "violations": 3, "reason": "/etc/fstab: size", "cloned_from": "i-0f"});
    bucket.report("i-04", "boot-e", &violated);
    // Whatever may be null is.
    let names = [
        "instance",
        "booted",
        "image",
        "manifest",
        "gate",
        "reason",
        "verified_at",
        "policy",
        "first_boot",
        "channel",
        "ec2",
    ];
    let mut nulls: Value = names
        .iter()
        .map(|name| ((*name).to_owned(), Value::Null))
        .collect();
    nulls["verdict"] = "undecided".into();
    bucket.report("nulls", "boot-f", &nulls);
}

#[test]
fn privileged_athena_queries_return_the_rows_of_a_known_fleet() {
    let bucket = Bucket::new();
    fleet(&bucket);
    let (minute, day) = (bucket.now - 60, bucket.now - 90_000);
    let [hosts, latest, versions, violated] = [
        json!([
            [
                "i-01",
                "web",
                "1.5.0",
                "eu-central-1",
                "verified",
                "current",
                false,
                minute
            ],
            [
                "i-02",
                "web",
                "1.4.2",
                "us-east-1",
                "verified",
                "behind",
                false,
                minute
            ],
            [
                "i-03",
                "web",
                "1.5.0",
                "eu-central-1",
                "verified",
                "current",
                true,
                day
            ],
            [
                "i-04",
                "web",
                "1.5.0",
                "eu-central-1",
                "violated",
                "current",
                false,
                minute
            ],
            [
                "boot boot-f",
                null,
                null,
                null,
                "undecided",
                "unknown",
                false,
                minute
            ],
        ]),
        json!([
            [
                "i-02",
                "1.4.2",
                "1.5.0",
                "behind",
                2,
                bucket.now - 3600,
                "us-east-1"
            ],
            ["boot boot-f", null, null, "unknown", null, null, null],
        ]),
        json!([
            ["web", "1.4.2", "us-east-1", 1],
            ["web", "1.5.0", "eu-central-1", 3],
            [null, null, null, 1],
        ]),
        json!([
            ["i-04", "violated", 3, "/etc/fstab: size"],
            ["boot boot-f", "undecided", 0, null],
        ]),
    ];
    let silent = json!([["i-03", day]]);
    let tainted = json!([["i-03", null], ["i-04", "i-0f"]]);
    let answers = bucket.ask(&ops(SQL)).must(0).json();
    let all = "host image version region verdict channel_state tainted reported";
    let where_it_stands = "host version latest channel_state behind since region";
    for (question, columns, expected) in [
        ("hosts", all, hosts),
        ("not_on_the_latest", where_it_stands, latest),
        (
            "versions_per_region",
            "image version region hosts",
            versions,
        ),
        ("silent", "host since", silent),
        ("violated", "host verdict violations reason", violated),
        ("tainted", "host cloned_from", tainted),
        ("unusable", "object", json!([])),
    ] {
        assert_eq!(rows(&answers, question, columns), expected, "{question}");
    }
}

#[test]
fn privileged_athena_table_has_each_field_of_a_report() {
    let bucket = Bucket::new();
    let mut report = bucket.good(
        "i-0123456789abcdef0",
        "7e1c9c3e-0000-4000-8000-000000000000",
    );
    let taint = json!({"kind": "grant", "id": "0", "locks": [], "from": 1, "until": 2});
    report["taints"] = json!([taint]);
    // Its names are those of the type, and not of this test.
    let report = Report::parse(report.to_string().as_bytes()).unwrap();
    let line = report.clone().to_line().unwrap();
    fs::write(bucket.directory.path().join(report.name()), &line).unwrap();
    let answers = bucket.ask(&ops(SQL)).must(0).json();
    let line: Value = serde_json::from_slice(&line).unwrap();
    let fields =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let columns = &answers["columns"];
    for field in fields(&line) {
        assert!(columns[&field].is_string(), "{field} in {columns}");
    }
    let left_out = ["from", "document", "signature"];
    let nested = [
        ("image", &line["image"]),
        ("channel", &line["channel"]),
        ("ec2", &line["ec2"]),
        ("taints", &line["taints"][0]),
    ];
    for (column, value) in nested {
        let kind = columns[column].as_str().unwrap();
        for field in fields(value) {
            let quoted = kind.replace('"', "");
            let there =
                quoted.contains(&format!("({field} ")) || quoted.contains(&format!(", {field} "));
            assert_eq!(
                there,
                !left_out.contains(&field.as_str()),
                "{field} in {kind}"
            );
        }
    }
    let host = rows(&answers, "hosts", "host version channel_state tainted");
    assert_eq!(
        host,
        json!([["i-0123456789abcdef0", "1.5.0", "current", true]])
    );
}

#[test]
fn privileged_athena_queries_ignore_malformed_reports() {
    let bucket = Bucket::new();
    fleet(&bucket);
    let before = bucket.ask(&ops(SQL)).must(0).json();
    let bad = [
        ("cut", "{\"schema\":1,\"time\":\n"),
        ("text", "hello\n"),
        ("list", "[1,2]\n"),
        ("empty", "\n"),
        ("other", "{\"a\":1}\n"),
    ];
    for (name, text) in bad {
        bucket.put(name, text);
    }
    bucket.report("i-01", "future", &json!({"time": bucket.now + 86_400}));
    bucket.report("i-01", "far", &json!({"time": i64::MAX}));
    bucket.report("i-01", "past", &json!({"time": i64::MIN}));
    bucket.report("i-01", "when", &json!({"time": "yesterday"}));
    bucket.report("i-01", "schema", &json!({"schema": 2}));
    let after = bucket.ask(&ops(SQL)).must(0).json();
    let objects: Vec<String> = rows(&after, "unusable", "object")
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            Path::new(row[0].as_str().unwrap())
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    // A line that is empty is no row.
    let expected = [
        "cut",
        "i-01.far",
        "i-01.future",
        "i-01.past",
        "i-01.schema",
        "i-01.when",
        "list",
        "other",
        "text",
    ];
    assert_eq!(objects, expected.map(|name| format!("{name}.json")));
    for question in [
        "hosts",
        "not_on_the_latest",
        "versions_per_region",
        "silent",
        "violated",
        "tainted",
    ] {
        assert_eq!(before[question], after[question], "{question}");
    }

    // A host that says nonsense of itself is a host, and the others' answers are the same.
    let most = i64::MAX;
    bucket.report("i-09", "odd", &json!({
        "image": 7, "verdict": null, "violations": "many", "undecided": -1, "locks": [1], "locks_told": {"a": 1}, "taints": {"a": 1}, "taints_more": most,
        "channel": {"state": "behind", "behind": most, "since": most}, "ec2": "none",
    }));
    let odd = bucket.ask(&ops(SQL)).must(0).json();
    let others = |answers: &Value| -> Vec<Value> {
        let all = answers["hosts"].as_array().unwrap();
        all.iter()
            .filter(|row| row["host"] != "i-09")
            .cloned()
            .collect()
    };
    assert_eq!(others(&odd), others(&before));
    let said = rows(&odd, "hosts", "host image verdict channel_state tainted");
    assert!(
        said.as_array()
            .unwrap()
            .contains(&json!(["i-09", null, "undecided", "behind", true])),
        "{said}"
    );
}

#[test]
fn privileged_invalid_athena_sql_is_rejected() {
    let bucket = Bucket::new();
    fleet(&bucket);
    let text = fs::read_to_string(ops(SQL)).unwrap();
    let changed = bucket.directory.path().join("changed.sql");
    for (from, to) in [
        // A column that the table has not, one of another type, one that the view has not.
        ("  instance string,", "  instant string,"),
        ("  taints array<", "  taints map<string,"),
        ("channel.state, 'unknown'", "channel.status, 'unknown'"),
        ("WHERE tainted OR", "WHERE taint OR"),
        // Not Athena's language.
        ("ROW FORMAT SERDE", "ROW FORMATTED BY"),
        ("GROUP BY image,", "GROUP image,"),
        // What makes one bad line end every query.
        (
            "'ignore.malformed.json' = 'true'",
            "'ignore.malformed.json' = 'false'",
        ),
        (
            "org.openx.data.jsonserde.JsonSerDe",
            "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        ),
        ("'s3://BUCKET/PREFIX/'", "'BUCKET'"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&changed, text.replacen(from, to, 1)).unwrap();
        let run = bucket.ask(&changed);
        assert_ne!(run.code, 0, "{from} -> {to}: {}", run.out);
    }
    // The control, and a bucket where nothing may be asked.
    fs::write(&changed, &text).unwrap();
    bucket.ask(&changed).must(0);
}

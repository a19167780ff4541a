//! `earmark fleet` on a directory: who is counted, as what, and what ends it with which code.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use earmark_tests::{
    Run,
    facts::fleet::{NOTHING_WRONG, ROLLBACK_REFUSED},
    fleet::Fleet,
    golden,
    golden::{masked, told},
    program, run_with,
};
use serde_json::{Value, json};

const DAY: u64 = 86_400;

/// A fleet whose channel has three releases, and nobody in it yet.
fn fleet() -> Fleet {
    Fleet::new(&["1.4.0", "1.4.1", "1.5.0"])
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn instance(number: u64) -> String {
    format!("i-{number:017x}")
}

/// The state and the reason of a host.
fn host<'a>(status: &'a Value, id: &str) -> (&'a str, &'a str) {
    let hosts = status["hosts"].as_array().unwrap();
    let of_id: Vec<&Value> = hosts.iter().filter(|host| host["id"] == id).collect();
    assert_eq!(of_id.len(), 1, "{id} in {status:#}");
    let text = |field: &str| of_id[0][field].as_str().unwrap_or_default();
    (text("state"), text("reason"))
}

#[test]
fn fleet_status_counts_each_host_in_exactly_one_state_with_a_golden_reason() {
    let fleet = fleet();
    fleet.revoke("1.4.0", "it forgets its sessions");
    let mut listed = Vec::new();
    let mut report = |number: u64, version: &str, change: Value| {
        let id = instance(number);
        fleet.report(&id, version, change);
        listed.push(id);
    };
    report(1, "1.5.0", json!({}));
    report(2, "1.4.1", json!({}));
    report(3, "1.4.0", json!({}));
    report(4, "9.9.9", json!({}));
    report(
        5,
        "1.4.0",
        json!({"verdict": "violated", "violations": 2, "reason": "/usr/bin/web was changed"}),
    );
    report(6, "1.5.0", json!({"verdict": "undecided"}));
    report(7, "1.5.0", json!({"cloned_from": instance(1)}));
    report(
        8,
        "1.5.0",
        json!({"taints": [{"kind": "grant", "id": null, "locks": ["imds"], "from": 1, "until": 2}]}),
    );
    report(
        9,
        "1.5.0",
        json!({"image": {"name": "db", "version": "1", "epoch": 1, "architecture": "x86_64"}}),
    );
    // Two hosts, one name.
    report(10, "1.5.0", json!({}));
    let twin = "aaaaaaaa-1b7a-4a0e-9d57-0c4fba6f3a11";
    fleet.report(
        &instance(10),
        "1.5.0",
        json!({"boot_id": twin, "booted": now() - 600}),
    );
    // One that is not heard of any more, and one that never was.
    report(11, "1.5.0", json!({"time": now() - DAY}));
    listed.push(instance(12));
    fs::write(
        fleet.bench.path("inventory.json"),
        json!(listed).to_string(),
    )
    .unwrap();

    let words = ["--inventory", "inventory.json", "--json"];
    let status = fleet.status(&words).must(0).json();
    assert_eq!(status["schema"], 1);
    let mut reasons = String::new();
    for (number, state) in [
        (1, "current"),
        (2, "behind"),
        (3, "revoked"),
        (4, "unlisted"),
        (5, "violated"),
        (6, "violated"),
        (7, "cloned"),
        (8, "tainted"),
        (9, "unknown"),
        (10, "cloned"),
        (11, "silent"),
        (12, "silent"),
    ] {
        let (found, why) = host(&status, &instance(number));
        assert_eq!(found, state, "{number}: {why}");
        reasons += &format!("{number:>2} {state}: {why}\n");
    }
    golden!("fleet-reasons", masked(&reasons));
    let counts = status["states"].as_object().unwrap();
    let counted: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(counted, 12);
    assert_eq!(status["hosts"].as_array().unwrap().len(), 12);

    // The same counts, told to Prometheus and to people.
    let metrics = fleet
        .status(&["--inventory", "inventory.json", "--format", "prometheus"])
        .must(0)
        .out;
    for line in [
        "earmark_fleet_hosts{image=\"web\",state=\"cloned\"} 2",
        "earmark_fleet_hosts{image=\"other\",state=\"unknown\"} 1",
        "earmark_fleet_version_hosts{image=\"web\",version=\"other\"} 1",
        "earmark_fleet_reports_unusable 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}: {metrics}");
    }

    // Without the inventory the old report is of no host, and nobody is missed.
    let status = fleet.status(&["--json"]).must(0).json();
    assert_eq!(status["states"]["silent"], 0);
    assert_eq!(status["reports"]["gone"], 1);
    assert_eq!(status["hosts"].as_array().unwrap().len(), 10);
}

#[test]
fn fleet_status_exit_code_follows_fail_on() {
    let fleet = fleet();
    fleet.report(&instance(1), "1.5.0", json!({}));
    fleet
        .status(&["--fail-on", "behind,violated,unusable"])
        .must(0);
    fleet.report(&instance(2), "1.4.1", json!({}));
    fleet.status(&[]).must(0);
    fleet.status(&["--fail-on", "violated"]).must(0);
    fleet.status(&["--fail-on", "violated,behind"]).must(16);
    fs::write(fleet.bench.path("reports/x.json"), "{").unwrap();
    fleet.status(&["--fail-on", "violated"]).must(0);
    fleet.status(&["--fail-on", "unusable"]).must(16);

    // A host that is missed only an inventory can tell.
    fleet.status(&["--fail-on", "silent"]).must(2);
    let path = fleet.bench.path("inventory.json");
    fs::write(&path, json!([instance(1), instance(2)]).to_string()).unwrap();
    let words = ["--inventory", "inventory.json", "--fail-on", "silent"];
    fleet.status(&words).must(0);
    fs::write(
        &path,
        json!([instance(1), instance(2), instance(3)]).to_string(),
    )
    .unwrap();
    fleet.status(&words).must(16);
    fs::write(&path, "{\"Reservations\": [").unwrap();
    fleet.status(&words).must(11);

    fleet.status(&["--fail-on", "current"]).must(2);
    fleet.status(&["--group-by", "colour"]).must(2);
    fleet.status(&["--silent-after", "soon"]).must(2);
}

#[test]
fn fleet_status_without_hosts_exits_undecided_and_never_shows_good() {
    let fleet = fleet();
    fleet.status(&[]).must(11);
    let page = fleet.status(&["--format", "html"]).must(11).out;
    assert!(!page.contains("class=\"good\""), "{page}");
    let metrics = fleet.status(&["--format", "prometheus"]).must(11).out;
    assert!(metrics.contains("\nearmark_fleet_whole 0\n"), "{metrics}");
    fleet.report(&instance(1), "1.5.0", json!({}));
    fleet.status(&[]).must(0);
    let page = fleet.status(&["--format", "html"]).must(0).out;
    assert!(page.contains("<p class=\"good\">"), "{page}");
    NOTHING_WRONG.must_be_in(&page);
    let metrics = fleet.status(&["--format", "prometheus"]).must(0).out;
    assert!(metrics.contains("\nearmark_fleet_whole 1\n"), "{metrics}");
}

#[test]
fn fleet_status_refuses_an_untrusted_channel() {
    let fleet = fleet();
    fleet.report(&instance(1), "1.5.0", json!({}));
    let with = |words: &[&str]| fleet.earmark(&[&["--reports", "reports"], words].concat());
    with(&["--channel", "stable.json", "--trust", "c.toml"]).must(0);
    with(&["--channel", "stable.json"]).must(2);
    with(&["--channel", "missing.json", "--trust", "c.toml"]).must(11);
    // Keys that may sign images, and not channels.
    with(&["--channel", "stable.json", "--trust", "trust.toml"]).must(10);
    fs::copy(
        fleet.bench.path("stable.json"),
        fleet.bench.path("canary.json"),
    )
    .unwrap();
    // A good document in another's place.
    with(&["--channel", "canary.json", "--trust", "c.toml"]).must(10);
    with(&[
        "--channel",
        "stable.json",
        "--channel",
        "stable.json",
        "--trust",
        "c.toml",
    ])
    .must(2);
    let mut bytes = fs::read(fleet.bench.path("stable.json")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(fleet.bench.path("stable.json"), bytes).unwrap();
    with(&["--channel", "stable.json", "--trust", "c.toml"]).must(10);
}

#[test]
fn hostile_report_files_are_counted_unusable_and_escaped_in_golden_output() {
    let fleet = fleet();
    let good = fleet.report(&instance(1), "1.5.0", json!({}));
    let reports = fleet.bench.path("reports");
    let text = fs::read_to_string(&good).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(reports.join(name), bytes).unwrap();
    let other = |number: u64| {
        good.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace(&instance(1), &instance(number))
    };
    put(&other(2), &vec![b'{'; 1 << 20]);
    put(&other(3), b"");
    put(&other(4), text.as_bytes());
    put(&other(5), &text.as_bytes()[..200]);
    put(&other(6), &[0xff; 300]);
    put("\u{1b}[2J<script>alert(1)<.json", b"x");
    symlink("/etc/passwd", reports.join(other(7))).unwrap();
    symlink(&good, reports.join(other(8))).unwrap();
    fs::create_dir(reports.join(other(9))).unwrap();
    assert_eq!(
        earmark_tests::run("mkfifo", [reports.join(other(10))], None).code,
        0
    );
    fleet.report(&instance(11), "1.5.0", json!({"time": now() + 400}));
    // The control: a clock that is a little ahead.
    fleet.report(&instance(12), "1.5.0", json!({"time": now() + 200}));
    put(&format!(".{}.tmp", other(13)), b"half of o");

    let status = fleet.status(&["--json"]).must(0);
    assert!(!status.out.contains('\u{1b}'), "{}", status.out);
    let status = status.json();
    assert_eq!(status["states"]["current"], 2, "{status:#}");
    assert_eq!(status["reports"]["unusable"]["count"], 11);
    let first = status["reports"]["unusable"]["first"].as_object().unwrap();
    let why = |number: u64| first[&other(number)].as_str().unwrap();
    let mut texts = String::new();
    for number in (1..=11).filter(|&number| first.contains_key(&other(number))) {
        texts += &format!("{number:>2} {}\n", why(number));
    }
    let page = fleet.status(&["--format", "html"]).must(0).out;
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    let table = fleet.status(&[]).must(0).out;
    assert!(!table.contains('\u{1b}'), "{table}");
    for number in 20..60 {
        put(&other(number), b"x");
    }
    let table = fleet.status(&[]).must(0).out;
    texts += &table;
    golden!("fleet-unusable", masked(&texts));
}

#[test]
fn fleet_hosts_are_grouped_by_region_and_autoscaling_group_in_a_golden_table() {
    let fleet = fleet();
    let described = |number: u64, zone: &str, asg: &str| {
        json!({"InstanceId": instance(number), "ImageId": "ami-0123456789abcdef0", "State": {"Name": "running"},
               "Placement": {"AvailabilityZone": zone},
               "Tags": [{"Key": "Name", "Value": format!("web-{number}")},
                        {"Key": "aws:autoscaling:groupName", "Value": asg}]})
    };
    for (number, version) in [(1, "1.5.0"), (2, "1.5.0"), (3, "1.4.1")] {
        fleet.report(&instance(number), version, json!({}));
    }
    let page = |instances: Value| json!({"Reservations": [{"Instances": instances}]}).to_string();
    let one = page(json!([
        described(1, "eu-central-1a", "blue"),
        described(2, "eu-central-1b", "green")
    ]));
    let two = page(json!([
        described(3, "us-east-1a", "blue"),
        described(4, "us-east-1a", "blue")
    ]));
    fs::write(fleet.bench.path("inventory.json"), format!("{one}\n{two}")).unwrap();
    let words = [
        "--inventory",
        "inventory.json",
        "--group-by",
        "region,asg",
        "--json",
    ];
    let status = fleet.status(&words).must(0).json();
    let groups: Vec<(&Value, &Value)> = status["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["of"], &group["hosts"]))
        .collect();
    assert_eq!(
        groups,
        [
            (&json!(["us-east-1", "blue"]), &json!(2)),
            (&json!(["eu-central-1", "blue"]), &json!(1)),
            (&json!(["eu-central-1", "green"]), &json!(1)),
        ]
    );
    assert_eq!(status["groups"][0]["states"]["silent"], 1);
    let table = fleet.status(&words[..4]).must(0).out;
    golden!("fleet-groups", masked(&table));
}

#[test]
fn fleet_html_page_is_self_contained() {
    let fleet = fleet();
    fleet.report(&instance(1), "1.4.1", json!({}));
    let said = fleet
        .status(&["--format", "html", "--out", "fleet.html"])
        .must(0);
    assert_eq!(said.out, "");
    let page = fs::read_to_string(fleet.bench.path("fleet.html")).unwrap();
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
    for outside in [
        "http:", "https:", "src=", "url(", "@import", "<script", "style=",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    let is_behind = page.contains(&instance(1)) && page.contains("behind");
    assert!(is_behind, "{page}");
}

#[test]
fn fleet_watch_ends_when_all_hosts_are_current_and_stops_above_the_violation_limit_with_golden_texts()
 {
    let fleet = fleet();
    for number in 1..=20 {
        fleet.report(&instance(number), "1.5.0", json!({}));
    }
    let watch = |words: &[&str]| fleet.run("watch", &[&["--every", "1s"], words].concat());
    let words = ["--until", "current", "--stop-at", "5%"];
    let mut texts = told(
        "fleet watch --until current --stop-at 5%",
        &watch(&words).must(0),
    );
    let bad = json!({"verdict": "violated", "violations": 1});
    // One of twenty is not more than 5%; and one alone stops nothing.
    fleet.report(&instance(1), "1.5.0", bad.clone());
    let waits = |words: &[&str]| -> bool {
        fleet
            .run_for("watch", words, Duration::from_secs(3))
            .is_none()
    };
    assert!(waits(&["--every", "1s", "--stop-at", "4%"]));
    watch(&["--stop-at", "4%", "--stop-least", "1"]).must(16);
    fleet.report(&instance(2), "1.5.0", bad.clone());
    texts += &told(
        "fleet watch --until current --stop-at 5%",
        &watch(&words).must(16),
    );
    golden!("fleet-watch", texts);
    // What older releases do is no reason to stop this one.
    fleet.report(&instance(1), "1.4.1", bad.clone());
    fleet.report(&instance(2), "1.4.1", bad);
    assert!(waits(&[
        "--every",
        "1s",
        "--until",
        "current",
        "--stop-at",
        "5%"
    ]));
    watch(&["--stop-at", "5"]).must(2);
    watch(&["--stop-least", "3"]).must(2);
}

#[test]
fn fleet_watch_follows_new_reports_and_refuses_an_older_channel() {
    let fleet = fleet();
    fleet.report(&instance(1), "1.4.1", json!({}));
    let child = fleet.start("watch", &["--every", "1s", "--until", "current"]);
    std::thread::sleep(Duration::from_millis(1500));
    fleet.report(&instance(1), "1.5.0", json!({}));
    let run: Run = child.wait();
    let run = run.must(0);
    assert!(
        run.out.contains("1 behind") && run.out.contains("1 current"),
        "{}",
        run.out
    );
    // The channel is read again each time, and may not go back.
    let old: PathBuf = fleet.bench.path("stable.json");
    let before = fs::read(&old).unwrap();
    fleet.promote("1.6.0");
    let child = fleet.start("watch", &["--every", "1s"]);
    std::thread::sleep(Duration::from_millis(1500));
    fs::write(&old, before).unwrap();
    let refused = child.wait().must(10);
    ROLLBACK_REFUSED.must_be_in(&refused.err);
}

#[test]
fn fleet_watch_restores_the_terminal_on_ctrl_c() {
    let fleet = fleet();
    fleet.report(&instance(1), "1.4.1", json!({}));
    // Once the view is there, Ctrl-C is typed at its terminal.
    let line = "(for try in $(seq 300); do grep -q behind said && break; sleep 0.1; done; printf '\\003') \
                | script --quiet --return --flush --command \"$WATCH\" said";
    let watch = format!(
        "'{}' fleet watch --reports reports --channel stable.json --trust c.toml --every 1s",
        program("earmark").display()
    );
    fs::write(fleet.bench.path("said"), "").unwrap();
    let at = fleet.bench.path("");
    run_with("sh", ["-c", line], Some(&at), &[("WATCH", &watch)]).must(130);
    let said = fs::read_to_string(at.join("said")).unwrap();
    let (taken, given_back) = ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l");
    assert!(said.contains(taken), "{said:?}");
    let last = format!("{given_back}\nScript done");
    assert!(said.contains(&last), "{said:?}");
}

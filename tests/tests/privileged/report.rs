//! Reports and channels on a host under its own service manager, and over the wire to sinks that others wrote.

use std::fs;

use earmark_tests::{
    Bench, NO_LOCKS, SPEC,
    aws::{REGION, Service, USER},
    container::{Host, QUARANTINED, READY},
    facts::{
        ANYTHING,
        fleet::{
            ANSWERED, NO_ANSWER, NO_INSTANCE, NO_ROLE, REDIRECTED, ROLLBACK_REFUSED, TOO_LARGE,
        },
    },
    prometheus::{check_metrics, shape},
};
use serde_json::{Value, json};

use crate::fetch::{Server, certificates};

const MACHINE_ID: &str = "89abcdef012345670123456789abcdef";

const DRAIN: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /srv/data/drained\n";

/// For the scripts that look: `channel STEP MORE...` changes the channel, `settled NAME` has the host take note.
const TOOLS: &str = r#"
AT=/srv/data/web/stable.json
channel() {
    step=$1; shift
    /run/signer/earmark channel $step $AT --key /run/signer/keys/grant.key "$@" > /dev/null || echo "channel $step: $?"
}
other() {
    cat > /run/other.json <<JSON
{"builds": [{"builder_type": "qemu", "artifact_id": "VM", "packer_run_uuid": "run", "custom_data":
{"image": "host", "version": "$1", "epoch": "0", "manifest": "sha256:$(echo $1 | sha256sum | cut -c 1-64)"}}],
"last_run_uuid": "run"}
JSON
    channel promote --packer /run/other.json
}
settled() {
    systemctl start earmark-fetch.service
    systemctl start earmark-follow.service; echo "$1 follow: $?"
    systemctl start earmark-report.service
    earmark-agent status | sed -n "s/^Channel */$1 status: /p"
    echo "$1 says: $(cat /srv/data/reports/*.json)"
}
"#;

fn host() -> Host {
    let rest = format!(
        "[channel]\nurl = \"file:///srv/data/web/stable.json\"\non_revoked = {{ start = \"drain.service\" }}\n\
         [report]\nto = [\"file:///srv/data/reports\", \"https://reports.invalid/web/\"]\nevery = \"1m\"\n{NO_LOCKS}"
    );
    let host = Host::declared("quarantine", &rest, |image| {
        fs::create_dir_all(image.at("srv/data/reports")).unwrap();
        fs::create_dir_all(image.at("srv/data/web")).unwrap();
        fs::write(image.at("usr/lib/systemd/system/drain.service"), DRAIN).unwrap();
        image
            .chroot(&["chown", "earmark-fetch:", "/srv/data/reports"])
            .must(0);
    });
    host.with_signer(MACHINE_ID)
}

/// The report that a step saw, and what the screen said.
fn said(looked: &str, name: &str) -> (Value, String) {
    let line = |what: &str| {
        let start = format!("{name} {what}: ");
        let line = looked.lines().find_map(|line| line.strip_prefix(&*start));
        line.unwrap_or_else(|| panic!("no {start}\n{looked}"))
            .to_owned()
    };
    assert_eq!(line("follow"), "0", "{looked}");
    (serde_json::from_str(&line("says")).unwrap(), line("status"))
}

#[test]
fn privileged_host_reports_and_follows_its_channel() {
    let host = host();
    let look = format!(
        r#"{TOOLS}
# Nobody starts anything: the timer and the path do.
for try in $(seq 100); do [ -z "$(ls /srv/data/reports)" ] || break; sleep 0.2; done
echo "first: $(cat /srv/data/reports/*.json)"
ls -l /run/earmark-report /var/lib/earmark/report
settled none
channel init --image host
channel promote --seal /usr/lib/earmark/seal
settled current
other 2.0; other 3.0
settled behind
cp $AT /run/old.json
channel revoke --release 1.0 --reason 'it forgets its sessions'
settled revoked
# An older document, and none at all, change nothing; nor does a damaged copy of what is kept.
cp /run/old.json $AT
settled replayed
rm $AT
echo garbage > /var/lib/earmark/channel.0
settled gone
systemctl show -P Result earmark-fetch.service
echo "drained: $(ls /srv/data)"
echo "pending: $(earmark-agent status --json | tr -d ' \n' | grep -o '"pending":{{[^}}]*}}')"
# The directory has all of it; the server has no name.
systemctl stop earmark-report.path earmark-report.timer
systemctl start earmark-report.service
echo "report: $? $(systemctl show -P ExecMainStatus earmark-report.service)"
cat /run/earmark-report/earmark.prom > /run/test/prom
"#
    );
    let seen = host.boot_and_look(READY, &look);
    let looked = &seen.looked;
    let first = looked.lines().find_map(|line| line.strip_prefix("first: "));
    let first: Value = serde_json::from_str(first.unwrap_or_else(|| panic!("{looked}"))).unwrap();
    assert_eq!(
        (&first["image"]["name"], &first["image"]["version"]),
        (&"host".into(), &"1.0".into())
    );

    let (none, status) = said(looked, "none");
    assert_eq!(none["channel"]["state"], "unreachable", "{looked}");
    assert!(status.starts_with("unreachable"), "{status}");
    assert_eq!(none["verdict"], "verified", "{looked}");
    assert_eq!(none["boot_id"], seen.status["boot_id"]);

    let (current, status) = said(looked, "current");
    assert_eq!(
        (&current["channel"]["state"], status.as_str()),
        (&"current".into(), "current")
    );
    let (behind, _) = said(looked, "behind");
    assert_eq!(
        (&behind["channel"]["state"], &behind["channel"]["behind"]),
        (&"behind".into(), &2.into())
    );
    assert_eq!(behind["channel"]["latest"], "3.0");
    for name in ["revoked", "replayed", "gone"] {
        let (revoked, status) = said(looked, name);
        assert_eq!(revoked["channel"]["state"], "revoked", "{name}: {looked}");
        assert_eq!(
            revoked["channel"]["reason"], "it forgets its sessions",
            "{name}"
        );
        // Its turn comes within ten hours.
        // Its words are golden in the agent: here it is the action.
        assert!(status.contains("drain.service"), "{name}: {status}");
    }
    let problem = |name: &str| said(looked, name).0["channel"]["problem"].to_string();
    ROLLBACK_REFUSED.must_be_in(&problem("replayed"));
    assert!(!looked.contains("drained: drained"), "{looked}");
    let pending =
        "pending: \"pending\":{\"state\":\"revoked\",\"action\":\"startdrain.service\",\"at\":";
    assert!(looked.contains(pending), "{looked}");
    assert!(looked.contains("\"done\":null}"), "{looked}");
    assert!(looked.contains("report: 0 14\n"), "{looked}");
    let metrics = fs::read_to_string(host.shared("prom"));
    let metrics = metrics.unwrap_or_else(|error| panic!("{error}: {looked}"));
    check_metrics(&metrics).must(0);
    let sample = include_str!("operators/agent.prom");
    // But for locks, of which this image denies none: what alerts and dashboards ask for is there.
    let known = shape(&metrics);
    let missing: Vec<String> = shape(sample).difference(&known).cloned().collect();
    assert_eq!(missing, ["earmark_lock_shut gauge lock"], "{metrics}");
    for line in [
        "earmark_channel_state{state=\"revoked\"} 1",
        "earmark_verdict{verdict=\"verified\"} 1",
        "earmark_report_failed_total{sink=\"https://reports.invalid/web/\"} ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn privileged_quarantined_host_reports_the_violation() {
    let host = host();
    host.flip("usr/lib/systemd/systemd-shutdown");
    let look = r"
for try in $(seq 150); do grep -qs violated /srv/data/reports/*.json && break; sleep 0.2; done
cat /srv/data/reports/*.json || systemctl list-timers --all
";
    let seen = host.boot_and_look(QUARANTINED, look);
    let report: Value = serde_json::from_str(&seen.looked)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", seen.looked, seen.journal));
    assert_eq!(report["verdict"], "violated", "{report}");
    assert_eq!(report["violations"], 1, "{report}");
    // Its owner knows which one it is.
    assert!(report["instance"].is_string(), "{report}");
    assert!(
        report["reason"]
            .as_str()
            .unwrap()
            .contains("systemd-shutdown"),
        "{report}"
    );
    assert!(!seen.workload_started);
}

/// A sealed root that reports there, and believes this authority. It is not booted: the agent is run by hand.
fn reporting(to: &str, authority: &[u8]) -> Bench {
    let bench = Bench::new();
    fs::create_dir_all(bench.root().join("etc/ssl/certs")).unwrap();
    bench.write("etc/ssl/certs/ca-certificates.crt", authority);
    let spec = format!("{SPEC}\n[report]\nto = [{to}]\n");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench.seal().must(0);
    verified(&bench);
    for directory in [
        "run/earmark-report",
        "run/earmark-instance",
        "var/lib/earmark/report",
        "srv/reports",
    ] {
        fs::create_dir_all(bench.root().join(directory)).unwrap();
    }
    bench
}

/// A root that is not booted has no boot, and so no report: this one says that it has.
fn verified(bench: &Bench) {
    bench.agent(&["verify", "--root", "root"]).must(0);
    let path = bench.root().join("run/earmark/status.json");
    let mut status: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    status["boot_id"] = "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11".into();
    fs::write(&path, status.to_string()).unwrap();
}

fn report(bench: &Bench, code: i32) -> Value {
    let run = bench.agent(&["report", "--once", "--root", "root"]);
    assert_eq!(run.code, code, "{}", run.err);
    state_of_sinks(bench)
}

/// State of the sinks, as the last run left it.
fn state_of_sinks(bench: &Bench) -> Value {
    let state = fs::read(bench.root().join("run/earmark-report/state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    state["sinks"].clone()
}

#[test]
fn privileged_failing_report_sink_does_not_block_other_sinks() {
    let bench = Bench::new();
    certificates(&bench);
    let authority = fs::read(bench.path("ca.crt")).unwrap();
    let good = Server::start(&bench, "good");
    let other = Server::start(&bench, "other");
    let url = |port: u16, case: &str| format!("https://localhost:{port}/{case}/");
    for (port, case, said, dropped) in [
        (good.port, "forbidden", Some(ANSWERED.of(&["403"])), 0),
        (good.port, "throttled", Some(ANSWERED.of(&["429"])), 0),
        (good.port, "busy", Some(ANSWERED.of(&["503"])), 0),
        (good.port, "redirect", Some(REDIRECTED), 0),
        (good.port, "plain", None, 0),
        (good.port, "hang", Some(NO_ANSWER), 0),
        (good.port, "endless", Some(TOO_LARGE.of(&["65536"])), 0),
        // These words are the library's and the kernel's.
        (other.port, "take", Some(ANYTHING.of(&["not valid for"])), 0),
        (1, "take", Some(ANYTHING.of(&["refused"])), 0),
        // What is too large for it once is too large for ever: it is not what the spool waits with.
        (good.port, "large", None, 1),
    ] {
        // Beside one that hangs, and before one that is well, in the order of the declaration.
        let bad = url(port, case);
        let to = format!(
            "\"{bad}\", \"{}\", \"file:///srv/reports\"",
            url(good.port, "take")
        );
        let bench = reporting(&to, &authority);
        let well = dropped == 1;
        let sinks = report(&bench, if well { 0 } else { 14 });
        let sink = &sinks[&bad];
        assert_eq!(
            (&sink["sent"], &sink["failed"]),
            (&0.into(), &1.into()),
            "{case}: {sink}"
        );
        assert_eq!(sink["dropped"], dropped, "{case}: {sink}");
        let problem = sink["problem"].as_str().unwrap_or_default();
        if let Some(said) = said {
            said.must_be_in(problem);
        }
        assert_eq!(sink["spooled"].as_u64() > Some(0), !well, "{case}: {sink}");
        if case == "throttled" {
            let uptime = fs::read_to_string("/proc/uptime").unwrap();
            let uptime: u64 = uptime.split('.').next().unwrap().parse().unwrap();
            assert!(sink["next"].as_u64().unwrap() > uptime + 100, "{sink}");
        }
        // The control: the others have it.
        for to in [url(good.port, "take"), "file:///srv/reports/".to_owned()] {
            assert_eq!(
                (&sinks[&to]["sent"], &sinks[&to]["problem"]),
                (&1.into(), &Value::Null),
                "{case}"
            );
        }
        let mut files = fs::read_dir(bench.root().join("srv/reports")).unwrap();
        let file = files.next().unwrap().unwrap();
        let line = fs::read(file.path()).unwrap();
        let name = file.file_name().into_string().unwrap();
        assert_eq!(fs::read(bench_taken(&good, &name)).unwrap(), line, "{case}");
        assert!(files.next().is_none(), "{case}");
    }
}

fn bench_taken(server: &Server, name: &str) -> std::path::PathBuf {
    server.directory.join("taken").join(name)
}

/// Reports and the channel in a bucket, by the credentials that the instance has, over TLS; the server checks
/// every signature with botocore.
#[test]
fn privileged_report_and_channel_use_s3_with_the_instance_role() {
    let bench = Bench::new();
    certificates(&bench);
    let authority = fs::read(bench.path("ca.crt")).unwrap();
    let service = Service::start(&bench);
    let front = Server::front(&bench, "good", service.port());
    let user = [&USER[..], &[REGION]].concat();
    bench.keygen("c");
    let init = [
        "channel",
        "init",
        "s3://releases/web/stable.json",
        "--image",
        "web",
        "--key",
        "c.key",
    ];
    service.earmark(&bench, &init, &user).must(0);

    let endpoint = format!("endpoint = \"https://localhost:{}\"", front.port);
    let to = format!("{{ url = \"s3://releases/reports/web\", {endpoint} }}");
    let host = reporting(&to, &authority);
    let spec = fs::read_to_string(host.path("earmark.toml")).unwrap();
    let channel = format!("[channel]\nurl = \"s3://releases/web/stable.json\"\n{endpoint}\n");
    fs::write(host.path("earmark.toml"), spec + &channel).unwrap();
    host.seal().must(0);
    verified(&host);

    // Without a role nothing is sent, and it is said why.
    let sinks = report(&host, 14);
    let sink = &sinks["s3://releases/reports/web/"];
    NO_ROLE.must_be_in(sink["problem"].as_str().unwrap());
    let role = |secret: &str| {
        let role = json!({"key": USER[0].1, "secret": secret, "token": null, "region": REGION.1});
        host.write(
            "run/earmark-instance/role.json",
            role.to_string().as_bytes(),
        );
    };
    role("another/secret");
    let sinks = report(&host, 14);
    let sink = &sinks["s3://releases/reports/web/"];
    ANSWERED
        .of(&["403"])
        .must_be_in(sink["problem"].as_str().unwrap());
    role(USER[1].1);
    // The server says now and then that it is busy, and is asked again.
    let asked = (0..5).find(|_| host.agent(&["report", "--once", "--root", "root"]).code == 0);
    let asked = u64::try_from(asked.expect("it never took a report")).unwrap();
    // Not by one more report: a second later it is another one, which is refused at first.
    let sinks = state_of_sinks(&host);
    let sink = &sinks["s3://releases/reports/web/"];
    assert_eq!(
        (&sink["sent"], &sink["spooled"]),
        (&(3 + asked).into(), &0.into()),
        "{sinks}"
    );

    fs::create_dir_all(host.root().join("run/earmark-fetch")).unwrap();
    let fetch = || host.agent(&["fetch", "--root", "root"]);
    let came = |run: &earmark_tests::Run| !run.err.contains("stable.json");
    let fetched = (0..5)
        .map(|_| fetch())
        .find(came)
        .expect("it never gave the channel");
    // Which instance this is, only a host that was locked down knows: no grant is looked for.
    NO_INSTANCE.must_be_in(&fetched.err);
    let document = fs::read(host.root().join("run/earmark-fetch/channel.json")).unwrap();
    fs::write(bench.path("fetched.json"), document).unwrap();
    let trust = ["trust", "--key", "c.pub:channel", "--out", "c.toml"];
    bench.earmark(&trust).must(0);
    bench
        .earmark(&[
            "channel",
            "verify",
            "fetched.json",
            "--name",
            "stable",
            "--trust",
            "c.toml",
        ])
        .must(0);
}

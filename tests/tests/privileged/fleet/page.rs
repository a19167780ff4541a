//! The page in a browser: what it shows, on a phone and by dark, and that nothing in it runs or asks for anything.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use earmark_tests::{facts::fleet::NEVER_REPORTED, fleet::Fleet, run};
use serde_json::{Value, json};

use super::instance;

/// Serves a directory, and remembers who was asked for what: the browser is told that every server is this one.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(directory: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (directory, seen) = (directory.clone(), Arc::clone(&seen));
                // What the browser says to its maker is TLS, and no text: it is not answered.
                thread::spawn(move || {
                    let lines: Vec<String> = BufReader::new(&stream)
                        .lines()
                        .map_while(Result::ok)
                        .take_while(|line| !line.is_empty())
                        .collect();
                    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
                        return;
                    };
                    let host = lines.iter().find_map(|line| line.strip_prefix("Host: "));
                    let host = host.unwrap_or_default();
                    seen.lock().unwrap().push(format!("{host}{path}"));
                    let name = path.trim_start_matches('/');
                    let found = fs::read(directory.join(name))
                        .ok()
                        .filter(|_| !name.contains('/'));
                    let (status, body) =
                        found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = (&stream).write_all(&[head.into_bytes(), body].concat());
                });
            }
        });
        Self { port, asked }
    }

    /// Returns the requests for `evil.example`, which no page may make, and forgets all requests.
    fn leaked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.retain(|asked| asked.contains("evil.example"));
        asked
    }

    /// Opens `measure.html` in Chromium and returns its measurements of the fleet's page.
    fn measure(&self, profile: &Path) -> Vec<Value> {
        let all = format!("--host-resolver-rules=MAP * 127.0.0.1:{}", self.port);
        let url = format!("http://127.0.0.1:{}/measure.html", self.port);
        let profile = format!("--user-data-dir={}", profile.display());
        let words = [
            "120",
            "chromium",
            "--headless",
            // As root it has none; the page is ours, and what it must not do is what is tested.
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--virtual-time-budget=20000",
            "--dump-dom",
            &profile,
            &all,
            &url,
        ];
        let dom = run("timeout", words, None).must(0).out;
        let measured = dom
            .split_once("BEGIN")
            .and_then(|(_, rest)| rest.split_once("END"));
        let (measured, _) = measured.unwrap_or_else(|| panic!("{dom}"));
        let decoded = run(
            "python3",
            [
                "-c",
                "import base64,sys;print(base64.b64decode(sys.argv[1]).decode())",
                measured,
            ],
            None,
        );
        serde_json::from_str(&decoded.must(0).out).unwrap()
    }
}

fn write_page(fleet: &Fleet) -> String {
    let words = [
        "--inventory",
        "inventory.json",
        "--group-by",
        "image,version,region,asg",
        "--format",
        "html",
        "--out",
        "fleet.html",
    ];
    fleet.status(&words).must(0);
    fs::read_to_string(fleet.bench.path("fleet.html")).unwrap()
}

/// A name that its host, or whoever tags instances, may choose.
const HOSTILE: &str =
    "<script>window.hurt=true</script><img src=http://evil.example/leak onerror=hurt=1>";

/// Hosts in each state, with names that would be markup.
fn sixty_hosts() -> Fleet {
    let fleet = Fleet::new(&["1.4.0", "1.4.1", "1.5.0"]);
    fleet.revoke("1.4.0", "it forgets its sessions");
    let mut listed = Vec::new();
    for number in 1..=60 {
        let (version, change) = match number {
            1..=30 => ("1.5.0", json!({})),
            31..=50 => ("1.4.1", json!({})),
            51 => ("1.4.0", json!({})),
            52 => ("1.5.0", json!({"verdict": "violated", "reason": HOSTILE})),
            53 => ("1.5.0", json!({"cloned_from": "x".repeat(400)})),
            54 => ("1.5.0", json!({"taints_more": 1})),
            55 => ("9.9", json!({})),
            _ => (
                "1.5.0",
                json!({"verdict": "undecided", "reason": "\" onmouseover=hurt=1 x=\""}),
            ),
        };
        fleet.report(&instance(number), version, change);
        listed.push(json!({
            "InstanceId": instance(number), "State": {"Name": "running"},
            "Tags": [{"Key": "Name", "Value": HOSTILE},
                     {"Key": "aws:autoscaling:groupName", "Value": "a-very-long-name-of-a-group-".repeat(8)}],
        }));
    }
    listed.push(json!({"InstanceId": instance(61), "State": {"Name": "running"}}));
    let inventory = json!({"Reservations": [{"Instances": listed}]});
    fs::write(fleet.bench.path("inventory.json"), inventory.to_string()).unwrap();
    fs::write(fleet.bench.path(&format!("reports/{}", "<b>x<.json")), "x").unwrap();
    fleet
}

#[test]
fn privileged_fleet_page_fits_phones_and_dark_mode_and_runs_no_script() {
    let fleet = sixty_hosts();
    let page = write_page(&fleet);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/privileged/fleet/measure.html");
    fs::copy(script, fleet.bench.path("measure.html")).unwrap();
    let server = Server::start(fleet.bench.path(""));
    let profile = fleet.bench.path("profile");
    let views = server.measure(&profile);
    assert_eq!(views.len(), 4);
    for view in &views {
        let about = || format!("{view:#}");
        assert_eq!(view["overflow"], 0, "{}", about());
        assert!(view["contrast"].as_f64().unwrap() >= 4.5, "{}", about());
        assert_eq!(view["scripts"], 0, "{}", about());
        assert_eq!(view["hurt"], false, "{}", about());
        // The style is applied: its digest is the one in the policy.
        assert_eq!(view["styled"], "960px", "{}", about());
        assert_eq!(view["title"], "Fleet: 30 of 61 current");
        assert_eq!(
            view["counts"],
            json!({"silent": "1", "violated": "6", "cloned": "1", "revoked": "1", "tainted": "1",
                   "behind": "20", "unlisted": "1", "current": "30"})
        );
        let text = view["text"].as_str().unwrap();
        NEVER_REPORTED.must_be_in(text);
        // The counts of hosts, and of releases that some are behind; the rest is hostile text, as text.
        for part in ["61 hosts", "<script>window.hurt", "1 release", "<b>x<.json"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let widths: Vec<bool> = views
        .iter()
        .map(|view| view["width"].as_u64().unwrap() <= 412)
        .collect();
    assert_eq!(widths, [true, true, true, false]);
    let dark: Vec<&Value> = views.iter().map(|view| &view["dark"]).collect();
    assert_eq!(dark, [false, true, true, false]);
    assert_ne!(views[0]["paper"], views[1]["paper"]);
    assert_eq!(server.leaked(), Vec::<String>::new());

    // The controls. A name that were markup would ask, and run.
    let markup = page
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    let bare = markup.replace("Content-Security-Policy", "x");
    fs::write(fleet.bench.path("fleet.html"), &bare).unwrap();
    let views = server.measure(&profile);
    assert!(
        views[0]["hurt"] == true && views[0]["scripts"].as_u64() > Some(0),
        "{:#}",
        views[0]
    );
    assert!(!server.leaked().is_empty());
    // Were it markup, the policy would still let none of it happen.
    fs::write(fleet.bench.path("fleet.html"), &markup).unwrap();
    let views = server.measure(&profile);
    assert_eq!(views[0]["hurt"], false);
    assert_eq!(server.leaked(), Vec::<String>::new());
    // What is too wide is seen, and so is what cannot be read.
    let wide = page
        .replace("</body>", "<pre class=dim>")
        .replace("overflow-wrap: anywhere;", "");
    fs::write(fleet.bench.path("fleet.html"), wide + &"w".repeat(500)).unwrap();
    let views = server.measure(&profile);
    assert!(views[0]["overflow"].as_u64() > Some(0), "{:#}", views[0]);
    fs::write(
        fleet.bench.path("fleet.html"),
        "<body style='background: #777; color: #888'>x<p>x",
    )
    .unwrap();
    let views = server.measure(&profile);
    assert!(
        views[0]["contrast"].as_f64().unwrap() < 2.0,
        "{:#}",
        views[0]
    );
}

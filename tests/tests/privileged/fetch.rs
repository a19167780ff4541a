//! Documents that are fetched for a host from a server beside its channel, over TLS as OpenSSL speaks it. A
//! hostile server can do nothing with that.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use earmark_tests::{
    Bench, SPEC,
    facts::fleet::{
        ANSWERED, FETCH_FAILED, NO_ANSWER, NO_DOCUMENT, NO_ROLE, NOT_A_GRANT, REDIRECTED, TOO_LARGE,
    },
    run,
};
use serde_json::Value;

const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
const FETCHED: &str = "run/earmark-fetch/grant.json";
const CHANNEL: &str = "run/earmark-fetch/channel.json";
const INSTANCE: &str = "i-0123456789abcdef0";

/// A server, as long as the test.
pub struct Server {
    child: Child,
    pub port: u16,
    /// Working directory of the server; it puts uploads into `taken/` in it.
    pub directory: PathBuf,
}

impl Server {
    pub fn start(bench: &Bench, certificate: &str) -> Self {
        Self::front(bench, certificate, 0)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own server, which runs beside it"
    )]
    /// One that speaks TLS before a server which does not, on that port.
    pub fn front(bench: &Bench, certificate: &str, port: u16) -> Self {
        let python =
            std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/https.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([format!("{certificate}.crt"), format!("{certificate}.key")])
            .arg(port.to_string())
            .current_dir(bench.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{line}"));
        let directory = bench.path("");
        Self {
            child,
            port,
            directory,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, `ca`, and certificates: `good` is for localhost and `channel.test`, `other` for another name,
/// and `unknown` by nobody that anybody believes.
pub fn certificates(bench: &Bench) {
    let openssl = |words: &str| {
        run("openssl", words.split(' '), Some(&bench.path(""))).must(0);
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=Authority"
    ));
    for (name, host) in [
        ("good", "localhost,DNS:channel.test"),
        ("other", "other.example"),
    ] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.crt -subj /CN={name} -CA ca.crt -CAkey ca.key \
             -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE"
        ));
    }
    openssl(&format!(
        "req -x509 {key} -keyout unknown.key -out unknown.crt -subj /CN=unknown \
         -addext subjectAltName=DNS:localhost"
    ));
}

/// A sealed root whose channel is there, and that believes this authority.
fn sealed(channel: &str, authority: &[u8]) -> Bench {
    let bench = Bench::new();
    fs::create_dir_all(bench.root().join("etc/ssl/certs")).unwrap();
    bench.write(AUTHORITIES, authority);
    let spec = format!("{SPEC}\n[channel]\nurl = \"{channel}\"\n");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench.seal().must(0);
    bench.agent(&["verify", "--root", "root"]).must(0);
    // As earmark-lockdown.service says it.
    let status = bench.root().join("run/earmark/status.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&status).unwrap()).unwrap();
    known["instance"] = INSTANCE.into();
    fs::write(&status, known.to_string()).unwrap();
    fs::create_dir_all(bench.root().join("run/earmark-fetch")).unwrap();
    bench
}

#[test]
fn privileged_grant_is_fetched_and_hostile_server_responses_are_discarded() {
    let bench = Bench::sealed();
    certificates(&bench);
    let authority = fs::read(bench.path("ca.crt")).unwrap();
    // Anything in an envelope: whether it is believed is not asked here.
    let manifest = bench.root().join("usr/lib/earmark/seal/manifest.json");
    let grant = fs::read(manifest).unwrap();
    fs::write(bench.path("grant.json"), &grant).unwrap();
    let server = Server::start(&bench, "good");
    let other = Server::start(&bench, "other");
    let unknown = Server::start(&bench, "unknown");
    let with = |port: u16, case: &str| {
        let channel = format!("https://localhost:{port}/{case}/stable.json");
        sealed(&channel, &authority)
    };

    let good = with(server.port, "good");
    good.agent(&["fetch", "--root", "root"]).must(0);
    let fetched = || fs::read(good.root().join(FETCHED)).unwrap();
    assert_eq!(fetched(), grant);
    // Nor is it asked here whether the channel is one.
    assert_eq!(fs::read(good.root().join(CHANNEL)).unwrap(), grant);
    // A second run brings the same.
    good.agent(&["fetch", "--root", "root"]).must(0);
    assert_eq!(fetched(), grant);

    for (port, case, said) in [
        (server.port, "garbage", NOT_A_GRANT),
        (server.port, "endless", TOO_LARGE.of(&["65536"])),
        (server.port, "liar", NOT_A_GRANT),
        (server.port, "short", FETCH_FAILED),
        (server.port, "slow", NO_ANSWER),
        (server.port, "redirect", REDIRECTED),
        (server.port, "plain", FETCH_FAILED),
        (server.port, "busy", ANSWERED.of(&["503"])),
        // These words are the libraries' and the kernel's.
        (other.port, "good", FETCH_FAILED.of(&["not valid for"])),
        (
            unknown.port,
            "good",
            FETCH_FAILED.of(&["invalid peer certificate"]),
        ),
        (1, "good", FETCH_FAILED.of(&["refused"])),
    ] {
        let bench = with(port, case);
        let run = bench.agent(&["fetch", "--root", "root"]);
        assert_eq!(run.code, 1, "{case}: {}", run.err);
        said.must_be_in(&run.err);
        assert!(!bench.root().join(FETCHED).exists(), "{case}");
    }
    // What keeps the channel away takes nothing of it away that is there.
    for (case, said) in [
        ("endless", TOO_LARGE.of(&["786432"])),
        ("short", FETCH_FAILED),
        ("redirect", REDIRECTED),
        ("busy", ANSWERED.of(&["503"])),
        ("nothing", NO_DOCUMENT),
    ] {
        let bench = with(server.port, case);
        bench.write(CHANNEL, b"old");
        let run = bench.agent(&["fetch", "--root", "root"]);
        assert_eq!(run.code, 1, "{case}");
        let (url, known) = (
            "/stable.json'",
            fs::read(bench.root().join(CHANNEL)).unwrap(),
        );
        let line = run.err.lines().find(|line| line.contains(url));
        said.must_be_in(line.unwrap_or_else(|| panic!("{case}: {}", run.err)));
        assert_eq!(known, b"old", "{case}");
    }

    // What is no longer published is taken away.
    let gone = with(server.port, "nothing");
    gone.write(FETCHED, b"old");
    gone.agent(&["fetch", "--root", "root"]).must(1);
    assert!(!gone.root().join(FETCHED).exists());
}

#[test]
fn privileged_fetch_reads_channel_and_grant_from_a_file_url() {
    let bench = sealed("file:///srv/data/stable.json", b"");
    fs::create_dir_all(bench.root().join("srv/data")).unwrap();
    bench.write("srv/data/stable.json", b"{}");
    bench.agent(&["fetch", "--root", "root"]).must(0);
    assert_eq!(fs::read(bench.root().join(CHANNEL)).unwrap(), b"{}");
    assert!(!bench.root().join(FETCHED).exists());
    let manifest = bench.root().join("usr/lib/earmark/seal/manifest.json");
    let grant = fs::read(manifest).unwrap();
    fs::create_dir_all(bench.root().join("srv/data/grants")).unwrap();
    bench.write(&format!("srv/data/grants/{INSTANCE}.json"), &grant);
    bench.agent(&["fetch", "--root", "root"]).must(0);
    assert_eq!(fs::read(bench.root().join(FETCHED)).unwrap(), grant);

    let run = sealed("s3://releases/web/stable.json", b"").agent(&["fetch", "--root", "root"]);
    assert_eq!(run.code, 1);
    NO_ROLE.must_be_in(&run.err);
}

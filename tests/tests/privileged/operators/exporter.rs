//! `node_exporter`, which brings the agent's file to Prometheus, by a link into its directory.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use earmark_tests::prometheus;
use tempfile::TempDir;

use super::AGENT;

struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own server, which runs beside it"
    )]
    fn start(textfiles: &Path) -> Self {
        // A port that was free just now.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let child = Command::new(prometheus::program("prometheus-node-exporter"))
            .args([
                "--collector.disable-defaults",
                "--collector.textfile",
                "--web.disable-exporter-metrics",
            ])
            .arg(format!(
                "--collector.textfile.directory={}",
                textfiles.display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Returns the metrics that Prometheus would get. Waits up to ten seconds for the exporter to listen.
    fn scrape(&self) -> String {
        let mut connection = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(50));
                TcpStream::connect(&self.address).ok()
            })
            .expect("node_exporter listens within ten seconds");
        connection
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn privileged_node_exporter_exposes_the_agent_textfile() {
    let directory = TempDir::new().unwrap();
    let textfiles = directory.path().join("textfiles");
    fs::create_dir(&textfiles).unwrap();
    // As docs/operations.md has it: a link, so that the agent need not write where node_exporter reads.
    let file = directory.path().join("earmark.prom");
    fs::write(&file, AGENT).unwrap();
    let link = textfiles.join("earmark.prom");
    symlink(&file, &link).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();

    let exporter = Exporter::start(&textfiles);
    let scraped = exporter.scrape();
    let missing: Vec<_> = prometheus::shape(AGENT)
        .difference(&prometheus::shape(&scraped))
        .cloned()
        .collect();
    assert_eq!(missing, [""; 0], "{scraped}");
    let ours = prometheus::series(&scraped);
    let ours = ours
        .iter()
        .filter(|series| series.name.starts_with("earmark_"))
        .count();
    assert_eq!(ours, prometheus::series(AGENT).len());
    assert!(
        scraped.contains("node_textfile_scrape_error 0\n"),
        "{scraped}"
    );
    // The age is the file's, and not the link's; what names the file is what the alert looks for.
    let age = hour_ago
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let named = format!("file=\"{}\"", link.display());
    let found = prometheus::series(&scraped);
    let found = found
        .iter()
        .find(|series| series.name == "node_textfile_mtime_seconds")
        .unwrap();
    assert_eq!(
        (
            found.labels.as_str(),
            found.value.parse::<f64>().unwrap().floor()
        ),
        (named.as_str(), f64::from(u32::try_from(age).unwrap()))
    );

    // A file that is none has no metrics, which an alert tells; nor has one that is gone.
    fs::write(&file, "earmark_verdict{").unwrap();
    let scraped = exporter.scrape();
    assert!(
        scraped.contains("node_textfile_scrape_error 1\n") && !scraped.contains("earmark_verdict"),
        "{scraped}"
    );
}

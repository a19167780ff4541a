//! A metadata service that answers as EC2's does, for machines that see it at `169.254.169.254`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Session token that the service issues and accepts.
const TOKEN: &str = "AQAEAExampleToken==";

/// The network of QEMU, in which the metadata service has its own address: for
/// [`prepare`](crate::boot::Boot::prepare), with `net.ifnames=0`.
pub const UPLINK: &str = "
mkdir -p /run/systemd/system
cat > /run/systemd/system/uplink.service <<UNIT
[Unit]
DefaultDependencies=no
After=network-pre.target
Wants=network-pre.target
Before=network.target network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set dev eth0 up
ExecStart=/usr/sbin/ip address add 169.254.0.15/16 dev eth0
UNIT
";

/// A service on this machine, as long as its process runs.
#[derive(Debug)]
pub struct Imds {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    failing: Arc<AtomicU64>,
}

impl Imds {
    /// With these paths beneath `/latest/`, and a token for everything.
    pub fn start(documents: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let documents: BTreeMap<String, String> = documents
            .iter()
            .map(|(path, text)| (format!("/latest/{path}"), (*text).to_owned()))
            .collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let failing = Arc::new(AtomicU64::new(0));
        let (log, seconds) = (asked.clone(), failing.clone());
        thread::spawn(move || {
            let mut first = None;
            for stream in listener.incoming().flatten() {
                let since = *first.get_or_insert_with(Instant::now);
                let fails = since.elapsed() < Duration::from_secs(seconds.load(Ordering::Relaxed));
                // Whoever hangs up has their answer already, or wants none.
                let _ = answer(stream, &documents, fails, &log);
            }
        });
        Self {
            port,
            asked,
            failing,
        }
    }

    /// Answers with an error for so many seconds from the first request on.
    pub fn fail_for(&self, seconds: u64) {
        self.failing.store(seconds, Ordering::Relaxed);
    }

    /// The instance's user-data and identity, as most tests need them.
    pub fn of_instance(id: &str, user_data: &str) -> Self {
        Self::start(&[
            ("user-data", user_data),
            ("dynamic/instance-identity/document", &document(id)),
            (
                "dynamic/instance-identity/rsa2048",
                "MIAGCSqGSIb3DQEHAqCAMIACAQExDzAN",
            ),
            ("meta-data/instance-id", id),
        ])
    }

    /// Words for QEMU that give a machine a network in which nothing else answers. `directory` is for
    /// the program that each connection starts.
    pub fn network(&self, directory: &Path) -> String {
        let forward = directory.join("imds");
        let script = format!("#!/bin/sh\nexec /bin/busybox nc 127.0.0.1 {}\n", self.port);
        fs::write(&forward, script).expect("a script");
        fs::set_permissions(&forward, fs::Permissions::from_mode(0o755)).expect("a mode");
        // The address must lie in the network that QEMU makes.
        format!(
            "-netdev user,id=net,net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,\
             dhcpstart=169.254.0.15,restrict=on,guestfwd=tcp:169.254.169.254:80-cmd:{} \
             -device virtio-net-pci,netdev=net,romfile=",
            forward.display()
        )
    }

    /// Each request so far, as `METHOD PATH STATUS`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the log").clone()
    }
}

/// The identity document of an instance.
pub fn document(id: &str) -> String {
    format!(
        "{{\n  \"accountId\" : \"123456789012\",\n  \"architecture\" : \"x86_64\",\n  \
         \"availabilityZone\" : \"eu-west-1a\",\n  \"imageId\" : \"ami-0123456789abcdef0\",\n  \
         \"instanceId\" : \"{id}\",\n  \"instanceType\" : \"m7i.large\",\n  \
         \"pendingTime\" : \"2026-11-23T04:00:00Z\",\n  \"privateIp\" : \"169.254.0.15\",\n  \
         \"region\" : \"eu-west-1\",\n  \"version\" : \"2017-09-30\"\n}}"
    )
}

fn answer(
    stream: TcpStream,
    documents: &BTreeMap<String, String>,
    fails: bool,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let token = headers.get("x-aws-ec2-metadata-token").map(String::as_str);
    let asks_for_token = headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds");
    let (status, body) = match (method, path) {
        _ if fails => ("500 Internal Server Error", ""),
        ("PUT", "/latest/api/token") if asks_for_token => ("200 OK", TOKEN),
        ("PUT", _) => ("400 Bad Request", ""),
        // Also what version 1 would have answered.
        _ if token != Some(TOKEN) => ("401 Unauthorized", ""),
        ("GET", path) => match documents.get(path) {
            Some(text) => ("200 OK", text.as_str()),
            None => ("404 Not Found", ""),
        },
        _ => ("405 Method Not Allowed", ""),
    };
    let code = status.split(' ').next().unwrap_or_default();
    log.lock()
        .expect("the log")
        .push(format!("{method} {path} {code}"));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         X-aws-ec2-metadata-token-ttl-seconds: 21600\r\nServer: EC2ws\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

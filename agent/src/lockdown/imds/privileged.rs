//! The lock on a real network: in namespaces of its own, where the service is a neighbour.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use earmark_scan::Root;

use super::*;
use crate::status::model::LockState;

const INSIDE: &str = "EARMARK_TEST_INSIDE";
const NAME: &str = "lockdown::imds::privileged::privileged_only_root_reaches_imds";
const SERVICE: &str = "[image]\nname = \"web\"\nplatform = \"ec2\"\n";

#[expect(
    clippy::disallowed_methods,
    reason = "starts itself, and the tools of others"
)]
fn start(program: &str, words: &str) -> Child {
    let command = Command::new(program)
        .args(words.split_ascii_whitespace())
        .env(INSIDE, network("self"))
        .stdin(Stdio::null())
        // Its count of tests is none of ours. What fails is said on the other.
        .stdout(Stdio::null())
        .spawn();
    command.unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn must(program: &str, words: &str) {
    let status = start(program, words).wait().unwrap();
    assert!(status.success(), "{program} {words}: {status}");
}

fn network(process: &str) -> String {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    link.to_str().unwrap().to_owned()
}

fn itself() -> String {
    env::current_exe().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn privileged_only_root_reaches_imds() {
    match env::var(INSIDE).as_deref() {
        Err(_) => must(
            "unshare",
            &format!(
                "--mount --net --pid --fork --mount-proc --kill-child {} --exact {NAME} --nocapture",
                itself()
            ),
        ),
        Ok(outside) => {
            assert_ne!(network("self"), outside);
            inside();
        }
    }
}

/// A network of its own: a process that waits there.
struct Other(Child);

impl Other {
    fn new() -> Self {
        let other = Self(start("unshare", "--net sleep 300"));
        while network(&other.0.id().to_string()) == network("self") {
            thread::sleep(Duration::from_millis(20));
        }
        other
    }

    fn ip(&self, words: &str) {
        let pid = self.0.id();
        must("nsenter", &format!("--target {pid} --net ip {words}"));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service at the other end of this host's cable, and a container whose packets it forwards.
fn boot() -> (Other, Other) {
    let (service, container) = (Other::new(), Other::new());
    for (other, here, there) in [(&service, "out", "imds"), (&container, "in", "eth0")] {
        must(
            "ip",
            &format!("link add {here} type veth peer name {there}"),
        );
        must("ip", &format!("link set {there} netns {}", other.0.id()));
        must("ip", &format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }
    must("ip", "address add 169.254.1.1/16 dev out");
    must("ip", "address add fd00:ec2::1/64 dev out nodad");
    service.ip("address add 169.254.169.254/16 dev imds");
    service.ip("address add 169.254.169.253/16 dev imds");
    service.ip("address add fd00:ec2::254/64 dev imds nodad");
    must("ip", "address add 10.0.0.1/24 dev in");
    must("ip", "address add fd00:1::1/64 dev in nodad");
    container.ip("address add 10.0.0.2/24 dev eth0");
    container.ip("address add fd00:1::2/64 dev eth0 nodad");
    container.ip("route add default via 10.0.0.1");
    container.ip("route add default via fd00:1::1");
    service.ip("route add 10.0.0.0/24 via 169.254.1.1");
    service.ip("route add fd00:1::/64 via fd00:ec2::1");
    // These are this network's own. A strict host drops what comes from where it could not send to.
    for (setting, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/out/rp_filter", "1"),
    ] {
        fs::write(format!("/proc/sys/net/{setting}"), value).unwrap();
    }
    (service, container)
}

/// Returns whether a user gets an answer at all: a refused connection is one.
fn reaches(user: u32, address: &str) -> bool {
    let words = format!("--reuid {user} --clear-groups timeout 5 bash -c");
    connects("setpriv", &words, address)
}

/// Returns whether a container gets an answer.
fn forwards(container: &Other, address: &str) -> bool {
    let words = format!("--target {} --net timeout 5 bash -c", container.0.id());
    connects("nsenter", &words, address)
}

#[expect(clippy::disallowed_methods, reason = "another user is another process")]
fn connects(program: &str, words: &str, address: &str) -> bool {
    let run = Command::new(program)
        .args(words.split(' '))
        .arg(format!("exec 3<>/dev/tcp/{address}/80"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    // The host tells a container by ICMP.
    let forbidden = [
        "Permission denied",
        "No route to host",
        "Network is unreachable",
    ];
    if forbidden.iter().any(|error| said.contains(error)) {
        return false;
    }
    assert!(
        said.contains("Connection refused"),
        "{words} {address}: {said}"
    );
    true
}

fn inside() {
    let (_service, container) = boot();
    let root = Root::open(Path::new("/")).unwrap();
    let look = Look::new(&root);
    let declaration = Declaration::parse(SERVICE.as_bytes()).unwrap();
    let states = || {
        let items = probe(&look, &declaration);
        let states = items.iter().map(|item| item.state);
        states.collect::<Vec<_>>()
    };
    let (open, shut) = (LockState::NotEnforced, LockState::Enforced);
    let addresses = Family::ALL.map(Family::text);

    // The control: without the lock anybody reaches it.
    assert_eq!(states(), [open, open]);
    for address in addresses {
        for user in [0, 1, 65_534] {
            assert!(reaches(user, address), "{user} {address}");
        }
        assert!(forwards(&container, address), "{address}");
    }
    for _ in 0..2 {
        assert_eq!(apply(&look, &declaration), [""; 0]);
        assert_eq!(states(), [shut, shut]);
    }
    for address in addresses {
        assert!(reaches(0, address), "{address}");
        for user in [1, 65_534, u32::MAX - 1] {
            assert!(!reaches(user, address), "{user} {address}");
        }
        assert!(!forwards(&container, address), "{address}");
    }
    // What is beside it is not shut.
    assert!(reaches(65_534, "169.254.169.253"));
    assert!(forwards(&container, "169.254.169.253"));

    // A rule that lets through is found, whatever it says; so is that one of ours went.
    must("ip", "rule add priority 0 to 169.254.0.0/16 lookup main");
    assert!(reaches(65_534, addresses[0]));
    assert_eq!(states(), [open, shut]);
    must("ip", "rule delete priority 0 to 169.254.0.0/16 lookup main");
    must("ip", "rule add priority 0 to 10.0.0.0/8 lookup main");
    assert_eq!(states(), [shut, shut]);
    must("ip", "-6 rule delete priority 2");
    assert!(reaches(65_534, addresses[1]));
    assert_eq!(states(), [shut, open]);
    assert_eq!(apply(&look, &declaration), [""; 0]);
    assert_eq!(states(), [shut, shut]);
    assert!(!reaches(65_534, addresses[1]));
    // A grant lets everybody in, and then it is shut again.
    for _ in 0..2 {
        assert_eq!(super::open(&look, &declaration), [""; 0]);
        assert_eq!(states(), [open, open]);
    }
    for address in addresses {
        assert!(reaches(65_534, address) && reaches(0, address), "{address}");
    }
    assert_eq!(apply(&look, &declaration), [""; 0]);
    assert_eq!(states(), [shut, shut]);
    assert!(!reaches(65_534, addresses[0]));
    // Nor is root kept out for long.
    must("ip", "rule delete priority 3");
    assert!(!reaches(0, addresses[0]));
    assert_eq!(apply(&look, &declaration), [""; 0]);
    assert!(reaches(0, addresses[0]));
}

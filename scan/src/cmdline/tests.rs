use std::{fs, os::unix::fs::symlink};

use earmark_manifest::cmdline::SignedLine;

use super::*;

struct Fixture(tempfile::TempDir);

impl Fixture {
    /// A host whose first process has no arguments.
    fn new(line: &[u8]) -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.with(KERNEL, line).with(INIT, b"/sbin/init\0")
    }

    fn with(self, path: &str, content: &[u8]) -> Self {
        let at = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
        self
    }

    fn in_namespace(self, link: &str) -> Self {
        let at = self.0.path().join("proc/self/ns/pid");
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(link, at).unwrap();
        self
    }

    fn read(&self) -> CommandLine {
        CommandLine::read(&Root::open(self.0.path()).unwrap())
    }

    /// Each finding: the place, and what is there.
    fn found(&self, signed: Option<&str>) -> Vec<String> {
        let signed: Option<SignedLine> = signed.map(|line| line.parse().unwrap());
        let judgement = self.read().judge(signed.as_ref());
        assert_eq!(judgement.doubts, [], "{signed:?}");
        let text = |found: &crate::Violation| format!("{} {}", found.path, found.found);
        judgement.violations.iter().map(text).collect()
    }

    fn doubts(&self) -> Vec<String> {
        let doubts = self.read().judge(None).doubts;
        doubts.into_iter().map(|doubt| doubt.problem).collect()
    }
}

const SIGNED: Option<&str> = Some("?BOOT_IMAGE=* root=UUID=* ro console=ttyS0,115200");
const BOOTED: &str = "root=UUID=1 ro console=ttyS0,115200";

#[test]
fn unsigned_cmdline_passes_if_plain_and_a_bypassing_word_is_named() {
    let plain = Fixture::new(b"root=/dev/vda1 ro console=ttyS0 quiet\n");
    assert_eq!(plain.found(None), [""; 0]);
    assert_eq!(plain.read().targets(), [""; 0]);

    let bypassed = Fixture::new(b"ro \"init=/bin/sh\" quiet \x1b[2J-s\n");
    let judgement = bypassed.read().judge(None);
    assert_eq!(judgement.violations.len(), 1);
    assert_eq!(
        judgement.violations[0].to_string(),
        "/proc/cmdline: cmdline: expected no word that starts another first process than systemd, \
         found init=/bin/sh"
    );
    let is_said = |doubt: &Doubt| doubt.problem.contains("0x1b");
    assert!(judgement.doubts.iter().any(is_said), "{judgement:?}");
}

#[test]
fn unsigned_cmdline_is_judged_by_the_quoting_rules_of_each_reader() {
    for line in [
        "ro \"x init=/var/lib/evil y\"",
        "ro 'x init=/var/lib/evil y'",
        "ro x\\ init=/var/lib/evil",
        "ro in\\it=/var/lib/evil",
    ] {
        let found = Fixture::new(line.as_bytes()).read().judge(None).violations;
        assert!(
            found
                .iter()
                .any(|found| found.found.contains("init=/var/lib/evil")),
            "{line}"
        );
        assert!(
            found[0].expected.contains("another first process"),
            "{line}"
        );
    }
    assert_eq!(Fixture::new(b"ro quiet splash").found(None), [""; 0]);
}

#[test]
fn unknown_cmdline_word_is_a_doubt_without_a_signed_line() {
    let doubts = Fixture::new(b"ro root=/dev/vda new_word=1 quiet").doubts();
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0].contains("new_word=1") && doubts[0].contains("[boot] cmdline"));
    // A bare word may be a generator's, such as Ubuntu's `recovery`.
    let doubts = Fixture::new(b"ro root=/dev/vda new_word quiet").doubts();
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    let usual = b"BOOT_IMAGE=/vmlinuz root=/dev/vda ro rhgb quiet splash no_timer_check --- 3";
    assert_eq!(Fixture::new(usual).doubts(), [""; 0]);
}

#[test]
fn unsigned_or_missing_cmdline_word_is_a_violation() {
    assert_eq!(Fixture::new(BOOTED.as_bytes()).found(SIGNED), [""; 0]);
    for (more, found) in [
        ("quiet", "/proc/cmdline quiet"),
        ("new_word=1", "/proc/cmdline new_word=1"),
        ("ro", "/proc/cmdline ro"),
        ("container=lxc", "/proc/cmdline container=lxc"),
        ("-- x", "/proc/cmdline --"),
    ] {
        let line = Fixture::new(format!("{BOOTED} {more}\n").as_bytes());
        assert_eq!(line.found(SIGNED)[0], found);
    }
    let quoted = Fixture::new(format!("{BOOTED} \"x init=/evil y\"").as_bytes());
    assert_eq!(
        quoted.found(SIGNED),
        [
            "/proc/cmdline \"x",
            "/proc/cmdline init=/evil",
            "/proc/cmdline y\""
        ]
    );
    let less = Fixture::new(b"root=UUID=1 ro").read();
    let found = less
        .judge(SIGNED.map(|line| line.parse().unwrap()).as_ref())
        .violations;
    assert_eq!(
        found[0].to_string(),
        "/proc/cmdline: cmdline: expected the signed word console=ttyS0,115200, found a line without it"
    );
}

/// systemd writes `/run/systemd/container` because of `container=` on the line.
#[test]
fn container_is_detected_by_its_pid_namespace_only() {
    let line = b"root=/dev/vda1 container=lxc systemd.mask=earmark-verify.service";
    let host = || {
        Fixture::new(line)
            .with("/run/systemd/container", b"lxc\n")
            .with("/proc/1/environ", b"container=lxc\0")
    };
    for host in [host(), host().in_namespace("pid:[4026531836]")] {
        assert_eq!(
            host.found(None),
            [
                "/proc/cmdline container=lxc",
                "/proc/cmdline systemd.mask=earmark-verify.service"
            ]
        );
        assert!(host.found(SIGNED).len() > 2);
    }
    let container = host().in_namespace("pid:[4026532001]");
    assert_eq!(container.found(None), [""; 0]);
    assert_eq!(container.found(SIGNED), [""; 0]);
    let masked = container.with(
        INIT,
        b"/sbin/init\0systemd.mask=a.service\0--unit=x.target\0",
    );
    let found = [
        "/proc/1/cmdline systemd.mask=a.service",
        "/proc/1/cmdline --unit=x.target",
    ];
    assert_eq!(masked.found(None), found);
    assert_eq!(masked.found(SIGNED), found);
    assert_eq!(masked.read().targets(), ["x.target"]);
}

#[test]
fn cmdline_words_of_the_firmware_variable_are_judged() {
    let variable = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [7, 0, 0, 0].into_iter().chain(units).collect::<Vec<u8>>()
    };
    let host = |text: &str| Fixture::new(BOOTED.as_bytes()).with(FIRMWARE, &variable(text));
    for (text, found) in [
        ("", [""; 0].to_vec()),
        ("ro\0", vec![]),
        ("ro ro", vec!["ro"]),
        ("quiet", vec!["quiet"]),
        (
            "systemd.unit=rescue.target",
            vec!["systemd.unit=rescue.target"],
        ),
    ] {
        let found: Vec<String> = found
            .iter()
            .map(|word| format!("{FIRMWARE} {word}"))
            .collect();
        assert_eq!(host(text).found(SIGNED), found, "{text}");
    }
    let unsigned = host("quiet systemd.unit=rescue.target");
    assert_eq!(
        unsigned.found(None),
        [format!("{FIRMWARE} systemd.unit=rescue.target")]
    );
    assert_eq!(unsigned.read().targets(), ["rescue.target"]);
}

#[test]
fn init_argument_not_from_kernel_or_systemd_is_a_violation() {
    let line = format!("{BOOTED} splash");
    let signed = SIGNED.map(|line| format!("{line} splash"));
    let host = |arguments: &[u8]| Fixture::new(line.as_bytes()).with(INIT, arguments);
    for good in [
        &b"/sbin/init\0"[..],
        b"/sbin/init",
        b"/sbin/init\0splash\0",
        b"/usr/lib/systemd/systemd\0--switched-root\0--system\0--deserialize=31\0splash\0",
        b"/usr/lib/systemd/systemd\0--system\0--deserialize\x0031\0",
    ] {
        assert_eq!(host(good).found(signed.as_deref()), [""; 0]);
        assert_eq!(host(good).found(None), [""; 0]);
    }
    for bad in [
        &b"/sbin/init\0single\0"[..],
        b"/sbin/init\0--deserialize=x\0",
        b"/sbin/init\x0031\0",
        b"/sbin/init\0--deserialize\0a\0",
        b"/sbin/init\0--user\0",
    ] {
        assert_eq!(host(bad).found(signed.as_deref()).len(), 1, "{bad:?}");
    }
    assert_eq!(
        host(b"/sbin/init\0single\0").found(None),
        ["/proc/1/cmdline single"]
    );
}

#[test]
fn bootconfig_entries_are_judged() {
    let host = |text: &[u8]| Fixture::new(BOOTED.as_bytes()).with(BOOTCONFIG, text);
    let comment = b"# Parameters from bootloader:\n# root=UUID=1 ro\n";
    assert_eq!(host(b"").found(SIGNED), [""; 0]);
    assert_eq!(host(comment).found(SIGNED), [""; 0]);
    // What it adds to the line is in the line.
    assert_eq!(host(b"kernel.ro = \"\"\n").found(SIGNED), [""; 0]);
    assert_eq!(
        host(b"ftrace.instance.a.tracer = \"function\"\n")
            .found(SIGNED)
            .len(),
        1
    );
    assert_eq!(
        host(b"kernel.init = \"/evil\"\n").found(None),
        ["/proc/bootconfig init=/evil"]
    );
    assert_eq!(host(b"ftrace.a = \"b\"\n").doubts().len(), 1);
}

#[test]
fn missing_or_oversized_cmdline_is_a_doubt() {
    let signed: SignedLine = "ro".parse().unwrap();
    let nothing = Fixture(tempfile::tempdir().unwrap());
    for signed in [None, Some(&signed)] {
        assert_eq!(nothing.read().judge(signed).doubts.len(), 1);
        let long = Fixture::new(&vec![b'a'; BOUND + 1]).read().judge(signed);
        assert_eq!(long.doubts.len(), 1, "{long:?}");
        assert!(long.doubts[0].problem.contains("larger than"));
    }
}

//! A root that is sealed, "boots", and is learned from.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::PathBuf,
};

use earmark_manifest::{
    crypto::{Algorithm, PrivateKey},
    declaration::Declaration,
    path::ImagePath,
    statement::{Architecture, BuildRecord},
    trust::{self, Purpose, Trust, TrustedKey},
};
use earmark_tests::golden;
use tempfile::TempDir;

use super::*;
use crate::{
    keys::SigningKey,
    seal::assemble::{self, Request},
};

const SPEC: &str = "\
[image]
name = \"web\"
platform = \"file\"
[tree]
mutable = [\"/etc/resolv.conf\"]
state = [\"/var/lib\"]
critical = [\"/data/web/conf/**\"]
";

/// Files in the root when it is sealed.
const SEALED: &[(&str, &str)] = &[
    ("etc/motd", "hello\n"),
    ("etc/resolv.conf", "x\n"),
    ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
    ("etc/cache/signed", "x\n"),
    ("data/web/conf/a", "a\n"),
    ("usr/bin/run", "elf\n"),
    ("usr/lib/x", "x\n"),
    ("usr/share/x", "x\n"),
    ("var/lib/x", "x\n"),
];

struct Host {
    directory: TempDir,
    manifest: VerifiedManifest,
}

impl Host {
    fn sealed() -> Self {
        let directory = TempDir::new().unwrap();
        for (path, text) in SEALED {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let run = directory.path().join("usr/bin/run");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let request = Request {
            declaration: SPEC.as_bytes().to_vec(),
            declared: Declaration::parse(SPEC.as_bytes()).unwrap(),
            version: "1.0".parse().unwrap(),
            build: BuildRecord::default(),
            architecture: Some(Architecture::X86_64),
        };
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let key = SigningKey::local(PrivateKey::from_pkcs8(&der).unwrap()).unwrap();
        let trusted = TrustedKey::from_pem(
            trust::public_pem(key.public()).as_bytes(),
            BTreeSet::from([Purpose::Image]),
        );
        let trust = Trust::new(None, 1, vec![trusted.unwrap()]).unwrap();
        let bundle = assemble::assemble(&root, request).unwrap();
        let signed = bundle.sign(None, &[key]).unwrap();
        let manifest = signed.verify(&trust).unwrap();
        Self {
            directory,
            manifest,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        self.write_bytes(path.as_bytes(), text);
    }

    fn write_bytes(&self, path: &[u8], text: &str) {
        let path = self.directory.path().join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The text of a lesson, with a word for the digest.
    fn said(&self, lesson: &Lesson) -> String {
        let digest = self.manifest.digest().to_string();
        lesson.to_string().replace(&digest, "sha256:DIGEST")
    }

    fn learn(&self) -> Lesson {
        let root = Root::open(self.directory.path()).unwrap();
        learn(&root, &self.manifest).unwrap()
    }
}

impl Lesson {
    /// Proposals as `CLASS PATTERN`.
    fn proposed(&self) -> Vec<String> {
        let one = |one: &Proposal| format!("{} {}", one.class, one.pattern);
        self.proposals.iter().map(one).collect()
    }

    fn refused(&self) -> Vec<&str> {
        self.refused.iter().map(|one| one.path.as_str()).collect()
    }

    /// Returns a declaration with the printed proposals pasted into it.
    fn pasted(&self) -> String {
        format!("[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\n{self}")
    }
}

#[test]
fn allowed_changes_yield_no_proposal_and_a_golden_text() {
    let host = Host::sealed();
    host.write("etc/resolv.conf", "nameserver 192.0.2.1\n");
    host.write("var/lib/new/x", "x");
    let lesson = host.learn();
    assert_eq!(lesson.proposed(), [""; 0]);
    assert_eq!(lesson.exit(), Exit::Done);
    golden!("learn-nothing", host.said(&lesson));
}

#[test]
fn each_change_is_proposed_with_the_narrowest_class() {
    let host = Host::sealed();
    host.write("etc/motd", "changed\n");
    host.write("etc/adjtime", "0.0\n");
    host.write("srv/data/a", "a");
    host.write("etc/shared", "x");
    host.chmod("etc/shared", 0o666);
    let lesson = host.learn();
    assert_eq!(
        lesson.proposed(),
        [
            "generated /etc/adjtime",
            "mutable /etc/motd",
            "state /etc/shared",
            "state /srv",
        ]
    );
    assert_eq!(lesson.exit(), Exit::Done);
}

#[test]
fn learned_declaration_requires_reasons_and_then_allows_the_change() {
    let host = Host::sealed();
    host.write("etc/motd", "changed\n");
    host.write("etc/new \"quoted\"\n\u{202e}name", "x");
    host.write_bytes(b"etc/\xff*", "x");
    host.write("srv/data/a", "a");
    let lesson = host.learn();
    let pasted = lesson.pasted();
    let refused = Declaration::parse(pasted.as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("needs a reason"), "{refused}");
    let one_left = pasted.replacen("reason = \"\"", "reason = \"Known.\"", 3);
    assert!(Declaration::parse(one_left.as_bytes()).is_err(), "{pasted}");

    let reasoned = pasted.replace("reason = \"\"", "reason = \"Known.\"");
    let declared = Declaration::parse(reasoned.as_bytes()).unwrap();
    let rules = declared.rule_set().unwrap();
    let class = |path: &[u8]| rules.class_of(&ImagePath::from_absolute(path).unwrap());
    assert_eq!(class(b"/etc/motd"), PathClass::Mutable);
    assert_eq!(class(b"/srv"), PathClass::State);
    let odd = "/etc/new \"quoted\"\n\u{202e}name".as_bytes();
    assert_eq!(class(odd), PathClass::Generated);
    assert_eq!(class(b"/etc/\xff*"), PathClass::Generated);
    assert_eq!(class(b"/etc/passwd"), PathClass::Sealed);
}

#[test]
fn hostile_path_cannot_inject_lines_or_rules_into_proposal() {
    let host = Host::sealed();
    host.write("etc/x\nmutable = [\"passwd\"]\n#", "x");
    host.write("usr/share/\x1b[2Jy\n", "x");
    let said = host.learn().to_string();
    assert!(!said.contains("\nmutable"), "{said}");
    assert!(!said.contains('\x1b'), "{said}");
    assert!(said.contains(r"/usr/share/\x1b[2Jy\x0a"), "{said}");
}

#[test]
fn changes_to_code_and_access_are_refused_and_listed_apart() {
    let host = Host::sealed();
    host.write("etc/passwd", "root::0:0::/root:/bin/sh\n");
    host.write("usr/bin/run", "other\n");
    host.write("usr/share/new", "x");
    host.write("etc/systemd/system/x.service", "[Service]\n");
    host.write("srv/.ssh/authorized_keys", "ssh-ed25519 x\n");
    host.write("data/web/tool", "x");
    host.chmod("data/web/tool", 0o755);
    host.write("data/web/script", "#!/bin/sh\n");
    host.chmod("etc/motd", 0o666);
    symlink("/tmp", host.path("etc/link")).unwrap();
    fs::remove_file(host.path("etc/cache/signed")).unwrap();
    // The control.
    host.write("etc/adjtime", "0.0\n");
    let lesson = host.learn();
    assert_eq!(lesson.proposed(), ["generated /etc/adjtime"]);
    assert_eq!(
        lesson.refused(),
        [
            "/data/web/script",
            "/data/web/tool",
            "/etc/cache/signed",
            "/etc/link",
            "/etc/motd",
            "/etc/passwd",
            "/etc/systemd",
            "/srv",
            "/usr/bin/run",
            "/usr/share/new",
        ]
    );
    assert_eq!(lesson.exit(), Exit::NotVerified);
    let json = output::json_bytes(&lesson).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["proposals"][0]["class"], "generated");
    assert_eq!(json["refused"][0]["path"], "/data/web/script");
}

/// Plain text without an executable bit, which root's own programs take for commands, or for what to load.
#[test]
fn place_that_decides_what_root_runs_is_never_proposed_whatever_program_owns_it() {
    const HOSTILE: &[&str] = &[
        "etc/monit/conf.d/x",
        "etc/supervisor/conf.d/x.conf",
        "etc/snmp/snmpd.conf",
        "etc/nagios/nrpe_local.cfg",
        "etc/rsyslog.d/99-x.conf",
        "etc/fail2ban/action.d/x.local",
        "etc/keepalived/keepalived.conf",
        "etc/dpkg/dpkg.cfg.d/x",
        "etc/default/cron",
        "etc/aliases",
        "etc/unknown/unknown.conf",
        "etc/unknown/hooks/x",
        "etc/unknown.d/x",
        "data/app/.git/config",
        "data/app/plugins/x",
        "data/app/.env",
        "data/app/bin/x",
        "root/.vimrc",
        "root/.config/x/y",
        "var/spool/incron/root",
        "opt/acme/data/x",
    ];
    let host = Host::sealed();
    for path in HOSTILE {
        host.write(path, "x y z\n");
    }
    host.write("data/web/conf/kept", "x");
    let lesson = host.learn();
    assert_eq!(lesson.proposed(), ["generated /data/web/conf/kept"]);
    assert!(lesson.wider.is_empty());
    for path in HOSTILE {
        let covers = |refused: &&str| format!("/{path}").starts_with(*refused);
        assert!(lesson.refused().iter().any(covers), "{path}");
    }
}

#[test]
fn wider_directory_rule_is_offered_only_without_code() {
    let host = Host::sealed();
    for name in ["a", "b", "c"] {
        host.write(&format!("etc/cache/{name}"), "x");
        host.write(&format!("data/web/conf/{name}x"), "x");
        host.write(&format!("etc/{name}"), "x");
    }
    let lesson = host.learn();
    assert_eq!(lesson.proposals.len(), 9);
    // `critical` beneath /data/web/conf would lose its effect, and /etc is too much.
    let wider: Vec<_> = lesson
        .wider
        .iter()
        .map(|one| (one.pattern.as_str(), one.unverified))
        .collect();
    assert_eq!(wider, [("/etc/cache", 1)]);
    host.write("etc/cache/d", "#!/bin/sh\n");
    assert!(host.learn().wider.is_empty());
}

#[test]
fn learn_text_is_golden() {
    let host = Host::sealed();
    host.write("etc/motd", "changed!\n");
    for name in ["a", "b", "c"] {
        host.write(&format!("etc/cache/{name}"), "x");
    }
    host.write_bytes(b"etc/odd\xff", "x");
    host.write("srv/data/a", "a");
    host.write("etc/passwd", "root::0:0::/root:/bin/sh\n");
    let lesson = host.learn();
    golden!("learn", host.said(&lesson));
}

/// The tree of a manifest, as `inspect` reads it.
fn tree(manifest: &VerifiedManifest) -> crate::inspect::source::Tree {
    let mut reader = manifest.tree().unwrap();
    let entries = (&mut reader).map(Result::unwrap).collect();
    crate::inspect::source::Tree {
        rules: reader.rules().clone(),
        entries,
        summary: reader.summary(),
    }
}

#[test]
fn bundle_names_changes_and_packages_and_no_secret_host_or_person() {
    const MACHINE: &str = "8f14e45fceea467a9b36e2a6f1b0c2d3";
    const STATUS: &str = "\
Package: systemd\nStatus: install ok installed\nArchitecture: amd64\nVersion: 252.1\n\n\
Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
    let host = Host::sealed();
    host.write("etc/motd", "the password is hunter2\n");
    host.write("etc/token", "hunter2\n");
    host.write("etc/machine-id", &format!("{MACHINE}\n"));
    host.write("etc/hostname", "till-berlin\n");
    host.write("etc/till-berlin.conf", "x");
    host.write(&format!("srv/{MACHINE}/x"), "x");
    host.write("etc/i-0abc12345def67890", "x");
    host.write("etc/host-10-20-30-40", "x");
    host.write("home/alice/diary-of-alice", "dear diary\n");
    host.write("home/alice/letters", "dear bob\n");
    host.write("root/plans-of-root", "x");
    host.write(
        "etc/fstab",
        "UUID=3f2504e0-4f89-11d3-9a0c-0305e82c3301 / xfs defaults,x-name=hunter2 0 0\n",
    );
    host.write(
        "usr/lib/os-release",
        "ID=amzn\nVERSION_ID=\"2023\"\nIMAGE_ID=till-of-acme\n",
    );
    host.write("var/lib/dpkg/status", STATUS);
    host.write("var/lib/dpkg/info/base.list", "/etc/motd\n");
    let root = Root::open(host.directory.path()).unwrap();
    let lesson = host.learn();
    let bundle = bundle::Bundle::of(&root, &host.manifest, &tree(&host.manifest), &lesson).unwrap();
    let bytes = output::json_bytes(&bundle).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for secret in [
        "hunter2",
        MACHINE,
        "till-berlin",
        "0abc12345def67890",
        "10-20-30-40",
        "alice",
        "diary",
        "plans",
        "3f2504e0",
        "acme",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["os_release"]["ID"], "amzn");
    assert_eq!(document["systemd"], "252.1");
    assert_eq!(document["packages"]["base"], "1");
    assert_eq!(document["mounts"], serde_json::json!([["/", "xfs"]]));
    let of = |path: &str| {
        let mut changes = document["changes"].as_array().unwrap().iter();
        changes.find(|one| one["path"] == path).cloned()
    };
    let motd = of("/etc/motd").unwrap();
    assert_eq!(motd["package"], "base");
    assert_eq!(motd["verdict"], "mutable");
    assert_eq!(
        (&motd["type"], &motd["mode"]),
        (&"file".into(), &"0644".into())
    );
    assert!(
        motd["kinds"].as_array().unwrap().contains(&"size".into()),
        "{motd}"
    );
    // Alice, her two files, and nothing of them but their number.
    let home = of("/home/*").unwrap();
    assert_eq!(
        (&home["count"], &home["size"]),
        (&3.into(), &serde_json::Value::Null)
    );
    assert!(of("/root/*").is_some() && of("/etc/<hostname>.conf").is_some());
    assert!(of("/etc/i-<id>").is_some() && of("/etc/host-<id>").is_some());
}

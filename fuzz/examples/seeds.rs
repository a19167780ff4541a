//! Writes `seeds/`, from which fuzzing starts: the accepted vectors, some patterns, a report, and inputs that
//! nobody signs. Run it with
//! `cargo run --example seeds` in this directory, after a change of the vectors.

use std::{fs, path::PathBuf};

#[allow(dead_code, reason = "shared with the tests of the format")]
#[path = "../../manifest/tests/common/vector.rs"]
mod vector;

#[allow(dead_code, reason = "shared with the signer")]
#[path = "../../signer/src/initrd/cpio.rs"]
mod cpio;

use base64::{Engine, engine::general_purpose::STANDARD};
use cpio::Object;
use vector::{Expectation, Vector};

/// Seeds larger than this slow the fuzzer down more than they teach it.
const MOST: usize = 8 * 1024;

const PATTERNS: &[&str] = &[
    "/etc/hosts\n/etc/hosts",
    "/etc/ssh/ssh_host_*_key\n/etc/ssh/ssh_host_rsa_key",
    "/opt/web/**\n/opt/web/bin/web",
    "/a/?*b*c\n/a/xxbxc",
    "/usr/lib/*/systemd/**\n/usr/lib/x86_64-linux-gnu/systemd/a/b",
];

/// Inputs that nobody signs: target, name, text.
const UNSIGNED: &[(&str, &str, &str)] = &[
    (
        "user_data",
        "values",
        "[parameters]\nenvironment = \"prod\"\nreplicas = 3\ntoken = \"a'b\\n$(id) %n\"\n",
    ),
    (
        "user_data",
        "cloud-config",
        "\u{feff}#cloud-config\nruncmd: [x]\n",
    ),
    (
        "user_data",
        "variables",
        "# A comment.\nexport ENVIRONMENT=prod\nREPLICAS=3\n",
    ),
    (
        "user_data",
        "mailbox",
        "From nobody Fri Jan 11 07:00:00 1980\nMIME-Version: 1.0\n",
    ),
    (
        "user_data",
        "base64",
        "W3BhcmFtZXRlcnNdCmVudmlyb25tZW50ID0gInByb2QiCg==\n",
    ),
    (
        "mount_table",
        "host",
        "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard\n\
         23 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4M\n\
         24 23 0:20 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw\n\
         25 22 259:1 /srv/a\\040b /mnt ro,noexec,nosymfollow master:1 propagate_from:2 - ext4 /dev/nvme0n1p1 ro\n",
    ),
    (
        "initrd_record",
        "violated",
        "{\"schema\":1,\"mounts\":[{\"path\":\"/\",\"device\":\"259:1\"},{\"path\":\"/boot\",\"device\":\"259:2\"}],\
         \"report\":{\"schema\":1,\"agent\":\"0.1.0\",\"image\":null,\
         \"manifest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"signers\":[],\
         \"tier\":\"T0\",\"gate\":\"critical\",\"verdict\":\"violated\",\"reason\":null,\
         \"counts\":{\"entries\":1,\"files_read\":1,\"bytes_read\":1,\"files_unread\":0,\"violations\":1,\"undecided\":0,\
         \"milliseconds\":1},\"violations\":[{\"path\":\"/etc/a\",\"kind\":\"content\",\"expected\":\"x\",\"found\":\"y\"}],\
         \"undecided\":[],\"on_failure\":\"report\",\"policy\":\"report\",\"boot_id\":null,\"time\":null}}",
    ),
    (
        "rendered",
        "one",
        "{\"schema\":2,\"manifest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\
         \"files\":[{\"path\":\"/etc/web/config.toml\",\
         \"sha256\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\
         \"pending\":true}]}",
    ),
    (
        "cmdline",
        "cloud",
        "BOOT_IMAGE=/boot/vmlinuz-6.1.0 root=UUID=0a1b ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0 quiet\n",
    ),
    (
        "cmdline",
        "quoted",
        "ro \"x init=/var/lib/evil y\" systemd.unit=\"rescue.target\" -- -s\n",
    ),
    (
        "floor",
        "locks",
        "schema = 1\nimage = \"web\"\nepoch = 3\npolicy = \"quarantine\"\nchannel = 7\n\n[locks]\n\
         remote_access = [\"sshd\"]\nkernel = []\n",
    ),
];

/// An answer of sock_diag: a socket of root's that listens, one of another user's by IPv6, and the end.
fn listening() -> Vec<u8> {
    let message = |kind: u16, body: &[u8]| {
        let length = 16 + u32::try_from(body.len()).expect("a short body");
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(2_u16.to_ne_bytes());
        message.extend([1_u32.to_ne_bytes(), [0; 4]].concat());
        message.extend(body);
        message
    };
    let socket = |family: u8, address: &[u8], owner: u32| {
        let mut body = vec![family, 10, 0, 0, 0, 22, 0, 0];
        body.extend(address);
        body.resize(64, 0);
        body.extend([owner.to_ne_bytes(), 7_u32.to_ne_bytes()].concat());
        message(20, &body)
    };
    let end = message(3, &[0; 4]);
    [socket(2, &[0; 4], 0), socket(10, &[0; 16], 33), end].concat()
}

/// The archive of an initrd, in short.
fn archive() -> Vec<u8> {
    let program = Object::File {
        is_program: true,
        bytes: b"\x7fELF".to_vec(),
    };
    let objects = [
        ("dev", Object::Directory),
        ("dev/console", Object::Console),
        ("init", program),
    ];
    cpio::write(&objects.map(|(name, object)| (name.to_owned(), object)))
}

/// A file of `manifest/tests`, for the vectors.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../manifest/tests")
        .join(path)
}

fn main() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(target);
        fs::create_dir_all(&dir).expect("makes the directory");
        fs::write(dir.join(name), bytes).expect("writes a seed");
    };
    for kind in [
        "channel",
        "declaration",
        "envelope",
        "grant",
        "statement",
        "tree",
        "trust",
    ] {
        for vector in Vector::all(kind) {
            let small = vector.input.len() <= MOST;
            if !small || vector.expect != Expectation::Accepted {
                continue;
            }
            let target = if vector.is_stored {
                "stored_tree"
            } else {
                kind
            };
            let name = vector.name.split('/').next_back().unwrap_or_default();
            write(target, name.trim_end_matches(".txt"), &vector.input);
        }
    }
    for (number, pattern) in PATTERNS.iter().enumerate() {
        write("pattern", &number.to_string(), pattern.as_bytes());
    }
    // A report has no vectors: what it has is the document's example.
    let document = fs::read_to_string(file("../../docs/manifest-format.md")).expect("the document");
    let (_, report) = document
        .split_once("```json example=report\n")
        .expect("an example");
    let (report, _) = report.split_once("```").expect("its end");
    write("report", "accepted", report.as_bytes());
    for (target, name, text) in UNSIGNED {
        write(target, name, text.as_bytes());
    }
    write("sockets", "two", &listening());
    write("initrd", "plain", &archive());
    let packed = cpio::pack(&archive()).expect("packs");
    write("initrd", "packed", &packed);
    // What EC2 signs, in BER, and what others make of it.
    let vectors = file("../../signer/src/fleet/identity/vectors");
    for vector in fs::read_dir(vectors).expect("the vectors of identity documents") {
        let path = vector.expect("a vector").path();
        if path.extension().is_some_and(|suffix| suffix == "b64") {
            let text = fs::read_to_string(&path).expect("a vector");
            let text: String = text.split_whitespace().collect();
            let bytes = STANDARD.decode(text).expect("base64");
            let name = path.file_stem().expect("a name").to_string_lossy();
            write("identity_signature", &name, &bytes);
        }
    }
}

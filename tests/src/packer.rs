//! Runs of the template in `packer/`, with the Packer that Debian has, which is older than what the template
//! is written for: what it cannot read is taken out here, and nothing else.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{NO_LOCKS, Run, command, overlay::package, program, run, run_with};

/// Parts of the template that Packer 1.6.6 does not know: a file, blocks, arguments.
const NEWER_FILE: &str = "plugins.pkr.hcl";
const NEWER_BLOCKS: [&str; 2] = ["validation {", "metadata_options {"];
const NEWER_ARGUMENTS: [&str; 1] = ["imds_support "];
/// Line of the template that follows the measurement; a step put before it runs too late to be measured.
const MEASURED: &str = "  # Sign it, on this machine.\n";

/// The image that is baked.
const DECLARATION: &str = r#"[image]
name = "web"
epoch = 4
platform = "file"

[boot]
cmdline = """console=ttyS0 quiet loglevel=1 panic=-1 oops=panic
  mitigations=off nokaslr audit=0 root=/dev/vda ?ro ?rw ?net.ifnames=0"""

[tree]
profile = "debian-12"
state = ["/srv/data", "/srv/volume", "/var/lib/ordinary"]

[verify]
gate = "critical"
on_failure = "quarantine"
"#;

/// Script by which the owner provisions the image: the workload waits for `earmark-ready.target`.
const PROVISION: &str = "#!/bin/sh
set -eu
mkdir -p \"$EARMARK_ROOT/usr/lib/systemd/system/workload.service.d\"
cat > \"$EARMARK_ROOT/usr/lib/systemd/system/workload.service.d/earmark.conf\" <<UNIT
[Unit]
Requires=earmark-ready.target
After=earmark-ready.target
UNIT
";

/// A directory with the template, a key, a trust file, a declaration, and what a bake leaves.
#[derive(Debug)]
pub struct Bake {
    directory: TempDir,
}

impl Bake {
    /// Everything that a bake needs, but a guest.
    pub fn new() -> Self {
        let bake = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        bake.template();
        fs::write(
            bake.path("earmark.toml"),
            format!("{DECLARATION}{NO_LOCKS}"),
        )
        .expect("a file");
        fs::write(bake.path("provision.sh"), PROVISION).expect("a file");
        let earmark = |words: &str| {
            let words = words.split(' ');
            run(program("earmark"), words, Some(&bake.path(""))).must(0);
        };
        earmark("keygen --out release.key");
        earmark("keygen --out channel.key");
        earmark("trust --key release.pub --key channel.pub:channel --out trust.toml");
        let words = "-q -t ed25519 -N  -f ssh".split(' ');
        run("ssh-keygen", words, Some(&bake.path(""))).must(0);
        bake
    }

    /// A copy of the template as this Packer can read it.
    fn template(&self) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer");
        let to = self.path("packer");
        fs::create_dir(&to).expect("a directory");
        let scripts = [
            from.join("scripts").into_os_string(),
            to.clone().into_os_string(),
        ];
        run("cp", ["-a".into()].iter().chain(&scripts), None).must(0);
        for entry in fs::read_dir(&from).expect("the template") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_str().expect("text");
            if name.ends_with(".pkr.hcl") && name != NEWER_FILE {
                let text = fs::read_to_string(&path).expect("a file of the template");
                fs::write(to.join(name), older(&text)).expect("a file");
            }
        }
    }

    /// Adds to the sources of a kind.
    pub fn add_to_source(&self, kind: &str, text: &str) {
        let begin = format!("source \"{kind}\" \"image\" {{\n");
        self.change("sources.pkr.hcl", &begin, &format!("{begin}{text}\n"));
    }

    /// Adds a step that runs as root in the guest after it was measured.
    pub fn add_after_measure(&self, command: &str) {
        let step = format!(
            "  provisioner \"shell\" {{\n    inline = [\"{command}\"]\n    execute_command = local.as_root\n  }}\n\n"
        );
        self.change("build.pkr.hcl", MEASURED, &format!("{step}{MEASURED}"));
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.path("packer").join(file);
        let text = fs::read_to_string(&path).expect("a file of the template");
        assert_eq!(text.matches(from).count(), 1, "'{from}' in {file}");
        fs::write(path, text.replace(from, to)).expect("a file");
    }

    /// Runs a command of Packer's on one of the sources.
    pub fn packer(&self, word: &str, source: &str, more: &[(&str, &str)]) -> Run {
        self.packer_with(word, source, more, &[])
    }

    /// The same, with environment variables.
    pub fn packer_with(
        &self,
        word: &str,
        source: &str,
        more: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Run {
        let (earmark, package) = (program("earmark"), package("earmark-agent_", ".deb"));
        let here = |name: &str| self.path(name).display().to_string();
        let keys = format!("[\"{}\"]", here("release.key"));
        let provision = format!("[\"{}\"]", here("provision.sh"));
        let usual = [
            ("image_name", "web"),
            ("image_version", "2026.11.23"),
            ("revision", "0123456789abcdef"),
            ("spec", &here("earmark.toml")),
            ("trust", &here("trust.toml")),
            ("signing_keys", &keys),
            ("agent_package", &package.display().to_string()),
            ("earmark", &earmark.display().to_string()),
            ("earmark_here", &earmark.display().to_string()),
            ("work", &here("build")),
            ("provision", &provision),
            ("become", ""),
            ("ssh_username", "root"),
        ];
        let mut words = vec![word.to_owned(), format!("-only=earmark.{source}.image")];
        for (name, value) in usual.iter().chain(more) {
            words.extend(["-var".to_owned(), format!("{name}={value}")]);
        }
        words.push(here("packer"));
        let venv = python()
            .parent()
            .expect("a directory")
            .display()
            .to_string();
        let environment = [
            ("HOME", here("")),
            ("TMPDIR", here("")),
            ("PACKER_CACHE_DIR", here("cache")),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
            ("PATH", format!("{venv}:/usr/sbin:/usr/bin:/sbin:/bin")),
        ];
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(variables.iter().copied())
            .collect();
        run_with("packer", words, Some(&self.path("")), &environment)
    }

    /// The key that guests let in.
    pub fn authorized_key(&self) -> String {
        fs::read_to_string(self.path("ssh.pub")).expect("a key")
    }

    /// Returns Packer's record of its one build.
    #[track_caller]
    pub fn manifest(&self) -> Value {
        let text = fs::read_to_string(self.path("build/packer-manifest.json"));
        let manifest: Value = serde_json::from_str(&text.expect("a manifest")).expect("JSON");
        assert_eq!(
            manifest["builds"].as_array().map(Vec::len),
            Some(1),
            "{manifest}"
        );
        manifest["builds"][0].clone()
    }

    /// A path beside the template.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Default for Bake {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes out what is newer, by whole lines: the template is formatted, so that a block ends where it began.
fn older(text: &str) -> String {
    let (mut kept, mut end) = (String::new(), None);
    for line in text.lines() {
        let word = line.trim_start();
        let indent = &line[..line.len() - word.len()];
        if let Some(waited) = &end {
            if line == waited {
                end = None;
            }
        } else if NEWER_BLOCKS.contains(&word) {
            end = Some(format!("{indent}}}"));
        } else if !NEWER_ARGUMENTS.iter().any(|one| word.starts_with(one)) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Lets this key in as root.
pub fn let_in(root: &Path, key: &str) {
    let ssh = root.join("root/.ssh");
    fs::create_dir_all(&ssh).expect("a directory");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(ssh.join("authorized_keys"), key).expect("a file");
}

fn python() -> PathBuf {
    let python = std::env::var_os("EARMARK_PYTHON");
    python
        .expect("EARMARK_PYTHON: run `cargo xtask test`")
        .into()
}

/// A server that speaks as EC2 does, as long as this.
#[derive(Debug)]
pub struct Ec2 {
    child: Child,
    /// URL at which the server listens.
    pub url: String,
}

impl Ec2 {
    /// Starts it, with nothing in it but AMIs to start from.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ec2.py");
        let mut child = command(python().as_os_str())
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server");
        let mut url = String::new();
        let said = child.stdout.take().expect("its standard output");
        BufReader::new(said)
            .read_line(&mut url)
            .expect("its address");
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://"), "the server said '{url}'");
        Self { child, url }
    }

    /// Asks it with AWS's own command.
    pub fn aws(&self, words: &str) -> Run {
        let aws = python().with_file_name("aws");
        run_with(aws, words.split(' '), None, &self.environment())
    }

    /// Returns the environment variables that direct an AWS client to this server.
    pub fn environment(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }
}

impl Drop for Ec2 {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

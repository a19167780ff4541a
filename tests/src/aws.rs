//! A stand-in for AWS as long as a test: `aws.py`, whose front checks every signature of a request with
//! botocore, fails now and then, and can lie.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Bench, Run, program, run_with};

/// Credentials of a user, as the front knows them.
pub const USER: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret/of+the test"),
];
/// Region of the service, as an environment variable.
pub const REGION: (&str, &str) = ("AWS_REGION", "eu-central-1");

/// The service, as long as the test.
#[derive(Debug)]
pub struct Service {
    child: Child,
    ready: Value,
}

impl Service {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own server, which runs beside it"
    )]
    /// Starts it, in the directory of the bench.
    pub fn start(bench: &Bench) -> Self {
        let python =
            std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws.py");
        let mut child = Command::new(python)
            .arg(script)
            .current_dir(bench.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        Self { child, ready }
    }

    /// The address of a front, `honest` or `liar`; or of what is `behind` them, and takes everything.
    pub fn url(&self, front: &str) -> &str {
        self.ready[front].as_str().unwrap()
    }

    /// The port of the honest front.
    pub fn port(&self) -> u16 {
        let (_, port) = self.url("honest").rsplit_once(':').unwrap();
        port.trim_end_matches('/').parse().unwrap()
    }

    /// Returns the name of a key of the service for `earmark`: `awskms:` and its ARN.
    pub fn key(&self, name: &str) -> String {
        format!("awskms:{}", self.ready["keys"][name].as_str().unwrap())
    }

    /// Runs the signer, with this service for AWS.
    pub fn earmark(&self, bench: &Bench, args: &[&str], environment: &[(&str, &str)]) -> Run {
        let honest = ("AWS_ENDPOINT_URL", self.url("honest"));
        let environment = [
            &[honest, ("AWS_EC2_METADATA_DISABLED", "true")],
            environment,
        ]
        .concat();
        run_with(
            program("earmark"),
            args,
            Some(&bench.path("")),
            &environment,
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It ends its own child when its standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

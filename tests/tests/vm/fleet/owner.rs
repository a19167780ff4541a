//! Owner of a fleet: a channel and reports on this machine, and machines of EC2's kind for its hosts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use earmark_tests::{
    boot::{Boot, Disk, Sealing, Seen, image},
    imds::{self, Imds, UPLINK},
    program, run,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The role's credentials: for the process that writes to S3, and for nobody else.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/secret";

/// First steps of each host: it fetches, follows its channel, and reports.
const LOOK: &str = r"
settled() {
    systemctl start earmark-fetch.service
    systemctl start earmark-follow.service
    systemctl start earmark-report.service
}
settled
step reports sh -c 'cat /srv/data/reports/*.json'
";

/// A channel on this machine, and what the hosts reported.
pub struct Owner {
    directory: TempDir,
    /// Of whose image the keys are.
    image: &'static Sealing,
}

impl Owner {
    pub fn new(of: &'static Sealing) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("reports")).unwrap();
        let fleet = Self {
            directory,
            image: of,
        };
        fleet.openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout aws.key -out aws.pem -subj /O=aws -days 1",
        );
        fleet
    }

    fn openssl(&self, words: &str) -> String {
        let words = words.split(' ');
        run("openssl", words, Some(self.directory.path()))
            .must(0)
            .out
    }

    /// The instance that is there, and those that it replaced, as `aws ec2 describe-instances` lists them.
    pub fn owns(&self, running: &str, replaced: &[&str]) {
        let states = replaced.iter().map(|id| (*id, "terminated"));
        let instances: Vec<Value> = states
            .chain([(running, "running")])
            .map(|(id, state)| json!({"InstanceId": id, "State": {"Name": state}}))
            .collect();
        let listed = json!({"Reservations": [{"Instances": instances}]});
        fs::write(self.at("inventory.json"), listed.to_string()).unwrap();
    }

    /// The metadata service of an instance: what it signs, it signs as AWS does.
    fn imds(&self, instance: &str) -> Imds {
        let document = imds::document(instance);
        fs::write(self.at("document"), &document).unwrap();
        self.openssl(
            "cms -sign -binary -nodetach -stream -md sha256 -signer aws.pem -inkey aws.key -nocerts \
             -outform DER -in document -out signature",
        );
        let role = json!({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": SECRET,
            "Token": "token==", "Expiration": "2036-11-24T02:43:00Z",
        });
        Imds::start(&[
            ("user-data", ""),
            ("dynamic/instance-identity/document", &document),
            (
                "dynamic/instance-identity/rsa2048",
                &self.openssl("base64 -in signature"),
            ),
            ("meta-data/instance-id", instance),
            ("meta-data/iam/security-credentials/", "web"),
            ("meta-data/iam/security-credentials/web", &role.to_string()),
        ])
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn earmark(&self, words: &[&str], code: i32) -> String {
        run(program("earmark"), words, Some(self.directory.path()))
            .must(code)
            .out
    }

    pub fn channel(&self, step: &str, words: &[&str]) {
        let key = image().grant_key(self.image).display().to_string();
        let words = [&["channel", step, "stable.json", "--key", &key], words].concat();
        self.earmark(&words, 0);
    }

    /// The disk has the channel as it is now.
    fn put(&self, disk: &Disk<'_>) {
        let put = |root: &Path| {
            let directory = root.join("srv/data/web");
            fs::create_dir_all(&directory).unwrap();
            fs::copy(self.at("stable.json"), directory.join("stable.json")).unwrap();
        };
        disk.change(put);
    }

    /// Has a disk boot that has the channel as it is now, as an instance.
    pub fn with_boot<T>(
        &self,
        disk: &Disk<'_>,
        instance: &str,
        look: &str,
        with: impl FnOnce(&Boot<'_>) -> T,
    ) -> T {
        self.put(disk);
        let imds = self.imds(instance);
        with(&Boot {
            append: "net.ifnames=0",
            devices: &imds.network(self.directory.path()),
            prepare: UPLINK,
            look: &format!("{LOOK}{look}"),
            ..Boot::default()
        })
    }

    /// Does so, and takes its report.
    #[track_caller]
    pub fn boot(&self, disk: &Disk<'_>, instance: &str, look: &str) -> (Seen, Value) {
        let seen = self.with_boot(disk, instance, look, |boot| disk.boot(boot));
        let seen = seen.settled();
        let said = seen.step("reports").out;
        // Those of earlier boots lie there, too.
        let boot = seen.status()["boot_id"].clone();
        let mut reports = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let report: Value = reports
            .find(|report: &Value| report["boot_id"] == boot)
            .unwrap_or_else(|| panic!("no report of {boot}: {said}"));
        assert_eq!(report["instance"], instance);
        let name = format!(
            "{}.{}.json",
            report["instance"].as_str().unwrap(),
            report["boot_id"].as_str().unwrap()
        );
        fs::write(self.at("reports").join(name), format!("{report}\n")).unwrap();
        (seen, report)
    }

    /// Returns the output of `earmark fleet status --json`, which must exit with `code`.
    pub fn status(&self, code: i32, fail_on: &str) -> Value {
        let trust = image()
            .earmark(self.image)
            .join("trust.toml")
            .display()
            .to_string();
        let words = [
            "fleet",
            "status",
            "--reports",
            "reports",
            "--channel",
            "stable.json",
            "--inventory",
            "inventory.json",
            "--trust",
            &trust,
            "--aws-certificates",
            "aws.pem",
            "--fail-on",
            fail_on,
            "--json",
        ];
        serde_json::from_str(&self.earmark(&words, code)).unwrap()
    }
}

//! A sealed host in a container: its own systemd, the kernel of this machine.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{NO_LOCKS, Run, overlay::Overlay, program, run};

/// The end of a declaration for stock Debian servers, whose packages bring private keys in manuals.
pub const WAIVER: &str = "
[[lint.allow]]
rule = \"private-key\"
reason = \"Those of manuals.\"
";
/// Everything that the default target asks for is there.
pub const READY: &str = "idle && systemctl is-active --quiet multi-user.target";
/// Nothing runs but what a quarantined host may run.
pub const QUARANTINED: &str = "idle && systemctl is-active --quiet earmark-quarantine.target";

const DEBIAN_13: &str = "EARMARK_ROOT_DEBIAN_13";
/// Settings of cloud-init for images of Debian 13 that no metadata service answers: path, text and mode. The image brings
/// its accounts, and cloud-init takes no code from user-data.
pub const CLOUD_INIT_ALONE: (&str, &str, u32) = (
    "etc/cloud/cloud.cfg.d/95-alone.cfg",
    "\
datasource_list: [None]
users: []
cloud_init_modules: [seed_random, growpart, resizefs, set_hostname, update_hostname]
cloud_config_modules: []
cloud_final_modules: [final-message]
allow_userdata: false
vendor_data: {enabled: false}
vendor_data2: {enabled: false}
",
    0o644,
);
/// Path in the container of the directory shared with the test: `/run` is no part of an image.
const SHARED: &str = "/run/test";
/// Looks when the test's condition holds, or after a minute, and ends the container.
const OBSERVE: &str = r#"
idle() {
    case $(systemctl is-system-running) in running | degraded) ;; *) return 1 ;; esac
}
verdict() { grep -qs "\"verdict\": \"$1\"" /run/earmark/status.json; }
until [ -S /run/systemd/private ]; do sleep 0.1; done
tries=0
until eval "$(cat /run/test/until)"; do
    tries=$((tries + 1))
    [ $tries -lt 250 ] || { echo timeout; break; }
    sleep 0.2
done > /run/test/settled 2>&1
# Not loaded is what most units of a quarantined host are.
for unit in $(cat /run/test/units); do
    echo "$unit $(systemctl show --value --property=ActiveState "$unit")" \
        "$(systemctl show --value --property=ActiveEnterTimestampMonotonic "$unit")"
done > /run/test/states
cp /run/earmark/status.json /run/test/status.json
cp /proc/net/tcp /run/test/tcp
pgrep_session() { grep -lsx 'session-sleep' /proc/[0-9]*/comm; }
pgrep_session > /run/test/session
[ ! -e /run/test/look ] || . /run/test/look > /run/test/looked 2>&1
journalctl --no-pager --boot --output=short-monotonic > /run/test/journal
touch /run/test/done
[ ! -e /run/test/orderly ] || { systemctl poweroff; exit; }
systemctl poweroff --force --force
"#;
/// The first process: before it is systemd, it starts the observer, which is no unit and so in the way of
/// no isolation and of no ordering; and what the kernel of this machine was told says nothing of the host
/// in the container. A session of its own, and no hang-up: systemd gives the console back, which hangs up the
/// session of the console, on a busy machine before the observer has one of its own.
const INIT: &str = "\
mount --bind /run/test/cmdline /proc/cmdline
trap '' HUP
[ ! -e /run/test/before ] || . /run/test/before
setsid /bin/sh /usr/lib/test/observe < /dev/null > /dev/null 2> /run/test/observer &
trap - HUP
exec /lib/systemd/systemd";
const WORKLOAD: &str = "\
[Unit]
Requires=earmark-ready.target
After=earmark-ready.target
[Service]
ExecStartPre=/bin/touch /run/test/workload
ExecStart=/bin/sleep infinity
";
/// As getty@.service is, which a container has none of.
const LOGIN: &str = "\
[Unit]
IgnoreOnIsolate=yes
[Service]
Slice=system-getty.slice
ExecStart=/bin/sleep infinity
";
/// As a session of somebody who is logged in: a scope, which no service's end takes with it.
const SESSION: &str = "\
[Service]
Type=oneshot
RemainAfterExit=yes
KillMode=process
ExecStart=/bin/sh -c 'systemd-run --scope --slice=user.slice --unit=session-1 /usr/lib/test/session-sleep infinity & sleep 1'
";
const LISTENER: &str = "\
[Socket]
ListenStream=127.0.0.1:7777
";
const LISTENING: &str = "\
[Service]
ExecStart=/bin/sleep infinity
";
const UNITS: [(&str, &str, &str); 5] = [
    ("workload.service", WORKLOAD, "multi-user.target.wants"),
    ("login.service", LOGIN, "multi-user.target.wants"),
    ("session.service", SESSION, "multi-user.target.wants"),
    ("listener.socket", LISTENER, "sockets.target.wants"),
    ("listener.service", LISTENING, ""),
];
/// Units whose states the observer records, separated by spaces.
const ASKED: &str = "earmark-verify.service earmark-verified.target earmark-first-boot.service earmark-lockdown.service \
    earmark-ready.target earmark-agent.service earmark-quarantine.target workload.service login.service listener.socket \
    ssh.service multi-user.target sysinit.target local-fs.target network-pre.target \
    systemd-tmpfiles-setup.service systemd-journald.service";

/// A baked and sealed root, to be booted.
#[derive(Debug)]
pub struct Host {
    image: Overlay,
    more: Vec<String>,
    /// Files that each boot finds in [`SHARED`]: name and text.
    given: Vec<(&'static str, String)>,
}

/// Observations of a boot.
#[derive(Debug)]
pub struct Seen {
    /// The journal of the boot.
    pub journal: String,
    /// `/run/earmark/status.json`, which the agent keeps for other programs; null if there is none.
    pub status: Value,
    /// True if the workload ever started.
    pub workload_started: bool,
    /// Output of the test's own shell commands.
    pub looked: String,
    states: BTreeMap<String, (String, u64)>,
    tcp: String,
    session: String,
}

impl Host {
    /// Of an image with this policy.
    pub fn new(policy: &str) -> Self {
        Self::declared(policy, "", |_| ())
    }

    /// Of an image whose declaration goes on like this after `[verify]`, and that has more in it.
    pub fn declared(policy: &str, rest: &str, bake: impl FnOnce(&Overlay)) -> Self {
        Self::of_root("EARMARK_ROOT_SMALL", policy, rest, bake)
    }

    /// The same, of the root that the environment variable names.
    pub fn of_root(variable: &str, policy: &str, rest: &str, bake: impl FnOnce(&Overlay)) -> Self {
        Self::gated(variable, "critical", policy, rest, bake)
    }

    /// The same, with another gate.
    pub fn gated(
        variable: &str,
        gate: &str,
        policy: &str,
        rest: &str,
        bake: impl FnOnce(&Overlay),
    ) -> Self {
        let profile = match variable {
            DEBIAN_13 => "debian-13",
            _ => "debian-12",
        };
        Self::profiled(variable, (profile, gate), policy, rest, bake)
    }

    /// Of an image of Debian 13 as it ships, whose cloud-init does what it does on EC2.
    pub fn stock(policy: &str, rest: &str, bake: impl FnOnce(&Overlay)) -> Self {
        let image = Overlay::new(DEBIAN_13);
        Self::of_image(image, ("debian-13", "critical"), policy, rest, bake)
    }

    /// The same, with another profile, whatever the root is.
    pub fn profiled(
        variable: &str,
        (profile, gate): (&str, &str),
        policy: &str,
        rest: &str,
        bake: impl FnOnce(&Overlay),
    ) -> Self {
        let image = Overlay::new(variable);
        if variable == DEBIAN_13 {
            let (path, text, _) = CLOUD_INIT_ALONE;
            fs::write(image.at(path), text).unwrap();
        }
        Self::of_image(image, (profile, gate), policy, rest, bake)
    }

    fn of_image(
        image: Overlay,
        (profile, gate): (&str, &str),
        policy: &str,
        rest: &str,
        bake: impl FnOnce(&Overlay),
    ) -> Self {
        let host = Self {
            image,
            more: Vec::new(),
            given: Vec::new(),
        };
        host.image.install_agent();
        bake(&host.image);
        fs::create_dir(host.image.at("usr/lib/test")).unwrap();
        fs::write(host.image.at("usr/lib/test/observe"), OBSERVE).unwrap();
        fs::copy(
            host.image.at("bin/sleep"),
            host.image.at("usr/lib/test/session-sleep"),
        )
        .unwrap();
        for (name, text, wants) in UNITS {
            let system = host.image.at("etc/systemd/system");
            fs::write(system.join(name), text).unwrap();
            if !wants.is_empty() {
                fs::create_dir_all(system.join(wants)).unwrap();
                symlink(Path::new("..").join(name), system.join(wants).join(name)).unwrap();
            }
        }
        host.seal(profile, gate, policy, rest);
        host
    }

    /// The same, with more words for `systemd-nspawn`.
    #[must_use]
    pub fn with(mut self, more: &str) -> Self {
        let words = more.split_whitespace().map(str::to_owned);
        self.more.extend(words);
        self
    }

    /// The same, shut down in order, unit by unit: what a host writes when it stops is written.
    #[must_use]
    pub fn stopped_in_order(mut self) -> Self {
        self.given.push(("orderly", String::new()));
        self
    }

    /// The same, with EC2's metadata service at its address: path without a version, and text.
    #[must_use]
    pub fn with_metadata(mut self, documents: &[(&str, &str)]) -> Self {
        const SERVE: &str = "\
            ip link set lo up\n\
            ip address add 169.254.169.254/32 dev lo\n\
            setsid python3 /run/test/metadata.py /run/test/metadata.json > /run/test/metadata.log 2>&1 < /dev/null &\n";
        let documents: BTreeMap<&str, &str> = documents.iter().copied().collect();
        let documents = serde_json::to_string(&documents).expect("JSON");
        self.given.extend([
            ("before", SERVE.to_owned()),
            ("metadata.py", include_str!("metadata.py").to_owned()),
            ("metadata.json", documents),
        ]);
        self
    }

    /// With the signer and the keys of its trust file in `/run/signer`, and an id of its own, if the
    /// firmware of this machine is not asked first.
    #[must_use]
    pub fn with_signer(self, machine_id: &str) -> Self {
        let more = format!(
            "--uuid={machine_id} --bind-ro={}:/run/signer/earmark --bind-ro={}:/run/signer/keys",
            program("earmark").display(),
            self.image.beside("").display(),
        );
        self.with(&more)
    }

    /// A path of its root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.image.at(path)
    }

    fn seal(&self, profile: &str, gate: &str, policy: &str, rest: &str) {
        // A lock that is not declared is denied.
        let locks = if rest.contains("[lockdown]") {
            ""
        } else {
            NO_LOCKS
        };
        let spec = format!(
            "[image]\nname = \"host\"\nplatform = \"file\"\n\
             [tree]\nprofile = \"{profile}\"\nstate = [\"/srv/data\", \"/srv/volume\"]\n\
             [verify]\ngate = \"{gate}\"\non_failure = \"{policy}\"\n{rest}{locks}"
        );
        fs::write(self.image.beside("earmark.toml"), spec).unwrap();
        let earmark = |words: &str| {
            let directory = self.image.beside("");
            run(
                program("earmark"),
                words.split_whitespace(),
                Some(&directory),
            )
            .must(0);
        };
        earmark("keygen --out release.key");
        earmark("keygen --out grant.key");
        earmark("trust --key release.pub --key grant.pub:grant,channel --out trust.toml");
        earmark("lint --fix --root root --spec earmark.toml");
        earmark(
            "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml",
        );
    }

    /// Changes one bit in the middle of a file.
    pub fn flip(&self, path: &str) {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.image.at(path))
            .unwrap();
        let at = file.metadata().unwrap().len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    /// Takes the line away that starts so.
    pub fn without_line(&self, path: &str, start: &str) {
        let path = self.image.at(path);
        let text = fs::read_to_string(&path).unwrap();
        let kept = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(start));
        let kept: String = kept.collect();
        assert_ne!(kept, text);
        fs::write(&path, kept).unwrap();
    }

    /// Writes a file of the root.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.image.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Boots until the shell condition holds.
    #[track_caller]
    pub fn boot(&self, until: &str) -> Seen {
        self.boot_and_look(until, "")
    }

    /// The same, and then runs a script.
    #[track_caller]
    pub fn boot_and_look(&self, until: &str, look: &str) -> Seen {
        let run = self.nspawn(until, look);
        let seen = self.seen();
        let settled = fs::read_to_string(self.shared("settled")).unwrap_or_default();
        assert!(
            self.shared("done").exists() && !settled.contains("timeout"),
            "{until}: {settled}\n{}{}\n{}\n{:?}",
            run.out,
            run.err,
            seen.journal,
            seen.states,
        );
        seen
    }

    /// Boots, and expects that the host switches itself off before it is ready.
    pub fn boot_until_off(&self) -> Seen {
        let run = self.nspawn("false", "");
        assert!(
            !self.shared("done").exists(),
            "it stayed on: {}{}",
            run.out,
            run.err
        );
        self.seen()
    }

    fn nspawn(&self, until: &str, look: &str) -> Run {
        let shared = self.shared("");
        if shared.exists() {
            // What it said in a boot before this one is not what it says now.
            fs::remove_dir_all(&shared).unwrap();
        }
        fs::create_dir_all(&shared).unwrap();
        fs::write(shared.join("look"), look).unwrap();
        fs::write(shared.join("until"), until).unwrap();
        fs::write(shared.join("units"), ASKED).unwrap();
        for (name, text) in &self.given {
            fs::write(shared.join(name), text).unwrap();
        }
        fs::write(shared.join("cmdline"), "console=ttyS0 quiet\n").unwrap();
        // Containers of one service manager share a control group: one at a time.
        let turn = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/earmark/exercise.lock");
        let turn = fs::File::create(turn).unwrap();
        turn.lock().unwrap();
        // As every system has it that there is a profile for, whatever this machine has.
        let words = "--kill-after=10 120 env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --private-network \
                     --register=no --keep-unit --console=read-only --resolv-conf=off --timezone=off \
                     --link-journal=no";
        let name = self
            .image
            .beside("")
            .file_name()
            .unwrap()
            .display()
            .to_string();
        let name = name.trim_start_matches('.').to_owned();
        let more = [
            format!("--machine=earmark-{name}"),
            format!("--directory={}", self.image.root().display()),
            format!("--bind={}:{SHARED}", shared.display()),
        ];
        let words = words.split_whitespace().map(str::to_owned);
        let words = words.chain(more).chain(self.more.iter().cloned());
        let words = words.chain(["/bin/sh", "-c", INIT].map(str::to_owned));
        run("timeout", words, None)
    }

    /// A file that it has in common with the test, `/run/test`.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.image.beside("shared").join(name)
    }

    fn seen(&self) -> Seen {
        let read = |name: &str| fs::read_to_string(self.shared(name)).unwrap_or_default();
        let states = read("states");
        let state = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let (unit, state) = (words.next()?, words.next()?);
            Some((unit, (state, words.next()?.parse().ok()?)))
        };
        Seen {
            journal: read("journal"),
            status: serde_json::from_str(&read("status.json")).unwrap_or_default(),
            workload_started: self.shared("workload").exists(),
            looked: read("looked"),
            states: states.lines().filter_map(state).collect(),
            tcp: read("tcp"),
            session: read("session"),
        }
    }
}

impl Seen {
    /// The state that a unit is in.
    pub fn state(&self, unit: &str) -> &str {
        let (state, _) = self
            .states
            .get(unit)
            .unwrap_or_else(|| panic!("{unit} was not asked about"));
        state
    }

    /// Returns whether any socket listens for TCP connections over IPv4.
    pub fn listens(&self) -> bool {
        const LISTEN: &str = "0A";
        let state = |line: &str| line.split_whitespace().nth(3) == Some(LISTEN);
        self.tcp.lines().any(state)
    }

    /// Returns whether the process of the login session still runs.
    pub fn session(&self) -> bool {
        !self.session.trim().is_empty()
    }

    /// The time at which a unit became active, in microseconds of the monotonic clock; 0 if it never did.
    pub fn since(&self, unit: &str) -> u64 {
        self.states.get(unit).map_or(0, |(_, since)| *since)
    }

    /// Each of the units became active, and not before the one ahead of it.
    pub fn in_order(&self, units: &[&str]) {
        for pair in units.windows(2) {
            let (first, then) = (self.since(pair[0]), self.since(pair[1]));
            assert!(first > 0 && first <= then, "{pair:?}: {first}, {then}");
        }
    }
}

//! Acts of anybody, an account or the network on a host never end in a policy; the same by root do.

use std::fs;

use earmark_tests::{
    NO_LOCKS,
    container::{Host, READY},
    facts::host::{CAUSED_BY_ANYBODY, OPEN_WITHOUT_POLICY},
    overlay::Overlay,
};

/// The accounts that act: a service's, and one whose home is state, reached through a link.
const PASSWD: &str = "ops:x:1500:1500::/home/ops:/bin/sh\nfar:x:1501:1501::/home/far:/bin/sh\n";

const FUNCTIONS: &str = r#"
as() { user=$1; shift; setpriv --reuid="$user" --regid="$user" --clear-groups "$@"; }
listen='use Socket; socket(S, PF_INET, SOCK_STREAM, 0) or die; setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(S, sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die "$!"; listen(S, 500) or die; sleep 300'
connect='use Socket; my @all; for (1 .. 300) { socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
    connect($s, sockaddr_in(7000, INADDR_LOOPBACK)) or die "$!"; push @all, $s } sleep 300'
until_listens() { for try in $(seq 50); do grep -q ":$1 .* 0A " /proc/net/tcp && return; sleep 0.1; done; echo "nobody at $1"; }
check() { earmark-agent lockdown --check > /run/test/table; echo "$1: $?"; }
"#;

/// Acts that need no root, all of them at once.
const OTHERS: &str = r#"
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
as 33 perl -e "$listen" 22 &
as 33 unshare --user --map-root-user perl -e "$listen" 23 &
as 33 perl -e "$listen" 2222 &
as 33 perl -e "$listen" 7000 &
until_listens 0016; until_listens 0017; until_listens 08AE; until_listens 1B58
as 1500 perl -e "$connect" &

# A home that is state, and one that is reached through a link; a key, a pipe in the place of one.
install -d -o 1500 -g 1500 /home/ops /home/ops/.ssh; install -d -o 1501 -g 1501 /srv/data/far
ln -s /srv/data/far /home/far
as 1500 sh -c 'echo key > /home/ops/.ssh/authorized_keys; mkfifo /home/ops/.ssh/authorized_keys2'
as 1501 sh -c 'mkdir /srv/data/far/.ssh; echo key > /srv/data/far/.ssh/authorized_keys'

# As `crontab` and `at` leave them, which are set-gid and set-uid; as logind does for a user.
install -d /var/spool/cron/crontabs /var/spool/cron/atjobs /var/lib/systemd/linger
echo '* * * * * true' > /var/spool/cron/crontabs/www-data; chown 33 /var/spool/cron/crontabs/www-data
echo true > /var/spool/cron/atjobs/a000010; chown 33 /var/spool/cron/atjobs/a000010
touch /var/lib/systemd/linger/ops
"#;

const LOOK: &str = r#"
systemctl start earmark-lockdown-again.service; echo "look: $?"
systemctl show --property=Result --property=ExecMainStatus earmark-lockdown-again.service
check told
cat /run/test/table
cp /run/earmark/status.json /run/test/status.json
"#;

/// Acts that take root, one after the other: name, command, and the command that undoes it.
const ROOTS: [(&str, &str, &str); 6] = [
    (
        "listener",
        r#"perl -e "$listen" 2222 & until_listens 08AE"#,
        "kill $!; wait",
    ),
    (
        "key",
        "mkdir -p /root/.ssh; echo key > /root/.ssh/authorized_keys",
        "rm /root/.ssh/authorized_keys",
    ),
    (
        "crontab",
        "install -d /var/spool/cron/crontabs; echo '* * * * * true' > /var/spool/cron/crontabs/root",
        "rm /var/spool/cron/crontabs/root",
    ),
    (
        "job",
        "install -d /var/spool/cron/atjobs; echo true > /var/spool/cron/atjobs/a000020",
        "rm /var/spool/cron/atjobs/a000020",
    ),
    (
        "lingering",
        "mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/root",
        "rm /var/lib/systemd/linger/root",
    ),
    (
        "unit",
        "mkdir -p /sys/fs/cgroup/system.slice/ssh.service; sleep 300 & \
         echo $! > /sys/fs/cgroup/system.slice/ssh.service/cgroup.procs",
        "kill $!; wait; sleep 1",
    ),
];

fn host(policy: &str) -> Host {
    let mut locks = NO_LOCKS.to_owned();
    for lock in ["remote_access", "schedules", "accounts"] {
        let open = format!("{lock} = \"allow\"");
        assert!(locks.contains(&open));
        locks = locks.replace(&open, &format!("{lock} = \"deny\""));
    }
    Host::declared(policy, &locks, |image: &Overlay| {
        let passwd = image.at("etc/passwd");
        let text = fs::read_to_string(&passwd).unwrap();
        fs::write(&passwd, text + PASSWD).unwrap();
    })
}

#[test]
fn privileged_actions_of_non_root_users_never_trigger_the_policy() {
    for policy in ["quarantine", "halt"] {
        let look = format!("{FUNCTIONS}check before\n{OTHERS}{LOOK}");
        let seen = host(policy).boot_and_look(READY, &look);
        let said = &seen.looked;
        for part in [
            "before: 0\n",
            "look: 0\n",
            "Result=success\n",
            "ExecMainStatus=0\n",
            "told: 0\n",
            "127.0.0.1:22 (user id 33), 127.0.0.1:23 (user id 33), 127.0.0.1:2222 (user id 33)",
        ] {
            assert!(
                said.contains(part),
                "{policy}: {part}: {said}\n{}",
                seen.journal
            );
        }
        assert_ne!(seen.state("earmark-quarantine.target"), "active");
        CAUSED_BY_ANYBODY.must_be_in(said);
        assert_eq!(seen.state("workload.service"), "active", "{}", seen.journal);
        let lockdown = &seen.status["lockdown"];
        assert_eq!(lockdown["is_enforced"], true, "{lockdown:#}");
        let told = lockdown["locks"].as_array().unwrap().iter();
        let told: Vec<String> = told.map(|lock| lock["told"].to_string()).collect();
        let told = told.concat();
        // Items by their names (`docs/lockdown.md`), with what was found of each.
        for part in [
            "TCP ports 22, 23, 2222, others",
            "/home/ops/.ssh/authorized_keys, /home/ops/.ssh/authorized_keys2",
            "/home/far/.ssh/authorized_keys",
            "crontabs: 1 not empty",
            "at jobs: 1 not empty",
            "lingering users: ops",
        ] {
            assert!(told.contains(part), "{policy}: {part}: {told}");
        }
        // It is said to people all the same.
        OPEN_WITHOUT_POLICY.must_be_in(&seen.journal);
    }
}

#[test]
fn privileged_root_action_fails_the_lockdown_check_until_undone() {
    let mut look = format!("{FUNCTIONS}check before\n");
    for (name, act, undo) in ROOTS {
        look.push_str(&format!(
            "{act}\ncheck {name}\n{undo}\ncheck {name}-undone\n"
        ));
    }
    let seen = host("report").boot_and_look(READY, &look);
    let mut expected = "before: 0\n".to_owned();
    for (name, ..) in ROOTS {
        expected.push_str(&format!("{name}: 13\n{name}-undone: 0\n"));
    }
    let mut said = String::new();
    for line in seen.looked.lines().filter(|line| line.contains(": ")) {
        said.push_str(line);
        said.push('\n');
    }
    assert_eq!(said, expected, "{}\n{}", seen.looked, seen.journal);
}

/// A look that PID 1 cannot start ends as "resources", as where somebody has taken all processes or all memory. The
/// look's own unit takes no settings from anybody, so that copies of it are tried: one that cannot be started, and as the
/// control one that finds something.
#[test]
fn privileged_look_that_cannot_be_started_is_tried_again_and_triggers_no_policy() {
    let look = r#"
copy() {
    unit=/run/systemd/system/$1.service
    sed "$2" /usr/lib/systemd/system/earmark-lockdown-again.service > "$unit"
    printf '[Unit]\nOnFailure=%s-policy.target\n' "$1" >> "$unit"
    printf '[Unit]\nDescription=Policy\n' > "/run/systemd/system/$1-policy.target"
}
copy starts 's|^Type=oneshot|&\nEnvironmentFile=/nowhere|'
copy finds 's|^ExecStart=.*|ExecStart=/bin/sh -c "exit 13"|'
systemctl daemon-reload
systemctl start --no-block starts.service finds.service; sleep 3
for name in starts finds; do
    echo "$name: $(systemctl show --property=Result --property=SubState "$name.service" | tr '\n' ' ')"
    echo "$name: policy $(systemctl is-active "$name-policy.target")"
done
"#;
    let seen = host("report").boot_and_look(READY, look);
    let expected = "starts: Result=resources SubState=auto-restart \nstarts: policy inactive\n\
        finds: Result=exit-code SubState=failed \nfinds: policy active\n";
    assert_eq!(seen.looked, expected, "{}", seen.journal);
}

//! Break-glass on a host under its own service manager: a grant that the signer made opens the lock that it
//! names, for as long as it says, and taints the host; nothing else opens anything.

use std::fs;

use earmark_tests::{
    Bench, NO_LOCKS,
    container::{Host, READY},
    facts::host::{
        GRANT_CLOSED, GRANT_FOR_IMAGE, GRANT_FOR_INSTANCE, GRANT_OPENED, GRANT_REPLAYED,
        OPEN_BY_A_GRANT, TAINTED, TOO_FEW_SIGNATURES, UNGRANTABLE,
    },
};

use crate::fetch::certificates;

const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef";

/// For the scripts that look: `grant KEY LOCK TIME MORE...` brings one, `settled` has the agent look.
const TOOLS: &str = r#"
# The image has no key of sshd's, which each host makes for itself.
ssh-keygen -A > /dev/null
grant() {
    key=$1 lock=$2 time=$3; shift 3
    rm -f /run/signer/new.json
    /run/signer/earmark grant --key /run/signer/keys/$key.key --lock $lock --for $time \
        --out /run/signer/new.json --image $IMAGE --instance $INSTANCE "$@" > /dev/null &&
    cp /run/signer/new.json /run/earmark/grants/$key.json
}
until_is() {
    for try in $(seq 100); do
        [ "$(systemctl is-active $2)" != "$1" ] || return 0
        sleep 0.2
    done
    echo "$2 is not $1"
}
# As the timer does: first what grants say, then the look at the locks.
settled() {
    systemctl start earmark-lockdown-again.service
    echo "look: $(systemctl show -P ExecMainStatus earmark-lockdown-again.service)"
}
show() {
    echo "$1: $(systemctl is-active ssh.service) $(systemctl is-enabled ssh.service)" \
        "$(earmark-agent lockdown --check | grep ^remote_access | cut -c 1-32 | tr -s ' ')"
}
"#;

/// Returns the instance id of this host: the firmware's product UUID, or the machine id if there is none of use.
fn instance() -> String {
    let id = fs::read_to_string("/sys/devices/virtual/dmi/id/product_uuid");
    let id = id.unwrap_or_default().trim().to_lowercase();
    if id.bytes().any(|byte| !b"0f-".contains(&byte)) {
        id
    } else {
        MACHINE_ID.to_owned()
    }
}

fn host(policy: &str) -> Host {
    let locks = NO_LOCKS.replace("remote_access = \"allow\"", "remote_access = \"deny\"");
    assert_ne!(locks, NO_LOCKS);
    Host::declared(policy, &locks, |_| ()).with_signer(MACHINE_ID)
}

fn script(body: &str) -> String {
    format!("INSTANCE={} IMAGE=host\n{TOOLS}\n{body}", instance())
}

#[track_caller]
fn must_say(looked: &str, parts: &[&str]) {
    let mut rest = looked;
    for part in parts {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part}, in its place:\n{looked}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn privileged_grant_opens_its_lock_until_expired_and_cannot_be_replayed() {
    let host = host("quarantine");
    let look = script(
        r#"
show shut
# Refused: another instance, another image, a key for images, one that nobody trusts, and the manifest.
(INSTANCE=i-0123456789abcdef0; grant grant remote_access 1h); settled
(IMAGE=db; grant grant remote_access 1h); settled
grant release remote_access 1h; settled
/run/signer/earmark keygen --out /run/signer/other.key > /dev/null
/run/signer/earmark grant --key /run/signer/other.key --lock remote_access --for 1h --image host \
    --instance $INSTANCE --out /run/earmark/grants/other.json > /dev/null; settled
cp /usr/lib/earmark/seal/manifest.json /run/earmark/grants/; settled
grant grant kernel 1h 2>&1 | head -n 1
show refused
rm -f /run/earmark/grants/*

# Whoever took the background service over cannot put another directory in the place of that one. The control is the same
# user outside of the service.
move="setpriv --reuid=earmark --regid=earmark --clear-groups mv -T /run/earmark/grants /run/earmark/away"
agent=$(systemctl show -P MainPID earmark-agent.service)
nsenter --mount --target $agent $move 2>&1 | grep -o busy
$move && echo moved
mv -T /run/earmark/away /run/earmark/grants

# Nobody starts anything but the file that is dropped.
grant grant remote_access 15s --reason 'the disk is full'
until_is active ssh.service
cp /run/signer/new.json /run/signer/used.json
systemd-run --quiet --scope --slice=user.slice --unit=session-7 sleep infinity &
until_is active session-7.scope
show open
settled
earmark-agent status | grep -A 1 -e TAINTED -e 'OPEN BY'
cat /run/earmark/motd

sleep 16
settled
show over
echo "session: $(systemctl is-active session-7.scope), sshd: $(pgrep -c sshd)"
cp /run/signer/used.json /run/earmark/grants/
settled
show replayed
earmark-agent status --json | grep -A 12 taints
"#,
    );
    let seen = host.boot_and_look(READY, &look);
    let looked = &seen.looked;
    let (open, tainted) = (OPEN_BY_A_GRANT.text(), TAINTED.text());
    must_say(
        looked,
        &[
            "shut: inactive masked-runtime remote_access enforced",
            "look: 0\nlook: 0\nlook: 0\nlook: 0\nlook: 0\n",
            "'kernel'",
            "refused: inactive masked-runtime remote_access enforced",
            "busy\nmoved\n",
            &format!("open: active enabled remote_access {open}"),
            "look: 0\n",
            &format!("{open}: remote_access"),
            &tainted,
            "the disk is full",
            &format!("{tainted}: remote_access"),
            "look: 0\n",
            "over: inactive masked-runtime remote_access enforced",
            "session: inactive, sshd: 0",
            "look: 0\n",
            "replayed: inactive masked-runtime remote_access enforced",
            "\"kind\": \"grant\"",
            "the disk is full",
        ],
    );
    UNGRANTABLE.of(&["kernel"]).must_be_in(looked);
    for (fact, times) in [
        (GRANT_FOR_INSTANCE.of(&["i-0123456789abcdef0"]), 1),
        (GRANT_FOR_IMAGE.of(&["db"]), 1),
        (TOO_FEW_SIGNATURES.of(&["0", "1"]), 3),
        (GRANT_OPENED, 1),
        (GRANT_CLOSED.of(&["it expired"]), 1),
        (GRANT_REPLAYED, 1),
    ] {
        // Once to the journal by itself, and once as what its unit printed.
        let lines = fact.count(&seen.journal);
        assert_eq!(lines, 2 * times, "{fact:?}: {}", seen.journal);
    }
    assert_eq!(seen.state("earmark-ready.target"), "active");

    // The next boot knows of it from the start, and opens nothing.
    let seen = host.boot_and_look(READY, &script("show next"));
    must_say(
        &seen.looked,
        &["next: inactive masked-runtime remote_access enforced"],
    );
    assert_eq!(seen.status["taints"][0]["kind"], "grant");
}

#[test]
fn privileged_grant_survives_a_reboot_and_opens_only_after_lockdown() {
    let host = host("report");
    let opened = script("grant grant remote_access 10m\nuntil_is active ssh.service\nshow open");
    let seen = host.boot_and_look(READY, &opened);
    must_say(&seen.looked, &["open: active enabled"]);
    let again = script("until_is active ssh.service\nshow again");
    let seen = host.boot_and_look(READY, &again);
    must_say(
        &seen.looked,
        &["again: active enabled remote_access OPEN BY A GRANT"],
    );
    seen.in_order(&["earmark-lockdown.service", "ssh.service"]);
    assert_eq!(seen.status["taints"].as_array().unwrap().len(), 1);
}

/// Nobody is on the host: what is published for it beside its channel is fetched by its unit, and opens the lock.
#[test]
fn privileged_grant_published_beside_the_channel_is_fetched_and_opens_its_lock() {
    let bench = Bench::new();
    certificates(&bench);
    let locks = NO_LOCKS.replace("remote_access = \"allow\"", "remote_access = \"deny\"");
    let rest = format!("[channel]\nurl = \"https://channel.test/web/stable.json\"\n{locks}");
    let host = Host::declared("quarantine", &rest, |image| {
        let authorities = image.at("etc/ssl/certs/ca-certificates.crt");
        fs::create_dir_all(authorities.parent().unwrap()).unwrap();
        fs::copy(bench.path("ca.crt"), authorities).unwrap();
        let hosts = "127.0.0.1 localhost channel.test\n";
        fs::write(image.at("etc/hosts"), hosts).unwrap();
    });
    let server = format!(
        "--bind-ro=/usr/bin/openssl:/run/server/openssl --bind-ro={0}/good.crt:/run/server/crt \
         --bind-ro={0}/good.key:/run/server/key",
        bench.path("").display()
    );
    let host = host.with_signer(MACHINE_ID).with(&server);
    let look = script(
        r#"
mkdir -p /srv/data/www/web/grants && cd /srv/data/www
/run/server/openssl s_server -quiet -accept 127.0.0.1:443 -cert /run/server/crt -key /run/server/key -WWW &
server=$!
fetch() { systemctl start earmark-fetch.service; echo "fetch: $? $(ls /run/earmark-fetch)"; }
echo "timer: $(systemctl is-active earmark-fetch.timer)"
fetch
settled
show shut
/run/signer/earmark grant --key /run/signer/keys/grant.key --lock remote_access --for 1h --image host \
    --instance $INSTANCE --out web/grants/$INSTANCE.json > /dev/null
fetch
settled
until_is active ssh.service
show open
kill $server
fetch
settled
show open
"#,
    );
    let seen = host.boot_and_look(READY, &look);
    let open = OPEN_BY_A_GRANT.text();
    must_say(
        &seen.looked,
        &[
            "timer: active",
            // OpenSSL's server says in words that there is no such file.
            "fetch: 1 channel.json\n",
            "look: 0\nshut: inactive masked-runtime remote_access enforced",
            "fetch: 0 channel.json\ngrant.json\n",
            &format!("look: 0\nopen: active enabled remote_access {open}"),
            "fetch: 1 channel.json\ngrant.json\n",
            &format!("look: 0\nopen: active enabled remote_access {open}"),
        ],
    );
}

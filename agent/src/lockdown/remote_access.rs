//! The lock `remote_access`: nobody logs in, over the network or at a console.
//!
//! The units that bring a way in are masked before they could start, and looked for afterwards. A
//! way in that is none of these units is not found, but for what listens on the ports that logins
//! mostly use: whoever is root already can start another one on another port.

mod listening;

use super::{
    actions::LockActions,
    cause::Probe,
    item::{Item, Seen, Strength},
    look::Look,
};

pub(super) const LOCK: LockActions = LockActions {
    units: Some(masks),
    prepare: None,
    shut: None,
    open: None,
    probe: |target| probe(target.look, target.except),
};

/// A way in, and the units that bring it on the systems that there are profiles for, and on newer
/// ones.
struct Way {
    name: &'static str,
    /// The word by which a declaration leaves it open. Without one it is never left open.
    word: Option<&'static str>,
    units: &'static [&'static str],
}

/// `rescue.service` and `emergency.service` are not among them: a boot that cannot go on ends
/// there, and what they start asks for root's password, which the lock `accounts` finds to be none.
/// Neither is inetd, which may well serve something else: telnet behind it is found by its port.
const WAYS: [Way; 9] = [
    Way {
        name: "sshd",
        word: Some("sshd"),
        units: &[
            // Debian and Ubuntu have `ssh`, with `sshd` as another name; Amazon Linux has `sshd`.
            "ssh.service",
            "sshd.service",
            // A socket is a way in by itself: it starts a server for whoever connects.
            "ssh.socket",
            "sshd.socket",
            "ssh@.service",
            "sshd@.service",
            // What systemd-ssh-generator makes since systemd 256, without being asked and even
            // where the server is disabled; `extra` by the kernel's command line or a credential.
            "sshd-generated@.service",
            "sshd-unix-local.socket",
            "sshd-unix-local@.service",
            "sshd-unix-export.socket",
            "sshd-unix-export@.service",
            "sshd-vsock.socket",
            "sshd-vsock@.service",
            // Its further ones, `sshd-extra-2@.service` and so on, are other names of the templates
            // `sshd@.service` or `sshd-generated@.service`, which are masked.
            "sshd-extra.socket",
            "sshd-extra@.service",
        ],
    },
    Way {
        name: "ec2-instance-connect",
        word: Some("ec2-instance-connect"),
        // They tell AWS the keys of this host. What lets keys in is a command of sshd: see
        // `connect`.
        units: &[
            "ec2-instance-connect.service",
            "ec2-instance-connect-harvest-hostkeys.service",
        ],
    },
    Way {
        name: "amazon-ssm-agent",
        word: Some("amazon-ssm-agent"),
        // Ubuntu's images have it as a snap.
        units: &[
            "amazon-ssm-agent.service",
            "snap.amazon-ssm-agent.amazon-ssm-agent.service",
        ],
    },
    Way {
        name: "getty",
        word: Some("getty"),
        units: &[
            "getty@.service",
            // What logind starts when somebody switches to another console; mostly another name of
            // `getty@.service`, but an image may give it a file.
            "autovt@.service",
            "kmsconvt@.service",
            // On EC2 this is the serial console that AWS offers in a browser.
            "serial-getty@.service",
            "console-getty.service",
            "container-getty@.service",
            // Debian's, where there is no logind.
            "getty-static.service",
        ],
    },
    Way {
        // A shell of root's on a console, without a login. A word on the kernel's command line
        // starts it.
        name: "debug-shell",
        word: None,
        units: &["debug-shell.service"],
    },
    Way {
        name: "other shells",
        word: None,
        units: &[
            "dropbear.service",
            "dropbear.socket",
            "dropbear@.service",
            "tinysshd.socket",
            "tinysshd@.service",
            "telnet.socket",
            "telnet@.service",
            "rlogin.socket",
            "rlogin@.service",
            "rsh.socket",
            "rsh@.service",
            "rexec.socket",
            "rexec@.service",
            "teleport.service",
        ],
    },
    Way {
        name: "shells in a browser",
        word: None,
        units: &[
            // It starts everything else of Cockpit.
            "cockpit.socket",
            "cockpit.service",
            "shellinabox.service",
            "shellinaboxd.service",
            "ttyd.service",
            "webmin.service",
        ],
    },
    Way {
        name: "remote desktops",
        word: None,
        units: &[
            "x2goserver.service",
            "xrdp.service",
            "xrdp-sesman.service",
            "vncserver@.service",
            "tigervncserver@.service",
            "xvnc.socket",
            "xvnc@.service",
            "gnome-remote-desktop.service",
            // AWS's own.
            "dcvserver.service",
            "dcvsessionlauncher.service",
        ],
    },
    Way {
        name: "desktops",
        word: None,
        units: &[
            "display-manager.service",
            "gdm.service",
            "gdm3.service",
            "lightdm.service",
            "sddm.service",
            "xdm.service",
        ],
    },
];

/// The program by which sshd asks for the keys of EC2 Instance Connect: that of Debian and Ubuntu,
/// that of Amazon Linux.
pub(super) const CONNECT: [&str; 2] = [
    "/usr/share/ec2-instance-connect/eic_run_authorized_keys",
    "/opt/aws/bin/eic_run_authorized_keys",
];
/// Those of ssh, of telnet, and where people move ssh to.
const PORTS: [u16; 3] = [22, 23, 2222];
const ALLOWED: &str = "allowed by the declaration";

/// The units that are masked where this is declared.
fn masks(except: &[String]) -> Vec<&'static str> {
    WAYS.iter()
        .filter(|way| !is_left_open(way, except))
        .flat_map(|way| way.units)
        .copied()
        .collect()
}

fn probe(look: &Look<'_>, except: &[String]) -> Vec<Item> {
    let mut items = Vec::new();
    for way in &WAYS {
        if is_left_open(way, except) {
            items.push(left_open(way.name, except));
        } else {
            items.extend(look.masked_units(way.name, way.units));
        }
    }
    items.extend(connect(look, except));
    items.extend(ports(look, except));
    items
}

fn is_left_open(way: &Way, except: &[String]) -> bool {
    way.word.is_some_and(|word| has(except, word))
}

fn has(except: &[String], word: &str) -> bool {
    except.iter().any(|name| name == word)
}

fn left_open(name: &str, except: &[String]) -> Item {
    let found = if name == "ec2-instance-connect" && !has(except, "sshd") {
        // It only brings keys: sshd lets them in, and is left open by its own word alone.
        format!("{ALLOWED}, but of no use without sshd")
    } else {
        ALLOWED.to_owned()
    };
    Item::new(
        Probe::LeftOpen,
        name,
        "-",
        "declaration",
        Seen::Absent(found),
    )
}

/// Measures whether sshd, where it is left open, accepts keys that AWS sends (EC2 Instance Connect). The units of
/// that service have no part in it: a drop-in of sshd's unit names the program, or sshd's configuration does.
fn connect(look: &Look<'_>, except: &[String]) -> Option<Item> {
    // Without sshd nobody asks for these keys, and its units are judged as a way of their own.
    if !has(except, "sshd") || has(except, "ec2-instance-connect") {
        return None;
    }
    let seen = CONNECT
        .into_iter()
        .find_map(|path| match look.exists(path) {
            Ok(false) => None,
            Ok(true) => Some(Seen::Open(format!("'{path}' is there"))),
            Err(error) => Some(Seen::from(error)),
        })
        .unwrap_or_else(|| Seen::Absent("not installed".to_owned()));
    let name = "keys by ec2-instance-connect";
    let looked = CONNECT.join(", ");
    Some(Item::new(
        Probe::ConnectProgram,
        name,
        "no such program",
        looked,
        seen,
    ))
}

/// Measures listeners that no unit brought, such as an sshd that was started by hand. The port does not make
/// one a way in, and another port does not make it none: this finds the usual ones. Of other protocols than
/// TCP, and of other network namespaces than that of PID 1, it says nothing.
///
/// Two items: what root listens at, and what any process can listen at.
fn ports(look: &Look<'_>, except: &[String]) -> [Item; 2] {
    let names = PORTS.map(|port| port.to_string()).join(", ");
    let item = |row: Probe, whose: &str, seen: Seen| {
        let name = format!("TCP ports {names}, {whose}");
        Item::new(row, name, "nobody listens", listening::PROBE, seen)
    };
    // An sshd that is left open may listen at any of them, and the kernel does not say which program listens.
    let (of_root, of_others) = if has(except, "sshd") {
        let allowed = || Seen::Absent(ALLOWED.to_owned());
        (allowed(), allowed())
    } else {
        let (found, unseen) = listening::on(look, &PORTS);
        let seen = |found: Option<String>| match (found, &unseen) {
            // What was found counts although the list broke off: filling the list must not hide a listener of root's.
            (Some(found), _) => Seen::Open(format!("somebody listens at {found}")),
            (None, Some(unseen)) => Seen::from(unseen.clone()),
            (None, None) => Seen::Shut(Strength::Reversible, "nobody listens".to_owned()),
        };
        (seen(found.root.text()), seen(found.others.text()))
    };
    [
        item(Probe::PortsOfRoot, "root", of_root),
        item(Probe::PortsOfOthers, "others", of_others),
    ]
}

/// Has the kernel load what lists sockets, before its door is shut.
pub(super) fn warm_up() {
    listening::warm_up();
}

#[cfg(test)]
mod tests;

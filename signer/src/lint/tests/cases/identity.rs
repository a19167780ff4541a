//! Marks of one machine, which hosts of an image must not share.

use super::{
    super::Put::{File, Gone, Link},
    Case, case,
};

pub(super) const CASES: &[Case] = &[
    case(
        "machine-id",
        "/etc/machine-id",
        &[File("etc/machine-id", "0123\n")],
        &[],
    ),
    case(
        "machine-id",
        "/etc/machine-id",
        &[File("etc/machine-id", "uninitialized\n")],
        &[],
    ),
    case(
        "machine-id",
        "/etc/machine-id",
        &[Gone("etc/machine-id")],
        &[],
    ),
    case(
        "machine-id",
        "/var/lib/dbus/machine-id",
        &[File("var/lib/dbus/machine-id", "0123\n")],
        &[Link("var/lib/dbus/machine-id", "/etc/machine-id")],
    ),
    case(
        "ssh-host-key",
        "/etc/ssh/ssh_host_rsa_key.pub",
        &[File("etc/ssh/ssh_host_rsa_key.pub", "x")],
        &[File("etc/ssh/ssh_host_notes", "x")],
    ),
    case(
        "random-seed",
        "/var/lib/systemd/random-seed",
        &[File("var/lib/systemd/random-seed", "x")],
        &[File("var/lib/systemd/random-seed", "")],
    ),
    case(
        "host-secret",
        "/var/lib/systemd/credential.secret",
        &[File("var/lib/systemd/credential.secret", "x")],
        &[File("var/lib/systemd/other", "x")],
    ),
    case(
        "storage-name",
        "/etc/iscsi/initiatorname.iscsi",
        &[File(
            "etc/iscsi/initiatorname.iscsi",
            "InitiatorName=iqn.x\n",
        )],
        &[File("etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n")],
    ),
    case(
        "dhcp-lease",
        "/var/lib/dhcp/dhclient.leases",
        &[File("var/lib/dhcp/dhclient.leases", "lease {\n")],
        &[File("var/lib/dhcp/dhclient.leases", "")],
    ),
    case(
        "udev-names",
        "/etc/udev/rules.d/70-persistent-net.rules",
        &[File("etc/udev/rules.d/70-persistent-net.rules", "x")],
        &[File("etc/udev/rules.d/70-own.rules", "x")],
    ),
    case(
        "hostname",
        "/etc/hostname",
        &[File("etc/hostname", "ip-10-0-0-1\n")],
        &[File("etc/hostname", "# none\nlocalhost.localdomain\n")],
    ),
    case(
        "resolver",
        "/etc/resolv.conf",
        &[File("etc/resolv.conf", "nameserver 10.0.0.2\n")],
        &[Link(
            "etc/resolv.conf",
            "/run/systemd/resolve/stub-resolv.conf",
        )],
    ),
    case(
        "cloud-init-state",
        "/var/lib/cloud/instances",
        &[File("var/lib/cloud/instances/i-0/user-data.txt", "x")],
        &[File("var/lib/cloud/scripts/per-boot/x", "x")],
    ),
    case(
        "agent-state",
        "/var/lib/earmark/rendered.json",
        &[File("var/lib/earmark/rendered.json", "x")],
        &[File("var/lib/earmark/values.toml", "x")],
    ),
];

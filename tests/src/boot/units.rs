//! Units of the images of tests: a workload, and what a host needs without udev and network management.

/// Workload of the image: it says that it runs, and says so on the disk too.
const WORKLOAD: &str = "\
[Unit]
Description=What this image is for

[Service]
ExecStart=/bin/sh -c 'echo started >> /srv/data/workload; exec sleep infinity'

[Install]
WantedBy=multi-user.target
";
/// Drop-in by which it waits for Earmark's word.
pub(super) const GATED: &str = "\
[Unit]
Requires=earmark-ready.target
After=earmark-ready.target
";
/// Host keys are made at first boot; one kind, because an emulated processor takes long for RSA.
const HOST_KEY: &str = "\
[Unit]
Description=SSH host key of this host
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
ConditionPathIsReadWrite=/etc

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=ssh.service
";
/// The network of QEMU, for hosts that have one, without the udev that networkd would wait for.
const UPLINK: &str = "\
[Unit]
Description=The network, if there is one
DefaultDependencies=no
After=network-pre.target
Wants=network-pre.target
Before=network.target
ConditionPathExists=/sys/class/net/eth0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set dev eth0 up
ExecStart=/usr/sbin/ip address add 10.0.2.15/24 dev eth0
ExecStart=/usr/sbin/ip route add default via 10.0.2.2

[Install]
WantedBy=multi-user.target
";
/// Units of the image: name, text, and the directory that wants them.
pub(super) const UNITS: [(&str, &str, &str); 3] = [
    ("workload.service", WORKLOAD, "multi-user.target.wants"),
    ("host-key.service", HOST_KEY, "ssh.service.wants"),
    ("uplink.service", UPLINK, "multi-user.target.wants"),
];

//! Attempts by root to change a host, each with a name.

/// Programs that make the attempts, sealed into both images: path, text and mode.
pub const PROGRAMS: [(&str, &str, u32); 3] = [
    ("usr/lib/attempts/sealed", include_str!("sealed.pl"), 0o755),
    (
        "usr/lib/attempts/writable",
        include_str!("writable.pl"),
        0o755,
    ),
    ("usr/lib/attempts/imds", include_str!("imds.sh"), 0o755),
];

/// An attempt that succeeds in some places and fails in others: wrong on every host.
pub const MIXED: i32 = 42;

/// As the kernel says why nothing can be written.
const EROFS: &str = "Read-only file system";
const EPERM: &str = "Operation not permitted";
const EACCES: &str = "Permission denied";
const MASKED: &str = "is masked";
/// Part of a locked host's answer to the name of a package manager.
const ANSWER: &str = "this host is the immutable image";

/// The package of somebody else, in a place where anybody may write.
const BUILD: &str = "rm -rf /tmp/evil.d && mkdir -p /tmp/evil.d/DEBIAN /tmp/evil.d/usr/bin && cd /tmp && \
    printf 'Package: evil\\nVersion: 1\\nArchitecture: all\\nMaintainer: e\\nDescription: e\\n' > evil.d/DEBIAN/control && \
    cp /usr/bin/true evil.d/usr/bin/evil && chmod -R go-w evil.d && dpkg-deb --build evil.d evil.deb";
/// This host's own kernel, as `kexec --load` hands it over: `kexec_file_load`, without an initrd.
const KEXEC: &str = r#"perl -e 'open(my $k, "<", "/vmlinuz") or die $!; my $line = "\0";
    syscall(320, fileno($k), -1, 1, $line, 4) == 0 or die "kexec_file_load: $!\n"'"#;
/// The older call; nothing is loaded by it, which needs the same right.
const KEXEC_LOAD: &str = r#"perl -e 'syscall(246, 0, 0, 0, 0) == 0 or die "kexec_load: $!\n"'"#;
/// A service manager of root's as a user, for the timers of its own. Neither logind nor PAM's module of
/// systemd is there, whose work this does.
const USER_MANAGER: &str = "mkdir -p /run/user/0 /run/systemd/system/user@0.service.d && \
    printf '[Service]\\nPAMName=\\nEnvironment=XDG_RUNTIME_DIR=/run/user/0\\n' \
    > /run/systemd/system/user@0.service.d/evil.conf && \
    systemctl start --job-mode=ignore-dependencies user@0.service";

/// Attempts by root to change a host by hand: name, command, and the reasons for which it may fail, separated
/// by `|`. An attempt that fails for another reason proves nothing.
pub const ATTEMPTS: &[(&str, &str, &str)] = &[
    // In each directory of the root that is sealed.
    ("create", "/usr/lib/attempts/sealed create", EROFS),
    ("mkdir", "/usr/lib/attempts/sealed mkdir", EROFS),
    ("symlink", "/usr/lib/attempts/sealed symlink", EROFS),
    ("write", "/usr/lib/attempts/sealed write", EROFS),
    ("truncate", "/usr/lib/attempts/sealed truncate", EROFS),
    ("rename", "/usr/lib/attempts/sealed rename", EROFS),
    ("delete", "/usr/lib/attempts/sealed delete", EROFS),
    ("chmod", "/usr/lib/attempts/sealed chmod", EROFS),
    ("chown", "/usr/lib/attempts/sealed chown", EROFS),
    ("utime", "/usr/lib/attempts/sealed utime", EROFS),
    ("setfattr", "/usr/lib/attempts/sealed setfattr", EROFS),
    ("setfacl", "/usr/lib/attempts/sealed setfacl", EROFS),
    ("create-top", "mkdir /evil", EROFS),
    ("link", "ln /usr/bin/true /usr/bin/yes-man", EROFS),
    (
        "unit",
        "echo '[Service]' > /etc/systemd/system/evil.service",
        EROFS,
    ),
    (
        "drop-in",
        "mkdir -p /etc/systemd/system/workload.service.d",
        EROFS,
    ),
    (
        "cron",
        "mkdir -p /etc/cron.d && touch /etc/cron.d/evil",
        EROFS,
    ),
    (
        "crontab",
        "mkdir -p /var/spool/cron/crontabs && touch /var/spool/cron/crontabs/root",
        EROFS,
    ),
    (
        "at-job",
        "mkdir -p /var/spool/cron/atjobs && touch /var/spool/cron/atjobs/a00001019c5d3a",
        EROFS,
    ),
    (
        "user-timer",
        "mkdir -p /etc/systemd/user && touch /etc/systemd/user/evil.timer",
        EROFS,
    ),
    ("user-manager", USER_MANAGER, MASKED),
    // What `loginctl enable-linger` does.
    (
        "linger",
        "mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/nobody",
        EROFS,
    ),
    ("udev", "touch /etc/udev/rules.d/evil.rules", EROFS),
    ("user", "useradd evil", "cannot lock /etc/passwd"),
    (
        "password",
        "echo root:evil | chpasswd",
        "Authentication token manipulation error|cannot lock",
    ),
    (
        "keys",
        "mkdir -p /root/.ssh && echo key > /root/.ssh/authorized_keys",
        EROFS,
    ),
    ("preload", ": > /etc/ld.so.preload", EROFS),
    ("dpkg", "/usr/bin/dpkg --install /tmp/evil.deb", EROFS),
    (
        "apt",
        "/usr/bin/dpkg --purge evil > /dev/null 2>&1; /usr/bin/apt-get install --yes /tmp/evil.deb",
        EROFS,
    ),
    ("dpkg-by-name", "dpkg --install /tmp/evil.deb", ANSWER),
    (
        "apt-by-name",
        "apt-get install --reinstall --yes /tmp/evil.deb",
        ANSWER,
    ),
    ("module", "modprobe virtio_balloon", EPERM),
    (
        "insmod",
        "insmod /usr/lib/modules/*/kernel/drivers/virtio/virtio_mem.ko",
        EPERM,
    ),
    ("kexec", KEXEC, EPERM),
    ("kexec-load", KEXEC_LOAD, EPERM),
    ("memory", "head --bytes=1 /dev/mem > /dev/null", EPERM),
    // Where the door is open already, there is nothing to open.
    (
        "modules-door",
        "cd /proc/sys/kernel; grep 0 modules_disabled || echo 0 > modules_disabled",
        "Invalid argument|I/O error",
    ),
    (
        "kexec-door",
        "cd /proc/sys/kernel; grep 0 kexec_load_disabled || echo 0 > kexec_load_disabled",
        "Invalid argument|I/O error",
    ),
    (
        "lockdown-door",
        "grep '\\[none\\]' /sys/kernel/security/lockdown || echo none > /sys/kernel/security/lockdown",
        "Invalid argument|I/O error|Operation not permitted",
    ),
    ("sshd", "systemctl start ssh.service", MASKED),
    (
        "sshd-socket",
        "systemctl stop ssh.service; systemctl start ssh.socket",
        MASKED,
    ),
    // The generator masks it again.
    (
        "unmask",
        "rm -f /run/systemd/generator.early/ssh.service && systemctl daemon-reload && \
         systemctl start ssh.service",
        MASKED,
    ),
    ("getty", "systemctl start getty@tty2.service", MASKED),
    // Of all mounts.
    ("run", "/usr/lib/attempts/writable", EACCES),
    // No user's but root's.
    (
        "imds-as-nobody",
        "setpriv --reuid=nobody --regid=nogroup --clear-groups /usr/lib/attempts/imds",
        EACCES,
    ),
];

/// Ordinary work of a workload and a host, which every lock must leave possible: name and command.
pub const ORDINARY: &[(&str, &str)] = &[
    ("data", "echo x > /srv/data/ordinary"),
    ("log", "logger ordinary && journalctl --sync"),
    ("tmp", "echo x > /tmp/ordinary"),
    (
        "service",
        "systemctl start ordinary.service && systemctl start private.service",
    ),
    ("tmpfiles", "systemd-tmpfiles --create"),
    ("build", BUILD),
    ("imds-as-root", "/usr/lib/attempts/imds"),
];

/// Attempts in which root still succeeds on a locked host in tier T0: name, command, the lock by which the next
/// look finds it, and the command that undoes it.
pub const STILL: &[(&str, &str, &str, &str)] = &[
    (
        "remount",
        "mount -o remount,bind,rw /",
        "filesystems",
        SHUT_AGAIN,
    ),
    (
        "bind",
        "mount --bind /tmp /usr/share/debconf",
        "filesystems",
        "umount /usr/share/debconf",
    ),
    (
        "new-mount",
        "mount -t tmpfs tmpfs /mnt && cp /usr/bin/true /mnt/evil && /mnt/evil",
        "filesystems",
        "umount /mnt",
    ),
    (
        "exec",
        "mount -o remount,bind,exec /tmp && cp /usr/bin/true /tmp/evil && /tmp/evil",
        "filesystems",
        SHUT_AGAIN,
    ),
    (
        "sysrq",
        "echo 1 > /proc/sys/kernel/sysrq",
        "kernel",
        SHUT_AGAIN,
    ),
    // Programs that the kernel starts.
    (
        "modprobe-of-the-kernel",
        "echo /tmp/evil > /proc/sys/kernel/modprobe",
        "kernel",
        "echo /sbin/modprobe > /proc/sys/kernel/modprobe",
    ),
    (
        "core-pattern",
        "echo '|/tmp/evil %p' > /proc/sys/kernel/core_pattern",
        "kernel",
        "echo core > /proc/sys/kernel/core_pattern",
    ),
    (
        "sshd-by-hand",
        "mkdir -p /run/sshd && ssh-keygen -q -N '' -t ed25519 -f /run/key && \
         /usr/sbin/sshd -h /run/key -p 22 -o PidFile=/run/evil.pid",
        "remote_access",
        "kill $(cat /run/evil.pid)",
    ),
    (
        "sshd-by-a-unit-in-run",
        "printf '[Service]\\nExecStart=/usr/sbin/sshd -D -h /run/key -p 22\\n' > /run/systemd/system/evil.service && \
         systemctl start evil.service && until ss -lnt | grep ':22 '; do sleep 0.1; done",
        "remote_access",
        "systemctl stop evil.service && rm /run/systemd/system/evil.service",
    ),
    (
        "sshd-by-a-socket-in-run",
        "printf '[Socket]\\nListenStream=22\\nAccept=yes\\n' > /run/systemd/system/evil.socket && \
         printf '[Service]\\nExecStart=/usr/sbin/sshd -i -h /run/key\\nStandardInput=socket\\n' \
         > /run/systemd/system/evil@.service && systemctl start evil.socket",
        "remote_access",
        "systemctl stop evil.socket && rm /run/systemd/system/evil.socket /run/systemd/system/evil@.service",
    ),
    // What comes before the generator's masks.
    (
        "sshd-by-system-control",
        "mkdir -p /run/systemd/system.control && \
         printf '[Service]\\nExecStart=/usr/sbin/sshd -D -h /run/key -p 2022\\n' > /run/systemd/system.control/ssh.service && \
         systemctl daemon-reload && systemctl start ssh.service",
        "remote_access",
        "systemctl stop ssh.service && rm -r /run/systemd/system.control",
    ),
    (
        "timer-in-run",
        "printf '[Timer]\\nOnActiveSec=1h\\n' > /run/systemd/system/workload.timer && systemctl start workload.timer",
        "schedules",
        "systemctl stop workload.timer && rm /run/systemd/system/workload.timer",
    ),
    // The home of sshd's own user.
    (
        "keys-in-a-home-that-is-state",
        "mkdir -p /run/sshd/.ssh && echo key > /run/sshd/.ssh/authorized_keys",
        "accounts",
        "rm -r /run/sshd/.ssh",
    ),
    (
        "imds-rule",
        "ip rule del to 169.254.169.254 prohibit",
        "imds",
        SHUT_AGAIN,
    ),
];
/// As the next boot does.
const SHUT_AGAIN: &str = "earmark-agent lockdown";

/// Attempts in which root still succeeds and that no look at the locks finds: name and command. The threat model
/// has each of these; one that is found some day moves to [`STILL`].
pub const UNSEEN: &[(&str, &str)] = &[
    (
        "interpreter",
        "echo 'exit 0' > /tmp/evil.sh && sh /tmp/evil.sh",
    ),
    // memfd_create
    (
        "program-in-memory",
        r#"perl -e 'my $name = "evil"; my $fd = syscall(319, $name, 0); open(my $to, ">&=", $fd) or die $!;
        open(my $from, "<", "/usr/bin/true") or die $!; local $/; print {$to} <$from>;
        select((select($to), $| = 1)[0]); exec { "/proc/$$/fd/$fd" } "evil" or die $!'"#,
    ),
    (
        "unit-in-run",
        "printf '[Service]\\nExecStart=/usr/bin/sleep 1h\\n' > /run/systemd/system/evil.service && \
         systemctl start evil.service && systemctl is-active evil.service",
    ),
    (
        "sshd-at-another-port",
        "/usr/sbin/sshd -h /run/key -p 2022 -o PidFile=/run/evil.pid",
    ),
    (
        "mounts-of-its-own",
        "unshare --mount sh -c 'mount -o remount,bind,exec /tmp && cp /usr/bin/true /tmp/evil && /tmp/evil'",
    ),
    // What it writes is what was there, where no file is.
    (
        "raw-device",
        "dd if=/dev/vda of=/dev/vda bs=512 count=1 skip=1 seek=1 conv=notrunc",
    ),
    (
        "udev-in-run",
        "mkdir -p /run/udev/rules.d && touch /run/udev/rules.d/evil.rules",
    ),
];

/// Attempt that the next verification finds: name, command and violation.
pub const VERIFIED: (&str, &str, &str) = (
    "sealed-by-mounts-of-its-own",
    "unshare --mount sh -c 'mount -o remount,bind,rw / && touch /etc/evil'",
    "added /etc/evil",
);

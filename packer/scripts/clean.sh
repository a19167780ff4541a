#!/bin/sh
# Removes what must not be in an image: identities, keys, histories, caches. The last step that changes it.
#
# Packer's own key goes with the rest of authorized_keys: from here on its one connection is all it has.
set -eu
cd "${EARMARK_ROOT:?}"

# Who is the host? Each says so itself, at its first boot. An empty machine-id, not a missing one.
rm -f etc/ssh/ssh_host_*_key etc/ssh/ssh_host_*_key.pub var/lib/dbus/machine-id var/lib/systemd/random-seed \
    var/lib/systemd/credential.secret
: > etc/machine-id
if [ -x usr/bin/cloud-init ]; then
    rm -rf var/lib/cloud/instance var/lib/cloud/instances var/lib/cloud/data var/lib/cloud/sem
fi
rm -rf var/lib/dhcp/* var/lib/dhclient/* var/lib/NetworkManager/*.lease

# Who gets in?
for home in root home/*; do
    rm -f "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2" "$home/.ssh/known_hosts"
    rm -f "$home/.bash_history" "$home/.ash_history" "$home/.python_history" "$home/.viminfo" "$home/.lesshst"
    rm -rf "$home/.cache"
done

# What is stale when it is used.
if [ -x usr/bin/apt-get ]; then
    rm -rf var/cache/apt/archives/*.deb var/cache/apt/archives/partial/* var/cache/apt/*.bin var/lib/apt/lists/*
fi
if [ -x usr/bin/dnf ]; then
    rm -rf var/cache/dnf/* var/cache/yum/*
fi
find var/log -type f -exec truncate --size 0 {} +

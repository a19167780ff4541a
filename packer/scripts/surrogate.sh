#!/bin/sh
# For amazon-ebssurrogate: a file system on the volume, with a copy of the builder's own root. Replace the last step
# by what fills your root; an installer of a boot loader belongs here too.
set -eu
root=/mnt/earmark

printf 'label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\ntype=L\n' | sfdisk --quiet "${EARMARK_DEVICE:?}"
udevadm settle
# /dev/xvdf is a link to an NVMe device on most instances: its second partition by what the kernel calls it.
disk=$(readlink -f "$EARMARK_DEVICE")
case $disk in *[0-9]) disk=${disk}p ;; esac
mkfs.ext4 -q -L cloudimg-rootfs "${disk}2"
mkdir -p "$root"
mount "${disk}2" "$root"
echo "$root" > "${EARMARK_DIR:?}/root"

cp --archive --one-file-system /. "$root/"
rm -rf "$root$EARMARK_DIR"

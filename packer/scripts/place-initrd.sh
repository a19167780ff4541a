#!/bin/sh
# Puts the initrd in the place of each one that the boot loader's entries name.
set -eu
[ -s "${EARMARK_DIR:?}/initrd.img" ] || exit 0

found=
for initrd in "${EARMARK_ROOT:?}"/boot/initrd.img-* "$EARMARK_ROOT"/boot/initramfs-*.img; do
    [ -f "$initrd" ] || continue
    cp "$EARMARK_DIR/initrd.img" "$initrd"
    chmod 0600 "$initrd"
    found=$initrd
    echo "place-initrd: $initrd"
done
if [ -z "$found" ]; then
    echo "place-initrd: no initrd in $EARMARK_ROOT/boot, which would be replaced; next: install the kernel first" >&2
    exit 1
fi

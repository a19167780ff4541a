#!/bin/sh
# Verifies the finished disk as it lies there, after the guest was shut down. Of an AMI there is no disk here:
# docs/bake.md has how to look at its snapshot.
set -eu

case ${PACKER_BUILDER_TYPE:?} in
    qemu) ;;
    *)
        echo "verify-disk.sh: the disk of $PACKER_BUILDER_TYPE is not here: the guest's own verification is what there is"
        exit 0
        ;;
esac
# XFS is mounted to be verified, which only root may; ext4 needs no rights. A runner without sudo verifies ext4.
become=
[ "$(id -u)" = 0 ] || ! sudo -n true 2> /dev/null || become='sudo -n'
$become "${EARMARK:?}" verify --image "${EARMARK_DISK:?}" --trust "${EARMARK_TRUST:?}" --full

#!/bin/sh
# What makes the image what it is: packages, files, users. Runs as root, before anything is measured.
# EARMARK_ROOT is the image's root directory: /, unless it is put together on a volume of its own.
set -eu

echo "provision: nothing of your own yet in ${EARMARK_ROOT:?}"

#!/bin/sh
# Places what was signed into the image, if the image's trust file believes it. With EARMARK_VERITY=true, the kernel
# enforces the sealed files from here on: a copy of the root would lose that, a snapshot of the volume keeps it.
set -eu

set -- --root "${EARMARK_ROOT:?}" --trust "${EARMARK_DIR:?}/trust.toml"
[ "$EARMARK_ROOT" != / ] || set -- "$@" --live
[ "${EARMARK_VERITY-}" != true ] || set -- "$@" --verity
"$EARMARK_DIR/earmark" install "$EARMARK_DIR/out" "$@"

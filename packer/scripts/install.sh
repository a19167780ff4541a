#!/bin/sh
# Places what was signed into the image, if the image's trust file believes it.
set -eu

live=
[ "${EARMARK_ROOT:?}" = / ] && live=--live
"${EARMARK_DIR:?}/earmark" install "$EARMARK_DIR/out" --root "$EARMARK_ROOT" --trust "$EARMARK_DIR/trust.toml" $live

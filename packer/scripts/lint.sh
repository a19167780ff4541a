#!/bin/sh
# Looks for what clean.sh did not know of, removes what is safe to, and fails on the rest: each finding says what to do.
set -eu
chmod 0755 "${EARMARK_DIR:?}/earmark"

live=
[ "${EARMARK_ROOT:?}" = / ] && live=--live
"$EARMARK_DIR/earmark" lint --root "$EARMARK_ROOT" --spec "$EARMARK_DIR/earmark.toml" --fix $live

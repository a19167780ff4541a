#!/bin/sh
# Says what the image is. Needs no key; `earmark sign` signs what it writes, elsewhere.
set -eu
chmod 0755 "${EARMARK_DIR:?}/earmark"

set -- --root "${EARMARK_ROOT:?}" --spec "$EARMARK_DIR/earmark.toml" --version "${EARMARK_VERSION:?}"
[ -z "${EARMARK_REVISION-}" ] || set -- "$@" --revision "$EARMARK_REVISION"
[ -z "${EARMARK_BUILDER-}" ] || set -- "$@" --builder "$EARMARK_BUILDER"
"$EARMARK_DIR/earmark" measure "$@" --out "$EARMARK_DIR/out"
# Packer fetches it as who it logged in as.
chmod -R a+rX "$EARMARK_DIR/out"

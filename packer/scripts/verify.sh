#!/bin/sh
# Verifies all of the image, as the agent will, and then removes what was brought. Nothing may come after it.
set -eu

"${EARMARK_DIR:?}/earmark" verify --root "${EARMARK_ROOT:?}" --trust "$EARMARK_DIR/trust.toml" --full
case $EARMARK_ROOT in
    /) ;;
    *) umount --recursive "$EARMARK_ROOT" ;;
esac
rm -rf "$EARMARK_DIR"
sync

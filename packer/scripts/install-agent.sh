#!/bin/sh
# Installs the agent with the image's own package manager, which also switches its units on.
set -eu

package=/tmp/earmark-agent-package
cp "${EARMARK_DIR:?}/agent-package" "${EARMARK_ROOT:?}$package"
in_root() { chroot "$EARMARK_ROOT" "$@"; }

# A package of Debian's is an ar archive.
if [ "$(head -c 7 "$EARMARK_ROOT$package")" = '!<arch>' ]; then
    in_root dpkg --install "$package"
else
    in_root rpm --upgrade --replacepkgs "$package"
fi
rm "$EARMARK_ROOT$package"

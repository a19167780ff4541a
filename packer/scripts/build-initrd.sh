#!/bin/sh
# Builds the initrd on the release machine: no program of the guest has a part in what judges the guest. Without it, the
# file is empty, since the template uploads it in any case.
set -eu
mkdir -p "${EARMARK_WORK:?}"

if [ "${EARMARK_INITRD:?}" != true ]; then
    : > "$EARMARK_WORK/initrd.img"
    exit 0
fi
set -- --agent "${EARMARK_AGENT:?}" --trust "${EARMARK_TRUST:?}" --spec "${EARMARK_SPEC:?}"
for module in ${EARMARK_MODULES-}; do
    set -- "$@" --module "$module"
done
"${EARMARK:?}" initrd build "$@" --out "$EARMARK_WORK/initrd.img"

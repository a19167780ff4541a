#!/bin/sh
# Signs what came back from the guest, on this machine. The guest is not believed: what is signed must be the
# declaration that was reviewed here, the image and the version that were asked for.
set -eu
out=${EARMARK_WORK:?}/out

refuse() {
    echo "sign.sh: refused: $1" >&2
    exit 1
}
cmp -s "${EARMARK_SPEC:?}" "$out/earmark.toml" || refuse "the declaration that came back is not $EARMARK_SPEC"
# A signature that is there is of another bake.
rm -f "$out/manifest.json"

set -f # key references are words, not patterns
for key in ${EARMARK_KEYS:?}; do
    "${EARMARK:?}" sign "$out" --key "$key" --json > "$EARMARK_WORK/signed.json"
done
told() { jq -r ".$1" "$EARMARK_WORK/signed.json"; }
asked="${EARMARK_NAME:?} ${EARMARK_VERSION:?}"
if [ "$(told image) $(told version)" != "$asked" ]; then
    rm -f "$out/manifest.json"
    refuse "what came back is $(told image) $(told version), not $asked"
fi
echo "signed $asked, $(told manifest)"

#!/bin/sh
# Adds to Packer's manifest what was signed, for `earmark channel promote`, and says on each AMI which manifest it has.
set -eu
manifest=${EARMARK_WORK:?}/packer-manifest.json

jq --slurpfile signed "$EARMARK_WORK/signed.json" '
    .last_run_uuid as $run | $signed[0] as $s
    | (.builds[] | select(.packer_run_uuid == $run) | .custom_data)
        += {epoch: ($s.epoch | tostring), architecture: $s.architecture, manifest: $s.manifest}
' "$manifest" > "$manifest.new"
mv "$manifest.new" "$manifest"

case ${PACKER_BUILDER_TYPE:?} in amazon-*) ;; *) exit 0 ;; esac
digest=$(jq -r .manifest "$EARMARK_WORK/signed.json")
# REGION:AMI,REGION:AMI of this run.
jq -r '.last_run_uuid as $run | .builds[] | select(.packer_run_uuid == $run) | .artifact_id' "$manifest" |
    tr ',' '\n' | while IFS=: read -r region ami; do
    aws ec2 create-tags --region "$region" --resources "$ami" --tags "Key=earmark:manifest,Value=$digest"
done

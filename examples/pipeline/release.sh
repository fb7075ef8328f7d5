#!/bin/sh
# One step of a build: roll the change out and go red when its canary fails. HOIST_ADDR says where.
#   ./release.sh examples/pipeline/checkout.yaml
set -u
record=$(hoist rollout start -f "$1" --wait --timeout "${TIMEOUT:-2h}")
code=$?
printf '%s\n' "$record"   # what happened, for the archive of the build
case $code in
  0)  echo "released" >&2 ;;
  6)  echo "the canary failed and was taken back" >&2 ;;
  7)  echo "the time is over; the rollout goes on" >&2 ;;
  10) echo "the rollout waits for a person" >&2 ;;
esac
exit $code

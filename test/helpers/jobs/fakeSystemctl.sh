#!/bin/bash
# Stands for systemctl where systemd does not run. It executes what the units say, and knows only
# units whose files are there. UNITS: their folder. RUNTIME: a folder for credentials and pids.
# STATUS_URL: answers when a service that stays is ready.
set -euo pipefail
unit=${*: -1}
case $* in
  daemon-reload | list-timers*) exit ;;
esac
[ -f "$UNITS/$unit" ] || { echo "Unit $unit not found." >&2; exit 5; }
values() { sed -n "s/^$1=//p" "$UNITS/$unit"; }

export CREDENTIALS_DIRECTORY=$RUNTIME/$unit
mkdir -p "$CREDENTIALS_DIRECTORY"
values LoadCredential | while IFS=: read -r name file; do
  install -m 400 "$file" "$CREDENTIALS_DIRECTORY/$name"
done
case $* in
  "start $unit") exec bash -c "exec $(values ExecStart)" ;;
  "enable --now "*.service)
    setsid bash -c "exec $(values ExecStart)" >"$RUNTIME/$unit.log" 2>&1 &
    echo $! >"$RUNTIME/$unit.pid"
    # systemd waits until a service of this type says that it is ready.
    until curl --silent --fail --output /dev/null "$STATUS_URL"; do
      kill -0 $! || { cat "$RUNTIME/$unit.log" >&2; exit 1; }
      sleep 0.1
    done
    ;;
  "enable --now "*.timer | "disable --now "*.timer) ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac

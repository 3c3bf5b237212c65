#!/usr/bin/env bash
# Installs moto, an S3 server of the tests, into .venv of the clone. Does nothing where there is one.
# With --pinned a moto_server in PATH does not count, because its version is not known.
set -euo pipefail
cd "$(dirname "$0")/../../.."

fail() { echo "tests: $*" >&2; exit 1; }
requirements=test/helpers/s3/requirements.txt
installed=.venv/moto-requirements.txt

[ -z "${MOTO_SERVER:-}" ] || exit 0
if [ -x .venv/bin/moto_server ] && cmp -s "$requirements" "$installed"; then exit 0; fi
if [ "${1:-}" != --pinned ] && command -v moto_server >/dev/null; then exit 0; fi

command -v python3 >/dev/null || fail 'Python 3 is missing; moto, an S3 server of the tests, needs it'
[ -x .venv/bin/python ] || python3 -m venv .venv ||
  fail 'python3 -m venv failed; Debian has it in the package python3-venv'
echo 'tests: installing moto, an S3 server, into .venv' >&2
.venv/bin/pip install -q --disable-pip-version-check -r "$requirements" ||
  fail 'moto cannot be installed; MOTO_SERVER may name a moto_server of another place'
cp "$requirements" "$installed"

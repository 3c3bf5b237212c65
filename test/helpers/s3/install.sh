#!/usr/bin/env bash
# Installs moto, an S3 server of the tests, into .venv of the clone. Does nothing where it is there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

fail() { echo "tests: $*" >&2; exit 1; }
wanted=$(sed -n 's/.*==//p' test/helpers/s3/requirements.txt)
stamp=.venv/moto-version

[ -z "${MOTO_SERVER:-}" ] || exit 0
[ -x .venv/bin/moto_server ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

command -v python3 >/dev/null || fail 'Python 3 is missing; the S3 server of the tests needs it'
[ -x .venv/bin/python ] || python3 -m venv .venv ||
  fail 'python3 -m venv failed; Debian has it in the package python3-venv'
echo "tests: installing moto $wanted into .venv" >&2
.venv/bin/pip install -q --disable-pip-version-check -r test/helpers/s3/requirements.txt ||
  fail 'moto cannot be installed; set MOTO_SERVER to a moto_server of your own'
echo "$wanted" >"$stamp"

#!/usr/bin/env bash
# Packs the product and the lab, installs them in an empty folder, imports them and runs the command.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" >/dev/null
npm pack --silent --pack-destination "$work" --workspace lab >/dev/null
cd "$work"
npm init -y >/dev/null
npm install --silent ./ovirt-cbt-[0-9]*.tgz
cat > smoke.mjs <<'JS'
import { parseBytes } from 'ovirt-cbt';
import { connect, createMemoryDevice } from 'ovirt-cbt/stages';
if (typeof connect !== 'function' || parseBytes('1KiB') !== 1024) process.exit(1);
if (createMemoryDevice({ content: new Uint8Array(5) }).virtualSizeBytes !== 5) process.exit(1);
const internal = await import('ovirt-cbt/dist/core/units.js').then(() => true, () => false);
if (internal) process.exit(1);
JS
node smoke.mjs
npx ovirt-cbt --version
head -c 3000000 /dev/urandom >disk.raw
npx ovirt-cbt backup --image disk.raw --name vm --repo repo --workers 1
npx ovirt-cbt restore --repo repo --vm vm --output restored
cmp disk.raw restored/disk.raw

# Without the package of the lab: one clear error that says how to get it, and exit code 2.
[ ! -e node_modules/node-forge ]
for command in lab demo; do
  code=0
  npx ovirt-cbt "$command" 2>error.txt || code=$?
  [ "$code" -eq 2 ]
  grep -q 'npm install ovirt-cbt-lab' error.txt
done

npm install --silent ./ovirt-cbt-lab-*.tgz
cat > lab.mjs <<'JS'
import { startLab } from 'ovirt-cbt-lab';
await (await startLab()).close();
JS
node lab.mjs
npx ovirt-cbt demo >demo.txt
grep -q 'left on the engine: nothing' demo.txt

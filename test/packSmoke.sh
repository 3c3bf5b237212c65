#!/usr/bin/env bash
# Packs the product, installs the package in an empty folder, imports it and runs its command.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" >/dev/null
cd "$work"
npm init -y >/dev/null
npm install --silent ./ovirt-cbt-*.tgz
cat > smoke.mjs <<'JS'
import { connect, createMemoryDevice, ERROR_CODES } from 'ovirt-cbt';
if (typeof connect !== 'function' || ERROR_CODES.length === 0) process.exit(1);
if (createMemoryDevice({ content: new Uint8Array(5) }).virtualSizeBytes !== 5) process.exit(1);
const { startLab } = await import('ovirt-cbt/lab');
await (await startLab()).close();
const internal = await import('ovirt-cbt/dist/core/units.js').then(() => true, () => false);
if (internal) process.exit(1);
JS
node smoke.mjs
npx ovirt-cbt --version
head -c 3000000 /dev/urandom >disk.raw
npx ovirt-cbt backup --image disk.raw --name vm --repo repo --workers 1
npx ovirt-cbt restore --repo repo --vm vm --output restored
cmp disk.raw restored/disk.raw

#!/usr/bin/env bash
# Packs the product and the lab, looks at what is in the package, installs it in empty folders, with
# and without a compiler, imports it and runs the command.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" >/dev/null
npm pack --silent --pack-destination "$work" --workspace lab >/dev/null

# Nothing that only developers need, and no second copy of the command line.
MOST_FILES=820
for package in "$work"/*.tgz; do
  tar -tzf "$package" | sed 's|^package/||' >"$work/files.txt"
  if grep -E '\.map$|\.ts$|^(test|src|kernels|fixtures|bench|dist/cli)/' "$work/files.txt" |
    grep -vE '^dist/.*\.d\.ts$|^bench/RESULTS\.md$|^dist/cli/launch\.cjs$'; then
    echo "$package: files that do not belong into it" >&2
    exit 1
  fi
  count=$(wc -l <"$work/files.txt")
  [ "$count" -le "$MOST_FILES" ] || { echo "$package: $count files" >&2; exit 1; }
done

mkdir "$work/with" && cd "$work/with"
npm init -y >/dev/null
npm install --silent ../ovirt-cbt-[0-9]*.tgz
# The native build is used where there is a compiler.
node -e "require('lz4/build/Release/lz4.node')"
cat > smoke.mjs <<'JS'
import { parseBytes } from 'ovirt-cbt';
import { connect, createMemoryDevice } from 'ovirt-cbt/stages';
if (typeof connect !== 'function' || parseBytes('1KiB') !== 1024) process.exit(1);
if (createMemoryDevice({ content: new Uint8Array(5) }).virtualSizeBytes !== 5) process.exit(1);
const internal = await import('ovirt-cbt/dist/core/units.js').then(() => true, () => false);
if (internal) process.exit(1);
JS
node smoke.mjs
# The declarations in the package are enough for the compiler of a user.
compile() {
  node "$root/node_modules/typescript/bin/tsc" --strict --target es2022 --lib es2023,esnext.disposable,dom \
    --module nodenext --types node --typeRoots "$root/node_modules/@types" "$@"
}
cat > types.mts <<'TS'
import * as product from 'ovirt-cbt';
import { backupImages, type SessionReport } from 'ovirt-cbt';
export const report: Promise<SessionReport> = backupImages({ images: [], vmName: '', repository: '' });
export const all: typeof product = product;
TS
compile --noEmit types.mts
npx ovirt-cbt --version
{ head -c 2000000 /dev/zero | tr '\0' w; head -c 1000000 /dev/urandom; } >disk.raw
npx ovirt-cbt backup --image disk.raw --name vm --repo repo --workers 1 --strict
npx ovirt-cbt restore --repo repo --vm vm --output restored
cmp disk.raw restored/disk.raw

# Packages that only jobs need are found.
cat > jobs.yaml <<'YAML'
engines: { one: { url: https://engine.example/ovirt-engine, username: me, passwordFile: password } }
repositories: { main: { path: repo } }
jobs: { nightly: { engine: one, vms: { all: true }, repository: main, schedule: '0 1 * * *' } }
YAML
(umask 077 && echo secret >password)
npx ovirt-cbt check-config jobs.yaml | grep -q 'no problems'
npx ovirt-cbt timers --print --file jobs.yaml | grep -q '^OnCalendar='

# As docs/nightly.md installs it: the command, its manual page and its completion.
npm install --silent --global --prefix "$work/global" ../ovirt-cbt-[0-9]*.tgz
"$work/global/bin/ovirt-cbt" --version
[ -s "$work/global/share/man/man1/ovirt-cbt.1" ]
"$work/global/bin/ovirt-cbt" completion bash | bash -n
# The page of the console is there as browsers load it.
[ -s "$work/global/lib/node_modules/ovirt-cbt/dist/console/page/index.html" ]
[ -s "$work/global/lib/node_modules/ovirt-cbt/dist/console/page/vendor/LICENSE.preact.txt" ]
# The bundle has what only the command line needs.
[ ! -e "$work/global/lib/node_modules/ovirt-cbt/dist/jobs" ]

# Without the package of the lab: one clear error that says how to get it, and exit code 2.
[ ! -e node_modules/node-forge ]
for command in lab demo; do
  code=0
  npx ovirt-cbt "$command" 2>error.txt || code=$?
  [ "$code" -eq 2 ]
  grep -q 'npm pack -w lab' error.txt
done

npm install --silent ../ovirt-cbt-lab-*.tgz
cat > lab.mjs <<'JS'
import { startLab } from 'ovirt-cbt-lab';
await (await startLab()).close();
JS
node lab.mjs

# The two programs of the library, as a user writes them in TypeScript: a VM to an archive, and a
# restore point compared with it.
cat > programs.mts <<'TS'
import { backupVms, type EngineSettings, openRepository, openVm, scaleTimings } from 'ovirt-cbt';
import { startLab } from 'ovirt-cbt-lab';

const lab = await startLab();
const vm = lab.addVm({ name: 'web01', disks: [{ name: 'system', sizeBytes: 8 << 20 }] });
vm.disk('system').write(5 << 20, Buffer.alloc(2 << 20, 'text '));
const { url, username, password, caPem } = lab;
const engine: EngineSettings = { url, username, password, caPem, timings: scaleTimings(0.01) };
const { signal } = new AbortController();
const archive = {
  bytes: Buffer.alloc(8 << 20),
  async put(_disk: string, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    this.bytes.set(bytes, offsetBytes);
  },
  async zero(_disk: string, offsetBytes: number, lengthBytes: number): Promise<void> {
    this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
  },
};

async function program(checkpointId: string | undefined): Promise<string> {
  await using backup = await openVm({ engine, vm: 'web01', since: checkpointId, signal }); // no `since`: full
  for (const disk of backup.disks) {                       // id, alias, mode, reason, virtualSizeBytes
    await disk.pipe({
      compress: 'none',                                    // or 'lz4'
      async block({ offsetBytes, bytes }) { await archive.put(disk.id, offsetBytes, bytes); },
      async zero({ offsetBytes, lengthBytes }) { await archive.zero(disk.id, offsetBytes, lengthBytes); },
    });                                                    // or disk.pipe(anyObjectModeWritable)
  }
  const { checkpointId: next } = await backup.finish();    // ends the engine's backup; leaving the block without it cancels
  return next;
}

const first = await program(undefined);
vm.disk('system').write(3 << 20, Buffer.from('changed'));
await program(first);
await backupVms({ engine, vms: ['web01'], repository: 'repo' });
let compared = 0;
function compare(offsetBytes: number, bytes: Buffer): void {
  if (!bytes.equals(archive.bytes.subarray(offsetBytes, offsetBytes + bytes.length))) process.exit(1);
  compared += bytes.length;
}

{
  await using repository = await openRepository('repo');
  const point = await repository.point('web01', 'latest');
  for await (const { offsetBytes, bytes } of point.disk('system').blocks()) compare(offsetBytes, bytes);
}
if (compared !== 3 << 20 || lab.leftovers().length > 0) process.exit(1);
await lab.close();
TS
compile --outDir . programs.mts
TMPDIR=$work node programs.mjs
npx ovirt-cbt demo >demo.txt
grep -q 'left on the engine: nothing' demo.txt

# A machine without compiler, make and Python, and with an untouched cache: npm leaves lz4 out without
# a word, and the codec of the product does its work.
mkdir "$work/bare" "$work/without" && cd "$work/without"
for tool in node npm npx sh env cat ls mkdir rm uname sed grep dirname basename; do
  ln -s "$(command -v "$tool")" "$work/bare/$tool"
done
bare() { env -u CC -u CXX -u PYTHON PATH="$work/bare" npm_config_cache="$work/cache" "$@"; }
for tool in gcc g++ cc c++ clang make python python3; do
  ! bare sh -c "command -v $tool" || { echo "$tool is there" >&2; exit 1; }
done
{ head -c 2000000 /dev/zero | tr '\0' t; head -c 1000000 /dev/urandom; } >disk.raw
bare npm init -y >/dev/null
bare npm install ../ovirt-cbt-[0-9]*.tgz >install.txt 2>&1
cat install.txt
# npm names the scripts that it does not run, such as that of the optional msgpackr-extract.
if grep -v '^npm warn install-scripts' install.txt | grep -qiE 'gyp|npm (err|error)'; then exit 1; fi
[ ! -e node_modules/lz4 ]
bare npx ovirt-cbt --version
bare npx ovirt-cbt backup --image disk.raw --name vm --repo repo 2>backup.txt
grep -q 'warn: ENV-801 .*is not installed' backup.txt
bare npx ovirt-cbt restore --repo repo --vm vm --output restored
cmp disk.raw restored/disk.raw
code=0
bare npx ovirt-cbt backup --image disk.raw --name vm --repo repo --strict 2>strict.txt || code=$?
[ "$code" -eq 2 ]
grep -q 'USAGE_CODEC_NOT_NATIVE' strict.txt

# A reader with the native build reads what the other codec wrote, and the other way round.
"$work/with/node_modules/.bin/ovirt-cbt" restore --repo repo --vm vm --output other
cmp disk.raw other/disk.raw
bare npx ovirt-cbt restore --repo ../with/repo --vm vm --output back
cmp ../with/disk.raw back/disk.raw
echo 'package: ok'

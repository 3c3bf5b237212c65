/** The command line as it is shipped, with a disk so large that threads move its data. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { THREADED_FROM } from '../../src/ovirt/imageio/rangeThreads.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';

const bench = useCliLab();

/** Each thread of the command adds the name of its file to the list. */
const PRELOAD = `import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (!isMainThread) appendFileSync(process.env.THREAD_LIST, process.argv[1] + '\\n');
`;

it('is backed up and restored to the engine by threads of the bundle', async () => {
  const blockCount = THREADED_FROM.bytes / MIB + 4;
  const vm = bench.lab.addVm({
    name: 'big',
    disks: [{ name: 'sys', sizeBytes: blockCount * MIB }],
  });
  const block = noise(1, MIB);
  for (let k = 0; k < blockCount; k++) {
    block.writeUInt32LE(k, 0);
    vm.disk('sys').write(k * MIB, block);
  }
  const view = vm.disk('sys').snapshot();
  const [preload, list] = [bench.temp.path('preload.mjs'), bench.temp.path('threads')];
  writeFileSync(preload, PRELOAD);
  const env = { NODE_OPTIONS: `--import ${pathToFileURL(preload).href}`, THREAD_LIST: list };
  const filesOf = (): string[] => {
    const names = readFileSync(list, 'utf8')
      .trim()
      .split('\n')
      .map((file) => path.basename(file));
    writeFileSync(list, '');
    return [...new Set(names)].toSorted();
  };
  const common = ['--repo', bench.repository, '--vm', 'big', '--workers', '2'];

  const backup = await bench.start(['backup', ...common], { ...bench.env(), ...env }).ended;
  const readBy = filesOf();
  const target = ['--as-vm', 'again', '--storage-domain', 'data', '--cluster', 'Default'];
  const args = ['restore', ...common, '--to-engine', ...target];
  const restore = await bench.start(args, { ...bench.env(), ...env }).ended;
  const sentBy = filesOf();

  expect([backup, restore]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);
  const threads = ['blockWorker.js', 'rangeThread.js'];
  expect([readBy, sentBy]).toEqual([threads, threads]);
  await bench.expectRestored(vm, { sys: view });
  const [copy] = bench.lab.vms.find(({ name }) => name === 'again')?.disks ?? [];
  expect(copy?.digest()).toBe(view.digest());
});

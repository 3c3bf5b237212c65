/** Two disks of one VM with one alias: a name that fits both selects none of them. */
import { readdirSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { preflightVm } from '../../src/sessions/backup/vm/preflightVm.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { expectCode } from '../helpers/codes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const bench = useLab();
const temp = useTempFolder();
const DISKS = ['twin', 'twin', 'single'].map((name) => ({ name, sizeBytes: BLOCK_BYTES }));
const AMBIGUOUS = 'USAGE_INVALID_OPTION';

let vm: LabVm;
let twins: string[] = [];
beforeEach(() => {
  vm = bench.lab.addVm({ name: 'web01', disks: DISKS });
  for (const disk of vm.disks) disk.write(0, Buffer.from(`data of ${disk.id}`));
  twins = vm.disks.slice(0, 2).map((disk) => disk.id);
});

it.each(['disks', 'excludeDisks'])('refuses the name for a backup: %s', async (option) => {
  const error = await expectCode(bench.backup(vm, { [option]: ['twin'] }), AMBIGUOUS);

  for (const id of twins) expect(error.message).toContain(id);
});

it('refuses the name for a preflight', async () => {
  const { repository } = bench;
  const options = { engine: bench.settings(), repository, vm: vm.id };

  await expectCode(preflightVm({ ...options, disks: ['twin'] }), AMBIGUOUS);
  await expectCode(preflightVm({ ...options, excludeDisks: ['twin'] }), AMBIGUOUS);
});

it('refuses the name for a restore to files and to the engine', async () => {
  await bench.backup(vm);
  const files = { repository: bench.repository, vm: vm.id, output: temp.path('out'), workers: 0 };

  for (const restore of [
    () => restoreImages({ ...files, disks: ['twin'] }),
    () => bench.restore(vm, { disks: ['twin'] }),
  ]) {
    const error = await expectCode(restore, AMBIGUOUS);
    for (const id of twins) expect(error.message).toContain(id);
  }
});

it('takes each of them by its id, and a disk that is named twice once', async () => {
  const [first = ''] = twins;
  const report = await bench.backup(vm, { disks: [first, 'single'] });
  expect(report.disks.map(({ diskId }) => diskId)).toEqual([first, vm.disk('single').id]);
  const output = temp.path('out');

  await restoreImages({
    repository: bench.repository,
    vm: vm.id,
    output,
    disks: [first, 'twin'],
    workers: 0,
  });

  expect(readdirSync(output)).toEqual(['twin']);
});

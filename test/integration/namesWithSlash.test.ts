/** Slashes and other signs in names: of a VM of images, of its disks on an engine. */
import { expect, it } from 'vitest';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { restoreVm } from '../../src/sessions/restore/restoreVm.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { backup } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const bench = useLab();
const temp = useTempFolder();

it.each(['a/b', '../b', '..', '/'])('images can have the VM name %s', async (vmName) => {
  const repository = temp.path('repository');
  await backup(repository, writeImage(temp.path('disk'), blocks('Ab')), { vmName });
  await backup(repository, writeImage(temp.path('disk'), blocks('AB')), { vmName });

  const { vms } = await listRepository({ repository, vm: vmName });
  const report = await restoreImages({
    repository,
    vm: vmName,
    output: temp.path('out'),
    workers: 0,
  });

  expect(vms).toMatchObject([{ vmName, points: [{ number: 1 }, { number: 2 }] }]);
  expect(report.disks).toMatchObject([{ alias: 'disk', path: temp.path('out/disk') }]);
});

it('an image whose name the engine would refuse gets a name that it allows', async () => {
  const { repository } = bench;
  const images = writeImage(temp.path('disk ü 日本 (1).raw'), blocks('Ab'));
  await backup(repository, images, { vmName: 'a/b' });

  const report = await restoreVm({
    engine: bench.settings(),
    repository,
    vm: 'a/b',
    asVm: 'a_b',
    storageDomain: 'data',
    cluster: 'Default',
    workers: 0,
  });

  const [disk] = bench.lab.vm(report.newVmId).disks;
  expect(disk?.name).toMatch(/^a_b_disk_ü_日本__1_\.raw_[0-9a-f]{8}$/);
});

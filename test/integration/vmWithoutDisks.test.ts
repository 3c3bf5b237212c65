/** VMs without a disk that can be backed up: points with their configuration only. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LabDiskSpec, LabVm } from '../../lab/src/index.ts';
import { preflightVm } from '../../src/sessions/backup/vm/preflightVm.ts';
import { inspectContainer } from '../../src/sessions/inspect/inspectContainer.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { formatSession } from '../../src/cli/output/sessionOutput.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const DISK = { name: 'sys', sizeBytes: 2 * BLOCK_BYTES };
const LUN = { name: 'lun', sizeBytes: BLOCK_BYTES, format: 'raw', storageType: 'lun' } as const;

function addVm(disks: readonly LabDiskSpec[] = []): LabVm {
  return bench.lab.addVm({ name: 'web01', status: 'down', nics: ['nic1'], disks });
}

function startedBackups(): number {
  return bench.lab.requests.filter(
    ({ method, path: url }) => method === 'POST' && url.endsWith('/backups'),
  ).length;
}

describe('a VM without disks', () => {
  it('gets a point with its configuration, and no backup on the engine', async () => {
    const vm = addVm();

    const report = await bench.backup(vm);

    expect(report).toMatchObject({ pointType: 'full', pointNumber: 1, disks: [] });
    expect(messageCodes(report)).toEqual(['JOB-608']);
    expect(startedBackups()).toBe(0);
    expect(formatSession(report)).toMatch(/point 1 \(full\) .+\nno disk, only the configuration/);
  });

  it('comes back as a VM', async () => {
    const vm = addVm();
    await bench.backup(vm);

    const report = await bench.restore(vm);

    expect(report).toMatchObject({ hasConfiguration: true, disks: [] });
    expect(bench.lab.vm('web01-restored').nics).toMatchObject([{ name: 'nic1' }]);
  });

  it('has no image to restore, which is said', async () => {
    const { repository } = bench;
    const vm = addVm();
    await bench.backup(vm);
    const output = path.join(repository, '..', 'restored');

    const restoring = restoreImages({ repository, vm: vm.id, output, workers: 0 });

    expect((await expectCode(restoring, 'USAGE_NOT_FOUND')).message).toContain('configuration');
  });

  it('has a chain that every command reads', async () => {
    const { repository } = bench;
    const vm = addVm();
    for (let k = 0; k < 3; k++) await bench.backup(vm);

    const { vms } = await listRepository({ repository });
    const [file = ''] = vms[0]?.points.map(({ fileName }) => fileName) ?? [];
    expect(vms[0]?.points.map(({ type }) => type)).toEqual(['full', 'increment', 'increment']);
    const folder = vms[0]?.folder ?? '';
    await inspectContainer({ file: path.resolve(repository, folder, file) });
    const sample = { repository, point: 'all', sampleRatio: 0.01, workers: 0 };
    expect((await verifyRepository(sample)).damage).toEqual([]);
    expect((await verifyRepository({ repository, point: 'all', workers: 0 })).damage).toEqual([]);
    await synthesizeFull({ repository, vm: vm.id, workers: 0 });
    await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });
    await rescanRepository({ repository });
    expect((await listRepository({ repository })).vms[0]?.points).toMatchObject([{ number: 3 }]);
    expect((await bench.restore(vm)).hasConfiguration).toBe(true);
  });

  it('that gets a disk has the disk whole in the next increment', async () => {
    const vm = addVm();
    await bench.backup(vm);
    vm.addDisk(DISK).write(0, noise(1, BLOCK_BYTES));

    const first = await bench.backup(vm);
    vm.disk('sys').write(BLOCK_BYTES, noise(2, 512));
    const second = await bench.backup(vm);

    expect(first).toMatchObject({ pointType: 'increment', disks: [{ mode: 'full' }] });
    expect(messageCodes(first)).toEqual(['CBT-106']);
    expect(second.disks).toMatchObject([{ mode: 'incremental' }]);
    await bench.expectRestored(vm, { sys: vm.disk('sys') });
  });

  it('that lost its last disk keeps the points with the disk', async () => {
    const { repository } = bench;
    const vm = addVm([DISK]);
    vm.disk('sys').write(0, noise(1, BLOCK_BYTES));
    const { pointId } = await bench.backup(vm);
    const content = vm.disk('sys').snapshot();
    vm.detachDisk('sys');

    const report = await bench.backup(vm);

    expect(messageCodes(report)).toEqual(['DSK-111', 'JOB-608']);
    await bench.expectRestored(vm, { sys: content }, pointId);
    await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });
    expect((await bench.restore(vm)).disks).toEqual([]);
  });
});

describe('a VM whose disks cannot be read', () => {
  it.each([
    ['', {}, ['JOB-601', 'JOB-608']],
    [', and are excluded so that no message comes', { excludeDisks: ['lun'] }, ['JOB-608']],
  ])('gets a point with its configuration%s', async (_what, options, codes) => {
    const vm = addVm([LUN]);

    const report = await bench.backup(vm, options);

    expect([report.disks, messageCodes(report)]).toEqual([[], codes]);
    expect(report.engine?.leftOut).toMatchObject([{ alias: 'lun' }]);
  });

  it('now, but were backed up before, gets none: it would stand for these disks', async () => {
    const vm = addVm([DISK]);
    await bench.backup(vm);
    await using client = await EngineClient.login(bench.lab);
    const attachment = `/vms/${vm.id}/diskattachments/${vm.disk('sys').id}`;
    await client.call('PUT', attachment, { active: false });

    await expectCode(bench.backup(vm), 'USAGE_NOT_FOUND');

    expect((await listRepository({ repository: bench.repository })).vms[0]?.points).toHaveLength(1);
  });
});

describe('options that exclude every disk', () => {
  it.each([
    [[DISK], { excludeDisks: ['sys'] }],
    [[DISK, LUN], { excludeDisks: ['sys'] }],
    [[DISK, LUN], { disks: ['lun'] }],
  ])('are a wrong usage', async (disks, options) => {
    const vm = addVm(disks);

    await expectCode(bench.backup(vm, options), 'USAGE_INVALID_OPTION');
  });
});

describe('preflight', () => {
  it.each([
    ['says that only the configuration would be stored', [LUN], [], true, ['JOB-601', 'JOB-608']],
    ['refuses when the options exclude every disk', [DISK], ['sys'], false, []],
  ])('%s', async (_what, disks, excludeDisks, canStart, codes) => {
    const vm = addVm(disks);
    const { repository } = bench;

    const engine = bench.settings();
    const report = await preflightVm({ engine, repository, vm: vm.id, excludeDisks });

    expect(report.canStart).toBe(canStart);
    const told = messageCodes(report).filter((code) => code !== 'REPO-531');
    expect(told).toEqual(codes);
  });
});

/** Pipes that compare with a restore point: only blocks that differ from it come. */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { OpenPoint } from '../../src/points/openPoint.ts';
import { openRepository } from '../../src/points/openRepository.ts';
import { openVm, type OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode } from '../helpers/codes.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();

function addVm(name = 'web01'): LabVm {
  const vm = bench.lab.addVm({
    name,
    disks: [
      { name: 'sys', sizeBytes: 2 * MIB + 512, bootable: true },
      { name: 'redo', sizeBytes: 2 * MIB + 512, format: 'raw' },
    ],
  });
  for (const disk of vm.disks) disk.write(100, noise(disk.name, 1_500_000));
  return vm;
}

/** Opens a point for the length of `work`. */
async function withPoint<T>(
  vm: LabVm,
  work: (point: OpenPoint) => Promise<T>,
  selector = 'latest',
): Promise<T> {
  await using repository = await openRepository(bench.repository, { workers: 0 });
  return await work(await repository.point(vm.id, selector));
}

/** Options of a pipe that has a journal of its own, apart from the repository of `parent`. */
function options(parent: OpenPoint, given: Partial<OpenVmOptions> = {}): OpenVmOptions {
  const journal = `${bench.repository}-pipes`;
  return { ...pipeOptions(bench), journal, blockSizeBytes: undefined, parent, ...given };
}

/** Copies of the disks as the point holds them. */
async function copyOf(point: OpenPoint): Promise<VmCopy> {
  const copy = new VmCopy();
  for (const disk of point.disks) {
    const target = copy.of(disk);
    let at = 0;
    for await (const piece of disk.createReadStream()) {
      target.bytes.set(piece as Buffer, at);
      at += (piece as Buffer).length;
    }
  }
  return copy;
}

interface Outcome {
  readonly modes: Readonly<Record<string, string>>;
  readonly blocks: Readonly<Record<string, number>>;
  readonly reasons: readonly string[];
  readonly checkpointId: string;
}

/** Pipes onto copies of the point. They must equal the frozen view afterwards. */
async function expectRebuilt(vm: LabVm, given: OpenVmOptions, point: OpenPoint): Promise<Outcome> {
  const copy = await copyOf(point);
  bench.lab.traffic.reset();
  await using backup = await openVm(given);
  expect(bench.lab.traffic.readBytes.size, 'no byte has moved').toBe(0);
  const reports = await Promise.all(backup.disks.map((disk) => disk.pipe(copy.of(disk).sink())));
  const { checkpointId } = await backup.finish();
  expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  return {
    modes: Object.fromEntries(backup.disks.map(({ alias, mode }) => [alias, mode])),
    blocks: Object.fromEntries(
      reports.map(({ alias, blockBytes, zeroBytes }) => [
        alias,
        Math.ceil((blockBytes + zeroBytes) / BLOCK_BYTES),
      ]),
    ),
    reasons: backup.disks.map(({ reason }) => reason),
    checkpointId,
  };
}

const MODES = { sys: 'incremental', redo: 'compare' };

describe('a pipe with a restore point as its parent', () => {
  it('gives only blocks that changed, also of a RAW disk', async () => {
    const vm = addVm();
    await bench.backup(vm);
    vm.disk('redo').write(3 * BLOCK_BYTES + 7, noise(5, 100));
    vm.disk('redo').zero(0, BLOCK_BYTES);
    vm.disk('sys').write(0, noise(6, 100));

    await withPoint(vm, async (point) => {
      const outcome = await expectRebuilt(vm, options(point), point);

      expect(outcome.modes).toEqual(MODES);
      expect(outcome.blocks).toEqual({ sys: 1, redo: 2 });
      expect(outcome.reasons).toEqual(['changes since restore point 1', 'stored as RAW']);
    });
  });

  it('gives nothing of a disk that has not changed', async () => {
    const vm = addVm();
    await bench.backup(vm);

    await withPoint(vm, async (point) => {
      const outcome = await expectRebuilt(vm, options(point), point);
      expect(outcome.blocks).toEqual({ sys: 0, redo: 0 });
    });
  });

  it('compares every disk when the engine has lost the checkpoint, or fails with strict', async () => {
    const vm = addVm();
    await bench.backup(vm);
    vm.revertSnapshot('removed');
    vm.disk('sys').writeUntracked(BLOCK_BYTES, noise(7, 5));

    await withPoint(vm, async (point) => {
      await expectCode(openVm(options(point, { strict: true })), 'ENGINE_CHANGE_MAP_LOST');
      const outcome = await expectRebuilt(vm, options(point), point);
      expect(outcome.modes).toEqual({ sys: 'compare', redo: 'compare' });
      expect(outcome.blocks).toEqual({ sys: 1, redo: 0 });
    });
  });

  it.each([3 * MIB, 2 * MIB, MIB + 512])('takes a resize to %i B', async (sizeBytes) => {
    const vm = addVm();
    await bench.backup(vm);
    for (const disk of vm.disks) disk.resize(sizeBytes);

    await withPoint(vm, async (point) => {
      await expectRebuilt(vm, options(point), point);
    });
  });

  it('reads whole what the point does not hold', async () => {
    const vm = addVm();
    await bench.backup(vm, { disks: ['sys'] });

    await withPoint(vm, async (point) => {
      const { modes, blocks } = await expectRebuilt(vm, options(point), point);
      expect(modes).toEqual({ sys: 'incremental', redo: 'full' });
      expect(blocks).toEqual({ sys: 0, redo: 9 });
    });
  });

  it('compares with an older point, whose checkpoint is gone', async () => {
    const vm = addVm();
    await bench.backup(vm);
    vm.disk('sys').write(0, noise(8, 10));
    vm.disk('redo').write(0, noise(8, 10));
    await bench.backup(vm);

    await withPoint(
      vm,
      async (point) => {
        const { modes, blocks } = await expectRebuilt(vm, options(point), point);
        expect(modes).toEqual({ sys: 'compare', redo: 'compare' });
        expect(blocks).toEqual({ sys: 1, redo: 1 });
      },
      '1',
    );
  });

  it('refuses another block size and another checkpoint', async () => {
    const vm = addVm();
    await bench.backup(vm);

    await withPoint(vm, async (point) => {
      const invalid = 'USAGE_INVALID_OPTION';
      await expectCode(openVm(options(point, { blockSizeBytes: MIB })), invalid);
      await expectCode(openVm(options(point, { since: 'another' })), invalid);
    });
  });
});

describe('pipes and sessions that share a repository', () => {
  it('keep the checkpoints of each other', async () => {
    const vm = addVm();
    const copy = new VmCopy();
    let { checkpointId: since } = await pipeAll(bench, copy);
    await bench.backup(vm);
    for (let k = 0; k < 3; k++) {
      vm.disk('sys').write(k * BLOCK_BYTES, noise(k, 1000));
      const piped = await pipeAll(bench, copy, { since, strict: true });
      since = piped.checkpointId;
      expect(copy.differences(vm, piped.backup, since)).toEqual([]);
      const session = await bench.backup(vm);
      expect(session.disks[0]).toMatchObject({ mode: 'incremental' });
      await bench.expectRestored(vm, {
        sys: vm.frozenView(session.engine?.backupId ?? '', 'sys'),
        redo: vm.frozenView(session.engine?.backupId ?? '', 'redo'),
      });
    }

    // The base of the last pipe, the last pipe, and the last point.
    expect(vm.checkpointIds().length).toBe(3);
  });
});

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createStageStats } from '../../../src/core/stats.ts';
import type { BlockDevice, DiskMode, PlannedRun } from '../../../src/flow/records.ts';
import { createExtentSource } from '../../../src/flow/stages/extentSource.ts';
import { PICTURE_BLOCK_BYTES, diskImage } from '../../helpers/pipeline/diskPicture.ts';
import { expectCode } from '../../helpers/codes.ts';

async function runsOf(
  device: BlockDevice,
  mode: DiskMode = 'full',
  stats = createStageStats(),
): Promise<PlannedRun[]> {
  const task = diskImage('AB0-').task(mode);
  const runs: PlannedRun[] = [];
  for await (const run of createExtentSource({ task, device, stats })) {
    runs.push(run as PlannedRun);
  }
  return runs;
}

test.each([
  ['full', 'zero'],
  ['compare', 'zero'],
  ['incremental', 'dirty'],
] as const)('asks in %s mode for %s extents', async (mode, context) => {
  const { device, extents } = diskImage('AB0-');
  const asked: string[] = [];
  const recording: BlockDevice = {
    ...device,
    extents: (wanted) => {
      asked.push(wanted);
      return extents;
    },
  };

  await runsOf(recording, mode);

  expect(asked).toEqual([context]);
});

test('emits the plan of the disk', async () => {
  const runs = await runsOf(diskImage('AB0-').device);

  expect(runs.map(({ index, blockCount, zero }) => [index, blockCount, zero])).toEqual([
    [0, 2, false],
    [2, 1, true],
    [3, 1, true],
  ]);
});

test('counts extents and their bytes', async () => {
  const stats = createStageStats();

  await runsOf(diskImage('AB0-').device, 'full', stats);

  expect([stats.blocks, stats.bytes]).toEqual([4, 4 * PICTURE_BLOCK_BYTES]);
});

test('never counts more busy time than the run took', async () => {
  const stats = createStageStats();
  const startedAtMs = performance.now();

  await runsOf(diskImage('AB0-').device, 'full', stats);

  expect(stats.workMs).toBeGreaterThanOrEqual(0);
  expect(stats.busyMs).toBeLessThanOrEqual(performance.now() - startedAtMs);
});

test('counts no work while the device waits, also when the plan ends early', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const stats = createStageStats();
  const image = diskImage('0A'.repeat(20));
  const task = image.task();
  const source = createExtentSource({ task, device: image.device, stats });

  for await (const _run of source) {
    vi.advanceTimersByTime(1_000);
    break;
  }
  while (!source.closed) await nextTurn();

  expect(stats.workMs).toBe(0);
});

test('reports extents that do not fit the disk', async () => {
  await expectCode(runsOf(diskImage('AB').device), 'TRANSFER_BAD_EXTENTS');
});

test('passes the error of the device on', async () => {
  const device: BlockDevice = {
    ...diskImage('AB0-').device,
    extents: () => {
      throw new RangeError('no extents');
    },
  };

  await expect(runsOf(device)).rejects.toBeInstanceOf(RangeError);
});

test('asks for no extent before somebody reads', () => {
  let isAsked = false;
  const image = diskImage('AB0-');
  const device: BlockDevice = {
    ...image.device,
    extents: () => {
      isAsked = true;
      return image.extents;
    },
  };

  createExtentSource({ task: image.task(), device, stats: createStageStats() });

  expect(isAsked).toBe(false);
});

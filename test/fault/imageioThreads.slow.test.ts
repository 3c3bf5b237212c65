/**
 * Sessions whose image data is moved by threads: fulls, increments, restores, and the faults of
 * reads, tickets and uploads. Codes and results are those of sessions without threads.
 *
 * Threads serve only large images otherwise, so this file lowers their limit.
 */
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import type { LabAction, LabVm } from '../../lab/src/index.ts';
import { exitCodeOf } from '../../src/core/errors.ts';
import { DATA_ATTEMPTS } from '../../src/ovirt/imageio/dataRetry.ts';
import {
  RangeThreads,
  THREADED_FROM,
  ThreadedImage,
} from '../../src/ovirt/imageio/rangeThreads.ts';
import { BLOCK_BYTES, KIB, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  diskNames,
  expectFrozenView,
  expectUncommitted,
  fileKindsOf,
  makeScene,
  READS,
  TRANSFER_POLLS,
  WRITES,
} from '../helpers/faults/sessionFaults.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const CREATES = { server: 'engine', method: 'POST', path: /\/imagetransfers$/ } as const;
const SERVER_FAILED = { status: 500, body: 'Server failed to perform the request.' };

let opened: MockInstance<RangeThreads['open']>;
let fetched: MockInstance<ThreadedImage['fetch']>;
let put: MockInstance<ThreadedImage['put']>;
const usualBytes = THREADED_FROM.bytes;
beforeEach(() => {
  THREADED_FROM.bytes = 0;
  opened = vi.spyOn(RangeThreads.prototype, 'open');
  fetched = vi.spyOn(ThreadedImage.prototype, 'fetch');
  put = vi.spyOn(ThreadedImage.prototype, 'put');
});
afterEach(() => {
  THREADED_FROM.bytes = usualBytes;
  vi.restoreAllMocks();
});

const bench = useLab();
/** One worker brings one thread for image data. */
const THREADED = { workers: 1 } as const;

/** Every connection for image data has ended. */
async function expectNoConnections(): Promise<void> {
  await expect.poll(() => bench.lab.traffic.openConnections).toBe(0);
}

/** A VM whose data is one block. */
function addVmOfOneBlock(): LabVm {
  const disks = [{ name: 'sys', sizeBytes: MIB, bootable: true }];
  const vm = bench.lab.addVm({ name: 'web01', disks });
  vm.disk('sys').write(BLOCK_BYTES, noise(1, BLOCK_BYTES));
  return vm;
}

/** An answer with the range of that block, moved by so many bytes. */
function rangeOf(bodyBytes: number, movedBytes = 0): LabAction {
  const from = BLOCK_BYTES + movedBytes;
  const range = `bytes ${from}-${from + BLOCK_BYTES - 1}/*`;
  return { status: 206, body: 'x'.repeat(bodyBytes), headers: { 'content-range': range } };
}

function expectNoSecrets(error: unknown): void {
  const text = inspect(error, { depth: 8, showHidden: true });
  for (const secret of bench.lab.secrets()) expect(text).not.toContain(secret);
}

/** Restores the only VM by threads. The new disk is equal. */
async function expectRestores(workers = 1): Promise<void> {
  const [vm] = bench.lab.vms;
  if (!vm) throw new Error('no VM');
  put.mockClear();
  const restored = await bench.restore(vm, { workers });
  expect(put).toHaveBeenCalled();
  expect(restored.disks[0]?.isVerified).toBe(true);
  const copy = bench.lab.disk(restored.disks[0]?.newDiskId ?? '');
  expect(copy.digest()).toBe(vm.disk('sys').digest());
}

describe('a session with threads', () => {
  // Four workers give two threads for image data.
  it.each([2, 4])('and %i workers stores and restores what was frozen', async (workers) => {
    const { lab } = bench;
    const vm = addVm(lab);
    // Data that ends in the middle of a block, a block of zeros that is data, a hole.
    vm.disk('sys').write(3 * MIB, Buffer.alloc(BLOCK_BYTES));
    vm.disk('sys').write(4 * MIB + 3 * KIB, noise(7, KIB));
    const full = await bench.backup(vm, { workers });
    expect(opened).toHaveBeenCalledTimes(1);
    expect(fetched).toHaveBeenCalled();
    vm.disk('sys').write(MIB + 5, noise(2, 300 * KIB));
    vm.disk('sys').zero(0, BLOCK_BYTES);

    const increment = await bench.backup(vm, { workers });
    const restored = await bench.restore(vm, { workers });

    expect(increment.disks[0]).toMatchObject({
      mode: 'incremental',
      changedBytes: 2 * BLOCK_BYTES,
    });
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, full);
    await expectFrozenView(bench, vm, increment);
    expect(opened).toHaveBeenCalledTimes(3);
    expect(put).toHaveBeenCalled();
    expect(restored.disks[0]?.isVerified).toBe(true);
    const copy = lab.disk(restored.disks[0]?.newDiskId ?? '');
    expect(copy.digest()).toBe(vm.disk('sys').digest());
    await expectNoConnections();
  });

  it('of several disks keeps to the limit of connections of each', async () => {
    const vm = addVm(bench.lab);
    vm.addDisk({ name: 'data', sizeBytes: 2 * MIB }).write(0, noise(3, 2 * MIB));

    const report = await bench.backup(vm, { workers: 4, connections: 3 });
    const restored = await bench.restore(vm, { workers: 4, connections: 3 });

    expect(opened).toHaveBeenCalledTimes(4);
    // Further connections serve extents, pings and options.
    expect(bench.lab.traffic.maxConnections).toBeLessThanOrEqual(3 + 2);
    await expectFrozenView(bench, vm, report);
    const digests = restored.disks.map(({ newDiskId }) => bench.lab.disk(newDiskId).digest());
    expect(digests).toEqual(vm.disks.map((disk) => disk.digest()));
  });

  it('reads parts of blocks by threads', async () => {
    const { vm, disk } = await makeScene(bench);
    disk.write(2 * MIB + 70 * KIB, noise(4, 100));

    const report = await bench.backup(vm, { ...THREADED, partialReads: true });

    expect(report.disks[0]?.readBytes).toBe(768 * KIB + 64 * KIB);
    await expectFrozenView(bench, vm, report);
  });

  it('finds by an audit what the change map misses', async () => {
    const { vm, disk } = await makeScene(bench);
    disk.writeUntracked(100, Buffer.from('missed'));

    const report = await bench.backup(vm, { ...THREADED, auditRatio: 1 });

    expect(messageCodes(report)).toEqual(['CBT-108']);
    expect(report.disks[0]).toMatchObject({ mode: 'compare', changedBytes: MIB });
    await expectFrozenView(bench, vm, report);
  });
});

describe('a read by threads', () => {
  it('that meets an error of the server for a while is tried again', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    bench.lab.faults.add({ ...READS, nth: 2, times: 3 }, SERVER_FAILED);

    const report = await bench.backup(vm, THREADED);

    expect(messageCodes(bench)).toEqual([]);
    expect(report.disks[0]).toMatchObject({ mode: 'incremental', changedBytes });
    await expectFrozenView(bench, vm, report);
  });

  it('that meets an error of the server for good ends the session', async () => {
    const scene = await makeScene(bench);
    const engine = bench.settings({ blockRetryMs: 1 });
    const fault = bench.lab.faults.add(READS, SERVER_FAILED);

    const error = await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', {
      ...THREADED,
      engine,
      connections: 1,
    });

    expect(exitCodeOf(error)).toBe(1);
    expect(error.details).toMatchObject({ diskId: scene.disk.id, httpStatus: 500 });
    expect(bench.lab.faults.fired(fault)).toBeGreaterThan(1);
    expect(bench.lab.faults.fired(fault)).toBeLessThanOrEqual(6 * 3);
    expectNoSecrets(error);
  });

  it.each([0, 100 * KIB])('that is cut after %i B is tried again', async (cutAfterBytes) => {
    const vm = addVm(bench.lab);
    bench.lab.faults.add({ ...READS, nth: 3, times: 2 }, { cutAfterBytes });

    const report = await bench.backup(vm, THREADED);

    expect(messageCodes(bench)).toEqual([]);
    expect(bench.lab.traffic.readBytes.get(vm.disk('sys').id)).toBe(3 * MIB);
    await expectFrozenView(bench, vm, report);
  });

  it('that is never answered is given up and sent again', async () => {
    const vm = addVm(bench.lab);
    const hang = bench.lab.faults.add({ ...READS, nth: 2 }, { hang: true });

    const report = await bench.backup(vm, {
      ...THREADED,
      engine: bench.settings({ imageioReadMs: 300 }),
    });

    expect(bench.lab.faults.fired(hang)).toBe(1);
    await expectFrozenView(bench, vm, report);
  });

  it.each([
    ['is cut at every try', { cutAfterBytes: KIB }, 'TRANSFER_READ_FAILED'],
    ['gets fewer bytes at every try', rangeOf(BLOCK_BYTES - 1), 'TRANSFER_SHORT_READ'],
    ['gets another range', rangeOf(BLOCK_BYTES, 7), 'TRANSFER_BAD_ANSWER'],
    ['is refused', { status: 416, body: 'out of range' }, 'TRANSFER_READ_FAILED'],
  ] as const)('that %s ends the session', async (_what, action, code) => {
    const vm = addVmOfOneBlock();
    const fault = bench.lab.faults.add(READS, action);
    const engine = bench.settings({ blockRetryMs: 1 });

    const error = await expectCode(bench.backup(vm, { ...THREADED, engine }), code);

    const [fired, isRepeated] = [bench.lab.faults.fired(fault), fetched.mock.calls.length > 1];
    expect({ fired, isRepeated }).toEqual({
      fired: error.retryable ? DATA_ATTEMPTS : 1,
      isRepeated: error.retryable,
    });
    expect(exitCodeOf(error)).toBe(1);
    expect(fileKindsOf(bench)).toEqual(['chain metadata']);
    expectNoSecrets(error);
    await expectNoConnections();
  });

  it('ends with the session that is aborted in it', async () => {
    const scene = await makeScene(bench);
    const controller = new AbortController();
    bench.lab.faults.add({ ...READS, nth: 2 }, { run: () => controller.abort(), hang: true });

    await expectUncommitted(bench, scene, 'CANCELLED', {
      workers: 4,
      connections: 2,
      signal: controller.signal,
    });

    await expectNoConnections();
  });
});

describe('a ticket of threads', () => {
  it('that is lost with the image server costs one more transfer', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.faults.add({ ...READS, nth: 2 }, { run: (lab) => lab.restartImageio() });

    const report = await bench.backup(vm, THREADED);

    expect(messageCodes(bench)).toEqual(['XFER-305']);
    await expectFrozenView(bench, vm, report);
  });
});

describe('an upload by threads', () => {
  it('goes on after a pause', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const created = countRequests(bench.lab, CREATES);
    const { faults } = bench.lab;
    const pause = faults.add(
      { ...TRANSFER_POLLS, phase: 'transferring', nth: 2 },
      { flipPhase: 'paused_system' },
    );
    faults.add(
      { ...WRITES, nth: 2 },
      { run: () => expect.poll(() => faults.fired(pause)).toBe(1) },
    );

    await expectRestores();

    expect(messageCodes(bench)).toEqual(['XFER-302']);
    expect(countRequests(bench.lab, CREATES)).toBe(created + 1);
  });

  it('goes on after a restart of the image server', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.faults.add({ ...WRITES, nth: 3 }, { run: (lab) => lab.restartImageio() });

    await expectRestores(4);

    expect(messageCodes(bench)).toEqual(['XFER-302']);
  });

  it.each([
    ['an error of the server', SERVER_FAILED],
    ['a cut before the answer', { cutAfterBytes: 0 }],
  ])('is tried again after %s', async (_what, action) => {
    await bench.backup(addVm(bench.lab));
    const fault = bench.lab.faults.add({ ...WRITES, nth: 2, times: 3 }, action);

    await expectRestores();

    expect(bench.lab.faults.fired(fault)).toBe(3);
    expect(messageCodes(bench)).toEqual([]);
  });

  it('that is never answered is sent again', async () => {
    await bench.backup(addVm(bench.lab));
    const [vm] = bench.lab.vms;
    if (!vm) throw new Error('no VM');
    const hang = bench.lab.faults.add({ ...WRITES, nth: 2 }, { hang: true });

    const restored = await bench.restore(vm, {
      ...THREADED,
      engine: bench.settings({ imageioReadMs: 300 }),
    });

    expect(bench.lab.faults.fired(hang)).toBe(1);
    const copy = bench.lab.disk(restored.disks[0]?.newDiskId ?? '');
    expect(copy.digest()).toBe(vm.disk('sys').digest());
  });

  it.each([
    ['refused', { status: 400, body: 'Requested 9, available 8' }, 'TRANSFER_WRITE_FAILED'],
    ['cut', { reset: true }, 'TRANSFER_WRITE_FAILED'],
  ] as const)(
    'that is %s for good ends the restore, and leaves nothing',
    async (_w, action, code) => {
      const vm = addVm(bench.lab);
      await bench.backup(vm);
      const known = await diskNames(bench.lab);
      bench.lab.faults.add(WRITES, action);

      const restoring = bench.restore(vm, {
        ...THREADED,
        engine: bench.settings({ blockRetryMs: 1 }),
      });
      const error = await expectCode(restoring, code);

      expect(exitCodeOf(error)).toBe(1);
      expectNoSecrets(error);
      expect(await diskNames(bench.lab)).toEqual(known);
      expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
      await expectNoConnections();
    },
  );

  it('whose checksum differs ends the restore', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const known = await diskNames(bench.lab);
    bench.lab.faults.add(
      { server: 'imageio', path: /\/checksum/ },
      { status: 200, body: { algorithm: 'sha256', block_size: 4 * MIB, checksum: '00' } },
    );

    await expectCode(bench.restore(vm, THREADED), 'TRANSFER_CHECKSUM_MISMATCH');

    expect(await diskNames(bench.lab)).toEqual(known);
  });

  it('ends with the restore that is aborted in it', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const known = await diskNames(bench.lab);
    const controller = new AbortController();
    bench.lab.faults.add({ ...WRITES, nth: 2 }, { run: () => controller.abort(), hang: true });

    const restoring = bench.restore(vm, { workers: 4, signal: controller.signal });
    await expectCode(restoring, 'CANCELLED');

    expect(await diskNames(bench.lab)).toEqual(known);
    expect(bench.lab.vms.length).toBe(1);
    await expectNoConnections();
  });
});

describe('a thread that dies', () => {
  it.each(['backup', 'restore'] as const)('ends a %s, and leaves nothing', async (work) => {
    const scene = await makeScene(bench);
    const known = await diskNames(bench.lab);
    const match = work === 'backup' ? READS : WRITES;
    const kill: (() => Promise<unknown>)[] = [];
    const remember = (worker: { terminate(): Promise<number> }): void => {
      kill.push(() => worker.terminate());
    };
    process.on('worker', remember);
    // All threads of the session: its worker may be busy or not.
    const run = async (): Promise<void> => void (await Promise.all(kill.map((one) => one())));
    bench.lab.faults.add({ ...match, nth: 2 }, { run });

    try {
      if (work === 'backup') await expectUncommitted(bench, scene, 'WORKER_CRASHED', THREADED);
      else await expectCode(bench.restore(scene.vm, THREADED), 'WORKER_CRASHED');
    } finally {
      process.off('worker', remember);
    }

    expect(await diskNames(bench.lab)).toEqual(known);
    await expectNoConnections();
  });
});

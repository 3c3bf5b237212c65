/**
 * Rows 38 to 40, 48 and 55 of the fault table: image servers that are unreachable, untrusted, busy
 * or old.
 */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  expectFrozenView,
  expectUncommitted,
  makeScene,
  READS,
} from '../helpers/faults/sessionFaults.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { startTlsFront } from '../helpers/lab/tlsFront.ts';

const CREATES = { server: 'engine', method: 'POST', path: /\/imagetransfers$/ } as const;
const CANCELS = { method: 'POST', path: /\/imagetransfers\/[^/]+\/cancel$/ } as const;
const IMAGEIO = { server: 'imageio' } as const;

describe('row 38: a transfer that stays in `initializing`', () => {
  const bench = useLab();

  it('is cancelled after its deadline, and the old base stays', async () => {
    const scene = await makeScene(bench);
    bench.lab.behaviour.transferHangs = true;
    const engine = bench.settings({ transferReadyMs: 50 });

    const failing = bench.backup(scene.vm, { engine });
    const error = await expectCode(failing, 'ENGINE_PHASE_TIMEOUT');
    bench.lab.behaviour.transferHangs = false;
    const next = await bench.backup(scene.vm);

    expect(exitCodeOf(error)).toBe(1);
    expect(countRequests(bench.lab, CANCELS)).toBe(1);
    expect(next.engine?.fromCheckpointId).toBe(scene.full.engine?.toCheckpointId);
    await expectFrozenView(bench, scene.vm, next);
  });
});

describe('row 39: a host whose port is closed', () => {
  const bench = useLab();

  it('is read through the proxy, with a message', async () => {
    const vm = addVm(bench.lab);
    bench.lab.behaviour.directUrlUnreachable = true;

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['XFER-301']);
    await expectFrozenView(bench, vm, report);
  });

  it('is written through the proxy too', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.behaviour.directUrlUnreachable = true;

    const restored = await bench.restore(vm);

    expect(messageCodes(bench)).toEqual(['XFER-301']);
    const copy = bench.lab.disk(restored.disks[0]?.newDiskId ?? '');
    expect(copy.digest()).toBe(vm.disk('sys').digest());
  });
});

describe('row 40: an image server with a certificate of another CA', () => {
  const bench = useLab();

  it('is not read, not tried again and not read unchecked, and the hint names the internal CA', async () => {
    const vm = addVm(bench.lab);
    await using front = await startTlsFront(bench.lab);
    const engine = { ...bench.settings(), url: front.url, caPem: front.caPem };

    const error = await expectCode(bench.backup(vm, { engine }), 'TRANSFER_TLS_UNTRUSTED');

    expect(exitCodeOf(error)).toBe(14);
    expect(error.hint).toContain('--ca-file');
    expect(error.retryable).toBe(false);
    expect(countRequests(bench.lab, CREATES)).toBe(1);
    expect(countRequests(bench.lab, IMAGEIO)).toBe(0);
    expect(messageCodes(bench)).toEqual([]);
  });

  it('is read when both CAs are given', async () => {
    const vm = addVm(bench.lab);
    await using front = await startTlsFront(bench.lab);
    const caPem = `${front.caPem}\n${bench.lab.caPem}`;
    const engine = { ...bench.settings(), url: front.url, caPem };

    const report = await bench.backup(vm, { engine });

    await expectFrozenView(bench, vm, report);
  });
});

describe('row 48: connections beyond what a server takes', () => {
  const bench = useLab();

  it('are not opened when as many as possible are wanted', async () => {
    const vm = addVm(bench.lab);

    const report = await bench.backup(vm, { connections: 8 });

    expect(bench.lab.traffic.maxConnections).toBeGreaterThan(2);
    expect(bench.lab.traffic.maxConnections).toBeLessThanOrEqual(8);
    await expectFrozenView(bench, vm, report);
  });

  it.each([1, 2])('are not opened when the server says %i', async (maxReaders) => {
    const vm = addVm(bench.lab);
    const offer = { features: ['extents'], max_readers: maxReaders, max_writers: 8 };
    const all = { ...READS, method: 'OPTIONS' };
    bench.lab.faults.add(all, { status: 200, body: offer });

    const report = await bench.backup(vm, { connections: 8 });

    expect(bench.lab.traffic.maxConnections).toBe(maxReaders);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 55: an imageio that knows neither OPTIONS nor extents', () => {
  const bench = useLab();

  it('is read whole over one connection', async () => {
    const vm = addVm(bench.lab);
    bench.lab.behaviour.oldImageio = true;

    const report = await bench.backup(vm);

    const { sizeBytes, id } = vm.disk('sys');
    expect(bench.lab.traffic.maxConnections).toBe(1);
    expect(bench.lab.traffic.readBytes.get(id)).toBe(sizeBytes);
    await expectFrozenView(bench, vm, report);
  });

  it('is compared where a change map was offered', async () => {
    const { vm, changedBytes } = await makeScene(bench);
    bench.lab.behaviour.oldImageio = true;

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['CBT-107']);
    expect(report.disks[0]).toMatchObject({ mode: 'compare', changedBytes });
    await expectFrozenView(bench, vm, report);
  });

  it('takes a restore, which is not called verified', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm, { blockSizeBytes: BLOCK_BYTES });
    bench.lab.behaviour.oldImageio = true;

    const restored = await bench.restore(vm);

    const [disk] = restored.disks;
    expect(disk?.isVerified).toBe(false);
    expect(bench.lab.disk(disk?.newDiskId ?? '').digest()).toBe(vm.disk('sys').digest());
  });
});

describe('row 44: a first request that is cut off', () => {
  const bench = useLab();

  it.each([
    ['before its answer', { reset: true }],
    ['in its answer', { cutAfterBytes: 3 }],
  ])('%s is sent again', async (_when, cut) => {
    const vm = addVm(bench.lab);
    const reset = bench.lab.faults.add({ ...READS, method: 'OPTIONS', nth: 1 }, cut);

    const report = await bench.backup(vm);

    expect(bench.lab.faults.fired(reset)).toBe(1);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });

  it('is not sent for ever, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const engine = bench.settings({ blockRetryMs: 1 });
    const reset = bench.lab.faults.add({ ...READS, method: 'OPTIONS' }, { reset: true });

    await expectUncommitted(bench, scene, 'TRANSFER_READ_FAILED', { engine });

    expect(bench.lab.faults.fired(reset)).toBe(6);
  });
});

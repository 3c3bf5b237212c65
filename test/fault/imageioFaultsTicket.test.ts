/** Rows 41, 42 and 44 of the fault table: the ticket of a download is lost during the read. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { THREADED_FROM } from '../../src/ovirt/imageio/rangeThreads.ts';
import { messageCodes } from '../helpers/codes.ts';
import {
  countRequests,
  expectFrozenView,
  expectUncommitted,
  makeScene,
  READS,
  TRANSFER_POLLS,
} from '../helpers/faults/sessionFaults.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const CREATES = { server: 'engine', method: 'POST', path: /\/imagetransfers$/ } as const;

describe.each([
  ['on the calling thread', 0],
  ['in a thread for image data', 1],
])('row 41: a ticket that is dropped in the middle of reading %s', (_where, workers) => {
  const bench = useLab();
  const usualBytes = THREADED_FROM.bytes;
  beforeEach(() => {
    THREADED_FROM.bytes = 0;
  });
  afterEach(() => {
    THREADED_FROM.bytes = usualBytes;
  });

  it('is made anew once, and the data is right', async () => {
    const { vm } = await makeScene(bench);
    const drop = bench.lab.faults.add({ ...READS, nth: 2 }, { dropTicket: true });

    const report = await bench.backup(vm, { workers });

    expect(bench.lab.faults.fired(drop)).toBe(1);
    expect(messageCodes(bench)).toEqual(['XFER-305']);
    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });

  it('is made anew for all readers at once', async () => {
    const { vm } = await makeScene(bench);
    const created = countRequests(bench.lab, CREATES);
    bench.lab.faults.add({ ...READS, nth: 4 }, { dropTicket: true });

    const report = await bench.backup(vm, {
      mode: 'full',
      blockSizeBytes: BLOCK_BYTES,
      connections: 8,
      // Four workers have two threads for image data.
      workers: 4 * workers,
    });

    expect(countRequests(bench.lab, CREATES)).toBe(created + 2);
    expect(messageCodes(bench)).toEqual(['XFER-305']);
    expect(bench.lab.traffic.maxConnections).toBeLessThanOrEqual(8);
    await expectFrozenView(bench, vm, report);
  });

  it('ends the session when it happens twice, and the old base stays', async () => {
    const scene = await makeScene(bench);
    bench.lab.faults.add({ ...READS, nth: 1 }, { dropTicket: true });
    bench.lab.faults.add({ ...READS, nth: 3, times: 20 }, { dropTicket: true });

    const error = await expectUncommitted(bench, scene, 'TRANSFER_TICKET_GONE', { workers });

    expect(exitCodeOf(error)).toBe(1);
    expect(messageCodes(bench)).toEqual(['XFER-305', 'XFER-303']);
  });
});

describe('row 42: a transfer that the engine cancels for inactivity', () => {
  const bench = useLab();

  it('is made anew while the backup is ready', async () => {
    const { vm } = await makeScene(bench);
    const { faults } = bench.lab;
    const cancel = faults.add(
      { ...TRANSFER_POLLS, phase: 'transferring', nth: 2 },
      { flipPhase: 'cancelled_system' },
    );
    faults.add(
      { ...READS, nth: 2 },
      { run: () => expect.poll(() => faults.fired(cancel)).toBe(1) },
    );

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['XFER-305']);
    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 44: an image server that is restarted in the middle of reading', () => {
  const bench = useLab();

  it('costs one more transfer, and the data is right', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.faults.add({ ...READS, nth: 2 }, { run: (lab) => lab.restartImageio() });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['XFER-305']);
    await expectFrozenView(bench, vm, report);
  });

  it('twice ends the session, and the old base stays', async () => {
    const scene = await makeScene(bench);
    const restart = (): Promise<void> => bench.lab.restartImageio();
    const { faults } = bench.lab;
    faults.add({ ...READS, nth: 1 }, { run: restart });
    const again = (): void => void faults.add({ ...READS, nth: 1 }, { run: restart });
    faults.add({ ...CREATES, nth: 2 }, { run: again });

    await expectUncommitted(bench, scene, 'TRANSFER_TICKET_GONE');

    expect(messageCodes(bench)).toContain('XFER-303');
  });

  it('while extents are asked for costs one more transfer', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.faults.add(
      { server: 'imageio', path: /\/extents/, nth: 1 },
      { run: (lab) => lab.restartImageio() },
    );

    const report = await bench.backup(vm);

    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });
});

/** Rows 56 to 58 of the fault table: transfers that end late, never, or without a request. */
import { describe, expect, it } from 'vitest';
import {
  addVm,
  countRequests,
  expectFrozenView,
  fileKindsOf,
  makeScene,
  READS,
  TRANSFER_POLLS,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes } from '../helpers/codes.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { type LabBench, useLab } from '../helpers/lab/useLab.ts';
import { noise } from '../helpers/bytes/random.ts';

const FINALIZE = {
  server: 'engine',
  method: 'POST',
  path: /\/imagetransfers\/[^/]+\/finalize$/,
} as const;
const TRANSFER_SUCCEEDED = 1032;

/** After a finalize the engine reports phase `finalizing_success` this many times. */
function finalizeSlowly({ lab }: LabBench, times: number): void {
  lab.faults.add(FINALIZE, {
    run: () => {
      const body = { id: 'any', phase: 'finalizing_success' };
      lab.faults.add({ ...TRANSFER_POLLS, times }, { status: 200, body });
    },
  });
}

describe('row 56: a transfer that finalizes for long', () => {
  const bench = useLab();

  it('is waited for with one order', async () => {
    const vm = addVm(bench.lab);
    finalizeSlowly(bench, 10);

    const report = await bench.backup(vm);

    expect(countRequests(bench.lab, TRANSFER_POLLS)).toBeGreaterThan(10);
    expect(countRequests(bench.lab, FINALIZE)).toBe(1);
    await expectFrozenView(bench, vm, report);
  });

  it('has no connection of ours when it is finalized', async () => {
    const vm = addVm(bench.lab);
    const { traffic, faults } = bench.lab;
    let mostConnections = 0;
    faults.add(READS, {
      run: () => void (mostConnections = Math.max(mostConnections, traffic.openConnections)),
    });
    const finalized = faults.add(FINALIZE, {
      run: () => expect.poll(() => traffic.openConnections).toBe(0),
    });

    await bench.backup(vm);

    expect(mostConnections).toBeGreaterThan(0);
    expect(faults.fired(finalized)).toBe(1);
    expect(countRequests(bench.lab, FINALIZE)).toBe(1);
  });

  it('beyond all deadlines loses no data; the next session ends it and starts from its checkpoint', async () => {
    const { vm } = await makeScene(bench);
    finalizeSlowly(bench, Number.POSITIVE_INFINITY);
    bench.lab.faults.add(
      { server: 'engine', method: 'POST', path: /\/backups\/[^/]+\/finalize$/ },
      {
        status: 409,
        body: { detail: '[Cannot stop backup. There is an active image transfer for VM backup]' },
      },
    );
    const engine = bench.settings({ transferDoneMs: 100, backupDoneMs: 200, cleanupMs: 200 });
    const unended = await bench.backup(vm, { engine });
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full', 'increment', 'journal.ndjson']);
    bench.lab.faults.clear();

    const next = await bench.backup(vm);

    expect(messageCodes(bench)).toContain('JOB-606');
    expect(next.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: 0 });
    expect(next.engine?.fromCheckpointId).toBe(unended.engine?.toCheckpointId);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full', 'increment', 'increment']);
    await expectFrozenView(bench, vm, unended);
    await expectFrozenView(bench, vm, next);
  });
});

describe('row 57: an order that is answered with 200 and forgotten', () => {
  const bench = useLab();

  it('is given again', async () => {
    const vm = addVm(bench.lab);
    bench.lab.faults.add({ ...FINALIZE, nth: 1 }, { status: 200, body: { status: 'complete' } });

    const report = await bench.backup(vm);

    expect(countRequests(bench.lab, FINALIZE)).toBe(2);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 58: a transfer that the engine ends by itself', () => {
  const bench = useLab();

  it('after every byte was read is a success', async () => {
    const { lab } = bench;
    const vm = lab.addVm({ name: 'dense', disks: [{ name: 'sys', sizeBytes: 2 * MIB }] });
    vm.disk('sys').write(0, noise(7, 2 * MIB));
    const isDone = (): boolean => lab.events().some(({ code }) => code === TRANSFER_SUCCEEDED);
    // The engine ignores the order for a transfer that has ended.
    const late = lab.faults.add(FINALIZE, {
      run: () => expect.poll(isDone, { interval: 2 }).toBe(true),
    });

    const engine = bench.settings({ watchEveryMs: 60_000 });
    const report = await bench.backup(vm, { engine });

    expect([lab.faults.fired(late), countRequests(lab, FINALIZE)]).toEqual([1, 1]);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });

  it('before every byte was read is a loss, and the rest is read with another one', async () => {
    const vm = addVm(bench.lab);
    const { faults } = bench.lab;
    const end = faults.add(
      { ...TRANSFER_POLLS, phase: 'transferring', nth: 2 },
      { flipPhase: 'finished_success' },
    );
    faults.add({ ...READS, nth: 3 }, { run: () => expect.poll(() => faults.fired(end)).toBe(1) });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['XFER-305']);
    await expectFrozenView(bench, vm, report);
  });

  it('and that vanishes at once is a success', async () => {
    const vm = addVm(bench.lab);
    bench.lab.behaviour.forgetsFinished = true;

    const report = await bench.backup(vm);

    await expectFrozenView(bench, vm, report);
  });
});

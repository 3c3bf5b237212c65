/** Rows 43 and 44 of the fault table: paused uploads, and a restarted image server. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { RestoreVmReport } from '../../src/sessions/restore/restoreVm.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  diskNames,
  fileKindsOf,
  TRANSFER_POLLS,
  WRITES,
} from '../helpers/faults/sessionFaults.ts';
import { type LabBench, useLab } from '../helpers/lab/useLab.ts';

const CREATES = { server: 'engine', method: 'POST', path: /\/imagetransfers$/ } as const;

/**
 * The engine pauses the upload `times` times, at the second data request and at every third one
 * after it.
 */
function pauseUploads({ lab }: LabBench, times: number): void {
  const { faults } = lab;
  for (let k = 0; k < times; k++) {
    const pause = faults.add(
      { ...TRANSFER_POLLS, phase: 'transferring', nth: 2 + 3 * k },
      { flipPhase: 'paused_system' },
    );
    const isPaused = (): number => faults.fired(pause);
    faults.add({ ...WRITES, nth: 2 + 3 * k }, { run: () => expect.poll(isPaused).toBe(1) });
  }
}

function expectCopy(bench: LabBench, vm: LabVm, restored: RestoreVmReport): void {
  const copy = bench.lab.disk(restored.disks[0]?.newDiskId ?? '');
  expect(copy.digest()).toBe(vm.disk('sys').digest());
}

describe('row 43: an upload that the engine pauses', () => {
  const bench = useLab();

  it('is resumed, and goes on where it was', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const created = countRequests(bench.lab, CREATES);
    pauseUploads(bench, 1);

    const restored = await bench.restore(vm);

    expect(messageCodes(bench)).toEqual(['XFER-302']);
    expect(countRequests(bench.lab, CREATES)).toBe(created + 1);
    expect(restored.disks[0]?.isVerified).toBe(true);
    expectCopy(bench, vm, restored);
  });

  it('again and again is given up, and the new disk is removed', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const { faults } = bench.lab;
    const known = await diskNames(bench.lab);
    const pauseNext = (): void => {
      faults.add({ ...TRANSFER_POLLS, nth: 1 }, { flipPhase: 'paused_system' });
    };
    for (const nth of [1, 3, 5, 7]) {
      faults.add({ ...WRITES, nth }, { status: 403, body: 'Not allowed', run: pauseNext });
    }

    const restoring = bench.restore(vm, { connections: 1 });
    const error = await expectCode(restoring, 'TRANSFER_TICKET_GONE');

    expect(exitCodeOf(error)).toBe(1);
    expect(messageCodes(bench)).toEqual(['XFER-302', 'XFER-302', 'XFER-302']);
    expect(await diskNames(bench.lab)).toEqual(known);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });
});

describe('row 44: an image server that is restarted during an upload', () => {
  const bench = useLab();

  it('costs a pause, and the disk is right', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.faults.add({ ...WRITES, nth: 3 }, { run: (lab) => lab.restartImageio() });

    const restored = await bench.restore(vm);

    expect(messageCodes(bench)).toEqual(['XFER-302']);
    expectCopy(bench, vm, restored);
  });

  it('at its checksum costs a pause, and the disk is right', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.faults.add(
      { server: 'imageio', path: /\/checksum/, nth: 1 },
      { run: (lab) => lab.restartImageio() },
    );

    const restored = await bench.restore(vm);

    expect(restored.disks[0]?.isVerified).toBe(true);
    expectCopy(bench, vm, restored);
  });
});

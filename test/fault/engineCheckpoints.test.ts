/**
 * Rows 16, 17, 20, 21 and 24 of the fault table: checkpoints that are lost, invalid or never made.
 */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import {
  addSmallVm,
  BACKUP_KINDS,
  calls,
  expectNextIncremental,
  expectFrozenView,
  PATHS,
  refusal,
  statuses,
  touch,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes, failureOf } from '../helpers/codes.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();

/** A session that could not use its checkpoint stores little, and is the base of the next one. */
async function expectCompared(
  vm: LabVm,
  report: SessionReport,
  backupsStarted: number,
): Promise<void> {
  expect(report.pointType).toBe('increment');
  expect(report.disks).toMatchObject([{ mode: 'compare', changedBytes: BLOCK_BYTES }]);
  expect(report.engine).toMatchObject({ fromCheckpointId: '', backupsStarted });
  expect(report.engine?.toCheckpointId).not.toBe('');
  await expectFrozenView(bench, vm, report);
  await expectNextIncremental(bench, vm);
}

describe.each(BACKUP_KINDS)(
  'row 16: a checkpoint that is gone before a %s backup',
  (_kind, spec) => {
    it('is not sent; the whole content is compared', async () => {
      const { lab } = bench;
      const vm = addSmallVm(lab, spec);
      await bench.backup(vm);
      vm.revertSnapshot('removed');
      touch(vm, 'the guest');

      const report = await bench.backup(vm);

      expect(messageCodes(bench)).toEqual(['CBT-103']);
      expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 201]);
      await expectCompared(vm, report, 1);
    });
  },
);

describe('row 16: a checkpoint', () => {
  it('that goes right before the start is given up, once', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await bench.backup(vm);
    const drop = (): void => vm.revertSnapshot('removed');
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: drop });
    touch(vm, 'the guest');

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 400, 201]);
    expect(messageCodes(bench)).toEqual(['CBT-103']);
    await expectCompared(vm, report, 2);
  });

  it('that is refused twice ends the session', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await bench.backup(vm);
    const unknown = refusal(400, "Cannot backup VM. Checkpoint ID x doesn't exist.");
    const fault = lab.faults.add({ method: 'POST', path: PATHS.backups }, unknown);

    await failureOf(bench.backup(vm));

    expect(lab.faults.fired(fault)).toBe(2);
    lab.faults.clear();
    await expectNextIncremental(bench, vm);
  });
});

describe.each(BACKUP_KINDS)(
  'row 17: a checkpoint that is invalid before a %s backup',
  (_k, spec) => {
    it('is not sent, and deleted after the session', async () => {
      const { lab } = bench;
      const vm = addSmallVm(lab, spec);
      await bench.backup(vm);
      vm.revertSnapshot('invalid');
      touch(vm, 'the guest');

      const report = await bench.backup(vm);

      expect(messageCodes(bench)).toEqual(['CBT-104']);
      expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 201]);
      expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
      await expectCompared(vm, report, 1);
    });
  },
);

describe('row 17: a checkpoint', () => {
  it('that becomes invalid right before the start is given up, once, and deleted', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await bench.backup(vm);
    const spoil = (): void => vm.revertSnapshot('invalid');
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: spoil });
    touch(vm, 'the guest');

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 400, 201]);
    expect(messageCodes(bench)).toEqual(['CBT-104']);
    expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
    await expectCompared(vm, report, 2);
  });
});

describe.each([
  ['row 20: a legacy', [4, 6]],
  ['row 21: a hybrid', [4, 7]],
] as const)('%s backup of a VM with RAW disks only', (_kind, compatibility) => {
  it('records no base, leaves no checkpoint, and is compared by the next session', async () => {
    const { lab } = bench;
    const disks = [{ name: 'sys', sizeBytes: MIB, format: 'raw' as const }];
    const vm = lab.addVm({ name: 'raw01', compatibility, disks });
    vm.disk('sys').write(0, noise('raw', MIB));

    const full = await bench.backup(vm);
    touch(vm, 'the guest');
    const increment = await bench.backup(vm);

    expect(full.engine?.toCheckpointId).toBe('');
    expect(increment.engine).toMatchObject({ fromCheckpointId: '', toCheckpointId: '' });
    expect(increment.disks).toMatchObject([{ mode: 'compare', changedBytes: BLOCK_BYTES }]);
    expect(vm.checkpointIds()).toEqual([]);
    expect(messageCodes(bench)).toEqual(['CBT-101']);
    await expectFrozenView(bench, vm, full);
    await expectFrozenView(bench, vm, increment);
  });
});

describe('row 24: checkpoints that the host cannot redefine (live)', () => {
  it('are gone with the refusal; the session goes on without them', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, { compatibility: [4, 6] });
    await bench.backup(vm);
    lab.behaviour.redefineFails = true;
    touch(vm, 'the guest');

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 400, 201]);
    expect(lab.events().some(({ code }) => code === 10791)).toBe(true);
    expect(messageCodes(bench)).toEqual(['CBT-103']);
    lab.behaviour.redefineFails = false;
    await expectCompared(vm, report, 2);
  });

  it('because their bitmaps are broken start tracking afresh', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, { compatibility: [4, 6] });
    await bench.backup(vm);
    touch(vm, 'the guest');
    vm.disk('sys').breakBitmaps();

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 400, 201]);
    await expectCompared(vm, report, 2);
  });

  it('again and again cost one attempt more, not a loop', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, { compatibility: [4, 6] });
    await bench.backup(vm);
    lab.faults.add({ method: 'POST', path: PATHS.backups }, refusal(400));

    await failureOf(bench.backup(vm));

    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(3);
  });
});

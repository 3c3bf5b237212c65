/**
 * Rows 33 to 37 of the fault table: transfers that the engine does not open, mostly for broken
 * bitmaps.
 */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import type { LabAction, LabMatch, LabVm } from '../../lab/src/index.ts';
import { EngineApi } from '../../src/ovirt/engine/engineApi.ts';
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
import { messageCodes, expectCode } from '../helpers/codes.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { LAB_TIMINGS } from '../helpers/lab/plainLab.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const DATA = { name: 'data', sizeBytes: 2 * MIB };
const EVERY_CREATION = { method: 'POST', path: PATHS.transfers };

describe('row 33: a transfer that is asked for before the backup is ready', () => {
  it('is asked for again', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const early = refusal(409, 'The VM backup is not in READY phase, backup phase is STARTING.');
    lab.faults.add({ ...EVERY_CREATION, nth: 1, times: 2 }, early);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.transfers)).toEqual([409, 409, 201]);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });

  it('fails the disk after the time that a transfer may take', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const early = refusal(409, 'The VM backup is not in READY phase, backup phase is STARTING.');
    lab.faults.add(EVERY_CREATION, early);
    const engine = bench.settings({ ...LAB_TIMINGS, transferReadyMs: 30 });

    await expectCode(bench.backup(vm, { engine }), 'ENGINE_FAULT');

    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200]);
  });
});

describe('row 34: the format of a transfer', () => {
  it('is raw for every disk, and a refusal of it is not asked for again', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const text = 'The specified format is not applicable for VM backup.';
    const fault = lab.faults.add(EVERY_CREATION, refusal(400, text));

    const error = await expectCode(bench.backup(vm), 'ENGINE_FAULT');
    lab.faults.clear();
    const report = await bench.backup(vm);

    expect(exitCodeOf(error)).toBe(1);
    expect(lab.faults.fired(fault)).toBe(1);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 35: a disk of a running VM', () => {
  it('can be read through a backup only', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await using engine = await EngineApi.connect(bench.settings());
    const download = {
      diskId: vm.disk('sys').id,
      direction: 'download',
      inactivityTimeoutSeconds: 60,
      timeoutPolicy: 'cancel',
    } as const;

    const plain = engine.createTransfer(download, new AbortController().signal);

    await expectCode(plain, 'ENGINE_FAULT');
    await bench.backup(vm);
    expect(statuses(lab, 'POST', PATHS.transfers)).toEqual([409, 201]);
  });
});

/** Starts a chain, writes one block, and lets a session meet the broken map. */
async function backUpBroken(vm: LabVm, breakIt: () => void): Promise<SessionReport> {
  await bench.backup(vm);
  touch(vm, 'the guest');
  breakIt();
  return await bench.backup(vm);
}

async function expectRestarted(vm: LabVm, report: SessionReport): Promise<void> {
  expect(messageCodes(bench)).toEqual(['CBT-105']);
  expect(report).toMatchObject({ pointType: 'increment', engine: { backupsStarted: 2 } });
  expect(report.engine?.fromCheckpointId).toBe('');
  expect(report.disks[0]).toMatchObject({ mode: 'compare', changedBytes: BLOCK_BYTES });
  expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
  await expectFrozenView(bench, vm, report);
  await expectNextIncremental(bench, vm);
}

const LEGACY_OR_HYBRID = BACKUP_KINDS.filter(([kind]) => kind !== 'live');

describe.each(LEGACY_OR_HYBRID)('row 36: a broken bitmap (%s)', (_kind, spec) => {
  it('that ends the transfer makes the session start again without the checkpoint', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);

    const report = await backUpBroken(vm, () => vm.disk('sys').breakBitmaps());

    expect(lab.events().some(({ code }) => code === 1068)).toBe(true);
    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 201, 201]);
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200, 200, 200]);
    await expectRestarted(vm, report);
  });

  it('that refuses the transfer makes the session start again without the checkpoint', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);

    const report = await backUpBroken(vm, () => {
      lab.faults.add({ ...EVERY_CREATION, nth: 1 }, refusal(400));
    });

    expect(statuses(lab, 'POST', PATHS.transfers)).toEqual([201, 400, 201]);
    await expectRestarted(vm, report);
  });
});

describe('row 36: a broken bitmap', () => {
  it('ends the first backup before the second one starts', async () => {
    const { lab } = bench;
    const steps = [
      [PATHS.backups, 'start'],
      [PATHS.finalizeBackup, 'end'],
    ] as const;
    const vm = addSmallVm(lab);

    await backUpBroken(vm, () => vm.disk('sys').breakBitmaps());

    const life = lab.requests
      .filter(({ method }) => method === 'POST')
      .map(({ path }) => steps.find(([pattern]) => pattern.test(path))?.[1])
      .filter((step) => step !== undefined);
    expect(life.join(' ')).toBe('start end start end start end');
  });

  it('of one disk has all disks compared, each of them small', async () => {
    const vm = addSmallVm(bench.lab, {}, [DATA]);
    vm.disk('data').write(0, noise('data', MIB));

    const report = await backUpBroken(vm, () => {
      touch(vm, 'the guest', 'data');
      vm.disk('data').breakBitmaps();
    });

    expect(report.disks).toMatchObject([
      { alias: 'sys', mode: 'compare', changedBytes: BLOCK_BYTES },
      { alias: 'data', mode: 'compare', changedBytes: BLOCK_BYTES },
    ]);
    await expectRestarted(vm, report);
  });

  it('that a second backup meets as well ends the session; the old base is kept', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const full = await bench.backup(vm);
    const refused = lab.faults.add(EVERY_CREATION, refusal(400));

    const error = await expectCode(bench.backup(vm), 'TRANSFER_NOT_READY');

    expect(exitCodeOf(error)).toBe(1);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(3);
    expect(vm.checkpointIds()).toEqual([full.engine?.toCheckpointId]);
    expect(messageCodes(bench)).toEqual(['CBT-105']);
    lab.faults.remove(refused);
    await expectNextIncremental(bench, vm);
  });
});

interface Refusal {
  readonly match: LabMatch;
  readonly action: LabAction;
}

const REFUSALS: readonly (readonly [string, Refusal])[] = [
  ['is refused', { match: EVERY_CREATION, action: refusal(400) }],
  [
    'is cancelled by the system',
    {
      match: { method: 'GET', path: PATHS.transfer, phase: 'initializing' },
      action: { flipPhase: 'cancelled_system' },
    },
  ],
];

describe.each(REFUSALS)('row 37: a transfer without change map that %s', (_how, given) => {
  it('is tried once more', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const { match, action } = given;
    // No transfer leaves its first phase until the fault happened.
    lab.behaviour.transferHangs = true;
    const release = (): void => void (lab.behaviour.transferHangs = false);
    lab.faults.add({ ...match, nth: 1 }, { ...action, run: release });

    const report = await bench.backup(vm);

    expect(calls(lab, 'POST', PATHS.transfers)).toHaveLength(2);
    expect(report.engine?.backupsStarted).toBe(1);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });

  it('fails the session after the second time', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.behaviour.transferHangs = true;
    lab.faults.add(given.match, given.action);

    const error = await expectCode(bench.backup(vm), 'TRANSFER_NOT_READY');

    expect(exitCodeOf(error)).toBe(1);
    expect(calls(lab, 'POST', PATHS.transfers)).toHaveLength(2);
    lab.faults.clear();
    lab.behaviour.transferHangs = false;
    await expectFrozenView(bench, vm, await bench.backup(vm));
  });
});

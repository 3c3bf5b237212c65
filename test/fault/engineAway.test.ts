/** Rows 6 and 7 of the fault table: an engine that is away for a while, and lost answers. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addSmallVm,
  BACKUP_KINDS,
  calls,
  expectNextIncremental,
  expectFrozenView,
  gateway,
  PATHS,
  statuses,
} from '../helpers/faults/sessionFaults.ts';
import { LAB_TIMINGS } from '../helpers/lab/plainLab.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const LOST = { cutAfterBytes: 0 };
const AWAY: readonly (readonly [string, object])[] = [
  ['cuts connections', { reset: true }],
  ['answers 502', gateway(502)],
  ['answers 503', gateway(503)],
  ['answers 504', gateway(504)],
];

describe('row 6: an engine that is away for a while', () => {
  it.each(AWAY)('is asked again until it is back when it %s', async (_how, action) => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const away = lab.faults.add({ method: 'GET', path: PATHS.backup, nth: 1, times: 3 }, action);

    const report = await bench.backup(vm);

    expect(lab.faults.fired(away)).toBe(3);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    expect(report.messages).toEqual([]);
    await expectFrozenView(bench, vm, report);
  });
});

describe.each(AWAY.slice(0, 2))('row 6: an engine that %s for a while', (_how, action) => {
  it('gets the end of a backup and of a transfer asked for again', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path: PATHS.finalizeTransfer, nth: 1 }, action);
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1 }, action);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeTransfer).at(-1)).toBe(200);
    expect(statuses(lab, 'POST', PATHS.finalizeBackup).at(-1)).toBe(200);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('is not asked blindly again for a backup', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, action);

    const error = await expectCode(bench.backup(vm), 'ENGINE_UNREACHABLE');

    expect(exitCodeOf(error)).toBe(14);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    await expectFrozenView(bench, vm, await bench.backup(vm));
  });

  it('is no reason to give a checkpoint up', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await bench.backup(vm);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, action);
    lab.faults.add({ method: 'POST', path: PATHS.transfers, nth: 1 }, action);

    await expectCode(bench.backup(vm), 'ENGINE_UNREACHABLE');
    await expectCode(bench.backup(vm), 'ENGINE_UNREACHABLE');

    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(3);
    expect(messageCodes(bench)).toEqual([]);
    await expectNextIncremental(bench, vm);
  });

  it('gives the VM back after a session that failed meanwhile', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ server: 'imageio', path: /\/extents/ }, { status: 400, body: 'no' });
    lab.faults.add({ method: 'POST', path: PATHS.cancelTransfer, nth: 1 }, action);
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1 }, action);

    await expectCode(bench.backup(vm), 'TRANSFER_READ_FAILED');

    expect(lab.leftovers()).toEqual([]);
  });
});

describe('row 6: an engine that restarts', () => {
  it('is waited for at login', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ path: PATHS.token, nth: 1, times: 2 }, gateway(503));

    await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.token)).toEqual([503, 503, 200]);
  });

  it('finds the session that it interrupted, with its token gone as well', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const restart = { method: 'GET', path: PATHS.transfer, nth: 1 };
    lab.faults.add(restart, { ...gateway(503), run: () => lab.expireTokens() });
    // Later in the same session, at reads only: a POST is not asked again blindly.
    const later = { method: 'GET', path: PATHS.api, nth: 12, times: 4 };
    const second = lab.faults.add(later, gateway(502));

    const report = await bench.backup(vm);

    expect(lab.faults.fired(second)).toBe(4);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('is given up after the window, and the next session cleans up', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const timings = { ...LAB_TIMINGS, getRetryWindowMs: 60 };
    const away = lab.faults.add({ path: PATHS.backup }, gateway(503));
    const engine = bench.settings(timings);

    const error = await expectCode(bench.backup(vm, { engine }), 'ENGINE_UNREACHABLE');
    lab.faults.remove(away);
    const report = await bench.backup(vm);

    expect(exitCodeOf(error)).toBe(14);
    expect(messageCodes(report)).toEqual(['JOB-606']);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('answers 500 once: a read is repeated once, what changes state is not', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const broken = { status: 500, body: { reason: 'Operation Failed', detail: '[Broken.]' } };
    lab.faults.add({ method: 'GET', path: PATHS.backup, nth: 1 }, broken);

    const report = await bench.backup(vm);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, broken);
    const error = await expectCode(bench.backup(vm), 'ENGINE_FAULT');

    expect(exitCodeOf(error)).toBe(1);
    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 500]);
    await expectFrozenView(bench, vm, report);
  });
});

describe.each(BACKUP_KINDS)('row 7: answers of a %s backup that get lost', (_kind, spec) => {
  it('row 7: a backup whose answer was lost is adopted', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, LOST);

    const report = await bench.backup(vm);

    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    expect(report.engine?.backupsStarted).toBe(1);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('row 7: a transfer whose answer was lost is adopted', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    lab.faults.add({ method: 'POST', path: PATHS.transfers, nth: 1 }, LOST);

    const report = await bench.backup(vm);

    expect(calls(lab, 'POST', PATHS.transfers)).toHaveLength(1);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('row 7: an end whose answer was lost is looked up', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    lab.faults.add({ method: 'POST', path: PATHS.finalizeTransfer, nth: 1 }, LOST);
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1 }, LOST);

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });
});

describe('row 7: a backup whose answer never comes', () => {
  it('is no reason to ask for another one', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { hang: true });
    const engine = bench.settings({ restSlowReadMs: 100 });

    await expectCode(bench.backup(vm, { engine }), 'ENGINE_UNREACHABLE');

    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    expect(calls(lab, 'POST', PATHS.finalizeBackup)).toEqual([]);
  });
});

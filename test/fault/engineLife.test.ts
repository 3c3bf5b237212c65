/** Rows 25 to 32 of the fault table: how backups become ready, and how they end. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { endBackup } from '../../src/ovirt/lifecycle/backupPhases.ts';
import { EngineApi } from '../../src/ovirt/engine/engineApi.ts';
import { cancelDownloads } from '../../src/sessions/cleanup/downloads.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { openDownload, readyBackup, startBackup } from '../helpers/lab/engineFlows.ts';
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
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const LEGACY = BACKUP_KINDS.filter(([kind]) => kind !== 'hybrid');

describe.each(BACKUP_KINDS)('row 25: a %s backup that fails before it is ready', (_kind, spec) => {
  it('fails the session with the events of the engine; the base stays', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    const full = await bench.backup(vm);
    const eventsBefore = calls(lab, 'GET', PATHS.events).length;
    lab.behaviour.backupFails = true;

    const error = await expectCode(bench.backup(vm), 'ENGINE_BACKUP_FAILED');

    expect(exitCodeOf(error)).toBe(1);
    expect(error.message).toContain('10792');
    expect(calls(lab, 'GET', PATHS.events).length).toBeGreaterThan(eventsBefore);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(2);
    expect(vm.checkpointIds()).toEqual([full.engine?.toCheckpointId]);
    lab.behaviour.backupFails = false;
    await expectNextIncremental(bench, vm);
  });
});

describe('row 25: a guest that cannot be frozen', () => {
  it('fails a live backup that requires consistency', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, { compatibility: [4, 6] });
    lab.behaviour.freezeFails = true;

    const work = bench.backup(vm, { requireConsistency: true });

    await expectCode(work, 'ENGINE_BACKUP_FAILED');
  });

  it('is a warning otherwise', async () => {
    const vm = addSmallVm(bench.lab);
    bench.lab.behaviour.freezeFails = true;

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['FRZ-401']);
    await expectFrozenView(bench, vm, report);
  });
});

describe.each(BACKUP_KINDS)('row 26: a %s backup that never gets ready', (kind, spec) => {
  it('is ended after its deadline, and the next session runs', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    await bench.backup(vm);
    lab.behaviour.backupHangs = true;
    const engine = bench.settings({ backupReadyMs: 40 });

    const error = await expectCode(bench.backup(vm, { engine }), 'ENGINE_PHASE_TIMEOUT');

    expect(exitCodeOf(error)).toBe(1);
    const answer = kind === 'hybrid' ? 200 : 400;
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200, answer]);
    expect(lab.leftovers()).toEqual([]);
    lab.behaviour.backupHangs = false;
    await expectNextIncremental(bench, vm);
  });
});

describe.each(LEGACY)('row 27: a %s backup that is finalized too early', (_kind, spec) => {
  it('is polled until it has failed, whatever the engine answers', async () => {
    const { lab } = bench;
    await using client = await EngineClient.login(lab);
    await using engine = await EngineApi.connect(bench.settings());
    const vm = addSmallVm(lab, spec);
    lab.behaviour.backupHangs = true;
    const { id } = await startBackup(client, vm);

    const signal = new AbortController().signal;
    const context = { engine, vmId: vm.id, vmName: vm.name, note: () => {} };
    const end = await endBackup(context, id as string, signal);

    expect(end).toBe('failed');
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([400]);
  });
});

describe('row 28: a backup with an open transfer', () => {
  it('is finalized after the transfer was ended', async () => {
    const { lab } = bench;
    await using client = await EngineClient.login(lab);
    await using engine = await EngineApi.connect(bench.settings());
    const vm = addSmallVm(lab);
    const backup = await readyBackup(client, vm);
    await openDownload(client, backup, vm.disk('sys').id);
    const signal = new AbortController().signal;
    const onOpenTransfer = (): Promise<void> =>
      cancelDownloads(engine, new Set([vm.disk('sys').id]), new Set(), signal);

    const context = { engine, vmId: vm.id, vmName: vm.name, note: () => {}, onOpenTransfer };
    const end = await endBackup(context, backup.id, signal);

    expect(end).toBe('succeeded');
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([409, 200]);
  });

  it('is asked for its end again by a session', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const open = refusal(409, 'There is an active image transfer for VM backup');
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1, times: 2 }, open);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([409, 409, 200]);
    await expectFrozenView(bench, vm, report);
  });
});

describe.each(BACKUP_KINDS)('row 29: a %s backup that is finalized twice', (_kind, spec) => {
  it('is a success', async () => {
    const { lab } = bench;
    await using other = await EngineClient.login(lab);
    const vm = addSmallVm(lab, spec);
    const fault = lab.faults.add(
      { method: 'POST', path: PATHS.finalizeBackup, nth: 1 },
      {
        run: async () => {
          const [entity] = (await other.get(`/vms/${vm.id}/backups`))['backup'] as { id: string }[];
          lab.faults.remove(fault);
          await other.post(`/vms/${vm.id}/backups/${entity?.id}/finalize`);
        },
      },
    );

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200, 400]);
    expect(messageCodes(bench)).toEqual([]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });
});

describe('row 30: a merge that is slow', () => {
  const slow = useLab({ timeScale: 0.02 });

  it('is waited for without an alarm, and is asked for once', async () => {
    const { lab } = slow;
    const vm = addSmallVm(lab);

    const report = await slow.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200]);
    const end = lab.requests.findIndex(({ path }) => PATHS.finalizeBackup.test(path));
    const looks = lab.requests.slice(end).filter(({ path }) => PATHS.backup.test(path));
    expect(looks.length).toBeGreaterThan(2);
    expect(messageCodes(slow)).toEqual([]);
    await expectFrozenView(slow, vm, report);
  });

  it('is worth a message when it takes very long', async () => {
    const { lab } = slow;
    const vm = addSmallVm(lab);
    const engine = slow.settings({ backupDoneWarnMs: 20 });

    const report = await slow.backup(vm, { engine });

    expect(messageCodes(slow)).toEqual(['XFER-304']);
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200]);
    await expectFrozenView(slow, vm, report);
  });
});

describe('row 31: a merge that fails', () => {
  it('is a warning of a session that succeeded, until the snapshot is gone', async () => {
    const { lab } = bench;
    await using admin = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    lab.behaviour.mergeFails = true;
    const first = await bench.backup(vm);
    lab.behaviour.mergeFails = false;

    const second = await bench.backup(vm);

    expect(messageCodes(first)).toEqual(['SNP-201']);
    expect(messageCodes(second)).toContain('SNP-201');
    expect(calls(lab, 'DELETE', /\/snapshots\//)).toEqual([]);
    await expectFrozenView(bench, vm, first);
    await expectFrozenView(bench, vm, second);
    const left = /automatic snapshot (\S+)/.exec(lab.leftovers()[0] ?? '')?.[1] ?? '';
    await admin.call('DELETE', `/vms/${vm.id}/snapshots/${left}`);
    await admin.waitGone(`/vms/${vm.id}/snapshots/${left}`);
    const third = await expectNextIncremental(bench, vm);
    expect(third.messages).toEqual([]);
  });
});

describe.each(BACKUP_KINDS)('row 32: a finished %s backup that is gone', (_kind, spec) => {
  it('has succeeded when its checkpoint is there', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    lab.behaviour.forgetsFinished = true;

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    expect(report.engine?.toCheckpointId).not.toBe('');
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('is no base when its checkpoint is not there', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    lab.behaviour.forgetsFinished = true;
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1 }, { flipPhase: 'failed' });

    const report = await bench.backup(vm);
    touch(vm, 'the guest');
    const next = await bench.backup(vm);

    expect(report.engine?.toCheckpointId).toBe('');
    expect(next.disks).toMatchObject([{ mode: 'compare' }]);
    await expectFrozenView(bench, vm, report);
    await expectFrozenView(bench, vm, next);
  });
});

describe('row 32: a backup', () => {
  it('that is gone before it was ready fails the session', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.behaviour.forgetsFinished = true;
    lab.behaviour.backupFails = true;

    await expectCode(bench.backup(vm), 'ENGINE_BACKUP_FAILED');

    lab.behaviour.backupFails = false;
    await expectFrozenView(bench, vm, await bench.backup(vm));
  });

  it('that ended as failed after all data was read keeps the point without a base', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    await bench.backup(vm);
    touch(vm, 'the guest');
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1 }, { flipPhase: 'failed' });

    const report = await bench.backup(vm);
    const next = await bench.backup(vm);

    expect(messageCodes(report)).toEqual(['SNP-205']);
    expect(report.engine?.toCheckpointId).toBe('');
    expect(next.disks).toMatchObject([{ mode: 'compare', changedBytes: 0 }]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });
});

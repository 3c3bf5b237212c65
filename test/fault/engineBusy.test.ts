/** Rows 8 to 12 of the fault table: VMs and disks that are gone, in the wrong state, or in use. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import { BACKUP_JOURNAL, Journal } from '../../src/repository/journal.ts';
import { Repository } from '../../src/repository/repository.ts';
import { backupDescription } from '../../src/sessions/cleanup/ownership.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { diskRefs, openDownload, type ReadyBackup } from '../helpers/lab/engineFlows.ts';
import {
  addSmallVm,
  BACKUP_KINDS,
  calls,
  expectNextIncremental,
  expectFrozenView,
  PATHS,
  statuses,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes, expectCode } from '../helpers/codes.ts';
import { LAB_TIMINGS } from '../helpers/lab/plainLab.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { DiskFolder } from '../../src/store/folder/diskFolder.ts';

const bench = useLab();
/** Short waiting times. */
const IMPATIENT = { ...LAB_TIMINGS, startRetryWindowMs: 40, startRetryEveryMs: 10 };
const PATIENT = { ...LAB_TIMINGS, startRetryEveryMs: 10 };

describe('row 8: a VM', () => {
  it('that the engine does not know is an error of the caller', async () => {
    const vm = addSmallVm(bench.lab);
    const unknown = randomUUID();

    const error = await expectCode(bench.backup(vm, { vms: [unknown] }), 'USAGE_NOT_FOUND');

    expect(exitCodeOf(error)).toBe(2);
    expect(calls(bench.lab, 'POST', PATHS.backups)).toEqual([]);
  });

  it('that is deleted right before its backup starts fails the session, once', async () => {
    const { lab } = bench;
    await using admin = await EngineClient.login(lab);
    const vm = addSmallVm(lab, { status: 'down' });
    const remove = async (): Promise<void> => {
      await admin.call('DELETE', `/vms/${vm.id}?detach_only=true`);
    };
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: remove });

    const error = await expectCode(bench.backup(vm), 'ENGINE_NOT_FOUND');

    expect(exitCodeOf(error)).toBe(1);
    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([404]);
  });
});

describe('row 9: a VM', () => {
  it.each(['migrating', 'powering_up'] as const)('that is %s is waited for', async (status) => {
    const { lab } = bench;
    const vm = addSmallVm(lab, { status });
    lab.faults.add(
      { method: 'GET', path: new RegExp(`/vms/${vm.id}(?:\\?|$)`), nth: 4 },
      { run: () => void (vm.status = 'up') },
    );

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    await expectFrozenView(bench, vm, report);
  });

  it.each(['migrating', 'paused', 'suspended'] as const)(
    'that stays %s fails the session before a backup is asked for',
    async (status) => {
      const { lab } = bench;
      const vm = addSmallVm(lab, { status });
      const engine = bench.settings(IMPATIENT);

      const error = await expectCode(bench.backup(vm, { engine }), 'ENGINE_VM_STATE');

      expect(exitCodeOf(error)).toBe(1);
      expect(messageCodes(bench)).toEqual(['JOB-602']);
      expect(calls(lab, 'POST', PATHS.backups)).toEqual([]);
    },
  );

  it('that begins to migrate right before its backup starts is waited for', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const start = { method: 'POST', path: PATHS.backups };
    lab.faults.add({ ...start, nth: 1 }, { run: () => void (vm.status = 'migrating') });
    lab.faults.add({ ...start, nth: 3 }, { run: () => void (vm.status = 'up') });

    const report = await bench.backup(vm, { engine: bench.settings(PATIENT) });

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([409, 409, 201]);
    await expectFrozenView(bench, vm, report);
  });

  it('that begins to migrate and does not arrive fails the session after the window', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const migrate = (): void => void (vm.status = 'migrating');
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: migrate });

    const work = bench.backup(vm, { engine: bench.settings(IMPATIENT) });

    await expectCode(work, 'ENGINE_VM_STATE');
    expect(messageCodes(bench)).toEqual(['JOB-602']);
  });
});

describe.each(BACKUP_KINDS)('row 10: a foreign %s backup', (_kind, spec) => {
  it('is waited for, and then the session runs', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    const foreign = vm.startForeignBackup();
    lab.faults.add(
      { method: 'POST', path: PATHS.backups, nth: 3 },
      { run: () => vm.endForeignBackup(foreign) },
    );

    const report = await bench.backup(vm, { engine: bench.settings(PATIENT) });

    expect(statuses(lab, 'POST', PATHS.backups)).toContain(409);
    expect(messageCodes(bench)).toEqual([]);
    expect(calls(lab, 'POST', /\/finalize$/).some(({ path: p }) => p.includes(foreign))).toBe(
      false,
    );
    await expectFrozenView(bench, vm, report);
  });

  it('that does not end is named and never touched', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    const foreign = vm.startForeignBackup();

    const work = bench.backup(vm, { engine: bench.settings(IMPATIENT) });
    const error = await expectCode(work, 'ENGINE_BUSY');

    expect(exitCodeOf(error)).toBe(1);
    expect(messageCodes(bench)).toEqual(['SNP-203']);
    expect(bench.messages[0]?.text).toContain(foreign);
    expect(calls(lab, 'POST', PATHS.backups).length).toBeGreaterThan(1);
    expect(calls(lab, 'POST', /\/finalize$/)).toEqual([]);
    expect(calls(lab, 'DELETE', PATHS.api)).toEqual([]);
  });
});

describe('row 10: a backup of another repository', () => {
  it('is foreign, although this product made it', async () => {
    const { lab } = bench;
    await using other = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    const description = backupDescription(randomUUID(), randomUUID());
    const { id } = await other.post(`/vms/${vm.id}/backups`, { description, disks: diskRefs(vm) });

    const work = bench.backup(vm, { engine: bench.settings(IMPATIENT) });
    await expectCode(work, 'ENGINE_BUSY');

    expect(messageCodes(bench)).toEqual(['SNP-203']);
    expect(calls(lab, 'POST', /\/finalize$/)).toEqual([]);
    const theirs = `/vms/${vm.id}/backups/${id}`;
    await other.waitFor(theirs, 'phase', 'ready');
    await other.post(`${theirs}/finalize`);
    await other.waitFor(theirs, 'phase', 'succeeded');
  });
});

/** The state after a killed session: an older point, an open backup with an open transfer. */
async function leaveBackup(
  client: EngineClient,
  vm: LabVm,
): Promise<{ backup: ReadyBackup; transferId: string; description: string; folder: string }> {
  await bench.backup(vm);
  const repository = await Repository.open(bench.repository);
  const { folder } = await repository.requireVm(vm.id);
  const description = `${backupDescription(repository.id, randomUUID())} 1`;
  const body = { description, disks: diskRefs(vm) };
  const { id } = await client.post(`/vms/${vm.id}/backups`, body);
  const entityPath = `/vms/${vm.id}/backups/${id}`;
  const entity = await client.waitFor(entityPath, 'phase', 'ready');
  const backup: ReadyBackup = { id: id as string, path: entityPath, entity };
  const transfer = await openDownload(client, backup, vm.disk('sys').id);
  return { backup, transferId: transfer['id'] as string, description, folder };
}

async function startJournal(folder: string, vm: LabVm): Promise<Journal> {
  const session = {
    kind: 'backup',
    sessionId: randomUUID(),
    vmId: vm.id,
    vmName: vm.name,
  } as const;
  return await Journal.create(new DiskFolder(folder), BACKUP_JOURNAL, session);
}

describe.each(BACKUP_KINDS)('row 11: an own %s backup that a crash left', (_kind, spec) => {
  it('is ended by its journal, transfer first, and then a session starts from the last point', async () => {
    const { lab } = bench;
    await using client = await EngineClient.login(lab);
    const vm = addSmallVm(lab, spec);
    const left = await leaveBackup(client, vm);
    const journal = await startJournal(left.folder, vm);
    await journal.append({ step: 'backup-starting', description: left.description });
    await journal.append({ step: 'backup', backupId: left.backup.id });
    const { transferId } = left;
    await journal.append({ step: 'transfer', transferId, diskId: vm.disk('sys').id });
    await journal.keep();

    const report = await expectNextIncremental(bench, vm);

    expect(messageCodes(report)).toEqual(['JOB-606', 'JOB-606']);
    const orders = calls(lab, 'POST', /\/(?:cancel|finalize)$/).map((call) => call.path);
    const cancelled = orders.findIndex((order) => order.includes(transferId));
    const finalized = orders.findIndex((order) => order.includes(left.backup.id));
    expect(cancelled).toBeGreaterThan(-1);
    expect(finalized).toBeGreaterThan(cancelled);
    expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
  });

  it('is found by its description when the journal does not know its id', async () => {
    await using client = await EngineClient.login(bench.lab);
    const vm = addSmallVm(bench.lab, spec);
    const left = await leaveBackup(client, vm);
    const journal = await startJournal(left.folder, vm);
    await journal.append({ step: 'backup-starting', description: left.description });
    await journal.keep();

    const report = await expectNextIncremental(bench, vm);

    expect(messageCodes(report)).toEqual(['JOB-606']);
    expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
  });

  it('is found by its description when there is no journal', async () => {
    await using client = await EngineClient.login(bench.lab);
    const vm = addSmallVm(bench.lab, spec);
    await leaveBackup(client, vm);

    const report = await expectNextIncremental(bench, vm);

    expect(messageCodes(report)).toEqual(['JOB-606']);
    expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
  });
});

describe.each(BACKUP_KINDS.filter(([kind]) => kind !== 'live'))(
  'row 12: a disk that is locked (%s)',
  (_kind, spec) => {
    it('is waited for', async () => {
      const { lab } = bench;
      await using admin = await EngineClient.login(lab);
      const vm = addSmallVm(lab, { ...spec, status: 'down' });
      const upload = { disk: { id: vm.disk('sys').id }, direction: 'upload', format: 'raw' };
      const { id } = await admin.post('/imagetransfers', upload);
      await admin.waitFor(`/imagetransfers/${id}`, 'phase', 'transferring');
      const finish = async (): Promise<void> => {
        await admin.post(`/imagetransfers/${id}/finalize`);
        await admin.waitFor(`/imagetransfers/${id}`, 'phase', 'finished_success');
      };
      lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 3 }, { run: finish });

      const report = await bench.backup(vm, { engine: bench.settings(PATIENT) });

      expect(statuses(lab, 'POST', PATHS.backups)).toEqual([409, 409, 201]);
      await expectFrozenView(bench, vm, report);
    });
  },
);

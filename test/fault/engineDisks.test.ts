/** Rows 13 to 15, 18, 19, 22 and 23 of the fault table: disks that cannot be read as planned. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
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
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
/** A backup of a VM that is off handles disks like one of a VM that is up. */
const KINDS = BACKUP_KINDS.filter(([kind]) => kind !== 'cold');
const DATA = { name: 'data', sizeBytes: MIB };

function aliases(report: { readonly disks: readonly { readonly alias: string }[] }): string[] {
  return report.disks.map(({ alias }) => alias);
}

describe('row 13: a disk that is not plugged', () => {
  it('is left out by name, and the others are backed up', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, {}, [{ ...DATA, active: false }]);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201]);
    expect(messageCodes(bench)).toEqual(['JOB-601']);
    expect(report.engine?.leftOut.map(({ alias }) => alias)).toEqual(['data']);
    await expectFrozenView(bench, vm, report);
  });

  it.each(KINDS)(
    'since right before a %s backup started is planned out, with a warning',
    async (_kind, spec) => {
      const { lab } = bench;
      await using admin = await EngineClient.login(lab);
      const vm = addSmallVm(lab, spec, [DATA]);
      await bench.backup(vm);
      const unplug = async (): Promise<void> => {
        const attachment = `/vms/${vm.id}/diskattachments/${vm.disk('data').id}`;
        await admin.call('PUT', attachment, { active: false });
      };
      lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: unplug });
      touch(vm, 'the guest');

      const report = await bench.backup(vm);

      expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201, 409, 201]);
      expect(messageCodes(bench)).toEqual(['JOB-601']);
      expect(aliases(report)).toEqual(['sys']);
      expect(report.disks[0]).toMatchObject({ mode: 'incremental', changedBytes: BLOCK_BYTES });
      await expectFrozenView(bench, vm, report);
    },
  );
});

describe('row 14: a disk that was deleted right before its backup started', () => {
  it('is planned out after the attachments were read again', async () => {
    const { lab } = bench;
    await using admin = await EngineClient.login(lab);
    const vm = addSmallVm(lab, {}, [DATA]);
    const { id } = vm.disk('data');
    const remove = async (): Promise<void> => {
      vm.detachDisk('data');
      await admin.call('DELETE', `/disks/${id}`);
      await admin.waitGone(`/disks/${id}`);
    };
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: remove });

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([400, 201]);
    expect(aliases(report)).toEqual(['sys']);
    await expectFrozenView(bench, vm, report);
  });

  it('is asked for once more only', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const unknown = refusal(400, 'The following disk(s) ID(s) does not exist: x.');
    lab.faults.add({ method: 'POST', path: PATHS.backups }, unknown);

    const error = await expectCode(bench.backup(vm), 'ENGINE_FAULT');

    expect(exitCodeOf(error)).toBe(1);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(2);
  });
});

describe('row 15: a disk that went to another VM right before its backup started', () => {
  it('is planned out, without a loop', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, {}, [DATA]);
    const other = lab.addVm({ name: 'other', disks: [] });
    const move = (): void => {
      vm.detachDisk('data');
      other.attachDisk('data');
    };
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, { run: move });

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([500, 201]);
    expect(aliases(report)).toEqual(['sys']);
    await expectFrozenView(bench, vm, report);
  });

  it('is asked for once more only', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const failure = refusal(500, 'General command validation failure.');
    lab.faults.add({ method: 'POST', path: PATHS.backups }, failure);

    await expectCode(bench.backup(vm), 'ENGINE_FAULT');

    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(2);
  });
});

/** Number of requests for the change map of a disk. */
function changeMapRequests(): number {
  return bench.lab.requests.filter(({ path }) => path.includes('context=dirty')).length;
}

describe.each(KINDS)('row 18: a RAW disk in an incremental %s backup', (_kind, spec) => {
  it('is read in full and compared, and the others stay incremental', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec, [{ ...DATA, format: 'raw' }]);
    vm.disk('data').write(0, noise('data', MIB));
    await bench.backup(vm);
    touch(vm, 'the guest');
    touch(vm, 'the guest', 'data');

    const report = await bench.backup(vm);

    expect(report.disks).toMatchObject([
      { alias: 'sys', mode: 'incremental', changedBytes: BLOCK_BYTES },
      { alias: 'data', mode: 'compare', readBytes: MIB, changedBytes: BLOCK_BYTES },
    ]);
    expect(changeMapRequests()).toBe(1);
    expect(messageCodes(bench)).toEqual(['CBT-101']);
    await expectFrozenView(bench, vm, report);
  });
});

describe.each(KINDS)('row 19: a disk that is new in a %s backup', (_kind, spec) => {
  it('gets a full image inside the increment, and is incremental from then on', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    await bench.backup(vm);
    vm.addDisk(DATA).write(0, noise('data', MIB));
    touch(vm, 'the guest');

    const report = await bench.backup(vm);

    expect(report.disks).toMatchObject([
      { alias: 'sys', mode: 'incremental', changedBytes: BLOCK_BYTES },
      { alias: 'data', mode: 'full', changedBytes: MIB },
    ]);
    expect(changeMapRequests()).toBe(1);
    expect(messageCodes(bench)).toEqual(['CBT-106']);
    await expectFrozenView(bench, vm, report);
    const next = await expectNextIncremental(bench, vm);
    expect(next.disks.map(({ mode }) => mode)).toEqual(['incremental', 'incremental']);
  });
});

describe('row 22: a RAW disk', () => {
  it('is never switched to tracking; its message says to convert it', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, {}, [{ ...DATA, format: 'raw' }]);
    await bench.backup(vm);

    await bench.backup(vm);

    expect(calls(lab, 'PUT', PATHS.api)).toEqual([]);
    expect(messageCodes(bench)).toEqual(['CBT-101']);
    expect(bench.messages[0]?.resolution).toMatch(/convert/i);
  });
});

/** Disks of which the engine cannot make a snapshot. */
function addUnreadableDisks(vm: LabVm): void {
  vm.addDisk({ name: 'lun', sizeBytes: MIB, storageType: 'lun' });
  vm.addDisk({ name: 'shared', sizeBytes: MIB, format: 'raw', shareable: true });
}

describe('row 23: a snapshot that cannot be made', () => {
  it('is not asked for: LUNs and shareable disks are left out by name', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    addUnreadableDisks(vm);

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([201]);
    expect(messageCodes(bench)).toEqual(['JOB-601', 'JOB-601']);
    expect(report.engine?.leftOut.map(({ alias }) => alias)).toEqual(['lun', 'shared']);
    await expectFrozenView(bench, vm, report);
  });

  it('fails the session with the events of its correlation id, and the next one works', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add({ method: 'POST', path: PATHS.backups, nth: 1 }, refusal(400));

    const error = await expectCode(bench.backup(vm), 'ENGINE_FAULT');

    expect(exitCodeOf(error)).toBe(1);
    const [start] = calls(lab, 'POST', PATHS.backups);
    const asked = calls(lab, 'GET', PATHS.events).map((call) => decodeURIComponent(call.path));
    expect(asked[0]).toContain(`correlation_id=${start?.correlationId}`);
    expect(calls(lab, 'POST', PATHS.backups)).toHaveLength(1);
    await expectFrozenView(bench, vm, await bench.backup(vm));
  });
});

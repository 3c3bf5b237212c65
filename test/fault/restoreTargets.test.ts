/**
 * Rows 63 to 65 of the fault table, and names that exist already: targets of a restore, and objects
 * of others.
 */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { expectCode } from '../helpers/codes.ts';
import { addVm, countRequests, diskNames, fileKindsOf } from '../helpers/faults/sessionFaults.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { noise } from '../helpers/bytes/random.ts';

const CREATE_DISK = { server: 'engine', method: 'POST', path: /\/disks$/ } as const;
const CREATE_VM = { server: 'engine', method: 'POST', path: /\/vms$/ } as const;

describe('row 63: a storage domain that the engine does not know', () => {
  const bench = useLab();

  it('is a wrong option', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);

    const restoring = bench.restore(vm, { storageDomain: 'nowhere' });
    const error = await expectCode(restoring, 'USAGE_NOT_FOUND');

    expect(exitCodeOf(error)).toBe(2);
    expect(countRequests(bench.lab, CREATE_DISK)).toBe(0);
  });

  it('any more ends the restore', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const body = { reason: 'Operation Failed', detail: 'Entity not found: 42' };
    bench.lab.faults.add(CREATE_DISK, { status: 404, body });

    const error = await expectCode(bench.restore(vm), 'ENGINE_NOT_FOUND');

    expect(exitCodeOf(error)).toBe(1);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });
});

describe('row 64: a new disk that does not get ready', () => {
  const bench = useLab();

  it('is given up after its deadline; what cannot be removed yet is written down', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.behaviour.diskCreateHangs = true;
    bench.allowLeftovers();
    const engine = bench.settings({ diskReadyMs: 50, cleanupMs: 100 });

    const error = await expectCode(bench.restore(vm, { engine }), 'ENGINE_PHASE_TIMEOUT');

    expect(exitCodeOf(error)).toBe(1);
    const journal = expect.stringMatching(/^restore\..+\.ndjson$/) as unknown;
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full', journal]);
  });

  it('in time for the clean-up is removed', async () => {
    const { lab } = bench;
    const vm = addVm(lab);
    await bench.backup(vm);
    const before = await diskNames(lab);
    lab.behaviour.diskCreateHangs = true;
    const heal = (): void => void (lab.behaviour.diskCreateHangs = false);
    // The clean-up first asks for the created objects.
    lab.faults.add(
      { server: 'engine', method: 'GET', path: /\/disks\?search/, nth: 2 },
      { run: heal },
    );
    const engine = bench.settings({ diskReadyMs: 50 });

    await expectCode(bench.restore(vm, { engine, onStatus: heal }), 'ENGINE_PHASE_TIMEOUT');

    expect(await diskNames(lab)).toEqual(before);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });

  it('because the engine has removed it again ends the restore', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    bench.lab.faults.add(
      { server: 'engine', method: 'GET', path: /\/disks\/[^/]+$/, nth: 1 },
      { status: 404 },
    );

    await expectCode(bench.restore(vm), 'ENGINE_FAULT');

    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });
});

describe('row 65: disks of a restored VM', () => {
  const bench = useLab();

  it('are attached active, and bootable as before', async () => {
    const vm = addVm(bench.lab);
    vm.addDisk({ name: 'data', sizeBytes: MIB, interface: 'virtio' }).write(0, noise(3, 4096));
    await bench.backup(vm);

    const restored = await bench.restore(vm);

    await using client = await EngineClient.login(bench.lab);
    const list = await client.get(`/vms/${restored.newVmId}/diskattachments`);
    const attachments = list['disk_attachment'] as Record<string, unknown>[];
    const [sys, data] = restored.disks.map(({ newDiskId }) =>
      attachments.find(({ id }) => id === newDiskId),
    );
    expect(sys).toMatchObject({ active: 'true', bootable: 'true', interface: 'virtio_scsi' });
    expect(data).toMatchObject({ active: 'true', bootable: 'false', interface: 'virtio' });
  });
});

describe('a name that is taken', () => {
  const bench = useLab();

  it('by a VM is refused before anything is made', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);

    const error = await expectCode(bench.restore(vm, { asVm: vm.name }), 'USAGE_OUTPUT_EXISTS');

    expect(exitCodeOf(error)).toBe(2);
    expect(countRequests(bench.lab, CREATE_DISK)).toBe(0);
    expect(bench.lab.vms).toHaveLength(1);
  });

  it('meanwhile ends the restore; the VM that took it stays, and so do its disks', async () => {
    const { lab } = bench;
    const vm = addVm(lab);
    await bench.backup(vm);
    const name = `${vm.name}-restored`;
    const disks = [{ name: 'other', sizeBytes: MIB }];
    lab.faults.add(CREATE_VM, { run: () => void lab.addVm({ name, status: 'down', disks }) });

    await expectCode(bench.restore(vm), 'ENGINE_FAULT');

    expect(lab.vms.map((one) => one.name)).toEqual([vm.name, name]);
    expect(await diskNames(lab)).toEqual(['other', 'sys']);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });

  it('by a disk of another restore meanwhile leaves that disk alone', async () => {
    const { lab } = bench;
    const vm = addVm(lab);
    await bench.backup(vm);
    const name = `${vm.name}-restored_sys_${vm.disk('sys').id.slice(0, 8)}`;
    const disks = [{ name, sizeBytes: MIB }];
    const takeName = (): void => void lab.addVm({ name: 'other', status: 'down', disks });
    lab.faults.add({ ...CREATE_DISK, nth: 1 }, { run: takeName });
    lab.behaviour.uploadVerifyFails = true;

    await expectCode(bench.restore(vm), 'TRANSFER_FAILED');

    expect(await diskNames(lab)).toEqual(['sys', name]);
    expect(lab.vm('other').disks).toHaveLength(1);
  });
});

describe('a quota of the data center', () => {
  const bench = useLab();

  it('that has no space left is named, and nothing stays on the engine', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);
    const before = await diskNames(bench.lab);
    const detail = '[Cannot add Virtual Disk. Quota has insufficient storage resources.]';
    const body = { reason: 'Operation Failed', detail };
    bench.lab.faults.add(CREATE_DISK, { status: 409, body });

    const error = await expectCode(bench.restore(vm), 'ENGINE_FAULT');

    expect(error.message).toContain('Quota has insufficient');
    expect(error.hint).toContain('quota');
    expect(await diskNames(bench.lab)).toEqual(before);
    expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
  });
});

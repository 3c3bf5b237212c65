/**
 * Rows 59 to 62 of the fault table: restores whose upload is refused, too large, cancelled or has
 * no place.
 */
import { describe, expect, it } from 'vitest';
import { type ErrorCode, exitCodeOf } from '../../src/core/errors.ts';
import type { RestoreVmOptions } from '../../src/sessions/restore/restoreVm.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  diskNames,
  fileKindsOf,
  WRITES,
} from '../helpers/faults/sessionFaults.ts';
import { BLOCK_BYTES, GIB_BYTES, MIB } from '../helpers/bytes/images.ts';
import { type LabBench, useLab } from '../helpers/lab/useLab.ts';

const CREATE_DISK = { server: 'engine', method: 'POST', path: /\/disks$/ } as const;
const CANCELS = { method: 'POST', path: /\/imagetransfers\/[^/]+\/cancel$/ } as const;

/** Restores the VM. This must fail, and must leave the engine and the repository as they were. */
async function expectUndone(
  bench: LabBench,
  code: ErrorCode,
  options: Partial<RestoreVmOptions> = {},
): Promise<void> {
  const { lab } = bench;
  const before = { disks: await diskNames(lab), vms: lab.vms.map(({ id }) => id) };
  const files = fileKindsOf(bench);
  const [vm] = lab.vms;
  if (!vm) throw new Error('no VM');

  const error = await expectCode(bench.restore(vm, options), code);

  expect(exitCodeOf(error)).toBe(1);
  expect(await diskNames(lab)).toEqual(before.disks);
  expect(lab.vms.map(({ id }) => id)).toEqual(before.vms);
  expect(fileKindsOf(bench)).toEqual(files);
}

describe('row 59: an upload that the engine does not accept', () => {
  const bench = useLab();

  it.each([false, true])('is reported, and the VM is not made (forgotten: %s)', async (forgets) => {
    await bench.backup(addVm(bench.lab));
    Object.assign(bench.lab.behaviour, { uploadVerifyFails: true, forgetsFinished: forgets });

    await expectUndone(bench, forgets ? 'ENGINE_FAULT' : 'TRANSFER_FAILED');

    expect(countRequests(bench.lab, { method: 'POST', path: /\/vms$/ })).toBe(0);
  });
});

describe('row 60: a storage domain without room', () => {
  const storageDomains = [
    { name: 'data', availableBytes: 2 * MIB },
    { name: 'block', type: 'iscsi' },
  ] as const;
  const bench = useLab({ storageDomains });

  it('is found out before a disk is made', async () => {
    await bench.backup(addVm(bench.lab));

    await expectUndone(bench, 'TRANSFER_TARGET_FULL');

    expect(countRequests(bench.lab, CREATE_DISK)).toBe(0);
  });

  it('in the middle of an upload ends the restore, and the disk is removed', async () => {
    await bench.backup(addVm(bench.lab));
    await using client = await EngineClient.login(bench.lab);
    const list = await client.get('/storagedomains');
    const domains = list['storage_domain'] as Record<string, unknown>[];
    const hopeful = domains.map((domain) => ({ ...domain, available: String(GIB_BYTES) }));
    bench.lab.faults.add(
      { server: 'engine', path: /\/storagedomains$/, nth: 1 },
      { status: 200, body: { storage_domain: hopeful } },
    );

    await expectUndone(bench, 'TRANSFER_TARGET_FULL', {
      engine: bench.settings({ blockRetryMs: 1 }),
    });
  });

  it('does not come from a thin disk on block storage: its first size is enough', async () => {
    const vm = addVm(bench.lab);
    vm.addDisk({ name: 'full', sizeBytes: 2 * MIB }).write(0, Buffer.alloc(2 * MIB, 7));
    await bench.backup(vm);

    const restored = await bench.restore(vm, { storageDomain: 'block', format: 'cow' });

    const digests = restored.disks.map(({ newDiskId }) => bench.lab.disk(newDiskId).digest());
    expect(digests).toEqual(vm.disks.map((disk) => disk.digest()));
  });
});

describe('row 61: an upload that is cancelled', () => {
  const bench = useLab();

  it('takes its disk along, which is no further error', async () => {
    await bench.backup(addVm(bench.lab));
    bench.lab.faults.add(
      { server: 'imageio', path: /\/checksum/ },
      { status: 200, body: { algorithm: 'sha256', block_size: 4 * MIB, checksum: '00' } },
    );

    await expectUndone(bench, 'TRANSFER_CHECKSUM_MISMATCH');

    expect(countRequests(bench.lab, CANCELS)).toBe(1);
    expect(messageCodes(bench)).toEqual([]);
  });

  it('by a write that the server refuses is not tried again', async () => {
    await bench.backup(addVm(bench.lab));
    const refusal = bench.lab.faults.add(WRITES, { status: 400, body: 'Requested 9, available 8' });

    await expectUndone(bench, 'TRANSFER_WRITE_FAILED', { connections: 1 });

    expect(bench.lab.faults.fired(refusal)).toBe(1);
  });
});

describe('row 62: a combination that the storage does not take', () => {
  const bench = useLab();

  it.each([
    ['data', 'cow'],
    ['data', 'raw'],
    ['block', 'cow'],
    ['block', 'raw'],
  ] as const)('is not chosen on %s for %s', async (storageDomain, format) => {
    const vm = addVm(bench.lab);
    await bench.backup(vm);

    const restored = await bench.restore(vm, { storageDomain, format });

    const [disk] = restored.disks;
    expect(disk).toMatchObject({ format, isVerified: true });
    expect(bench.lab.disk(disk?.newDiskId ?? '').digest()).toBe(vm.disk('sys').digest());
  });

  it('as the engine sees it ends the restore, and nothing is left', async () => {
    const vm = addVm(bench.lab);
    await bench.backup(vm, { blockSizeBytes: BLOCK_BYTES });
    const detail =
      '[Disk configuration (RAW Sparse) is incompatible with the storage domain type.]';
    bench.lab.faults.add(CREATE_DISK, { status: 409, body: { detail } });

    await expectUndone(bench, 'ENGINE_FAULT');
  });
});

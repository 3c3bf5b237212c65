/**
 * Restores create, adopt and remove only their own VM and disks, never those of others with the
 * same name.
 */
import { expect, describe, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { JournalEntry } from '../../src/repository/journal.ts';
import { addSmallVm, gateway } from '../helpers/faults/sessionFaults.ts';
import { messageCodes, expectCode } from '../helpers/codes.ts';
import {
  cleanUp,
  leaveRestoreJournal,
  leaveRestoreSteps,
  restoreJournal,
} from '../helpers/faults/killedVmWork.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const POST_EVENT = { server: 'engine', method: 'POST', path: /\/events$/, nth: 1 } as const;
const POST_DISK = { server: 'engine', method: 'POST', path: /\/disks$/, nth: 1 } as const;
const POST_VM = { server: 'engine', method: 'POST', path: /\/vms$/, nth: 1 } as const;
const FIRST_WRITE = { server: 'imageio', method: 'PUT', nth: 1 } as const;

async function backedUp(name = 'web01'): Promise<LabVm> {
  const vm = addSmallVm(bench.lab, { name });
  await bench.backup(vm);
  return vm;
}

function exists(vmId: string): boolean {
  return bench.lab.vms.some(({ id }) => id === vmId);
}

/** A successful restore, and its journal at the end. */
async function restoreWithJournal(
  vm: LabVm,
): Promise<{ vmId: string; diskId: string; name: string; text: string }> {
  let journal = { name: '', text: '' };
  bench.lab.faults.add(POST_EVENT, { run: () => void (journal = restoreJournal(bench)) });
  const { newVmId, disks } = await bench.restore(vm);
  return { vmId: newVmId, diskId: disks[0]?.newDiskId ?? '', ...journal };
}

describe('cleanup after a restore that was killed', () => {
  it('leaves a VM and a disk of the same names that another restore has made', async () => {
    const vm = await backedUp();
    const made = await restoreWithJournal(vm);
    const steps: JournalEntry[] = [
      { step: 'disk-starting', name: bench.lab.disk(made.diskId).name },
      { step: 'vm-starting', name: 'web01-restored' },
    ];
    leaveRestoreSteps(bench, made, steps);

    const report = await cleanUp(bench, vm);

    expect(report).toMatchObject({ cleaned: [], left: [] });
    expect([exists(made.vmId), bench.lab.hasDisk(made.diskId)]).toEqual([true, true]);
  });

  it('leaves what is whole when only the end of the session was missing', async () => {
    const vm = await backedUp();
    const made = await restoreWithJournal(vm);
    leaveRestoreJournal(bench, made.name, made.text);

    const report = await cleanUp(bench, vm);

    expect(report).toMatchObject({ cleaned: [], left: [] });
    expect([exists(made.vmId), bench.lab.hasDisk(made.diskId)]).toEqual([true, true]);
  });

  it('removes what was made before the last disk was attached', async () => {
    const vm = await backedUp();
    const made = await restoreWithJournal(vm);
    leaveRestoreJournal(bench, made.name, made.text.replace(/.*"restore-done".*\n/, ''));

    await cleanUp(bench, vm);

    expect([exists(made.vmId), bench.lab.hasDisk(made.diskId)]).toEqual([false, false]);
  });
});

describe('cleanup while a restore in another container may still run', () => {
  it('leaves what the restore has made, and says so', async () => {
    const vm = await backedUp();
    const made = await restoreWithJournal(vm);
    const text = made.text
      .replace(/.*"restore-done".*\n/, '')
      .replace(/"pidNamespace":"[^"]*"/, '"pidNamespace":"pid:[1]"');
    leaveRestoreJournal(bench, made.name, text);

    const report = await cleanUp(bench, vm);

    expect(report.cleaned).toEqual([]);
    expect(report.left).toEqual([expect.stringContaining(`VM ${made.vmId}, disk ${made.diskId}`)]);
    expect(report.left[0]).toMatch(new RegExp(`then delete .*/${made.name}$`));
    expect([exists(made.vmId), bench.lab.hasDisk(made.diskId)]).toEqual([true, true]);
  });
});

describe('a restore whose request was not answered', () => {
  it('does not adopt a VM that somebody else has made under the name', async () => {
    const { lab } = bench;
    const vm = await backedUp();
    const disks = [{ name: 'payroll', sizeBytes: MIB }];
    let foreign: LabVm | undefined;
    const makeForeign = (): void =>
      void (foreign = lab.addVm({ name: 'web01-restored', status: 'down', disks }));
    lab.faults.add(FIRST_WRITE, { run: makeForeign });
    lab.faults.add(POST_VM, gateway(502));

    await expectCode(bench.restore(vm), 'ENGINE_UNREACHABLE');

    expect(exists(foreign?.id ?? '')).toBe(true);
    expect(foreign?.disks.map(({ name }) => name)).toEqual(['payroll']);
  });

  it('does not adopt a disk that somebody else has made under the name', async () => {
    const { lab } = bench;
    const vm = await backedUp();
    const name = `web01-restored_sys_${vm.disk('sys').id.slice(0, 8)}`;
    const makeForeign = (): void =>
      void lab.addVm({ name: 'other', status: 'down', disks: [{ name, sizeBytes: MIB }] });
    lab.faults.add(POST_DISK, { ...gateway(502), run: makeForeign });

    await expectCode(bench.restore(vm), 'ENGINE_UNREACHABLE');

    expect(lab.vm('other').disks.map((disk) => disk.name)).toEqual([name]);
    expect(lab.hasDisk(name)).toBe(true);
  });

  it.each([
    ['disk', POST_DISK],
    ['VM', POST_VM],
  ])('adopts its own %s', async (_what, match) => {
    const vm = await backedUp();
    bench.lab.faults.add(match, { cutAfterBytes: 0 });

    const report = await bench.restore(vm);

    expect(bench.lab.vm(report.newVmId).disks.map(({ id }) => id)).toEqual([
      report.disks[0]?.newDiskId,
    ]);
  });
});

describe('a restored VM', () => {
  it('does not get disks of the old one that are attached to no VM', async () => {
    const vm = await backedUp();
    const oldId = vm.disk('sys').id;
    vm.status = 'down';
    vm.detachDisk(oldId);

    const report = await bench.restore(vm);

    const ids = bench.lab.vm(report.newVmId).disks.map(({ id }) => id);
    expect(ids).toEqual([report.disks[0]?.newDiskId]);
    expect(ids).not.toContain(oldId);
  });

  it('may have a name with spaces', async () => {
    const vm = await backedUp('web 1');

    const report = await bench.restore(vm, { vm: 'web 1', asVm: 'wéb-1-restored' });

    expect(bench.lab.vm(report.newVmId).name).toBe('wéb-1-restored');
  });

  it('stays when the server cannot compute a checksum, and is not called verified', async () => {
    const vm = await backedUp();
    const body = 'Server failed to perform the request, check logs';
    bench.lab.faults.add({ server: 'imageio', path: /\/checksum/ }, { status: 500, body });

    const report = await bench.restore(vm);

    expect(report.disks).toMatchObject([{ isVerified: false }]);
    expect(messageCodes(bench)).toContain('XFER-308');
    const [restored] = bench.lab.vm(report.newVmId).disks;
    expect(restored?.digest()).toBe(vm.disk('sys').digest());
  });

  it.each([0, 9, 1.5])('is not made with %d connections', async (connections) => {
    const vm = await backedUp();

    await expectCode(bench.restore(vm, { connections }), 'USAGE_INVALID_OPTION');
  });
});

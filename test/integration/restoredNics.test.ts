/** MAC addresses of VMs that are restored to an engine. */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { RestoreVmReport } from '../../src/sessions/restore/restoreVm.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
const SET_MAC = { server: 'engine', method: 'PUT', path: /\/nics\/[^/]+$/, nth: 1 } as const;

async function backedUpVm(): Promise<LabVm> {
  const vm = bench.lab.addVm({
    name: 'web01',
    status: 'down',
    nics: ['nic1', 'nic2'],
    disks: [{ name: 'sys', sizeBytes: MIB }],
  });
  vm.disk('sys').write(0, noise(1, 4096));
  await bench.backup(vm);
  return vm;
}

async function lose(vm: LabVm): Promise<void> {
  await using client = await EngineClient.login(bench.lab);
  await client.call('DELETE', `/vms/${vm.id}`);
}

function codes({ messages }: RestoreVmReport): string[] {
  return messages.map(({ code }) => code);
}

function madeNics(): LabVm['nics'] {
  return bench.lab.vm('web01-restored').nics;
}

describe('a VM that is restored next to its original', () => {
  it('gets new MAC addresses, and a warning names them', async () => {
    const vm = await backedUpVm();
    bench.lab.behaviour.allowsDuplicateMacs = true;

    const report = await bench.restore(vm);

    const made = madeNics();
    const before = vm.nics.map(({ mac }) => mac);
    expect(made.map(({ mac }) => mac)).not.toEqual(expect.arrayContaining(before));
    expect(report).toMatchObject({
      macs: 'new',
      nics: made.map((nic, k) => ({ ...nic, savedMac: before[k] })),
    });
    expect(codes(report)).toEqual(['NIC-701']);
    expect(report.messages[0]?.text).toContain(`nic1 ${made[0]?.mac}, nic2 ${made[1]?.mac}`);
  });

  it('keeps them on request, with another warning', async () => {
    const vm = await backedUpVm();
    bench.lab.behaviour.allowsDuplicateMacs = true;

    const report = await bench.restore(vm, { macs: 'keep' });

    expect(madeNics()).toEqual(vm.nics);
    expect(codes(report)).toEqual(['NIC-702']);
  });

  it('is restored all the same when the MAC pool refuses the saved addresses', async () => {
    const vm = await backedUpVm();

    const report = await bench.restore(vm, { macs: 'keep' });

    expect(codes(report)).toEqual(['NIC-703', 'NIC-703']);
    const [nic] = madeNics();
    expect(report.messages[0]?.text).toMatch(/already in use.+ It has /);
    expect(report.nics[0]).toEqual({ ...nic, savedMac: vm.nics[0]?.mac });
  });
});

describe('a VM that is restored after its original is gone', () => {
  it('has the MAC addresses of the restore point', async () => {
    const vm = await backedUpVm();
    await lose(vm);

    const report = await bench.restore(vm);

    expect(madeNics()).toEqual(vm.nics);
    expect([report.macs, codes(report)]).toEqual(['keep', []]);
  });

  it('gets new ones on request', async () => {
    const vm = await backedUpVm();
    await lose(vm);

    const report = await bench.restore(vm, { macs: 'new' });

    expect(madeNics().map(({ mac }) => mac)).not.toContain(vm.nics[0]?.mac);
    expect([report.macs, codes(report)]).toEqual(['new', []]);
  });

  it('has them also when the answer of the engine is lost', async () => {
    const vm = await backedUpVm();
    await lose(vm);
    bench.lab.faults.add(SET_MAC, { cutAfterBytes: 0 });

    const report = await bench.restore(vm);

    expect(madeNics()).toEqual(vm.nics);
    expect(codes(report)).toEqual([]);
  });
});

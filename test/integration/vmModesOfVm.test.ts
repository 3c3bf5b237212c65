/** Reactions of a session to states of the VM, its disks and its engine. */
import { describe, expect, it } from 'vitest';
import type { LabVmSpec } from '../../lab/src/index.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { EDITED_BYTES, modesOf, VM_KINDS, VmScene } from '../helpers/lab/vmScene.ts';

const bench = useLab();
const [HYBRID, LIVE, COLD] = VM_KINDS as [
  (typeof VM_KINDS)[0],
  (typeof VM_KINDS)[0],
  (typeof VM_KINDS)[0],
];
const ONE_DISK = [{ name: 'disk0', sizeBytes: BLOCK_BYTES }];

function addVm(spec: Partial<LabVmSpec>): ReturnType<typeof bench.lab.addVm> {
  const vm = bench.lab.addVm({ name: 'web01', disks: ONE_DISK, ...spec });
  vm.disk('disk0').write(0, Buffer.from('some data'));
  return vm;
}

describe.each(inTurn(VM_KINDS))('disks that cannot be read, of a VM with $kind backups', (kind) => {
  it.each([
    ['a direct LUN', { storageType: 'lun' }],
    ['a shareable disk', { shareable: true }],
    ['an inactive disk', { active: false }],
  ] as const)('are left out by name: %s', async (_what, spec) => {
    const scene = new VmScene(bench, kind, [{}, { name: 'odd', ...spec }]);

    const report = await scene.fullThen();

    expect(modesOf(report)).toEqual({ disk0: 'incremental' });
    expect(messageCodes(report)).toEqual(['JOB-601']);
    expect(report.messages[0]?.text).toContain('odd');
    expect(report.engine?.leftOut.map(({ alias }) => alias)).toEqual(['odd']);
    await scene.expectEveryPoint();
  });

  it('are left out without a message when they are excluded', async () => {
    const scene = new VmScene(bench, kind, [{}, { name: 'odd', shareable: true }]);

    const report = await scene.session({ excludeDisks: ['odd'] });

    expect(messageCodes(report)).toEqual([]);
    expect(report.engine?.leftOut).toMatchObject([{ alias: 'odd', cause: 'excluded' }]);
  });
});

describe('the state of a VM', () => {
  it.each(['paused', 'suspended'] as const)('refuses a session at once when %s', async (status) => {
    const vm = addVm({ status });

    await expectCode(bench.backup(vm), 'ENGINE_VM_STATE');

    expect(messageCodes(bench)).toEqual(['JOB-602']);
    expect(bench.lab.requests.filter(({ path }) => path.endsWith('/backups'))).toMatchObject([
      { method: 'GET' },
    ]);
  });

  it.each(['migrating', 'powering_up', 'image_locked'] as const)(
    'is waited for while it is %s',
    async (status) => {
      const vm = addVm({ status });
      const path = new RegExp(`/vms/${vm.id}(?:\\?|$)`);
      bench.lab.faults.add({ method: 'GET', path, nth: 3 }, { run: () => void (vm.status = 'up') });

      const report = await bench.backup(vm);

      expect(modesOf(report)).toEqual({ disk0: 'full' });
      expect(messageCodes(bench)).toEqual([]);
    },
  );

  it('is not waited for without an end', async () => {
    const vm = addVm({ status: 'migrating' });
    const engine = bench.settings({ startRetryWindowMs: 30 });

    await expectCode(bench.backup(vm, { engine }), 'ENGINE_VM_STATE');

    expect(messageCodes(bench)).toEqual(['JOB-602']);
  });

  it.each(['hosted_engine', 'managed_hosted_engine'])('refuses origin %s', async (origin) => {
    const vm = addVm({ origin });

    await expectCode(bench.backup(vm), 'ENGINE_VM_STATE');

    expect(messageCodes(bench)).toEqual(['JOB-604']);
  });

  it('refuses a session while a snapshot is previewed', async () => {
    const vm = addVm({ previewsSnapshot: true });

    await expectCode(bench.backup(vm), 'ENGINE_VM_STATE');

    expect(messageCodes(bench)).toEqual(['SNP-202']);
  });

  it('may change from up to down between sessions without an end of the increments', async () => {
    const scene = new VmScene(bench, LIVE);

    const report = await scene.fullThen(() => (scene.vm.status = 'down'));

    expect(modesOf(report)).toEqual({ disk0: 'incremental' });
    expect(report.disks[0]?.changedBytes).toBe(EDITED_BYTES);
    await scene.expectContinued({ disk0: 'incremental' });
  });
});

describe('a VM that was made anew under its old name', () => {
  it('gets a chain of its own, and the old one is kept', async () => {
    const old = addVm({ status: 'down' });
    await bench.backup(old);
    const client = await EngineClient.login(bench.lab);
    await client.call('DELETE', `/vms/${old.id}?detach_only=true`);
    await expect.poll(() => bench.lab.vms).toEqual([]);
    await client[Symbol.asyncDispose]();
    const vm = addVm({});

    const report = await bench.backup(vm, { vms: ['web01'], blockSizeBytes: BLOCK_BYTES });

    expect(report).toMatchObject({ vmId: vm.id, pointType: 'full', pointNumber: 1 });
    expect(messageCodes(report)).toEqual(['JOB-603']);
    const { vms } = await listRepository({ repository: bench.repository });
    expect(vms.map(({ vmId }) => vmId).toSorted()).toEqual([old.id, vm.id].toSorted());
    await bench.expectRestored(vm, {
      disk0: vm.frozenView(report.engine?.backupId ?? '', vm.disk('disk0').id),
    });
  });
});

describe('the engine', () => {
  it.each([
    ['4', '4', '6', ['JOB-605']],
    ['4', '3', '10', ['JOB-605']],
    ['4', '4', '7', []],
    ['4', '5', '0', []],
    ['5', '0', '0', []],
  ])('of version %s.%s.%s leads to the messages %j', async (major, minor, build, codes) => {
    const vm = addVm({});
    const version = { major, minor, build, revision: '0' };
    const body = { product_info: { name: 'oVirt Engine', vendor: 'ovirt.org', version } };
    bench.lab.faults.add({ server: 'engine', path: /\/api$/ }, { status: 200, body });

    const report = await bench.backup(vm);

    expect(messageCodes(report)).toEqual(codes);
  });

  it('that says a guest could not be frozen gets a crash-consistent point', async () => {
    const scene = new VmScene(bench, LIVE);
    bench.lab.behaviour.freezeFails = true;

    const report = await scene.session();

    expect(messageCodes(report)).toEqual(['FRZ-401']);
    await scene.expectEveryPoint();
  });

  it('that cannot freeze a guest fails the session where consistency is required', async () => {
    const vm = addVm({ compatibility: [4, 6] });
    bench.lab.behaviour.freezeFails = true;

    await expectCode(bench.backup(vm, { requireConsistency: true }), 'ENGINE_BACKUP_FAILED');

    bench.lab.behaviour.freezeFails = false;
    expect(modesOf(await bench.backup(vm))).toEqual({ disk0: 'full' });
  });

  it('that does not freeze a VM which is off says nothing about it', async () => {
    const scene = new VmScene(bench, COLD);
    bench.lab.behaviour.freezeFails = true;

    expect(messageCodes(await scene.session())).toEqual([]);
  });

  it('that keeps a checkpoint gets it removed by the next session', async () => {
    const scene = new VmScene(bench, HYBRID);
    bench.lab.behaviour.checkpointRemoveFails = true;
    const report = await scene.fullThen();
    bench.lab.behaviour.checkpointRemoveFails = false;

    const next = await scene.session();

    expect(messageCodes(report)).toEqual(['SNP-204']);
    expect(messageCodes(next)).toEqual([]);
    scene.expectOneCheckpoint();
    await scene.expectEveryPoint();
  });
});

describe('the merge of a snapshot that fails', () => {
  it('is warned of by every session until the snapshot is gone, and no session fails over it', async () => {
    const scene = new VmScene(bench, HYBRID);
    const { behaviour } = bench.lab;
    await scene.session();
    scene.edit();
    behaviour.mergeFails = true;
    const report = await scene.session();
    behaviour.mergeFails = false;
    scene.edit();

    const next = await scene.session();
    const client = await EngineClient.login(bench.lab);
    const snapshotId = /snapshot ([\w-]+)/.exec(next.messages[0]?.text ?? '')?.[1];
    await client.call('DELETE', `/vms/${scene.vm.id}/snapshots/${snapshotId}`);
    await expect.poll(() => bench.lab.leftovers()).toEqual([]);
    await client[Symbol.asyncDispose]();
    const last = await scene.session();

    expect(messageCodes(report)).toEqual(['SNP-201']);
    expect(messageCodes(next)).toEqual(['SNP-201']);
    expect(messageCodes(last)).toEqual([]);
    const modes = [report, next, last].map((one) => one.disks[0]?.mode);
    expect(modes).toEqual(['incremental', 'incremental', 'incremental']);
    await scene.expectEveryPoint();
  });
});

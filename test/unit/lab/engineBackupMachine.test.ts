/** Phases of backups by kind, and answers to clients that act at an unexpected moment. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import type { LabVm } from '../../../lab/src/index.ts';
import { type BenchAnswer, EngineBench } from '../../helpers/lab/engineWithoutNetwork.ts';

const LEGACY = { compatibility: [4, 6] } as const;
const COLD = { ...LEGACY, status: 'down' } as const;

let bench: EngineBench;

beforeEach(() => {
  vi.useFakeTimers();
  bench = new EngineBench();
});

afterEach(() => {
  bench.close();
  vi.useRealTimers();
});

async function post(vm: LabVm, fields: object = {}): Promise<BenchAnswer> {
  return await bench.call('POST', `/vms/${vm.id}/backups`, {
    disks: { disk: vm.disks.map(({ id }) => ({ id })) },
    ...fields,
  });
}

/** @returns the path of a backup that has just begun. */
async function begin(vm: LabVm, fields: object = {}): Promise<string> {
  const { status, json } = await post(vm, fields);
  expect(status).toBe(201);
  return `/vms/${vm.id}/backups/${json['id']}`;
}

async function finalize(path: string): Promise<BenchAnswer> {
  return await bench.call('POST', `${path}/finalize`, {});
}

describe('phases', () => {
  it.each([
    ['hybrid', {}, ['starting', 'ready'], ['ready', 'finalizing', 'succeeded']],
    ['live', LEGACY, ['initializing', 'starting', 'ready'], ['finalizing', 'succeeded']],
    ['cold', COLD, ['initializing', 'ready'], ['finalizing', 'succeeded']],
  ])('of a %s backup', async (_, spec, before, after) => {
    const path = await begin(bench.addVm(spec));
    expect(await bench.phasesUntil(path, 'ready')).toEqual(before);
    expect((await finalize(path)).status).toBe(200);

    expect(await bench.phasesUntil(path, 'succeeded')).toEqual(after);
  });

  it.each([
    ['hybrid', {}, ['starting', 'failed']],
    ['live', LEGACY, ['initializing', 'starting', 'finalizing', 'failed']],
    ['cold', COLD, ['initializing', 'finalizing', 'failed']],
  ])('of a %s backup that fails', async (_, spec, phases) => {
    bench.engine.behaviour.backupFails = true;
    const path = await begin(bench.addVm(spec));

    expect(await bench.phasesUntil(path, 'failed')).toEqual(phases);
  });

  it('of a live backup whose VM is powered off', async () => {
    const vm = bench.addVm(LEGACY);
    const path = await begin(vm);
    await bench.phasesUntil(path, 'ready');
    vm.status = 'down';

    expect(await bench.phasesUntil(path, 'failed')).toEqual(['finalizing', 'failed']);
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('stay for as long as a backup hangs', async () => {
    bench.engine.behaviour.backupHangs = true;
    const path = await begin(bench.addVm());
    await bench.pass(3600);

    expect((await bench.get(path))['phase']).toBe('starting');
  });

  it('that a fault names have their effects', async () => {
    const vm = bench.addVm();
    const path = await begin(vm);
    const { forcePhase } = await import('../../../lab/src/api/routes/allRoutes.ts');
    const force = (phase: string): void =>
      forcePhase(bench.engine, `/ovirt-engine/api${path}`, phase);
    force('confused');
    expect((await bench.get(path))['phase']).toBe('confused');
    expect(await bench.phasesUntil(path, 'ready')).toEqual(['confused', 'ready']);
    force('starting');
    expect(await bench.phasesUntil(path, 'ready')).toEqual(['starting', 'ready']);
    force('failed');
    expect((await bench.get(path))['phase']).toBe('failed');
    expect(vm.checkpointIds()).toEqual([]);
  });
});

describe('the frozen moment', () => {
  it('comes before a backup is ready, and later writes belong to the next one', async () => {
    const vm = bench.addVm();
    const path = await begin(vm);
    vm.disk('root').write(0, Buffer.from('early'));
    const { id } = await bench.get(path);
    await bench.pass(3);
    expect((await bench.get(path))['phase']).toBe('starting');
    vm.disk('root').write(0, Buffer.from('later'));
    await bench.phasesUntil(path, 'ready');

    expect(
      vm
        .frozenView(id as string, 'root')
        .read(0, 5)
        .toString(),
    ).toBe('early');
  });
});

describe('finalize', () => {
  it('of a hybrid backup that is not ready is carried out when it is', async () => {
    const path = await begin(bench.addVm());
    expect((await finalize(path)).status).toBe(200);

    expect(await bench.phasesUntil(path, 'succeeded')).toEqual([
      'starting',
      'ready',
      'finalizing',
      'succeeded',
    ]);
    const codes = bench.engine.log.events.map(({ code }) => code);
    expect(codes).toEqual([10790, 10796, 10794, 10793]);
  });

  it('of a hybrid backup that is stopped is needless', async () => {
    const path = await begin(bench.addVm());
    await bench.phasesUntil(path, 'ready');
    await finalize(path);
    await bench.pass(1);
    expect((await bench.get(path))['phase']).toBe('ready');
    const { status, json } = await finalize(path);

    expect(status).toBe(400);
    expect(json['detail']).toContain('already stopped, no need to stop');
  });

  it.each([['finalizing'], ['succeeded']])('in %s is needless', async (phase) => {
    const path = await begin(bench.addVm(LEGACY));
    await bench.phasesUntil(path, 'ready');
    await finalize(path);
    await bench.phasesUntil(path, phase);
    const { status, json } = await finalize(path);

    expect(status).toBe(400);
    expect(json['detail']).toContain(`already in '${phase.toUpperCase()}' phase, no need to stop`);
  });

  it.each([
    ['live', LEGACY],
    ['cold', COLD],
  ])('of a %s backup that is not ready is refused and aborts it', async (_, spec) => {
    const vm = bench.addVm(spec);
    const path = await begin(vm);
    const { status, json } = await finalize(path);

    expect(status).toBe(400);
    expect(json['detail']).toContain('premature backup stop was initiated');
    expect(await bench.phasesUntil(path, 'failed')).toEqual(['finalizing', 'failed']);
    expect(vm.checkpointIds()).toEqual([]);
  });

  it('leaves a stopped backup closed to new transfers', async () => {
    const vm = bench.addVm();
    const path = await begin(vm);
    await bench.phasesUntil(path, 'ready');
    await finalize(path);
    const { status } = await bench.call('POST', '/imagetransfers', {
      disk: { id: vm.disk('root').id },
      backup: { id: (await bench.get(path))['id'] },
      direction: 'download',
      format: 'raw',
    });

    expect(status).toBe(409);
  });
});

describe('the engine refuses', () => {
  const BUSY = 'Related operation is currently in progress';

  it('a backup while a snapshot is made', async () => {
    const vm = bench.addVm();
    await bench.call('POST', `/vms/${vm.id}/snapshots`, { description: 's' });
    const { status, json } = await post(vm);

    expect([status, json['detail']]).toEqual([409, expect.stringContaining(BUSY)]);
    await bench.pass(5);
    expect((await post(vm)).status).toBe(201);
  });

  it('a backup and a second removal while a checkpoint is removed', async () => {
    const vm = bench.addVm();
    for (let count = 0; count < 2; count++) {
      const path = await begin(vm);
      await finalize(path);
      await bench.phasesUntil(path, 'succeeded');
    }
    const [root, leaf] = vm.checkpointIds();
    const checkpoints = `/vms/${vm.id}/checkpoints`;
    expect((await bench.call('DELETE', `${checkpoints}/${root}`)).status).toBe(200);
    const second = await bench.call('DELETE', `${checkpoints}/${leaf}`);

    expect([second.status, second.json['detail']]).toEqual([
      409,
      expect.stringContaining('during a checkpoint removal operation'),
    ]);
    expect((await post(vm)).status).toBe(409);
    await bench.pass(2);
    expect(vm.checkpointIds()).toEqual([leaf]);
  });

  it('a removal of a checkpoint whose disk is being transferred', async () => {
    const vm = bench.addVm({ status: 'down' });
    const path = await begin(vm);
    await finalize(path);
    await bench.phasesUntil(path, 'succeeded');
    await bench.call('POST', '/imagetransfers', {
      disk: { id: vm.disk('root').id },
      direction: 'download',
      format: 'raw',
    });
    const [root] = vm.checkpointIds();
    const { status, json } = await bench.call('DELETE', `/vms/${vm.id}/checkpoints/${root}`);

    expect([status, json['detail']]).toEqual([409, expect.stringContaining('disks are locked')]);
  });
});

describe('retention', () => {
  it.each([
    ['succeeded', false, 15],
    ['failed', true, 30],
  ])('of a backup that %s', async (phase, isFailing, minutes) => {
    bench.engine.behaviour.backupFails = isFailing;
    const path = await begin(bench.addVm());
    if (!isFailing) await finalize(path);
    await bench.phasesUntil(path, phase);
    await bench.pass(minutes * 60 - 1);
    expect((await bench.call('GET', path)).status).toBe(200);
    await bench.pass(2);

    expect((await bench.call('GET', path)).status).toBe(404);
  });
});

describe('a disk', () => {
  it('of raw format looks like cow for as long as the automatic snapshot exists', async () => {
    const vm = bench.addVm({ disks: [{ name: 'root', sizeBytes: MIB, format: 'raw' }] });
    const disk = `/disks/${vm.disk('root').id}`;
    const path = await begin(vm);
    await bench.phasesUntil(path, 'ready');
    expect((await bench.get(disk))['format']).toBe('cow');
    await finalize(path);
    await bench.phasesUntil(path, 'succeeded');

    expect((await bench.get(disk))['format']).toBe('raw');
  });

  it('is created and deleted in time', async () => {
    const { json } = await bench.call('POST', '/disks', {
      format: 'cow',
      provisioned_size: MIB,
      storage_domains: { storage_domain: [{ name: 'data' }] },
    });
    const path = `/disks/${json['id']}`;
    await bench.pass(1);
    expect((await bench.get(path))['status']).toBe('locked');
    await bench.pass(2);
    expect((await bench.get(path))['status']).toBe('ok');
    expect((await bench.call('DELETE', path)).status).toBe(200);
    expect((await bench.get(path))['status']).toBe('locked');
    await bench.pass(2);
    expect((await bench.call('GET', path)).status).toBe(404);
  });
});

/** Checkpoints that a pipe builds on: lost, wrong, of another VM, and disks that changed. */
import { describe, expect, it } from 'vitest';
import type { LabMatch, LabVm } from '../../lab/src/index.ts';
import { BackupError } from '../../src/core/errors.ts';
import type { SessionMessage } from '../../src/core/messages.ts';
import { openVm, type OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import { MIB } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectCode } from '../helpers/codes.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { makeTrouble, type Trouble } from '../helpers/lab/troubles.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { VM_KINDS } from '../helpers/lab/vmScene.ts';

const bench = useLab();
const UNKNOWN = '11111111-2222-4333-8444-555555555555';

interface Scene {
  readonly vm: LabVm;
  readonly copy: VmCopy;
  readonly since: string;
}

function addVm(name: string): LabVm {
  const disks = [
    { name: 'sys', sizeBytes: 2 * MIB, bootable: true },
    { name: 'data', sizeBytes: MIB + 512 },
  ];
  const vm = bench.lab.addVm({ name, disks });
  vm.disk('sys').write(0, noise(name, MIB));
  vm.disk('data').write(512, noise(name, MIB));
  return vm;
}

/** A VM that was piped in full, and has changed since. */
async function pipedVm(): Promise<Scene> {
  const vm = addVm('web01');
  const copy = new VmCopy();
  const { checkpointId } = await pipeAll(bench, copy);
  vm.disk('sys').write(MIB - 1000, noise(2, 2000));
  vm.disk('data').zero(0, 300_000);
  return { vm, copy, since: checkpointId };
}

/** Pipes with `since`. The modes are known before a byte moves, and the bytes are right. */
async function expectPiped(
  { vm, copy }: Scene,
  given: Partial<OpenVmOptions>,
  modes: Readonly<Record<string, string>>,
): Promise<{ readonly reasons: readonly string[]; readonly codes: readonly string[] }> {
  const messages: SessionMessage[] = [];
  bench.lab.traffic.reset();
  const onMessage = (message: SessionMessage): void => void messages.push(message);
  await using backup = await openVm(pipeOptions(bench, { onMessage, ...given }));
  expect(Object.fromEntries(backup.disks.map(({ alias, mode }) => [alias, mode]))).toEqual(modes);
  expect(bench.lab.traffic.readBytes.size, 'no byte has moved').toBe(0);
  const codes = messages.map(({ code }) => code);
  for (const disk of backup.disks) {
    const report = await disk.pipe(copy.of(disk).sink());
    expect(report).toMatchObject({ mode: disk.mode, reason: disk.reason });
  }
  const { checkpointId } = await backup.finish();
  expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  return { reasons: backup.disks.map(({ reason }) => reason), codes };
}

const WHOLE = { sys: 'full', data: 'full' };
const CHANGES = { sys: 'incremental', data: 'incremental' };

describe('a checkpoint that the engine does not have', () => {
  it('means whole disks with a reason, or an error with strict', async () => {
    const scene = await pipedVm();

    const strict = pipeOptions(bench, { since: UNKNOWN, strict: true });
    await expectCode(openVm(strict), 'ENGINE_CHANGE_MAP_LOST');
    expect(bench.lab.leftovers()).toEqual([]);
    expect(scene.vm.checkpointIds()).toEqual([scene.since]);
    const { codes, reasons } = await expectPiped(scene, { since: UNKNOWN }, WHOLE);

    expect(codes).toEqual(['CBT-113', 'CBT-113']);
    expect(reasons[0]).toBe('the engine does not know the checkpoint');
  });

  it('because it is of another VM, is not taken for one of this VM', async () => {
    const scene = await pipedVm();
    const other = addVm('db01');
    const { checkpointId } = await pipeAll(bench, new VmCopy(), { vm: other.id });

    const strict = pipeOptions(bench, { since: checkpointId, strict: true });
    await expectCode(openVm(strict), 'ENGINE_CHANGE_MAP_LOST');
    const { codes } = await expectPiped(scene, { since: checkpointId }, WHOLE);

    expect(codes).toEqual(['CBT-113', 'CBT-113']);
    expect(other.checkpointIds()).toEqual([checkpointId]);
  });
});

const TROUBLES: readonly Trouble[] = [
  'checkpoint removed',
  'checkpoint invalid',
  'bitmaps broken',
  'checkpoint refused',
  'change map refused',
  'attached again',
];

describe.each(VM_KINDS.slice(0, 2))('a change map of a $kind backup that is lost', ({ spec }) => {
  it.each(TROUBLES)('by "%s" means whole disks, or an error with strict', async (trouble) => {
    const vm = bench.lab.addVm({
      name: 'web01',
      ...spec,
      disks: [{ name: 'sys', sizeBytes: MIB }],
    });
    vm.disk('sys').write(1000, noise(1, 500_000));
    const copy = new VmCopy();
    const { checkpointId: since } = await pipeAll(bench, copy);
    vm.disk('sys').write(0, noise(2, 2000));
    const { end } = makeTrouble(trouble, bench.lab, vm, vm.disk('sys'));

    await expectCode(openVm(pipeOptions(bench, { since, strict: true })), 'ENGINE_CHANGE_MAP_LOST');
    expect(bench.lab.leftovers()).toEqual([]);
    const { codes } = await expectPiped({ vm, copy, since }, { since }, { sys: 'full' });
    end();

    const cause = trouble === 'change map refused' ? ['CBT-107'] : [];
    expect(codes).toEqual([...cause, 'CBT-113']);
    const next = vm.checkpointIds().at(-1) ?? '';
    vm.disk('sys').zero(0, 100_000);
    await expectPiped({ vm, copy, since }, { since: next, strict: true }, { sys: 'incremental' });
  });
});

describe('a disk that changed between two calls', () => {
  it('to RAW is read whole, without an error for strict', async () => {
    const scene = await pipedVm();
    const { vm } = scene;
    await using client = await EngineClient.login(bench.lab);
    vm.status = 'down';
    const { id } = vm.disk('sys');
    await client.post(`/disks/${id}/convert`, { disk: { format: 'raw' } });
    await client.waitFor(`/disks/${id}`, 'format', 'raw');
    vm.status = 'up';
    const given = { since: scene.since, strict: true };

    const { codes } = await expectPiped(scene, given, { sys: 'full', data: 'incremental' });

    expect(codes).toEqual(['CBT-113']);
  });

  it.each([3 * MIB, 2 * MIB + 512, MIB - 512])('to %i B is read whole', async (sizeBytes) => {
    const scene = await pipedVm();
    scene.vm.disk('sys').resize(sizeBytes);

    const modes = { sys: 'full', data: 'incremental' };
    const { reasons } = await expectPiped(scene, { since: scene.since }, modes);

    expect(reasons[0]).toBe('resized since the checkpoint');
  });

  it('in size is right, when the journal is another one', async () => {
    const scene = await pipedVm();
    scene.vm.disk('sys').resize(3 * MIB);
    const journal = `${bench.repository}-other`;

    await using backup = await openVm(pipeOptions(bench, { since: scene.since, journal }));
    for (const disk of backup.disks) await disk.pipe(scene.copy.of(disk).sink());
    const { checkpointId } = await backup.finish();

    expect(scene.copy.differences(scene.vm, backup, checkpointId)).toEqual([]);
    expect(scene.vm.checkpointIds()).toEqual([scene.since, checkpointId]);
  });

  it('by being new is read whole, with the changes of the others', async () => {
    const scene = await pipedVm();
    scene.vm.addDisk({ name: 'new', sizeBytes: MIB }).write(5, noise(9, 5000));

    const modes = { ...CHANGES, new: 'full' };
    const { codes } = await expectPiped(scene, { since: scene.since }, modes);

    expect(codes).toEqual(['CBT-113']);
  });

  it('by being left out once is read whole afterwards', async () => {
    const scene = await pipedVm();
    const { checkpointId } = await pipeAll(bench, scene.copy, {
      since: scene.since,
      excludeDisks: ['data'],
    });

    await expectPiped(scene, { since: checkpointId }, { sys: 'incremental', data: 'full' });
  });
});

describe('a change map that is lost while a disk is piped', () => {
  it('fails the pipe, or gives right bytes', async () => {
    const scene = await pipedVm();
    const { since, vm } = scene;
    const lost: LabMatch = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/, nth: 1 };
    bench.lab.faults.add(lost, { run: () => vm.disk('sys').breakBitmaps(), dropTicket: true });

    await expectPiped(scene, { since }, CHANGES).catch((error: unknown) => {
      if (!(error instanceof BackupError)) throw error;
    });

    expect(bench.lab.leftovers()).toEqual([]);
    const newest = vm.checkpointIds().at(-1) ?? since;
    await expectPiped(scene, { since: newest }, { sys: 'full', data: 'full' });
  });
});

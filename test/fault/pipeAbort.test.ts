/**
 * Pipes that are cancelled at every eighth request; at every request in the long form. The call
 * ends as cancelled. Nothing of it is left on the engine, and its checkpoint is gone. The next call
 * still gives right bytes from the same checkpoint.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LabAction, LabVm } from '../../lab/src/index.ts';
import { CancelledError, toFailure } from '../../src/core/errors.ts';
import type { OpenBackup } from '../../src/sessions/pipe/openBackup.ts';
import { openVm } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { VM_KINDS, type VmKind } from '../helpers/lab/vmScene.ts';
import { longOr } from '../helpers/longForm.ts';
import { vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';

const bench = useLab();
const MAX_REQUESTS = 200;
const STRIDE = longOr(1, 8);
const LIMIT_MS = 3_600_000;
const MIN_STOPPED = 16 / STRIDE;
const [HYBRID] = VM_KINDS as [VmKind];

interface Scene {
  readonly vm: LabVm;
  readonly copy: VmCopy;
  readonly since: string;
}

async function pipedVm({ spec }: VmKind): Promise<Scene> {
  const disks = [
    { name: 'sys', sizeBytes: 3 * BLOCK_BYTES + 512, bootable: true },
    { name: 'redo', sizeBytes: BLOCK_BYTES, format: 'raw' as const },
  ];
  const vm = bench.lab.addVm({ name: 'web01', ...spec, disks });
  for (const disk of vm.disks) disk.write(0, noise(disk.name, BLOCK_BYTES));
  const copy = new VmCopy();
  const { checkpointId: since } = await pipeAll(bench, copy);
  for (const disk of vm.disks) disk.zero(1000, 70_000);
  return { vm, copy, since };
}

/** The next call builds on the same checkpoint. */
async function expectContinued({ vm, copy, since }: Scene): Promise<void> {
  const { backup, checkpointId } = await pipeAll(bench, copy, { since, strict: true });
  expect(backup.disks.map(({ mode }) => mode)).toEqual(['incremental', 'full']);
  expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
  expect(vm.checkpointIds()).toEqual(expect.arrayContaining([since, checkpointId]));
}

/** Files that a call leaves only when it was killed. */
function journals(): string[] {
  return vmFoldersOf(bench.repository).flatMap((folder) =>
    readdirSync(folder).filter((name) => name.includes('journal') || name.includes('lock')),
  );
}

/**
 * Does the work once for each request, with `stop` called there. The work returns its checkpoint.
 *
 * @returns how often the work failed
 */
async function stopEverywhere(
  scene: Scene,
  action: LabAction,
  work: (stopAt: (stop: () => void) => void, isStopped: () => boolean) => Promise<string>,
  stride = STRIDE,
): Promise<number> {
  let stopped = 0;
  for (let nth = 1; nth < MAX_REQUESTS; nth += stride) {
    let stop: (() => void) | undefined;
    let isStopped = false;
    const run = (): void => {
      isStopped = true;
      stop?.();
    };
    const fault = bench.lab.faults.add({ nth }, { ...action, run });
    let checkpointId = '';
    const failure = await work(
      (given) => (stop = given),
      () => isStopped,
    ).then(
      (given) => void (checkpointId = given),
      (error: unknown) => toFailure(error),
    );
    bench.lab.faults.remove(fault);
    const title = `request ${nth}: ${failure?.message ?? 'no error'}`;
    expect(bench.lab.leftovers(), title).toEqual([]);
    expect(journals(), title).toEqual([]);
    if (!failure) {
      expect(scene.vm.checkpointIds(), title).toEqual([scene.since, checkpointId]);
      return stopped;
    }
    expect(failure.code, title).toBe('CANCELLED');
    expect(scene.vm.checkpointIds(), title).toEqual([scene.since]);
    stopped++;
  }
  throw new Error(`more than ${MAX_REQUESTS} requests`);
}

async function pipeTo(backup: OpenBackup): Promise<string> {
  for (const disk of backup.disks) await disk.pipe({ block: () => {}, zero: () => {} });
  return (await backup.finish()).checkpointId;
}

const CUT: LabAction = { cutAfterBytes: 0 };

describe('a pipe that is aborted at each of its requests in turn', () => {
  it.each([
    ...VM_KINDS.map((kind) => ({ ...kind, how: 'answered', action: {} })),
    { ...HYBRID, how: 'done but not answered', action: CUT },
  ])(
    'leaves nothing of a $kind backup when the request is $how',
    async ({ action, ...kind }) => {
      const scene = await pipedVm(kind);
      const { since } = scene;

      const stopped = await stopEverywhere(scene, action, async (stopAt) => {
        const controller = new AbortController();
        stopAt(() => controller.abort());
        const given = { since, signal: controller.signal };
        await using backup = await openVm(pipeOptions(bench, given));
        return await pipeTo(backup);
      });

      expect(stopped).toBeGreaterThan(MIN_STOPPED);
      await expectContinued(scene);
    },
    LIMIT_MS,
  );
});

describe('a pipe whose backup is closed at each of its requests in turn', () => {
  it(
    'leaves nothing',
    async () => {
      const scene = await pipedVm(HYBRID);
      const { since } = scene;

      await stopEverywhere(
        scene,
        {},
        async (stopAt, isStopped) => {
          await using backup = await openVm(pipeOptions(bench, { since }));
          if (isStopped()) throw new CancelledError('CANCELLED', 'before it was open');
          stopAt(() => void backup.close());
          return await pipeTo(backup);
        },
        longOr(1, 3),
      );

      await expectContinued(scene);
    },
    LIMIT_MS,
  );
});

/**
 * The actions of a soak, and how often each is chosen. A new feature adds a line to {@link
 * ACTIONS}. An action gets the soak and a VM, and throws when a check fails.
 */
import { deepStrictEqual } from 'node:assert';
import { BackupError } from '../../src/core/errors.ts';
import type { LabFault } from '../../lab/src/index.ts';
import { restoreVm } from '../../src/sessions/restore/restoreVm.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { CHAIN_ACTIONS } from './chainActions.ts';
import { startChild } from './child.ts';
import type { SoakVm } from './model.ts';
import type { Soak } from './soak.ts';

export interface SoakAction {
  readonly name: string;
  readonly weight: number;
  readonly run: (soak: Soak, vm: SoakVm) => Promise<void>;
}

/** Most requests of a session. It is cut off at one of them. */
const REQUESTS = 50;
/** Most file operations of a session, as the fault sweep counts them. */
const OPERATIONS = 150;

async function abortedSession(soak: Soak, vm: SoakVm): Promise<void> {
  const abort = new AbortController();
  const nth = 1 + soak.random.below(REQUESTS);
  const fault = soak.lab.lab.faults.add({ nth }, { run: () => abort.abort() });
  vm.expectPerhaps();
  await soak.session(vm, { signal: abort.signal });
  if (soak.lab.lab.faults.fired(fault) > 0) soak.figures.aborts++;
  soak.lab.lab.faults.remove(fault);
}

/** A session in a child process that is killed at one of its requests. */
async function killedSession(soak: Soak, vm: SoakVm): Promise<void> {
  const options = {
    engine: soak.lab.settings(),
    vms: [vm.vm.id],
    repository: soak.repository,
    workers: soak.someWorkers(),
    partialReads: soak.random.below(2) === 0,
    ...(vm.points.length === 0 && { blockSizeBytes: BLOCK_BYTES }),
  };
  vm.expectPerhaps();
  const child = startChild({ action: 'backupVms', options, threadedFromBytes: 0 });
  const nth = 1 + soak.random.below(REQUESTS);
  const fault: LabFault = soak.lab.lab.faults.add(
    { nth },
    {
      run: async () => {
        child.process.kill('SIGKILL');
        await child.closed;
      },
    },
  );
  await child.closed;
  await new Promise(setImmediate);
  soak.lab.lab.faults.remove(fault);
  soak.figures.sessions++;
  if (child.process.signalCode === 'SIGKILL') soak.figures.kills++;
  await learnIfThere(soak, vm);
}

/** A killed first session may have left no repository. */
async function learnIfThere(soak: Soak, vm: SoakVm): Promise<void> {
  try {
    await vm.learn(soak);
  } catch (error) {
    const isNone = error instanceof BackupError && error.code === 'REPOSITORY_NOT_FOUND';
    if (!isNone || vm.points.length > 0) throw error;
  }
}

/** A session with failing files may commit its point although it fails, or miss recorded damage. */
async function fileFault(soak: Soak, vm: SoakVm): Promise<void> {
  vm.expectPerhaps();
  await soak.withFileFault(OPERATIONS, () => soak.session(vm));
  if (vm.damaged.size > 0) await vm.verify(soak);
  await learnIfThere(soak, vm);
}

async function restoreFiles(soak: Soak, vm: SoakVm): Promise<void> {
  const point = vm.points[soak.random.below(vm.points.length)];
  if (point) await vm.checkPoint(soak, point);
}

async function restoreToEngine(soak: Soak, vm: SoakVm): Promise<void> {
  const point = vm.points.findLast(({ pointId }) => !vm.damaged.has(pointId));
  if (!point) return;
  const { lab } = soak.lab;
  const report = await restoreVm({
    engine: soak.lab.settings(),
    repository: soak.repository,
    vm: vm.vm.id,
    point: point.pointId,
    asVm: `${vm.vm.name}-restored-${soak.figures.vmsRestored}`,
    storageDomain: 'data',
    cluster: 'Default',
    workers: soak.someWorkers(),
  });
  const restored = report.disks.map(({ alias, newDiskId }): [string, string] => [
    alias,
    lab.disk(newDiskId).digest(),
  ]);
  deepStrictEqual(Object.fromEntries(restored), point.content, `point ${point.pointId}`);
  soak.figures.vmsRestored++;
  soak.figures.bytesCompared += point.sizeBytes;
}

async function verify(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length > 0) await vm.checkDamage(soak);
}

/** Events that change the checkpoint or the bitmaps of a VM between sessions. */
async function trouble(soak: Soak, vm: SoakVm): Promise<void> {
  const which = soak.random.below(3);
  if (which === 0) vm.vm.revertSnapshot('removed');
  else if (which === 1) vm.vm.revertSnapshot('invalid');
  else vm.pickDisk().breakBitmaps();
}

async function session(soak: Soak, vm: SoakVm, mode: 'auto' | 'full'): Promise<void> {
  await soak.cleanSession(vm, { mode });
}

function edit(name: string, weight: number, run: (vm: SoakVm) => void): SoakAction {
  return { name, weight, run: async (_soak, vm) => run(vm) };
}

export const ACTIONS: readonly SoakAction[] = [
  edit('write', 30, (vm) => vm.write()),
  edit('add disk', 2, (vm) => vm.addDisk()),
  edit('remove disk', 1, (vm) => vm.removeDisk()),
  edit('grow disk', 2, (vm) => vm.grow()),
  { name: 'trouble', weight: 2, run: trouble },
  { name: 'new VM', weight: 1, run: async (soak) => soak.addVm() },
  { name: 'session', weight: 12, run: (soak, vm) => session(soak, vm, 'auto') },
  { name: 'full session', weight: 2, run: (soak, vm) => session(soak, vm, 'full') },
  { name: 'faulty session', weight: 16, run: (soak, vm) => soak.faultySession(vm) },
  { name: 'aborted session', weight: 4, run: abortedSession },
  { name: 'killed session', weight: 6, run: killedSession },
  { name: 'session with a file fault', weight: 8, run: fileFault },
  { name: 'restore to files', weight: 14, run: restoreFiles },
  { name: 'restore to the engine', weight: 2, run: restoreToEngine },
  { name: 'verify', weight: 4, run: verify },
  ...CHAIN_ACTIONS,
];

/** Actions of a soak on chains: retention, bit rot and its healing, audits of change maps. */
import { deepStrictEqual, ok } from 'node:assert';
import type { RetentionPolicy } from '../../src/repository/retention/retention.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import { composeAll, damagedPoints, rot } from '../helpers/faults/bitRot.ts';
import type { SoakAction } from './actions.ts';
import { startSelfKill } from './child.ts';
import type { KnownPoint, SoakVm } from './model.ts';
import type { Soak } from './soak.ts';

/** Most file operations of a prune or a synthetic full over a few points. */
const OPERATIONS = 200;
const MAX_KEPT = 4;

/** Keeps the newest points, and sometimes the oldest one, so that increments are merged. */
interface SoakPolicy {
  readonly keep: RetentionPolicy;
  readonly mustKeep: (points: readonly KnownPoint[]) => readonly KnownPoint[];
}

function drawPolicy(soak: Soak): SoakPolicy {
  const last = 1 + soak.random.below(MAX_KEPT);
  if (soak.random.below(2) === 0) return { keep: { last }, mustKeep: (all) => all.slice(-last) };
  // A soak never spans three years, so this rule keeps the oldest point too.
  const mustKeep: SoakPolicy['mustKeep'] = (all) => [...all.slice(0, 1), ...all.slice(-last)];
  return { keep: { last, yearly: 4 }, mustKeep };
}

function chainOptions(soak: Soak, vm: SoakVm): { repository: string; vm: string; workers: number } {
  return { repository: soak.repository, vm: vm.vm.id, workers: 0 };
}

async function learnPruned(soak: Soak, vm: SoakVm, { mustKeep }: SoakPolicy): Promise<void> {
  soak.figures.prunes++;
  soak.figures.pointsPruned += await vm.learnPruned(soak, mustKeep);
}

/** Only known damage may keep a prune from leaving exactly the kept points. */
async function prune(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length === 0) return;
  const policy = drawPolicy(soak);
  const { vms } = await pruneRepository({ ...chainOptions(soak, vm), keep: policy.keep });
  await learnPruned(soak, vm, policy);
  const { failure, points = [] } = vms[0] ?? {};
  if (failure) {
    const isKnown = failure.code.startsWith('INTEGRITY_') && vm.damaged.size > 0;
    ok(isKnown, `prune failed with ${failure.code}: ${failure.message}`);
    return soak.note(`failed: ${failure.code}`);
  }
  const kept = points.filter((point) => point.action === 'keep').map((point) => point.pointId);
  deepStrictEqual(
    vm.points.map((point) => point.pointId),
    kept,
    'points after a prune',
  );
}

async function pruneWithFileFault(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length === 0) return;
  const policy = drawPolicy(soak);
  const options = { ...chainOptions(soak, vm), keep: policy.keep };
  await soak.withFileFault(OPERATIONS, () => soak.typed(() => pruneRepository(options)));
  await learnPruned(soak, vm, policy);
}

async function killedPrune(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length === 0) return;
  const policy = drawPolicy(soak);
  const options = { ...chainOptions(soak, vm), keep: policy.keep };
  const nth = 1 + soak.random.below(OPERATIONS);
  const child = startSelfKill({ action: 'pruneRepository', options }, soak.folder, nth);
  await child.closed;
  if (child.process.signalCode === 'SIGKILL') soak.figures.kills++;
  await learnPruned(soak, vm, policy);
}

/** A synthetic full fails when its point needs damaged blocks. */
async function synthesize(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length === 0) return;
  const newest = vm.points.at(-1)?.pointId ?? '';
  const report = await soak.typed(() => synthesizeFull(chainOptions(soak, vm)));
  ok(report ?? vm.damaged.has(newest), 'a synthetic full of a sound point is made');
  deepStrictEqual(
    await vm.learn(soak),
    vm.points.map((point) => point.pointId),
    'points after a synthetic full',
  );
  if (report?.isNew) soak.figures.synthesized++;
}

async function folderOf(soak: Soak, vm: SoakVm): Promise<string> {
  const { vms } = await listRepository({ repository: soak.repository, vm: vm.vm.id });
  return vms[0]?.folder ?? '';
}

/**
 * Flips a bit in a stored block. Verify finds it and names its points. The next session heals the
 * blocks that the live disk still holds.
 */
async function bitRot(soak: Soak, vm: SoakVm): Promise<void> {
  if (vm.points.length === 0) return;
  const folder = await folderOf(soak, vm);
  const composition = await composeAll(folder);
  const sound = [...composition.stored].filter(([key]) => !vm.rotten.has(key));
  const picked = sound[soak.random.below(sound.length)];
  if (!picked) return;
  const [key, block] = picked;
  soak.note(`rot ${key}`);
  rot(folder, [block], soak.random.below(1 << 30));
  vm.rotten.add(key);
  soak.figures.flips++;
  const expected = damagedPoints(composition, vm.rotten);
  deepStrictEqual(await vm.verify(soak), expected, 'points that verify calls damaged');
  if (soak.random.below(2) === 0) await heal(soak, vm);
}

async function heal(soak: Soak, vm: SoakVm): Promise<void> {
  const report = await soak.cleanSession(vm);
  deepStrictEqual(report.healing?.damagedPointIds, [...vm.damaged], 'points that stay damaged');
  const newest = vm.points.at(-1);
  if (newest) await vm.checkPoint(soak, newest);
}

/**
 * A session that audits all blocks stores the blocks that the change map misses. It must not fail.
 */
async function auditedSession(soak: Soak, vm: SoakVm): Promise<void> {
  const isUntracked = soak.random.below(2) === 0;
  if (isUntracked) vm.writeUntracked();
  const report = await soak.cleanSession(vm, { auditRatio: 1 });
  const mismatched = report.disks.filter(({ audit }) => (audit?.mismatchedBlocks ?? 0) > 0);
  const noted = report.messages.filter(({ code }) => code === 'CBT-108');
  deepStrictEqual(noted.length, mismatched.length, 'disks of which the audit says so');
  ok(isUntracked || mismatched.length === 0, 'a change map that is right passes its audit');
  soak.figures.audits += report.disks.filter(({ audit }) => audit !== undefined).length;
  soak.figures.auditsFound += mismatched.length;
  const newest = vm.points.at(-1);
  if (newest) await vm.checkPoint(soak, newest);
}

export const CHAIN_ACTIONS: readonly SoakAction[] = [
  { name: 'prune', weight: 4, run: prune },
  { name: 'prune with a file fault', weight: 4, run: pruneWithFileFault },
  { name: 'killed prune', weight: 3, run: killedPrune },
  { name: 'synthesize', weight: 2, run: synthesize },
  { name: 'bit rot', weight: 3, run: bitRot },
  { name: 'audited session', weight: 4, run: auditedSession },
];

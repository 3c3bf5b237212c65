/** Chains of small images, and prunes of them. */
import path from 'node:path';
import { expect } from 'vitest';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import type { RetentionPolicy } from '../../../src/repository/retention/retention.ts';
import { VmFolder } from '../../../src/repository/vmFolder.ts';
import type { PrunedVm } from '../../../src/sessions/retention/pruneReport.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import {
  synthesizeFull,
  type SynthesizeReport,
} from '../../../src/sessions/retention/synthesizeFull.ts';
import { writeImage } from '../bytes/images.ts';
import { backup, expectClean, expectRestored, VM } from './imageSessions.ts';
import { pointsOf, vmFolderOf } from './repositoryFiles.ts';
import type { TempFolder } from '../tempFolder.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

/** Contents of all images at one point, by file name. */
export type Contents = Readonly<Record<string, Buffer>>;

export interface Pictured {
  readonly repository: string;
  /** Contents of each point, by its id, in the order of the sessions. */
  readonly contents: ReadonlyMap<string, Contents>;
  readonly pointIds: readonly string[];
}

/** A repository with one session for each of `states`. */
export async function chainOf(temp: TempFolder, states: readonly Contents[]): Promise<Pictured> {
  const repository = temp.path('repo');
  const contents = new Map<string, Contents>();
  for (const state of states) contents.set(await backUpState(temp, repository, state), state);
  return { repository, contents, pointIds: [...contents.keys()] };
}

/** One more session; returns its point. */
export async function backUpState(
  temp: TempFolder,
  repository: string,
  state: Contents,
): Promise<string> {
  const images = Object.entries(state).map(([name, bytes]) => writeImage(temp.path(name), bytes));
  return (await backup(repository, images)).pointId;
}

/** Prunes the only VM, on the main thread, and expects it to succeed. */
export async function prune(
  repository: string,
  keep: RetentionPolicy,
  options: { readonly dryRun?: boolean } = {},
): Promise<PrunedVm> {
  const { vms } = await pruneRepository({ repository, keep, workers: 0, ...options });
  const [vm, ...others] = vms;
  expect(others).toEqual([]);
  if (!vm) return expect.unreachable('the repository has no VM');
  expect(vm.failure).toBeUndefined();
  return vm;
}

/** The folder of the only VM. */
export function vmOf(repository: string): VmFolder {
  const folder = vmFolderOf(repository);
  return new VmFolder(new DiskFolder(folder), VM, path.basename(folder).slice(VM.length + 1));
}

/** Prunes all points except those at these positions: each of them is the last of a year. */
export async function pruneTo(repository: string, positions: readonly number[]): Promise<PrunedVm> {
  const before = (await vmOf(repository).requireMetadata()).points;
  await setTimes(repository, (_point, k) => {
    const year = 2001 + positions.filter((position) => position < k).length;
    return new Date(Date.UTC(year, 0, 1, 0, k)).toISOString();
  });
  const pruned = await prune(repository, { yearly: positions.length });
  // Containers that stayed hold their own time.
  const timeOf = new Map(before.map((point) => [point.fileName, point.createdAt]));
  await setTimes(repository, (point) => timeOf.get(point.fileName) ?? point.createdAt);
  return pruned;
}

/** Changes the times of the points in the chain metadata. */
async function setTimes(
  repository: string,
  timeOf: (point: RestorePoint, position: number) => string,
): Promise<void> {
  const folder = vmOf(repository);
  const metadata = await folder.requireMetadata();
  const points = metadata.points.map((point, k) => ({ ...point, createdAt: timeOf(point, k) }));
  await folder.writeMetadata({ ...metadata, points });
}

export async function synthesize(repository: string): Promise<SynthesizeReport> {
  return await synthesizeFull({ repository, vm: VM, workers: 0 });
}

/** The points of these sessions are there and restore to the byte, and the repository verifies. */
export async function expectPoints(chain: Pictured, positions: readonly number[]): Promise<void> {
  const { repository, contents, pointIds } = chain;
  const expected = positions.map((position) => pointIds.at(position) ?? '');
  expect(pointsOf(repository).map((point) => point.pointId)).toEqual(expected);
  for (const point of expected) {
    await expectRestored(repository, contents.get(point) ?? {}, { point });
  }
  await expectClean(repository);
}

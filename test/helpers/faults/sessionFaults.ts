/** A VM with a full restore point and guest writes since then: the scene in which a session meets a fault. */
import { existsSync, readdirSync } from 'node:fs';
import { expect } from 'vitest';
import type { BackupError, ErrorCode } from '../../../src/core/errors.ts';
import type { Lab, LabDisk, LabDiskSpec, LabMatch, LabVm } from '../../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { EngineClient } from '../lab/engineClient.ts';
import { expectCode } from '../codes.ts';
import { KIB, MIB } from '../bytes/images.ts';
import type { LabBench } from '../lab/useLab.ts';
import { noise } from '../bytes/random.ts';

/** Requests for bytes of an image. */
export const READS: LabMatch = { server: 'imageio', method: 'GET', path: /^\/images\/[^/]+$/ };
export const WRITES: LabMatch = { server: 'imageio', method: 'PUT' };
export const EXTENTS: LabMatch = { server: 'imageio', path: /\/extents\?/ };
export const DIRTY_EXTENTS: LabMatch = { server: 'imageio', path: /\/extents\?context=dirty/ };
/** The engine is asked for one transfer. */
export const TRANSFER_LOOKS: LabMatch = {
  server: 'engine',
  method: 'GET',
  path: /\/imagetransfers\/[^/]+$/,
};

export interface Scene {
  readonly vm: LabVm;
  readonly disk: LabDisk;
  readonly full: SessionReport;
  /** Bytes of the blocks that the guest has written since the full. */
  readonly changedBytes: number;
}

/** 4 MiB and a tail, the first 3 MiB of it data: twelve blocks to read. */
export function addVm(lab: Lab, spec: Partial<LabDiskSpec> = {}): LabVm {
  const disks = [{ name: 'sys', sizeBytes: 4 * MIB + 4 * KIB, bootable: true, ...spec }];
  const vm = lab.addVm({ name: 'web01', disks });
  vm.disk('sys').write(0, noise(1, 3 * MIB));
  return vm;
}

/** Full restore point, then a guest write of three quarters of a MiB. */
export async function makeScene(bench: LabBench, spec: Partial<LabDiskSpec> = {}): Promise<Scene> {
  const vm = addVm(bench.lab, spec);
  const full = await bench.backup(vm);
  const disk = vm.disk('sys');
  disk.write(MIB, noise(2, 768 * KIB));
  return { vm, disk, full, changedBytes: 768 * KIB };
}

/** The frozen view that a session has read. */
export async function expectFrozenView(
  bench: LabBench,
  vm: LabVm,
  report: SessionReport,
): Promise<void> {
  const view = vm.frozenView(report.engine?.backupId ?? '', 'sys');
  await bench.expectRestored(vm, { sys: view }, report.pointId);
}

/**
 * Runs a session that has to fail with `code`, then one without faults, which has to be incremental from the base
 * before the failure.
 */
export async function expectUncommitted(
  bench: LabBench,
  scene: Scene,
  code: ErrorCode,
  options: Partial<BackupVmsOptions> = {},
): Promise<BackupError> {
  const { vm, full } = scene;
  const error = await expectCode(bench.backup(vm, options), code);
  expect(filesOf(bench)).toEqual(['chain metadata', 'full']);
  bench.lab.faults.clear();

  const next = await bench.backup(vm);

  expect(next.disks[0]).toMatchObject({ mode: 'incremental' });
  expect(next.engine?.fromCheckpointId).toBe(full.engine?.toCheckpointId);
  expect(next).toMatchObject({ pointNumber: 2, parentPointId: full.pointId });
  await expectFrozenView(bench, vm, next);
  return error;
}

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/\.vbm$/, 'chain metadata'],
  [/\.vbk$/, 'full'],
  [/\.vib$/, 'increment'],
];

/** What lies in the repository, by kind; a file of no known kind shows by its name. */
export function filesOf(bench: LabBench): string[] {
  if (!existsSync(bench.repository)) return [];
  return readdirSync(bench.repository, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'ovirt-cbt.json')
    .map(({ name }) => KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? name)
    .toSorted();
}

export function codesOf(bench: LabBench): string[] {
  return bench.messages.map((message) => message.code);
}

/** Requests that the lab has answered. */
export function countRequests(
  lab: Lab,
  match: Pick<LabMatch, 'server' | 'method' | 'path'>,
): number {
  return lab.requests.filter(
    ({ server, method, path }) =>
      (match.server === undefined || server === match.server) &&
      (match.method === undefined || method === match.method) &&
      (match.path === undefined || match.path.test(path)),
  ).length;
}

/** All disks of the engine, attached or not. */
export async function diskNames(lab: Lab): Promise<string[]> {
  await using client = await EngineClient.login(lab);
  const answer = await client.get('/disks');
  const disks = (answer['disk'] ?? []) as { readonly name: string }[];
  return disks.map(({ name }) => name).toSorted();
}

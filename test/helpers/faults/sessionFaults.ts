/**
 * For tests of faults of engine and imageio: VMs to back up, kinds of requests, refusals, and
 * checks of the failed session and of the next one.
 */
import { existsSync, readdirSync } from 'node:fs';
import { expect } from 'vitest';
import type { BackupError, ErrorCode } from '../../../src/core/errors.ts';
import type {
  Lab,
  LabDisk,
  LabDiskSpec,
  LabMatch,
  LabRequest,
  LabVm,
  LabVmSpec,
} from '../../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { EngineClient } from '../lab/engineClient.ts';
import { expectCode } from '../codes.ts';
import { BLOCK_BYTES, KIB, MIB } from '../bytes/images.ts';
import type { LabBench } from '../lab/useLab.ts';
import { isReport } from '../repository/repositoryFiles.ts';
import { noise } from '../bytes/random.ts';

/** Requests for bytes of an image. */
export const READS: LabMatch = { server: 'imageio', method: 'GET', path: /^\/images\/[^/]+$/ };
export const WRITES: LabMatch = { server: 'imageio', method: 'PUT' };
export const EXTENTS: LabMatch = { server: 'imageio', path: /\/extents\?/ };
export const DIRTY_EXTENTS: LabMatch = { server: 'imageio', path: /\/extents\?context=dirty/ };
/** Requests for the state of a transfer. */
export const TRANSFER_POLLS: LabMatch = {
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

/** The point of a session restores to the view that was frozen for it, disk by disk. */
export async function expectFrozenView(
  bench: LabBench,
  vm: LabVm,
  report: SessionReport,
): Promise<void> {
  const views = report.disks.map(({ alias, diskId }) => [
    alias,
    vm.frozenView(report.engine?.backupId ?? '', diskId),
  ]);
  await bench.expectRestored(vm, Object.fromEntries(views), report.pointId);
}

/**
 * Runs a session that has to fail with `code`, and one without faults. The second has to be an
 * increment on the point before the failure.
 */
export async function expectUncommitted(
  bench: LabBench,
  scene: Scene,
  code: ErrorCode,
  options: Partial<BackupVmsOptions> = {},
): Promise<BackupError> {
  const { vm, full } = scene;
  const error = await expectCode(bench.backup(vm, options), code);
  expect(fileKindsOf(bench)).toEqual(['chain metadata', 'full']);
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

/**
 * Kinds of the files of the repository but reports, sorted. A file of no known kind is shown by its
 * name.
 */
export function fileKindsOf(bench: LabBench): string[] {
  if (!existsSync(bench.repository)) return [];
  return readdirSync(bench.repository, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^ovirt-cbt\.(json|reserve)$/.test(entry.name))
    .filter(({ name }) => !isReport(name))
    .map(({ name }) => KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? name)
    .toSorted();
}

type RequestKind = Pick<LabMatch, 'server' | 'method' | 'path'>;

function requestsOf(lab: Lab, kind: RequestKind): LabRequest[] {
  return lab.requests.filter(
    ({ server, method, path }) =>
      (kind.server === undefined || server === kind.server) &&
      (kind.method === undefined || method === kind.method) &&
      (kind.path === undefined || kind.path.test(path)),
  );
}

/** Number of requests of a kind that the lab has answered. */
export function countRequests(lab: Lab, kind: RequestKind): number {
  return requestsOf(lab, kind).length;
}

/** Requests to the engine, in order. */
export function calls(lab: Lab, method: string, path: RegExp): LabRequest[] {
  return requestsOf(lab, { server: 'engine', method, path });
}

/** Their HTTP statuses; 0 for requests that got no answer. */
export function statuses(lab: Lab, method: string, path: RegExp): number[] {
  return calls(lab, method, path).map(({ status }) => status);
}

/** All disks of the engine, attached or not. */
export async function diskNames(lab: Lab): Promise<string[]> {
  await using client = await EngineClient.login(lab);
  const answer = await client.get('/disks');
  const disks = (answer['disk'] ?? []) as { readonly name: string }[];
  return disks.map(({ name }) => name).toSorted();
}

/** Paths of requests to the engine. */
export const PATHS = {
  token: /\/sso\/oauth\/token$/,
  logout: /\/services\/sso-logout$/,
  api: /\/ovirt-engine\/api/,
  backups: /\/backups(?:\?.*)?$/,
  backup: /\/backups\/[^/]+$/,
  finalizeBackup: /\/backups\/[^/]+\/finalize$/,
  transfers: /\/imagetransfers$/,
  transfer: /\/imagetransfers\/[^/]+$/,
  finalizeTransfer: /\/imagetransfers\/[^/]+\/finalize$/,
  cancelTransfer: /\/imagetransfers\/[^/]+\/cancel$/,
  events: /\/events\?/,
} as const;

/** Kinds of backups: by snapshot, pulled from QEMU, from the disks of a VM that is off. */
export const BACKUP_KINDS: readonly (readonly [string, Partial<LabVmSpec>])[] = [
  ['hybrid', { compatibility: [4, 7] }],
  ['live', { compatibility: [4, 6], status: 'up' }],
  ['cold', { compatibility: [4, 6], status: 'down' }],
];

const SYSTEM_DISK: LabDiskSpec = { name: 'sys', sizeBytes: 2 * MIB, bootable: true };

/** A VM whose disk `sys` of 2 MiB holds two blocks of data. */
export function addSmallVm(
  lab: Lab,
  spec: Partial<LabVmSpec> = {},
  others: readonly LabDiskSpec[] = [],
): LabVm {
  const vm = lab.addVm({ name: 'web01', disks: [SYSTEM_DISK, ...others], ...spec });
  vm.disk('sys').write(0, noise('sys', 2 * BLOCK_BYTES));
  return vm;
}

/** A guest write inside the second block. Another mark gives other content. */
export function touch(vm: LabVm, mark: string, disk = 'sys'): void {
  vm.disk(disk).write(BLOCK_BYTES, Buffer.from(`changed by ${mark}`));
}

/** A refusal by the engine: `F(status, "text")` of the contract. */
export function refusal(
  status: number,
  text = '',
): { readonly status: number; readonly body: object } {
  return { status, body: { reason: 'Operation Failed', detail: `[${text}]` } };
}

/** The answer of Apache while the engine restarts. */
export function gateway(status: number): { readonly status: number; readonly body: string } {
  return { status, body: '<html><body>Service Unavailable</body></html>' };
}

/**
 * The guest writes to one block, and the next session is an increment of that block. Its point
 * restores.
 */
export async function expectNextIncremental(
  bench: LabBench,
  vm: LabVm,
  mark = 'the next session',
): Promise<SessionReport> {
  touch(vm, mark);
  const next = await bench.backup(vm);
  const modes = next.disks.map(({ mode, reason }) => ({ mode, reason }));
  expect(next.disks[0]?.mode, JSON.stringify(modes)).toBe('incremental');
  expect(next.disks[0]?.changedBytes).toBe(BLOCK_BYTES);
  await expectFrozenView(bench, vm, next);
  return next;
}

/** For tests of the engine's faults: a small VM, requests by kind, canned refusals, and sessions that have to work. */
import { expect } from 'vitest';
import type { Lab, LabDiskSpec, LabRequest, LabVm, LabVmSpec } from '../../../lab/src/index.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { BLOCK_BYTES, MIB } from '../bytes/images.ts';
import { noise } from '../bytes/random.ts';
import type { LabBench } from '../lab/useLab.ts';

/** Paths of the engine's calls, for faults and for counting. */
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

/** Kinds of machines behind backups: by snapshot, pulled from QEMU, from the disks of a VM that is off. */
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

/** A guest write inside one block, always another one's content. */
export function touch(vm: LabVm, mark: string, disk = 'sys'): void {
  vm.disk(disk).write(BLOCK_BYTES, Buffer.from(`changed by ${mark}`));
}

/** Requests of the engine of this kind, in order. */
export function calls(lab: Lab, method: string, path: RegExp): LabRequest[] {
  return lab.requests.filter(
    (request) =>
      request.server === 'engine' && request.method === method && path.test(request.path),
  );
}

/** Their HTTP statuses; 0 for requests that got no answer. */
export function statuses(lab: Lab, method: string, path: RegExp): number[] {
  return calls(lab, method, path).map(({ status }) => status);
}

/** An answer of the engine that refuses: `F(status, "text")` of the contract. */
export function refusal(
  status: number,
  text = '',
): { readonly status: number; readonly body: object } {
  return { status, body: { reason: 'Operation Failed', detail: `[${text}]` } };
}

/** What Apache answers while the engine behind it restarts. */
export function gateway(status: number): { readonly status: number; readonly body: string } {
  return { status, body: '<html><body>Service Unavailable</body></html>' };
}

export function messageCodes(bench: LabBench): string[] {
  return bench.messages.map(({ code }) => code);
}

/** The point of a session restores to its frozen view, disk by disk. */
export async function expectStored(
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
 * After whatever happened: a write of the guest is in the next session, which reads incrementally from what that
 * session or the one before has stored, and restores.
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
  await expectStored(bench, vm, next);
  return next;
}

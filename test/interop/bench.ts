/** A lab per test over QEMU files and the real imageio daemon, sessions against it, and rows of the table at the end. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import type { SessionMessage } from '../../src/core/messages.ts';
import { startLabOver } from '../../lab/src/facade/start.ts';
import type { Lab, LabDiskSpec, LabView, LabVm, LabVmSpec } from '../../lab/src/types.ts';
import { DEFAULT_TIMINGS, type OvirtTimings, scaleTimings } from '../../src/ovirt/timings.ts';
import { backupVms, type BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { restoreVm, type RestoreVmReport } from '../../src/sessions/restore/restoreVm.ts';
import { qemuImg } from './qemu.ts';
import { QemuDisk } from './qemuDisk.ts';
import { QemuView } from './qemuView.ts';
import { type CreateDisk, RealBackend } from './realBackend.ts';
import type { RealImageio, ServedTicket } from './realImageio.ts';

/** Of the engine; slow enough for a daemon that starts again. */
const TIME_SCALE = 0.02;
const TIMINGS: OvirtTimings = {
  ...scaleTimings(0.05),
  // Pauses are short, limits are not: the machine may have other work, and calls of QEMU's tools block.
  connectMs: DEFAULT_TIMINGS.connectMs,
  imageioReadMs: DEFAULT_TIMINGS.imageioReadMs,
  imageioExtentsMs: 120_000,
  backupReadyMs: DEFAULT_TIMINGS.backupReadyMs,
  transferReadyMs: DEFAULT_TIMINGS.transferReadyMs,
  // The daemon is real: it needs its time to start again.
  blockRetryMs: 200,
};
export const BLOCK_BYTES: number = 256 * 1024;

/** Bytes of a restored disk that is too large to be hashed are compared by qemu-img, which skips holes. */
const MAX_COMPARED_BYTES = 1024 ** 3;

export interface InteropBench {
  readonly lab: Lab;
  readonly imageio: RealImageio;
  readonly messages: readonly SessionMessage[];
  readonly folder: string;
  addVm(name: string, disks: readonly LabDiskSpec[], options?: Partial<LabVmSpec>): LabVm;
  image(vm: LabVm, disk: string): QemuDisk;
  backup(vm: LabVm, options?: Partial<BackupVmsOptions>): Promise<SessionReport>;
  restore(vm: LabVm): Promise<RestoreVmReport>;
  frozen(vm: LabVm, report: SessionReport, disk: string): QemuView;
  /** Restores a point to files; each disk has to be its frozen view to the byte. */
  expectRestored(vm: LabVm, report: SessionReport): Promise<void>;
  /** Adds a row to the table that run.sh prints at the end. @param peer - without it, ovirt-imageio */
  tell(scenario: string, details: string, peer?: string): void;
  /** Tickets since the last call, and their rows in the table. */
  served(scenario: string): readonly ServedTicket[];
}

/** What run.sh has prepared. */
export function env(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; start with test/interop/run.sh`);
  return value;
}

function mib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(2);
}

/** Same bytes to the last one; sizes count. */
export function expectSame(file: string, view: QemuView): void {
  expect(statSync(file).size).toBe(view.sizeBytes);
  const compared = qemuImg('compare', '-f', 'raw', '-F', 'raw', file, view.referencePath);
  expect(compared).toContain('Images are identical');
  if (view.sizeBytes > MAX_COMPARED_BYTES) return;
  expect(readFileSync(file).equals(readFileSync(view.referencePath))).toBe(true);
}

export function useInterop(
  createDisk: CreateDisk = (folder, spec) => new QemuDisk(folder, spec),
): InteropBench {
  let folder = '';
  let lab: Lab;
  let backend: RealBackend;
  let messages: SessionMessage[] = [];
  let hasPoint = false;
  let rows: (readonly [peer: string, scenario: string, details: string])[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
    backend = new RealBackend({ folder, venv: env('INTEROP_VENV') }, createDisk);
    lab = await startLabOver(backend, { timeScale: TIME_SCALE });
    messages = [];
    hasPoint = false;
    rows = [];
  });
  afterEach(async ({ task }) => {
    const leftovers = lab.leftovers();
    const isGood = task.result?.state !== 'fail' && leftovers.length === 0;
    for (const [peer, scenario, details] of rows) {
      const cells = [peer, scenario, isGood ? 'passed' : 'FAILED', details];
      appendFileSync(env('INTEROP_TABLE'), `${cells.join('\t')}\n`);
    }
    await lab.close();
    rmSync(folder, { recursive: true, force: true });
    expect(leftovers).toEqual([]);
  });

  const bench: InteropBench = {
    get lab() {
      return lab;
    },
    get imageio() {
      return backend.imageio;
    },
    get messages() {
      return messages;
    },
    get folder() {
      return folder;
    },
    addVm: (name, disks, options = {}) => lab.addVm({ name, disks, ...options }),
    image(vm, disk) {
      const found = backend.disk(vm.disk(disk).id);
      if (found instanceof QemuDisk) return found;
      throw new Error(`${disk} is a guest's`);
    },
    async backup(vm, given = {}) {
      const report = await backupVms({
        engine: settings(),
        vms: [vm.id],
        repository: path.join(folder, 'repository'),
        workers: 0,
        onMessage: (message) => messages.push(message),
        ...(hasPoint ? {} : { blockSizeBytes: BLOCK_BYTES }),
        ...given,
      });
      const [session] = report.sessions;
      if (!session) throw new Error(JSON.stringify(report.failures));
      hasPoint = true;
      return session;
    },
    async restore(vm) {
      return await restoreVm({
        engine: settings(),
        repository: path.join(folder, 'repository'),
        vm: vm.id,
        asVm: `${vm.name}-restored`,
        storageDomain: 'data',
        cluster: 'Default',
        workers: 0,
        onMessage: (message) => messages.push(message),
      });
    },
    frozen(vm, report, disk) {
      const view: LabView = vm.frozenView(report.engine?.backupId ?? '', disk);
      if (view instanceof QemuView) return view;
      throw new Error('the view is no real one');
    },
    async expectRestored(vm, report) {
      const output = mkdtempSync(path.join(folder, 'restored-'));
      const repository = path.join(folder, 'repository');
      const where = { repository, vm: vm.id, point: report.pointId, output, workers: 0 };
      const { disks } = await restoreImages(where);
      expect(disks.length).toBe(report.disks.length);
      for (const disk of disks) expectSame(disk.path, bench.frozen(vm, report, disk.alias));
      rmSync(output, { recursive: true });
    },
    tell: (scenario, details, peer = 'ovirt-imageio') => {
      rows.push([peer, scenario, details]);
    },
    served(scenario) {
      const tickets = backend.imageio.served.splice(0);
      for (const { mode, context, ...bytes } of tickets) {
        const { transferredBytes, dataBytes, dirtyBytes, dirtyDataBytes } = bytes;
        if (mode === 'write') {
          bench.tell(scenario, `written ${mib(transferredBytes)} MiB, zeros and all`);
          continue;
        }
        const known =
          context === 'dirty'
            ? `dirty ${mib(dirtyBytes)} MiB, of it data ${mib(dirtyDataBytes)} MiB`
            : `data ${mib(dataBytes)} MiB`;
        bench.tell(scenario, `served ${mib(transferredBytes)} MiB; ${known}`);
      }
      return tickets;
    },
  };
  function settings(): BackupVmsOptions['engine'] {
    const { url, username, password, caPem } = lab;
    return { url, username, password, caPem, timings: TIMINGS };
  }
  return bench;
}

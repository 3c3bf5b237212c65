/** A lab for each test, over image files and the real imageio daemon. Sessions run against it. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import type { SessionMessage } from '../../src/core/messages.ts';
import { GIB, KIB, MIB } from '../../src/core/units.ts';
import { startLabOver } from '../../lab/src/facade/start.ts';
import type { Lab, LabDiskSpec, LabView, LabVm, LabVmSpec } from '../../lab/src/types.ts';
import type { EngineSettings } from '../../src/ovirt/connection.ts';
import { DEFAULT_TIMINGS, type OvirtTimings, scaleTimings } from '../../src/ovirt/timings.ts';
import { backupVms, type BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { restoreVm, type RestoreVmReport } from '../../src/sessions/restore/restoreVm.ts';
import { addRow, env } from './environment.ts';
import { type ImageFile, qemuImg } from './qemu/qemu.ts';
import { QemuDisk } from './qemu/qemuDisk.ts';
import { QemuView } from './qemu/qemuView.ts';
import { type CreateDisk, RealBackend } from './imageio/realBackend.ts';
import type { RealImageio, ServedTicket } from './imageio/realImageio.ts';

/**
 * Speed of the engine's clock. A faster engine gives up a transfer before a killed daemon is back.
 */
const TIME_SCALE = 0.02;
const TIMINGS: OvirtTimings = {
  ...scaleTimings(0.05),
  // Only pauses are shortened. Limits stay long: the machine may be busy,
  // and calls of QEMU's tools block.
  connectMs: DEFAULT_TIMINGS.connectMs,
  imageioReadMs: DEFAULT_TIMINGS.imageioReadMs,
  imageioExtentsMs: 120_000,
  backupReadyMs: DEFAULT_TIMINGS.backupReadyMs,
  transferReadyMs: DEFAULT_TIMINGS.transferReadyMs,
  // A killed daemon needs this time to start again.
  blockRetryMs: 200,
};
export const BLOCK_BYTES: number = 256 * KIB;

/** Larger disks are compared by qemu-img only, which skips holes. */
const MAX_READ_BYTES = GIB;

/** A disk of a restored point. */
export interface RestoredDisk {
  readonly alias: string;
  readonly path: string;
  readonly view: QemuView;
}

export interface InteropBench {
  readonly lab: Lab;
  readonly imageio: RealImageio;
  readonly messages: readonly SessionMessage[];
  readonly folder: string;
  addVm(name: string, disks: readonly LabDiskSpec[], options?: Partial<LabVmSpec>): LabVm;
  image(vm: LabVm, disk: string): QemuDisk;
  backup(vm: LabVm, options?: Partial<BackupVmsOptions>): Promise<SessionReport>;
  restore(vm: LabVm): Promise<RestoreVmReport>;
  settings(): EngineSettings;
  frozen(vm: LabVm, report: SessionReport, disk: string): QemuView;
  /** Restores a point to files. Each file must equal the frozen view of its disk. */
  restoreFiles(vm: LabVm, report: SessionReport): Promise<readonly RestoredDisk[]>;
  /** As {@link restoreFiles}, and removes the files. */
  expectRestored(vm: LabVm, report: SessionReport): Promise<void>;
  /** Adds a row to the table after the test. @param peer - ovirt-imageio by default */
  tell(scenario: string, details: string, peer?: string): void;
  /** Tickets since the last call. Each of them gets a row in the table. */
  served(scenario: string): readonly ServedTicket[];
}

/** MiB with two decimals, for the table. */
export function mib(bytes: number): string {
  return (bytes / MIB).toFixed(2);
}

/** The content of an image is that of a raw reference, of the same size. */
export function expectIdentical({ path: file, format }: ImageFile, referencePath: string): void {
  const compared = qemuImg('compare', '-f', format, '-F', 'raw', file, referencePath);
  // A warning about different sizes would stand before this text.
  expect(compared).toBe('Images are identical.\n');
}

/** A restored raw file equals the frozen view. Small files are also compared byte by byte. */
function expectSame(file: string, view: QemuView): void {
  expect(statSync(file).size).toBe(view.sizeBytes);
  expectIdentical({ path: file, format: 'raw' }, view.referencePath);
  if (view.sizeBytes > MAX_READ_BYTES) return;
  expect(readFileSync(file).equals(readFileSync(view.referencePath))).toBe(true);
}

export function useInterop(
  createDisk: CreateDisk = (folder, spec) => new QemuDisk(folder, spec),
): InteropBench {
  let folder = '';
  let lab: Lab;
  let backend: RealBackend;
  let messages: SessionMessage[] = [];
  // Nearly every first session of a test starts a repository.
  const onMessage = (message: SessionMessage): void => {
    if (message.code !== 'REPO-530') messages.push(message);
  };
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
    for (const [peer, scenario, details] of rows) addRow(peer, scenario, isGood, details);
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
      throw new Error(`${disk} belongs to a guest`);
    },
    async backup(vm, given = {}) {
      const report = await backupVms({
        engine: settings(),
        vms: [vm.id],
        repository: path.join(folder, 'repository'),
        workers: 0,
        onMessage,
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
        onMessage,
      });
    },
    settings,
    frozen(vm, report, disk) {
      const view: LabView = vm.frozenView(report.engine?.backupId ?? '', disk);
      if (view instanceof QemuView) return view;
      throw new Error('the view is not one of QEMU');
    },
    async restoreFiles(vm, report) {
      return await restoreInto(mkdtempSync(path.join(folder, 'restored-')), vm, report);
    },
    async expectRestored(vm, report) {
      const output = mkdtempSync(path.join(folder, 'restored-'));
      await restoreInto(output, vm, report);
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
  async function restoreInto(
    output: string,
    vm: LabVm,
    report: SessionReport,
  ): Promise<readonly RestoredDisk[]> {
    const repository = path.join(folder, 'repository');
    const where = { repository, vm: vm.id, point: report.pointId, output, workers: 0 };
    const { disks } = await restoreImages(where);
    expect(disks.length).toBe(report.disks.length);
    return disks.map(({ alias, path: file }) => {
      const view = bench.frozen(vm, report, alias);
      expectSame(file, view);
      return { alias, path: file, view };
    });
  }
  function settings(): EngineSettings {
    const { url, username, password, caPem } = lab;
    return { url, username, password, caPem, timings: TIMINGS };
  }
  return bench;
}

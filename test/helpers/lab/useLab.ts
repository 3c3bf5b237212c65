/** A lab per test, sessions against it, and the check that no session left anything on its engine. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import type { SessionMessage } from '../../../src/core/messages.ts';
import {
  type Lab,
  type LabOptions,
  type LabView,
  type LabVm,
  startLab,
} from '../../../lab/src/index.ts';
import type { EngineSettings } from '../../../src/ovirt/connection.ts';
import { type OvirtTimings, scaleTimings } from '../../../src/ovirt/timings.ts';
import { backupVms, type BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import {
  restoreVm,
  type RestoreVmOptions,
  type RestoreVmReport,
} from '../../../src/sessions/restore/restoreVm.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { useTempFolder } from '../tempFolder.ts';

/**
 * The lab scales the engine's times by 0.002, the client's are scaled alike but for some air. The deadlines of
 * connections and of the clean-up are such that a busy machine does not reach them.
 */
export const LAB_TIMINGS: OvirtTimings = {
  ...scaleTimings(0.01),
  connectMs: 10_000,
  cleanupMs: 10_000,
};

export interface LabBench {
  readonly lab: Lab;
  /** Repository folder of the test. */
  readonly repository: string;
  /** Messages of all sessions of the test, in order. */
  readonly messages: readonly SessionMessage[];
  settings(timings?: Partial<OvirtTimings>): EngineSettings;
  /** Backs one VM up; on the main thread, with the smallest block size for a full. */
  backup(vm: LabVm, options?: Partial<BackupVmsOptions>): Promise<SessionReport>;
  /** Restores to the engine, into the NFS domain and the cluster of hybrid VMs. */
  restore(vm: LabVm, options?: Partial<RestoreVmOptions>): Promise<RestoreVmReport>;
  /** Restores a point to files and compares each disk, by alias, with what it has to be. */
  expectRestored(
    vm: LabVm,
    expected: Readonly<Record<string, LabView>>,
    point?: string,
  ): Promise<void>;
  /** For tests whose subject is what is left over: the check after the test is not made. */
  allowLeftovers(): void;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** Gives each test a lab and a repository; after it, the engine has to be as it should be. */
export function useLab(options: LabOptions = {}): LabBench {
  const folder = useTempFolder();
  let lab: Lab;
  let messages: SessionMessage[] = [];
  let mayLeave = false;
  let hasPoint = false;

  beforeEach(async () => {
    lab = await startLab(options);
    messages = [];
    mayLeave = false;
    hasPoint = false;
  });
  afterEach(async () => {
    const leftovers = lab.leftovers();
    await lab.close();
    if (!mayLeave) expect(leftovers).toEqual([]);
  });

  const bench: LabBench = {
    get lab() {
      return lab;
    },
    get repository() {
      return folder.path('repository');
    },
    get messages() {
      return messages;
    },
    settings: (timings = {}) => ({
      url: lab.url,
      username: lab.username,
      password: lab.password,
      caPem: lab.caPem,
      timings: { ...LAB_TIMINGS, ...timings },
    }),
    async backup(vm, given = {}) {
      const report = await backupVms({
        engine: bench.settings(),
        vms: [vm.id],
        repository: bench.repository,
        workers: 0,
        onMessage: (message) => messages.push(message),
        ...(hasPoint ? {} : { blockSizeBytes: BLOCK_BYTES }),
        ...given,
      });
      hasPoint = true;
      const [session] = report.sessions;
      if (!session) throw new Error(`no session: ${JSON.stringify(report.failures)}`);
      return session;
    },
    async restore(vm, given = {}) {
      return await restoreVm({
        engine: bench.settings(),
        repository: bench.repository,
        vm: vm.id,
        asVm: `${vm.name}-restored`,
        storageDomain: 'data',
        cluster: 'Default',
        workers: 0,
        onMessage: (message) => messages.push(message),
        ...given,
      });
    },
    async expectRestored(vm, expected, point = 'latest') {
      const output = await mkdtemp(path.join(folder.make('restored'), 'r-'));
      const { repository } = bench;
      const report = await restoreImages({ repository, vm: vm.id, point, output, workers: 0 });
      const actual: Record<string, string> = {};
      for (const disk of report.disks) actual[disk.alias] = await sha256(disk.path);
      const wanted = Object.entries(expected).map(([alias, view]) => [alias, view.digest()]);
      await rm(output, { recursive: true });
      expect(actual).toEqual(Object.fromEntries(wanted));
    },
    allowLeftovers: () => {
      mayLeave = true;
    },
  };
  return bench;
}

/** Labs of tests: {@link useLab} for sessions, {@link useLabClient} for requests to the engine. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { SessionMessage } from '../../../src/core/messages.ts';
import { MIB } from '../../../src/core/units.ts';
import {
  type Lab,
  type LabOptions,
  type LabView,
  type LabVm,
  type LabVmSpec,
  startLab,
} from '../../../lab/src/index.ts';
import type { EngineSettings } from '../../../src/ovirt/connection.ts';
import type { OvirtTimings } from '../../../src/ovirt/timings.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { StoreOptions } from '../../../src/store/store.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import {
  restoreVm,
  type RestoreVmOptions,
  type RestoreVmReport,
} from '../../../src/sessions/restore/restoreVm.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { contentOf } from '../repository/imageSessions.ts';
import { useTempFolder } from '../tempFolder.ts';
import { EngineClient } from './engineClient.ts';
import { PlainLab } from './plainLab.ts';

export interface LabBench {
  readonly lab: Lab;
  /** Repository of the test: a folder, unless told otherwise. */
  readonly repository: string;
  readonly store: StoreOptions | undefined;
  /** Messages of all sessions of the test, in order. */
  readonly messages: readonly SessionMessage[];
  settings(timings?: Partial<OvirtTimings>): EngineSettings;
  /** Backs one VM up on the main thread. The test's first session gets the smallest block size. */
  backup(vm: LabVm, options?: Partial<BackupVmsOptions>): Promise<SessionReport>;
  /** Restores to the engine, into the NFS domain and the cluster of hybrid VMs. */
  restore(vm: LabVm, options?: Partial<RestoreVmOptions>): Promise<RestoreVmReport>;
  /** Restores a point (the newest, unless told otherwise) to files and compares disks by alias. */
  expectRestored(
    vm: LabVm,
    expected: Readonly<Record<string, LabView>>,
    point?: string,
  ): Promise<void>;
  /** For tests that leave something on the engine on purpose: skips the check after the test. */
  allowLeftovers(): void;
}

/** Where the repository of a test lives, instead of its temporary folder. */
export interface TestPlace {
  readonly repository: string;
  readonly store?: StoreOptions | undefined;
}

/** Gives each test a lab and a repository. Fails a test that leaves something on the engine. */
export function useLab(options: LabOptions = {}, placeOf?: () => TestPlace): LabBench {
  const folder = useTempFolder();
  let plain: PlainLab;
  let messages: SessionMessage[] = [];
  let mayLeave = false;
  let hasPoint = false;

  beforeEach(async () => {
    plain = await PlainLab.start(options);
    messages = [];
    mayLeave = false;
    hasPoint = false;
  });
  afterEach(async () => {
    const leftovers = plain.lab.leftovers();
    await plain.close();
    if (!mayLeave) expect(leftovers).toEqual([]);
  });

  // Nearly every first session of a test starts a repository.
  const onMessage = (message: SessionMessage): void => {
    if (message.code !== 'REPO-530') messages.push(message);
  };
  const bench: LabBench = {
    get lab() {
      return plain.lab;
    },
    get repository() {
      return placeOf?.().repository ?? folder.path('repository');
    },
    get store() {
      return placeOf?.().store;
    },
    get messages() {
      return messages;
    },
    settings: (timings) => plain.settings(timings),
    async backup(vm, given = {}) {
      const blockSizeBytes = hasPoint ? undefined : BLOCK_BYTES;
      const wanted = { onMessage, blockSizeBytes, store: bench.store, ...given };
      const report = await plain.backup(vm, bench.repository, wanted);
      hasPoint = true;
      return report;
    },
    async restore(vm, given = {}) {
      return await restoreVm({
        engine: bench.settings(),
        repository: bench.repository,
        store: bench.store,
        vm: vm.id,
        asVm: `${vm.name}-restored`,
        storageDomain: 'data',
        cluster: 'Default',
        workers: 0,
        onMessage,
        ...given,
      });
    },
    async expectRestored(vm, expected, point = 'latest') {
      const wanted = Object.entries(expected).map(([alias, view]) => [alias, view.digest()]);
      const content = await contentOf(bench.repository, vm.id, point, bench.store);
      expect(content).toEqual(Object.fromEntries(wanted));
    },
    allowLeftovers: () => {
      mayLeave = true;
    },
  };
  return bench;
}

/** A lab with a client that is logged in. What tests leave on the engine is not checked. */
export interface LabClient {
  readonly lab: Lab;
  readonly client: EngineClient;
  /** A VM with one small disk `root`, unless told otherwise. */
  addVm(spec?: Partial<LabVmSpec>): LabVm;
}

/** Gives each test a lab and a client. */
export function useLabClient(options: LabOptions = {}): LabClient {
  return labClientWithin(beforeEach, afterEach, options);
}

/** Gives all tests of the file one lab and one client together. */
export function useSharedLabClient(options: LabOptions = {}): LabClient {
  return labClientWithin(beforeAll, afterAll, options);
}

type Hook = (work: () => Promise<void>) => void;

function labClientWithin(before: Hook, after: Hook, options: LabOptions): LabClient {
  let lab: Lab;
  let client: EngineClient;
  before(async () => {
    lab = await startLab(options);
    client = await EngineClient.login(lab);
  });
  after(async () => {
    await client.close();
    await lab.close();
  });
  return {
    get lab() {
      return lab;
    },
    get client() {
      return client;
    },
    addVm: (spec = {}) =>
      lab.addVm({ name: 'vm', disks: [{ name: 'root', sizeBytes: MIB }], ...spec }),
  };
}

/** A job file in memory over a lab, and runs of its jobs in this process. */
import { writeFileSync } from 'node:fs';
import { beforeEach, expect } from 'vitest';
import type { LabOptions, LabVm } from '../../../lab/src/index.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { SessionMessage } from '../../../src/core/messages.ts';
import { MIB } from '../../../src/core/units.ts';
import type {
  BackupConfig,
  EngineConfig,
  JobConfig,
  JobFile,
  RepositoryConfig,
} from '../../../src/jobs/jobFile.ts';
import type { JobState } from '../../../src/jobs/jobState.ts';
import { conductRun, type RunOptions } from '../../../src/jobs/run/conductRun.ts';
import { previewJob, type RunPreview } from '../../../src/jobs/run/previewJob.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { listRepository, type ListedVm } from '../../../src/sessions/inspect/listRepository.ts';
import type { ProgressEvent } from '../../../src/sessions/shared/progress.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { noise } from '../bytes/random.ts';
import { LAB_TIMINGS } from '../lab/plainLab.ts';
import { type LabBench, useLab } from '../lab/useLab.ts';
import { type TempFolder, useTempFolder } from '../tempFolder.ts';
import { limitsOf } from './stops.ts';

const BACKUP: BackupConfig = {
  mode: 'auto',
  compression: 'default',
  blockSizeBytes: BLOCK_BYTES,
  connections: undefined,
  workers: 0,
  requireConsistency: false,
  partialReads: false,
  auditRatio: undefined,
  waitMs: undefined,
};

export interface JobBench {
  readonly bench: LabBench;
  readonly temp: TempFolder;
  /** Messages of all runs of the test, without that of a new repository. */
  readonly messages: SessionMessage[];
  readonly events: ProgressEvent[];
  /** Adds VMs with one small disk each. */
  addVms(...names: readonly string[]): LabVm[];
  repositoryOf(name: string): RepositoryConfig;
  job(more?: Partial<JobConfig>): JobConfig;
  fileOf(...jobs: readonly JobConfig[]): JobFile;
  run(job: JobConfig, more?: Partial<RunOptions>): Promise<RunReport>;
  preview(job: JobConfig): Promise<RunPreview>;
  state(job: JobConfig): Promise<JobState>;
  list(name?: string): Promise<readonly ListedVm[]>;
  codes(): string[];
}

function engineOf(bench: LabBench, temp: TempFolder): EngineConfig {
  const { url, username } = bench.lab;
  const password = { path: temp.path('password'), credential: 'engine-lab-password' };
  return {
    name: 'lab',
    url,
    username,
    password,
    caFile: temp.path('ca.pem'),
    parallelVms: undefined,
  };
}

function repositoryAt(name: string, place: string): RepositoryConfig {
  const none = { key: undefined, cache: undefined, immutable: undefined };
  return { name, place, ...none, noLock: false };
}

/** Gives each test a lab, and jobs over it. */
export function useJobs(options: LabOptions = {}): JobBench {
  const bench = useLab(options);
  const temp = useTempFolder();
  const messages: SessionMessage[] = [];
  const events: ProgressEvent[] = [];
  beforeEach(() => {
    messages.length = 0;
    events.length = 0;
    writeFileSync(temp.path('ca.pem'), bench.lab.caPem);
    writeFileSync(temp.path('password'), `${bench.lab.password}\n`, { mode: 0o600 });
  });
  const jobs: JobBench = {
    bench,
    temp,
    messages,
    events,
    addVms: (...names) =>
      names.map((name, k) => {
        const vm = bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
        vm.disk(`${name}_sys`).write(0, noise(k + 1, 2 * BLOCK_BYTES));
        return vm;
      }),
    repositoryOf: (name) => repositoryAt(name, temp.path(name)),
    job: (more = {}) => ({
      name: 'nightly',
      engine: engineOf(bench, temp),
      repository: repositoryAt('main', temp.path('main')),
      vms: { all: true },
      excludeDisks: [],
      schedule: undefined,
      timezone: 'UTC',
      windowUntil: undefined,
      backup: BACKUP,
      limits: limitsOf(2),
      priority: 5,
      workerLabel: undefined,
      retry: { times: 0, delayMs: 0 },
      keep: undefined,
      verifySampleRatio: undefined,
      copyTo: undefined,
      hooks: { before: [], after: [] },
      notify: [],
      accept: [],
      strict: false,
      ...more,
    }),
    fileOf: (...given) => ({
      path: temp.path('ovirt-cbt.yaml'),
      engines: new Map(),
      repositories: new Map(),
      notify: new Map(),
      jobs: new Map(given.map((job) => [job.name, job])),
      metricsFile: undefined,
      stateFolder: temp.path('state'),
    }),
    async run(job, more = {}) {
      const file = more.file ?? jobs.fileOf(job);
      return await conductRun({
        file,
        job,
        trigger: 'command',
        state: await StateFolder.find(file),
        timings: LAB_TIMINGS,
        signal: new AbortController().signal,
        logger: silentLogger,
        onMessage: (message) => {
          if (message.code !== 'REPO-530') messages.push(message);
        },
        onProgress: (event) => events.push(event),
        ...more,
      });
    },
    preview: async (job) =>
      await previewJob({
        job,
        startedAt: new Date(),
        previous: await jobs.state(job),
        timings: LAB_TIMINGS,
        signal: new AbortController().signal,
        logger: silentLogger,
        onMessage: () => {},
      }),
    state: async (job) => await (await StateFolder.open(jobs.fileOf(job))).read(job.name),
    list: async (name = 'main') => {
      const { vms, failures } = await listRepository({ repository: temp.path(name) });
      expect(failures).toEqual([]);
      return vms;
    },
    codes: () => messages.map(({ code }) => code),
  };
  return jobs;
}

/** `name outcome` of each VM. */
export function outcomesOf({ vms }: RunReport): string[] {
  return vms.map(({ vmName, outcome }) => `${vmName} ${outcome}`);
}

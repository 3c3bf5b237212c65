/** A fleet over a lab: a server of the queue, planners in this process, workers as processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import type { LabOptions } from '../../../lab/src/index.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { openFleet, type Fleet } from '../../../src/fleet/planner/fleet.ts';
import { COMMON_QUEUE, PREFIX } from '../../../src/fleet/keys.ts';
import { FLEET_TIMINGS, type FleetTimings } from '../../../src/fleet/timings.ts';
import { readJobFile } from '../../../src/jobs/config/readJobFile.ts';
import type { JobConfig, JobFile } from '../../../src/jobs/jobFile.ts';
import type { RunOptions } from '../../../src/jobs/run/conductRun.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import type { OvirtTimings } from '../../../src/ovirt/timings.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { LAB_TIMINGS } from '../lab/plainLab.ts';
import { type JobBench, useJobs } from '../jobs/jobBench.ts';
import { type RedisOptions, type RedisServer, useRedis } from './redisServer.ts';

const WORKER = 'test/helpers/fleet/fleetWorker.mjs';
const PLANNER = 'test/helpers/fleet/fleetPlanner.mjs';
const POLL_MS = 10;
const LIMIT_MS = 60_000;

/** A read that a test holds is not given up. */
export const HOLDING_TIMINGS: OvirtTimings = { ...LAB_TIMINGS, imageioReadMs: 120_000 };

/** Short, but leases outlive the pauses of a busy machine. */
export const FAST: FleetTimings = {
  ...FLEET_TIMINGS,
  reconnectMs: 100,
  outageMs: 200,
  pollMs: 20,
  beatMs: 50,
  leaseMs: 4000,
  graceMs: 2000,
  noWorkerMs: 500,
  cancelMs: 30_000,
  differsPauseMs: 500,
  deliverMs: 3000,
  feedMs: 20,
};

type Told = { readonly type: string; readonly [key: string]: unknown };

export interface WorkerSetup {
  readonly labels?: readonly string[];
  readonly parallelVms?: number;
  readonly file?: string;
  readonly timings?: Partial<FleetTimings>;
  readonly passwordFile?: string;
}

export class WorkerProcess {
  readonly child: ChildProcess;
  /** Everything that it told. */
  readonly told: Told[] = [];
  readonly ended: Promise<number | null>;

  constructor(options: object) {
    this.child = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], detached: true });
    this.child.on('message', (message) => this.told.push(message as Told));
    this.ended = new Promise((resolve) => this.child.once('close', (code) => resolve(code)));
    this.child.send(options);
  }

  get log(): string {
    return this.told.map((one) => JSON.stringify(one)).join('\n');
  }

  async ready(): Promise<this> {
    await eventually(() => this.told.some(({ type }) => type === 'ready' || type === 'failed'));
    expect(this.told.filter(({ type }) => type === 'failed')).toEqual([]);
    return this;
  }

  /** As systemd stops it. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return await this.ended;
  }

  /** Kills the worker and its processes, as the loss of its machine. */
  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null && this.child.pid) {
      process.kill(-this.child.pid, 'SIGKILL');
    }
    await this.ended;
  }
}

/** A run in a process of its own. */
export class PlannerProcess {
  readonly told: Told[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(options: object) {
    this.#child = fork(PLANNER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (message) => this.told.push(message as Told));
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
    this.#child.send(options);
  }

  async report(): Promise<unknown> {
    await this.#ended;
    return this.told.find(({ type }) => type === 'report')?.['report'];
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

export interface FleetBench {
  readonly jobs: JobBench;
  readonly server: RedisServer;
  readonly workers: WorkerProcess[];
  /** Path of the job file. */
  readonly file: string;
  /** Writes a job file. @param job - keys of the job, added to the usual ones. */
  writeJobs(job?: object, name?: string): string;
  readJob(): Promise<{ file: JobFile; job: JobConfig }>;
  startWorker(setup?: WorkerSetup): Promise<WorkerProcess>;
  openFleet(timings?: Partial<FleetTimings>): Promise<Fleet>;
  /** Runs the job in a process that is a planner. @param resume - the run, as its state has it */
  startPlanner(resume: object): PlannerProcess;
  /** Sessions that wait in the common queue. */
  waitingCount(): Promise<number>;
  /** Runs the job of the job file over the fleet. */
  run(fleet: Fleet, more?: Partial<RunOptions>): Promise<RunReport>;
}

export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const startedAtMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedAtMs > LIMIT_MS) throw new Error('this did not come about');
    await sleep(POLL_MS);
  }
}

export function useFleet(options: LabOptions = {}, redis: RedisOptions = {}): FleetBench {
  const jobs = useJobs(options);
  const queue = useRedis(redis);
  const workers: WorkerProcess[] = [];
  const planners: PlannerProcess[] = [];
  const fleets: Fleet[] = [];
  const messages = jobs.messages;

  beforeEach(() => {
    workers.length = 0;
    planners.length = 0;
    fleets.length = 0;
    bench.writeJobs();
  });

  afterEach(async () => {
    const processes = [...workers, ...planners];
    await Promise.all(processes.map(async (one) => await one.kill()));
    for (const fleet of fleets) await fleet[Symbol.asyncDispose]();
  });

  const bench: FleetBench = {
    jobs,
    workers,
    get server() {
      return queue.server;
    },
    get file() {
      return jobs.temp.path('ovirt-cbt.yaml');
    },
    writeJobs(job = {}, name = 'ovirt-cbt.yaml') {
      const file = jobs.temp.path(name);
      const { url, username } = jobs.bench.lab;
      const engine = { url, username, passwordFile: 'password', caFile: 'ca.pem' };
      const content = {
        engines: { lab: engine },
        repositories: { main: { path: 'main' } },
        jobs: {
          nightly: {
            engine: 'lab',
            repository: 'main',
            vms: { all: true },
            backup: { blockSize: BLOCK_BYTES, workers: 0 },
            limits: { parallelVms: 4 },
            retry: { times: 0 },
            ...job,
          },
        },
        stateFolder: 'state',
      };
      // JSON is YAML.
      writeFileSync(file, JSON.stringify(content));
      return file;
    },
    async readJob() {
      const file = await readJobFile(bench.file);
      const job = file.jobs.get('nightly');
      if (!job) throw new Error('there is no job');
      return { file, job };
    },
    async startWorker(setup = {}) {
      const { labels = [], parallelVms = 4, file = bench.file, timings = {}, passwordFile } = setup;
      const worker = new WorkerProcess({
        settings: { url: queue.server.url, passwordFile },
        file,
        labels,
        parallelVms,
        timings: { ...FAST, ...timings },
        engineTimings: HOLDING_TIMINGS,
      });
      workers.push(worker);
      return await worker.ready();
    },
    async openFleet(timings = {}) {
      const fleet = await openFleet(
        { url: queue.server.url },
        {
          signal: new AbortController().signal,
          logger: silentLogger,
          onMessage: (message) => messages.push(message),
          timings: { ...FAST, ...timings },
        },
      );
      fleets.push(fleet);
      return fleet;
    },
    startPlanner(resume) {
      const planner = new PlannerProcess({
        url: queue.server.url,
        path: bench.file,
        timings: FAST,
        engineTimings: HOLDING_TIMINGS,
        resume,
      });
      planners.push(planner);
      return planner;
    },
    waitingCount: async () =>
      await queue.server.client.zcard(`${PREFIX}:${COMMON_QUEUE}:prioritized`),
    async run(fleet, more = {}) {
      const { file, job } = await bench.readJob();
      return await jobs.run(job, { file, openRunner: fleet.openRunner, ...more });
    },
  };
  return bench;
}

/** Processes that a worker has started, by their command lines. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

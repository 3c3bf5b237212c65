/** A planner of many VMs: its plan alone, and runs. For a child process. */
import { createHash, randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLogger } from '../src/core/log.ts';
import { scaleTimings } from '../src/index.ts';
import { engineSettings } from '../src/jobs/config/connectionSettings.ts';
import { readJobFile } from '../src/jobs/config/readJobFile.ts';
import type { JobConfig, JobFile } from '../src/jobs/jobFile.ts';
import type { VmState } from '../src/jobs/jobState.ts';
import { conductRun } from '../src/jobs/run/conductRun.ts';
import type { OpenRunner } from '../src/jobs/run/runners.ts';
import { planRun } from '../src/jobs/run/runPlan.ts';
import { addDoneVm } from '../src/jobs/state/applyRun.ts';
import { StateFolder } from '../src/jobs/state/stateFolder.ts';
import { EngineApi } from '../src/ovirt/engine/engineApi.ts';
import type { SessionReport } from '../src/sessions/shared/report.ts';

/** Shortens the clients' pauses, because the lab's engine is fast. */
const TIME_SCALE = 0.05;
/** Times at which the queue is looked at, as parts of its VMs. */
const LOOKS = 10;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

async function jobIn(folder: string): Promise<{ file: JobFile; job: JobConfig }> {
  const file = await readJobFile(path.join(folder, 'ovirt-cbt.yaml'));
  const job = file.jobs.get('nightly');
  if (!job) throw new Error('the job is missing');
  return { file, job };
}

export interface PlanAnswer {
  readonly vms: number;
  readonly hosts: number;
  readonly domains: number;
  readonly cpuSeconds: number;
  /** What the plan keeps. */
  readonly heapBytes: number;
}

/** Logs in, and makes the plan of a run. */
export async function plan({ folder }: { readonly folder: string }): Promise<PlanAnswer> {
  const { job } = await jobIn(folder);
  const before = heapBytes();
  const cpuBefore = process.cpuUsage();
  const signal = new AbortController().signal;
  const settings = await engineSettings(job.engine, undefined, signal);
  await using engine = await EngineApi.connect(settings);
  const tools = { signal, logger: silentLogger, onMessage: () => {} };
  const { vms } = await planRun(engine, job, { ...tools, past: [], only: undefined });
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    vms: vms.length,
    hosts: new Set(vms.map(({ hostId }) => hostId)).size,
    domains: new Set(vms.flatMap(({ domainIds }) => domainIds)).size,
    cpuSeconds: (user + system) / 1e6,
    heapBytes: heapBytes() - before,
  };
}

/** The queue at one moment. */
export interface QueueLook {
  readonly seconds: number;
  readonly waiting: number;
  readonly running: number;
}

export interface RunAnswer {
  readonly vms: number;
  readonly good: number;
  readonly looks: readonly QueueLook[];
  /** Most sessions at once. */
  readonly mostRunning: number;
  /** What is kept at the end, with the reports of all sessions. */
  readonly heapBytes: number;
}

/** Counts the sessions of a runner. */
class QueueWatch {
  readonly looks: QueueLook[] = [];
  mostRunning = 0;
  #started = 0;
  #ended = 0;
  readonly #vms: number;
  readonly #startedAtMs = performance.now();

  constructor(vms: number) {
    this.#vms = vms;
  }

  start(): void {
    this.#started++;
    this.mostRunning = Math.max(this.mostRunning, this.#started - this.#ended);
  }

  end(): void {
    this.#ended++;
    if (this.#ended % Math.ceil(this.#vms / LOOKS) === 0) this.#look();
  }

  #look(): void {
    const [waiting, running] = [this.#vms - this.#started, this.#started - this.#ended];
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    this.looks.push({ seconds, waiting, running });
  }
}

/** Some sessions are long: up to eight times the shortest, by the name of the VM. */
function durationMs(label: string, leastMs: number): number {
  const share = createHash('md5').update(label).digest().readUInt8(0) / 255;
  return leastMs * (1 + 7 * share ** 4);
}

function reportOf(vmName: string, vmId: string): SessionReport {
  const disk = {
    diskId: vmId,
    alias: `${vmName}_sys`,
    mode: 'incremental' as const,
    reason: 'checkpoint',
    sizeBytes: 1 << 30,
    allocatedBytes: 1 << 20,
    readBytes: 1 << 20,
    zeroBytes: 0,
    unchangedBytes: 0,
    changedBytes: 1 << 20,
    duplicateBlocks: 0,
    storedBytes: 1 << 19,
    reductionRatio: 2,
    seconds: { extents: 0, read: 1, hash: 1, compress: 1, write: 1, wait: 0 },
    wallSeconds: 2,
    readBytesPerSecond: 1 << 19,
  };
  return {
    type: 'backup',
    sessionId: `session-${vmId}`,
    vmName,
    vmId,
    repository: '/backup',
    fileName: `${vmName}.vib`,
    fileBytes: 4096,
    pointId: `point-${vmId}`,
    pointType: 'increment',
    pointNumber: 2,
    parentPointId: `before-${vmId}`,
    startedAt: new Date().toISOString(),
    durationSeconds: 61,
    overheadSeconds: 1,
    commitSeconds: 0.5,
    bottleneck: { stage: 'source (extents, read)', busyRatio: 0.9 },
    disks: [disk],
    messages: [],
  };
}

/** Sessions that do nothing but last, as many at once as the limits allow. */
function waitingRunner(watch: QueueWatch, leastMs: number): OpenRunner {
  return async () => ({
    backup: async ({ label, vmId }) => {
      watch.start();
      await sleep(durationMs(label, leastMs));
      watch.end();
      return reportOf(label, vmId);
    },
    [Symbol.asyncDispose]: async () => {},
  });
}

async function runWith(
  folder: string,
  watch: QueueWatch,
  openRunner: OpenRunner | undefined,
): Promise<RunAnswer> {
  const { file, job } = await jobIn(folder);
  const before = heapBytes();
  const report = await conductRun({
    file,
    job,
    trigger: 'command',
    state: await StateFolder.open(file),
    timings: scaleTimings(TIME_SCALE),
    signal: new AbortController().signal,
    logger: silentLogger,
    onMessage: () => {},
    openRunner,
  });
  const good = report.vms.filter(({ report: own }) => own !== undefined).length;
  return {
    vms: report.vms.length,
    good,
    looks: watch.looks,
    mostRunning: watch.mostRunning,
    heapBytes: heapBytes() - before,
  };
}

/** A whole run whose sessions only last. */
export async function queue(given: {
  readonly folder: string;
  readonly vms: number;
  readonly leastMs: number;
}): Promise<RunAnswer> {
  const watch = new QueueWatch(given.vms);
  return await runWith(given.folder, watch, waitingRunner(watch, given.leastMs));
}

export interface StateAnswer {
  readonly fileBytes: number;
  /** Of one write. */
  readonly cpuSeconds: number;
}

const STATE_WRITES = 20;

/** Notes VMs as done, one by one, in the state of a job that has run before. */
export async function stateWrites(given: {
  readonly folder: string;
  readonly vms: number;
}): Promise<StateAnswer> {
  const { file, job } = await jobIn(given.folder);
  const states = await StateFolder.open(file);
  const runId = randomUUID();
  const ids = Array.from({ length: given.vms }, () => randomUUID());
  const vms = ids.map((vmId, k): VmState => {
    const endedAt = new Date(k).toISOString();
    const counts = { lastDurationSeconds: 61.5, lastReadBytes: 1 << 30, lastStoredBytes: 1 << 29 };
    const last = { lastOutcome: 'success', lastSuccessAt: endedAt, lastPointType: 'increment' };
    return { vmName: `vm${k}`, vmId, ...last, ...counts, isDamaged: false } as VmState;
  });
  const openRun = { runId, startedAt: new Date().toISOString(), doneVms: ids.slice(STATE_WRITES) };
  await states.update(job.name, (state) => ({ ...state, vms, openRun }));
  const before = process.cpuUsage();
  for (const id of ids.slice(0, STATE_WRITES)) {
    await states.update(job.name, (state) => addDoneVm(state, runId, id));
  }
  const { user, system } = process.cpuUsage(before);
  const { size } = await stat(path.join(states.path, `job-${job.name}`, 'state.json'));
  return { fileBytes: size, cpuSeconds: (user + system) / 1e6 / STATE_WRITES };
}

/** A whole run with real sessions in this process. */
export async function sessions(given: {
  readonly folder: string;
  readonly vms: number;
}): Promise<RunAnswer> {
  return await runWith(given.folder, new QueueWatch(given.vms), undefined);
}

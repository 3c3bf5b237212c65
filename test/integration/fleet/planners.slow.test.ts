/** Planners of a fleet: two at once, killed and started again, and runs that are stopped. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { plainFailure } from '../../../src/fleet/failure.ts';
import {
  COMMON_QUEUE,
  outcomeField,
  PREFIX,
  QUEUES_KEY,
  sessionId,
  stateKey,
} from '../../../src/fleet/keys.ts';
import { encodeOutcome } from '../../../src/fleet/outcome.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import {
  eventually,
  type PlannerProcess,
  useFleet,
  type WorkerProcess,
} from '../../helpers/fleet/fleetBench.ts';
import { type HeldReads, holdReads } from '../../helpers/fleet/heldReads.ts';
import { outcomesOf } from '../../helpers/jobs/jobBench.ts';

interface HeldRun {
  readonly held: HeldReads;
  readonly worker: WorkerProcess;
  /** As the state of its job has it. */
  readonly open: object;
  readonly planner: PlannerProcess;
  /** Key of its session. */
  readonly state: string;
}

const bench = useFleet();
const { jobs } = bench;

function backupsStarted(): number {
  const starts = jobs.bench.lab.requests.filter(
    ({ method, path }) => method === 'POST' && /\/vms\/[^/]+\/backups(\?|$)/.test(path),
  );
  return starts.length;
}

/** A run that began now, as the state of its job has it. */
function openRun(): { readonly runId: string } {
  const now = new Date().toISOString();
  const run = { runId: randomUUID(), startedAt: now, slot: now, doneVms: [] };
  return run;
}

/** State of the first session of a VM in a run. */
function stateOf(runId: string, vmId: string): string {
  return stateKey(sessionId({ runId, label: '', vmId, attempt: 1 }));
}

describe('a second planner', () => {
  it('is refused while the first one lives, and names it', async () => {
    await bench.openFleet();
    const error = await bench.openFleet().catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code: 'QUEUE_PLANNER_RUNNING' });
    expect(String(error)).toContain(`process ${process.pid} on `);
  });

  it('may follow after the first one', async () => {
    const first = await bench.openFleet();
    await first[Symbol.asyncDispose]();
    const second = await bench.openFleet();

    expect(await second.workers()).toEqual([]);
  });
});

/** A run whose only session waits in a read. */
async function startHeldRun(): Promise<HeldRun> {
  const [vm] = jobs.addVms('web01');
  const held = holdReads(jobs.bench.lab, vm, 1);
  const worker = await bench.startWorker();
  const open = openRun();
  const planner = bench.startPlanner(open);
  await eventually(() => held.count > 0);
  return { held, worker, open, planner, state: stateOf(open.runId, vm?.id ?? '') };
}

async function emptied(): Promise<void> {
  await bench.server.lose();
  await bench.server.start();
}

describe('a planner that is killed', () => {
  it('is continued: sessions that run are adopted, and others are sent again', async () => {
    bench.writeJobs({ limits: { parallelVms: 3 } });
    const vms = jobs.addVms('a', 'b', 'c');
    const holds = vms.map((vm) => holdReads(jobs.bench.lab, vm, 1));
    await bench.startWorker({ parallelVms: 2 });
    const open = openRun();
    const first = bench.startPlanner(open);
    await eventually(() => holds.filter(({ count }) => count > 0).length === 2);
    await first.kill();
    // A session of a planner that is gone does not start.
    const { client } = bench.server;
    expect(await client.zcard(`${PREFIX}:sessions:prioritized`)).toBe(1);
    const second = bench.startPlanner(open);
    await eventually(() => second.told.some(({ type }) => type === 'progress'));
    for (const hold of holds) hold.release();
    const report = (await second.report()) as RunReport;

    expect(outcomesOf(report)).toEqual(['a success', 'b success', 'c success']);
    expect(backupsStarted()).toBe(3);
  });

  it('is continued: results that came meanwhile are taken', async () => {
    const { held, worker, open, planner: first } = await startHeldRun();
    await first.kill();
    held.release();
    await eventually(() => worker.log.includes('made restore point'));
    const report = (await bench.startPlanner(open).report()) as RunReport;

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(backupsStarted()).toBe(1);
  });
});

describe('a planner that is killed, beside a server that is emptied', () => {
  it('is continued: a session that runs is adopted', async () => {
    const { held, open, planner: first, state } = await startHeldRun();
    await first.kill();
    await emptied();
    const { client } = bench.server;
    await eventually(async () => (await client.hexists(state, 'send')) === 1);
    const second = bench.startPlanner(open);
    await eventually(async () => (await client.exists(QUEUES_KEY)) === 1);
    held.release();
    const report = (await second.report()) as RunReport;

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(backupsStarted()).toBe(1);
  });

  it('is continued: a result that came meanwhile is taken', async () => {
    const { held, worker, open, planner: first } = await startHeldRun();
    await first.kill();
    await bench.server.stop();
    held.release();
    await eventually(async () => (await jobs.list()).some(({ points }) => points.length === 1));
    await bench.server.lose();
    await bench.server.start();
    await eventually(() => worker.log.includes('made restore point'));
    const report = (await bench.startPlanner(open).report()) as RunReport;

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(backupsStarted()).toBe(1);
  });

  it('before its session is known again: it is repeated, and one of both counts', async () => {
    const { held, worker: paused, open, planner: first } = await startHeldRun();
    paused.child.kill('SIGSTOP');
    await first.kill();
    await emptied();
    held.release();
    await eventually(async () => (await jobs.list()).some(({ points }) => points.length === 1));
    const other = await bench.startWorker();
    const second = bench.startPlanner(open);
    await eventually(() => other.log.includes('starts'));
    paused.child.kill('SIGCONT');
    const report = (await second.report()) as RunReport;

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(jobs.bench.lab.leftovers()).toEqual([]);
  });
});

describe('a run that is stopped', () => {
  it('takes sessions that wait out of the queue', async () => {
    jobs.addVms('a', 'b');
    const fleet = await bench.openFleet();
    const stop = new AbortController();
    const running = bench.run(fleet, { signal: stop.signal });
    await eventually(async () => (await bench.waitingCount()) === 2);
    stop.abort();
    const report = await running;

    expect(report.vms.map(({ failure }) => failure?.code)).toEqual(['CANCELLED', 'CANCELLED']);
    expect(await bench.waitingCount()).toBe(0);
  });

  it('waits for the end of its session, also when the server was emptied meanwhile', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    await bench.startWorker();
    const stop = new AbortController();
    const running = bench.run(await bench.openFleet(), { signal: stop.signal });
    await eventually(() => held.count > 0);
    await bench.server.lose();
    stop.abort();
    await bench.server.start();
    const report = await running;

    expect(report.vms.map(({ failure }) => failure?.code)).toEqual(['CANCELLED']);
    expect(jobs.bench.lab.leftovers()).toEqual([]);
  });

  it('leaves no keys of its sessions on the server', async () => {
    jobs.addVms('a');
    await bench.startWorker();
    await bench.run(await bench.openFleet());
    const keys = await bench.server.client.keys(`${PREFIX}:*`);
    const left = keys.filter((key) => /:(session|feed|lease):/.test(key));

    expect(left).toEqual([]);
  });

  it('removes jobs whose workers are gone, also when the server has lost their data', async () => {
    jobs.addVms('a');
    await bench.startWorker();
    const fleet = await bench.openFleet();
    const { client } = bench.server;
    const active = `${PREFIX}:${COMMON_QUEUE}:active`;
    await client.lpush(active, 'gone', 'known');
    await client.hset(`${PREFIX}:${COMMON_QUEUE}:known`, 'name', 'session', 'data', '{}');
    await bench.run(fleet);

    await eventually(async () => (await client.lrange(active, 0, -1)).length === 0);
  });
});

describe('a window', () => {
  it('that ends takes sessions out of the queue that no worker has taken', async () => {
    jobs.addVms('a');
    const fleet = await bench.openFleet();
    const { file, job } = await bench.readJob();
    let leftMs = 60_000;
    const running = jobs.run(job, {
      file,
      openRunner: async (request) =>
        await fleet.openRunner({
          ...request,
          sessions: { ...request.sessions, mostWaitMs: () => leftMs },
        }),
    });
    await eventually(async () => (await bench.waitingCount()) === 1);
    leftMs = 0;
    const [result] = (await running).vms;

    expect(result?.failure?.code).toBe('QUEUE_NO_WORKER');
    expect(await bench.waitingCount()).toBe(0);
  });
});

describe('data that somebody else wrote to the server', () => {
  it.each(['9007199254740991', '-1', '1e300', 'x', ''])(
    'is no number of a send: %s',
    async (send) => {
      const [vm] = jobs.addVms('web01');
      const resume = { ...openRun(), runId: randomUUID() };
      await bench.server.client.hset(stateOf(resume.runId, vm?.id ?? ''), 'send', send);
      await bench.startWorker();
      const report = await bench.run(await bench.openFleet(), { resume: resume as never });

      expect(outcomesOf(report)).toEqual(['web01 success']);
    },
  );

  it('and is no result fails its session, which is not repeated', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const worker = await bench.startWorker();
    const resume = { ...openRun(), runId: randomUUID() };
    const running = bench.run(await bench.openFleet(), { resume: resume as never });
    await eventually(() => held.count > 0);
    const state = stateOf(resume.runId, vm?.id ?? '');
    const { client } = bench.server;
    const send = Number(await client.hget(state, 'send'));
    await client.hset(state, outcomeField(send), '{"report":{}}');
    const report = await running;
    held.release();
    await eventually(() => worker.log.includes('made restore point'));

    expect(report.vms).toMatchObject([{ failure: { code: 'INTERNAL_INVARIANT' } }]);
    expect(jobs.codes()).toEqual([]);
    expect(backupsStarted()).toBe(1);
  });
});

describe('a session that another planner has stopped', () => {
  it('is repeated, and does not stop the run', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    await bench.startWorker();
    const open = openRun();
    const running = bench.run(await bench.openFleet(), { resume: open as never });
    await eventually(() => held.count > 0);
    const state = stateOf(open.runId, vm?.id ?? '');
    const { client } = bench.server;
    const send = Number(await client.hget(state, 'send'));
    const failure = plainFailure(new CancelledError('CANCELLED', 'the run was stopped'));
    await client.hset(state, outcomeField(send), encodeOutcome({ failure }));
    await eventually(() => jobs.codes().includes('FLT-953'));
    held.release();

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    expect(jobs.bench.lab.leftovers()).toEqual([]);
  });
});

/** Workers of a fleet that are killed, stopped, wrong, or far away from what a job needs. */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMON_QUEUE, PLANNER_KEY, PREFIX } from '../../../src/fleet/keys.ts';
import type { OpenRunner } from '../../../src/jobs/run/runners.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { Repository } from '../../../src/repository/repository.ts';
import type { RunnableVm } from '../../../src/sessions/backup/vmRunner.ts';
import {
  childrenOf,
  eventually,
  useFleet,
  type WorkerProcess,
} from '../../helpers/fleet/fleetBench.ts';
import { type HeldReads, holdReads } from '../../helpers/fleet/heldReads.ts';
import { outcomesOf } from '../../helpers/jobs/jobBench.ts';

const QUEUE = `${PREFIX}:${COMMON_QUEUE}`;

const bench = useFleet();
const { jobs } = bench;

function leftovers(): readonly string[] {
  return jobs.bench.lab.leftovers();
}

/** A run whose plan found a VM that has changed since. */
function planned(open: OpenRunner, change: (vm: RunnableVm) => RunnableVm): OpenRunner {
  return async (request) => {
    const runner = await open(request);
    return {
      backup: async (vm, call) => await runner.backup(change(vm), call),
      [Symbol.asyncDispose]: async () => await runner[Symbol.asyncDispose](),
    };
  };
}

/** Ids of the jobs that workers have taken, as the queue knows it. */
async function activeJobs(): Promise<string[]> {
  return await bench.server.client.lrange(`${QUEUE}:active`, 0, -1);
}

/** Number of the points of a VM. */
async function pointsOf(name: string): Promise<number> {
  const vm = (await jobs.list()).find(({ vmName }) => vmName === name);
  return vm?.points.length ?? 0;
}

describe('a worker that is killed', () => {
  it('with its processes: another one cleans up and repeats the session', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const first = await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);
    await first.kill();
    await bench.startWorker();
    const report = await running;
    held.release();

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(jobs.codes()).toContain('FLT-952');
    expect(await pointsOf('web01')).toBe(1);
    expect(leftovers()).toEqual([]);
    const ends = jobs.events.flatMap((event) => (event.type === 'ended' ? event.result : []));
    expect(ends).toEqual(['failed', 'done']);
  });

  it('alone: its process ends the session, and the VM is repeated', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const first = await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);
    first.child.kill('SIGKILL');
    await bench.startWorker();
    const report = await running;
    held.release();

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(leftovers()).toEqual([]);
  });
});

interface Repeated {
  readonly first: WorkerProcess;
  readonly second: WorkerProcess;
  readonly running: Promise<RunReport>;
  /** Reads of the second session. */
  readonly again: HeldReads;
}

/** The first worker is paused as its session makes a point. The second one repeats the session. */
async function pauseFirst(): Promise<Repeated> {
  const [vm] = jobs.addVms('web01');
  const held = holdReads(jobs.bench.lab, vm, 1);
  const timings = { leaseMs: 1000, graceMs: 200 };
  const first = await bench.startWorker({ timings });
  const fleet = await bench.openFleet(timings);
  const running = bench.run(fleet);
  await eventually(() => held.count > 0);
  first.child.kill('SIGSTOP');
  held.release();
  await eventually(async () => (await pointsOf('web01')) === 1);
  vm?.disks[0]?.write(0, Buffer.from('changed'));
  const again = holdReads(jobs.bench.lab, vm, 1);
  const second = await bench.startWorker({ timings });
  await eventually(() => again.count > 0);
  return { first, second, running, again };
}

describe('a worker that is paused', () => {
  it('counts when its session has made a point, and the repeated session ends', async () => {
    const { first, running, again } = await pauseFirst();
    first.child.kill('SIGCONT');
    const report = await running;
    const left = leftovers();
    again.release();

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(left).toEqual([]);
    expect(await pointsOf('web01')).toBe(1);
    expect(jobs.codes()).toContain('FLT-952');
  });

  it('counts when the next one is killed, and what that one left is cleaned up', async () => {
    const { first, second, running, again } = await pauseFirst();
    await second.kill();
    first.child.kill('SIGCONT');
    again.release();

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    expect(leftovers()).toEqual([]);
  });
});

describe('a process of a worker', () => {
  it('that crashes fails its VM alone, and the next session gets another process', async () => {
    bench.writeJobs({ retry: { times: 1, delay: '1s' } });
    const [a, b] = jobs.addVms('a', 'b');
    const holds = [a, b].map((vm) => holdReads(jobs.bench.lab, vm, 1));
    const worker = await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => holds.every(({ count }) => count > 0));
    const [victim = 0] = childrenOf(worker.child.pid ?? 0);
    process.kill(victim, 'SIGKILL');
    await eventually(() => worker.log.includes('WORKER_CRASHED'));
    for (const hold of holds) hold.release();
    const report = await running;

    expect(outcomesOf(report)).toEqual(['a success', 'b success']);
    expect(report.vms.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(3);
    expect(leftovers()).toEqual([]);
  });

  it('is used again for the next session of its job', async () => {
    bench.writeJobs({ limits: { parallelVms: 1 } });
    jobs.addVms('a', 'b', 'c');
    const worker = await bench.startWorker();
    await bench.run(await bench.openFleet());

    expect(childrenOf(worker.child.pid ?? 0)).toHaveLength(1);
    const logins = jobs.bench.lab.requests.filter(({ path: place }) =>
      place.endsWith('oauth/token'),
    );
    // One of the planner, one of the process.
    expect(logins).toHaveLength(2);
  });
});

describe('a worker that is stopped', () => {
  it('gives its sessions back, and ends with exit code 0', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const first = await bench.startWorker();
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);

    expect(await first.stop()).toBe(0);
    expect(leftovers()).toEqual([]);
    await bench.startWorker();
    const report = await running;
    held.release();

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(jobs.codes()).toContain('FLT-953');
    expect(jobs.codes()).not.toContain('FLT-952');
    expect((await fleet.workers()).map(({ pid }) => pid)).not.toContain(first.child.pid);
  });
});

describe('a worker with another job file', () => {
  it('fails the session, and the error names the keys', async () => {
    jobs.addVms('web01');
    const other = bench.writeJobs({ backup: { mode: 'full', compression: 'none' } }, 'other.yaml');
    await bench.startWorker({ file: other });
    const [result] = (await bench.run(await bench.openFleet())).vms;

    expect(result?.failure?.code).toBe('QUEUE_JOB_DIFFERS');
    const keys = ['backup.mode', 'backup.compression', 'backup.blockSize'];
    for (const key of keys) expect(result?.failure?.message).toContain(key);
    expect(result?.failure?.message).toMatch(/^worker \S+: the job file of the worker differs/);
    expect(result?.failure?.message).not.toContain('engine');
  });

  it('and another repository fails the session', async () => {
    jobs.addVms('web01');
    const other = bench.writeJobs({}, 'other.yaml');
    writeFileSync(other, readFileSync(other, 'utf8').replace('"main"}}', '"elsewhere"}}'));
    const { file, job } = await bench.readJob();
    const elsewhere = { ...job, repository: jobs.repositoryOf('elsewhere') };
    await jobs.run(elsewhere, { file });
    await bench.startWorker({ file: other });
    const [result] = (await bench.run(await bench.openFleet(), { newRepository: true })).vms;

    expect(result?.failure?.code).toBe('QUEUE_JOB_DIFFERS');
    expect(result?.failure?.message).toContain('in job nightly: repository');
  });
});

describe('a worker that cannot begin a session', () => {
  it.each([
    ['without the repository', '"path":"main"', '"path":"nowhere"', 'REPOSITORY_NOT_FOUND'],
    ['with a wrong password', '"password"', '"wrong"', 'ENGINE_AUTH_REFUSED'],
    ['without its password', '"password"', '"missing"', 'USAGE_INVALID_OPTION'],
  ])('%s gives it to others, and takes none for a while', async (_, right, wrong, code) => {
    bench.writeJobs({ limits: { parallelVms: 3 } });
    jobs.addVms('a', 'b', 'c');
    writeFileSync(jobs.temp.path('wrong'), 'wrong\n', { mode: 0o600 });
    const other = bench.writeJobs({ limits: { parallelVms: 3 } }, 'other.yaml');
    writeFileSync(other, readFileSync(other, 'utf8').replace(right, wrong));
    const timings = { differsPauseMs: 60_000, loginPauseMs: 60_000 };
    await bench.startWorker({ file: other, parallelVms: 1, timings });
    const good = await bench.startWorker({ parallelVms: 1 });
    const fleet = await bench.openFleet();
    const report = await bench.run(fleet);
    await eventually(() => good.log.match(/made restore point/g)?.length === 3);

    expect(outcomesOf(report)).toEqual(['a success', 'b success', 'c success']);
    expect(jobs.codes()).toEqual(['FLT-958']);
    expect(jobs.messages[0]?.text).toContain(code);
  });
});

describe('a worker of another version', () => {
  it('takes no session, and the run tells why', async () => {
    jobs.addVms('web01');
    const fleet = await bench.openFleet();
    const { client } = bench.server;
    // A worker of the present version would take it.
    const row = {
      name: 'other:1',
      host: 'other',
      pid: 1,
      productVersion: '0.0.1',
      labels: [],
      parallelVms: 1,
      runningVms: [],
      startedAt: new Date().toISOString(),
      seenAt: new Date().toISOString(),
    };
    await client.sadd(`${PREFIX}:workers`, 'x');
    await client.set(`${PREFIX}:worker:x`, JSON.stringify(row));
    const [result] = (await bench.run(fleet)).vms;

    expect(result?.failure).toMatchObject({ code: 'QUEUE_VERSION_DIFFERS' });
    expect(result?.failure?.message).toContain('0.0.1');
  });

  it('tells it, and waits', async () => {
    jobs.addVms('web01');
    const worker = await bench.startWorker();
    const { client } = bench.server;
    const planner = {
      token: 'other',
      productVersion: '0.0.1',
      process: { host: 'other', bootId: 'x', pid: 1, processStart: '1' },
    };
    await client.set(PLANNER_KEY, JSON.stringify(planner), 'PX', 60_000);
    await eventually(() => worker.log.includes('FLT-957'));

    expect(worker.log).toContain('0.0.1');
  });
});

describe('labels', () => {
  it('choose the workers', async () => {
    const [vm] = jobs.addVms('web01');
    const far = await bench.startWorker({ labels: ['site=b'] });
    const near = await bench.startWorker({ labels: ['site=a'] });
    const fleet = await bench.openFleet();
    const { file, job } = await bench.readJob();
    const labelled = { ...job, workerLabel: 'site=a' };
    const report = await jobs.run(labelled, { file, openRunner: fleet.openRunner });

    expect(outcomesOf(report)).toEqual(['web01 success']);
    expect(near.log).toContain(`session of ${vm?.name} starts`);
    expect(far.log).not.toContain('starts');
  });

  it('without a worker are told, and the session starts when one comes', async () => {
    jobs.addVms('web01');
    await bench.startWorker();
    const fleet = await bench.openFleet();
    const { file, job } = await bench.readJob();
    const labelled = { ...job, workerLabel: 'site=a' };
    const running = jobs.run(labelled, { file, openRunner: fleet.openRunner });
    await eventually(() => jobs.codes().includes('FLT-951'));
    await bench.startWorker({ labels: ['site=a'] });

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    expect(jobs.codes()).toEqual(['FLT-951']);
  });
});

describe('a session', () => {
  it('takes no place in a full worker', async () => {
    const vms = jobs.addVms('a', 'b');
    const holds = vms.map((vm) => holdReads(jobs.bench.lab, vm, 1));
    await bench.startWorker({ parallelVms: 1 });
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => holds.some(({ count }) => count > 0));
    const { client } = bench.server;

    expect(await client.llen(`${PREFIX}:${COMMON_QUEUE}:active`)).toBe(1);
    expect(await client.zcard(`${PREFIX}:${COMMON_QUEUE}:prioritized`)).toBe(1);
    for (const hold of holds) hold.release();
    expect(outcomesOf(await running)).toEqual(['a success', 'b success']);
  });

  it('starts and ends with news: nobody has to look for it', async () => {
    bench.writeJobs({ limits: { parallelVms: 1 } });
    jobs.addVms('a', 'b', 'c');
    const [pollMs, beatMs, leaseMs] = [600_000, 600_000, 600_000];
    const timings = { pollMs, beatMs, leaseMs };
    await bench.startWorker({ timings });
    const report = await bench.run(await bench.openFleet(timings));

    expect(outcomesOf(report)).toEqual(['a success', 'b success', 'c success']);
  });

  it('that the queue delivers twice runs once', async () => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    const [one, two] = [await bench.startWorker(), await bench.startWorker()];
    const fleet = await bench.openFleet();
    const running = bench.run(fleet);
    await eventually(() => held.count > 0);
    const { client } = bench.server;
    const [jobId = ''] = await activeJobs();
    await client.multi().del(`${QUEUE}:${jobId}:lock`).lrem(`${QUEUE}:active`, 1, jobId).exec();
    await client.multi().rpush(`${QUEUE}:wait`, jobId).zadd(`${QUEUE}:marker`, 0, '0').exec();
    await eventually(() => `${one.log}${two.log}`.includes('runs already'));
    held.release();

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    expect(await pointsOf('web01')).toBe(1);
    await eventually(async () => (await activeJobs()).length === 0);
  });

  it.each([
    ['nobody', async (key: string) => await bench.server.client.del(key)],
    ['another delivery', async (key: string) => await bench.server.client.set(key, 'other')],
  ])('leaves the queue, also when %s holds its lock', async (_, change) => {
    const [vm] = jobs.addVms('web01');
    const held = holdReads(jobs.bench.lab, vm, 1);
    await bench.startWorker();
    const running = bench.run(await bench.openFleet());
    await eventually(() => held.count > 0);
    const [jobId = ''] = await activeJobs();
    await change(`${QUEUE}:${jobId}:lock`);
    held.release();

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    await eventually(async () => (await activeJobs()).length === 0);
  });

  it('finds a VM that was renamed after the plan', async () => {
    const [vm] = jobs.addVms('web01');
    await bench.startWorker();
    const fleet = await bench.openFleet();
    const openRunner = planned(fleet.openRunner, ({ vmId }) => ({ label: 'before', vmId }));
    const [result] = (await bench.run(fleet, { openRunner })).vms;

    expect(result).toMatchObject({ vmName: 'web01', outcome: 'success', vmId: vm?.id });
    expect(jobs.events.at(0)?.vmName).toBe('before');
  });

  it('fails for a VM that was deleted after the plan', async () => {
    jobs.addVms('web01');
    await bench.startWorker();
    const fleet = await bench.openFleet();
    const openRunner = planned(fleet.openRunner, ({ label }) => ({ label, vmId: randomUUID() }));
    const [result] = (await bench.run(fleet, { openRunner })).vms;

    expect(result?.failure?.code).toBe('USAGE_NOT_FOUND');
  });

  it('waits for the lock of its chain', async () => {
    const [vm] = jobs.addVms('web01');
    await bench.startWorker();
    const fleet = await bench.openFleet();
    await bench.run(fleet);
    await using repository = await Repository.open(jobs.temp.path('main'));
    const folder = await repository.vmById(vm?.id ?? '');
    const lock = await folder?.place.lock();
    const texts: string[] = [];
    const running = bench.run(fleet, { onStatus: (text) => texts.push(text) });
    await eventually(() => texts.some((text) => text.includes('holds its chain')));
    await lock?.[Symbol.asyncDispose]();

    expect(outcomesOf(await running)).toEqual(['web01 success']);
    expect(await pointsOf('web01')).toBe(2);
  });
});

/** The order of the sessions of a run: limits, window, retries. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  BackupError,
  EngineError,
  RepositoryError,
  UsageError,
} from '../../../../src/core/errors.ts';
import type { SessionMessage } from '../../../../src/core/messages.ts';
import { EngineGate, EngineGates } from '../../../../src/jobs/run/engineGates.ts';
import type { GateLimits } from '../../../../src/jobs/run/places/placedSessions.ts';
import { type QueuedVm, type QueueOptions, VmQueue } from '../../../../src/jobs/run/vmQueue.ts';
import type { VmResult } from '../../../../src/jobs/runReport.ts';
import type { RunnableVm } from '../../../../src/sessions/backup/vmRunner.ts';
import type { SessionReport } from '../../../../src/sessions/shared/report.ts';
import { HeldClock } from '../../../helpers/jobs/heldClock.ts';
import { goodVm } from '../../../helpers/jobs/runs.ts';

const MINUTE_MS = 60_000;

/** Sessions that end when the test says so. */
class HeldRunner {
  readonly started: string[] = [];
  readonly #open = new Map<string, (error?: BackupError) => void>();

  async backup({ label: vm }: RunnableVm): Promise<SessionReport> {
    this.started.push(vm);
    await new Promise<void>((resolve, reject) => {
      this.#open.set(vm, (error) => (error ? reject(error) : resolve()));
    });
    return goodVm(vm).report as SessionReport;
  }

  get running(): string[] {
    return [...this.#open.keys()].toSorted();
  }

  async end(vm: string, error?: BackupError): Promise<void> {
    const end = this.#open.get(vm);
    if (!end) throw new Error(`${vm} does not run`);
    this.#open.delete(vm);
    end(error);
    await settled();
  }
}

/** Lets all promises go on that can. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function vmOf(name: string, ...domainIds: string[]): QueuedVm {
  return { label: name, vmName: name, vmId: `id-of-${name}`, domainIds, hostId: undefined };
}

const NO_LIMITS: GateLimits = {
  parallelVms: undefined,
  perStorageDomain: undefined,
  perHost: undefined,
};

let clock: HeldClock;
let runner: HeldRunner;
let messages: SessionMessage[];
let stop: AbortController;
beforeEach(() => {
  clock = new HeldClock('2026-03-02T01:00:00Z');
  runner = new HeldRunner();
  messages = [];
  stop = new AbortController();
});

function start(vms: readonly QueuedVm[], more: Partial<QueueOptions> = {}): Promise<VmResult[]> {
  const queue = new VmQueue({
    jobName: 'nightly',
    runner,
    gate: new EngineGate(clock),
    priority: 5,
    limits: NO_LIMITS,
    parallelVms: 2,
    retry: { times: 0, delayMs: MINUTE_MS },
    windowEndMs: undefined,
    clock,
    signal: stop.signal,
    note: (message) => messages.push(message),
    onResult: async () => {},
    ...more,
  });
  return queue.run(vms);
}

function outcomesOf(results: readonly VmResult[]): string[] {
  return results.map(({ vmName, outcome, attempts }) => `${vmName} ${outcome} ${attempts}`);
}

function codes(): string[] {
  return messages.map(({ code }) => code);
}

const BUSY = new EngineError('ENGINE_BUSY', 'busy');

describe('sessions', () => {
  it('start in order, as many as the run may have', async () => {
    const results = start(['a', 'b', 'c'].map((name) => vmOf(name)));
    await settled();
    expect(runner.running).toEqual(['a', 'b']);
    await runner.end('b');
    expect(runner.running).toEqual(['a', 'c']);
    await runner.end('a');
    await runner.end('c');

    expect(outcomesOf(await results)).toEqual(['a success 1', 'b success 1', 'c success 1']);
  });

  it('leave their place to others also when their result cannot be kept', async () => {
    const gate = new EngineGate();
    const limits = { ...NO_LIMITS, parallelVms: 1 };
    const full = new Error('no space left');
    const results = start([vmOf('a')], { gate, limits, onResult: () => Promise.reject(full) });
    const failed = expect(results).rejects.toBe(full);
    await settled();
    await runner.end('a');
    await failed;

    const others = start([vmOf('b')], { gate, limits });
    await settled();
    await runner.end('b');
    expect(outcomesOf(await others)).toEqual(['b success 1']);
  });

  it('of one storage domain wait for each other, and others overtake them', async () => {
    const vms = [vmOf('a', 'd1'), vmOf('b', 'd1'), vmOf('c', 'd2')];
    const limits = { ...NO_LIMITS, perStorageDomain: 1 };
    const results = start(vms, { limits, parallelVms: 4 });
    await settled();
    expect(runner.running).toEqual(['a', 'c']);
    await runner.end('c');
    expect(runner.running).toEqual(['a']);
    await runner.end('a');
    expect(runner.running).toEqual(['b']);
    await runner.end('b');

    expect(outcomesOf(await results).every((text) => text.endsWith('success 1'))).toBe(true);
  });

  it('that need places in several storage domains come first', async () => {
    const limits = { ...NO_LIMITS, perStorageDomain: 1 };
    const results = start([vmOf('a', 'd1'), vmOf('b', 'd2'), vmOf('c', 'd2', 'd1')], { limits });
    await settled();
    expect(runner.running).toEqual(['c']);
    await runner.end('c');
    expect(runner.running).toEqual(['a', 'b']);
    await runner.end('a');
    await runner.end('b');

    expect(outcomesOf(await results)).toEqual(['a success 1', 'b success 1', 'c success 1']);
  });

  it('of VMs on one host wait for each other, and VMs that are down do not', async () => {
    const hosts = { a: 'h1', b: 'h1', c: 'h2', d: undefined, e: undefined };
    const vms = Object.entries(hosts).map(([name, hostId]) => ({ ...vmOf(name), hostId }));
    const results = start(vms, { limits: { ...NO_LIMITS, perHost: 1 }, parallelVms: 5 });
    await settled();
    expect(runner.running).toEqual(['a', 'c', 'd', 'e']);
    for (const name of ['a', 'b', 'c', 'd', 'e']) await runner.end(name);

    expect((await results).every(({ outcome }) => outcome === 'success')).toBe(true);
  });

  it('of two jobs share the limit of their engine, and a VM has one at a time', async () => {
    const gates = new EngineGates();
    const gate = gates.of({ url: 'https://engine.example/ovirt-engine' });
    expect(gates.of({ url: 'https://ENGINE.example/ovirt-engine/' })).toBe(gate);
    const limits = { ...NO_LIMITS, parallelVms: 2 };
    const other = new HeldRunner();
    const first = start([vmOf('a'), vmOf('b')], { gate, limits });
    const second = start([vmOf('a'), vmOf('c')], { gate, limits, runner: other });
    await settled();
    expect([runner.running, other.running]).toEqual([['a', 'b'], []]);
    await runner.end('b');
    expect([runner.running, other.running]).toEqual([['a'], ['c']]);
    await other.end('c');
    expect(other.running).toEqual([]);
    await runner.end('a');
    expect(other.running).toEqual(['a']);
    await other.end('a');

    expect(outcomesOf(await first)).toEqual(['a success 1', 'b success 1']);
    expect(outcomesOf(await second)).toEqual(['a success 1', 'c success 1']);
  });

  it('start no more when the login is refused', async () => {
    const results = start(['a', 'b', 'c'].map((name) => vmOf(name)));
    await settled();
    await runner.end('a', new EngineError('ENGINE_AUTH_REFUSED', 'wrong password'));
    await runner.end('b');

    expect(outcomesOf(await results)).toEqual(['a failure 1', 'b success 1', 'c notStarted 0']);
    expect(codes()).toEqual(['JOB-624']);
  });

  it('start no more when the run is stopped, and that is no message of its own', async () => {
    const results = start(
      ['a', 'b', 'c'].map((name) => vmOf(name)),
      {
        retry: { times: 3, delayMs: 0 },
      },
    );
    await settled();
    stop.abort();
    await runner.end('a', BUSY);
    await runner.end('b');

    expect(outcomesOf(await results)).toEqual(['a failure 1', 'b success 1', 'c notStarted 0']);
    expect(codes()).toEqual([]);
  });
});

describe('a result that cannot be handed on', () => {
  it('gives the place back, lets the others end, and is told then', async () => {
    const gate = new EngineGate(clock);
    const limits = { ...NO_LIMITS, parallelVms: 2 };
    const results = start(
      ['a', 'b', 'c'].map((name) => vmOf(name)),
      {
        gate,
        limits,
        onResult: async ({ vmName }) => {
          if (vmName === 'a') throw new RepositoryError('REPOSITORY_LOCKED', 'no room');
        },
      },
    );
    let hasEnded = false;
    const told = results.catch((error: unknown) => {
      hasEnded = true;
      return error;
    });
    await settled();
    await runner.end('a');
    const other = start([vmOf('d')], { gate, limits });
    expect([runner.running, hasEnded]).toEqual([['b', 'd'], false]);
    await runner.end('b');
    await runner.end('d');

    expect(await told).toMatchObject({ code: 'REPOSITORY_LOCKED' });
    expect(outcomesOf(await other)).toEqual(['d success 1']);
  });
});

describe('a window', () => {
  const windowEndMs = Date.parse('2026-03-02T06:00:00Z');

  it('that ends lets running sessions end, and starts no other', async () => {
    const results = start(
      ['a', 'b', 'c'].map((name) => vmOf(name)),
      { windowEndMs },
    );
    await settled();
    clock.advance(5 * 60 * MINUTE_MS - 1);
    await runner.end('a');
    expect(runner.running).toEqual(['b', 'c']);
    clock.advance(1);
    await runner.end('b');
    await runner.end('c');

    expect(outcomesOf(await results)).toEqual(['a success 1', 'b success 1', 'c success 1']);
  });

  it('that ends while a VM waits for another job leaves it out', async () => {
    const gate = new EngineGate(clock);
    const other = start([vmOf('other')], { gate });
    const results = start([vmOf('a'), vmOf('b')], {
      gate,
      windowEndMs,
      limits: { ...NO_LIMITS, parallelVms: 1 },
    });
    await settled();
    expect(clock.sleepCount).toBe(1);
    clock.advance(5 * 60 * MINUTE_MS);

    expect(outcomesOf(await results)).toEqual(['a notStarted 0', 'b notStarted 0']);
    await runner.end('other');
    expect(outcomesOf(await other)).toEqual(['other success 1']);
    expect(messages.map(({ code, text }) => [code, text])).toEqual([
      ['JOB-621', 'The window of job nightly has ended. Not started: 2 (a, b).'],
    ]);
  });

  it('that has ended starts nothing, and one that ends during the pause starts no retry', async () => {
    const late = new HeldClock('2026-03-02T06:00:00Z');
    expect(outcomesOf(await start([vmOf('a')], { windowEndMs, clock: late }))).toEqual([
      'a notStarted 0',
    ]);
    messages.length = 0;
    const retry = { times: 2, delayMs: 5 * 60 * MINUTE_MS };
    const results = start([vmOf('a')], { windowEndMs, retry });
    await settled();
    await runner.end('a', BUSY);

    expect(outcomesOf(await results)).toEqual(['a failure 1']);
    expect(codes()).toEqual(['JOB-623']);
  });

  it('leaves no timer of its own behind', async () => {
    const results = start(
      ['a', 'b', 'c'].map((name) => vmOf(name)),
      { windowEndMs },
    );
    await settled();
    for (const name of ['a', 'b', 'c']) await runner.end(name);
    await results;

    expect(clock.sleepCount).toBe(0);
  });
});

describe('VMs that failed', () => {
  it('are tried again when the others have ended, as often as the job says', async () => {
    const told: string[] = [];
    const results = start(
      ['a', 'b', 'c'].map((name) => vmOf(name)),
      {
        retry: { times: 2, delayMs: MINUTE_MS },
        onResult: async ({ vmName, outcome }) => {
          told.push(`${vmName} ${outcome}`);
        },
      },
    );
    await settled();
    await runner.end('a', BUSY);
    await runner.end('b', new RepositoryError('REPOSITORY_LOCKED', 'locked'));
    await runner.end('c');
    expect([runner.started, clock.sleepCount]).toEqual([['a', 'b', 'c'], 1]);
    clock.advance(MINUTE_MS);
    await settled();
    expect(runner.running).toEqual(['a', 'b']);
    await runner.end('a', BUSY);
    await runner.end('b');
    clock.advance(MINUTE_MS);
    await settled();
    await runner.end('a', BUSY);

    expect(outcomesOf(await results)).toEqual(['a failure 3', 'b success 2', 'c success 1']);
    expect(codes()).toEqual(['JOB-622', 'JOB-622']);
    expect(told).toEqual([
      'a failure',
      'b failure',
      'c success',
      'a failure',
      'b success',
      'a failure',
    ]);
  });

  it('are not tried again when they would fail the same way', async () => {
    const results = start([vmOf('a')], { retry: { times: 2, delayMs: 0 } });
    await settled();
    await runner.end('a', new UsageError('USAGE_NOT_FOUND', 'no such VM'));

    expect(outcomesOf(await results)).toEqual(['a failure 1']);
  });
});

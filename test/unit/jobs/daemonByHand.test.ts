/** Runs that a user starts and stops by hand, beside the schedule of the daemon. */
import { EventEmitter, once } from 'node:events';
import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slotsBetween } from '../../../src/jobs/schedule/schedule.ts';
import { DaemonWorld, jobFileOf, type WorldJob } from '../../helpers/jobs/daemonWorld.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const NIGHTLY: WorldJob = { name: 'nightly', schedule: '0 1 * * *', timezone: 'UTC' };
const START = '2026-05-01T12:00:00Z';

async function started(job: WorldJob = NIGHTLY): Promise<DaemonWorld> {
  const world = new DaemonWorld([job], START);
  await world.start();
  return world;
}

async function runNow(world: DaemonWorld, only?: readonly string[]): Promise<string> {
  return (await world.daemon?.startNow('nightly', only)) ?? '';
}

async function stopped(): Promise<DaemonWorld> {
  const world = await started({ ...NIGHTLY, windowUntil: '06:00' });
  await world.passUntil('2026-05-02T01:01:30Z');
  world.daemon?.stopRun(world.daemon.health.jobs[0]?.runId ?? '');
  return world;
}

/** A daemon with a run of `nightly` that hangs at the state of another job. */
async function loading(): Promise<{ world: DaemonWorld; runId: string; go: () => void }> {
  const world = await started();
  const runId = await runNow(world);
  const gate = new EventEmitter();
  world.slowness = once(gate, 'go');
  world.file = jobFileOf([{ ...NIGHTLY, name: 'daily' }, NIGHTLY]);
  world.daemon?.reload();
  await world.pass(1);
  return { world, runId, go: () => void gate.emit('go') };
}

describe('a run that is started by hand', () => {
  it('is for no slot, and leaves the times of the schedule as they are', async () => {
    const world = await started();
    const runId = await runNow(world);

    expect(world.daemon?.health.jobs).toMatchObject([{ isRunning: true, runId }]);
    await world.pass(HOUR_MS);
    expect(world.reports).toMatchObject([{ runId, trigger: 'console', outcome: 'success' }]);
    expect(world.reports[0]?.slot).toBeUndefined();
    expect(world.runs).toEqual([`started ${runId}`, `ended ${runId}`]);
    expect(world.state('nightly').lastSlot).toBeUndefined();
    await world.passUntil('2026-05-02T02:00:00Z');
    expect(world.startedSlots).toEqual(['nightly 2026-05-02T01:00:00.000Z']);
    expect(world.missed).toEqual([]);
    await world.stop();
  });

  it('with some VMs is partial', async () => {
    const world = await started();
    await runNow(world, ['b']);
    await world.pass(HOUR_MS);

    expect(world.sessions.map(({ vm }) => vm)).toEqual(['b']);
    expect(world.reports).toMatchObject([{ isPartial: true }]);
    expect(world.state('nightly').lastRun).toBeUndefined();
    await world.stop();
  });

  it('makes a slot that comes meanwhile a missed one', async () => {
    const world = await started();
    world.vmDurationMs = HOUR_MS;
    await world.passUntil('2026-05-02T00:30:00Z');
    await runNow(world);
    await world.pass(3 * HOUR_MS);

    expect(world.startedSlots).toEqual([]);
    expect(world.missed).toEqual(['nightly 2026-05-02T01:00:00.000Z']);
    expect(world.messages[0]?.text).toContain('the run before was still running');
    await world.stop();
  });

  it('is refused while the job runs, here or in another process', async () => {
    const world = await started();
    await runNow(world);

    await expect(runNow(world)).rejects.toMatchObject({ code: 'JOB_RUNNING' });
    await world.pass(HOUR_MS);
    const other = await world.lock('nightly');
    await expect(runNow(world)).rejects.toMatchObject({ code: 'JOB_RUNNING' });
    await other[Symbol.asyncDispose]();
    const [one, two] = await Promise.allSettled([runNow(world), runNow(world)]);
    expect([one.status, two.status]).toEqual(['fulfilled', 'rejected']);
    await world.stop();
  });

  it('is refused for an unknown job, and by a daemon that stops', async () => {
    const world = await started();

    await expect(world.daemon?.startNow('daily')).rejects.toMatchObject({
      code: 'USAGE_NOT_FOUND',
    });
    await world.stop();
    await expect(runNow(world)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(world.sessions).toEqual([]);
  });

  it('that cannot begin is told, and is no failed run', async () => {
    const world = await started();
    world.runError = new Error('broken');
    await runNow(world, ['x']);
    await world.pass(MINUTE_MS);

    expect(world.codes).toEqual(['JOB-638']);
    expect(world.reports).toEqual([]);
    await world.stop();
  });

  it('is not continued after a kill', async () => {
    const world = await started();
    await runNow(world);
    await world.pass(30_000);
    world.kill();
    await world.start();
    await world.pass(HOUR_MS);

    expect(world.codes).toEqual([]);
    expect(world.sessions).toHaveLength(1);
    await world.stop();
  });
});

describe('a run of the schedule that is stopped by hand', () => {
  it('ends with a report, and is not continued', async () => {
    const world = await stopped();
    await world.pass(MINUTE_MS);

    expect(world.reports).toMatchObject([{ outcome: 'failure', trigger: 'schedule' }]);
    expect(world.state('nightly').openRun).toBeUndefined();
    await world.stop();
    await world.start();
    await world.pass(HOUR_MS);
    expect(world.sessions).toHaveLength(2);
    expect(world.codes).toEqual([]);
    await world.stop();
  });

  it('is not continued by a daemon that was killed before the end of its sessions', async () => {
    const world = await started({ ...NIGHTLY, windowUntil: '06:00' });
    await world.passUntil('2026-05-02T01:01:30Z');
    world.holdsReports = true;
    world.daemon?.stopRun(world.daemon.health.jobs[0]?.runId ?? '');
    await world.pass(MINUTE_MS);
    world.kill();
    await world.start();
    await world.pass(HOUR_MS);

    expect(world.codes).toEqual(['JOB-634']);
    expect(world.messages[0]?.text).toContain('a user stopped it');
    expect(world.sessions).toHaveLength(2);
    await world.stop();
  });

  it('is over when the daemon is stopped meanwhile', async () => {
    const world = await stopped();
    await world.stop();

    expect(world.reports).toHaveLength(1);
    expect(world.state('nightly').openRun).toBeUndefined();
  });

  it('is refused for a run that does not go on', async () => {
    const world = await started();

    expect(() => world.daemon?.stopRun('x')).toThrow(
      expect.objectContaining({ code: 'USAGE_NOT_FOUND' }),
    );
    await world.stop();
  });
});

describe('while the job file is loaded again', () => {
  it('a run of a job before can be stopped, and is shown', async () => {
    const { world, runId, go } = await loading();

    expect(world.daemon?.health.jobs).toMatchObject([{ name: 'nightly', runId }]);
    world.daemon?.stopRun(runId);
    go();
    await world.pass(MINUTE_MS);
    expect(world.runs).toEqual([`started ${runId}`, `ended ${runId}`]);
    expect(world.daemon?.health.jobs.map(({ name }) => name)).toEqual(['daily', 'nightly']);
    await world.stop();
  });

  it('a job that runs is refused as one that runs', async () => {
    const { world, go } = await loading();
    const starting = runNow(world);
    go();

    await expect(starting).rejects.toMatchObject({ code: 'JOB_RUNNING' });
    await world.stop();
  });
});

it('each slot starts or is missed once, whatever users start and stop', async () => {
  const step = record({
    how: constantFrom('start', 'stop', 'restart'),
    minutes: integer({ min: 1, max: 400 }),
  });
  await assert(
    asyncProperty(array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const job: WorldJob = { ...NIGHTLY, schedule: '0 */2 * * *' };
      const world = new DaemonWorld([job], START);
      await world.start();
      world.vmDurationMs = 25 * MINUTE_MS;
      for (const { how, minutes } of steps) {
        await world.pass(minutes * MINUTE_MS);
        const runId = world.daemon?.health.jobs[0]?.runId;
        if (how === 'start') await runNow(world).catch(() => {});
        else if (how === 'restart') {
          await world.stop();
          await world.start();
        } else if (runId !== undefined) world.daemon?.stopRun(runId);
      }
      await world.pass(MINUTE_MS);
      const config = jobFileOf([job]).jobs.get('nightly');
      if (!config) throw new Error('no job');
      const slots = slotsBetween(config, Date.parse(START), world.now().getTime());
      const seen = [...world.startedSlots, ...world.missed];

      expect(seen.toSorted()).toEqual(slots.map((slot) => `nightly ${slot.toISOString()}`));
      await world.stop();
    }),
    { numRuns: 40 },
  );
});

/** The daemon with a clock of its own: slots, stops, kills, jumps, reloads. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import {
  expectEachSlotOnce,
  expectFortnight,
  type Fortnight,
} from '../../helpers/jobs/daemonChecks.ts';
import { DaemonWorld, jobFileOf, type WorldJob } from '../../helpers/jobs/daemonWorld.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const NIGHTLY: WorldJob = { name: 'nightly', schedule: '0 1 * * *', timezone: 'UTC' };
const IN_WINDOW: WorldJob = { ...NIGHTLY, windowUntil: '06:00' };

async function started(job: WorldJob, start = '2026-05-01T12:00:00Z'): Promise<DaemonWorld> {
  const world = new DaemonWorld([job], start);
  await world.start();
  return world;
}

describe('a fortnight', () => {
  it.each<Fortnight>([
    ['Europe/Berlin', '2026-03-22T12:00:00Z', '02:30', '2026-03-29 03:00', 336],
    ['Europe/Berlin', '2026-10-18T12:00:00Z', '02:30', '2026-10-25 02:30', 336],
  ])('in %s from %s: %s runs once a day', expectFortnight);

  it('starts each run on its minute', async () => {
    const world = await started({ ...NIGHTLY, schedule: '*/7 3 * * 1-5' });
    await world.pass(14 * DAY_MS);
    await world.stop();

    const late = world.sessions.filter(
      ({ vm, slot, atMs }) => vm === 'a' && atMs !== Date.parse(slot),
    );
    expect(late).toEqual([]);
    expect(world.sessions.length).toBeGreaterThan(100);
  });
});

describe('a daemon that was not running', () => {
  it('tells the missed slots once, and starts the newest in its window', async () => {
    const world = await started(IN_WINDOW);
    await world.stop();
    await world.passUntil('2026-05-04T03:00:00Z');
    await world.start();
    await world.pass(HOUR_MS);

    expect(world.missed).toEqual([
      'nightly 2026-05-02T01:00:00.000Z',
      'nightly 2026-05-03T01:00:00.000Z',
    ]);
    expect(world.startedSlots).toEqual(['nightly 2026-05-04T01:00:00.000Z']);
    expect(world.codes).toEqual(['JOB-631', 'JOB-632']);
    expect(world.messages[0]?.text).toContain('missed 2 of its times');
    expect(world.messages[0]?.text).toContain('the daemon was not running');
    expect(world.reports[0]?.missedSlots).toHaveLength(2);
    expect(world.state('nightly')).toMatchObject({ missedSlots: 2 });
    await world.stop();
    await world.start();
    expect(world.codes).toHaveLength(2);
    await world.stop();
  });

  it.each([
    ['in its window', IN_WINDOW, '2026-05-02T05:59:00Z', true],
    ['after its window', IN_WINDOW, '2026-05-02T06:00:00Z', false],
    ['within an hour', NIGHTLY, '2026-05-02T01:59:00Z', true],
    ['after an hour', NIGHTLY, '2026-05-02T02:00:00Z', false],
  ])('starts a late run %s or not', async (_, job, time, isStarted) => {
    const world = await started(job);
    await world.stop();
    await world.passUntil(time);
    await world.start();
    await world.pass(5 * MINUTE_MS);

    expect(world.startedSlots).toHaveLength(isStarted ? 1 : 0);
    expect(world.missed).toHaveLength(isStarted ? 0 : 1);
    expect(world.codes).toEqual([isStarted ? 'JOB-632' : 'JOB-631']);
    await world.stop();
  });

  it('does not call times missed that were before its first start', async () => {
    const world = await started(NIGHTLY, '2026-05-02T01:30:00Z');
    await world.pass(MINUTE_MS);

    expect(world.messages).toEqual([]);
    expect(world.sessions).toEqual([]);
    await world.stop();
  });

  it('counts a changed schedule from then on', async () => {
    const world = await started(NIGHTLY);
    await world.stop();
    await world.passUntil('2026-05-02T12:10:00Z');
    world.file = jobFileOf([{ ...NIGHTLY, schedule: '0 12 * * *' }]);
    await world.start();
    await world.pass(HOUR_MS);

    expect(world.messages).toEqual([]);
    expect(world.sessions).toEqual([]);
    await world.pass(DAY_MS);
    expect(world.startedSlots).toEqual(['nightly 2026-05-03T12:00:00.000Z']);
    await world.stop();
  });
});

describe('a run that is stopped in its middle', () => {
  it.each(['stopped', 'killed'])('(%s) continues with the VMs that are not done', async (how) => {
    const world = await started(IN_WINDOW);
    world.vms = ['a', 'b', 'c'];
    await world.passUntil('2026-05-02T01:01:30Z');
    if (how === 'killed') world.kill();
    else await world.stop();
    expect(world.state('nightly').openRun).toMatchObject({ doneVms: ['a'] });
    await world.pass(HOUR_MS);
    await world.start();
    await world.pass(HOUR_MS);

    expect(world.sessions.map(({ vm }) => vm)).toEqual(['a', 'b', 'b', 'c']);
    expect(new Set(world.sessions.map(({ runId }) => runId)).size).toBe(1);
    expect(world.startedSlots).toHaveLength(1);
    expect(world.codes).toEqual(['JOB-633']);
    expect(world.reports).toMatchObject([{ outcome: 'success', slot: '2026-05-02T01:00:00.000Z' }]);
    expect(world.state('nightly').openRun).toBeUndefined();
    await world.stop();
  });

  it('is told as failed when its window has ended', async () => {
    const world = await started(IN_WINDOW);
    await world.passUntil('2026-05-02T01:01:30Z');
    world.kill();
    await world.passUntil('2026-05-02T07:00:00Z');
    await world.start();
    await world.pass(MINUTE_MS);

    expect(world.codes).toEqual(['JOB-634']);
    expect(world.messages[0]?.text).toContain('its window ended at 2026-05-02T06:00:00.000Z');
    expect(world.reports).toMatchObject([
      {
        outcome: 'failure',
        slot: '2026-05-02T01:00:00.000Z',
        failedSteps: [{ code: 'CANCELLED' }],
      },
    ]);
    const state = world.state('nightly');
    expect(state.openRun).toBeUndefined();
    expect(state.lastRun?.outcome).toBe('failure');
    expect(state.missedSlots).toBe(0);
    await world.stop();
  });

  it('stays open when the daemon is stopped while it starts', async () => {
    const world = await started(NIGHTLY);
    await world.passUntil('2026-05-02T01:01:30Z');
    world.kill();
    const { openRun } = world.state('nightly');
    expect(openRun?.doneVms).toEqual(['a']);

    await Promise.all([world.start(), world.stop()]);

    expect(world.state('nightly').openRun).toEqual(openRun);
    expect(world.sessions.map(({ vm }) => vm)).toEqual(['a', 'b']);
    await world.start();
    await world.pass(2 * MINUTE_MS);
    await world.stop();
    expect(world.sessions.map(({ vm }) => vm)).toEqual(['a', 'b', 'b']);
  });

  it('gives way to a newer run that is due', async () => {
    const world = await started({ ...NIGHTLY, schedule: '0 * * * *' });
    await world.passUntil('2026-05-01T13:01:30Z');
    world.kill();
    await world.passUntil('2026-05-01T15:10:00Z');
    await world.start();
    await world.pass(10 * MINUTE_MS);

    expect(world.codes).toEqual(['JOB-634', 'JOB-631', 'JOB-632']);
    expect(world.missed).toEqual(['nightly 2026-05-01T14:00:00.000Z']);
    expect(world.startedSlots).toEqual([
      'nightly 2026-05-01T13:00:00.000Z',
      'nightly 2026-05-01T15:00:00.000Z',
    ]);
    await world.stop();
  });

  it('is left alone when a command in another process runs it', async () => {
    const world = await started(IN_WINDOW);
    await world.passUntil('2026-05-02T01:01:30Z');
    world.kill();
    await using _ = await world.lock('nightly');
    await world.start();
    await world.pass(MINUTE_MS);

    expect(world.messages).toEqual([]);
    expect(world.sessions).toHaveLength(2);
    await world.stop();
  });
});

describe('a slot whose run cannot start', () => {
  it('is missed while the run before still runs', async () => {
    const world = await started({ ...NIGHTLY, schedule: '*/5 1 * * *' });
    world.vmDurationMs = 6 * MINUTE_MS;
    await world.passUntil('2026-05-02T01:16:00Z');

    expect(world.startedSlots).toEqual([
      'nightly 2026-05-02T01:00:00.000Z',
      'nightly 2026-05-02T01:15:00.000Z',
    ]);
    expect(world.missed).toEqual([
      'nightly 2026-05-02T01:05:00.000Z',
      'nightly 2026-05-02T01:10:00.000Z',
    ]);
    expect(world.messages[0]?.text).toContain('the run before was still running');
    expect(world.told).toEqual(['nightly 2026-05-02T01:05:00.000Z']);
    expect(world.reports[0]?.missedSlots).toEqual([]);
    await world.pass(12 * MINUTE_MS);
    expect(world.reports[1]?.missedSlots).toHaveLength(2);
    await world.stop();
  });

  it('is told twice a day, and not each time, while a run hangs', async () => {
    const world = await started({ ...NIGHTLY, schedule: '0 * * * *' });
    world.vmDurationMs = 30 * HOUR_MS;
    await world.pass(25 * HOUR_MS);

    expect(world.missed).toHaveLength(24);
    expect(world.told).toEqual([
      'nightly 2026-05-01T14:00:00.000Z',
      'nightly 2026-05-02T02:00:00.000Z',
    ]);
    expect(world.state('nightly').missedSlots).toBe(24);
    await world.stop();
  });

  it('is missed while a command runs the job', async () => {
    const world = await started(NIGHTLY);
    await using _ = await world.lock('nightly');
    await world.passUntil('2026-05-02T01:00:30Z');

    expect(world.missed).toEqual(['nightly 2026-05-02T01:00:00.000Z']);
    expect(world.state('nightly').openRun).toBeUndefined();
    await world.stop();
  });

  it('does not start twice when the state cannot be written', async () => {
    const world = await started(NIGHTLY);
    world.stateError = new Error('no space left');
    await world.passUntil('2026-05-02T12:00:00Z');

    expect(world.messages[0]).toMatchObject({
      code: 'JOB-637',
      text: expect.stringContaining('no space left') as string,
    });
    expect(world.sessions.map(({ vm }) => vm)).toEqual(['a']);
    await world.stop();
  });

  it('is told and kept as a failed run when the run throws', async () => {
    const world = await started(NIGHTLY);
    world.runError = new UsageError('USAGE_NOT_FOUND', 'no such VM', { hint: 'look again' });
    await world.passUntil('2026-05-02T01:10:00Z');

    expect(world.messages).toMatchObject([
      { code: 'JOB-638', text: 'Job nightly failed: no such VM (USAGE_NOT_FOUND)' },
    ]);
    expect(world.reports).toMatchObject([
      { outcome: 'failure', failedSteps: [{ code: 'USAGE_NOT_FOUND', hint: 'look again' }] },
    ]);
    expect(world.state('nightly')).toMatchObject({ lastRun: { outcome: 'failure' } });
    await world.passUntil('2026-05-03T02:00:00Z');
    expect(world.startedSlots).toEqual(['nightly 2026-05-03T01:00:00.000Z']);
    await world.stop();
  });
});

describe('a clock that is set', () => {
  it('forward: slots in between are missed or late', async () => {
    const world = await started(IN_WINDOW);
    await world.passUntil('2026-05-01T23:00:00Z');
    world.jump(26 * HOUR_MS + 30 * MINUTE_MS);
    await world.pass(HOUR_MS);

    expect(world.missed).toEqual(['nightly 2026-05-02T01:00:00.000Z']);
    expect(world.startedSlots).toEqual(['nightly 2026-05-03T01:00:00.000Z']);
    expect(world.messages[0]?.text).toContain('its clock was put forward');
    await world.stop();
  });

  it('back by hours: no slot runs twice', async () => {
    const world = await started(NIGHTLY);
    await world.passUntil('2026-05-02T02:00:00Z');
    world.jump(-3 * HOUR_MS);
    await world.passUntil('2026-05-03T12:00:00Z');

    expect(world.startedSlots).toHaveLength(2);
    expect(world.sessions).toHaveLength(4);
    expect(world.codes).toEqual(['JOB-639']);
    await world.stop();
  });

  it('back by years: jobs run again from then on', async () => {
    const world = await started(NIGHTLY, '2031-05-01T12:00:00Z');
    await world.passUntil('2031-05-02T12:00:00Z');
    world.jump(Date.parse('2026-05-01T12:00:00Z') - Date.parse('2031-05-02T12:00:00Z'));
    await world.passUntil('2026-05-03T12:00:00Z');

    expect(world.startedSlots.slice(1)).toEqual([
      'nightly 2026-05-02T01:00:00.000Z',
      'nightly 2026-05-03T01:00:00.000Z',
    ]);
    expect(world.codes).toEqual(['JOB-639']);
    await world.stop();
  });

  it('back by years while the daemon was down: jobs run from then on', async () => {
    const world = await started(NIGHTLY, '2031-05-01T12:00:00Z');
    await world.passUntil('2031-05-02T12:00:00Z');
    await world.stop();
    world.jump(Date.parse('2026-05-01T12:00:00Z') - Date.parse('2031-05-02T12:00:00Z'));
    await world.start();
    await world.passUntil('2026-05-02T12:00:00Z');

    expect(world.startedSlots.at(-1)).toBe('nightly 2026-05-02T01:00:00.000Z');
    await world.stop();
  });
});

describe('a reload', () => {
  it('takes new, changed and removed jobs; runs go on', async () => {
    const world = await started(NIGHTLY);
    world.vmDurationMs = 10 * MINUTE_MS;
    await world.passUntil('2026-05-02T01:05:00Z');
    world.file = jobFileOf([{ ...NIGHTLY, name: 'other', schedule: '10 1 * * *' }]);
    world.daemon?.reload();
    await world.passUntil('2026-05-02T02:00:00Z');

    expect(world.codes).toEqual(['JOB-636']);
    expect(world.startedSlots).toEqual([
      'nightly 2026-05-02T01:00:00.000Z',
      'other 2026-05-02T01:10:00.000Z',
    ]);
    expect(world.reports).toHaveLength(2);
    expect(world.daemon?.health.jobs.map(({ name }) => name)).toEqual(['other']);
    await world.pass(DAY_MS);
    expect(world.startedSlots).toHaveLength(3);
    await world.stop();
  });

  it('of a file with errors changes nothing and is told', async () => {
    const world = await started(NIGHTLY);
    world.file = jobFileOf([]);
    world.loadError = new UsageError('USAGE_JOB_FILE', 'jobs.yaml:3:5 unknown key "shedule"');
    world.daemon?.reload();
    await world.passUntil('2026-05-02T02:00:00Z');

    expect(world.messages).toMatchObject([
      { code: 'JOB-635', text: expect.stringContaining('jobs.yaml:3:5') as string },
    ]);
    expect(world.startedSlots).toHaveLength(1);
    await world.stop();
  });
});

describe('one daemon', () => {
  it('works with a job file at a time', async () => {
    const world = await started(NIGHTLY);
    const other = world.daemon;
    await world.start();

    await expect(world.stop()).rejects.toMatchObject({ code: 'DAEMON_RUNNING' });
    expect(other?.health).toMatchObject({
      isAlive: true,
      jobs: [{ name: 'nightly', isRunning: false, next: '2026-05-02T01:00:00.000Z' }],
    });
  });

  it('stops with an error when another one took its place while it was paused', async () => {
    const world = await started(NIGHTLY);
    world.takeDaemonLock();
    await world.passUntil('2026-05-02T02:00:00Z');

    expect(world.startedSlots).toEqual([]);
    await expect(world.stop()).rejects.toMatchObject({ code: 'DAEMON_RUNNING' });
  });
});

describe('any sequence of stops, kills and pauses', () => {
  it('starts or misses each slot exactly once', async () => {
    await expectEachSlotOnce(4);
  });
});

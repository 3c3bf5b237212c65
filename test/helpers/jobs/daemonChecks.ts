/** What a daemon has to do over weeks, as checks for tests of several lengths. */
import { array, assert, asyncProperty, constant, integer, oneof, record } from 'fast-check';
import { expect } from 'vitest';
import { slotsBetween } from '../../../src/jobs/schedule/schedule.ts';
import { DaemonWorld, jobFileOf, type WorldJob } from './daemonWorld.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Local date and time of each run that began, such as `2026-03-29 03:00`. */
function localStarts(world: DaemonWorld, job: string, zone: string): string[] {
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    dateStyle: 'short',
    timeStyle: 'short',
  });
  return world.startedSlots
    .filter((slot) => slot.startsWith(`${job} `))
    .map((slot) => format.format(Date.parse(slot.slice(job.length + 1))));
}

/**
 * Zone, begin of the fortnight, daily time, what clocks show on the night of the change, and runs
 * of an hourly job.
 */
export type Fortnight = readonly [string, string, string, string, number];

/** A nightly and an hourly job run once for each of their times, over a change of the clocks. */
export async function expectFortnight(...fortnight: Fortnight): Promise<void> {
  const [zone, start, time, changed, hours] = fortnight;
  const [hour, minute] = time.split(':').map(Number);
  const schedule = `${minute} ${hour} * * *`;
  const world = new DaemonWorld(
    [
      { name: 'nightly', schedule, timezone: zone },
      { name: 'hourly', schedule: '5 * * * *', timezone: zone },
    ],
    start,
  );
  await world.start();
  await world.pass(14 * DAY_MS);
  await world.stop();

  const nights = localStarts(world, 'nightly', zone);
  expect(nights).toHaveLength(14);
  expect(nights.filter((night) => night.endsWith(time)).length).toBeGreaterThanOrEqual(13);
  expect(nights).toContain(changed);
  expect(localStarts(world, 'hourly', zone)).toHaveLength(hours);
  expect(world.sessions).toHaveLength(2 * (14 + hours));
  expect(world.messages).toEqual([]);
  expect(world.missed).toEqual([]);
}

const step = record({
  how: oneof(constant('stop' as const), constant('kill' as const)),
  upMinutes: integer({ min: 1, max: 3000 }),
  downMinutes: integer({ min: 0, max: 3000 }),
});

/** Any sequence of stops, kills and pauses starts or misses each slot exactly once. */
export async function expectEachSlotOnce(numRuns: number): Promise<void> {
  const job: WorldJob = {
    name: 'nightly',
    schedule: '0,40 1,3 * * *',
    timezone: 'Europe/Berlin',
    windowUntil: '06:00',
  };
  const start = '2026-10-20T12:00:00Z';
  await assert(
    asyncProperty(array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const world = new DaemonWorld([job], start);
      await world.start();
      world.vmDurationMs = 13 * MINUTE_MS;
      for (const { how, upMinutes, downMinutes } of steps) {
        await world.pass(upMinutes * MINUTE_MS);
        if (how === 'kill') world.kill();
        else await world.stop();
        await world.pass(downMinutes * MINUTE_MS);
        await world.start();
      }
      await world.pass(HOUR_MS);
      const config = jobFileOf([job]).jobs.get('nightly');
      if (!config) throw new Error('no job');
      const slots = slotsBetween(config, Date.parse(start), world.now().getTime());
      const seen = [...world.startedSlots, ...world.missed];

      expect(seen.toSorted()).toEqual(slots.map((slot) => `nightly ${slot.toISOString()}`));
      await world.stop();
    }),
    { numRuns },
  );
}

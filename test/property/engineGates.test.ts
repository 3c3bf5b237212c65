/** A gate of an engine, whatever jobs come, end and wait: limits, fairness, no lost wake-up. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EngineGate, type GateLine } from '../../src/jobs/run/engineGates.ts';
import { PRIORITY_STEP_MS } from '../../src/jobs/run/places/placeChoice.ts';
import type { GatedSession, GateLimits } from '../../src/jobs/run/places/placedSessions.ts';
import { HeldClock } from '../helpers/jobs/heldClock.ts';

const RUNS = 200;
/** Of high priority, which always have VMs that wait. */
const JOBS = 5;

interface Job {
  readonly priority: number;
  readonly parallelVms: number;
  readonly limits: GateLimits;
  readonly sessions: readonly GatedSession[];
}

interface Running {
  readonly session: GatedSession;
  readonly job: number;
  readonly leave: () => void;
}

/** A gate, with what its jobs have. */
class World {
  readonly clock = new HeldClock('2026-03-02T01:00:00Z');
  readonly gate = new EngineGate(this.clock);
  readonly jobs: Job[] = [];
  readonly lines: GateLine[] = [];
  readonly waiting: GatedSession[][] = [];
  readonly running: Running[] = [];
  /** Numbers of jobs, in the order of their starts. */
  readonly started: number[] = [];

  join(given: Job): void {
    const job = this.jobs.push(given) - 1;
    this.waiting.push([...given.sessions]);
    const sessions = given.sessions.map((session) => ({
      ...session,
      start: (leave: () => void) => this.#start(job, session, leave),
    }));
    this.lines.push(this.gate.join({ ...given, sessions, mayStart: () => true }));
  }

  close(job: number): void {
    if (!this.lines[job]) return;
    this.lines[job].close();
    this.waiting[job] = [];
  }

  end(index: number): void {
    const [running] = this.running.splice(index % this.running.length, 1);
    running?.leave();
  }

  #start(job: number, session: GatedSession, leave: () => void): void {
    expect(this.fits(job, session)).toBe(true);
    this.running.push({ session, job, leave });
    this.started.push(job);
    this.waiting[job] = this.waiting[job]?.filter((one) => one !== session) ?? [];
  }

  /** Counts anew, without the counts of the gate. */
  fits(job: number, { vm, domainIds, hostId }: GatedSession): boolean {
    const given = this.jobs[job];
    if (!given) return false;
    const {
      parallelVms = Infinity,
      perStorageDomain = Infinity,
      perHost = Infinity,
    } = given.limits;
    const count = (has: (one: Running) => boolean): number => this.running.filter(has).length;
    return (
      count(({ session }) => session.vm === vm) === 0 &&
      count((one) => one.job === job) < given.parallelVms &&
      this.running.length < parallelVms &&
      (hostId === undefined || count(({ session }) => session.hostId === hostId) < perHost) &&
      domainIds.every(
        (id) => count(({ session }) => session.domainIds.includes(id)) < perStorageDomain,
      )
    );
  }

  /** No session waits beside a place that it could have. */
  expectNoneIdle(): void {
    for (const [job, sessions] of this.waiting.entries()) {
      expect(sessions.filter((session) => this.fits(job, session))).toEqual([]);
    }
  }
}

const count = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined });

const sessionArb: fc.Arbitrary<GatedSession> = fc.record({
  vm: fc.integer({ min: 0, max: 30 }).map((n) => `vm${n}`),
  domainIds: fc.uniqueArray(fc.constantFrom('d1', 'd2', 'd3'), { maxLength: 2 }),
  hostId: fc.constantFrom('h1', 'h2', undefined),
});

const jobArb: fc.Arbitrary<Job> = fc.record({
  priority: fc.integer({ min: 1, max: 10 }),
  parallelVms: fc.integer({ min: 1, max: 5 }),
  limits: fc.record({ parallelVms: count, perStorageDomain: count, perHost: count }),
  sessions: fc.uniqueArray(sessionArb, { maxLength: 25, selector: ({ vm }) => vm }),
});

type Step = (world: World) => void;

const stepArb: fc.Arbitrary<Step> = fc.oneof(
  jobArb.map(
    (job): Step =>
      (world) =>
        world.join(job),
  ),
  {
    weight: 4,
    arbitrary: fc.nat(100).map(
      (n): Step =>
        (world) =>
          world.end(n),
    ),
  },
  fc.nat(100).map(
    (n): Step =>
      (world) =>
        world.close(n % Math.max(1, world.jobs.length)),
  ),
  fc.nat(PRIORITY_STEP_MS * 2).map(
    (ms): Step =>
      (world) =>
        world.clock.advance(ms),
  ),
);

describe('a gate', () => {
  it('keeps all limits, leaves no place free that a VM could have, and starts each once', () => {
    fc.assert(
      fc.property(fc.array(stepArb, { maxLength: 60 }), (steps) => {
        const world = new World();
        for (const step of steps) {
          step(world);
          world.expectNoneIdle();
        }
        while (world.running.length > 0) world.end(0);
        expect(world.waiting.flat()).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it('lets a job of the lowest priority in, however many others come', () => {
    const stream = fc.record({
      places: fc.integer({ min: 1, max: 4 }),
      sessionMs: fc.integer({ min: 60_000, max: PRIORITY_STEP_MS }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(stream, ({ places, sessionMs, seed }) => {
        const world = new World();
        const limits = { parallelVms: places, perStorageDomain: undefined, perHost: undefined };
        const jobOf = (priority: number, name: string, vms: number): Job => ({
          priority,
          parallelVms: places,
          limits,
          sessions: Array.from({ length: vms }, (_, k) => ({
            vm: `${name}-${k}`,
            domainIds: [],
            hostId: undefined,
          })),
        });
        world.join(jobOf(1, 'first', places));
        world.join(jobOf(10, 'low', 1));
        let waitedMs = 0;
        for (let n = 0; !world.started.includes(1); n++) {
          // New work of the highest priority, as soon as a job has started all of its VMs.
          const open = world.waiting.filter((left, job) => job !== 1 && left.length > 0);
          if (open.length < JOBS) world.join(jobOf(1, `urgent${n}`, places + 1));
          world.clock.advance(sessionMs);
          waitedMs += sessionMs;
          world.end(seed + n);
          expect(waitedMs).toBeLessThanOrEqual(10 * PRIORITY_STEP_MS + (JOBS + 2) * sessionMs);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('shares its places between jobs of one priority, whoever came first', () => {
    const shares = fc.record({
      places: fc.integer({ min: 2, max: 6 }),
      ends: fc.array(fc.nat(100), { minLength: 40, maxLength: 60 }),
    });
    fc.assert(
      fc.property(shares, ({ places, ends }) => {
        const world = new World();
        const limits = { parallelVms: places, perStorageDomain: undefined, perHost: undefined };
        for (const name of ['a', 'b']) {
          const sessions = Array.from({ length: 100 }, (_, k) => ({
            vm: `${name}${k}`,
            domainIds: [],
            hostId: undefined,
          }));
          world.join({ priority: 5, parallelVms: 100, limits, sessions });
        }
        for (const index of ends) world.end(index);
        const ofFirst = world.running.filter(({ job }) => job === 0).length;
        expect(Math.abs(ofFirst - (world.running.length - ofFirst))).toBeLessThanOrEqual(1);
      }),
      { numRuns: RUNS },
    );
  });
});

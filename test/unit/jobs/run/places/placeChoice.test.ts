/** Which job and which VM get a free place. */
import { describe, expect, it } from 'vitest';
import {
  choosePlace,
  type Line,
  PRIORITY_STEP_MS,
} from '../../../../../src/jobs/run/places/placeChoice.ts';
import {
  type GatedSession,
  type GateLimits,
  PlacedSessions,
} from '../../../../../src/jobs/run/places/placedSessions.ts';
import { WaitingSessions } from '../../../../../src/jobs/run/places/waitingSessions.ts';

const NO_LIMITS: GateLimits = {
  parallelVms: undefined,
  perStorageDomain: undefined,
  perHost: undefined,
};

function sessionOf(vm: string, domainIds: readonly string[] = [], hostId?: string): GatedSession {
  return { vm, domainIds, hostId };
}

function waitingOf(sessions: readonly GatedSession[], limits: Partial<GateLimits> = {}) {
  return new WaitingSessions(sessions, { ...NO_LIMITS, ...limits });
}

interface NamedLine extends Line<GatedSession> {
  readonly name: string;
}

function lineOf(name: string, more: Partial<NamedLine> = {}): NamedLine {
  const waiting = waitingOf([sessionOf(`${name}1`)]);
  return { name, priority: 5, parallelVms: 2, waiting, active: 0, sinceMs: 0, ...more };
}

function chosen(lines: readonly NamedLine[], nowMs = 0, placed = new PlacedSessions()) {
  return choosePlace<GatedSession, NamedLine>(lines, placed, nowMs)?.line.name;
}

describe('a free place', () => {
  it('goes to the best priority, then to the fewest sessions, then to the oldest', () => {
    const low = lineOf('low', { priority: 6 });
    const many = lineOf('many', { active: 1 });
    const late = lineOf('late', { sinceMs: 10 });
    const old = lineOf('old', { sinceMs: 5 });

    expect(chosen([low, many, late, old], 20)).toBe('old');
    expect(chosen([low, many, late], 20)).toBe('late');
    expect(chosen([low, many], 20)).toBe('many');
    expect(chosen([low], 20)).toBe('low');
  });

  it('goes to a low priority that has waited long enough, and not before', () => {
    const urgent = lineOf('urgent', { priority: 1, sinceMs: 4 * PRIORITY_STEP_MS });
    const low = lineOf('low', { priority: 5, active: 0, sinceMs: 0 });

    expect(chosen([urgent, low], 4 * PRIORITY_STEP_MS - 1)).toBe('urgent');
    expect(chosen([urgent, low], 4 * PRIORITY_STEP_MS)).toBe('low');
  });

  it('does not go by a clock that was put back', () => {
    const early = lineOf('early', { priority: 4, sinceMs: PRIORITY_STEP_MS * 9 });

    expect(chosen([lineOf('other'), early], 0)).toBe('early');
  });

  it('passes a job that has all of its own places, and one whose VMs have to wait', () => {
    const placed = new PlacedSessions();
    placed.add(sessionOf('running', ['d1']));
    const full = lineOf('full', { priority: 1, active: 2 });
    const held = lineOf('held', {
      priority: 2,
      waiting: waitingOf([sessionOf('x', ['d1'])], { perStorageDomain: 1 }),
    });
    const busy = lineOf('busy', { priority: 3, waiting: waitingOf([sessionOf('running')]) });

    expect(chosen([full, held, busy, lineOf('next')], 0, placed)).toBe('next');
    expect(chosen([full, held, busy], 0, placed)).toBeUndefined();
  });
});

describe('VMs that wait', () => {
  it('keep their order between hosts and storage domains', () => {
    const sessions = [
      sessionOf('a', ['d1'], 'h1'),
      sessionOf('b', ['d2'], 'h2'),
      sessionOf('c', ['d1'], 'h1'),
      sessionOf('d', ['d1'], 'h3'),
    ];
    const waiting = waitingOf(sessions, { perStorageDomain: 2, perHost: 1 });
    const placed = new PlacedSessions();
    const order: string[] = [];
    for (let next = waiting.first(placed); next; next = waiting.first(placed)) {
      order.push(next.vm);
      waiting.remove(next);
      placed.add(next);
    }

    expect(order).toEqual(['a', 'b', 'd']);
    for (const session of sessions) if (session.vm !== 'c') placed.remove(session);
    expect([waiting.first(placed)?.vm, waiting.size]).toEqual(['c', 1]);
  });

  it('are looked at once for each place that they need', () => {
    const limits = { perStorageDomain: 1, perHost: 1 };
    const all = Array.from({ length: 10_000 }, (_, k) =>
      sessionOf(`vm${k}`, [`d${k % 5}`], `h${k % 20}`),
    );
    const waiting = waitingOf(all, limits);
    let looks = 0;
    const placed = new (class extends PlacedSessions {
      override hasRoom(session: GatedSession, given: GateLimits): boolean {
        looks++;
        return super.hasRoom(session, given);
      }
    })();
    for (let k = 0; k < 5; k++) placed.add(sessionOf(`held${k}`, [`d${k}`]));

    expect(waiting.first(placed)).toBeUndefined();
    expect(looks).toBe(20);
  });
});

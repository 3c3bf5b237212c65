/** What the console shows of a session, from its events. */
import { describe, expect, it } from 'vitest';
import type { LiveSession } from '../../../../src/console/contract.ts';
import {
  afterEvent,
  newSession,
  sessionAt,
  type SessionState,
} from '../../../../src/console/live/sessionState.ts';
import type { ProgressEvent } from '../../../../src/sessions/shared/progress.ts';

type Body = ProgressEvent extends infer Event
  ? Event extends ProgressEvent
    ? Omit<Event, 'sessionId' | 'vmName' | 'vmId'>
    : never
  : never;

const SESSION = { sessionId: 'session-1', vmName: 'web', vmId: 'vm-1' };
const DISK = { diskId: 'd1', alias: 'sys', mode: 'full', sizeBytes: 1000, dataBytes: 800 } as const;
const ORIGIN = { jobName: 'nightly', runId: 'run-1' };

/** Applies events, each with the milliseconds of its time. */
function played(...events: readonly (readonly [number, Body])[]): SessionState {
  const all = events.map(([ms, body]) => [ms, { ...SESSION, ...body } as ProgressEvent] as const);
  const [first] = all;
  if (!first) throw new Error('no event');
  let state = newSession(first[1], ORIGIN, first[0]);
  for (const [ms, event] of all) state = afterEvent(state, event, ms);
  return state;
}

function shown(...events: readonly (readonly [number, Body])[]): LiveSession {
  return sessionAt(played(...events), events.at(-1)?.[0] ?? 0);
}

function read(ms: number, readBytes: number): readonly [number, Body] {
  const { diskId, alias } = DISK;
  return [ms, { type: 'diskProgress', diskId, alias, doneBytes: readBytes, readBytes }];
}

function check(fileName: string, checkedBlocks: number): readonly [number, Body] {
  return [0, { type: 'containerProgress', fileName, checkedBlocks, totalBlocks: 9 }];
}

describe('a session', () => {
  it('shows at most 2000 disks, whatever its worker tells', () => {
    const events = Array.from({ length: 2100 }, (_, k): readonly [number, Body] => {
      return [0, { ...DISK, type: 'diskProgress', diskId: `d${k}`, doneBytes: 1, readBytes: 1 }];
    });

    expect(shown(...events).disks).toHaveLength(2000);
  });

  it('begins with its phase, its VM and its origin', () => {
    expect(shown([5000, { type: 'phase', phase: 'preparing' }])).toEqual({
      ...SESSION,
      ...ORIGIN,
      startedAt: '1970-01-01T00:00:05.000Z',
      phase: 'preparing',
      disks: [],
    });
  });

  it('takes the name that its VM has now, and the worker that runs it', () => {
    const event = { type: 'phase', phase: 'reading', vmName: 'renamed', worker: 'w1' } as const;

    expect(shown([0, event])).toMatchObject({
      vmName: 'renamed',
      worker: 'w1',
      phase: 'reading',
    });
  });

  it('has its disks from the plan, their counts, and their ends', () => {
    const { diskId, alias } = DISK;
    const session = shown(
      [0, { type: 'disksPlanned', disks: [DISK, { ...DISK, diskId: 'd2' }] }],
      [0, { type: 'diskStarted', ...DISK }],
      [1, { type: 'diskProgress', diskId, alias, doneBytes: 300, readBytes: 310 }],
      [2, { type: 'diskEnded', diskId, alias, doneBytes: 800, readBytes: 810, result: 'done' }],
    );

    expect(session.disks).toEqual([
      { ...DISK, doneBytes: 800, readBytes: 810, result: 'done' },
      { ...DISK, diskId: 'd2', doneBytes: 0, readBytes: 0 },
    ]);
  });

  it('waits until the last wait is over', () => {
    const waiting = {
      type: 'waiting',
      waitsFor: 'engine',
      reason: `HTTP 503 ${'x'.repeat(500)}`,
    } as const;
    const { waitsFor = '' } = shown([0, waiting]);

    expect(waitsFor).toMatch(/^the engine does not answer \(HTTP 503 x/);
    expect(waitsFor).toHaveLength(300);
    expect(shown([0, waiting], [1, { type: 'resumed' }]).waitsFor).toBeUndefined();
    expect(shown([0, waiting], [1, { type: 'ended', result: 'failed' }])).toMatchObject({
      result: 'failed',
      waitsFor: undefined,
    });
  });

  it('of verify has the containers that are read now', () => {
    expect(shown(check('a.vbk', 1), check('b.vib', 2), check('a.vbk', 9)).containers).toEqual([
      { fileName: 'b.vib', checkedBlocks: 2, totalBlocks: 9 },
    ]);
    const many = Array.from({ length: 50 }, (_, k) => check(`${k}.vib`, 1));
    expect(shown(...many).containers).toHaveLength(16);
  });
});

describe('the rate', () => {
  const planned = [0, { type: 'disksPlanned', disks: [DISK] }] as const;

  it('is that of the last ten seconds', () => {
    expect(shown(planned, read(500, 100)).readBytesPerSecond).toBeUndefined();
    expect(shown(planned, read(2000, 400)).readBytesPerSecond).toBe(200);
    const later = Array.from({ length: 30 }, (_, k) => read(2000 + (k + 1) * 1000, 400 + k + 1));
    expect(shown(planned, read(2000, 400), ...later).readBytesPerSecond).toBe(1);
  });

  it('falls to zero when nothing is read, though no event comes', () => {
    const state = played(planned, read(2000, 400));

    expect(sessionAt(state, 6000).readBytesPerSecond).toBe(67);
    expect(sessionAt(state, 60_000).readBytesPerSecond).toBe(0);
  });

  it('begins anew when the session plans its disks again', () => {
    const session = shown(planned, read(2000, 400), [3000, planned[1]], read(4000, 10));

    expect(session.readBytesPerSecond).toBe(10);
  });

  it('is absent when no disk is read', () => {
    const { diskId, alias } = DISK;
    const counts = { doneBytes: 800, readBytes: 800 };
    const ended = { type: 'diskEnded', diskId, alias, ...counts, result: 'done' } as const;

    expect(shown(planned, read(2000, 400), [3000, ended]).readBytesPerSecond).toBeUndefined();
  });

  it('needs few samples, however many events come', () => {
    const events = Array.from({ length: 2000 }, (_, k) => read(k * 50, k));

    expect(played(planned, ...events).samples.length).toBeLessThan(25);
  });
});

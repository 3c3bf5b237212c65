/** Sessions that run now, and what is told of them. */
import { expect, it } from 'vitest';
import type { ConsoleEvent } from '../../../../src/console/contract.ts';
import { ConsoleEvents } from '../../../../src/console/live/events.ts';
import { ProgressBus } from '../../../../src/console/live/progressBus.ts';
import { silentLogger } from '../../../../src/core/log.ts';

const RUN = { jobName: 'nightly', runId: 'run-1' };

function world() {
  const told: ConsoleEvent[] = [];
  const vms: string[] = [];
  const events = new ConsoleEvents(silentLogger);
  events.subscribe((event) => told.push(event));
  const onVm = (jobName: string, vmKey: string): void => void vms.push(`${jobName} ${vmKey}`);
  return { told, vms, events, bus: new ProgressBus({ events, nowMs: () => 0, onVm }) };
}

function named(sessionId: string, vmId = `id-of-${sessionId}`) {
  return { sessionId, vmName: `vm-of-${sessionId}`, vmId };
}

it('knows the session of each VM, also when its id comes later', () => {
  const { bus, vms } = world();
  bus.onProgress({ type: 'phase', phase: 'preparing', ...named('s1', '') }, RUN);

  expect(bus.sessionOf('nightly', 'vm-of-s1')).toBe('s1');
  bus.onProgress({ type: 'phase', phase: 'reading', ...named('s1') }, RUN);
  expect(bus.sessionOf('nightly', 'vm-of-s1')).toBeUndefined();
  expect(bus.sessionOf('nightly', 'id-of-s1')).toBe('s1');
  expect(bus.sessionOf('weekly', 'id-of-s1')).toBeUndefined();
  bus.onProgress({ type: 'ended', result: 'done', ...named('s1') }, RUN);
  expect(bus.sessionOf('nightly', 'id-of-s1')).toBeUndefined();
  expect(bus.sessions).toEqual([]);
  expect(vms).toEqual(['nightly vm-of-s1', 'nightly id-of-s1', 'nightly id-of-s1']);
});

it('tells phases and ends at once, and counts later', () => {
  const { bus, told } = world();
  const disk = { diskId: 'd', alias: 'd', doneBytes: 1, readBytes: 1 };
  bus.onProgress({ type: 'phase', phase: 'reading', ...named('s1') }, RUN);
  bus.onProgress({ type: 'diskProgress', ...disk, ...named('s1') }, RUN);
  bus.onProgress({ type: 'ended', result: 'done', ...named('s1') }, RUN);

  const sessions = told.flatMap((event) => (event.type === 'session' ? [event.session] : []));
  expect(sessions.map(({ phase, result }) => [phase, result])).toEqual([
    ['reading', undefined],
    ['reading', 'done'],
  ]);
  bus[Symbol.dispose]();
});

it('ends sessions of a run that have told no end, and no others', () => {
  const { bus, told } = world();
  for (const id of ['s1', 's2']) bus.onProgress({ type: 'resumed', ...named(id) }, RUN);
  bus.onProgress({ type: 'resumed', ...named('s3') }, { taskId: 'task-1' });
  bus.end({ runId: 'run-1' });

  expect(bus.sessions.map(({ sessionId }) => sessionId)).toEqual(['s3']);
  expect(told.at(-1)).toMatchObject({ session: { sessionId: 's2', result: 'cancelled' } });
  bus.end({ taskId: 'task-1' });
  expect(bus.sessions).toEqual([]);
});

it('has a limit, and outlives a listener that throws', () => {
  const { bus, events } = world();
  events.subscribe(() => {
    throw new Error('broken');
  });
  for (let k = 0; k < 5001; k++) bus.onProgress({ type: 'resumed', ...named(`s${k}`) }, RUN);

  expect(bus.sessions).toHaveLength(5000);
  bus[Symbol.dispose]();
});

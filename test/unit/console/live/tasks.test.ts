/** Order, limits and ends of tasks, with work that a test ends. */
import { setImmediate as settled } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ConsoleEvent, TaskRequest } from '../../../../src/console/contract.ts';
import { ConsoleEvents } from '../../../../src/console/live/events.ts';
import { ProgressBus } from '../../../../src/console/live/progressBus.ts';
import { Tasks, type TasksOptions } from '../../../../src/console/live/tasks.ts';
import type { TaskContext } from '../../../../src/console/live/taskWork.ts';
import { RepositoryError } from '../../../../src/core/errors.ts';
import { silentLogger } from '../../../../src/core/log.ts';
import type { JobConfig } from '../../../../src/jobs/jobFile.ts';

const POINT = { jobName: 'nightly', vmKey: 'vm-1', pointId: 'point-1' };
const VERIFY: TaskRequest = { type: 'verify', ...POINT };
const EXPORT: TaskRequest = { type: 'export', diskId: 'd1', ...POINT };
const VM = { job: { name: 'nightly' } as JobConfig, vm: 'vm-1', vmName: 'web' };

interface Begun {
  readonly context: TaskContext;
  readonly end: () => void;
  readonly fail: (error: Error) => void;
}

function world(more: Partial<TasksOptions> = {}) {
  const begun: Begun[] = [];
  const told: ConsoleEvent[] = [];
  const events = new ConsoleEvents(silentLogger);
  events.subscribe((event) => told.push(event));
  const bus = new ProgressBus({ events, nowMs: () => 0, onVm: () => {} });
  const tasks = new Tasks({
    events,
    bus,
    restoreFolder: '/restores',
    logger: silentLogger,
    now: () => new Date(0),
    onMessage: () => {},
    onEnd: () => {},
    work: async (_, context) => {
      await new Promise<void>((end, fail) => {
        begun.push({ context, end, fail });
        context.signal.addEventListener('abort', () => fail(context.signal.reason as Error));
      });
    },
    ...more,
  });
  const states = (): string[] => tasks.rows.map(({ state }) => state).toReversed();
  return { begun, told, bus, tasks, states };
}

describe('data tasks', () => {
  it('run two at once; the others wait, and say so', async () => {
    const { begun, tasks, states } = world();
    const ids = [1, 2, 3].map(() => tasks.start(VERIFY, VM).taskId);
    await settled();

    expect(begun).toHaveLength(2);
    expect(states()).toEqual(['running', 'running', 'running']);
    const waiting = (): (string | undefined)[] => tasks.rows.map(({ waitsFor }) => waitsFor);
    expect(tasks.rows[0]?.taskId).toBe(ids[2]);
    expect(waiting()).toEqual(['other tasks are running', undefined, undefined]);
    begun[0]?.end();
    await settled();
    expect(begun).toHaveLength(3);
    expect(waiting()).toEqual([undefined, undefined, undefined]);
    begun[1]?.end();
    begun[2]?.end();
    await settled();
    expect(states()).toEqual(['done', 'done', 'done']);
    tasks.start(VERIFY, VM);
    tasks.start(VERIFY, VM);
    await settled();
    expect(begun).toHaveLength(5);
    await tasks[Symbol.asyncDispose]();
  });

  it('that wait can be stopped, and free no place', async () => {
    const { begun, tasks, states } = world();
    const ids = [1, 2, 3, 4].map(() => tasks.start(VERIFY, VM).taskId);
    await settled();
    tasks.stop(ids[2] ?? '');
    await settled();

    expect(states()).toEqual(['running', 'running', 'stopped', 'running']);
    expect(begun).toHaveLength(2);
    tasks.stop(ids[0] ?? '');
    await settled();
    expect(begun).toHaveLength(3);
    expect(states()).toEqual(['stopped', 'running', 'stopped', 'running']);
    await tasks[Symbol.asyncDispose]();
    expect(states()).toEqual(['stopped', 'stopped', 'stopped', 'stopped']);
  });

  it('that fail tell code, message and hint', async () => {
    const { begun, tasks } = world();
    tasks.start(VERIFY, VM);
    await settled();
    begun[0]?.fail(new RepositoryError('REPOSITORY_IO', 'no', { hint: 'look' }));
    await settled();

    expect(tasks.rows).toMatchObject([
      { state: 'failed', failure: { code: 'REPOSITORY_IO', message: 'no', hint: 'look' } },
    ]);
  });

  it('show their session while they run, and what they have made', async () => {
    const { begun, tasks, bus, told } = world();
    const { taskId } = tasks.start(VERIFY, VM);
    await settled();
    const session = { sessionId: 's1', vmName: 'web', vmId: 'vm-1' };
    begun[0]?.context.onProgress({ type: 'phase', phase: 'verifying', ...session });

    expect(tasks.rows).toMatchObject([{ sessionId: 's1' }]);
    expect(bus.sessions).toMatchObject([{ sessionId: 's1', taskId, phase: 'verifying' }]);
    begun[0]?.context.onResults(['1 file checked']);
    begun[0]?.end();
    await settled();
    expect(tasks.rows).toMatchObject([{ results: ['1 file checked'], sessionId: undefined }]);
    expect(bus.sessions).toEqual([]);
    const states = told.flatMap((event) => (event.type === 'task' ? [event.task.state] : []));
    expect(states.at(-1)).toBe('done');
  });
});

describe('exports', () => {
  it('take no place of the others, and are limited', async () => {
    const { begun, tasks } = world();
    for (let k = 0; k < 16; k++) tasks.start(EXPORT, VM);
    tasks.start(VERIFY, VM);
    await settled();

    expect(begun).toHaveLength(17);
    expect(() => tasks.start(EXPORT, VM)).toThrow(/17 tasks have not ended/);
    await tasks[Symbol.asyncDispose]();
  });
});

describe('tasks', () => {
  it('that have ended are kept, the last hundred of them, newest first', async () => {
    const { tasks, states } = world({ work: async () => await Promise.resolve() });
    const ids: string[] = [];
    for (let k = 0; k < 105; k++) {
      ids.push(tasks.start(VERIFY, VM).taskId);
      await settled();
    }

    expect(states()).toHaveLength(100);
    expect(tasks.rows[0]?.taskId).toBe(ids.at(-1));
    expect(() => tasks.stop(ids[0] ?? '')).toThrow(/no task/);
    tasks.stop(ids.at(-1) ?? '');
    expect(states().at(-1)).toBe('done');
  });

  it('are refused without what they need, and by a daemon that stops', async () => {
    const { tasks } = world({ restoreFolder: undefined });
    const restore: TaskRequest = { type: 'restoreFiles', diskIds: [], ...POINT };
    const toVm = { type: 'restoreVm', newName: ' ', storageDomain: 'data', ...POINT } as const;

    expect(() => tasks.start(restore, VM)).toThrow(/no folder for restored files/);
    expect(() => tasks.start(toVm, VM)).toThrow(/name/);
    await tasks[Symbol.asyncDispose]();
    expect(() => tasks.start(VERIFY, VM)).toThrow(/the daemon stops/);
    expect(tasks.rows).toEqual([]);
  });
});

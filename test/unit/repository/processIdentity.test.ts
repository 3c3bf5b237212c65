/** Proofs that the holder of a lock has ended. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  describeProcess,
  type HolderState,
  type ProcessIdentity,
  processSchema,
  stateHere,
  stateOf,
} from '../../../src/store/processIdentity.ts';

const OUTSIDE = 'pid:[4026531836]';
const CONTAINER = 'pid:[4026532178]';
const SELF: ProcessIdentity = {
  host: 'backup',
  bootId: 'boot-1',
  pid: 10,
  processStart: '500',
  machineId: 'machine-1',
  pidNamespace: OUTSIDE,
};

/** State of a holder whose pid has this start time now. */
async function judge(
  holder: Partial<ProcessIdentity>,
  start: string | undefined,
  self: Partial<ProcessIdentity> = {},
): Promise<HolderState> {
  const observer = { self: { ...SELF, ...self }, startOf: () => Promise.resolve(start) };
  return await stateOf({ ...SELF, pid: 7, ...holder }, observer);
}

/** A holder as version 0.1.0 wrote it. */
const OLD = { machineId: undefined, pidNamespace: undefined };

describe('a holder', () => {
  test.each<[string, HolderState, Partial<ProcessIdentity>, string | undefined]>([
    ['that runs', 'alive', {}, '500'],
    ['without a process', 'gone', {}, undefined],
    ['whose pid another process has now', 'gone', {}, '501'],
    ['whose process shows no start time', 'unknown', {}, ''],
    ['of another host', 'on another host', { host: 'other' }, undefined],
    ['of another container', 'in another container', { pidNamespace: CONTAINER }, undefined],
    ['that does not know its container', 'unknown', { pidNamespace: '' }, undefined],
    ['that does not know its start time', 'unknown', { processStart: '' }, undefined],
    ['that does not know its boot', 'unknown', { bootId: '' }, undefined],
    ['of the same machine before a restart', 'gone', { bootId: 'boot-0' }, '500'],
    [
      'of another machine with the same host name',
      'of another boot',
      { bootId: 'boot-0', machineId: 'machine-2' },
      undefined,
    ],
    [
      'of another boot without a machine id',
      'of another boot',
      { bootId: 'boot-0', machineId: '' },
      undefined,
    ],
    ['of an old version without a process', 'gone', OLD, undefined],
    ['of an old version whose pid exists', 'unknown', OLD, '501'],
    ['of an old version and another boot', 'of another boot', { ...OLD, bootId: 'b' }, undefined],
  ])('%s is %s', async (_title, state, holder, start) => {
    expect(await judge(holder, start)).toBe(state);
  });

  test('of another boot proves nothing in a container: its image may bring the machine id', async () => {
    const inContainer = { pidNamespace: CONTAINER };

    expect(await judge({ bootId: 'boot-0', ...inContainer }, undefined, inContainer)).toBe(
      'of another boot',
    );
    expect(await judge({ bootId: 'boot-0', ...inContainer }, undefined)).toBe('of another boot');
  });

  test.each([
    ['bootId', 'unknown'],
    ['pidNamespace', 'unknown'],
  ] as const)('proves nothing to a process that lacks its own %s', async (fact, state) => {
    expect(await judge({}, undefined, { [fact]: '' })).toBe(state);
  });

  test('must have short facts without control characters', () => {
    expect(processSchema.safeParse(SELF).success).toBe(true);
    expect(processSchema.safeParse({ ...SELF, host: 'a\u001b[2J' }).success).toBe(false);
    expect(processSchema.safeParse({ ...SELF, host: 'a'.repeat(300) }).success).toBe(false);
  });
});

/** Field 22 of the state of a process whose name has no spaces. */
function startOf(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[21] ?? '';
}

describe('a real process', () => {
  test('is alive while it runs, as it describes itself', async () => {
    expect(await stateHere(await describeProcess())).toBe('alive');
  });

  test('is gone when it has ended, or its pid belongs to another one', async () => {
    const self = await describeProcess();
    const { pid } = spawnSync(process.execPath, ['--version']);

    expect(await stateHere({ ...self, pid })).toBe('gone');
    expect(await stateHere({ ...self, processStart: '1' })).toBe('gone');
  });

  test('that is a zombie is gone', async () => {
    // The shell becomes a program that never waits for its child.
    const script = 'sleep 60 & echo $!; exec sleep 60';
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const [text] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(text.toString());
      const holder = { ...(await describeProcess()), pid, processStart: startOf(pid) };
      expect(await stateHere(holder)).toBe('alive');
      const programOf = (): string => readFileSync(`/proc/${parent.pid}/comm`, 'utf8').trim();
      await expect.poll(programOf).toBe('sleep');
      process.kill(pid);
      await expect.poll(async () => await stateHere(holder)).toBe('gone');
      expect(() => process.kill(pid, 0)).not.toThrow();
    } finally {
      parent.kill('SIGKILL');
    }
  });
});

/** The journal after a request that made something on the engine, or may have. */
import { describe, expect, it } from 'vitest';
import type { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import { EngineFaultError, EngineLostError } from '../../../src/ovirt/engine/engineErrors.ts';
import type { Vm } from '../../../src/ovirt/engine/entities.ts';
import { DEFAULT_TIMINGS, scaleTimings } from '../../../src/ovirt/timings.ts';
import type { Journal, JournalEntry } from '../../../src/repository/journal.ts';
import { makeOnEngine } from '../../../src/sessions/restore/makeOnEngine.ts';

const MARK = 'restore of session s1';
const MADE = { id: 'v1', name: 'copy', description: MARK } as Vm;
const FOREIGN = { id: 'v2', name: 'copy', description: 'of somebody else' } as Vm;
const REFUSED = new EngineFaultError('other', 400, 'create VM', 'no rights on the cluster');
const LOST = new EngineLostError('https://engine', 'create VM', new Error('socket hang up'));

/** Makes a VM whose request ends with `error`; `known` is what the engine has afterwards. */
async function make(
  error: Error,
  known: readonly Vm[],
): Promise<{ readonly result: unknown; readonly steps: readonly string[] }> {
  const entries: JournalEntry[] = [];
  const timings = { ...scaleTimings(0.001), cleanupMs: DEFAULT_TIMINGS.cleanupMs };
  const engine = { timings, withSignal: () => engine } as unknown as EngineApi;
  const append = (entry: JournalEntry): Promise<void> => {
    entries.push(entry);
    return Promise.resolve();
  };
  const result = await makeOnEngine<Vm>({
    engine,
    journal: { append } as unknown as Journal,
    signal: new AbortController().signal,
    name: 'copy',
    description: MARK,
    create: () => Promise.reject(error),
    find: () => Promise.resolve(known),
  }).catch((failure: unknown) => failure);
  return { result, steps: entries.map(({ step }) => step) };
}

describe('a VM that a restore asks for', () => {
  it('is written down as refused when the engine refuses it', async () => {
    expect(await make(REFUSED, [FOREIGN])).toEqual({ result: REFUSED, steps: ['refused'] });
  });

  it('is not written down as refused when nobody knows whether it was made', async () => {
    expect(await make(LOST, [FOREIGN])).toEqual({ result: LOST, steps: [] });
  });

  it('is adopted by its description when its answer was lost', async () => {
    expect(await make(LOST, [FOREIGN, MADE])).toEqual({ result: MADE, steps: [] });
  });
});

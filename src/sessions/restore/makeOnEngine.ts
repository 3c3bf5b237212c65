/** Makes a disk or a VM on the engine so that an abort or a lost answer leaves nothing unknown. */
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { isOutcomeUnknown, isRefusal } from '../../ovirt/engine/engineErrors.ts';
import type { Disk, Vm } from '../../ovirt/engine/entities.ts';
import { deferAbort } from '../../ovirt/lifecycle/deferAbort.ts';
import { pollWhile } from '../../ovirt/poll.ts';
import type { Journal } from '../../repository/journal.ts';

export interface MakeOptions<T> {
  readonly engine: EngineApi;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly name: string;
  /** Description of the new thing. It bears the session, so it is found again by this. */
  readonly description: string;
  /** Sends the request. An abort reaches the engine client given here later than `signal`. */
  readonly create: (late: EngineApi) => Promise<T>;
  /** Everything on the engine with this name. */
  readonly find: () => Promise<readonly T[]>;
}

/**
 * Makes one disk or VM. An abort waits a moment for the answer, so that the clean-up knows the id.
 *
 * A refusal is recorded in the journal. Otherwise the clean-up would look for something of this
 * name, which somebody else may have made.
 *
 * @throws what `create` throws
 */
export async function makeOnEngine<T extends Disk | Vm>(options: MakeOptions<T>): Promise<T> {
  const { engine, journal, signal, name, create } = options;
  try {
    return await deferAbort(signal, engine.timings.cleanupMs / 3, (late) =>
      create(engine.withSignal(late)),
    );
  } catch (error) {
    const made = isOutcomeUnknown(error) ? await findMade(options) : undefined;
    if (made) return made;
    if (isRefusal(error)) await journal.append({ step: 'refused', name });
    throw error;
  }
}

/**
 * After a lost answer. Asks for a while, because the engine may still be at work on the request.
 */
async function findMade<T extends Disk | Vm>(options: MakeOptions<T>): Promise<T | undefined> {
  const { engine, signal, description, find } = options;
  const { timings } = engine;
  return await pollWhile(timings.lostAnswerMs, timings, signal, async () =>
    (await find()).find((one) => one.description === description),
  );
}

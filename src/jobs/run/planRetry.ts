/** Tries a plan again: an engine that restarts at night must not cost the night. */
import { type ErrorCode, toFailure } from '../../core/errors.ts';
import { sessionMessage } from '../../core/messages.ts';
import type { QueueOptions } from './vmQueue.ts';

type PlanRetryOptions = Pick<
  QueueOptions,
  'jobName' | 'retry' | 'windowEndMs' | 'clock' | 'signal' | 'note'
>;

/** Troubles of an engine that may pass. A wrong password, tried often, would lock the account. */
const PASSING_CODES: ReadonlySet<ErrorCode> = new Set([
  'ENGINE_UNREACHABLE',
  'ENGINE_BAD_ANSWER',
  'ENGINE_FAULT',
  'ENGINE_BUSY',
  'ENGINE_PHASE_TIMEOUT',
]);

/**
 * Works until it succeeds. It ends too when the error is one that stays, when all tries are used,
 * or when the next one would come after the window.
 *
 * @throws the error of the last try; {@link CancelledError}
 */
export async function retryPlan<T>(work: () => Promise<T>, options: PlanRetryOptions): Promise<T> {
  const { retry, windowEndMs = Infinity, clock, signal, note, jobName: job } = options;
  for (let n = 1; ; n++) {
    try {
      return await work();
    } catch (error) {
      const failure = toFailure(error, signal);
      const { code, message: reason } = failure;
      const isInWindow = clock.now().getTime() + retry.delayMs < windowEndMs;
      const mayTry = PASSING_CODES.has(code) && n <= retry.times && isInWindow;
      if (signal.aborted || !mayTry) throw failure;
      note(sessionMessage('JOB-640', { job, reason, code, n, max: retry.times }));
    }
    await clock.sleep(retry.delayMs, signal);
  }
}

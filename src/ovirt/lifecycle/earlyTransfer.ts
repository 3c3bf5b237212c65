/** Transfers that are asked for too early: the engine is about to be ready for them. */
import type { EngineApi } from '../engine/engineApi.ts';
import { faultKind } from '../engine/engineErrors.ts';
import { isBusy } from '../engine/faults.ts';
import { pause } from '../poll.ts';

/**
 * Asks for a transfer again while the engine says that the backup is not ready or the disk in use, for as long as
 * a transfer may take to get ready.
 */
export async function retryUntilReady<T>(
  engine: EngineApi,
  signal: AbortSignal,
  create: () => Promise<T>,
): Promise<T> {
  const { pollMinMs, pollMaxMs, transferReadyMs } = engine.timings;
  const startedAtMs = performance.now();
  for (let pauseMs = pollMinMs; ; pauseMs = Math.min(pauseMs * 2, pollMaxMs)) {
    try {
      return await create();
    } catch (error) {
      const kind = faultKind(error);
      const isTooEarly = kind !== undefined && (kind === 'backup-not-ready' || isBusy(kind));
      if (!isTooEarly || performance.now() - startedAtMs > transferReadyMs) throw error;
    }
    await pause(pauseMs, signal);
  }
}

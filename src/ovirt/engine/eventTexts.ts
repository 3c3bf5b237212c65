/** Events that the engine wrote for our calls. They explain errors that say little. */
import { EngineError } from '../../core/errors.ts';
import type { EngineApi } from './engineApi.ts';

const MAX_EVENTS = 3;

/** Warnings and errors among our events, newest first; empty when the engine does not answer. */
export async function ownTroubles(engine: EngineApi): Promise<string[]> {
  const brief = engine.withSignal(AbortSignal.timeout(engine.timings.connectMs));
  const events = await brief.ownEvents().catch(() => []);
  return events
    .filter((event) => event.severity !== 'normal')
    .map((event) => (event.code > 0 ? `${event.description} (${event.code})` : event.description));
}

/** The same error with the engine's events at the end of its message. */
export async function withEvents(engine: EngineApi, error: EngineError): Promise<EngineError> {
  const troubles = [...new Set(await ownTroubles(engine))].slice(0, MAX_EVENTS);
  if (troubles.length === 0) return error;
  const { code, message, hint, details } = error;
  return new EngineError(code, `${message}; the engine says: ${troubles.join('; ')}`, {
    cause: error,
    hint,
    details,
  });
}

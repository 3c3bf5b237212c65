/**
 * Writes events of a session to the engine's event list, where administrators look first. Errors
 * are ignored.
 */
import { randomInt } from 'node:crypto';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { PostEvent } from '../../ovirt/engine/engineRequests.ts';

/**
 * The engine refuses an event whose origin and custom id exist already. That event is then lost.
 */
const MAX_CUSTOM_ID = 2 ** 31 - 1;
const MAX_TEXT = 1000;

export async function postSessionEvent(
  engine: EngineApi,
  vmId: string,
  severity: PostEvent['severity'],
  text: string,
): Promise<void> {
  const customId = randomInt(1, MAX_CUSTOM_ID);
  const description = text.slice(0, MAX_TEXT);
  const brief = engine.withSignal(AbortSignal.timeout(engine.timings.connectMs));
  await brief.postEvent({ severity, customId, description, vmId }).catch(() => {});
}

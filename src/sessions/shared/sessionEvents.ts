/** Events that a session writes into the engine's own list, where administrators look first. Best effort. */
import { randomInt } from 'node:crypto';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { PostEvent } from '../../ovirt/engine/engineRequests.ts';

/** Together with the origin it has to be unique; a repeated one is refused, and then the event is lost. */
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

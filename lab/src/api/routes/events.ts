/**
 * REST calls on events.
 * Source: oVirt contract: events come newest first, and `from` is exclusive. An external event
 * needs an origin other than oVirt and a unique pair of origin and custom id.
 */
import { eventBody } from '../http/bodyTypes.ts';
import { incompleteParameters, refusal, unknownParent } from '../../state/refusals.ts';
import { EXTERNAL_EVENT_CODES } from '../../state/events.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { EventRow } from '../../state/rows.ts';
import { searchRows, type SearchFields } from '../http/search.ts';
import { eventView } from '../views/system.ts';
import { reply, replyList, type WireReply } from '../http/wire.ts';

const RESERVED_ORIGIN = 'ovirt';

function fieldsOf(call: EngineCall, event: EventRow): SearchFields {
  return {
    id: event.id,
    type: String(event.code),
    severity: event.severity,
    message: event.description,
    correlation_id: event.correlationId,
    event_host: undefined,
    event_vm: call.engine.vms.get(event.vmId ?? '')?.name,
    origin: event.origin,
  };
}

function getEvents(call: EngineCall): WireReply {
  const from = Number(call.query.get('from') ?? 0);
  const newestFirst = call.engine.log.events.filter(({ id }) => Number(id) > from).toReversed();
  const rows = searchRows(call, newestFirst, (event) => fieldsOf(call, event));
  return replyList('events', 'event', rows.map(eventView));
}

function refuseEvent(text: string): Error {
  return refusal(400, `Cannot add External Event. ${text}`);
}

function postEvent(call: EngineCall): WireReply {
  const { engine, correlationId } = call;
  const body = call.body(eventBody);
  const { origin, severity, custom_id: customId, description } = body;
  const isComplete =
    origin !== undefined &&
    severity !== undefined &&
    customId !== undefined &&
    description !== undefined;
  if (!isComplete) {
    const fields = ['origin', 'severity', 'customId', 'description'];
    throw incompleteParameters('Event', fields, 'add');
  }
  if (origin.toLowerCase() === RESERVED_ORIGIN) {
    throw refuseEvent('The origin oVirt is reserved.');
  }
  const isKnown = engine.log.events.some(
    (event) => event.origin === origin && event.customId === customId,
  );
  if (isKnown) throw refuseEvent('An event with this origin and custom ID exists already.');
  const vmId = body.vm?.id;
  if (vmId !== undefined && !engine.vms.has(vmId)) throw unknownParent(vmId);
  const code = EXTERNAL_EVENT_CODES[severity];
  const event = { code, severity, description, origin, customId, vmId, correlationId };
  return reply('event', eventView(engine.log.addExternal(event)), 201);
}

export const eventRoutes: readonly Route[] = [
  { method: 'GET', path: 'events', run: getEvents },
  { method: 'POST', path: 'events', run: postEvent },
];

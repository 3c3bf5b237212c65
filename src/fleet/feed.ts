/** Events of a session on their way from its worker to the planner. */
import { z } from 'zod';
import type { SessionMessage } from '../core/messages.ts';
import { messageSchema } from '../sessions/history/sessionRecord.ts';
import type { ProgressEvent } from '../sessions/shared/progress.ts';

const MAX_BATCH_CHARS = 512 * 1024;
const MAX_TEXT_CHARS = 8000;
const MOST_EVENTS = 2000;
const MOST_DISKS = 2000;

export type FeedEvent =
  | { readonly type: 'progress'; readonly event: ProgressEvent }
  | { readonly type: 'message'; readonly message: SessionMessage }
  | { readonly type: 'status'; readonly text: string };

const text = z.string().max(MAX_TEXT_CHARS);
const count = z.number().min(0);
const result = z.enum(['done', 'failed', 'cancelled']);
const session = { sessionId: text, vmName: text, vmId: text };
const diskName = { diskId: text, alias: text };
const counts = { doneBytes: count, readBytes: count, sentBytes: count.optional() };
const disk = z.object({
  ...diskName,
  mode: z.enum(['full', 'incremental', 'compare']).optional(),
  sizeBytes: count,
  dataBytes: count.optional(),
});

/** The events of backups. */
const progressSchema = z.discriminatedUnion('type', [
  z.object({
    ...session,
    type: z.literal('phase'),
    phase: z.enum(['preparing', 'freezing', 'reading', 'finalizing', 'committing', 'stopping']),
  }),
  z.object({
    ...session,
    type: z.literal('waiting'),
    waitsFor: z.enum(['engine', 'imageServer', 'vm']),
    reason: text,
  }),
  z.object({ ...session, type: z.literal('resumed') }),
  z.object({ ...session, type: z.literal('disksPlanned'), disks: z.array(disk).max(MOST_DISKS) }),
  disk.extend({ ...session, type: z.literal('diskStarted') }),
  z.object({ ...session, ...diskName, ...counts, type: z.literal('diskProgress') }),
  z.object({ ...session, ...diskName, ...counts, type: z.literal('diskEnded'), result }),
  z.object({ ...session, type: z.literal('ended'), result }),
]) as unknown as z.ZodType<ProgressEvent>;

const eventSchema: z.ZodType<FeedEvent> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), event: progressSchema }),
  z.object({ type: z.literal('message'), message: messageSchema }),
  z.object({ type: z.literal('status'), text }),
]);

/** A batch that is too large goes without its events of progress. */
export function encodeBatch(events: readonly FeedEvent[]): string {
  const batch = JSON.stringify(events);
  if (batch.length <= MAX_BATCH_CHARS) return batch;
  return JSON.stringify(events.filter(({ type }) => type === 'message').slice(0, MOST_EVENTS));
}

/** Events of a batch. What is no event is left out. */
export function decodeBatch(batch: string): FeedEvent[] {
  if (batch.length > 2 * MAX_BATCH_CHARS) return [];
  let events: unknown;
  try {
    events = JSON.parse(batch);
  } catch {
    return [];
  }
  if (!Array.isArray(events)) return [];
  return events.slice(0, MOST_EVENTS).flatMap((event) => eventSchema.safeParse(event).data ?? []);
}

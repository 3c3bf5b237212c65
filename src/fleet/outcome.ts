/** What came of a session, as its worker writes it and the planner reads it. */
import { z } from 'zod';
import { sessionReportSchema } from '../sessions/history/sessionRecord.ts';
import type { SessionReport } from '../sessions/shared/report.ts';
import { failureSchema, type PlainFailure } from './failure.ts';

const MAX_OUTCOME_CHARS = 4 * 1024 * 1024;
/** Of a report that is too large. */
const MOST_MESSAGES = 200;
const MOST_DISKS = 1000;

export type SessionOutcome =
  | { readonly report: SessionReport }
  | {
      readonly failure: PlainFailure;
      /** The session had not begun: another worker may be able to run it. */
      readonly isUnfit?: true | undefined;
    }
  /** The worker was stopped. Another one is to repeat the session. */
  | { readonly isReturned: true };

const outcomeSchema: z.ZodType<SessionOutcome> = z.union([
  z.object({ report: sessionReportSchema }),
  z.object({ failure: failureSchema, isUnfit: z.literal(true).optional() }),
  z.object({ isReturned: z.literal(true) }),
]);

/** A report without what only pages show, and with at most so many disks and messages. */
function shortened(report: SessionReport): SessionReport {
  return {
    ...report,
    messages: report.messages.slice(0, MOST_MESSAGES),
    disks: report.disks.slice(0, MOST_DISKS).map((disk) => ({ ...disk, blockMap: undefined })),
  };
}

/** The point is safe already. So a large report is shortened, and never refused. */
export function encodeOutcome(outcome: SessionOutcome): string {
  const text = JSON.stringify(outcome);
  if (text.length <= MAX_OUTCOME_CHARS || !('report' in outcome)) return text;
  return JSON.stringify({ report: shortened(outcome.report) });
}

/** @returns undefined for a text that is no outcome. */
export function decodeOutcome(text: string): SessionOutcome | undefined {
  if (text.length > 2 * MAX_OUTCOME_CHARS) return undefined;
  try {
    return outcomeSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

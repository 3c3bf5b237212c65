/** The file that holds the state of a job. */
import { z } from 'zod';
import type { JobState } from '../jobState.ts';
import { MAX_NAME_CHARS } from './applyRun.ts';

export const MAX_STATE_BYTES: number = 16 * 1024 * 1024;

const name = z.string().max(MAX_NAME_CHARS);
const time = z
  .string()
  .max(64)
  .refine((text) => !Number.isNaN(Date.parse(text)), 'no time');
const count = z.number().nonnegative();
const outcome = z.enum(['success', 'warning', 'failure']);

const vm = z.object({
  vmName: name,
  vmId: name,
  lastOutcome: z.union([outcome, z.literal('notStarted')]),
  lastSuccessAt: time.optional(),
  lastDurationSeconds: count.optional(),
  lastReadBytes: count.optional(),
  lastStoredBytes: count.optional(),
  lastPointType: z.enum(['full', 'increment']).optional(),
  lockedUntil: time.optional(),
  isDamaged: z.boolean().optional(),
});

const stateSchema: z.ZodType<JobState> = z.object({
  format: z.literal('ovirt-cbt-state/1'),
  jobName: name,
  lastSlot: time.optional(),
  watched: z.object({ schedule: name, since: time }).optional(),
  openRun: z
    .object({
      runId: name,
      startedAt: time,
      slot: time.optional(),
      doneVms: z.array(name),
      isStopped: z.boolean().optional(),
    })
    .optional(),
  lastRun: z.object({ runId: name, startedAt: time, endedAt: time, outcome }).optional(),
  lastSuccessAt: time.optional(),
  missedSlots: count.int(),
  failedNotifications: count.int(),
  vms: z.array(vm),
});

/** Throws what is wrong with the text, as an error with one line. */
export function parseState(text: string, jobName: string): JobState {
  const found = stateSchema.safeParse(JSON.parse(text));
  if (!found.success) {
    const [issue] = found.error.issues;
    throw new Error(`${issue?.path.join('.')}: ${issue?.message}`);
  }
  if (found.data.jobName !== jobName) throw new Error(`it is of job ${found.data.jobName}`);
  return found.data;
}

export function formatState(state: JobState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}

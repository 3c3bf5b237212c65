/** What a job of the queue tells its worker. It holds no secret: workers have a job file too. */
import { z } from 'zod';
import { PROTOCOL } from './keys.ts';

export interface FleetJob {
  readonly protocol: number;
  readonly productVersion: string;
  /** Of the planner that sent it. A job of a planner that is gone is dropped. */
  readonly plannerToken: string;
  readonly sessionId: string;
  /** Grows each time that the session is sent. */
  readonly send: number;
  readonly jobName: string;
  readonly label: string;
  /** Empty when the engine does not know the VM. */
  readonly vmId: string;
  readonly repositoryId: string;
  /** Digests of the values of the job that a session uses, by their place in the job file. */
  readonly digests: Readonly<Record<string, string>>;
  /** Share of the limit of the job. */
  readonly bytesPerSecond?: number | undefined;
  /** End of the window, by the clock of the server of the queue, in milliseconds since 1970. */
  readonly windowEndMs?: number | undefined;
}

const text = z.string().max(1024);

export const fleetJobSchema: z.ZodType<FleetJob> = z.object({
  protocol: z.literal(PROTOCOL),
  productVersion: text,
  plannerToken: text,
  sessionId: text,
  send: z.int().min(0),
  jobName: text,
  label: text,
  vmId: text,
  repositoryId: text,
  digests: z.record(text, text),
  bytesPerSecond: z.number().positive().optional(),
  windowEndMs: z.number().optional(),
});

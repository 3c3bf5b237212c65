/** The workers of a fleet. Each renews its own row. */
import { z } from 'zod';
import type { WorkerRow } from '../console/contract.ts';
import type { QueueLink } from './connection.ts';
import { WORKERS_KEY, workerKey } from './keys.ts';

const text = z.string().max(500);

const rowSchema: z.ZodType<WorkerRow> = z.object({
  name: text,
  host: text,
  pid: z.number().int().positive(),
  productVersion: text,
  labels: z.array(text).max(100),
  parallelVms: z.number().int().min(1).max(1000),
  runningVms: z.array(text).max(1000),
  startedAt: z.iso.datetime(),
  seenAt: z.iso.datetime(),
});

function parseRow(row: string | null): WorkerRow[] {
  if (row === null) return [];
  try {
    return [rowSchema.parse(JSON.parse(row))];
  } catch {
    return [];
  }
}

/** Writes the row of a worker, for the time of a lease. */
export async function writeWorker(link: QueueLink, token: string, row: WorkerRow): Promise<void> {
  const { redis, timings } = link;
  await redis
    .multi()
    .sadd(WORKERS_KEY, token)
    .set(workerKey(token), JSON.stringify(row), 'PX', timings.leaseMs)
    .exec();
}

export async function removeWorker({ redis }: QueueLink, token: string): Promise<void> {
  await redis.multi().srem(WORKERS_KEY, token).del(workerKey(token)).exec();
}

/** Rows of the workers that live, sorted by name. Those of others are removed. */
export async function readWorkers({ redis }: QueueLink): Promise<WorkerRow[]> {
  const tokens = await redis.smembers(WORKERS_KEY);
  if (tokens.length === 0) return [];
  const rows = await redis.mget(tokens.map(workerKey));
  const gone = tokens.filter((_, k) => rows[k] === null);
  if (gone.length > 0) await redis.srem(WORKERS_KEY, ...gone);
  return rows.flatMap(parseRow).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Who plans for a queue, as the planner writes it on the server. */
import { z } from 'zod';
import { type ProcessIdentity, processSchema } from '../store/processIdentity.ts';
import type { QueueLink } from './connection.ts';
import { PLANNER_KEY } from './keys.ts';

export interface PlannerFacts {
  /** Of this planner alone, also when its process has the number of an earlier one. */
  readonly token: string;
  readonly productVersion: string;
  readonly process: ProcessIdentity;
}

const factsSchema: z.ZodType<PlannerFacts> = z.object({
  token: z.string().max(100),
  productVersion: z.string().max(100),
  process: processSchema,
});

/** @returns undefined for a text that this product has not written */
export function parsePlanner(text: string): PlannerFacts | undefined {
  try {
    return factsSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** The planner of the queue; undefined when there is none. */
export async function readPlanner({ redis }: QueueLink): Promise<PlannerFacts | undefined> {
  const text = await redis.get(PLANNER_KEY);
  return text === null ? undefined : parsePlanner(text);
}

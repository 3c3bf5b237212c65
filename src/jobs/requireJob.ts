import { UsageError } from '../core/errors.ts';
import { didYouMean } from '../core/nearestNames.ts';
import type { JobConfig, JobFile } from './jobFile.ts';

/** The job of a name. @throws {@link UsageError} `USAGE_NOT_FOUND` */
export function requireJob({ path, jobs }: JobFile, name: string): JobConfig {
  const job = jobs.get(name);
  if (job) return job;
  const near = didYouMean(name, jobs.keys());
  throw new UsageError('USAGE_NOT_FOUND', `${path} has no job "${name}"`, {
    hint: `${near}it has: ${[...jobs.keys()].join(', ') || 'none'}`,
  });
}

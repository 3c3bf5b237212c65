/** Compares the job files of planner and worker, without sending their values. */
import { createHash } from 'node:crypto';
import type { JobConfig } from '../jobs/jobFile.ts';

type Digests = Readonly<Record<string, string>>;

function plainUrl(url: string): string {
  return (URL.canParse(url) ? new URL(url).href : url).replace(/\/+$/, '');
}

/**
 * The values that decide what a session reads and stores, by their place in the job file. Paths and
 * the number of threads belong to a machine, so they may differ. The repository is compared by its
 * id.
 */
function comparedValues({ engine, repository, backup, excludeDisks }: JobConfig): object {
  return {
    'engine.url': plainUrl(engine.url),
    'engine.username': engine.username,
    'repository.immutable': repository.immutable,
    'repository.noLock': repository.noLock,
    excludeDisks,
    'backup.mode': backup.mode,
    'backup.compression': backup.compression,
    'backup.blockSize': backup.blockSizeBytes,
    'backup.connections': backup.connections,
    'backup.requireConsistency': backup.requireConsistency,
    'backup.partialReads': backup.partialReads,
    'backup.audit': backup.auditRatio,
    'backup.wait': backup.waitMs,
  };
}

export function jobDigests(job: JobConfig): Digests {
  const entries = Object.entries(comparedValues(job)).map(([key, value]) => {
    const hash = createHash('sha256').update(JSON.stringify(value) ?? '');
    return [key, hash.digest('base64url')] as const;
  });
  return Object.fromEntries(entries);
}

/** Places in the job file whose values differ. */
export function differingKeys(planner: Digests, worker: Digests): string[] {
  const keys = new Set([...Object.keys(planner), ...Object.keys(worker)]);
  return [...keys].filter((key) => planner[key] !== worker[key]);
}

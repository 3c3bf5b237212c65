/** Options for the queue of a fleet: `--queue`, `--queue-password-file`, `--queue-ca`. */
import type { Command } from 'commander';
import { UsageError } from '../../core/errors.ts';
import type { Fleet } from '../../fleet/planner/fleet.ts';
import type { LinkOptions, QueueSettings } from '../../fleet/connection.ts';

export interface QueueFlags {
  readonly queue?: string;
  readonly queuePasswordFile?: string;
  readonly queueCa?: string;
}

/** For commands that plan runs. */
export const QUEUE_TEXT = 'let workers run the sessions, over this queue';

/** Adds the options of the queue to a command. */
export function withQueueFlags(command: Command, text: string): Command {
  return command
    .option('--queue <url>', `${text}: redis://HOST:6379, rediss://HOST:6379 or unix:///PATH`)
    .option('--queue-password-file <file>', 'file with the password of the queue')
    .option('--queue-ca <file>', 'certificate of the CA of the queue, for rediss://');
}

/**
 * @returns undefined without a queue.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a wrong URL, and for flags that need one
 */
export async function queueSettings(flags: QueueFlags): Promise<QueueSettings | undefined> {
  const { queue: url, queuePasswordFile: passwordFile, queueCa: caFile } = flags;
  if (url !== undefined) {
    const { parseQueueUrl } = await import('../../fleet/queueUrl.ts');
    parseQueueUrl(url);
    return { url, passwordFile, caFile };
  }
  if (passwordFile === undefined && caFile === undefined) return undefined;
  throw new UsageError('USAGE_INVALID_OPTION', 'options of the queue are given without --queue');
}

/** @returns undefined without `--queue`. @throws as {@link openFleet} */
export async function openFleetFor(
  flags: QueueFlags,
  options: LinkOptions,
): Promise<Fleet | undefined> {
  const settings = await queueSettings(flags);
  if (!settings) return undefined;
  const { openFleet } = await import('../../fleet/planner/fleet.ts');
  return await openFleet(settings, options);
}

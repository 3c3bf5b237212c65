/** `worker`: runs sessions of jobs that a planner sends over a queue. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../../core/errors.ts';
import type { MessageLevel } from '../../../core/messages.ts';
import { CommandContext } from '../../context.ts';
import { collect, type CommonFlags, parseCount, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';
import { type QueueFlags, queueSettings, withQueueFlags } from '../../flags/queueFlags.ts';

const DEFAULT_PARALLEL_VMS = 2;
const MOST_PARALLEL_VMS = 16;

interface WorkerFlags extends CommonFlags, JobFlags, QueueFlags {
  readonly label?: readonly string[];
  readonly parallelVms: number;
}

function checkParallelVms(count: number): number {
  if (count >= 1 && count <= MOST_PARALLEL_VMS) return count;
  throw new UsageError('USAGE_INVALID_OPTION', `--parallel-vms: ${count} is not 1 to 16`, {
    hint: 'start more workers for more sessions',
  });
}

/** @returns exit code 0 also after SIGTERM: that is how a worker ends. */
async function work(flags: WorkerFlags, context: CommandContext): Promise<number> {
  const settings = await queueSettings(flags);
  if (!settings) {
    throw new UsageError('USAGE_INVALID_OPTION', '--queue is missing', {
      hint: 'name the server of the queue, for example --queue rediss://queue.example:6379',
    });
  }
  const parallelVms = checkParallelVms(flags.parallelVms);
  const { label: labels = [] } = flags;
  const { runWorker } = await import('../../../fleet/worker/worker.ts');
  const { SystemdNotifier } = await import('../../../jobs/daemon/systemd.ts');
  const { signal, logger, onMessage } = context;
  const onNote = (text: string, level: MessageLevel, fields: object): void => {
    logger[level](fields, text);
    context.note('worker', text, level === 'info' ? undefined : level, fields);
  };
  context.stopText = 'stopping: sessions end in order, and go back to the queue';
  context.leftText = 'sessions were cut off; other workers clean up and repeat them';
  using systemd = new SystemdNotifier({
    environment: process.env,
    pid: process.pid,
    isAlive: () => true,
    onFailure: (text) => context.note('systemd', text, 'warn'),
  });
  signal.addEventListener('abort', () => void systemd.stopping(), { once: true });
  await runWorker({
    settings,
    file: jobFileOf(flags),
    parallelVms,
    labels,
    signal,
    logger,
    onMessage,
    onNote,
    onReady: (place) => {
      const text = labels.length > 0 ? `; labels: ${labels.join(', ')}` : '';
      onNote(`worker of queue ${place} is ready: ${parallelVms} VMs at once${text}`, 'info', {
        parallelVms,
        labels,
      });
      void systemd.ready();
    },
  });
  return EXIT_CODES.done;
}

export function addWorker(program: Command, done: (exitCode: number) => void): void {
  withQueueFlags(withJobFile(withCommonFlags(program.command('worker'))), 'the queue')
    .description('run sessions that a daemon or a run sends over a queue, until SIGTERM')
    .option(
      '--label <label>',
      'take also sessions of jobs with this workerLabel; may be repeated',
      collect,
    )
    .addOption(
      new Option('--parallel-vms <n>', 'sessions at once, 1 to 16')
        .argParser(parseCount('--parallel-vms'))
        .default(DEFAULT_PARALLEL_VMS),
    )
    .action(async (flags: WorkerFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(async () => await work(flags, context)));
    });
}

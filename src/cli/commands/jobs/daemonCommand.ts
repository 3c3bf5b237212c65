/** `daemon`: starts the jobs of a job file at the times of their schedules. */
import type { Command } from 'commander';
import { EXIT_CODES } from '../../../core/errors.ts';
import type { MessageLevel, SessionMessage } from '../../../core/messages.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type ConsoleFlags, preparePages, withConsoleFlags } from './daemonConsole.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';
import {
  openFleetFor,
  QUEUE_TEXT,
  type QueueFlags,
  withQueueFlags,
} from '../../flags/queueFlags.ts';

type DaemonFlags = CommonFlags & JobFlags & ConsoleFlags & QueueFlags;

/** @returns exit code 0 also after SIGTERM: that is how a daemon ends. */
async function runDaemon(flags: DaemonFlags, context: CommandContext): Promise<number> {
  const { Daemon } = await import('../../../jobs/daemon/daemon.ts');
  const { liveParts } = await import('../../../jobs/daemon/liveParts.ts');
  const { SystemdNotifier } = await import('../../../jobs/daemon/systemd.ts');
  const { signal, logger } = context;
  const path = jobFileOf(flags);
  const onNote = (text: string, level: MessageLevel, fields: object): void => {
    logger[level](fields, text);
    context.note('job', text, level === 'info' ? undefined : level, fields);
  };
  await using fleet = await openFleetFor(flags, context);
  const { openRunner } = fleet ?? {};
  const workers = fleet && (async () => await fleet.workers());
  const pages = await preparePages({
    flags,
    context,
    jobFile: path,
    daemon: () => daemon,
    workers,
    onNote,
  });
  await using live = pages?.live;
  const onMessage = (message: SessionMessage, jobName?: string): void => {
    context.onMessage(message);
    live?.onMessage(message, jobName);
  };
  const options = { path, signal, logger, onMessage, onNote, openRunner, watcher: live };
  const daemon = new Daemon(liveParts(options));
  context.stopText = 'stopping: waiting for open sessions, which continue at the next start';
  context.leftText = 'runs are not complete; the daemon continues them when it starts again';
  context.onHangUp = () => daemon.reload();
  await using server = await pages?.start();
  using systemd = new SystemdNotifier({
    environment: process.env,
    pid: process.pid,
    isAlive: () => daemon.health.isAlive,
    onFailure: (text) => context.note('systemd', text, 'warn'),
  });
  const onStop = (): void => {
    void systemd.stopping();
    live?.stopTasks();
  };
  signal.addEventListener('abort', onStop, { once: true });
  await daemon.run(signal, () => {
    const jobs = daemon.health.jobs;
    const place = server ? `; ${server.text}` : '';
    const count = jobs.length === 1 ? '1 job' : `${jobs.length} jobs`;
    const queue = fleet ? `; workers of queue ${fleet.place} run the sessions` : '';
    onNote(`daemon of ${path} is ready: ${count}${queue}${place}`, 'info', { jobs });
    void systemd.ready();
  });
  return EXIT_CODES.done;
}

export function addDaemon(program: Command, done: (exitCode: number) => void): void {
  const daemon = withConsoleFlags(withJobFile(withCommonFlags(program.command('daemon'))));
  withQueueFlags(daemon, QUEUE_TEXT)
    .description(
      'start jobs at the times of their schedules, until SIGTERM; SIGHUP loads the job file again',
    )
    .action(async (flags: DaemonFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(async () => await runDaemon(flags, context)));
    });
}

/** `daemon`: starts the jobs of a job file at the times of their schedules. */
import type { Command } from 'commander';
import { EXIT_CODES, toFailure } from '../../../core/errors.ts';
import type { MessageLevel } from '../../../core/messages.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';

interface DaemonFlags extends CommonFlags, JobFlags {
  readonly listen?: string;
}

/** @returns exit code 0 also after SIGTERM: that is how a daemon ends. */
async function runDaemon(flags: DaemonFlags, context: CommandContext): Promise<number> {
  const { Daemon } = await import('../../../jobs/daemon/daemon.ts');
  const { liveParts } = await import('../../../jobs/daemon/liveParts.ts');
  const { parseListen, startStatusServer } = await import('../../../jobs/daemon/statusServer.ts');
  const { SystemdNotifier } = await import('../../../jobs/daemon/systemd.ts');
  const { formatMetrics } = await import('../../../jobs/metrics/formatMetrics.ts');
  const { signal, logger, onMessage } = context;
  const address = flags.listen === undefined ? undefined : parseListen(flags.listen);
  const path = jobFileOf(flags);
  const onNote = (text: string, level: MessageLevel, fields: object): void => {
    logger[level](fields, text);
    context.note('job', text, level === 'info' ? undefined : level, fields);
  };
  const daemon = new Daemon(liveParts({ path, signal, logger, onMessage, onNote }));
  context.stopText = 'stopping: waiting for open sessions, which continue at the next start';
  context.leftText = 'runs are not complete; the daemon continues them when it starts again';
  context.onHangUp = () => daemon.reload();
  await using server =
    address &&
    (await startStatusServer(address, {
      health: () => daemon.health,
      metrics: async () => formatMetrics(await daemon.states(), new Date()),
      onFailure: (error) => onNote(`/metrics: ${toFailure(error).message}`, 'error', {}),
    }));
  using systemd = new SystemdNotifier({
    environment: process.env,
    pid: process.pid,
    isAlive: () => daemon.health.isAlive,
    onFailure: (text) => context.note('systemd', text, 'warn'),
  });
  signal.addEventListener('abort', () => void systemd.stopping(), { once: true });
  await daemon.run(signal, () => {
    const jobs = daemon.health.jobs;
    const place = server ? `; http://${address?.host}:${server.port}/metrics` : '';
    const count = jobs.length === 1 ? '1 job' : `${jobs.length} jobs`;
    onNote(`daemon of ${path} is ready: ${count}${place}`, 'info', { jobs });
    void systemd.ready();
  });
  return EXIT_CODES.done;
}

export function addDaemon(program: Command, done: (exitCode: number) => void): void {
  withJobFile(withCommonFlags(program.command('daemon')))
    .description(
      'start jobs at the times of their schedules, until SIGTERM; SIGHUP loads the job file again',
    )
    .option(
      '--listen <address>',
      'serve /metrics and /healthz there, on this machine only, such as 127.0.0.1:8484',
    )
    .action(async (flags: DaemonFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(async () => await runDaemon(flags, context)));
    });
}

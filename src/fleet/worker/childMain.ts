/**
 * A process of a worker that runs sessions. It has no terminal and no connection to the queue: its
 * worker sends tasks and gets events. When the worker is gone, the session ends in order.
 */
import pino from 'pino';
import { CancelledError } from '../../core/errors.ts';
import { REDACTED_PATHS } from '../../core/log.ts';
import { plainFailure } from '../failure.ts';
import type { SessionOutcome } from '../outcome.ts';
import type { ChildTask, FromChild, ToChild } from './childMessages.ts';
import { ChildSessions } from './childSessions.ts';

const sessions = new ChildSessions();
let stop: AbortController | undefined;
let isQuitting = false;

/** Returns when the worker has the message, or is gone. */
async function send(message: FromChild): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => process.send?.(message, undefined, {}, () => resolve()));
}

async function outcomeOf(task: ChildTask, signal: AbortSignal): Promise<SessionOutcome> {
  const destination = { write: (line: string) => void send({ type: 'log', line }) };
  const options = { level: task.logLevel, redact: [...REDACTED_PATHS], base: null };
  const logger = pino(options, destination);
  try {
    const report = await sessions.run(task, {
      signal,
      logger,
      tell: (event) => void send({ type: 'event', event }),
    });
    return { report };
  } catch (error) {
    const failure = plainFailure(error, signal);
    const isUnfit = !sessions.hasBegun && !signal.aborted;
    return isUnfit ? { failure, isUnfit } : { failure };
  }
}

async function run(task: ChildTask): Promise<void> {
  stop = new AbortController();
  const outcome = await outcomeOf(task, stop.signal);
  stop = undefined;
  await send({ type: 'outcome', outcome });
  if (isQuitting) await end();
}

async function end(): Promise<void> {
  await sessions.close();
  process.exit();
}

function cancel(reason: string): void {
  stop?.abort(new CancelledError('CANCELLED', reason));
}

function quit(reason: string): void {
  isQuitting = true;
  if (stop) cancel(reason);
  else void end();
}

process.on('message', (message: ToChild) => {
  if (message.type === 'run') void run(message.task);
  else if (message.type === 'cancel') cancel('the session was cancelled');
  else quit('the worker stops');
});
process.on('disconnect', () => quit('the worker is gone'));
// A terminal and systemd send these to all processes of a command. The worker tells what to do.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});

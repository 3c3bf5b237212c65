/** Processes that run sessions: at most one session each, and kept for the next session. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { InternalError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { compiledUrl } from '../../core/installation.ts';
import { plainFailure } from '../failure.ts';
import type { FeedEvent } from '../feed.ts';
import type { SessionOutcome } from '../outcome.ts';
import type { ChildTask, FromChild, ToChild } from './childMessages.ts';

const MAX_ERROR_CHARS = 2000;
/** The numbers of pino. */
const LOG_LEVELS = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' } as const;

export interface PoolOptions {
  /** A process without a session ends after that. */
  readonly idleMs: number;
  readonly logger: Logger;
}

export interface ChildCall {
  /** Cancels the session, which ends in order. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: FeedEvent) => void;
}

/** One process. */
class Child {
  readonly #process: ChildProcess;
  readonly #logger: Logger;
  readonly ended: Promise<void>;
  #errors = '';
  #call: { onEvent: ChildCall['onEvent']; settle: (outcome: SessionOutcome) => void } | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #isQuitting = false;
  /** Of its last session: its login and repository are open. */
  jobName = '';

  constructor(logger: Logger) {
    const entry = fileURLToPath(compiledUrl(import.meta.url, './childMain.js'));
    this.#process = fork(entry, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    this.#logger = logger;
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = `${this.#errors}${text}`.slice(-MAX_ERROR_CHARS);
    });
    this.#process.on('message', (message) => this.#onMessage(message as FromChild));
    this.ended = new Promise((resolve) => {
      this.#process.once('error', () => resolve());
      this.#process.once('close', () => resolve());
    });
    void this.ended.then(() => this.#onEnd());
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isIdle(): boolean {
    return this.#call === undefined && !this.#isQuitting;
  }

  async run(task: ChildTask, { signal, onEvent }: ChildCall): Promise<SessionOutcome> {
    clearTimeout(this.#idleTimer);
    const cancel = (): void => this.#send({ type: 'cancel' });
    try {
      return await new Promise((settle) => {
        this.#call = { onEvent, settle };
        this.jobName = task.jobName;
        this.#send({ type: 'run', task });
        if (signal.aborted) cancel();
        signal.addEventListener('abort', cancel, { once: true });
      });
    } finally {
      this.#call = undefined;
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Ends the process when it gets no session until then. */
  quitAfter(idleMs: number): void {
    this.#idleTimer = setTimeout(() => this.quit(), idleMs).unref();
  }

  /** Ends the process. A session that runs is cancelled. */
  quit(): void {
    clearTimeout(this.#idleTimer);
    this.#isQuitting = true;
    this.#send({ type: 'quit' });
  }

  #send(message: ToChild): void {
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  #onMessage(message: FromChild): void {
    if (message.type === 'event') this.#call?.onEvent(message.event);
    else if (message.type === 'outcome') this.#call?.settle(message.outcome);
    else this.#log(message.line);
  }

  #log(line: string): void {
    const { level, time: _, msg = '', ...fields } = JSON.parse(line) as Record<string, unknown>;
    const name = LOG_LEVELS[level as keyof typeof LOG_LEVELS] ?? 'error';
    this.#logger[name]({ ...fields, child: this.pid }, String(msg));
  }

  /** Only the session that ran in the process has failed. */
  #onEnd(): void {
    const { exitCode, signalCode } = this.#process;
    if (!this.#call) return;
    const how = signalCode ?? `exit code ${exitCode ?? 'unknown'}`;
    this.#logger.error({ child: this.pid, stderr: this.#errors }, `a process ended: ${how}`);
    const error = new InternalError('WORKER_CRASHED', `the process of the session ended (${how})`, {
      hint: 'look into the log of the worker; the session can be repeated',
      retryable: true,
    });
    this.#call.settle({ failure: plainFailure(error) });
  }
}

export class ChildPool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #children = new Set<Child>();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Runs a session in an idle process, best in one that has its job open. */
  async run(task: ChildTask, call: ChildCall): Promise<SessionOutcome> {
    const child = this.#take(task.jobName);
    const outcome = await child.run(task, call);
    child.quitAfter(this.#options.idleMs);
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const children = [...this.#children];
    for (const child of children) child.quit();
    await Promise.all(children.map(async ({ ended }) => await ended));
  }

  #take(jobName: string): Child {
    const idle = [...this.#children].filter((child) => child.isIdle);
    const known = idle.find((child) => child.jobName === jobName) ?? idle[0];
    if (known) return known;
    const child = new Child(this.#options.logger);
    this.#children.add(child);
    void child.ended.then(() => this.#children.delete(child));
    return child;
  }
}

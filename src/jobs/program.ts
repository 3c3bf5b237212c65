/** Runs a program of the user without a shell: a hook, or a command that gets notifications. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { errnoOf } from '../core/errors.ts';
import { plainReason } from '../core/errorWords.ts';
import { formatDuration } from '../core/units.ts';

/** Variables that a program gets from this process. Others may hold secrets. */
const PASSED_VARIABLES =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|XDG_RUNTIME_DIR)$/;
const MAX_OUTPUT_BYTES = 16 * 1024;
/** Time from SIGTERM to SIGKILL. */
const GRACE_MS = 2000;
/** The rest of the output may come so long after the end of the program. */
const OUTPUT_MS = 500;

export interface ProgramOptions {
  /** Program and arguments, at least one entry. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** Variables beside the few that every program gets, such as PATH. */
  readonly environment: Readonly<Record<string, string>>;
  /** @defaultValue nothing */
  readonly stdin?: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface ProgramResult {
  /** Undefined when it was killed, or could not be started. */
  readonly exitCode: number | undefined;
  readonly timedOut: boolean;
  /** Code of the system, such as `ENOENT`, when it could not be started. */
  readonly startError: string | undefined;
  /** The last bytes of stdout and stderr, together. They may hold secrets of the program. */
  readonly output: string;
  readonly durationSeconds: number;
}

/** The last bytes of a stream. */
class Tail {
  #bytes: Buffer = Buffer.alloc(0);

  readonly add = (piece: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, piece]).subarray(-MAX_OUTPUT_BYTES);
  };

  get text(): string {
    return this.#bytes.toString('utf8');
  }
}

function environmentOf(own: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const passed = Object.entries(process.env).filter(([name]) => PASSED_VARIABLES.test(name));
  return { ...Object.fromEntries(passed), ...own };
}

/**
 * The program leads a process group, so what it started ends with it.
 *
 * @returns false when this user may not end it, as with `sudo`.
 */
function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return true;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) === 'EPERM') return false;
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
  return true;
}

/** @returns the code of the system when the program could not be started and Node throws that. */
function start({
  command: [program = '', ...args],
  environment,
}: ProgramOptions): ChildProcessWithoutNullStreams | string {
  try {
    return spawn(program, args, {
      detached: true,
      env: environmentOf(environment),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    // Such as ENOTDIR and E2BIG. Others, such as ENOENT, come as an event.
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return code;
  }
}

class RunningProgram {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #tail = new Tail();
  readonly #exitCode: Promise<number | undefined>;
  #startError: string | undefined;
  #timedOut = false;
  #killTimer: NodeJS.Timeout | undefined;
  #outputTimer: NodeJS.Timeout | undefined;
  /** Ends the wait for a program that cannot be ended. */
  #giveUp: () => void = () => {};

  constructor(child: ChildProcessWithoutNullStreams, stdin: string) {
    this.#child = child;
    for (const output of [child.stdout, child.stderr]) {
      output.on('data', this.#tail.add).on('error', () => {});
    }
    // A program need not read its input.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    // What it started may run on and hold the outputs open.
    child.on('exit', () => {
      this.#outputTimer = setTimeout(() => this.#closeOutputs(), OUTPUT_MS);
    });
    this.#exitCode = new Promise((resolve) => {
      this.#giveUp = () => resolve(undefined);
      child.on('close', (code) => resolve(code ?? undefined));
      child.on('error', (error) => {
        this.#startError = errnoOf(error) ?? error.name;
        resolve(undefined);
      });
    });
  }

  async end(
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Omit<ProgramResult, 'durationSeconds'>> {
    const timer = setTimeout(() => {
      this.#timedOut = true;
      this.#stop();
    }, timeoutMs);
    signal?.addEventListener('abort', this.#stop, { once: true });
    if (signal?.aborted) this.#stop();
    const exitCode = await this.#exitCode;
    clearTimeout(timer);
    clearTimeout(this.#killTimer);
    // The program has ended, but what it started may have ignored SIGTERM.
    if (this.#killTimer) killGroup(this.#child, 'SIGKILL');
    clearTimeout(this.#outputTimer);
    signal?.removeEventListener('abort', this.#stop);
    const [timedOut, startError] = [this.#timedOut, this.#startError];
    return { exitCode, timedOut, startError, output: this.#tail.text };
  }

  readonly #stop = (): void => {
    killGroup(this.#child, 'SIGTERM');
    this.#killTimer ??= setTimeout(() => {
      if (killGroup(this.#child, 'SIGKILL')) return;
      this.#closeOutputs();
      this.#child.unref();
      this.#giveUp();
    }, GRACE_MS);
  };

  #closeOutputs(): void {
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }
}

/**
 * Runs a program to its end. Its failure is a result, not an error. At the time-out, or when the
 * signal is aborted, its process group gets SIGTERM, and SIGKILL two seconds later. A program that
 * this user may not end is left alone then.
 */
export async function runProgram(options: ProgramOptions): Promise<ProgramResult> {
  const { timeoutMs, stdin = '', signal } = options;
  const startedAtMs = performance.now();
  const child = start(options);
  if (typeof child === 'string') {
    const none = { exitCode: undefined, timedOut: false, output: '', durationSeconds: 0 };
    return { ...none, startError: child };
  }
  const ended = await new RunningProgram(child, stdin).end(timeoutMs, signal);
  return { ...ended, durationSeconds: (performance.now() - startedAtMs) / 1000 };
}

/** What went wrong with a program: a sentence about it. Undefined after exit code 0. */
export function programProblem(
  { exitCode, startError, timedOut }: ProgramResult,
  timeoutMs: number,
): string | undefined {
  if (exitCode === 0) return undefined;
  if (startError !== undefined) return `it cannot be started: ${plainReason(startError)}`;
  if (timedOut) return `it was ended after ${formatDuration(timeoutMs)}`;
  return exitCode === undefined ? 'it was killed' : `it ended with exit code ${exitCode}`;
}

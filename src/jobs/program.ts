/** Runs a program of the user without a shell: a hook, or a command that gets notifications. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { errnoOf } from '../core/errors.ts';

/** Variables that a program gets from this process. Others may hold secrets. */
const PASSED_VARIABLES =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|XDG_RUNTIME_DIR)$/;
const MAX_OUTPUT_BYTES = 16 * 1024;
/** After SIGTERM, before SIGKILL. */
const GRACE_MS = 2000;
/** For the rest of the output, after the program has ended. */
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

/** The program leads a process group, so what it started ends with it. */
function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/** @returns the code of the system when the program could not be started and Node throws that. */
function start(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): ChildProcessWithoutNullStreams | string {
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

/**
 * Runs a program to its end. Its failure is a result, not an error. At the time-out, or when the
 * signal is aborted, its process group gets SIGTERM, and SIGKILL two seconds later.
 */
export async function runProgram(options: ProgramOptions): Promise<ProgramResult> {
  const { command, timeoutMs, environment, stdin = '', signal } = options;
  const [program = '', ...args] = command;
  const startedAtMs = performance.now();
  const tail = new Tail();
  let timedOut = false;
  let startError: string | undefined;
  const spawned = start(program, args, environment);
  if (typeof spawned === 'string') {
    return { exitCode: undefined, timedOut, startError: spawned, output: '', durationSeconds: 0 };
  }
  const child = spawned;
  child.stdout.on('data', tail.add);
  child.stderr.on('data', tail.add);
  // A program need not read its input.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);

  let killTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    killGroup(child, 'SIGTERM');
    killTimer ??= setTimeout(() => killGroup(child, 'SIGKILL'), GRACE_MS);
  };
  let outputTimer: NodeJS.Timeout | undefined;
  child.on('exit', () => {
    // What it started may run on and hold the outputs open.
    outputTimer = setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, OUTPUT_MS);
  });
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();

  const exitCode = await new Promise<number | undefined>((resolve) => {
    child.on('error', (error) => {
      startError = errnoOf(error) ?? error.name;
      resolve(undefined);
    });
    child.on('close', (code) => resolve(code ?? undefined));
  });
  clearTimeout(timer);
  clearTimeout(killTimer);
  // The program has ended, but what it started may have ignored SIGTERM.
  if (killTimer) killGroup(child, 'SIGKILL');
  clearTimeout(outputTimer);
  signal?.removeEventListener('abort', stop);
  const durationSeconds = (performance.now() - startedAtMs) / 1000;
  return { exitCode, timedOut, startError, output: tail.text, durationSeconds };
}

/** The compiled command line with outputs that fail, as a process of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

const ENTRY = 'dist/cli/launch.cjs';
const PIECE = Buffer.alloc(4096, '.');

export interface Outputs {
  /** A descriptor, or `pipe` (the default), which is read to its end. */
  readonly stdout?: number | 'pipe';
  readonly stderr?: number | 'pipe';
  /** Pipes whose reader goes away before the command prints something. */
  readonly closed?: readonly ('stdout' | 'stderr')[];
}

export interface Redirected {
  readonly child: ChildProcess;
  readonly ended: Promise<{ exitCode: number | null; stdout: string; stderr: string }>;
}

export function startRedirected(
  args: readonly string[],
  outputs: Outputs,
  env: NodeJS.ProcessEnv = {},
): Redirected {
  const { stdout = 'pipe', stderr = 'pipe', closed = [] } = outputs;
  const child = spawn(process.execPath, [ENTRY, ...args], {
    stdio: ['ignore', stdout, stderr],
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  for (const name of closed) child[name]?.destroy();
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (more: string) => (text[name] += more));
  }
  const ended = once(child, 'close').then(([exitCode]) => ({
    exitCode: exitCode as number | null,
    ...text,
  }));
  return { child, ended };
}

/** A descriptor that the test closes at its end. */
export function open(file: string, flags: number = constants.O_WRONLY): number {
  const fd = openSync(file, flags);
  onTestFinished(() => closeSync(fd));
  return fd;
}

/** Makes a named pipe. */
export function makePipe(file: string): void {
  execFileSync('mkfifo', [file]);
}

/** Makes a named pipe that is full and has a reader that never reads. @returns its writing end. */
export function makeFullPipe(file: string): number {
  makePipe(file);
  open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const filler = open(file, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(filler, PIECE);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return open(file);
}

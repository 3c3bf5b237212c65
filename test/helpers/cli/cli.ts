/** Runs the compiled command line as its users do. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'vitest';
import { IS_LONG_FORM } from '../longForm.ts';
import { VM } from '../repository/imageSessions.ts';

const ENTRY = 'dist/cli/launch.cjs';
const HOST = 'test/helpers/cli/cliHost.mjs';
/** As launch.cts sets UV_THREADPOOL_SIZE. */
const HOST_THREADS = '16';
const POLL_MS = 2;

/** Environment without qemu-img: sparse images are read whole, which takes long. */
export const HOLES_ARE_READ: NodeJS.ProcessEnv = { PATH: '' };

export interface CliResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  /** Without the times at the beginning of its lines. */
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
}

/** Arguments of a backup of one image. */
export function backupArgs(
  repository: string,
  image: string,
  ...more: readonly string[]
): string[] {
  return ['backup', '--image', image, '--name', VM, '--repo', repository, ...more];
}

/** Lines of stderr that is no terminal begin with the local time. */
const LINE_TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d /gm;

export function withoutTimes(stderr: string): string {
  return stderr.replaceAll(LINE_TIME, '');
}

/** @param wrapper - a program, and its arguments, that starts the command. */
export function startCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  stdin: 'ignore' | 'pipe' = 'ignore',
  wrapper: readonly string[] = [],
): RunningCli {
  const [program = '', ...rest] = [...wrapper, process.execPath, ENTRY, ...args];
  const child = spawn(program, rest, {
    stdio: [stdin, 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  if (!child.stdout || !child.stderr) throw new Error('the command has no outputs');
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => {
      const { stdout, stderr } = output;
      resolve({ exitCode, signal, stdout, stderr: withoutTimes(stderr) });
    });
  });
  return { child, ended };
}

/** Text of a stream up to `mark`, or up to its end. */
async function textUntil(stream: Readable, mark: string): Promise<string> {
  let text = '';
  return await new Promise((resolve) => {
    const settle = (): void => {
      stream.off('data', onData).off('close', settle);
      resolve(text.endsWith(mark) ? text.slice(0, -mark.length) : text);
    };
    const onData = (more: string): void => {
      text += more;
      if (text.endsWith(mark)) settle();
    };
    stream.on('data', onData).once('close', settle);
  });
}

class CliHost {
  readonly #child: ChildProcess;
  readonly #outputs: readonly [Readable, Readable];
  isBusy = true;

  constructor() {
    this.#child = fork(HOST, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, UV_THREADPOOL_SIZE: HOST_THREADS },
    });
    const { stdout, stderr } = this.#child;
    if (!stdout || !stderr) throw new Error('the host has no outputs');
    this.#outputs = [stdout.setEncoding('utf8'), stderr.setEncoding('utf8')];
  }

  async started(): Promise<this> {
    const died = once(this.#child, 'close').then(() => {
      throw new Error('the host of commands did not start');
    });
    // Nobody awaits it when the process ends long after its start.
    died.catch(() => {});
    await Promise.race([once(this.#child, 'message'), died]);
    return this;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** A command that ends the process has the exit code of the process. */
  async run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CliResult> {
    this.isBusy = true;
    const mark = `\n${randomUUID()}\n`;
    const child = this.#child;
    const exitCode = new Promise<number | null>((resolve) => {
      const settle = (code: number | null): void => {
        child.off('message', onMessage).off('close', settle);
        resolve(code);
      };
      const onMessage = (message: unknown): void =>
        settle((message as { readonly exitCode: number }).exitCode);
      child.once('message', onMessage).once('close', settle);
    });
    child.send({ args, env, mark });
    const [stdout, stderr] = await Promise.all(
      this.#outputs.map(async (output) => await textUntil(output, mark)),
    );
    const code = await exitCode;
    this.isBusy = false;
    return {
      exitCode: code,
      signal: child.signalCode,
      stdout: stdout ?? '',
      stderr: withoutTimes(stderr ?? ''),
    };
  }
}

let hosts: CliHost[] = [];

/** Runs a command in an idle host, or in a new one. */
async function runInHost(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CliResult> {
  hosts = hosts.filter((host) => !host.hasEnded);
  const idle = hosts.find((host) => !host.isBusy);
  if (idle) return await idle.run(args, env);
  const host = new CliHost();
  hosts.push(host);
  return await (await host.started()).run(args, env);
}

/**
 * Runs a command to its end. It has a process of its own in the long form and with options for
 * Node; otherwise a host runs one command after another, which saves the start of Node.
 */
export async function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CliResult> {
  if (IS_LONG_FORM || env['NODE_OPTIONS']) return await startCli(args, env).ended;
  return await runInHost(args, { ...process.env, ...env });
}

/** Waits until `condition` holds. @returns false when the process ended first. */
export async function until(running: RunningCli, condition: () => boolean): Promise<boolean> {
  while (!condition()) {
    if (running.child.exitCode !== null || running.child.signalCode !== null) return false;
    await wait(POLL_MS);
  }
  return true;
}

const ERROR_LINE = /^error: .+ \(([A-Z0-9_]+)\) hint: .+$/;

/** Lines of stderr except session messages. */
function errorLines(result: CliResult): string[] {
  return result.stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !/^(info|warn|error): [A-Z]+-\d+ /.test(line));
}

/** A command failed as it has to: this code, one line with a hint, no stack, no result. */
export function expectFailure(result: CliResult, code: string, exitCode: number): void {
  const lines = errorLines(result);
  expect.soft(lines).toHaveLength(1);
  expect.soft(ERROR_LINE.exec(lines[0] ?? '')?.[1], lines[0]).toBe(code);
  expect.soft(result.stderr).not.toMatch(/^\s+at /m);
  expect.soft(result.stdout).toBe('');
  expect(result.exitCode).toBe(exitCode);
}

export interface ExitError {
  readonly type: string;
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** The object that a failed command with --json prints last. */
export function exitErrorOf(result: CliResult): ExitError {
  return JSON.parse(result.stderr.trimEnd().split('\n').at(-1) ?? '') as ExitError;
}

/** Runs the compiled command line as its users do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'vitest';
import { runInHost } from './cliHost.ts';
import { IS_LONG_FORM } from '../longForm.ts';
import { VM } from '../repository/imageSessions.ts';

const ENTRY = 'dist/cli/launch.cjs';
const POLL_MS = 2;

export interface CliResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
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

export function startCli(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCli {
  const child = spawn(process.execPath, [ENTRY, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, ...output }));
  });
  return { child, ended };
}

/** Runs a command to its end; in the long form, and with options for Node, in a process of its own. */
export async function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CliResult> {
  if (IS_LONG_FORM || env['NODE_OPTIONS']) return await startCli(args, env).ended;
  return await runInHost(args, { ...process.env, ...env });
}

/** Waits until `condition` holds; false when the process ended before. */
export async function until(running: RunningCli, condition: () => boolean): Promise<boolean> {
  while (!condition()) {
    if (running.child.exitCode !== null || running.child.signalCode !== null) return false;
    await wait(POLL_MS);
  }
  return true;
}

const ERROR_LINE = /^error: .+ \(([A-Z0-9_]+)\) hint: .+$/;

/** Lines of stderr that are no session messages. */
function errorLines(result: CliResult): string[] {
  return result.stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !/^(info|warn|error): [A-Z]+-\d+ /.test(line));
}

/** Expects a command to have failed as it has to: this code, one line with a hint, no stack, no result. */
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

/** The command `export` in a process of its own, and Debian's clients of it. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { type CliResult, type RunningCli, startCli } from '../cli/cli.ts';

const execute = promisify(execFile);

export interface ExportCommand extends RunningCli {
  /** The address of each disk. */
  readonly uris: readonly string[];
  /** Stops the command as Ctrl-C does, and waits for its end. */
  stop(): Promise<CliResult>;
}

/** What the command prints last on stderr. */
export interface ExportSummary {
  readonly clients: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly failures: number;
  readonly overlays?: readonly { readonly exportName: string; readonly isKept: boolean }[];
}

/** Starts the command with `--json`. It is killed when the test ends. */
export async function startExport(args: readonly string[]): Promise<ExportCommand> {
  const running = startCli(['export', ...args, '--json']);
  onTestFinished(() => void running.child.kill('SIGKILL'));
  const { uris } = await firstObject(running);
  return {
    ...running,
    uris,
    stop: async () => {
      running.child.kill('SIGINT');
      return await running.ended;
    },
  };
}

async function firstObject({ child, ended }: RunningCli): Promise<{ readonly uris: string[] }> {
  return await new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (more: string) => {
      text += more;
      try {
        resolve(JSON.parse(text) as { uris: string[] });
      } catch {
        // The object is not complete yet.
      }
    });
    ended.then(({ stderr }) => reject(new Error(`export ended: ${stderr}`)), reject);
  });
}

export function summaryOf({ stderr }: CliResult): ExportSummary {
  const line = /^\{"type":"export_summary".*$/m.exec(stderr)?.[0];
  return JSON.parse(line ?? '') as ExportSummary;
}

/** Runs a client to its end. @returns what it printed */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args, { encoding: 'utf8', timeout: 60_000 })).stdout;
}

/** All bytes of a disk, as nbdcopy copies them to `file`. */
export async function copyOf(uri: string, file: string): Promise<Buffer> {
  await run('nbdcopy', uri, file);
  return readFileSync(file);
}

/** Equal bytes; a failure does not print them. */
export function expectBytes(found: Buffer | undefined, expected: Buffer): void {
  expect(found?.length).toBe(expected.length);
  expect(found?.equals(expected)).toBe(true);
}

/** Programs as cases: each run is a process of its own, with its peak memory and CPU time. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import type { BenchCase, Outcome } from './measure.ts';

/** GNU time writes these three figures. */
const TIME_FORMAT = '%M %U %S';

async function runProgram(command: readonly string[], timeFile: string): Promise<string> {
  const child = spawn('/usr/bin/time', ['-f', TIME_FORMAT, '-o', timeFile, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const exitCode = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (exitCode !== 0) throw new Error(`${command.join(' ')}: exit code ${String(exitCode)}`);
  return Buffer.concat(chunks).toString('utf8');
}

export interface ProgramCase {
  readonly name: string;
  readonly command: readonly string[];
  /** Puts things back after each run, outside of its time. */
  readonly restore?: (() => Promise<void>) | undefined;
  /** What has to be the same in every run. */
  readonly checksum: (stdout: string) => Promise<string> | string;
  readonly timeFile: string;
}

export function programCase(options: ProgramCase): BenchCase {
  return {
    name: options.name,
    async run(): Promise<Outcome> {
      const startedAtMs = performance.now();
      const stdout = await runProgram(options.command, options.timeFile);
      const seconds = (performance.now() - startedAtMs) / 1000;
      const [kib = 0, user = 0, system = 0] = (await readFile(options.timeFile, 'utf8'))
        .trim()
        .split(' ')
        .map(Number);
      const checksum = await options.checksum(stdout);
      await options.restore?.();
      return { checksum, seconds, peakRssBytes: kib * 1024, cpuSeconds: user + system };
    },
  };
}

export async function removeAll(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true, force: true });
}

export function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Programs as cases. Each execution is a new process. GNU time gives its peak memory and CPU time.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { MIB } from '../src/core/units.ts';
import type { BenchCase, Outcome } from './suite.ts';

const TIME_FORMAT = '%M %U %S';

export interface Program {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface ProgramCase extends Program {
  readonly name: string;
  /** Takes the files of the measurement. */
  readonly folder: string;
  /** A text that must be the same for every execution. */
  readonly checksum: (stdout: string) => Promise<string> | string;
  readonly prove?: (() => Promise<string>) | undefined;
  readonly reset?: (() => Promise<void>) | undefined;
}

async function runProgram(program: Program, timeFile: string): Promise<string> {
  const { command, env } = program;
  const child = spawn('/usr/bin/time', ['-q', '-f', TIME_FORMAT, '-o', timeFile, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const exitCode = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (exitCode !== 0) {
    const complaint = Buffer.concat(stderr).toString('utf8').slice(-2000);
    throw new Error(`${command.join(' ')}: exit code ${String(exitCode)}\n${complaint}`);
  }
  return Buffer.concat(stdout).toString('utf8');
}

async function readLoopDelay(probeFile: string): Promise<number | undefined> {
  return existsSync(probeFile) ? Number(await readFile(probeFile, 'utf8')) : undefined;
}

export function programCase(options: ProgramCase): BenchCase {
  const timeFile = path.join(options.folder, 'time.txt');
  const probeFile = path.join(options.folder, 'probe.txt');
  const { name, prove, reset } = options;
  return {
    name,
    ...(prove ? { prove } : {}),
    ...(reset ? { reset } : {}),
    async run(): Promise<Outcome> {
      await removeAll(probeFile);
      const env = { ...options.env, BENCH_PROBE: probeFile };
      const startedAtMs = performance.now();
      const stdout = await runProgram({ ...options, env }, timeFile);
      const seconds = (performance.now() - startedAtMs) / 1000;
      const figures = (await readFile(timeFile, 'utf8')).trim().split(' ').map(Number);
      const [kib = 0, user = 0, system = 0] = figures;
      return {
        checksum: await options.checksum(stdout),
        seconds,
        cpuSeconds: user + system,
        peakRssBytes: kib * 1024,
        loopDelayMs: await readLoopDelay(probeFile),
      };
    },
  };
}

/** True when a program is on the path. */
export function isInstalled(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.some((folder) => existsSync(path.join(folder, program)));
}

/** Runs a program that is not measured. */
export function runPlain({ command, env }: Program): void {
  const [file = '', ...args] = command;
  execFileSync(file, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
}

export async function removeAll(...paths: readonly string[]): Promise<void> {
  for (const target of paths) await rm(target, { recursive: true, force: true });
}

export function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function digestStreams(streams: Iterable<Readable>): Promise<string> {
  const hash = createHash('sha256');
  for (const stream of streams) for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function* openAll(files: readonly string[]): Generator<Readable> {
  for (const file of files) yield createReadStream(file, { highWaterMark: MIB });
}

/** SHA-256 over the bytes of files, one after the other. */
export async function digestFiles(files: readonly string[]): Promise<string> {
  return await digestStreams(openAll(files));
}

/** SHA-256 of a file's bytes. */
export async function digestFile(file: string): Promise<string> {
  return await digestFiles([file]);
}

/** SHA-256 of a program's standard output. */
export async function digestOutput({ command, env }: Program): Promise<string> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ...env },
  });
  return await digestStreams([child.stdout]);
}

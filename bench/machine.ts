/** The machine and the versions of programs, for the head of the results. */
import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { formatBytes } from '../src/core/units.ts';

/** Each program, with the arguments that print its version. */
const PROGRAMS: readonly (readonly [string, ...string[]])[] = [
  ['lz4', '--version'],
  ['qemu-img', '--version'],
  ['borg', '--version'],
  ['restic', 'version'],
  ['nbdcopy', '--version'],
  ['virtnbdbackup', '--version'],
];

function versionOf(program: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error) return 'not installed';
  const text = `${stdout}${stderr}`.trim().split('\n')[0] ?? '';
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? text;
}

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  return `${availableParallelism()} CPUs (${model}), ${formatBytes(totalmem())}, Linux ${release()}`;
}

export function collectVersions(): Record<string, string> {
  const programs = PROGRAMS.map(([name, ...args]) => [name, versionOf(name, args)]);
  return { node: process.version, ...(Object.fromEntries(programs) as Record<string, string>) };
}

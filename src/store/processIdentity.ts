/**
 * Names the process that holds a lock or a journal, and tells whether it has ended. A process id
 * alone proves nothing: containers number their processes anew, and ids are used again.
 */
import { readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';
import { errnoOf } from '../core/errors.ts';
import { readText } from './folder/durableFile.ts';

const MAX_FACT_BYTES = 64 * 1024;
/**
 * The PID namespace of a machine outside all containers, the same on every Linux.
 *
 * @see Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO
 */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';
/** States of /proc/PID/stat in which a process no longer runs: zombie and dead. */
const ENDED_STATES = new Set(['Z', 'X', 'x']);

/** Identifies one process, even after its pid is used again. A fact that is not known is ''. */
export interface ProcessIdentity {
  readonly host: string;
  readonly bootId: string;
  readonly pid: number;
  /** Start time of the process, in clock ticks since boot. A reused pid has another one. */
  readonly processStart: string;
  /** Content of /etc/machine-id. Files of version 0.1.0 lack it. */
  readonly machineId?: string | undefined;
  /**
   * As `pid:[4026531836]`. Two containers may give the same pid to different processes. Files of
   * version 0.1.0 lack it.
   */
  readonly pidNamespace?: string | undefined;
}

/**
 * State of the process that holds a lock. `alive` and `gone` are proven. The others are the reason
 * why nothing is proven.
 */
export type HolderState =
  | 'alive'
  | 'gone'
  | 'on another host'
  | 'of another boot'
  | 'in another container'
  | 'unknown';

/** The process that judges a holder, and the processes that it sees. */
export interface Observer {
  readonly self: ProcessIdentity;
  /**
   * Start time of a process: undefined when no process with this pid runs, and '' when one runs but
   * its start time cannot be read.
   */
  readonly startOf: (pid: number) => Promise<string | undefined>;
}

/** A short text without control characters, because messages show it. */
export function factSchema(maxChars: number): z.ZodString {
  return z
    .string()
    .max(maxChars)
    .regex(/^\P{Cc}*$/u);
}

export const processSchema: z.ZodType<ProcessIdentity> = z.object({
  host: factSchema(255),
  bootId: factSchema(100),
  pid: z.number().int().positive(),
  processStart: factSchema(32),
  machineId: factSchema(100).optional(),
  pidNamespace: factSchema(100).optional(),
});

/** Text of a system file; '' when it cannot be read. */
async function textOf(file: string): Promise<string> {
  return await readText(file, MAX_FACT_BYTES).then(
    (text) => text.trim(),
    () => '',
  );
}

async function targetOf(link: string): Promise<string> {
  return await readlink(link).catch(() => '');
}

function doesExist(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

/** See {@link Observer}. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await textOf(`/proc/${pid}/stat`);
  if (stat === '') return doesExist(pid) ? '' : undefined;
  // The name of the program comes before these fields. It may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ENDED_STATES.has(fields[0] ?? '') ? undefined : (fields[19] ?? '');
}

let known: ProcessIdentity | undefined;

/** Describes this process. It stays the same, so it is kept once all its facts could be read. */
export async function describeProcess(): Promise<ProcessIdentity> {
  if (known) return known;
  const described = await readIdentity();
  if (Object.values(described).every((fact) => fact !== '')) known = described;
  return described;
}

async function readIdentity(): Promise<ProcessIdentity> {
  // A container may show the /proc of its host. Its numbers are not ours then.
  const isOwnProc = (await targetOf('/proc/self')) === String(process.pid);
  return {
    host: hostname(),
    bootId: await textOf('/proc/sys/kernel/random/boot_id'),
    pid: process.pid,
    processStart: isOwnProc ? ((await startOf(process.pid)) ?? '') : '',
    machineId: await textOf('/etc/machine-id'),
    pidNamespace: isOwnProc ? await targetOf('/proc/self/ns/pid') : '',
  };
}

/**
 * True when the holder ran on this machine before a restart. Images of containers may all contain
 * the same machine id, so the id proves nothing about processes in containers.
 */
function isBeforeRestart(holder: ProcessIdentity, self: ProcessIdentity): boolean {
  const isOutside = [holder, self].every((one) => one.pidNamespace === FIRST_PID_NAMESPACE);
  return isOutside && holder.machineId !== '' && holder.machineId === self.machineId;
}

/** State of a holder, as `observer` can prove it. */
export async function stateOf(holder: ProcessIdentity, observer: Observer): Promise<HolderState> {
  const { self } = observer;
  if (holder.host !== self.host) return 'on another host';
  if (!holder.bootId || !self.bootId) return 'unknown';
  if (holder.bootId !== self.bootId) {
    return isBeforeRestart(holder, self) ? 'gone' : 'of another boot';
  }
  const isOfOldVersion = holder.pidNamespace === undefined;
  if (!isOfOldVersion) {
    if (!holder.pidNamespace || !self.pidNamespace || !holder.processStart) return 'unknown';
    if (holder.pidNamespace !== self.pidNamespace) return 'in another container';
  }
  const start = await observer.startOf(holder.pid);
  if (start === undefined) return 'gone';
  if (isOfOldVersion || start === '') return 'unknown';
  return start === holder.processStart ? 'alive' : 'gone';
}

/** State of a holder, as this process can prove it. */
export async function stateHere(holder: ProcessIdentity): Promise<HolderState> {
  return await stateOf(holder, { self: await describeProcess(), startOf });
}

/** True only when the process has certainly ended. */
export async function isProvablyGone(holder: ProcessIdentity): Promise<boolean> {
  return (await stateHere(holder)) === 'gone';
}

/**
 * Sessions in processes of their own that are paused while others work. No test framework in here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('shortLease.mjs', import.meta.url));
const PRELOAD = fileURLToPath(new URL('selfKill.mjs', import.meta.url));
const POLL_MS = 10;

/** How a session of {@link startSession} ended. */
export interface Outcome {
  readonly pointId?: string;
  /** Of its error. */
  readonly code?: string;
}

export interface SessionStart {
  readonly kind: 'backup' | 'copy' | 'prune';
  readonly options: object;
  readonly leaseMs: number;
  /** Pauses the session at its file operation `nth` of this name, below `root`. */
  readonly stop?: { readonly root: string; readonly name: string; readonly nth: number };
}

export interface RunningSession {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

export function startSession({ stop, ...session }: SessionStart): RunningSession {
  const stopping = stop && {
    KILL_ROOT: stop.root,
    KILL_NAME: stop.name,
    KILL_AT: String(stop.nth),
    KILL_SIGNAL: 'SIGSTOP',
  };
  const preload = stop ? ['--import', PRELOAD] : [];
  const child = spawn(process.execPath, [...preload, PROGRAM, JSON.stringify(session)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...stopping },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      if (output.stdout === '') reject(new Error(`the session said nothing: ${output.stderr}`));
      else resolve(JSON.parse(output.stdout) as Outcome);
    });
  });
  return { child, outcome };
}

/** Waits until a session is paused. @returns false when it ended before. */
export async function isPaused({ child, outcome }: RunningSession): Promise<boolean> {
  const end = outcome.then(() => true);
  for (;;) {
    if (stateOf(child.pid ?? 0) === 'T') return true;
    if (await Promise.race([end, wait(POLL_MS, false)])) return false;
  }
}

function stateOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  } catch {
    return '';
  }
}

/** The monitor of a running QEMU. Calls block, so that the lab's engine freezes in one step. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

const CLIENT = path.join(import.meta.dirname, 'qmp.py');

/** A command of QMP, or a wait until a job has a state. */
export type QmpCommand =
  | { readonly execute: string; readonly arguments?: object }
  | { readonly await: string; readonly status: 'ready' | 'concluded' };

/** A step of a QMP transaction. */
export interface QmpAction {
  readonly type: string;
  readonly data: object;
}

/**
 * Runs commands one after the other.
 * @returns the result of each command
 * @throws an Error when a command fails; the commands after it are not run
 */
export function qmp(socketPath: string, commands: readonly QmpCommand[]): unknown[] {
  const input = JSON.stringify(commands);
  const answer = execFileSync('python3', [CLIENT, socketPath], { input, encoding: 'utf8' });
  return JSON.parse(answer) as unknown[];
}

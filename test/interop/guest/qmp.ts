/** The monitor of a running QEMU. Calls block, so that the lab's engine can freeze disks in one step. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

const CLIENT = path.join(import.meta.dirname, 'qmp.py');

/** A command of QMP, or a wait for the state of a job. */
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
 * @returns what each of them returned
 * @throws on the first that fails
 */
export function qmp(socketPath: string, commands: readonly QmpCommand[]): unknown[] {
  const input = JSON.stringify(commands);
  const answer = execFileSync('python3', [CLIENT, socketPath], { input, encoding: 'utf8' });
  return JSON.parse(answer) as unknown[];
}

/** Texts for what a session waits for, and the limit on how often they are told. */
import type { OnWait, WaitFor } from '../../ovirt/waits.ts';

const AWAY: Readonly<Record<Exclude<WaitFor, 'vm'>, string>> = {
  engine: 'the engine does not answer',
  imageServer: 'the image server does not answer',
};
/** Phrase of the engine. It is known in this form from `StartVmBackupCommand`. */
const BACKUP_RUNS = /during a backup operation/i;

/**
 * `waiting: the engine does not answer (ECONNREFUSED)`.
 *
 * @param reason - as in {@link OnWait}; for `vm` the text of the engine.
 */
export function waitText(waitsFor: WaitFor, reason: string): string {
  if (waitsFor !== 'vm') return `waiting: ${AWAY[waitsFor]} (${reason})`;
  if (BACKUP_RUNS.test(reason)) return 'waiting: another backup of this VM is in progress';
  return `waiting: the VM or a disk is busy: ${reason}`;
}

/** A text that comes again within this time is not told again. */
const TEXT_INTERVAL_MS = 30_000;

/** Makes a receiver of waits that tells each as a text. `prefix` names the VM. */
export function createWaitTexts(
  onStatus: ((text: string) => void) | undefined,
  prefix: () => string,
): OnWait {
  const toldAtMs = new Map<string, number>();
  return (waitsFor, reason) => {
    if (reason === undefined) return;
    const text = `${prefix()}${waitText(waitsFor, reason)}`;
    const nowMs = performance.now();
    if (nowMs - (toldAtMs.get(text) ?? -Infinity) < TEXT_INTERVAL_MS) return;
    toldAtMs.set(text, nowMs);
    onStatus?.(text);
  };
}

/** Reasons why requests are repeated, as plain data for a caller that shows them. */
import { BackupError } from '../core/errors.ts';

/** `vm`: another operation holds the VM or a disk of it. */
export type WaitFor = 'engine' | 'imageServer' | 'vm';

/**
 * Called after each failed try with its reason. Called without a reason when the wait is over; this
 * may be the case for a wait that nobody has told.
 */
export type OnWait = (waitsFor: WaitFor, reason: string | undefined) => void;

/** `ECONNREFUSED`, `HTTP 503`, or the code of an error that has neither. */
export function waitReason(error: unknown): string {
  if (!(error instanceof BackupError)) return String(error);
  const { reason, httpStatus } = error.details;
  if (typeof reason === 'string') return reason;
  return typeof httpStatus === 'number' ? `HTTP ${httpStatus}` : error.code;
}

/** Runs a request to an image server. A failure that may pass begins a wait, an answer ends it. */
export async function notingWait<T>(
  onWait: OnWait | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    const value = await work();
    onWait?.('imageServer', undefined);
    return value;
  } catch (error) {
    const mayPass = error instanceof BackupError && error.retryable;
    onWait?.('imageServer', mayPass ? waitReason(error) : undefined);
    throw error;
  }
}

/**
 * Errors that the lab throws. Its answers over HTTP are in state/refusals.ts and imageio/errors.ts.
 */

export type LabErrorCode = 'LAB_NOT_FOUND' | 'LAB_PORT_UNUSABLE';

/** The caller asked for something that the lab does not have or cannot do. */
export class LabError extends Error {
  readonly code: LabErrorCode;
  /** Advice in one line; may be empty. */
  readonly hint: string;

  constructor(code: LabErrorCode, message: string, hint = '') {
    super(message);
    this.name = 'LabError';
    this.code = code;
    this.hint = hint;
  }
}

/** Throws when an assumption of the lab's own code is wrong. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`the lab has a bug: ${message}`);
}

/** Code of an operating-system error (`EPIPE`, `ECONNRESET`…), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

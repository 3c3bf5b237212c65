/** Errors that the lab throws at its user. What it answers over HTTP is in api/http/errors.ts. */

export type LabErrorCode = 'LAB_NOT_FOUND' | 'LAB_PORT_UNUSABLE';

/** The user of the lab asked for something that it does not have or cannot do. */
export class LabError extends Error {
  readonly code: LabErrorCode;
  /** One line that says what to do; may be empty. */
  readonly hint: string;

  constructor(code: LabErrorCode, message: string, hint = '') {
    super(message);
    this.name = 'LabError';
    this.code = code;
    this.hint = hint;
  }
}

/** Throws when an assumption of the lab itself does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`the lab has a bug: ${message}`);
}

/** Code of an operating-system error (`EPIPE`, `ECONNRESET`…), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Errors of the API: which status and which body they give. */
import { BackupError, type ErrorCode, InternalError } from '../core/errors.ts';

/** Codes that only the API has, with their HTTP status. docs/console-api.md describes them. */
export const API_CODES = {
  API_BAD_REQUEST: 400,
  API_LOGIN_NEEDED: 401,
  API_TOKEN_REFUSED: 401,
  API_READ_ONLY: 403,
  API_CSRF: 403,
  API_NOT_FOUND: 404,
  API_METHOD: 405,
  API_BODY_TOO_LARGE: 413,
  API_CONTENT_TYPE: 415,
  API_TOO_MANY_LOGINS: 429,
  API_TOO_MANY_STREAMS: 503,
} as const;

export type ApiCode = keyof typeof API_CODES;

/** A request that the API does not answer as it was asked. */
export class ApiError extends Error {
  readonly code: ApiCode;
  readonly hint: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ApiCode,
    message: string,
    hint: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.hint = hint;
    this.headers = headers;
  }
}

/** Body of all answers that are errors. */
export interface Problem {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

const CONFLICT = 409;
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  USAGE_NOT_FOUND: 404,
  USAGE_OUTPUT_EXISTS: CONFLICT,
  USAGE_WRONG_STATE: CONFLICT,
  JOB_RUNNING: CONFLICT,
  REPOSITORY_LOCKED: CONFLICT,
  ENGINE_BUSY: CONFLICT,
  ENGINE_VM_STATE: CONFLICT,
};
/** Errors of what the daemon talks to. */
const OF_OTHERS = /^(?:ENGINE|TRANSFER|REPOSITORY|QUEUE)_/;

export interface ProblemAnswer {
  readonly status: number;
  readonly body: Problem;
  readonly headers: Readonly<Record<string, string>>;
}

function statusOf(code: ErrorCode): number {
  const status = STATUS[code];
  if (status !== undefined) return status;
  if (code.startsWith('USAGE_')) return 400;
  return OF_OTHERS.test(code) ? 502 : 500;
}

/** The answer for anything that was thrown. Texts of internal errors stay in the log. */
export function problemOf(error: unknown): ProblemAnswer {
  if (error instanceof ApiError) {
    const { code, message, hint, headers } = error;
    return { status: API_CODES[code], body: { error: { code, message, hint } }, headers };
  }
  if (error instanceof BackupError && !(error instanceof InternalError)) {
    const { code, message, hint } = error;
    return { status: statusOf(code), body: { error: { code, message, hint } }, headers: {} };
  }
  const code = error instanceof BackupError ? error.code : 'INTERNAL_INVARIANT';
  const message = 'the daemon failed to answer';
  const hint = 'see the log of the daemon';
  return { status: 500, body: { error: { code, message, hint } }, headers: {} };
}

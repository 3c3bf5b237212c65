/** Errors of sessions as data: a worker sends them, and the planner throws them again. */
import { z } from 'zod';
import {
  type BackupError,
  ERROR_CLASSES,
  ERROR_CODES,
  type ErrorCode,
  InternalError,
  toFailure,
} from '../core/errors.ts';

/** Longest text of an error that is sent. */
const MAX_TEXT_CHARS = 8000;

/** An error without its cause and its stack. */
export interface PlainFailure {
  readonly type: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly isRetryable: boolean;
}

export const failureSchema: z.ZodType<PlainFailure> = z.object({
  type: z.string().max(50),
  code: z.enum(ERROR_CODES),
  message: z.string().max(MAX_TEXT_CHARS),
  hint: z.string().max(MAX_TEXT_CHARS),
  isRetryable: z.boolean(),
});

export function plainFailure(error: unknown, signal?: AbortSignal): PlainFailure {
  const { name, code, message, hint, retryable } = toFailure(error, signal);
  return {
    type: name,
    code,
    message: message.slice(0, MAX_TEXT_CHARS),
    hint: hint.slice(0, MAX_TEXT_CHARS),
    isRetryable: retryable,
  };
}

/** The error of its class, with code, text and hint. */
export function failureOf(plain: PlainFailure): BackupError {
  const { type, code, message, hint, isRetryable: retryable } = plain;
  const Class = ERROR_CLASSES.find((one) => one.prototype.name === type) ?? InternalError;
  return new Class(code, message, { hint, retryable });
}

/** A failure says where it happened: paths and secrets are those of the worker's machine. */
export function placedAt(worker: string, plain: PlainFailure): PlainFailure {
  return { ...plain, message: `worker ${worker}: ${plain.message}` };
}

/**
 * The one error family of the product.
 *
 * The class says who must act, `code` says which case it is, `details` holds typed facts. Callers
 * branch on `code`, never on the text. Messages carry no secrets. docs/errors.md describes every
 * code (a test compares them).
 */

import { constants } from 'node:os';
import { plainReason } from './errorWords.ts';

/** Every code of a {@link BackupError}. Codes are stable; texts are not. */
export const ERROR_CODES = [
  'USAGE_INVALID_OPTION',
  'USAGE_UNKNOWN_COMMAND',
  'USAGE_IMAGE_UNREADABLE',
  'USAGE_OUTPUT_EXISTS',
  'USAGE_NOT_FOUND',
  'USAGE_CODEC_NOT_NATIVE',
  'USAGE_CODEC_MISSING',
  'USAGE_FILE_ORDER',
  'USAGE_WRONG_STATE',
  'USAGE_JOB_FILE',
  'ENGINE_AUTH_REFUSED',
  'ENGINE_FORBIDDEN',
  'ENGINE_UNREACHABLE',
  'ENGINE_TLS_UNTRUSTED',
  'ENGINE_BAD_ANSWER',
  'ENGINE_FAULT',
  'ENGINE_NOT_FOUND',
  'ENGINE_BUSY',
  'ENGINE_VM_STATE',
  'ENGINE_CHANGE_MAP_LOST',
  'ENGINE_BACKUP_FAILED',
  'ENGINE_PHASE_TIMEOUT',
  'TRANSFER_READ_FAILED',
  'TRANSFER_WRITE_FAILED',
  'TRANSFER_UNREACHABLE',
  'TRANSFER_TLS_UNTRUSTED',
  'TRANSFER_TICKET_GONE',
  'TRANSFER_NOT_READY',
  'TRANSFER_FAILED',
  'TRANSFER_NO_CHANGE_MAP',
  'TRANSFER_BAD_ANSWER',
  'TRANSFER_CHECKSUM_MISMATCH',
  'TRANSFER_TARGET_FULL',
  'TRANSFER_SHORT_READ',
  'TRANSFER_BAD_EXTENTS',
  'REPOSITORY_NOT_FOUND',
  'REPOSITORY_LOCKED',
  'REPOSITORY_FULL',
  'REPOSITORY_IO',
  'REPOSITORY_METADATA_INVALID',
  'REPOSITORY_UNREACHABLE',
  'REPOSITORY_REFUSED',
  'REPOSITORY_UNSUPPORTED',
  'REPOSITORY_CLOCK',
  'REPOSITORY_FILE_LOCKED',
  'REPOSITORY_KEY_MISSING',
  'REPOSITORY_KEY_WRONG',
  'CHAIN_PARENT_MISSING',
  'CHAIN_PARENT_DAMAGED',
  'CHAIN_CHANGED',
  'OUTPUT_FULL',
  'OUTPUT_IO',
  'TOOL_MISSING',
  'TOOL_FAILED',
  'FORMAT_BAD_MAGIC',
  'FORMAT_UNSUPPORTED',
  'FORMAT_TRUNCATED',
  'FORMAT_BOUNDS',
  'FORMAT_STRUCTURE',
  'INTEGRITY_CRC_MISMATCH',
  'INTEGRITY_DIGEST_MISMATCH',
  'INTEGRITY_METADATA_MISMATCH',
  'INTEGRITY_FINGERPRINT_MISMATCH',
  'INTEGRITY_DECODE_FAILED',
  'INTEGRITY_SEAL_BROKEN',
  'INTEGRITY_DAMAGE_FOUND',
  'HOOK_FAILED',
  'JOB_RUNNING',
  'DAEMON_RUNNING',
  'QUEUE_UNREACHABLE',
  'QUEUE_AUTH_REFUSED',
  'QUEUE_UNSUPPORTED',
  'QUEUE_PLANNER_RUNNING',
  'QUEUE_JOB_DIFFERS',
  'QUEUE_VERSION_DIFFERS',
  'QUEUE_NO_WORKER',
  'QUEUE_WORKER_LOST',
  'CANCELLED',
  'INTERNAL_INVARIANT',
  'WORKER_CRASHED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Facts of an error as plain data. Units are in the names. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ErrorOptionsWithHint {
  /** One line that says what to do. */
  readonly hint?: string | undefined;
  readonly details?: ErrorDetails | undefined;
  readonly cause?: unknown;
  /** True only where the thrower knows that the same operation may succeed on a second try. */
  readonly retryable?: boolean | undefined;
}

/** Default hints by the start of the code, for errors without a hint of their own. */
const FAMILY_HINTS: readonly (readonly [string, string])[] = [
  ['USAGE_', 'see "ovirt-cbt --help"'],
  ['ENGINE_', 'check the engine and its event list, then run the command again'],
  ['TRANSFER_', 'check the source disk and run the session again'],
  ['REPOSITORY_', 'check the repository volume and its permissions'],
  ['CHAIN_', 'run "ovirt-cbt list" and "ovirt-cbt verify"'],
  ['OUTPUT_', 'check the output folder and its permissions'],
  ['FORMAT_', 'run "ovirt-cbt inspect" on the file; restore the file from a copy if there is one'],
  ['JOB_', 'wait until the other run of the job has ended'],
  ['DAEMON_', 'stop the other daemon of this job file first'],
  ['QUEUE_', 'check the server of the queue and its workers, see docs/fleet.md'],
  ['INTEGRITY_', 'run "ovirt-cbt verify"; restore the file from a copy if there is one'],
  ['CANCELLED', 'run the command again; nothing was lost'],
];
const BUG_HINT = 'this is a bug: please report it with the output of --log-level debug';

/** Hint for a text that names the error of the system for too many open files. */
export function openFilesHint(text: string): string | undefined {
  if (/\bEMFILE\b/.test(text)) {
    return 'raise the limit: "ulimit -n 4096" before the command, or LimitNOFILE=4096 in its systemd unit';
  }
  if (/\bENFILE\b/.test(text)) {
    return 'the whole system has no file left to open: raise fs.file-max, or end programs that hold many files';
  }
  return undefined;
}

function defaultHint(code: ErrorCode, message: string): string {
  const openFiles = openFilesHint(message);
  if (openFiles) return openFiles;
  return FAMILY_HINTS.find(([family]) => code.startsWith(family))?.[1] ?? BUG_HINT;
}

/** Base of all errors that the product throws on purpose. Branch on `code`; the text may change. */
export abstract class BackupError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  /** One line that says what to do. */
  readonly hint: string;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithHint = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.hint = options.hint ?? defaultHint(code, message);
    this.retryable = options.retryable ?? false;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'BackupError', configurable: true });
  }
}

/** The command must be changed: a bad option, a missing input or a missing tool. */
export class UsageError extends BackupError {}
/** The oVirt engine refused, failed or could not be reached. */
export class EngineError extends BackupError {}
/** The bytes of a disk could not be read or written completely. */
export class TransferError extends BackupError {}
/** The repository needs attention: lock, space, missing parent, chain metadata. */
export class RepositoryError extends BackupError {}
/** The target of a restore could not be written, or the tool that writes it failed. */
export class OutputError extends BackupError {}
/** A container cannot be parsed. */
export class FormatError extends BackupError {}
/** A container can be parsed, but its bytes are wrong. */
export class IntegrityError extends BackupError {}
/** The queue of a fleet, or a worker of it, needs attention. */
export class QueueError extends BackupError {}
/** Stopped by a signal or by the caller. */
export class CancelledError extends BackupError {}
/** A bug of this product. */
export class InternalError extends BackupError {}

/** All classes of the family. */
export const ERROR_CLASSES: readonly (new (
  ...args: ConstructorParameters<typeof UsageError>
) => BackupError)[] = [
  UsageError,
  EngineError,
  TransferError,
  RepositoryError,
  OutputError,
  FormatError,
  IntegrityError,
  QueueError,
  CancelledError,
  InternalError,
];

for (const type of ERROR_CLASSES) {
  Object.defineProperty(type.prototype, 'name', { value: type.name, configurable: true });
}

/** Exit codes of the command line. Any other code above 0 is a failure too. */
export const EXIT_CODES = {
  done: 0,
  failed: 1,
  usage: 2,
  doneWithProblems: 3,
  repositoryNotFound: 10,
  repositoryLocked: 11,
  authRefused: 12,
  damageFound: 13,
  unreachable: 14,
  internal: 70,
  /** SIGHUP: the terminal or the connection to it is gone. */
  hungUp: 129,
  /** Ctrl-C. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
} as const;

const EXIT_BY_CODE: Readonly<Partial<Record<ErrorCode, number>>> = {
  REPOSITORY_NOT_FOUND: EXIT_CODES.repositoryNotFound,
  REPOSITORY_LOCKED: EXIT_CODES.repositoryLocked,
  JOB_RUNNING: EXIT_CODES.repositoryLocked,
  DAEMON_RUNNING: EXIT_CODES.repositoryLocked,
  REPOSITORY_REFUSED: EXIT_CODES.authRefused,
  REPOSITORY_KEY_MISSING: EXIT_CODES.authRefused,
  REPOSITORY_KEY_WRONG: EXIT_CODES.authRefused,
  REPOSITORY_UNREACHABLE: EXIT_CODES.unreachable,
  QUEUE_UNREACHABLE: EXIT_CODES.unreachable,
  QUEUE_AUTH_REFUSED: EXIT_CODES.authRefused,
  QUEUE_PLANNER_RUNNING: EXIT_CODES.repositoryLocked,
  INTEGRITY_DAMAGE_FOUND: EXIT_CODES.damageFound,
  ENGINE_AUTH_REFUSED: EXIT_CODES.authRefused,
  ENGINE_FORBIDDEN: EXIT_CODES.authRefused,
  ENGINE_UNREACHABLE: EXIT_CODES.unreachable,
  ENGINE_TLS_UNTRUSTED: EXIT_CODES.unreachable,
  TRANSFER_UNREACHABLE: EXIT_CODES.unreachable,
  TRANSFER_TLS_UNTRUSTED: EXIT_CODES.unreachable,
};

/** The exit code that stands for one code of an error; undefined for those of its class. */
export function codeExit(code: string): number | undefined {
  return EXIT_BY_CODE[code as ErrorCode];
}

/** Exit code for an error that ended a command; 70 for anything that is no {@link BackupError}. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof BackupError)) return EXIT_CODES.internal;
  const own = codeExit(error.code);
  if (own !== undefined) return own;
  if (error instanceof UsageError) return EXIT_CODES.usage;
  if (error instanceof CancelledError) return EXIT_CODES.interrupted;
  if (error instanceof InternalError) return EXIT_CODES.internal;
  return EXIT_CODES.failed;
}

/**
 * Throws an {@link InternalError} when an assumption of our own code does not hold. Never used for
 * input from outside.
 */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError('INTERNAL_INVARIANT', message);
}

/** Proves at compile time that a `switch` over a union handles every case. */
export function assertNever(value: never): never {
  throw new InternalError('INTERNAL_INVARIANT', `unexpected value ${JSON.stringify(value)}`);
}

/** Code of an operating-system error (`ENOSPC`, `ENOENT`…), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (typeof code !== 'string') return undefined;
  // libuv does not know some numbers, such as those of ESTALE and EDQUOT.
  const number = /^Unknown system error -(\d+)$/.exec(code)?.[1];
  if (number === undefined) return code;
  const known = Object.entries(constants.errno).find(([, value]) => String(value) === number);
  return known?.[0] ?? code;
}

const FULL_ERRNOS = new Set(['ENOSPC', 'EDQUOT']);

/** True when an operating-system error says that no space or no quota is left. */
export function isOutOfSpace(error: unknown): boolean {
  return FULL_ERRNOS.has(errnoOf(error) ?? '');
}

/**
 * Turns an error of writing a restore's target into an {@link OutputError}. A {@link BackupError}
 * passes unchanged.
 */
export function toOutputError(target: string, error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  if (isOutOfSpace(error)) {
    return new OutputError('OUTPUT_FULL', `write ${target}: no space left`, {
      cause: error,
      hint: 'free space in the output folder, or name another folder',
    });
  }
  return new OutputError(
    'OUTPUT_IO',
    `write ${target}: ${plainReason(errnoOf(error) ?? String(error))}`,
    {
      cause: error,
      hint: 'check the output folder and its permissions',
    },
  );
}

/** @throws the abort of `signal` as {@link toFailure} gives it */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw toFailure(signal.reason, signal);
}

/**
 * Turns any thrown value into one {@link BackupError}. An abort becomes a {@link CancelledError},
 * or the reason of the signal when that is a {@link BackupError}. A {@link BackupError} passes
 * unchanged. Anything else keeps its text, as an {@link InternalError} `INTERNAL_INVARIANT`.
 */
export function toFailure(error: unknown, signal?: AbortSignal): BackupError {
  if (error instanceof BackupError) return error;
  const aborted = error instanceof Error && error.name === 'AbortError';
  if (aborted || (signal?.aborted && error === signal.reason)) {
    const reason: unknown = signal?.reason;
    if (reason instanceof BackupError) return reason;
    return new CancelledError('CANCELLED', 'the session was cancelled', { cause: error });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new InternalError('INTERNAL_INVARIANT', text, { cause: error });
}

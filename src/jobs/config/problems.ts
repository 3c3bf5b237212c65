/** What is wrong in a job file, in words for its author. */
import type { z } from 'zod';
import { UsageError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearestNames.ts';
import type { KeyPath, Position } from './positions.ts';
import { kindOf } from './values.ts';

/** A problem without its position. */
export interface Finding {
  readonly path: KeyPath;
  /** True when the key is wrong, not its value. */
  readonly isKey?: boolean;
  readonly what: string;
  readonly advice: string;
}

export interface JobFileProblem extends Position {
  /** Path of the key, such as `jobs.nightly.schedule`; empty for the whole file. */
  readonly key: string;
  readonly what: string;
  readonly advice: string;
}

/** More problems than these are counted only. */
const MOST_SHOWN = 50;
const KIND_ADVICE: Readonly<Record<string, string>> = {
  array: 'write a list: [first, second]',
  object: 'write its keys below it, indented',
  record: 'write names below it, indented, each with its own keys',
};
const NO_FILE: Finding = {
  path: [],
  what: 'has no keys',
  advice: 'write "engines", "repositories" and "jobs" as docs/jobs.md shows',
};
const SECRET_KEYS: Readonly<Record<string, string>> = {
  password: 'passwordFile',
  secret: 'secretFile',
  key: 'keyFile',
  passphrase: 'keyFile',
};

/** Keys as people write them: `jobs.nightly.hooks.before[0]`. */
export function keyText(path: KeyPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const name = /^[\w.-]+$/.test(String(part)) ? String(part) : JSON.stringify(String(part));
    return text === '' ? name : `${text}.${name}`;
  }, '');
}

/** The value at a path. A short form of a group has no keys: it stands for all of them. */
export function valueAt(raw: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (value, part) =>
      typeof value === 'object' && value !== null
        ? (value as Record<PropertyKey, unknown>)[part]
        : value,
    raw,
  );
}

function missing(path: KeyPath): Finding {
  return { path, what: 'is missing', advice: `add "${String(path.at(-1))}"` };
}

/** True for a key under which people write a secret itself. */
export function isSecretKey(key: string): boolean {
  return SECRET_KEYS[key.toLowerCase()] !== undefined;
}

/** @param known - the keys of the group, with a comma between them. */
export function unknownKey(path: KeyPath, key: string, known: string): Finding {
  const fileKey = SECRET_KEYS[key.toLowerCase()];
  const names = known.split(', ');
  const isSecret = fileKey !== undefined && names.includes(fileKey);
  const advice = isSecret
    ? `a secret is in a file of its own: write "${fileKey}"`
    : `${didYouMean(key, names)}known are ${known}`;
  return { path: [...path, key], isKey: true, what: 'unknown key', advice };
}

/** @param raw - the values of the file. */
export function findingsOf(issue: z.core.$ZodIssue, raw: unknown): Finding[] {
  const { path } = issue;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(path, key, issue.message));
    case 'invalid_type': {
      const value = valueAt(raw, path);
      if (value === undefined && path.length > 0) return [missing(path)];
      if (path.length === 0) return [NO_FILE];
      const keys = issue.expected === 'object' ? `: ${issue.message}` : '';
      const advice = `${KIND_ADVICE[issue.expected] ?? 'see docs/jobs.md'}${keys}`;
      const wanted = issue.expected === 'array' ? 'a list' : 'a group of keys';
      const kind = kindOf(value);
      return [{ path, what: kind === 'empty' ? 'is empty' : `is ${kind}, not ${wanted}`, advice }];
    }
    case 'too_small':
      return [{ path, what: 'is an empty list', advice: 'write an entry, or delete the key' }];
    case 'custom': {
      if (issue.message === MISSING) return [missing(path)];
      const advice: unknown = issue.params?.['advice'];
      const text = typeof advice === 'string' ? advice : 'see docs/jobs.md';
      return [{ path, what: issue.message, advice: text }];
    }
    default:
      return [{ path, what: issue.message, advice: 'see docs/jobs.md' }];
  }
}

/** Message of an issue for a value that is not there. */
export const MISSING = 'is missing';

/** All problems of a job file. The message has each on a line of its own, with its place. */
export class JobFileError extends UsageError {
  readonly problems: readonly JobFileProblem[];

  constructor(file: string, problems: readonly JobFileProblem[]) {
    super('USAGE_JOB_FILE', messageOf(file, problems), { hint: hintOf(problems) });
    this.problems = problems;
  }
}

export function problemAt({ line, column }: Position, finding: Finding): JobFileProblem {
  const { path, what, advice } = finding;
  return { line, column, key: keyText(path), what, advice };
}

/** `FILE:LINE:COLUMN: key: what is wrong`. */
export function problemText(file: string, { line, column, key, what }: JobFileProblem): string {
  return `${file}:${line}:${column}: ${key === '' ? what : `${key}: ${what}`}`;
}

function messageOf(file: string, problems: readonly JobFileProblem[]): string {
  const [first] = problems;
  if (first !== undefined && problems.length === 1) return problemText(file, first);
  const shown = problems.slice(0, MOST_SHOWN);
  const lines = shown.map((problem) => `${problemText(file, problem)}; ${problem.advice}`);
  const left = problems.length - shown.length;
  const more = left > 0 ? [`${left} more`] : [];
  return [`the job file has ${problems.length} problems`, ...lines, ...more].join('\n');
}

function hintOf(problems: readonly JobFileProblem[]): string {
  const [first] = problems;
  if (first !== undefined && problems.length === 1) return first.advice;
  return 'correct each; docs/jobs.md has all keys';
}

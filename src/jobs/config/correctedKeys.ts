/**
 * Checks a job file also below keys that are misspelled: what is in them is read as if the key
 * were right. So a wrong key hides no other problem, and no key counts as missing beside its
 * misspelling.
 */
import type { z } from 'zod';
import { nearestNames } from '../../core/nearestNames.ts';
import type { KeyPath } from './positions.ts';
import { type Finding, findingsOf, isSecretKey, unknownKey, valueAt } from './problems.ts';

type Group = Readonly<Record<string, unknown>>;

/** Groups are nested less deeply in a job file. Each round corrects one level. */
const MOST_ROUNDS = 8;

/** A misspelled key, where it was, and what it is read as. */
interface Correction {
  /** Path of the group, with corrected keys. */
  readonly path: KeyPath;
  readonly written: string;
  readonly meant: string;
  /** All keys of such a group, with a comma between them. */
  readonly known: string;
}

function isGroup(value: unknown): value is Group {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Unknown keys that can only mean one key, which is not there. */
function correctionsOf(issue: z.core.$ZodIssue, raw: unknown): Correction[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const { path, keys, message: known } = issue;
  const group = valueAt(raw, path);
  if (!isGroup(group)) return [];
  const taken = new Set(Object.keys(group));
  return keys.flatMap((written) => {
    if (isSecretKey(written)) return [];
    const [meant, other] = nearestNames(written, known.split(', '));
    if (meant === undefined || other !== undefined || taken.has(meant)) return [];
    taken.add(meant);
    return [{ path, written, meant, known }];
  });
}

/** A copy of `value` in which the keys of the group at `path` are corrected. */
function withKey(value: unknown, [first, ...rest]: KeyPath, change: Correction): unknown {
  if (first === undefined) {
    if (!isGroup(value)) return value;
    const { written, meant } = change;
    const entries = Object.entries(value);
    return Object.fromEntries(entries.map(([key, own]) => [key === written ? meant : key, own]));
  }
  if (Array.isArray(value)) {
    return value.map((own, index) => (index === first ? withKey(own, rest, change) : own));
  }
  if (!isGroup(value)) return value;
  const own = withKey(value[String(first)], rest, change);
  return { ...value, [String(first)]: own };
}

function isAt(path: KeyPath, { path: group, meant }: Correction): boolean {
  return path[group.length] === meant && group.every((part, index) => part === path[index]);
}

/** The path with the keys as they are written. */
function asWritten(path: KeyPath, corrections: readonly Correction[]): KeyPath {
  return path.map((part, index) => {
    const isHere = (one: Correction): boolean => one.path.length === index && isAt(path, one);
    return corrections.find(isHere)?.written ?? part;
  });
}

/**
 * All problems that a schema, and rules on the raw values, find in `raw`.
 *
 * @param rules - gets the values with corrected keys.
 */
export function findingsIn(
  schema: z.ZodType,
  raw: unknown,
  rules: (corrected: unknown) => readonly Finding[],
): Finding[] {
  const corrections: Correction[] = [];
  const findings: Finding[] = [];
  let corrected = raw;
  for (let round = 0; ; round++) {
    const issues = schema.safeParse(corrected).error?.issues ?? [];
    const found = round < MOST_ROUNDS ? issues.flatMap((one) => correctionsOf(one, corrected)) : [];
    if (found.length === 0) {
      findings.push(...issues.flatMap((issue) => findingsOf(issue, corrected)));
      break;
    }
    findings.push(...found.map(({ path, written, known }) => unknownKey(path, written, known)));
    corrections.push(...found);
    for (const one of found) corrected = withKey(corrected, one.path, one);
  }
  findings.push(...rules(corrected));
  return findings.map((one) => ({ ...one, path: asWritten(one.path, corrections) }));
}

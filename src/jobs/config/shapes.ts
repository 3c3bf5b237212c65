/**
 * Parts of the schema of a job file. Each problem is told with an advice (`params.advice`), and no
 * rule hides the problems that another one finds.
 */
import { z } from 'zod';
import { didYouMean } from '../../core/nearestNames.ts';
import { MISSING } from './problems.ts';
import { BadValue, kindOf, parseSizeBytes, shown } from './values.ts';

type Issues = z.core.$RefinementCtx;

function tell(context: Issues, what: string, advice: string): never {
  context.addIssue({ code: 'custom', message: what, params: { advice } });
  return z.NEVER;
}

/** Schema of a value that `convert` takes from its raw form. A missing value never reaches it. */
export function valueOf<T>(convert: (raw: unknown) => T): z.ZodType<T> {
  return z.unknown().transform((raw, context): T => {
    if (raw === undefined) return tell(context, MISSING, '');
    if (raw === null) return tell(context, 'is empty', 'give a value, or delete the line');
    try {
      return convert(raw);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      return tell(context, error.message, error.advice);
    }
  });
}

/** A text, read by `parse`. */
export function text<T = string>(parse?: (text: string) => T): z.ZodType<T> {
  return valueOf((raw) => {
    // The value is not shown: it may be a secret in the wrong place.
    if (typeof raw !== 'string') {
      throw new BadValue(`is ${kindOf(raw)}, not a text`, 'write a text; numbers need quotes');
    }
    if (raw.trim() === '') throw new BadValue('is empty', 'write a text');
    if (/\p{Cc}/u.test(raw)) throw new BadValue('has control characters', 'write one plain line');
    return parse === undefined ? (raw as T) : parse(raw);
  });
}

/** A number of bytes, plain or with a unit, within the range. */
export function size(leastBytes: number, range: string): z.ZodType<number> {
  return valueOf((raw) => {
    const isPlain = typeof raw === 'string' || typeof raw === 'number';
    const bytes = isPlain ? parseSizeBytes(String(raw)) : parseSizeBytes(shown(raw));
    if (bytes >= leastBytes) return bytes;
    throw new BadValue(`${shown(raw)} is too small`, `write ${range}`);
  });
}

export function count(least: number, most: number): z.ZodType<number> {
  return valueOf((raw) => {
    const isWhole = typeof raw === 'number' && Number.isInteger(raw);
    if (isWhole && raw >= least && raw <= most) return raw;
    const range = `a whole number from ${least} to ${most}`;
    throw new BadValue(`${shown(raw)} is not ${range}`, 'correct the number');
  });
}

/** A number with its unit in a text. */
export function withUnit<T>(parse: (text: string) => T): z.ZodType<T> {
  return valueOf((raw) => {
    if (typeof raw === 'string') return parse(raw.trim());
    return parse(typeof raw === 'number' ? String(raw) : shown(raw));
  });
}

export function flag(): z.ZodType<boolean> {
  return valueOf((raw) => {
    if (typeof raw === 'boolean') return raw;
    throw new BadValue(`${shown(raw)} is neither true nor false`, 'write true or false');
  });
}

/** One of a few words. */
export function choice<const Words extends readonly string[]>(
  words: Words,
): z.ZodType<Words[number]> {
  return valueOf((raw) => {
    const word = words.find((known) => known === raw);
    if (word !== undefined) return word;
    const hint = didYouMean(String(raw), words);
    throw new BadValue(`${shown(raw)} is not known`, `${hint}write ${words.join(', ')}`);
  });
}

/**
 * A group of keys. Unknown ones are problems. The message of such an issue holds the known keys,
 * with a comma between them. So does that of an issue about another kind of value.
 */
export function section<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: ({ code }) =>
      code === 'unrecognized_keys' || code === 'invalid_type' ? known : undefined,
  });
}

/** Groups by name, such as the jobs. references.ts checks the names, so none hides its group. */
export function named<Value extends z.core.$ZodType>(
  value: Value,
): z.ZodType<Readonly<Record<string, z.core.output<Value>>>> {
  return z.record(z.string(), value);
}

export function list<Value extends z.core.$ZodType>(value: Value): z.ZodArray<Value> {
  return z.array(value).min(1);
}

/** A list, or its only entry alone. */
export function oneOrMore<Value extends z.core.$ZodType>(
  value: Value,
): z.ZodType<readonly z.core.output<Value>[]> {
  return z.preprocess((raw: unknown) => (typeof raw === 'string' ? [raw] : raw), list(value));
}

/** Options of a rule over several keys, for `refine`. */
export interface Says {
  readonly error: string;
  readonly params: { readonly advice: string };
  path: string[];
  when(payload: z.core.ParsePayload): boolean;
}

/**
 * Options of a rule over several keys of a group. The rule is checked even when some of the keys
 * have problems of their own.
 *
 * @param key - the key that the message names; undefined for the group.
 */
export function says(key: string | undefined, what: string, advice: string): Says {
  return {
    error: what,
    params: { advice },
    path: key === undefined ? [] : [key],
    when: ({ value }) => kindOf(value) === 'a group of keys',
  };
}

/**
 * Reads request bodies: text to checked plain values.
 *
 * Rules (oVirt contract): numbers and booleans may come native or as strings. An unknown property,
 * an unknown enum value and a malformed UUID are answered with 400. Only this file, xml.ts and
 * bodyTypes.ts know the format of a body.
 */
import { z } from 'zod';
import type { RefBody } from '../../state/bodies.ts';
import { EngineFault } from '../../state/refusals.ts';
import { readXml } from './xml.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export const uuid: z.ZodType<string> = z.string().regex(UUID).toLowerCase();

export const integer: z.ZodType<number> = z
  .union([z.number(), z.string().regex(/^-?\d+$/)])
  .transform(Number)
  .pipe(z.number().int());

export const flag: z.ZodType<boolean> = z.union([
  z.boolean(),
  z.enum(['true', 'false']).transform((text) => text === 'true'),
]);

export const ref: z.ZodType<RefBody> = z
  .strictObject({ id: uuid, name: z.string(), href: z.string(), description: z.string() })
  .partial();

/**
 * A pointer given as a whole entity: clients pass on what they have read. Fields other than id and
 * name are not checked.
 */
export const entityRef: z.ZodType<RefBody> = z.object({ id: uuid, name: z.string() }).partial();

/** Properties that the API knows and the lab does not use. */
export function ignored<Name extends string>(
  ...names: readonly Name[]
): Record<Name, z.ZodOptional<z.ZodUnknown>> {
  const fields = names.map((name) => [name, z.unknown().optional()] as const);
  return Object.fromEntries(fields) as Record<Name, z.ZodOptional<z.ZodUnknown>>;
}

/**
 * A nested collection such as `{"disk":[…]}`. One member without the array, and an empty object,
 * are accepted too.
 */
export function listOf<Item>(
  name: string,
  item: z.ZodType<Item>,
): z.ZodType<readonly Item[] | undefined> {
  const members = z.union([z.array(item), item.transform((only) => [only])]);
  return z
    .strictObject({ [name]: members.optional() })
    .transform((record) => record[name] ?? [])
    .optional();
}

function usageFault(what: string): EngineFault {
  return new EngineFault(400, 'Request syntactically incorrect.', what);
}

export type BodyFormat = 'JSON' | 'XML';

function parseTree(text: string, format: BodyFormat): unknown {
  if (text.trim() === '') return {};
  try {
    return format === 'XML' ? readXml(text) : (JSON.parse(text) as unknown);
  } catch {
    throw usageFault(`The body is not valid ${format}.`);
  }
}

/** Reads a body of one type. @throws {@link EngineFault} 400 */
export function readBody<Body>(
  text: string,
  type: z.ZodType<Body>,
  format: BodyFormat = 'JSON',
): Body {
  const result = type.safeParse(parseTree(text, format));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw usageFault(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

/**
 * Values in the engine's JSON. Numbers and booleans may be strings, dates are milliseconds since
 * 1970 or ISO text, and empty collections are `{}`.
 *
 * @see ovirt-engine CustomObjectMapperFactory
 */
import { z } from 'zod';

/** Ids become parts of request paths, so no other characters are accepted. */
export const id: z.ZodType<string> = z.string().regex(/^[0-9A-Za-z_-]{1,100}$/);
export const text: z.ZodType<string> = z.string();

export const wholeNumber: z.ZodType<number> = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^-?\d+$/)
      .transform(Number),
  ])
  .pipe(z.number().int());
/** A whole number, at least 0. */
export const count: z.ZodType<number> = wholeNumber.pipe(z.number().nonnegative());
export const flag: z.ZodType<boolean> = z.union([
  z.boolean(),
  z
    .string()
    .transform((value) => value.toLowerCase())
    .pipe(z.enum(['true', 'false']))
    .transform((value) => value === 'true'),
]);
export const dateMs: z.ZodType<number> = z.union([
  wholeNumber,
  z.string().transform((value) => Date.parse(value)),
]);
/** A link to an entity; gives its id. */
export const reference: z.ZodType<string> = z.object({ id }).transform((entity) => entity.id);

/** A collection: `{"<item>": […]}`, `{}` when empty. Some answers hold one object, not a list. */
export function listOf<T>(item: string, schema: z.ZodType<T>): z.ZodType<T[]> {
  return z
    .record(z.string(), z.unknown())
    .transform((object) => object[item] ?? [])
    .transform((found) => (Array.isArray(found) ? found : [found]))
    .pipe(z.array(schema)) as unknown as z.ZodType<T[]>;
}

/**
 * Compiled, never run: a schema of the console has exactly the fields of its type. A line that is
 * marked as an error and compiles is an error of the type check.
 */
import { z } from 'zod';
import { schemaOf } from '../../src/console/api/schemas.ts';

interface Row {
  readonly name: string;
  readonly sizeBytes?: number | undefined;
  readonly disks: readonly { readonly alias: string; readonly isFull?: boolean | undefined }[];
}

const name = z.string();
const disk = z.strictObject({ alias: name, isFull: z.boolean().optional() });
const disks = z.array(disk).readonly();
const sizeBytes = z.number().optional();

export const schemas: readonly z.ZodType<Row>[] = [
  schemaOf<Row>('Row')(z.strictObject({ name, sizeBytes, disks })),
  // @ts-expect-error -- an optional field is missing
  schemaOf<Row>('Row')(z.strictObject({ name, disks })),
  // @ts-expect-error -- a field is too many
  schemaOf<Row>('Row')(z.strictObject({ name, sizeBytes, disks, other: name.optional() })),
  // @ts-expect-error -- an optional field inside is missing
  schemaOf<Row>('Row')(
    z.strictObject({ name, sizeBytes, disks: z.array(disk.omit({ isFull: true })).readonly() }),
  ),
  // @ts-expect-error -- a field has another type
  schemaOf<Row>('Row')(z.strictObject({ name: z.number(), sizeBytes, disks })),
];

type Choice = { readonly type: 'a'; readonly a: string } | { readonly type: 'b' };

const a = z.strictObject({ type: z.literal('a'), a: name });
const b = z.strictObject({ type: z.literal('b') });

export const choices: readonly z.ZodType<Choice>[] = [
  schemaOf<Choice>('Choice')(z.discriminatedUnion('type', [a, b])),
  // @ts-expect-error -- a case is missing
  schemaOf<Choice>('Choice')(z.discriminatedUnion('type', [a])),
  // @ts-expect-error -- a case is too many
  schemaOf<Choice>('Choice')(z.union([a, b, z.strictObject({ type: z.literal('c') })])),
];

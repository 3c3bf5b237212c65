/**
 * Changes inputs: raw bytes, texts, JSON trees, XML attributes. All changes follow from the random
 * source.
 */
import type { Random } from '../helpers/bytes/random.ts';

/** Longest input. Longer ones cost time and find nothing new. */
export const MAX_INPUT_BYTES: number = 2 * 1024 * 1024;

/** Numbers at which counts, offsets and lengths often go wrong. */
const NUMBERS = [
  0n,
  1n,
  2n,
  3n,
  31n,
  255n,
  4095n,
  4096n,
  65_535n,
  2n ** 20n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
] as const;

const TEXTS = [
  '',
  ' ',
  '..',
  '../../etc/passwd',
  '/etc/passwd',
  'a\0b',
  '\u202e',
  '\ud800',
  '__proto__',
  'constructor',
  'null',
  'NaN',
  '-1',
  '1e400',
  '9007199254740993',
  '00000000-0000-0000-0000-000000000000',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;&#x0;&amp;',
  ']]>',
  '{"a":1}',
  '%2e%2e%2f',
  'x'.repeat(300),
] as const;

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

export function interestingNumber(random: Random): bigint {
  const number = pick(random, NUMBERS);
  return random.below(3) === 0 ? BigInt(random.below(5000)) : number;
}

function interestingText(random: Random): string {
  if (random.below(12) === 0) return pick(random, ['name ', 'a', '[', '\n', '{"']).repeat(20_000);
  return random.below(4) === 0 ? String(interestingNumber(random)) : pick(random, TEXTS);
}

/**
 * Flips, sets, removes, doubles, inserts or moves bytes. The result has little more than twice the
 * length.
 */
export function mutateBytes(random: Random, input: Buffer): Buffer {
  if (input.length === 0) return random.bytes(1 + random.below(40));
  const bytes = Buffer.from(input);
  const at = random.below(bytes.length);
  const length = 1 + random.below(Math.min(64, bytes.length - at));
  switch (random.below(7)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      return bytes.fill(random.below(256), at, at + length);
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 5:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(length), bytes.subarray(at)]);
    default:
      if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(interestingNumber(random), at);
      return bytes;
  }
}

function mutateText(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  const length = random.below(20);
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at) + interestingText(random) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return (
        text.slice(0, at) +
        text.slice(at, at + length).repeat(1 + random.below(50)) +
        text.slice(at)
      );
    default:
      return text.slice(0, at);
  }
}

/** Changes values of attributes, elements or plain text of an XML document. */
export function mutateXml(random: Random, input: Buffer): Buffer {
  const text = input.toString('utf8');
  const attributes = Array.from(text.matchAll(/ (\w+)="([^"]*)"/g));
  const elements = Array.from(text.matchAll(/<[^>]+>/g));
  const [attribute, element] = [pick(random, attributes), pick(random, elements)];
  switch (random.below(6)) {
    case 0:
    case 1: {
      if (!attribute) return mutateBytes(random, input);
      const value = escapeSome(random, interestingText(random));
      return replaceAt(text, attribute, ` ${attribute[1]}="${value}"`);
    }
    case 2:
      return attribute ? replaceAt(text, attribute, '') : mutateBytes(random, input);
    case 3:
      return element
        ? replaceAt(
            text,
            element,
            element[0].repeat(random.below(4) === 0 ? manyOf(element[0]) : random.below(3)),
          )
        : mutateBytes(random, input);
    case 4:
      return Buffer.from(mutateText(random, text));
    default:
      return mutateBytes(random, input);
  }
}

/** How often to repeat a part to make it long. A part that is long already is repeated less. */
function manyOf(part: string): number {
  return Math.min(2000, Math.ceil(MAX_INPUT_BYTES / part.length));
}

function escapeSome(random: Random, text: string): string {
  if (random.below(4) === 0) return text;
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function replaceAt(text: string, found: RegExpMatchArray, by: string): Buffer {
  const at = found.index ?? 0;
  return Buffer.from(text.slice(0, at) + by + text.slice(at + found[0].length));
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function interestingJson(random: Random): Json {
  switch (random.below(7)) {
    case 0:
      return null;
    case 1:
      return Number(interestingNumber(random)) * pick(random, [1, -1, 0.5]);
    case 2:
      return random.below(2) === 0;
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return nested(1 + random.below(200));
    default:
      return interestingText(random);
  }
}

function nested(depth: number): Json {
  let value: Json = {};
  for (let k = 0; k < depth; k++) value = k % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Replaces, removes, doubles or adds one value somewhere in the tree. */
function mutateTree(random: Random, value: Json, chance = 3): Json {
  const isLeaf = typeof value !== 'object' || value === null;
  if (isLeaf || random.below(chance) === 0) return interestingJson(random);
  if (Array.isArray(value)) {
    if (value.length === 0 || random.below(4) === 0) {
      return Array.from({ length: random.below(40) }, () => value[0] ?? interestingJson(random));
    }
    const at = random.below(value.length);
    return value.with(at, mutateTree(random, value[at] ?? null));
  }
  const keys = Object.keys(value);
  const key = keys.length === 0 || random.below(8) === 0 ? pick(random, TEXTS) : pick(random, keys);
  const { [key]: old = null, ...rest } = value;
  if (random.below(5) === 0) return rest;
  return { ...rest, [key]: mutateTree(random, old) };
}

/** One JSON document, changed as a tree or as text. */
export function mutateJson(random: Random, input: Buffer): Buffer {
  if (random.below(4) === 0) return mutateBytes(random, input);
  if (random.below(6) === 0) return Buffer.from(mutateText(random, input.toString('utf8')));
  try {
    return Buffer.from(
      JSON.stringify(mutateTree(random, JSON.parse(input.toString('utf8')) as Json)),
    );
  } catch {
    return mutateBytes(random, input);
  }
}

/** JSON lines: changes, moves, doubles or removes one of them. */
export function mutateLines(random: Random, input: Buffer): Buffer {
  const lines = input.toString('utf8').split('\n');
  const at = random.below(lines.length);
  const line = lines[at] ?? '';
  const changed = [
    [mutateJson(random, Buffer.from(line)).toString('utf8')],
    [],
    [line, line],
    [line, pick(random, lines)],
  ];
  lines.splice(at, 1, ...pick(random, changed));
  return Buffer.from(lines.join('\n'));
}

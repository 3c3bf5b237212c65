/** Property dictionaries of items: typed lists of names and values. Layout: docs/format-vbk.md. */
import { FormatError } from '../../core/errors.ts';

export type PropertyType = 'UInt32' | 'UInt64' | 'AString' | 'WString' | 'Binary' | 'Boolean';

/** One property. UInt64 values are bigint, Binary values Uint8Array. */
export type Property =
  | { readonly name: string; readonly type: 'UInt32'; readonly value: number }
  | { readonly name: string; readonly type: 'UInt64'; readonly value: bigint }
  | { readonly name: string; readonly type: 'AString' | 'WString'; readonly value: string }
  | { readonly name: string; readonly type: 'Binary'; readonly value: Uint8Array }
  | { readonly name: string; readonly type: 'Boolean'; readonly value: boolean };

const TYPE_NUMBERS: Readonly<Record<PropertyType, number>> = {
  UInt32: 1,
  UInt64: 2,
  AString: 3,
  WString: 4,
  Binary: 5,
  Boolean: 6,
};
const END_MARK = -1;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function withLength(bytes: Uint8Array): Buffer {
  return Buffer.concat([u32(bytes.length), bytes]);
}

function encodeValue(property: Property): Buffer {
  switch (property.type) {
    case 'UInt32':
      return u32(property.value);
    case 'UInt64': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(property.value);
      return bytes;
    }
    case 'AString':
      return withLength(Buffer.from(property.value, 'utf8'));
    case 'WString':
      return withLength(Buffer.from(property.value, 'utf16le'));
    case 'Binary':
      return withLength(property.value);
    case 'Boolean':
      return u32(property.value ? 1 : 0);
  }
}

export function encodeProperties(properties: readonly Property[]): Buffer {
  const parts = properties.flatMap((property) => [
    u32(TYPE_NUMBERS[property.type]),
    withLength(Buffer.from(property.name, 'utf8')),
    encodeValue(property),
  ]);
  const end = Buffer.alloc(4);
  end.writeInt32LE(END_MARK);
  return Buffer.concat([...parts, end]);
}

/** Reads values one after the other and never past the end of the bytes. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(lengthBytes: number): Buffer {
    if (lengthBytes > this.#bytes.length - this.#at) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        'property dictionary: a value ends beyond the dictionary',
      );
    }
    this.#at += lengthBytes;
    return this.#bytes.subarray(this.#at - lengthBytes, this.#at);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  counted(): Buffer {
    return this.take(this.u32());
  }
}

function decodeValue(typeNumber: number, name: string, cursor: Cursor): Property {
  switch (typeNumber) {
    case 1:
      return { name, type: 'UInt32', value: cursor.u32() };
    case 2:
      return { name, type: 'UInt64', value: cursor.take(8).readBigUInt64LE() };
    case 3:
      return { name, type: 'AString', value: cursor.counted().toString('utf8') };
    case 4:
      return { name, type: 'WString', value: cursor.counted().toString('utf16le') };
    case 5:
      return { name, type: 'Binary', value: Uint8Array.from(cursor.counted()) };
    case 6:
      return { name, type: 'Boolean', value: cursor.u32() !== 0 };
    default:
      throw new FormatError('FORMAT_STRUCTURE', `property ${name}: unknown type ${typeNumber}`);
  }
}

/** @throws {@link FormatError} `FORMAT_BOUNDS`, `FORMAT_STRUCTURE` */
export function decodeProperties(bytes: Buffer): Property[] {
  const cursor = new Cursor(bytes);
  const properties: Property[] = [];
  for (;;) {
    const typeNumber = cursor.take(4).readInt32LE();
    if (typeNumber === END_MARK) break;
    properties.push(decodeValue(typeNumber, cursor.counted().toString('utf8'), cursor));
  }
  if (!cursor.isAtEnd) {
    throw new FormatError('FORMAT_STRUCTURE', 'property dictionary: bytes after its end mark');
  }
  return properties;
}

/** Text of the property `name`; undefined when it is absent or not a text. */
export function textProperty(
  properties: readonly Property[] | undefined,
  name: string,
): string | undefined {
  const found = properties?.find((property) => property.name === name);
  return typeof found?.value === 'string' ? found.value : undefined;
}

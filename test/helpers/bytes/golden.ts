/** The golden vectors of fixtures/golden: see fixtures/PROVENANCE.md. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { ItemKind } from '../../../src/container/format/items.ts';
import type { Property, PropertyType } from '../../../src/container/format/properties.ts';

const FOLDER_URL = new URL('../../../fixtures/golden/', import.meta.url);

export interface GoldenItem {
  readonly path: string;
  readonly type: 'SubFolder' | 'IntFib' | 'Increment';
  readonly size?: number;
  readonly sha256?: string;
  readonly blocks?: number;
  readonly properties: readonly GoldenProperty[] | null;
  readonly changed_blocks?: readonly { readonly index: number; readonly sparse: boolean }[];
  readonly probes?: readonly {
    readonly offset: number;
    readonly length: number;
    readonly sha256: string;
  }[];
}

interface GoldenProperty {
  readonly name: string;
  readonly type: PropertyType;
  readonly value: string | number | boolean;
}

export interface GoldenVector {
  readonly file: string;
  readonly gzip: boolean;
  readonly container_sha256: string;
  readonly slot_format: number;
  readonly block_size: number;
  readonly cluster_align: number;
  readonly items: readonly GoldenItem[];
  readonly active_slot?: number;
  readonly active_version?: number;
}

interface GoldenDocument {
  readonly vectors: readonly GoldenVector[];
  readonly chain: {
    readonly files: readonly string[];
    readonly points: readonly {
      readonly file: string;
      readonly disk: string;
      readonly size: number;
      readonly sha256: string;
    }[];
  };
}

export const GOLDEN: GoldenDocument = JSON.parse(
  readFileSync(new URL('golden.json', FOLDER_URL), 'utf8'),
) as GoldenDocument;

/** The container bytes of a vector, expanded. */
export function goldenBytes(file: string): Buffer {
  const bytes = readFileSync(new URL(file, FOLDER_URL));
  return file.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

export const GOLDEN_KINDS: Readonly<Record<GoldenItem['type'], ItemKind>> = {
  SubFolder: 'folder',
  IntFib: 'file',
  Increment: 'increment',
};

/** A property of golden.json in the form that the reader gives. */
export function goldenProperty({ name, type, value }: GoldenProperty): Property {
  if (type === 'UInt64') return { name, type, value: BigInt(String(value)) };
  if (type === 'Binary') {
    return { name, type, value: Uint8Array.from(Buffer.from(String(value), 'hex')) };
  }
  return { name, type, value } as Property;
}

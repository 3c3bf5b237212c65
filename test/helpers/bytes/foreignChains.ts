/** Chains of containers as others write them, with known contents. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { rootFolder } from '../folders.ts';
import { wordText } from './random.ts';
import {
  type ForeignBlock,
  type ForeignItem,
  type ForeignMethod,
  type ForeignSpec,
  foreignSummary,
  textItem,
  writeForeign,
} from './foreignWriter.ts';

export const FOREIGN_BLOCK_BYTES = 4096;
export const DISK_NAME = '8b14f74c-360d-4d7a-98f7-7f4c5e737eb7';
export const MACHINE_FOLDER = '6745a759-2205-4cd2-b172-8ec8f7e60ef8 (host)';
export const MACHINE_NAME = 'web server';
/** The last block of the disk is short. */
export const DISK_BYTES = 7 * FOREIGN_BLOCK_BYTES + 1000;

const FRAMES = 'fixtures/foreign/zstd';
/** Seeds of the blocks for which there is a zstd frame. */
export const FRAME_SEEDS: readonly number[] = [1, 2, 3, 4, 5, 6];

/**
 * A zstd frame that the command line tool made of `wordText(seed, …)`; see fixtures/PROVENANCE.md.
 */
export function zstdFrame(seed: number): Buffer {
  return readFileSync(path.join(rootFolder(), FRAMES, `${seed}.zst`));
}

/** Plain bytes of the block of a seed. That of seed 6 is short. */
export function plainOf(seed: number): Buffer {
  return wordText(seed, seed === 6 ? 1000 : FOREIGN_BLOCK_BYTES);
}

/** A block of a seed, stored by a method. */
export function blockOf(seed: number, method: ForeignMethod): ForeignBlock {
  const isZstd = method === 'zstd' || method === 'zstdHigh';
  return { plain: plainOf(seed), method, stored: isZstd ? zstdFrame(seed) : undefined };
}

/** By index of the block: the seed; null for zeros. */
type Layout = ReadonlyMap<number, number | null>;

const FULL: Layout = new Map([
  [0, 1],
  [1, 2],
  [3, 3],
  [7, 6],
]);
const CHANGES: readonly Layout[] = [
  new Map([
    [1, 4],
    [3, null],
  ]),
  new Map([
    [0, 5],
    [3, 1],
    [7, null],
  ]),
];

/** The disk after the full and `increments` more files. */
export function diskAfter(increments: number): Buffer {
  const disk = Buffer.alloc(DISK_BYTES);
  for (const layout of [FULL, ...CHANGES.slice(0, increments)]) {
    for (const [index, seed] of layout) {
      const at = index * FOREIGN_BLOCK_BYTES;
      disk.fill(0, at, Math.min(DISK_BYTES, at + FOREIGN_BLOCK_BYTES));
      if (seed !== null) plainOf(seed).copy(disk, at);
    }
  }
  return disk;
}

export function diskItem(
  layout: Layout,
  kind: ForeignItem['kind'],
  method: ForeignMethod,
  name: string = DISK_NAME,
): ForeignItem {
  const blocks = new Map(
    [...layout].map(([index, seed]) => [index, seed === null ? null : blockOf(seed, method)]),
  );
  return { name, kind, sizeBytes: DISK_BYTES, blocks };
}

/** A GUID that ends with `digits`. */
export function id(digits: number): string {
  return `00000000-0000-4000-8000-${String(digits).padStart(12, '0')}`;
}

export interface ChainOptions extends Partial<Omit<ForeignSpec, 'folders'>> {
  readonly method?: ForeignMethod;
  /** What the summaries tell. @defaultValue everything */
  readonly tells?: 'everything' | 'nothing' | undefined;
  /** Names of a second machine, which is new in the first increment. */
  readonly second?: string | undefined;
}

function folderFiles(at: number, options: ChainOptions): ForeignSpec['folders'] {
  const { method = 'zlib', tells = 'everything', second } = options;
  const layout = at === 0 ? FULL : (CHANGES[at - 1] as Layout);
  const folder = (name: string, machine: number, disk: ForeignItem, isFirst: boolean) => {
    const facts = {
      folder: name,
      name: machine === 0 ? MACHINE_NAME : name,
      id: id(100 * (machine + 1) + at),
      linkId: isFirst ? undefined : id(100 * (machine + 1) + at - 1),
      objectId: id(1000 + machine),
    };
    const xml = foreignSummary({
      storage: { id: id(at + 1), linkId: at === 0 ? undefined : id(at) },
      machines: [facts],
      files: [disk.name, 'GuestMembers.xml'],
    });
    const summary = tells === 'everything' ? [textItem('summary.xml', xml)] : [];
    return { name, items: [...summary, textItem('GuestMembers.xml', '<x />'), disk] };
  };
  const own = diskItem(layout, at === 0 ? 'file' : 'increment', method);
  const folders = [folder(MACHINE_FOLDER, 0, own, at === 0)];
  if (second === undefined || at === 0) return folders;
  const other = diskItem(
    at === 1 ? FULL : (CHANGES[0] as Layout),
    at === 1 ? 'file' : 'increment',
    method,
  );
  return [...folders, folder(second, 1, other, at === 1)];
}

/** A full and two increments. */
export function foreignChain(options: ChainOptions = {}): Buffer[] {
  const { method: _method, tells: _tells, second: _second, ...spec } = options;
  return [0, 1, 2].map((at) =>
    writeForeign({
      blockSizeBytes: FOREIGN_BLOCK_BYTES,
      ...spec,
      folders: folderFiles(at, options),
    }),
  );
}

/** One full file whose disk has one block. */
export function fileWithBlock(block: ForeignBlock, spec: Partial<ForeignSpec> = {}): Buffer {
  const blocks = new Map([[0, block]]);
  const sizeBytes = block.plain.length;
  const disk = { name: DISK_NAME, kind: 'file', sizeBytes, blocks } as const;
  const folders = [{ name: MACHINE_FOLDER, items: [disk] }];
  return writeForeign({ blockSizeBytes: FOREIGN_BLOCK_BYTES, ...spec, folders });
}

/**
 * Small containers and metadata pages, made by the product's writer and read back by its reader.
 */
import { MetadataWriter } from '../../../src/container/write/metadataWriter.ts';
import { PAGE_BYTES } from '../../../src/container/format/layout.ts';
import { PageReader } from '../../../src/container/read/pageReader.ts';
import type { BankDescriptor } from '../../../src/container/format/snapshotSlots.ts';
import { FileMap, PatchList } from '../../../src/container/write/blockMaps.ts';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import {
  ContainerWriter,
  type FolderHandle,
} from '../../../src/container/write/containerWriter.ts';
import type { ContainerItem } from '../../../src/container/format/items.ts';
import type { Property } from '../../../src/container/format/properties.ts';
import { ZERO_BLOCK_ID } from '../../../src/container/format/records.ts';
import type { Storage } from '../../../src/store/storage.ts';
import { blockCountOf } from '../../../src/core/units.ts';
import type { PackedBlock } from '../../../src/flow/records.ts';
import { type BlockCodecs, createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { createSlab, type Slab } from '../../../src/flow/slab.ts';
import { sha256 } from './images.ts';
import { MemoryStorage } from './memoryStorage.ts';

export const FOLDER = '6a0f0f7e-0000-4000-8000-00000000000a (6a0f0f7e-0000-4000-8000-00000000000b)';

/** A disk or file: plain bytes by block index. Blocks of zeros are recorded, not stored. */
export interface DiskSpec {
  readonly name: string;
  readonly kind: 'file' | 'increment';
  readonly sizeBytes: number;
  readonly blocks: ReadonlyMap<number, Buffer>;
  readonly properties?: readonly Property[];
}

export interface ContainerSpec {
  readonly blockSizeBytes: number;
  readonly slotFormat?: number;
  readonly folderProperties?: readonly Property[];
  readonly disks: readonly DiskSpec[];
}

/** A full file with this content. */
export function fileOf(name: string, content: Buffer, blockSizeBytes: number): DiskSpec {
  const blocks = new Map<number, Buffer>();
  for (let index = 0; index < blockCountOf(content.length, blockSizeBytes); index++) {
    const at = index * blockSizeBytes;
    blocks.set(index, content.subarray(at, at + blockSizeBytes));
  }
  return { name, kind: 'file', sizeBytes: content.length, blocks };
}

/** An increment of these blocks. */
export function incrementOf(
  name: string,
  sizeBytes: number,
  blocks: readonly (readonly [number, Buffer])[],
): DiskSpec {
  return { name, kind: 'increment', sizeBytes, blocks: new Map(blocks) };
}

export interface Packer {
  readonly slab: Slab;
  readonly codecs: BlockCodecs;
  pack(index: number, plain: Buffer): Promise<PackedBlock>;
}

/** Makes packed blocks for the sink without a pipeline. */
export async function createPacker(blockSizeBytes: number): Promise<Packer> {
  const slab = createSlab({ blockSizeBytes, slabBytes: 4 * blockSizeBytes });
  const lease = slab.lease('pack');
  const codecs = await createBlockCodecs();
  const pack = async (index: number, plain: Buffer): Promise<PackedBlock> => {
    const [raw, packed] = [await lease.acquireRaw(), await lease.acquirePacked()];
    plain.copy(raw.bytes);
    const lengthBytes = plain.length;
    const digest = codecs.digest(plain);
    const fingerprint = codecs.fingerprint(plain);
    const form = codecs.pack(raw.bytes, lengthBytes, packed.bytes);
    const [slot, unused] = form.codec === 'lz4' ? [packed, raw] : [raw, packed];
    unused.release();
    const place = { diskId: 'disk', index, offsetBytes: index * blockSizeBytes, lengthBytes };
    return { kind: 'packed', ...place, slot, ...form, fingerprint, digest };
  };
  return { slab, codecs, pack };
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

export async function addDisk(
  writer: ContainerWriter,
  folder: FolderHandle,
  packer: Packer,
  disk: DiskSpec,
): Promise<void> {
  const { name, sizeBytes, properties } = disk;
  const common = { name, sizeBytes, ...(properties && { properties }) };
  const [map, patches] = [new FileMap(), new PatchList()];
  const target = disk.kind === 'file' ? map : patches;
  for (const [index, plain] of disk.blocks) {
    if (isZero(plain)) target.setZero(index, 1);
    else target.set(index, writer.append(await packer.pack(index, plain)).blockId);
  }
  if (disk.kind === 'file') writer.addFile(folder, { ...common, map });
  else writer.addIncrement(folder, { ...common, patches });
}

/** Writes and commits one container with one folder. */
export async function writeContainer(
  spec: ContainerSpec,
  storage: MemoryStorage = new MemoryStorage(),
): Promise<MemoryStorage> {
  const { blockSizeBytes, slotFormat = 0, folderProperties = [], disks } = spec;
  const writer = await ContainerWriter.create(storage, { blockSizeBytes, slotFormat });
  const packer = await createPacker(blockSizeBytes);
  const folder = writer.addFolder(FOLDER, folderProperties);
  for (const disk of disks) await addDisk(writer, folder, packer, disk);
  await writer.commit();
  return storage;
}

export async function openBytes(content: Uint8Array): Promise<ContainerReader> {
  return await ContainerReader.open(new MemoryStorage(content));
}

export async function itemAt(reader: ContainerReader, path: string): Promise<ContainerItem> {
  const found = (await reader.items()).find((item) => item.path === path);
  if (!found) throw new Error(`no item ${path}`);
  return found;
}

/** Every block of an item by index, read and checked. A block of zeros is `zero`. */
export async function readBlocks(
  reader: ContainerReader,
  item: ContainerItem,
  codecs: BlockCodecs,
): Promise<Map<number, Buffer | 'zero'>> {
  const blocks = new Map<number, Buffer | 'zero'>();
  for await (const reference of reader.references(item)) {
    const isStored = reference.blockId !== ZERO_BLOCK_ID;
    blocks.set(reference.index, isStored ? await reader.readBlock(reference, codecs) : 'zero');
  }
  return blocks;
}

/** Bytes `[offsetBytes, offsetBytes + lengthBytes)` of a file, block by block through its map. */
export async function readRange(
  reader: ContainerReader,
  item: ContainerItem,
  range: { readonly offsetBytes: number; readonly lengthBytes: number },
): Promise<Buffer> {
  const codecs = await createBlockCodecs();
  const { blockSizeBytes } = reader;
  const first = Math.floor(range.offsetBytes / blockSizeBytes);
  const end = blockCountOf(range.offsetBytes + range.lengthBytes, blockSizeBytes);
  const parts: Buffer[] = [];
  for (let index = first; index < end; index++) {
    const reference = await reader.fileBlock(item, index);
    const isStored = reference.blockId !== ZERO_BLOCK_ID;
    parts.push(
      isStored ? await reader.readBlock(reference, codecs) : Buffer.alloc(reference.lengthBytes),
    );
  }
  const skipBytes = range.offsetBytes - first * blockSizeBytes;
  return Buffer.concat(parts).subarray(skipBytes, skipBytes + range.lengthBytes);
}

/** Blocks as short lines: index and SHA-256, or `zero`. */
export function hashesOf(blocks: ReadonlyMap<number, Buffer | 'zero'>): string[] {
  return Array.from(blocks, ([index, bytes]) =>
    bytes === 'zero' ? `${index}:zero` : `${index}:${sha256(bytes)}`,
  );
}

/** Items, properties and blocks of a container, one line an item. Reads every block. */
export async function contentsOf(storage: Storage): Promise<string[]> {
  const reader = await ContainerReader.open(storage);
  const codecs = await createBlockCodecs();
  const lines: string[] = [];
  for (const item of await reader.items()) {
    const blocks = item.kind === 'folder' ? new Map() : await readBlocks(reader, item, codecs);
    const properties = item.properties?.map(({ name, value }) => `${name}=${String(value)}`);
    lines.push(
      [item.path, item.kind, item.record.sizeBytes, properties, ...hashesOf(blocks)].join(' '),
    );
  }
  return lines;
}

export const METADATA_START = 8 * PAGE_BYTES;

export interface WrittenMetadata<T> {
  readonly result: T;
  readonly storage: MemoryStorage;
  readonly banks: readonly BankDescriptor[];
  readonly pages: PageReader;
  readonly endBytes: number;
}

/** Writes metadata by `work`, finishes the banks and opens their pages. */
export async function writeMetadata<T>(
  work: (writer: MetadataWriter) => Promise<T>,
  options: { readonly maxBanks?: number; readonly reservedPages?: number } = {},
): Promise<WrittenMetadata<T>> {
  const { maxBanks = 248, reservedPages = 0 } = options;
  const storage = new MemoryStorage();
  const writer = new MetadataWriter(storage, METADATA_START, maxBanks, reservedPages);
  const result = await work(writer);
  const { banks, endBytes } = await writer.finish();
  const open = banks.map(({ offsetBytes }) => {
    const head = storage.content.subarray(offsetBytes, offsetBytes + PAGE_BYTES);
    const pageCount = head.readUInt16LE(0);
    return { offsetBytes, pageCount, pageMap: head.subarray(4, 4 + pageCount) };
  });
  return { result, storage, banks, pages: new PageReader(storage, open), endBytes };
}

/** A reader of these pages, in one bank without a limit of pages. */
export function pagesOf(images: readonly Buffer[]): PageReader {
  const storage = new MemoryStorage(Buffer.concat([Buffer.alloc(PAGE_BYTES), ...images]));
  const pageCount = images.length;
  return new PageReader(storage, [{ offsetBytes: 0, pageCount, pageMap: Buffer.alloc(pageCount) }]);
}

/**
 * Writes containers as others do: compressions, versions and kinds of items that the product only
 * reads. It follows docs/format-vbk.md and shares no code with the product's writer. One bank, one
 * snapshot, so it is for small contents.
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { crc32, crc32c } from '@node-rs/crc32';
import { encodeProperties, type Property } from '../../../src/container/format/properties.ts';
import { loadLz4 } from '../../../src/compute/lz4Binding.ts';

const PAGE = 4096;
const NONE = 0xffff_ffff_ffff_ffffn;
const ITEM_TYPES = { folder: 1, external: 2, file: 3, patch: 4, increment: 5 } as const;
const METHODS = { plain: -1, rle: 2, zlib: 3, zlibLow: 4, lz4: 7, zstd: 8, zstdHigh: 9 } as const;

export type ForeignMethod = keyof typeof METHODS | number;

/** A block: its plain bytes, and the stored ones where the writer does not make them. */
export interface ForeignBlock {
  readonly plain: Buffer;
  readonly method?: ForeignMethod | undefined;
  /** Stored bytes. Needed for zstd and for methods that nobody knows. */
  readonly stored?: Buffer | undefined;
  /** Marks the block as encrypted: in the store, or only in the map. */
  readonly keyIn?: 'store' | 'map' | undefined;
  /** Type of the map entry. @defaultValue 0 */
  readonly type?: number | undefined;
}

export interface ForeignItem {
  readonly name: string;
  readonly kind: Exclude<keyof typeof ITEM_TYPES, 'folder'>;
  readonly sizeBytes: number;
  /** By index. Null is a sparse block. Blocks of a file that are not named are sparse. */
  readonly blocks: ReadonlyMap<number, ForeignBlock | null>;
  readonly properties?: readonly Property[] | undefined;
}

export interface ForeignFolder {
  readonly name: string;
  readonly items: readonly ForeignItem[];
  readonly properties?: readonly Property[] | undefined;
}

export interface ForeignSpec {
  /** @defaultValue 13 */
  readonly version?: number;
  readonly blockSizeBytes: number;
  /** Format 0 has room for 248 banks, and slots with a checksum of zlib. @defaultValue 9 */
  readonly slotFormat?: 0 | 9;
  /** @defaultValue 3 */
  readonly clusterAlign?: number;
  readonly folders: readonly ForeignFolder[];
  /** Room for banks of versions before 12. @defaultValue 2976 */
  readonly maxBanks?: number;
  /** Marks the bank as encrypted. */
  readonly isBankEncrypted?: boolean;
  /** Checksums of zlib's polynomial. */
  readonly hasOldChecksums?: boolean;
}

interface StoredBlock {
  readonly id: number;
  readonly digest: Buffer;
}

function md5(bytes: Buffer): Buffer {
  return createHash('md5').update(bytes).digest();
}

function up(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}

function encode({ plain, method = 'plain', stored }: ForeignBlock): Buffer {
  if (stored) return stored;
  if (method === 'plain') return plain;
  if (method === 'zlib' || method === 'zlibLow') {
    return deflateSync(plain, { level: method === 'zlib' ? 9 : 1 });
  }
  if (method !== 'lz4') throw new Error(`${method}: the stored bytes are needed`);
  const room = Buffer.alloc(plain.length + plain.length / 64 + 100);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(0xf800000f, 0);
  head.writeUInt32LE(crc32c(plain), 4);
  head.writeUInt32LE(plain.length, 8);
  return Buffer.concat([head, room.subarray(0, loadLz4().encode(plain, room))]);
}

class Metadata {
  readonly pages: Buffer[] = [];
  readonly #isOld: boolean;

  constructor(isOld: boolean) {
    this.#isOld = isOld;
  }

  page(): number {
    this.pages.push(Buffer.alloc(PAGE));
    return this.pages.length - 1;
  }

  at(id: number): Buffer {
    return this.pages[id] as Buffer;
  }

  vector(records: readonly Buffer[], recordBytes: number, root: number = this.page()): number {
    return this.#isOld
      ? this.#linked(records, recordBytes, root)
      : this.#tables(records, recordBytes, root);
  }

  blob(payload: Buffer): number {
    const id = this.page();
    if (payload.length > PAGE - 12) throw new Error('the properties need more than one page');
    this.at(id).writeBigUInt64LE(NONE, 0);
    this.at(id).writeUInt32LE(payload.length, 8);
    payload.copy(this.at(id), 12);
    return id;
  }

  #linked(records: readonly Buffer[], recordBytes: number, root: number): number {
    const perPage = Math.floor((PAGE - 8) / recordBytes);
    let id = root;
    for (let first = 0; ; first += perPage) {
      Buffer.concat(records.slice(first, first + perPage)).copy(this.at(id), 8);
      const isLast = first + perPage >= records.length;
      const next = isLast ? id : this.page();
      this.at(id).writeBigUInt64LE(isLast ? NONE : BigInt(next), 0);
      if (isLast) return root;
      id = next;
    }
  }

  #tables(records: readonly Buffer[], recordBytes: number, root: number): number {
    const perPage = Math.floor(PAGE / recordBytes);
    const table = this.at(root).fill(0xff);
    table.writeBigUInt64LE(BigInt(root), 8);
    for (let first = 0; first < records.length; first += perPage) {
      const id = this.page();
      Buffer.concat(records.slice(first, first + perPage)).copy(this.at(id));
      table.writeBigUInt64LE(BigInt(id), 16 + (8 * first) / perPage);
    }
    return root;
  }
}

class ForeignWriter {
  readonly #spec: ForeignSpec;
  readonly #meta: Metadata;
  readonly #store: Buffer[] = [];
  readonly #data: Buffer[] = [];
  readonly #maxBanks: number;
  readonly #cluster: number;
  #cursor: number;

  constructor(spec: ForeignSpec) {
    this.#spec = spec;
    const { version = 13, maxBanks = 2976, clusterAlign = 3, slotFormat = 9 } = spec;
    this.#meta = new Metadata(version < 12);
    const usualBanks = slotFormat === 0 ? 0xf8 : 0x7f00;
    this.#maxBanks = version < 12 ? maxBanks : usualBanks;
    this.#cluster = 512 * 2 ** clusterAlign;
    this.#cursor = PAGE + 2 * this.#slotBytes;
  }

  get #slotBytes(): number {
    return up(0x7c + 16 * this.#maxBanks, PAGE);
  }

  write(): Buffer {
    const { folders } = this.#spec;
    const [directory, storeRoot, free] = [0, 1, 2].map(() => this.#meta.page());
    const records = folders.map((folder) => this.#folder(folder));
    this.#meta.vector(records, 192, directory);
    this.#meta.vector(this.#store, 60, storeRoot);
    this.#meta.at(free as number).writeBigUInt64LE(NONE, 4);
    const bank = this.#bank();
    const dataEnd = up(this.#cursor, PAGE);
    const places = [dataEnd, dataEnd + bank.length];
    const endBytes = dataEnd + 2 * bank.length;
    const file = Buffer.alloc(endBytes);
    this.#header().copy(file);
    for (const [slot, offset] of places.entries()) {
      bank.copy(file, offset);
      const bytes = this.#slot(bank, offset, endBytes, records.length);
      bytes.copy(file, PAGE + slot * this.#slotBytes);
    }
    Buffer.concat(this.#data).copy(file, PAGE + 2 * this.#slotBytes);
    return file;
  }

  #header(): Buffer {
    const { version = 13, blockSizeBytes, clusterAlign = 3, slotFormat = 9 } = this.#spec;
    const page = Buffer.alloc(PAGE);
    page.writeUInt32LE(version, 0);
    page.writeUInt32LE(1, 4);
    page.writeUInt32LE(3, 8);
    page.write('md5', 0x0c);
    page.writeUInt32LE(slotFormat, 0x107);
    page.writeUInt32LE(blockSizeBytes, 0x10b);
    page.writeUInt8(clusterAlign, 0x10f);
    return page;
  }

  #crc(bytes: Buffer): number {
    return this.#spec.hasOldChecksums ? crc32(bytes) : crc32c(bytes);
  }

  #slot(bank: Buffer, offset: number, endBytes: number, folderCount: number): Buffer {
    const slot = Buffer.alloc(0x7c + 16 * this.#maxBanks);
    slot.writeUInt32LE(1, 0x04);
    slot.writeBigUInt64LE(3n, 0x08);
    slot.writeBigUInt64LE(BigInt(endBytes), 0x10);
    slot.writeUInt32LE(1, 0x18);
    slot.writeBigUInt64LE(0n, 0x1c);
    slot.writeBigUInt64LE(BigInt(folderCount), 0x24);
    slot.writeBigUInt64LE(1n, 0x2c);
    slot.writeBigUInt64LE(BigInt(this.#store.length), 0x34);
    slot.writeBigUInt64LE(2n, 0x3c);
    for (const at of [0x44, 0x4c, 0x54, 0x5c]) slot.writeBigUInt64LE(NONE, at);
    const { version = 13 } = this.#spec;
    slot.writeBigUInt64LE(version < 12 ? 0n : NONE, 0x64);
    slot.writeUInt32LE(this.#maxBanks, 0x74);
    slot.writeUInt32LE(1, 0x78);
    slot.writeUInt32LE(this.#crc(bank), 0x7c);
    slot.writeBigUInt64LE(BigInt(offset), 0x80);
    slot.writeUInt32LE(bank.length, 0x88);
    const body = slot.subarray(4);
    slot.writeUInt32LE(this.#spec.slotFormat === 0 ? crc32(body) : this.#crc(body), 0);
    return slot;
  }

  /** Versions before 12 leave more than one page behind the last. */
  #bank(): Buffer {
    const { version = 13, isBankEncrypted } = this.#spec;
    const count = Math.max(32, this.#meta.pages.length);
    if (count > 1024) throw new Error('more than one bank');
    const bank = Buffer.alloc((count + (version < 12 ? 7 : 2)) * PAGE);
    bank.writeUInt16LE(count, 0);
    bank.writeUInt8(2, 2);
    bank.fill(1, 4 + this.#meta.pages.length, 4 + count);
    if (isBankEncrypted) bank.fill(7, 0xc04, 0xc14);
    Buffer.concat(this.#meta.pages).copy(bank, PAGE);
    return bank;
  }

  #put(block: ForeignBlock): StoredBlock {
    const { plain, method = 'plain', keyIn } = block;
    const stored = encode(block);
    const allocated = Buffer.alloc(up(stored.length, this.#cluster), 0x6a);
    stored.copy(allocated);
    const digest = md5(plain);
    const row = Buffer.alloc(60);
    row.writeUInt8(4, 0);
    row.writeUInt32LE(1, 1);
    row.writeBigUInt64LE(BigInt(this.#cursor), 5);
    row.writeUInt32LE(allocated.length, 0x0d);
    digest.copy(row, 0x12);
    row.writeInt8(typeof method === 'number' ? method : METHODS[method], 0x22);
    row.writeUInt32LE(stored.length, 0x24);
    row.writeUInt32LE(plain.length, 0x28);
    if (keyIn === 'store') row.fill(9, 0x2c);
    this.#data.push(allocated);
    this.#cursor += allocated.length;
    return { id: this.#store.push(row) - 1, digest };
  }

  /** A map entry of 46 bytes, or a patch record of 53. */
  #entry(block: ForeignBlock | null, lengthBytes: number, patchIndex?: number): Buffer {
    const entry = Buffer.alloc(patchIndex === undefined ? 46 : 53);
    const stored = block && this.#put(block);
    entry.writeUInt32LE(lengthBytes, 0);
    entry.writeUInt8(block ? (block.type ?? 0) : 1, 4);
    (stored?.digest ?? md5(Buffer.alloc(lengthBytes))).copy(entry, 5);
    entry.writeBigUInt64LE(BigInt(stored?.id ?? 0), 0x15);
    if (patchIndex !== undefined) entry.writeBigUInt64LE(BigInt(patchIndex), 0x1d);
    if (block?.keyIn === 'map') entry.fill(9, entry.length - 16);
    return entry;
  }

  #lengthAt(index: number, sizeBytes: number): number {
    const { blockSizeBytes } = this.#spec;
    return Math.min(blockSizeBytes, sizeBytes - index * blockSizeBytes);
  }

  #folder({ name, items, properties }: ForeignFolder): Buffer {
    const children = items.map((item) => this.#item(item));
    const record = this.#named(name, ITEM_TYPES.folder, properties);
    record.writeBigUInt64LE(BigInt(this.#meta.vector(children, 192)), 0x94);
    record.writeBigUInt64LE(BigInt(children.length), 0x9c);
    return record;
  }

  #item({ name, kind, sizeBytes, blocks, properties }: ForeignItem): Buffer {
    const isPatched = kind === 'increment' || kind === 'patch';
    const [root, count] = isPatched
      ? this.#patches(sizeBytes, blocks)
      : this.#map(sizeBytes, blocks);
    const record = this.#named(name, ITEM_TYPES[kind], properties);
    record.writeBigUInt64LE(BigInt(root), 0x98);
    record.writeBigUInt64LE(BigInt(count), 0xa0);
    record.writeBigUInt64LE(BigInt(sizeBytes), 0xa8);
    const patched = [...blocks.keys()].reduce((sum, k) => sum + this.#lengthAt(k, sizeBytes), 0);
    record.writeBigUInt64LE(isPatched ? BigInt(patched) : NONE, 0xb0);
    // Genuine files have junk here.
    record.writeUInt8(0xd0, 0xb8);
    return record;
  }

  #named(name: string, type: number, properties?: readonly Property[]): Buffer {
    const record = Buffer.alloc(192);
    const bytes = Buffer.from(name);
    record.writeUInt32LE(type, 0);
    record.writeUInt32LE(bytes.length, 4);
    // Genuine files have junk behind the name.
    record.fill(0x7e, 8, 0x88);
    bytes.copy(record, 8);
    const blob = properties && this.#meta.blob(encodeProperties(properties));
    record.writeBigUInt64LE(blob === undefined ? NONE : BigInt(blob), 0x88);
    return record;
  }

  #map(sizeBytes: number, blocks: ForeignItem['blocks']): [number, number] {
    const count = Math.ceil(sizeBytes / this.#spec.blockSizeBytes);
    const tables: Buffer[] = [];
    for (let first = 0; first < count; first += 1088) {
      const length = Math.min(1088, count - first);
      const entries = Array.from({ length }, (_, k) =>
        this.#entry(blocks.get(first + k) ?? null, this.#lengthAt(first + k, sizeBytes)),
      );
      const table = Buffer.alloc(24);
      table.writeBigUInt64LE(BigInt(this.#meta.vector(entries, 46)), 0);
      table.writeBigUInt64LE(BigInt(this.#spec.blockSizeBytes), 8);
      table.writeBigUInt64LE(BigInt(length), 16);
      tables.push(table);
    }
    return [this.#meta.vector(tables, 24), count];
  }

  #patches(sizeBytes: number, blocks: ForeignItem['blocks']): [number, number] {
    const entries = [...blocks]
      .toSorted(([a], [b]) => a - b)
      .map(([index, block]) => this.#entry(block, this.#lengthAt(index, sizeBytes), index));
    return [this.#meta.vector(entries, 53), entries.length];
  }
}

export function writeForeign(spec: ForeignSpec): Buffer {
  return new ForeignWriter(spec).write();
}

/** A plain file such as summary.xml. It may have no more bytes than a block. */
export function textItem(name: string, text: string): ForeignItem {
  const plain = Buffer.from(text);
  return { name, kind: 'file', sizeBytes: plain.length, blocks: new Map([[0, { plain }]]) };
}

export interface ForeignMachine {
  readonly folder: string;
  readonly name: string;
  readonly id: string;
  readonly linkId?: string | undefined;
  readonly objectId: string;
}

function linkAttribute(id: string | undefined): string {
  return id === undefined ? '' : ` LinkId="${id}"`;
}

/** A summary as programs of others write it. */
export function foreignSummary(facts: {
  readonly storage?: { readonly id: string; readonly linkId?: string | undefined } | undefined;
  readonly machines: readonly ForeignMachine[];
  readonly files?: readonly string[] | undefined;
}): string {
  const { storage, machines, files = [] } = facts;
  const zero = '00000000-0000-0000-0000-000000000000';
  const oibs = machines.map(
    ({ folder, name, id, linkId = zero, objectId }) =>
      `<OIB Id="{${id}}" LinkId="{${linkId}}" ObjectId="{${objectId}}" InsideDir="/${folder}" VmName="${name}" CreationTimeUtc="02/27/2024 11:40:47" />`,
  );
  const listed = files.map((file) => `<File FileName="${file}" Exist="True" />`);
  return [
    '<OibSummary>',
    ...(storage ? [`<Storage Id="${storage.id}"${linkAttribute(storage.linkId)} />`] : []),
    ...oibs,
    ...(listed.length > 0 ? ['<OibFiles>', ...listed, '</OibFiles>'] : []),
    '</OibSummary>',
  ].join('');
}
